"""What is said while runs are done, and how processes are kept to one thread."""

import os
import signal
import threading
from io import StringIO

import pytest

from calibkit.training.study import running
from calibkit.training.study.cells import Cell, Shared, Task

SHARED = Shared(epochs=1, hidden=(4,), batch_size=64, lr=2e-3, train_rows=100, device="cpu")
TASKS = [Task(data="digits", shared=SHARED, cell=Cell(seed=seed), path="") for seed in range(40)]


def test_progress_says_how_many_runs_are_done_and_how_long_the_rest_will_take():
    out = StringIO()
    with running.reporting(TASKS, jobs=2, progress=True, title="digits", stream=out) as report:
        for task in TASKS:
            report(task)
    lines = out.getvalue().splitlines()
    assert lines[0] == "digits: 40 runs, 2 at a time"
    assert lines[1] == "digits: 2 of 40 runs, less than a minute left"
    assert lines[-1] == "digits: 40 of 40 runs, done"
    assert len(lines) == 21


def test_progress_is_silent_where_nobody_looks():
    out = StringIO()
    with running.reporting(TASKS, jobs=2, progress=None, title="digits", stream=out) as report:
        report(TASKS[0])
    assert out.getvalue() == ""


def test_time_left_is_that_of_the_work_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(running, "perf_counter", lambda: now[0])
    clock = running._Clock(TASKS)
    now[0] += 30
    for task in TASKS[:10]:
        clock.count(task)
    assert clock.left() == pytest.approx(90)


def test_processes_are_started_deaf_to_interrupts_and_the_caller_hears_them_again():
    before = signal.getsignal(signal.SIGINT)
    with running._deaf_to_interrupts():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before
    heard = []

    def elsewhere():
        with running._deaf_to_interrupts():
            heard.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert heard == [before]


def test_processes_start_with_one_thread_and_the_caller_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with running._one_thread_each():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
