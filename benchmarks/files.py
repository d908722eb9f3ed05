"""How fast a file is evaluated, against reading it and nothing else: ``python -m benchmarks.files``.

A .npy file of float32 logits is written to a temporary folder. Then, in turn: ``cat`` to /dev/null; the same bytes read
into one small buffer; an evaluation of the array as a memory map; and one of the path, which is read block by block
into a CalibrationState. Once warm, with the file in the system's cache, and once cold: before each reading the system
is told to forget the file. Prints two Markdown tables of medians and rates.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import calibkit as ck
from benchmarks.measuring import Case, Work, head, line, machine, median_seconds
from calibkit.scores import thread_count

N_CLASSES = 1_000
STEP = 50_000


def write(folder: Path, n_bytes: float) -> tuple[Path, Path]:
    """Write labels and logits of about so many bytes, piece by piece; return the paths of both."""
    n = max(STEP, round(n_bytes / 4 / N_CLASSES / STEP) * STEP)
    labels, logits = Case(n_rows=STEP, n_classes=N_CLASSES).arrays()
    target = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, (n, N_CLASSES))
    for start in range(0, n, STEP):
        target[start : start + STEP] = logits
    target.flush()
    np.save(folder / "labels.npy", np.tile(labels, n // STEP))
    return folder / "labels.npy", folder / "logits.npy"


def works(labels: Path, logits: Path) -> dict[str, Work]:
    """What is timed."""

    def read() -> None:
        buffer = bytearray(1 << 20)
        with logits.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    def mapped() -> object:
        values = np.load(logits, mmap_mode="r")
        return ck.evaluate(ck.Predictions.from_logits(np.load(labels), values), confidence_level=None)

    def scanned() -> object:
        return ck.evaluate(logits, labels_file=str(labels), max_memory=0)

    return {
        "`cat FILE > /dev/null`": lambda: subprocess.run(f"cat '{logits}' > /dev/null", shell=True, check=True),
        "read into a buffer of 1 MB": read,
        "`evaluate`, memory map": mapped,
        "`evaluate` of the path, block by block": scanned,
    }


def forget(path: Path) -> None:
    """Tell the system that what it keeps of a file in memory is not needed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def table(seconds: Mapping[str, float], size: int) -> str:
    """Times and rates, beside that of cat."""
    cat = next(iter(seconds.values()))
    lines = (
        line(name, f"{value:.3f} s", f"{size / value / 1e9:.1f} GB/s", f"{100 * cat / value:.0f} %")
        for name, value in seconds.items()
    )
    return "\n".join((head("a file of float32 logits", "time", "rate", "of the rate of cat"), *lines))


def main() -> None:
    """Write the file, time every way, warm and cold, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--bytes", type=float, default=4e9, help="size of the file (default 4e9)")
    parser.add_argument("--folder", help="where the file is written for the while (default: the temporary folder)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    options = parser.parse_args()
    print(f"{machine()}; {thread_count(None)} threads.\n")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        labels, logits = write(Path(folder), options.bytes / 10 if options.quick else options.bytes)
        size = logits.stat().st_size
        ways = works(labels, logits)
        for state, before in (("warm", None), ("cold", lambda: forget(logits))):
            seconds = median_seconds(ways, options.runs, before=before)
            print(f"{size / 1e9:.1f} GB, {state}; medians of {options.runs} runs.\n\n{table(seconds, size)}\n")


if __name__ == "__main__":
    main()
