"""Is the cost of an evaluation linear in rows and in classes? ``python -m benchmarks.scaling`` measures it.

Times ``evaluate`` without intervals, and one ``torch.max(dim=1)`` of the same logits, over rows at 10 and 1,000
classes, and over classes at a fixed number of values. Prints a Markdown table; ``--draw`` writes
docs/images/scaling.png.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measuring import Case, head, line, machine, median_seconds, ours
from calibkit.scores import thread_count

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "scaling.png"
# Rows at each number of classes; and classes, at so many values in all.
ROWS = {10: (1_000, 10_000, 100_000, 1_000_000, 5_000_000), 1_000: (100, 1_000, 10_000, 50_000)}
CLASSES, VALUES = (2, 5, 10, 30, 64, 65, 200, 1_000, 4_000, 5_000, 30_000, 128_000), 20_000_000

Curve = list[tuple[int, float, float]]
Clock = Callable[[], float]


def measured(case: Case, n_runs: int, clock: Clock) -> tuple[float, float]:
    """Seconds of an evaluation, and of one reading."""
    import torch

    labels, logits = case.arrays()
    tensor = torch.from_numpy(logits)
    seconds = median_seconds(
        {"ours": lambda: ours(labels, logits), "read": lambda: torch.max(tensor, dim=1)}, n_runs, clock=clock
    )
    return seconds["ours"], seconds["read"]


def curves(n_runs: int, shrink: int, clock: Clock = time.perf_counter) -> tuple[dict[int, Curve], Curve]:
    """Times over rows for some numbers of classes; times over classes."""
    over_rows = {
        k: [(n, *measured(Case(n_rows=n, n_classes=k), n_runs, clock)) for n in rows if n * k <= 50_000_000 // shrink]
        for k, rows in ROWS.items()
    }
    over_classes = [(k, *measured(Case(n_rows=VALUES // shrink // k, n_classes=k), n_runs, clock)) for k in CLASSES]
    return over_rows, over_classes


def draw(over_rows: dict[int, Curve], over_classes: Curve, n_values: int, path: Path) -> None:
    """Times over rows with lines of slope 1; time per value over classes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for colour, (k, curve) in zip(("C0", "C1"), over_rows.items(), strict=True):
        n, own, read = (np.array(values) for values in zip(*curve, strict=True))
        left.loglog(n, own, "o-", color=colour, label=f"evaluate, {k:,} classes")
        left.loglog(n, read, "o:", color=colour, markersize=3, label=f"torch.max(dim=1), {k:,} classes")
        left.loglog(n, own[-1] * n / n[-1], color="0.7", linewidth=1, zorder=0)
    left.set(xlabel="rows", ylabel="seconds", title="Over rows (grey: proportional)")
    k, own, read = (np.array(values) for values in zip(*over_classes, strict=True))
    right.loglog(k, 1e9 * own / n_values, "o-", color="C0", label="evaluate")
    right.loglog(k, 1e9 * read / n_values, "o:", color="C0", markersize=3, label="torch.max(dim=1)")
    right.set(
        xlabel="classes", ylabel="nanoseconds a value", title=f"Over classes, {n_values / 1e6:.0f} million values"
    )
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print and draw."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--draw", action="store_true", help="write docs/images/scaling.png")
    parser.add_argument("--quick", action="store_true", help="a tenth of the values")
    parser.add_argument("--cpu", action="store_true", help="CPU time of one thread: steady beside other jobs")
    options = parser.parse_args()
    if options.cpu:
        os.environ["CALIBKIT_THREADS"] = "1"
    torch.set_num_threads(thread_count(None))
    what = "CPU time of 1 thread" if options.cpu else f"{thread_count(None)} threads"
    print(f"{machine()}; {what}; medians of {options.runs} interleaved warm runs.\n")
    shrink = 10 if options.quick else 1
    clock = time.process_time if options.cpu else time.perf_counter
    over_rows, over_classes = curves(options.runs, shrink, clock)
    print(head("logits", "evaluate", "a value", "torch.max passes"))
    shapes = [(n, k, *times) for k, curve in over_rows.items() for n, *times in curve]
    shapes += [(VALUES // shrink // k, k, *times) for k, *times in over_classes]
    for n, k, own, read in shapes:
        print(line(f"{n:,} x {k:,}", f"{own:.5f} s", f"{1e9 * own / n / k:.2f} ns", f"{own / read:.2f}"))
    if options.draw:
        draw(over_rows, over_classes, VALUES // shrink, FIGURE)


if __name__ == "__main__":
    main()
