"""Files of any number and size as one evaluation: each a state of its own, merged as they come. Floor 3."""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from calibkit.errors import CalibkitError, DataError
from calibkit.files.contents import shown
from calibkit.files.expanding import Paths, expand
from calibkit.files.scanning import watched_scan
from calibkit.files.source import AnyPath, tells_of_change
from calibkit.files.urls import is_url, without_secrets
from calibkit.predictions import Predictions
from calibkit.state import CalibrationState
from calibkit.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an evaluation of files has come.

    Attributes
    ----------
    rows : int
        Rows that were read.
    files, n_files : int
        Files that were read to their end, and all of them.
    share : float
        Share of all bytes that was read, in [0, 1].
    seconds : float
        Time since the beginning.

    Examples
    --------
    >>> progress = Progress(rows=3_000_000, files=1, n_files=4, share=0.25, seconds=2.0)
    >>> progress.rate, progress.seconds_left
    (1500000.0, 6.0)
    """

    rows: int
    files: int
    n_files: int
    share: float
    seconds: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest takes at the rate so far; None before anything was read."""
        return self.seconds * (1 - self.share) / self.share if self.share > 0 else None


Report = Callable[[Progress], object]


def state_of_shard(
    path: AnyPath,
    *,
    n_bins: int = 15,
    edges: Literal["right", "left"] = "right",
    view: View | None = None,
    threads: int | None = None,
    block_rows: int | None = None,
    seen: Callable[[int, float], object] | None = None,
    **reading: Any,
) -> CalibrationState:
    """The state of one file, under its name: the unit of work of whoever shares out many files.

    Parameters
    ----------
    path : path-like
        File or URL, which is read block by block.
    n_bins, edges, view
        As for `CalibrationState`.
    threads : int, optional
        Threads of the pass; by default CALIBKIT_THREADS or all cores.
    block_rows : int, optional
        As for `scan`. The state does not depend on it.
    seen : callable, optional
        Called after each block with the rows so far, and the share of the file that they are.
    **reading
        Keywords of `load`.

    Returns
    -------
    CalibrationState
        With one source. It can be pickled, saved and merged.

    Raises
    ------
    CalibkitError
        What `scan` and the pass raise; the message begins with the path. There is no state of a part of a file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", labels=[1, 0, 1], probs=[0.83, 0.27, 0.64])
    ...     state_of_shard(f"{folder}/net.npz").n
    3
    """
    state, shares = CalibrationState(n_bins=n_bins, edges=edges, view=view), list[Callable[[int], float]]()

    def share(block: Predictions) -> float:
        """Share of the file up to the end of a block."""
        return shares[0](block.first_row + len(block))

    blocks = _ahead(watched_scan(path, shares.append, block_rows=block_rows, **reading), share)
    for block in blocks:
        try:
            state.update(block, threads=threads)
        except CalibkitError as error:
            complaint = str(error).removeprefix(f"{block.name}: ")
            # A file that is still being written looks broken: the reader knows better.
            blocks.throw(type(error)(f"{shown(without_secrets(os.fsdecode(path)))}: {complaint}"))
        if seen is not None:
            seen(block.first_row + len(block), share(block))
    return state.named(shard_name(path, reading.get("split")))


def _ahead(blocks: Generator[Predictions], share: Callable[[Predictions], float]) -> Generator[Predictions]:
    """The blocks, each read while the one before it is worked on; an error that is thrown in is the reader's."""
    block = next(blocks, None)  # by this thread: a pipe is read to its end at once, and Ctrl-C must get through
    with ExitStack() as threads:
        reader = None
        while block is not None:
            if reader is None and share(block) < 1:  # a file of one block is worth no thread
                reader = threads.enter_context(ThreadPoolExecutor(1, thread_name_prefix="calibkit-reader"))
            coming = reader.submit(next, blocks, None) if reader else None
            try:
                yield block
            except CalibkitError as error:
                failure = coming.exception() if coming else None
                blocks.throw(failure if failure is not None and tells_of_change(failure) else error)
            block = coming.result() if coming else next(blocks, None)


