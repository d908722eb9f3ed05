"""Peak memory and rate of a CalibrationState from 10,000 to a billion rows: ``python -m benchmarks.scale``.

A synthetic stream is made block by block and added to a state: correctness and confidence ("top-1"), or float32 logits
of 10 classes. Every number of rows has a process of its own, whose largest resident memory Linux tells, Python and
NumPy included; the rate is that of the updates alone, by CPU time: rows a second of one core. A stream stops where its
time is over, and then the rows that were covered are said. Prints a Markdown table; ``--draw`` writes
docs/images/scale.png.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import calibkit as ck
from benchmarks.measuring import head, line, machine
from calibkit.scores import thread_count

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "scale.png"
KINDS = {"top-1": 10**9, "10 classes": 10**8}
FEWEST, BLOCK, LIMIT_MB = 10_000, 250_000, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One stream: rows that were covered, CPU seconds of the updates, seconds in all, and the peak memory in MB."""

    n: int
    seconds: float
    wall: float
    megabytes: float
    ece: float


def stream(kind: str, n_rows: int) -> Iterator[ck.Predictions]:
    """Blocks of predictions, all of one over-confident model."""
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, BLOCK):
        n = min(BLOCK, n_rows - start)
        if kind == "top-1":
            confidence = 1 - rng.random(n) ** 2 / 2
            yield ck.Predictions.from_correct(rng.random(n) < confidence - 0.05, confidence)
        else:
            logits, labels = rng.standard_normal((n, 10), dtype=np.float32), rng.integers(0, 10, n)
            logits[np.arange(n), labels] += 2
            yield ck.Predictions.from_logits(labels, logits * 2)


def covered(kind: str, n_rows: int, most_seconds: float) -> Measured:
    """Add a stream to a state in this process."""
    state, begin, spent = ck.CalibrationState(), time.perf_counter(), 0.0
    for block in stream(kind, n_rows):
        start = time.process_time()
        state.update(block)
        spent += time.process_time() - start
        if time.perf_counter() - begin > most_seconds:
            break
    ece = state.evaluation()["ece"].value
    wall = time.perf_counter() - begin
    return Measured(n=state.n, seconds=spent, wall=wall, megabytes=peak_megabytes(), ece=ece)


def peak_megabytes() -> float:
    """Largest resident memory of this process so far."""
    facts = dict(fact.split(":", 1) for fact in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(facts["VmHWM"].split()[0]) / 1e6


def measure(kind: str, n_rows: int, most_seconds: float) -> Measured:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", kind, str(n_rows), "--seconds", str(most_seconds)]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    n, *rest = (float(word) for word in words)
    return Measured(n=int(n), **dict(zip(("seconds", "wall", "megabytes", "ece"), rest, strict=True)))


def draw(found: dict[str, list[Measured]], path: Path) -> None:
    """Peak memory and rate over rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for kind, points in found.items():
        rows = [point.n for point in points]
        left.semilogx(rows, [point.megabytes for point in points], "o-", label=kind)
        right.loglog(rows, [point.n / point.seconds for point in points], "o-", label=kind)
    left.axhline(LIMIT_MB, color="0.5", linestyle="--", linewidth=1)
    left.annotate(f"limit {LIMIT_MB} MB", (FEWEST, LIMIT_MB), (0, -12), textcoords="offset points", color="0.4")
    left.set(xlabel="rows", ylabel="MB", ylim=(0, LIMIT_MB * 1.1), title="Peak memory of the process")
    right.set(xlabel="rows", ylabel="rows a second of one core", title="Rate of CalibrationState.update")
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure every number of rows, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=1e9, help="rows at most (default 1e9; 10 classes: a tenth)")
    parser.add_argument("--seconds", type=float, default=480.0, help="seconds that one stream may take (default 480)")
    parser.add_argument("--draw", action="store_true", help="write docs/images/scale.png")
    parser.add_argument("--quick", action="store_true", help="a million rows at most")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "ROWS"), help="one stream, in this process")
    options = parser.parse_args()
    if options.one:
        found = covered(options.one[0], int(options.one[1]), options.seconds)
        print(found.n, found.seconds, found.wall, found.megabytes, found.ece)
        return
    most = 1e6 if options.quick else options.most
    print(f"{machine(('numpy',))}; {thread_count(None)} threads; blocks of {BLOCK:,} rows.\n")
    print(head("stream", "rows", "peak memory", "rows a second and core", "time with the stream's making", "ECE"))
    found_all: dict[str, list[Measured]] = {}
    for kind, limit in KINDS.items():
        sizes = [10**power for power in range(4, 13) if FEWEST <= 10**power <= min(limit, most * limit / 1e9)]
        for n_rows in sizes:
            found = measure(kind, n_rows, options.seconds)
            found_all.setdefault(kind, []).append(found)
            cells = (f"{found.megabytes:.0f} MB", f"{found.n / found.seconds / 1e6:.2f} million", f"{found.wall:.1f} s")
            print(line(kind, f"{found.n:,}", *cells, f"{found.ece:.6f}"), flush=True)
    if options.draw:
        draw(found_all, FIGURE)


if __name__ == "__main__":
    main()
