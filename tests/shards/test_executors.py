"""Any Executor: the bits of one process; whatever is lost is an error that names the files, and no result."""

import os
import pickle
import signal
import time
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import CalibkitError, DataError, InputFormatError, LimitError, OptionError
from calibkit.shards import merge_states, state_of_shard, workers
from calibkit.shards.executors import from_executor
from calibkit.shards.merging import merge_all
from calibkit.shards.workers import task_of
from tests.test_shards import N, cut, rows

FILES = [f"shard-{number}.npz" for number in range(5)]


def processes(n=2):
    return ProcessPoolExecutor(n, mp_context=get_context("spawn"))


class Inline(Executor):
    """Runs a task when it is given, as if it were elsewhere: task, result and error are pickled on their way."""

    def __init__(self, lost=None):
        self.lost = lost or {}

    def submit(self, function, /, *given):
        future = Future()
        if given[0] in self.lost:
            future.set_exception(self.lost[given[0]])
            return future
        function, given = pickle.loads(pickle.dumps((function, given)))
        try:
            future.set_result(pickle.loads(pickle.dumps(function(*given))))
        except Exception as error:
            future.set_exception(pickle.loads(pickle.dumps(error)))
        return future


def test_one_state_whoever_reads():
    serial = ck.state_of_files(FILES)
    with processes() as executor:
        assert ck.state_of_files(FILES, executor=executor) == serial
    assert ck.state_of_files(FILES, executor=Inline()) == serial
    assert serial.n == N


def test_loky():
    """The pool that scikit-learn's joblib brings along."""
    loky = pytest.importorskip("joblib.externals.loky")
    with loky.ProcessPoolExecutor(2) as executor:
        assert ck.state_of_files(FILES, executor=executor) == ck.state_of_files(FILES)


def test_a_worker_in_another_folder_reads_the_same_files(folder, monkeypatch):
    np.save("logits.npy", rows()["logits"])
    np.save("truth.npy", rows()["labels"])
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    task = task_of({"labels_file": "truth.npy"})
    monkeypatch.chdir(elsewhere)
    state = task("logits.npy")
    assert [source.name for source in state.sources] == ["logits.npy"]
    assert state.n == N


def test_a_task_uses_one_thread_unless_it_is_told(monkeypatch):
    used = []
    monkeypatch.setattr(workers, "state_of_shard", lambda path, threads: used.append(threads) or state_of_shard(path))
    for threads in (None, 3):
        task_of({"threads": threads})("shard-0.npz")
    assert used == [1, 3]


def test_a_bad_file_is_told_with_its_worker(folder):
    spoiled = cut(rows(), 5)[3]
    spoiled["logits"][417, 2] = np.nan
    np.savez("shard-3.npz", **spoiled)
    where = rf"\(process {os.getpid()} on \S+\)$"
    with pytest.raises(DataError, match=r"^shard-3\.npz: logits row 417, class 2: value is NaN.*" + where):
        ck.state_of_files(FILES, executor=Inline())
    (folder / "shard-1.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputFormatError, match=r"^shard-1\.npz: .*process"):
        ck.evaluate(["shard-1.npz", "shard-0.npz"], executor=Inline())


def test_a_worker_that_does_not_see_a_file(folder):
    (folder / "shard-2.npz").unlink()
    path = folder / "shard-2.npz"
    expected = rf"^shard-2\.npz: cannot be opened: .*process \d+ on \S+, which looks for {path}: every worker needs"
    with processes(1) as executor, pytest.raises(InputFormatError, match=expected):
        ck.state_of_files(FILES, executor=executor)


def test_a_worker_of_another_version(monkeypatch):
    task = task_of({})
    monkeypatch.setattr(workers, "__version__", "0.0.9")
    with pytest.raises(CalibkitError, match=r"^shard-0\.npz: process .* has calibkit 0\.0\.9, the process .* has "):
        task("shard-0.npz")


def test_what_goes_wrong_in_a_task_but_is_no_complaint(monkeypatch):
    def no_memory(*_, **__):
        raise MemoryError

    def wrong(*_, **__):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(workers, "state_of_shard", no_memory)
    with pytest.raises(LimitError, match=r"^shard-0\.npz: not enough memory \(process"):
        ck.state_of_files("shard-0.npz", executor=Inline())
    monkeypatch.setattr(workers, "state_of_shard", wrong)
    with pytest.raises(ZeroDivisionError) as caught:
        ck.state_of_files("shard-0.npz", executor=Inline())
    assert caught.value.__notes__[0].startswith("raised while reading shard-0.npz: process")


@pytest.mark.parametrize("error", [CancelledError(), RuntimeError("the network is down")])
def test_a_task_that_an_executor_loses(error):
    state = ck.CalibrationState()
    with pytest.raises(CalibkitError, match=rf"^shard-3\.npz: Inline gives no result .* {type(error).__name__}: "):
        ck.state_of_files(FILES, into=state, executor=Inline({"shard-3.npz": error}))
    assert {source.n for source in state.sources} <= {600}


def die_over_the_second(path):
    if path == "shard-1.npz":
        time.sleep(0.5)  # the first is done by then
        os.kill(os.getpid(), signal.SIGKILL)
    return state_of_shard(path)


def test_a_process_that_is_killed():
    states = []
    with (
        processes(1) as executor,
        pytest.raises(
            CalibkitError, match=r"^a worker of ProcessPoolExecutor ended abruptly .*shard-1\.npz.*no result"
        ),
    ):
        states.extend(from_executor(executor, FILES[:2], die_over_the_second))
    assert [path for path, _ in states] == [["shard-0.npz"]]


def test_an_executor_and_a_client_are_two_ways():
    with pytest.raises(OptionError, match="give one of them"):
        ck.state_of_files(FILES, executor=Inline(), client=object())
    with pytest.raises(OptionError, match="client='object': give a distributed"):
        ck.evaluate(FILES, client=object())
    with pytest.raises(OptionError, match="is for reading files"):
        ck.evaluate(ck.load("shard-0.npz"), client=object())


def test_complaints_of_a_merge_name_files():
    np.savez("odd.npz", labels=[0, 1], logits=np.zeros((2, 3)))
    states = [state_of_shard(path) for path in (*FILES, "odd.npz")]
    first, second = (merge_all(part, allow_duplicates=False) for part in (states[:2], states[2:5]))
    assert merge_all([first, second], allow_duplicates=False) == ck.state_of_files(FILES)
    with pytest.raises(DataError, match=r"^odd\.npz: n_classes differs: 3 in the other, 4 in this state"):
        merge_all([first, states[5]], allow_duplicates=False)
    with pytest.raises(DataError, match=r"^shard-2\.npz and 2 more: n_classes differs"):
        merge_all([states[5], second], allow_duplicates=False)
    with pytest.raises(DataError, match=r"^shard-2\.npz and 2 more: shard-2\.npz \(600 rows\) is given twice"):
        merge_all([second, second], allow_duplicates=False)
    assert merge_all([second, second], allow_duplicates=True).n == 3600


def test_states_of_bins_of_equal_count():
    parts = {}
    for path in FILES:
        parts[path] = ck.CalibrationState(binning="quantile")
        parts[path].update(ck.load(path))
    assert merge_states(parts.items()).n == N
    assert merge_all([state.named(path) for path, state in parts.items()], allow_duplicates=False).n == N