def state_of_files(
    paths: Paths,
    *,
    into: CalibrationState | None = None,
    n_bins: int = 15,
    edges: Literal["right", "left"] = "right",
    view: View | None = None,
    threads: int | None = None,
    block_rows: int | None = None,
    executor: Executor | None = None,
    progress: Report | None = None,
    allow_duplicates: bool = False,
    **reading: Any,
) -> CalibrationState:
    """The state of many files, each read block by block in constant memory.

    Parameters
    ----------
    paths : path-like, or several
        Files, patterns such as ``"shard-*.parquet"``, and URLs.
    into : CalibrationState, optional
        A state that is added to, file by file, and returned: files that it holds already are passed over. However the
        call ends, it holds whole files alone. Default: a new one.
    n_bins, edges, view
        As for `CalibrationState`; those of ``into`` where it is given.
    threads, block_rows
        As for `evaluate` and `scan`. The state does not depend on them.
    executor : concurrent.futures.Executor, optional
        Reads the files, each as one task; processes, or those of another machine that have the same paths. The state
        does not depend on it, nor on the order in which the tasks end.
    progress : callable, optional
        Called with a `Progress` after each block, or with an executor after each file.
    allow_duplicates : bool, default False
        Whether a file may be given twice, and files may hold the same rows.
    **reading
        Keywords of `load`.

    Returns
    -------
    CalibrationState
        With one source a file.

    Raises
    ------
    CalibkitError
        What reading, scoring and merging raise, for the first file that fails.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/shard-0.npz", labels=[1, 0, 1], probs=[0.83, 0.27, 0.64])
    ...     np.savez(f"{folder}/shard-1.npz", labels=[0, 0], probs=[0.31, 0.78])
    ...     state_of_files(f"{folder}/shard-*.npz").n
    5
    """
    held = CalibrationState(n_bins=n_bins, edges=edges, view=view) if into is None else into
    settings = {"n_bins": held.settings.n_bins, "edges": held.settings.edges, "view": held.settings.view}
    work = {**settings, "threads": threads, "block_rows": block_rows, **reading}
    files = _to_read(expand(paths, allow_duplicates=allow_duplicates), held, reading.get("split"))
    watch = _Watch(files, progress)
    states = _in_turn(files, work, watch) if executor is None else _shared_out(files, work, watch, executor)
    for path, state in states:
        _merge(held, state, path, allow_duplicates=allow_duplicates)
    return held


def merge_states(states: Mapping[str, CalibrationState], *, allow_duplicates: bool = False) -> CalibrationState:
    """One state of several; complaints begin with the name of the one that does not fit those before it."""
    total: CalibrationState | None = None
    for name, state in states.items():
        if total is None:
            total = CalibrationState(n_bins=state.settings.n_bins, edges=state.settings.edges)
        _merge(total, state, name, allow_duplicates=allow_duplicates)
    return CalibrationState() if total is None else total


def _merge(total: CalibrationState, state: CalibrationState, name: str, *, allow_duplicates: bool) -> None:
    """Merge, or say which state does not fit."""
    try:
        total.merge(state, allow_duplicates=allow_duplicates)
    except DataError as error:
        raise DataError(f"{shown(without_secrets(name))}: {error}") from error


def shard_name(path: AnyPath, split: str | None) -> str:
    """What a state calls a file: its path, or its URL without what is secret; with the split that was read.

    Examples
    --------
    >>> shard_name("shard-0.npz", None), shard_name("shard-0.npz", "val")
    ('shard-0.npz', 'shard-0.npz (split val)')
    """
    name = without_secrets(os.fsdecode(path))
    return name if split is None else f"{name} (split {split})"


def _to_read(files: Sequence[str], held: CalibrationState, split: str | None) -> list[str]:
    """The files that a state does not hold."""
    names = {source.name for source in held.sources}
    return [path for path in files if shard_name(path, split) not in names]


def _in_turn(files: Iterable[str], work: dict[str, Any], watch: "_Watch") -> Iterator[tuple[str, CalibrationState]]:
    """The states of files, one after the other."""
    for path in files:
        yield path, state_of_shard(path, seen=watch.block if watch.report else None, **work)
        watch.done(path)


def _shared_out(
    files: Iterable[str], work: dict[str, Any], watch: "_Watch", executor: Executor
) -> Iterator[tuple[str, CalibrationState]]:
    """The states of files as an executor's tasks end; of the tasks that are left none begins once one has failed."""
    tasks: dict[Future[CalibrationState], str] = {executor.submit(state_of_shard, path, **work): path for path in files}
    try:
        for task in as_completed(tasks):
            path, state = tasks.pop(task), task.result()
            yield path, state
            watch.rows += state.n
            watch.done(path)
    except BrokenExecutor as error:
        raise CalibkitError(
            f"a worker of {type(executor).__name__} ended abruptly (killed, or out of memory): {watch.files:,} of "
            f"{len(watch.waiting):,} files were read to their end, and there is no result of a part of them. {error}"
        ) from error
    finally:
        for task in tasks:
            task.cancel()


class _Watch:
    """Counts what has been read, and reports it."""

    def __init__(self, files: Sequence[str], report: Report | None) -> None:
        self.report, self.start = report, time.monotonic()
        self.sizes = {path: _size(path) for path in files} if report else {}
        self.total = sum(self.sizes.values()) or 1
        self.rows = self.in_file = self.files = self.read = 0
        self.waiting = [*files]

    def block(self, rows: int, share: float) -> None:
        """Report a block of the file that is being read."""
        size = self.sizes[self.waiting[self.files]]
        self._tell(self.rows + rows, (self.read + share * size) / self.total)
        self.in_file = rows

    def done(self, path: str) -> None:
        """Report that a file was read to its end."""
        self.rows += self.in_file
        self.in_file = 0
        self.files += 1
        self.read += self.sizes.get(path, 0)
        self._tell(self.rows, self.read / self.total)

    def _tell(self, rows: int, share: float) -> None:
        if self.report is not None:
            seconds = time.monotonic() - self.start
            n_files = len(self.waiting)
            share = min(1.0, share)
            self.report(Progress(rows=rows, files=self.files, n_files=n_files, share=share, seconds=seconds))


def _size(path: str) -> int:
    """Bytes of a file; 1 where they are not known at once."""
    try:
        return 1 if is_url(path) else max(1, Path(path).stat().st_size)
    except (OSError, ValueError):
        return 1
