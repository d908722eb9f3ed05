"""One sample of each interval that calibkit prints, from a world whose truth is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.worlds import POPULATION, Floats, Rows, World, dependent_sample, group_sizes
from calibkit.bracket import bracket_interval, chance, paired_bracket
from calibkit.calibration_error import curve_of
from calibkit.intervals import mean_interval, paired_t, wilson_interval

LEVEL = 0.95
# Enough to place a p-value on the right side of 2.5 %, which is all that the bracket asks.
NULL_DRAWS = 200

# (low, high, p-value); None where a sample has no interval.
Sample = Callable[[np.random.Generator], tuple[float | None, float | None, float | None]]


def draw(world: World, n: int, rng: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """Independent rows and their outcomes."""
    rows = rng.integers(POPULATION, size=n)
    return rows, rng.random(n) < world.accuracy[rows]


def bracket_sample(world: World, n: int) -> Sample:
    """The bracket interval, and the p-value of the chance test."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, float]:
        table = world.table(*draw(world, n, rng))
        null = chance(table, rng=rng, n_draws=NULL_DRAWS)
        low, high, _ = bracket_interval(table, level=LEVEL, chance=null)
        return low, high, null.p_value

    return sample


def grouped_bracket_sample(world: World, n: int, n_groups: int, *, equal: bool, shared: float | None = None) -> Sample:
    """The bracket interval of dependent rows."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        sizes = group_sizes(n_groups, n, rng, equal=equal)
        low, high, _ = bracket_interval(world.binned(*dependent_sample(world, sizes, rng, shared=shared)), level=LEVEL)
        return low, high, None

    return sample


def whisker_sample(world: World, n: int, n_groups: int, *, equal: bool, shared: float | None = None) -> Sample:
    """The interval of one bin of the reliability curve of dependent rows, of a bin drawn at random by its rows."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        sizes = group_sizes(n_groups, n, rng, equal=equal)
        drawn, outcome, groups = dependent_sample(world, sizes, rng, shared=shared)
        rows = world.binned(drawn, outcome, groups)
        curve, chosen = curve_of(rows.table, "top-label", level=LEVEL, rows=rows), rng.choice(rows.index)
        assert curve.low is not None
        assert curve.high is not None
        # Less the accuracy that these forecasts have: the truth is 0.
        accuracy = world.accuracy[drawn[rows.index == chosen]].mean()
        return float(curve.low[chosen] - accuracy), float(curve.high[chosen] - accuracy), None

    return sample


def paired_outcomes(first: World, second: World, n: int, rng: np.random.Generator) -> tuple[Rows, Any, Any]:
    """The same rows judged by two models that share most of their luck."""
    rows, luck = rng.integers(POPULATION, size=n), rng.random(n)
    other = np.where(rng.random(n) < 0.8, luck, rng.random(n))
    return rows, luck < first.accuracy[rows], other < second.accuracy[rows]


def paired_sample(first: World, second: World, n: int) -> Sample:
    """The paired bracket."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, float | None]:
        rows, right, other = paired_outcomes(first, second, n, rng)
        pair = first.binned(rows, right), second.binned(rows, other)
        if np.array_equal(pair[0].gap, pair[1].gap):  # one file twice, whatever the models: 0 by definition
            return None, None, None
        found = paired_bracket(*pair, level=LEVEL)
        return found.low, found.high, found.p_value

    return sample


def log_score(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """NLL of the top label against nine equal others: heavy-tailed where a confident model errs."""
    certain = np.clip(confidence, 1e-6, 1 - 1e-6)
    return np.where(outcome, -np.log(certain), -np.log((1 - certain) / 9))


def brier(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """Squared error of the binary event."""
    return np.asarray((confidence - outcome) ** 2)


def mean_sample(world: World, n: int, score: Callable[..., Floats], *, weighted: bool = False) -> Sample:
    """The t interval of a mean."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        rows, outcome = draw(world, n, rng)
        weights = rng.gamma(1.0, size=n) if weighted else None
        found = mean_interval(score(world.confidence[rows], outcome), level=LEVEL, weights=weights)
        return found.low, found.high, None

    return sample


def grouped_mean_sample(world: World, n: int, n_groups: int, *, equal: bool, shared: float | None = None) -> Sample:
    """The t interval of a mean of dependent rows."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        sizes = group_sizes(n_groups, n, rng, equal=equal)
        rows, outcome, groups = dependent_sample(world, sizes, rng, shared=shared)
        found = mean_interval(brier(world.confidence[rows], outcome), level=LEVEL, groups=groups)
        return found.low, found.high, None

    return sample


def gap_sample(world: World, n: int) -> Sample:
    """The interval of the gap, mean confidence minus accuracy."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        found = mean_interval(world.binned(*draw(world, n, rng)).gap, level=LEVEL, binary=True)
        return found.low, found.high, None

    return sample


def wilson_sample(world: World, n: int) -> Sample:
    """The Wilson interval of the accuracy."""

    def sample(rng: np.random.Generator) -> tuple[float, float, None]:
        low, high = wilson_interval(float(draw(world, n, rng)[1].mean()), n, level=LEVEL)
        return float(low), float(high), None

    return sample


def paired_t_sample(first: World, second: World, n: int, score: Callable[..., Floats]) -> Sample:
    """The paired t interval of a difference of means."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, float | None]:
        rows, right, other = paired_outcomes(first, second, n, rng)
        ours, theirs = score(first.confidence[rows], right), score(second.confidence[rows], other)
        found = paired_t(ours, theirs, level=LEVEL)
        return found.low, found.high, found.p_value

    return sample
