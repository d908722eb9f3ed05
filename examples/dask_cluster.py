"""Files on a Dask cluster: a worker is killed half-way, and the result has the bits of one process.

    python examples/dask_cluster.py

For a cluster that runs elsewhere, give its address: `Client("tcp://host:8786")`, with files that its workers see.
Needs `pip install "calibkit[dask]"`; without it, two processes of this machine read the files.
"""

import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import calibkit as ck


def write_shards(folder: str, n_shards: int = 12, n_rows: int = 20_000) -> str:
    """Files of the same model's predictions; returns the pattern that names them."""
    rng = np.random.default_rng(0)
    for number in range(n_shards):
        labels = rng.integers(0, 10, n_rows)
        logits = rng.normal(size=(n_rows, 10)).astype(np.float32)
        logits[np.arange(n_rows), labels] += 2
        np.savez(Path(folder) / f"shard-{number:02}.npz", labels=labels, logits=logits)
    return f"{folder}/shard-*.npz"


def on_a_cluster(pattern: str) -> ck.Evaluation:
    """Two workers, one of which is killed when the first file has been read."""
    from dask.distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        workers = [*client.run(os.getpid).values()]

        def kill_one(progress: ck.Progress) -> None:
            """Kill a worker, once."""
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                workers.clear()
                print(f"a worker was killed after {progress.files} of {progress.n_files} files")

        return ck.evaluate(pattern, client=client, progress=kill_one)


def main() -> None:
    """Evaluate in this process and elsewhere, and compare."""
    with TemporaryDirectory() as folder:
        pattern = write_shards(folder)
        here = ck.evaluate(pattern)
        try:
            elsewhere = on_a_cluster(pattern)
        except ImportError:
            print("Dask is not installed", file=sys.stderr)
            with ProcessPoolExecutor(2) as executor:
                elsewhere = ck.evaluate(pattern, executor=executor)
    assert elsewhere == here
    print(f"{here.n:,} rows, ECE {here['ece'].value:.6f}, read elsewhere: {elsewhere['ece'].value:.6f}, the same bits")


if __name__ == "__main__":
    main()
