"""One sample at a time, where rows matter: means, fractions, and rows that depend on each other."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.cells import LEVEL, NULL_DRAWS, Drawn
from benchmarks.coverage.worlds import POPULATION, Floats, Rows, Score, Scores, World, dependent_sample, group_sizes
from calibkit.binning import Binning
from calibkit.bracket import (
    bracket_interval,
    many_pairs_ends,
    paired_bracket,
    too_rare,
)
from calibkit.calibration_error import curve_of
from calibkit.class_tables import ClassBins
from calibkit.intervals import MeanInterval, PairedEstimate, mean_interval, paired_t
from calibkit.predictions import Predictions
from calibkit.proportions import wilson_interval
from calibkit.resampling import chance_of_groups, chance_of_pairs, few_expected
from calibkit.sampled_rows import SampledRows
from calibkit.state import CalibrationState

# (low, high, p-value); None where a sample has no interval.
Ends = tuple[float | None, float | None, float | None]
# Draws and judges one sample.
Sample = Callable[..., Ends]
# Draws the rows, outcomes and groups of a sample.
Design = Callable[[World, np.random.Generator], tuple[Rows, NDArray[np.bool_], Rows | None]]


def repeated(
    sample: Callable[[np.random.Generator], Ends], truth: float, rng: np.random.Generator, repetitions: int
) -> Drawn:
    """Many samples."""
    ends = np.array([sample(rng) for _ in range(repetitions)], dtype=np.float64)
    return Drawn(low=ends[:, 0], high=ends[:, 1], truth=truth, p_value=ends[:, 2])


def ends(found: MeanInterval | PairedEstimate) -> Ends:
    """What a cell counts."""
    return found.low, found.high, getattr(found, "p_value", None)


def independent(n: int, world: World, rng: np.random.Generator) -> tuple[Rows, NDArray[np.bool_], None]:
    """Rows and outcomes without groups."""
    rows = rng.integers(POPULATION, size=n)
    return rows, rng.random(n) < world.accuracy[rows], None


def in_groups(
    n: int, n_groups: int, sizes: str, shared: float | None, world: World, rng: np.random.Generator
) -> tuple[Rows, NDArray[np.bool_], Rows]:
    """Rows, outcomes and groups of dependent rows."""
    return dependent_sample(world, group_sizes(n_groups, n, rng, equal=sizes == "equal"), rng, shared=shared)


def log_score(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """NLL of the top label against nine equal others: heavy-tailed where a confident model errs."""
    certain = np.clip(confidence, 1e-6, 1 - 1e-6)
    return np.where(outcome, -np.log(certain), -np.log((1 - certain) / 9))


def brier(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """Squared error of the binary event."""
    return np.asarray((confidence - outcome) ** 2)


def gap(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """Forecast minus outcome."""
    return np.asarray(confidence - outcome)


def bracket(rng: np.random.Generator, *, design: Design, world: World) -> Ends:
    """The bracket interval of dependent rows, and the p-value of their chance level where one is shown."""
    rows = world.binned(*design(world, rng))
    null = chance_of_groups(rows.present(), rng=rng, n_draws=NULL_DRAWS)
    low, high, _ = bracket_interval(rows, level=LEVEL, chance=null)
    return low, high, null.p_value if few_expected(rows.present()) is None else None


def whisker(rng: np.random.Generator, *, design: Design, world: World) -> Ends:
    """The interval of one bin of the reliability curve, of a bin drawn at random by its rows; the truth is 0."""
    drawn, outcome, groups = design(world, rng)
    rows = world.binned(drawn, outcome, groups)
    curve, chosen = curve_of(rows.table, "top-label", level=LEVEL, rows=rows), rng.choice(rows.index)
    assert curve.low is not None
    assert curve.high is not None
    # Less the accuracy that these forecasts have.
    accuracy = world.accuracy[drawn[rows.index == chosen]].mean()
    return float(curve.low[chosen] - accuracy), float(curve.high[chosen] - accuracy), None


def mean(rng: np.random.Generator, *, design: Design, world: World, score: Score) -> Ends:
    """The interval of a mean; of dependent rows only where `evaluate` prints one."""
    rows, outcome, groups = design(world, rng)
    binned = world.binned(rows, outcome, groups)
    if too_rare(binned.table, binned.units()) is not None:
        return None, None, None
    values = score(world.confidence[rows], outcome)
    return ends(mean_interval(values, level=LEVEL, weights=binned.weights, groups=groups, binary=score is gap))


def many_pairs(
    rng: np.random.Generator, *, n: int, scores: Scores, view: Literal["classwise", "flattened"], most: int
) -> Ends:
    """The bracket interval of k pairs a row and the p-value of their chance level, from `most` rows of a sample."""
    vectors = rng.integers(len(scores.probs), size=n)
    probs, truth = scores.probs[vectors], scores.truth[vectors]
    labels = (truth.cumsum(axis=1) > rng.random((n, 1)) * truth.sum(axis=1, keepdims=True)).argmax(axis=1)
    k, binning = probs.shape[1], Binning(n_bins=len(scores.edges) - 1)
    sample, classes = SampledRows(n, k, most=most), ClassBins(labels, k, binning)
    sample.visit(0, probs)
    classes.visit(0, probs.copy())
    tables = classes.tables() if view == "classwise" else (classes.merged(),)
    null = chance_of_pairs(sample, tables, binning, rng=rng, n_draws=NULL_DRAWS)
    low, high, _ = many_pairs_ends(tables, n, pairs_per_row=k // len(tables), level=LEVEL, chance=null)
    return low, high, null.p_value


def many_pairs_of_state(
    rng: np.random.Generator, *, n: int, scores: Scores, view: Literal["classwise", "flattened"]
) -> Ends:
    """The same from a state, of calibrated rows that all differ: of many it keeps a sample."""
    probs = scores.probs[rng.integers(len(scores.probs), size=n)] ** rng.uniform(0.8, 1.25, (n, 1))
    probs /= probs.sum(axis=1, keepdims=True)
    labels = (probs.cumsum(axis=1) > rng.random((n, 1)) * probs.sum(axis=1, keepdims=True)).argmax(axis=1)
    state = CalibrationState(view=view, n_bins=len(scores.edges) - 1)
    state.update(Predictions.from_probs(labels, probs), threads=1)
    found = state.evaluation(confidence_level=LEVEL, rng=int(rng.integers(1 << 31)))
    assert found.chance is not None
    return found["ece"].low, found["ece"].high, found.chance.p_value


def fraction(rng: np.random.Generator, *, design: Design, world: World) -> Ends:
    """The Wilson interval of the accuracy."""
    _, outcome, _ = design(world, rng)
    low, high = wilson_interval(float(outcome.mean()), len(outcome), level=LEVEL)
    return float(low), float(high), None


def second_outcome(first: World, second: World, drawn: tuple[Any, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Outcomes of a second model on the rows of the first, which shares most of its luck."""
    rows, outcome, _ = drawn
    p, q = first.accuracy[rows], second.accuracy[rows]
    # The first model's luck given its outcome: uniform below p, or above it.
    luck = np.where(outcome, p * rng.random(len(rows)), p + (1 - p) * rng.random(len(rows)))
    return np.asarray(np.where(rng.random(len(rows)) < 0.8, luck, rng.random(len(rows))) < q)


def paired_mean(rng: np.random.Generator, *, design: Design, first: World, second: World, score: Score) -> Ends:
    """The paired interval of a difference of means; of dependent rows only where `compare` prints one."""
    drawn = design(first, rng)
    rows, outcome, groups = drawn
    other = second_outcome(first, second, drawn, rng)
    pair = first.binned(rows, outcome, groups), second.binned(rows, other, groups)
    if any(too_rare(binned.table, binned.units()) is not None for binned in pair):
        return None, None, None
    ours, theirs = score(first.confidence[rows], outcome), score(second.confidence[rows], other)
    return ends(paired_t(ours, theirs, level=LEVEL, weights=pair[0].weights, groups=groups))


def paired(rng: np.random.Generator, *, design: Design, first: World, second: World) -> Ends:
    """The paired bracket of dependent rows."""
    drawn = design(first, rng)
    rows, outcome, groups = drawn
    other = second_outcome(first, second, drawn, rng)
    return ends(paired_bracket(first.binned(rows, outcome, groups), second.binned(rows, other, groups), level=LEVEL))
