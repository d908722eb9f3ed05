"""evaluate --scheduler: Dask reads the files, and prints what one process prints."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from tests.test_shards import cut, rows

pytest.importorskip("distributed")

SHARDS = ("shard-0.npz", "shard-1.npz", "shard-2.npz")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, part in zip(SHARDS, cut(rows(), 3), strict=True):
        np.savez(name, **part)
    return tmp_path


def test_a_cluster_of_this_machine(run, folder):
    serial = run("evaluate", *SHARDS, "--save-state", "serial.ckst", "--json")
    spread = run("evaluate", "shard-*.npz", "--save-state", "dask.ckst", "--scheduler", "local", "--jobs", 2, "--json")
    assert (spread.code, spread.out) == (0, serial.out)
    assert (folder / "dask.ckst").read_bytes() == (folder / "serial.ckst").read_bytes()


def test_a_cluster_elsewhere(run, folder):
    """A scheduler and a worker of their own, in another folder."""
    from distributed import LocalCluster

    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-dashboard"]
        with subprocess.Popen(
            [*command, "--no-nanny"], cwd=elsewhere, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as worker:
            try:
                spread = run("evaluate", *SHARDS, "--together", "--scheduler", cluster.scheduler_address, "--json")
            finally:
                worker.kill()
    assert spread.code == 0
    assert json.loads(spread.out) == json.loads(run("evaluate", *SHARDS, "--together", "--json").out)


def test_a_shard_that_fails_saves_whole_files_alone(run, folder):
    (folder / "shard-1.npz").write_bytes(b"PK\x03\x04")
    done = run("evaluate", *SHARDS, "--save-state", "out.ckst", "--scheduler", "local", "--jobs", 1)
    assert (done.code, done.out) == (4, "")
    assert "shard-1.npz: " in done.err
    assert "(worker tcp://127.0.0.1:" in done.err
    assert not (folder / "out.ckst").exists()
    np.savez("shard-1.npz", **cut(rows(), 3)[1])
    again = run("evaluate", *SHARDS, "--save-state", "out.ckst", "--resume", "--json")
    assert json.loads(again.out) == json.loads(run("evaluate", *SHARDS, "--together", "--json").out)


def test_ctrl_c_says_what_was_read_and_nothing_else(folder):
    """In a terminal it reaches the workers too; one of them waits for a pipe into which nobody writes."""
    os.mkfifo("shard-9.npz")
    command = [sys.executable, "-m", "calibkit", "evaluate", *SHARDS, "shard-9.npz", "--save-state", "a.ckst"]
    with subprocess.Popen(
        [*command, "--scheduler", "local", "--jobs", "2"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        pipe = None
        for _ in range(1200):
            with suppress(OSError):  # while nobody reads
                pipe = os.open("shard-9.npz", os.O_WRONLY | os.O_NONBLOCK)
                break
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        os.close(pipe)
    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(r"\s*interrupted: \d of 4 files were read to their end, .*\s*", err), err


@pytest.mark.usefixtures("folder")
def test_usage(run):
    assert "--scheduler is for --together" in run("evaluate", *SHARDS, "--scheduler", "local").err
    done = run("evaluate", *SHARDS, "--together", "--scheduler", "here")
    assert done.code == 2
    assert "--scheduler here: give local, or the address of a scheduler, tcp://HOST:PORT" in done.err
    done = run("evaluate", *SHARDS, "--together", "--scheduler", "tcp://127.0.0.1:9", "--jobs", 2)
    assert done.code == 2
    assert "--jobs is for processes of this machine" in done.err
