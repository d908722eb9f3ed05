"""Dask: the bits of one process, workers killed or not; whatever is lost is an error, and never a hang."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pkgutil import resolve_name

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import CalibkitError, DataError, InputFormatError, MissingExtraError, OptionError
from calibkit.shards import connected, dask, state_of_shard
from tests.shards.test_executors import FILES
from tests.test_shards import N, cut, rows

distributed = pytest.importorskip("distributed")

import dask as dask_package  # noqa: E402

START = 300  # seconds that a cluster may take on a busy machine


@pytest.fixture(scope="module")
def client():
    """Two processes, each with a nanny that starts another where one dies."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with (
        dask_package.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def serial(folder):  # noqa: ARG001 - which writes the files
    return ck.state_of_files(FILES)


def test_one_state_whoever_reads(client, serial):
    assert ck.state_of_files(FILES, client=client) == serial
    assert ck.evaluate("shard-*.npz", client=client) == serial.evaluation(name="shard")
    assert ck.evaluate("shard-0.npz", client=client).settings["rows"] == "state"
    with client.get_executor() as executor:
        assert ck.state_of_files(FILES, executor=executor) == serial
    assert not client.futures


def test_states_are_merged_by_the_workers(client, serial, monkeypatch, tmp_path):
    monkeypatch.setattr(dask, "FAN_IN", 2)
    for most, groups in ((1, [5]), (2, [3, 2]), (256, [1] * 5)):
        monkeypatch.setattr(dask, "MOST_STATES", most)
        came = list(dask.from_dask(client, FILES, partial(read_in, str(tmp_path))))
        assert sorted((len(paths) for paths, _ in came), reverse=True) == groups
        assert sorted(path for paths, _ in came for path in paths) == FILES
        assert sum((state for _, state in came), ck.CalibrationState()) == serial
        told = []
        assert ck.state_of_files(FILES, client=client, progress=told.append) == serial
        assert (told[-1].rows, told[-1].files, told[-1].share) == (N, 5, 1.0)
    assert not client.futures


def read_in(place, path):
    return state_of_shard(f"{place}/{path}").named(path)


@pytest.mark.parametrize("most", [1, 256])
def test_a_worker_that_is_killed_changes_no_bit(client, tmp_path, monkeypatch, most):
    """It holds states that it has read, and reads another; both are read again elsewhere."""
    for number, part in enumerate(cut(rows(5, 6_000), 12)):
        np.savez(f"part-{number:02}.npz", **part)
    serial = ck.state_of_files("part-*.npz")
    monkeypatch.setattr(dask, "MOST_STATES", most)
    monkeypatch.setattr(dask, "FAN_IN", 4)
    pids, killed = client.run(os.getpid), []
    before = {key for keys in client.has_what().values() for key in keys}

    def kill_one_of(workers):
        """Kill a worker, once."""
        for worker in workers:
            if not killed:
                killed.append(worker)
                os.kill(pids[worker], signal.SIGKILL)

    def kill_when_it_holds_a_state():
        while not killed:
            kill_one_of(worker for worker, keys in client.has_what().items() if {*keys} - before)
            time.sleep(0.01)

    def report(progress):
        assert killed or progress.files < progress.n_files
        kill_one_of(pids)

    killer = threading.Thread(target=kill_when_it_holds_a_state, daemon=True)
    if most == 1:  # the only report comes when all is over
        killer.start()
    options = {"progress": report} if most == 256 else {}
    state = ck.state_of_files("part-*.npz", client=client, block_rows=20, **options)
    assert killed
    assert state == serial
    serial.save(tmp_path / "serial.ckst")
    state.save(tmp_path / "dask.ckst")
    assert (tmp_path / "serial.ckst").read_bytes() == (tmp_path / "dask.ckst").read_bytes()
    client.wait_for_workers(2, timeout=START)
    assert pids[killed[0]] not in client.run(os.getpid).values()


@pytest.mark.parametrize("most", [1, 256])
def test_a_bad_file_is_told_with_its_worker(client, monkeypatch, most):
    monkeypatch.setattr(dask, "MOST_STATES", most)
    spoiled = cut(rows(), 5)[3]
    spoiled["logits"][417, 2] = np.nan
    np.savez("shard-3.npz", **spoiled)
    state = ck.CalibrationState()
    expected = r"^shard-3\.npz: logits row 417, class 2: value is NaN.*\(worker tcp://127\.0\.0\.1:\d+ on \S+\)$"
    with pytest.raises(DataError, match=expected):
        ck.state_of_files(FILES, into=state, client=client)
    assert {source.n for source in state.sources} <= {600}
    assert "shard-3.npz" not in [source.name for source in state.sources]


def test_shards_that_do_not_fit_each_other(client, monkeypatch):
    monkeypatch.setattr(dask, "MOST_STATES", 1)
    np.savez("shard-1.npz", labels=[0, 1], logits=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"^shard-1\.npz: n_classes differs: 3 in the other, 4 in this state"):
        ck.state_of_files(FILES, client=client)
    np.savez("shard-1.npz", **cut(rows(), 5)[0])
    with pytest.raises(DataError, match=r"^shard-1\.npz: shard-1\.npz .* and shard-0\.npz .* hold the same rows"):
        ck.state_of_files(FILES, client=client)
    assert ck.state_of_files(FILES, client=client, allow_duplicates=True).n == N


