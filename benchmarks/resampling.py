"""Chance levels of what has no closed form, next to scipy.stats.bootstrap over the same statistic, per draw.

Run it with ``python -m benchmarks.resampling``; it prints two Markdown tables, the second of the interval of AURC,
which has a closed form, next to one of 1,000 resamples. ``--accuracy`` asks instead how near the chance levels, which
are drawn in cells, are to those of all forecasts: calibrated outcomes are drawn for each row, and the statistic is
computed of all of them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.stats import bootstrap

from calibkit.binned.sweep import sweep_by_chance, sweep_error
from calibkit.bracket import Chance
from calibkit.corp import consistency_band
from calibkit.decomposition import miscalibration_by_chance, miscalibration_of
from calibkit.intervals import mean_interval
from calibkit.isotonic import isotonic_rates
from calibkit.pairs import Pairs, pool_ties
from calibkit.pseudo_values import aurc_rows
from calibkit.selective import aurc
from calibkit.smooth_calibration import smooth_error, smooth_error_by_chance

SIZES = (10_000, 100_000, 1_000_000)
DRAWS, RUNS = 1000, 3  # as many draws as the public functions make
# Resamples of scipy.stats.bootstrap, by size: enough for a stable time per resample.
RESAMPLES = {10_000: 40, 100_000: 12, 1_000_000: 4}
SEEDS = (1, 2, 3)  # of the samples whose chance levels are drawn row by row
COLUMNS = ("statistic", "rows", "value", "calibkit, a draw", "bootstrap, a resample", "ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A statistic of pairs and its chance level."""

    title: str
    value: Callable[[Pairs], float]
    chance: Callable[[Pairs], object]


def corp_at_the_median(pairs: Pairs) -> float:
    """The CORP curve at the median forecast: one number of the curve, which costs as much as all of it."""
    tied = pool_ties(pairs)
    return float(isotonic_rates(tied.happened, tied.weight)[len(tied.forecast) // 2])


def generator() -> np.random.Generator:
    """The same draws each time."""
    return np.random.default_rng(0)


CASES = (
    Case(
        title="CORP miscalibration, Brier",
        value=miscalibration_of,
        chance=lambda pairs: miscalibration_by_chance(pool_ties(pairs), "brier", n_draws=DRAWS, rng=generator()),
    ),
    Case(
        title="CORP miscalibration, log",
        value=partial(miscalibration_of, score="log"),
        chance=lambda pairs: miscalibration_by_chance(pool_ties(pairs), "log", n_draws=DRAWS, rng=generator()),
    ),
    Case(
        title="CORP curve and band",
        value=corp_at_the_median,
        chance=lambda pairs: consistency_band(pool_ties(pairs), level=0.95, n_draws=DRAWS, rng=generator()),
    ),
    Case(
        title="sweep ECE",
        value=sweep_error,
        chance=lambda pairs: sweep_by_chance(pairs, n_draws=DRAWS, rng=generator()),
    ),
    Case(
        title="smooth ECE",
        value=smooth_error,
        chance=lambda pairs: smooth_error_by_chance(pairs, n_draws=DRAWS, rng=generator()),
    ),
)


def sample(n: int, rng: np.random.Generator) -> Pairs:
    """Calibrated confidences like those of a good network: most near 1, no ties."""
    confidence = rng.beta(5, 0.6, n)
    return Pairs(view="top-label", forecast=confidence, outcome=rng.random(n) < confidence)


def seconds(work: Callable[[], object]) -> float:
    """Median of a few runs."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def resample(case: Case, pairs: Pairs) -> object:
    """Percentiles of resampled rows, as scipy.stats.bootstrap makes them."""

    def statistic(forecast: np.ndarray, outcome: np.ndarray) -> float:
        return case.value(Pairs(view=pairs.view, forecast=forecast, outcome=outcome))

    return bootstrap(
        (pairs.forecast, pairs.outcome),
        statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES[len(pairs)],
        method="percentile",
        rng=generator(),
    )


def deviations(case: Case, n: int, row_draws: int, seed: int) -> tuple[float, float]:
    """By how much mean and 95th percentile of the chance level are off, as fractions of those of all forecasts."""
    rng = np.random.default_rng(seed)
    pairs = sample(n, rng)
    chance = case.chance(pairs)
    assert isinstance(chance, Chance)
    shown = [
        case.value(replace(pairs, outcome=outcome))
        for outcome in (rng.random(n) < pairs.forecast for _ in range(row_draws))
    ]
    return chance.mean / float(np.mean(shown)) - 1, chance.p95 / float(np.quantile(shown, 0.95)) - 1


def accuracy(n: int, row_draws: int) -> None:
    """Print how near chance levels are to what is drawn row by row."""
    print("| statistic | rows | " + " | ".join(f"seed {seed}: mean, 95th percentile" for seed in SEEDS) + " |")
    print("| :--- | ---: |" + " ---: |" * len(SEEDS))
    for case in CASES:
        if case.value is corp_at_the_median:  # a band, not a level
            continue
        off = (deviations(case, n, row_draws, seed) for seed in SEEDS)
        cells = (f"{mean:+.1%}, {p95:+.1%}" for mean, p95 in off)
        print(f"| {case.title} | {n:,} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accuracy", action="store_true", help="how near chance levels are to those of all forecasts")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of --accuracy")
    parser.add_argument("--row-draws", type=int, default=2000, help="draws of all rows of --accuracy")
    options = parser.parse_args()
    if options.accuracy:
        accuracy(options.rows, options.row_draws)
        return
    chance_levels()
    print()
    interval_of_aurc()


def interval_of_aurc() -> None:
    """Print what an interval of AURC costs: from pseudo-values, and from as many resamples as a percentile needs."""
    case = Case(title="AURC", value=aurc, chance=lambda pairs: mean_interval(aurc_rows(pairs), level=0.95))
    print(f"| statistic | rows | value | calibkit, its interval | bootstrap of {DRAWS:,} resamples | ratio |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: |")
    for n in SIZES:
        pairs = sample(n, generator())
        value, ours = seconds(partial(case.value, pairs)), seconds(partial(case.chance, pairs))
        theirs = DRAWS * seconds(partial(resample, case, pairs)) / (RESAMPLES[n] + 1)
        cells = (f"{value * 1e3:.1f} ms", f"{ours * 1e3:.1f} ms", f"{theirs:.1f} s", f"{theirs / ours:,.0f}")
        print(f"| {case.title} | {n:,} | " + " | ".join(cells) + " |", flush=True)


def chance_levels() -> None:
    """Print what a draw of a chance level costs, and a resample of the same statistic."""
    print("| " + " | ".join(COLUMNS) + " |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: |")
    for case in CASES:
        for n in SIZES:
            pairs = sample(n, generator())
            value = seconds(partial(case.value, pairs))
            ours = seconds(partial(case.chance, pairs)) / DRAWS
            # bootstrap computes the statistic of the sample itself too
            theirs = seconds(partial(resample, case, pairs)) / (RESAMPLES[n] + 1)
            cells = (f"{value * 1e3:.1f} ms", f"{ours * 1e3:.3f} ms", f"{theirs * 1e3:.1f} ms", f"{theirs / ours:.0f}")
            print(f"| {case.title} | {n:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
