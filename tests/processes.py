"""Several gloo processes of one module of tests, each of which leaves a file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

ROOT = Path(__file__).resolve().parents[1]
TIME_LIMIT = 120


def run_processes(module: str, folder: Path, world: int) -> None:
    """Run ``python -m module RANK FOLDER`` in so many processes at once; all must come to their end."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this build of torch has no gloo")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    command = [sys.executable, "-W", "error", "-m", module]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(folder)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in range(world)
    ]
    try:
        said = [process.communicate(timeout=TIME_LIMIT)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    # gloo sometimes aborts a process whose peer has gone first; its file is there by then, or reading it fails.
    assert all(process.returncode in (0, -signal.SIGABRT) for process in started), "\n".join(said)
