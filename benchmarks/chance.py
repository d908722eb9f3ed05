"""Whether the chance level of k pairs a row from a state, which keeps a sample of the rows, is that of all rows.

``python -m benchmarks.chance`` prints a Markdown table: mean and 95th percentile over those of labels drawn for every
row of the same data (up to 8,192 rows), and how often calibrated rows are rejected at 5 %. ``--speed`` prints instead
what the sample adds to the time of an update.
"""

import argparse
import time
from functools import partial
from typing import Literal

import numpy as np

import calibkit as ck
from benchmarks.measuring import Case, median_seconds
from calibkit.binning import Binning
from calibkit.bracket import Chance
from calibkit.resampling import chance_of_pairs
from calibkit.sampled_rows import MOST_ROWS
from calibkit.state.rows import steps_of, take_rows
from calibkit.views import score_and_bin

CLASSES, SIZES = (3, 10, 100), (300, 1_000, 5_000, 20_000)
VIEWS: tuple[Literal["classwise", "flattened"], ...] = ("classwise", "flattened")
SHAPES = tuple(
    Case(n_rows=n, n_classes=k)
    for n, k in ((1_000_000, 2), (1_000_000, 10), (200_000, 100), (50_000, 1_000), (4_096, 128_000))
)
LEVEL = 0.05
# The reference has so many draws: a standard error of .1 to .6 % of the mean.
DRAWS = 2_000


def calibrated(n: int, k: int, rng: np.random.Generator) -> ck.Predictions:
    """Rows of a confident network, with labels drawn from their probabilities."""
    logits = 2 * rng.standard_normal((n, k))
    logits[np.arange(n), rng.integers(k, size=n)] += 4
    logits -= logits.max(axis=1, keepdims=True)
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    reached = probs.cumsum(axis=1)
    labels = (reached <= rng.random((n, 1)) * reached[:, -1:]).sum(axis=1)
    return ck.Predictions.from_probs(labels, probs)


def of_state(rows: ck.Predictions, view: Literal["classwise", "flattened"], seed: int) -> Chance:
    """What the evaluation of a state shows."""
    state = ck.CalibrationState(view=view)
    state.update(rows, threads=1)
    found = state.evaluation(rng=seed).chance
    assert found is not None
    return found


def of_rows(rows: ck.Predictions, view: Literal["classwise", "flattened"]) -> Chance:
    """Labels drawn for every row."""
    _, binned = score_and_bin(rows, view=view, binning=Binning())
    assert binned.sample is not None
    return chance_of_pairs(binned.sample, binned.tables, Binning(), rng=np.random.default_rng(0), n_draws=DRAWS)


def ratios(n: int, k: int, view: Literal["classwise", "flattened"], repetitions: int) -> tuple[str, str]:
    """Mean and 95th percentile over those of all rows, on average, and the standard deviation of that, in %."""
    if n > MOST_ROWS:
        return "-", "-"
    rng, found = np.random.default_rng([n, k]), []
    for seed in range(repetitions):
        rows = calibrated(n, k, rng)
        one, other = of_state(rows, view, seed), of_rows(rows, view)
        found.append((one.mean / other.mean, one.p95 / other.p95))
    mean, p95 = (f"{m:.3f} ({100 * s:.1f})" for m, s in zip(np.mean(found, 0), np.std(found, 0, ddof=1), strict=True))
    return mean, p95


def update(rows: ck.Predictions, view: Literal["classwise", "flattened"], *, sample: bool) -> None:
    """Update the sums of an empty state; without a sample as those of one that was saved before there was one."""
    settings = ck.CalibrationState(view=view).settings.of(rows)
    tally = settings.empty_tally()
    assert tally is not None
    tally.sketch = tally.sketch if sample else None
    for part in steps_of(rows):
        take_rows(tally, part, settings, threads=1)


def speed() -> None:
    """Print the times of an update of one thread."""
    print("| float32 logits | view | without a sample | with one | ratio |\n|---|---|---|---|---|")
    for case in SHAPES:
        labels, logits = case.arrays()
        rows = ck.Predictions.from_logits(labels, logits)
        for view in VIEWS:
            works = {name: partial(update, rows, view, sample=name == "with") for name in ("without", "with")}
            seconds = median_seconds(works, 9, clock=time.process_time)
            one, other = seconds["without"], seconds["with"]
            print(f"| {case} | {view} | {one:.3f} s | {other:.3f} s | {other / one:.2f} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--speed", action="store_true", help="what the sample adds to the time of an update")
    asked = parser.parse_args()
    if asked.speed:
        speed()
        return
    repetitions = asked.repetitions
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / repetitions)
    print(f"{repetitions:,} repetitions; standard error {error:.1f} points. In brackets: from data to data, in %.\n")
    print("| view | k | n | mean / that of all rows | 95th percentile / that of all rows | p <= .05, % |")
    print("|---|---|---|---|---|---|")
    for k in CLASSES:
        for n in SIZES:
            rng, rejected = np.random.default_rng([k, n]), dict.fromkeys(VIEWS, 0)
            for seed in range(repetitions):
                rows = calibrated(n, k, rng)
                for view in VIEWS:
                    rejected[view] += of_state(rows, view, seed).p_value <= LEVEL
            for view in VIEWS:
                mean, p95 = ratios(n, k, view, max(2, repetitions // 100))
                size = f"{100 * rejected[view] / repetitions:.1f}"
                print(f"| {view} | {k} | {n:,} | {mean} | {p95} | {size} |", flush=True)


if __name__ == "__main__":
    main()