def test_a_worker_that_does_not_see_a_file(client, folder):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/seen/here.npz", (folder / "shard-0.npz").read_bytes())
    assert ck.state_of_files("memory://seen/*.npz").n == 600
    with pytest.raises(InputFormatError, match=r"^memory://.*here\.npz: cannot be opened: .*\(worker tcp://127"):
        ck.state_of_files("memory://seen/*.npz", client=client)
    (folder / "shard-2.npz").unlink()
    expected = rf"^shard-2\.npz: cannot be opened.*\(worker tcp://.*which looks for {folder}/shard-2\.npz: every worker"
    with pytest.raises(InputFormatError, match=expected):
        ck.state_of_files(FILES, client=client)


def test_a_worker_of_another_version_or_without_calibkit(client, monkeypatch, scheduler):
    with monkeypatch.context() as later:
        later.setattr(dask, "__version__", "9.9.9")
        with pytest.raises(
            CalibkitError, match=rf"^tcp://.*: worker tcp://127.* has calibkit {ck.__version__}; install 9\.9\.9"
        ):
            ck.state_of_files(FILES, client=client)
    monkeypatch.setattr(dask, "resolve_name", partial(resolve_name_of, "no_such_module"))
    with pytest.raises(CalibkitError, match=r"worker .* has no calibkit \(No module named 'no_such_module'\)"):
        ck.state_of_files(FILES, client=client)
    _, address = scheduler
    expected = rf"^{address}: the scheduler has no calibkit \(No module named"
    with connected(address, timeout=START) as alone, pytest.raises(CalibkitError, match=expected):
        ck.state_of_files(FILES, client=alone)


def test_a_worker_that_ends_while_it_is_asked(client, serial, monkeypatch):
    def asked(*_, **__):
        return dict.fromkeys(client.nthreads(), OSError("the connection is closed"))

    monkeypatch.setattr(client, "run", asked)
    assert ck.state_of_files(FILES, client=client) == serial


def resolve_name_of(module, _):
    return resolve_name(f"{module}:__version__")


def die_over(victim, path):
    if path == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return state_of_shard(path)


def test_a_file_over_which_workers_die(client, folder):
    """Dask suspects every file that a worker had to read when it died."""
    paths = [str(folder / name) for name in FILES[:3]]
    expected = r"shard-[12]\.npz: 2 workers that had this file to read ended abr.* the last one tcp://127.*no result"
    with pytest.raises(CalibkitError, match=expected):
        list(dask.from_dask(client, paths, partial(die_over, paths[1])))
    client.wait_for_workers(2, timeout=START)


def test_what_is_no_client():
    with pytest.raises(OptionError, match="client='int'"):
        list(dask.from_dask(3, FILES, state_of_shard))

    class Asynchronous(distributed.Client):
        asynchronous = True

        def __init__(self):
            pass

        def __del__(self):
            pass

    with pytest.raises(OptionError, match="asynchronous"):
        list(dask.from_dask(Asynchronous(), FILES, state_of_shard))


def test_a_scheduler_that_is_not_there():
    begin = time.monotonic()
    expected = r"^tcp://127\.0\.0\.1:9: no scheduler of Dask answered within 0\.5 seconds"
    with pytest.raises(CalibkitError, match=expected), connected("tcp://127.0.0.1:9", timeout=0.5):
        pytest.fail("nobody listens there")
    with pytest.raises(CalibkitError, match=r"^nonsense://x: no scheduler"), connected("nonsense://x", timeout=0.5):
        pytest.fail("there is no such protocol")
    assert time.monotonic() - begin < START


def test_dask_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    expected = r'--scheduler needs Dask: pip install "calibkit\[dask\]"'
    with pytest.raises(MissingExtraError, match=expected), connected("local"):
        pytest.fail("it is not there")


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler in a process of its own, without workers."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--no-show"]
    log = tmp_path / "scheduler.log"
    with log.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        for _ in range(START * 20):
            found = [line for line in log.read_text().splitlines() if "Scheduler at:" in line]
            if found:
                break
            time.sleep(0.05)
        try:
            yield process, found[0].split("Scheduler at:")[1].strip()
        finally:
            process.kill()


def test_a_scheduler_without_workers(scheduler):
    _, address = scheduler
    with connected(address, timeout=START) as client, dask_package.config.set({dask.PATIENCE: 0.1}):
        expected = (
            rf"^{address}: the scheduler has had no worker for 0\.1 seconds.*shard-0\.npz, .* 2 more.*dask worker"
        )
        with pytest.raises(CalibkitError, match=expected):
            ck.state_of_files(FILES, client=client)


def test_a_scheduler_that_is_lost(scheduler):
    process, address = scheduler
    with connected(address, timeout=START) as client:
        threading.Timer(0.5, process.kill).start()
        with pytest.raises(CalibkitError, match=r"the scheduler was lost before these files.*shard-0\.npz.*no result"):
            ck.state_of_files(FILES, client=client)
