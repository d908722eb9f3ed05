"""Runs side by side, one process and one thread each, with the time that is left. Annex: training."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from time import perf_counter
from typing import TextIO

from calibkit.errors import LimitError
from calibkit.training.study.cells import Task
from calibkit.training.study.grid import work
from calibkit.training.study.one_run import run_task

LINES = 20
Report = Callable[[Task], None]


def run_all(tasks: Sequence[Task], *, jobs: int, progress: bool | None, title: str) -> None:
    """Do every run; each writes its own file, so that whatever stops this loses only what is running.

    On Ctrl-C the runs that have begun are finished and kept.
    """
    if not tasks:
        return
    with reporting(tasks, jobs=jobs, progress=progress, title=title) as report:
        if jobs == 1:
            for task in tasks:
                run_task(task)
                report(task)
        else:
            _run_in_processes(tasks, jobs, report)


def _run_in_processes(tasks: Sequence[Task], jobs: int, report: Report) -> None:
    """Hand the runs out; a process that was killed is an error, not a wait for ever."""
    # Spawned, not forked: torch's threads and CUDA do not survive a fork.
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=get_context("spawn"), initializer=_begin)
    # No more runs are handed out than are done at a time, so that none waits in a queue that Ctrl-C cannot reach.
    rest = iter(tasks)
    try:
        with _one_thread_each(), _deaf_to_interrupts():
            pending: dict[Future[str], Task] = {pool.submit(run_task, task): task for task in islice(rest, jobs)}
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                report(pending.pop(future))
                pending |= {pool.submit(run_task, task): task for task in islice(rest, 1)}
    except BrokenProcessPool as error:
        raise LimitError(
            "a process of the study was stopped from outside, perhaps for want of memory; what is finished is kept: "
            "give the same command again, with jobs=1 if memory is short."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let the processes that are started meanwhile compute with one thread from their first import on."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    try:
        os.environ.update(dict.fromkeys(names, "1"))
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let the processes that are started meanwhile leave Ctrl-C to this one, from their first import on."""
    if threading.current_thread() is not threading.main_thread():  # where handlers cannot be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """In each process: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def time_left(seconds: float) -> str:
    """A length of time in words, no finer than is known.

    Examples
    --------
    >>> time_left(20), time_left(400), time_left(8000)
    ('less than a minute', '7 min', '2 h 13 min')
    """
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def reporting(
    tasks: Sequence[Task],
    *,
    jobs: int,
    progress: bool | None,
    title: str,
    stream: TextIO | None = None,
) -> Iterator[Report]:
    """Give a function to call after each run; silent unless standard error is a terminal or progress is True."""
    out = sys.stderr if stream is None else stream
    if not (out.isatty() if progress is None else progress):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=out, highlight=False, soft_wrap=True)
    console.print(f"{title}: {len(tasks):,} runs, {jobs} at a time", markup=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        place = bar.add_task("runs", total=len(tasks))
        clock = _Clock(tasks)

        def report(task: Task) -> None:
            """Move the bar on, and say now and then how long it will take."""
            done = clock.count(task)
            bar.advance(place)
            if done == len(tasks) or done * LINES // len(tasks) > (done - 1) * LINES // len(tasks):
                left = "done" if done == len(tasks) else f"{time_left(clock.left())} left"
                console.print(f"{title}: {done:,} of {len(tasks):,} runs, {left}", markup=False)

        yield report


class _Clock:
    """Time left, from the time taken and the work that is done and to be done."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.total = sum(map(_work, tasks))
        self.start = perf_counter()
        self.finished = 0
        self.done = 0.0

    def count(self, task: Task) -> int:
        """Count one more run; how many there are now."""
        self.finished += 1
        self.done += _work(task)
        return self.finished

    def left(self) -> float:
        """Seconds."""
        return (perf_counter() - self.start) * (self.total - self.done) / self.done


def _work(task: Task) -> float:
    return work(task.cell, hidden=task.shared.hidden)
