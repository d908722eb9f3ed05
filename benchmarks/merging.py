"""What states cost that are shared out: bytes of a state, seconds of a merge, bytes that a cluster sends home.

    python -m benchmarks.merging

The states are the largest that there are: with forecasts in every cell of the grid. Medians of repeated merges.
"""

import pickle
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import calibkit as ck

ROWS = 2_000_000
FAN_IN = 100


def full_state(n_classes: int, seed: int, *, weighted: bool = False) -> ck.CalibrationState:
    """A state whose cells are all taken, of top-1 predictions."""
    rng = np.random.default_rng(seed)
    near_an_end = 0.5 * np.exp(-38 * rng.random(ROWS))  # every octave down to 2^-55
    spread = rng.random(ROWS)
    confidence = np.where(np.arange(ROWS) % 2, spread, np.where(spread < 0.5, near_an_end, 1 - near_an_end))
    labels = rng.integers(0, n_classes, ROWS)
    predicted = np.where(rng.random(ROWS) < 0.5, labels, (labels + 1) % n_classes)
    weights = rng.random(ROWS) + 0.5 if weighted else None
    state = ck.CalibrationState(n_classes=n_classes, view="top-label")
    state.update(ck.Predictions.from_top1(labels, predicted, confidence, n_classes=n_classes, weights=weights))
    return state


def size(state: ck.CalibrationState) -> int:
    """Bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        state.save(f"{folder}/a.ckst")
        return Path(f"{folder}/a.ckst").stat().st_size


def merge_seconds(one: ck.CalibrationState, other: ck.CalibrationState, repetitions: int = 15) -> float:
    """Median time of a merge."""
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        one + other
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def of_files(first: int, n: int) -> ck.CalibrationState:
    """A state of n files with a row each, merged in a tree of a hundred."""
    total = ck.CalibrationState()
    for start in range(first, first + n, FAN_IN):
        part = ck.CalibrationState()
        for number in range(start, min(start + FAN_IN, first + n)):
            one = ck.CalibrationState()
            one.update(ck.Predictions.from_top1([0], [0], [0.5 + number / 1e6], n_classes=2))
            part.merge(one.named(f"/data/run/shard-{number:06}.parquet"))
        total.merge(part)
    return total


def main() -> None:
    """Print the table."""
    print("| state | file | pickled | merge |")
    print("|---|---|---|---|")
    for label, n_classes, weighted in (
        ("10 classes", 10, False),
        ("10 classes, weights", 10, True),
        ("128,256 classes", 128_256, False),
    ):
        one, other = (full_state(n_classes, seed, weighted=weighted) for seed in (0, 1))
        print(
            f"| {label} | {size(one) / 1e6:.2f} MB | {len(pickle.dumps(one)) / 1e6:.2f} MB "
            f"| {1e3 * merge_seconds(one, other):.1f} ms |"
        )
    for n in (1_000, 10_000):
        many, one = of_files(0, n), of_files(n, 1)
        print(
            f"| {n:,} files of a row each | {size(many) / 1e6:.2f} MB | {len(pickle.dumps(many)) / 1e6:.2f} MB "
            f"| {1e3 * merge_seconds(many, one):.1f} ms |"
        )


if __name__ == "__main__":
    main()
