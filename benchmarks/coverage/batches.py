"""Batches of samples, drawn as counts of a world's forecasts: exact at any n, and judged all at once."""

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.cells import LEVEL, NULL_DRAWS, Drawn
from benchmarks.coverage.worlds import POPULATION, Floats, Scores, World
from calibkit.binning import BinTable
from calibkit.bracket.paired import difference_error, paired_ends, sure_share
from calibkit.bracket.parts import Parts, effective_counts, parts_of, table_size
from calibkit.bracket.rms import rms_ends
from calibkit.bracket.single import many_table_ends, table_ends
from calibkit.intervals import with_unseen
from calibkit.resampling import null_errors

Counts = NDArray[np.int64]


def forecast_counts(n: int, rng: np.random.Generator, repetitions: int, size: int = POPULATION) -> Counts:
    """How often each forecast of a population occurs in n independent rows, (repetitions, size)."""
    if n >= 4 * size:
        return rng.multinomial(n, np.full(size, 1 / size), size=repetitions)
    rows = rng.integers(size, size=(repetitions, n)) + size * np.arange(repetitions)[:, None]
    return np.bincount(rows.ravel(), minlength=repetitions * size).reshape(repetitions, size)


def sums_by_bin(values: Floats | Counts, index: NDArray[np.intp], n_bins: int) -> Floats:
    """Sums over the forecasts of each bin, (repetitions, b); the index may differ from sample to sample."""
    if index.ndim == 1:
        return np.asarray(values @ np.eye(n_bins)[index])
    cells = index + n_bins * np.arange(len(index))[:, None]
    sums = np.bincount(cells.ravel(), np.ravel(values), len(index) * n_bins)
    return np.asarray(sums.reshape(len(index), n_bins))


def tables(
    world: World, counts: Counts, hits: Counts, index: NDArray[np.intp] | None = None, n_bins: int | None = None
) -> BinTable:
    """The bin tables of all samples, (repetitions, b)."""
    index = world.index if index is None else index
    n_bins = len(world.edges) - 1 if n_bins is None else n_bins
    weight = np.ones(POPULATION) if world.weight is None else world.weight
    add = partial(sums_by_bin, index=index, n_bins=n_bins)
    return BinTable(
        edges=world.edges,
        count=add(counts).astype(np.int64),
        weight=add(counts * weight),
        weight_squared=add(counts * weight**2),
        confidence_sum=add(counts * (weight * world.confidence)),
        outcome_sum=add(hits * weight),
        weighted=world.weight is not None,
    )


def chance_p_values(table: BinTable, theta: Floats, rng: np.random.Generator) -> Floats:
    """p-value of the chance test of every table."""
    null = null_errors(effective_counts(table), table.weight, table.confidence_sum, rng=rng, n_draws=NULL_DRAWS)
    return np.asarray((1 + np.count_nonzero(null >= theta * (1 - 1e-12), axis=0)) / (1 + NULL_DRAWS))


def judged(table: BinTable, truth: Floats | float, rng: np.random.Generator, *, sized: bool) -> Drawn:
    """The bracket of every table; the chance test is drawn where it can move an end, or where its size is asked."""
    low, high = table_ends(table, level=LEVEL, explained=False)
    asked = np.ones(len(low), dtype=bool) if sized else low > 0
    p_value = np.full(len(low), np.nan)
    if asked.any():
        some = chosen(table, asked)
        p_value[asked] = chance_p_values(some, parts_of(some).theta, rng)
    low, high = table_ends(table, level=LEVEL, explained=p_value > (1 - LEVEL) / 2)
    return Drawn(low=low, high=high, truth=truth, p_value=p_value if sized else None)


def chosen(table: BinTable, which: NDArray[np.bool_]) -> BinTable:
    """Some of the tables."""
    names = ("count", "weight", "weight_squared", "confidence_sum", "outcome_sum")
    return BinTable(edges=table.edges, weighted=table.weighted, **{name: getattr(table, name)[which] for name in names})


def rms_p_values(table: BinTable, rng: np.random.Generator) -> Floats:
    """p-value of the chance test of the root mean square error of every table."""
    rows, weight = np.rint(effective_counts(table)).astype(np.int64), np.where(table.count > 0, table.weight, 1.0)
    said, share = np.clip(table.confidence_sum / weight, 0, 1), table.weight / table.weight.sum(axis=-1, keepdims=True)
    seen = (share * (said - table.outcome_sum / weight) ** 2).sum(axis=-1)
    drawn = rng.binomial(rows, said, size=(NULL_DRAWS, *rows.shape)) / np.maximum(rows, 1)
    null = (share * (drawn - said) ** 2).sum(axis=-1)
    return np.asarray((1 + np.count_nonzero(null >= seen * (1 - 1e-12), axis=0)) / (1 + NULL_DRAWS))


def rms_judged(table: BinTable, truth: Floats | float, rng: np.random.Generator, *, sized: bool) -> Drawn:
    """The interval of the root mean square error of every table, as `judged` that of ECE."""
    low, high = rms_ends(table, level=LEVEL, explained=False)
    asked = np.ones(len(low), dtype=bool) if sized else low > 0
    p_value = np.full(len(low), np.nan)
    if asked.any():
        p_value[asked] = rms_p_values(chosen(table, asked), rng)
    low, high = rms_ends(table, level=LEVEL, explained=p_value > (1 - LEVEL) / 2)
    return Drawn(low=low, high=high, truth=truth, p_value=p_value if sized else None)


def bracket(world: World, n: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The bracket interval, and of a calibrated world the p-value of the chance test."""
    counts = forecast_counts(n, rng, repetitions)
    hits = rng.binomial(counts, world.accuracy)
    return judged(tables(world, counts, hits), world.error, rng, sized=world.error < 1e-9)


def rms(world: World, n: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The same for the root mean square error."""
    counts = forecast_counts(n, rng, repetitions)
    hits = rng.binomial(counts, world.accuracy)
    return rms_judged(tables(world, counts, hits), world.rms, rng, sized=world.error < 1e-9)


def quantile_bracket(world: World, n: int, n_bins: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The bracket over the sample's own quantile bins; the truth is the error over those."""
    table, _, gap = quantile_tables(world, n, n_bins, rng, repetitions)
    return judged(table, np.abs(gap).sum(axis=1), rng, sized=world.error < 1e-9)


def quantile_rms(world: World, n: int, n_bins: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The same for the root mean square error."""
    table, share, gap = quantile_tables(world, n, n_bins, rng, repetitions)
    square = np.divide(gap**2, share, out=np.zeros(gap.shape), where=share > 0)
    return rms_judged(table, np.sqrt(square.sum(axis=1)), rng, sized=world.error < 1e-9)


def quantile_tables(
    world: World, n: int, n_bins: int, rng: np.random.Generator, repetitions: int
) -> tuple[BinTable, Floats, Floats]:
    """Tables over the samples' own quantile bins; and of each of these bins the true share and gap."""
    counts = forecast_counts(n, rng, repetitions)
    hits = rng.binomial(counts, world.accuracy)
    index = quantile_index(counts, n_bins)
    share = np.broadcast_to(world.shares, counts.shape)
    gap = share * (world.confidence - world.accuracy)
    table = tables(world, counts, hits, index, n_bins)
    return table, *(sums_by_bin(values, index, n_bins) for values in (share, gap))


def quantile_index(counts: Counts, n_bins: int) -> NDArray[np.intp]:
    """Each forecast's quantile bin in each sample: how many upper ends, of rank ceil(j n / b), lie below it."""
    reached = counts.cumsum(axis=1)
    index = np.zeros(counts.shape, dtype=np.intp)
    for j in range(1, n_bins):
        rank = -(-j * reached[:, -1:] // n_bins)
        # Forecast i lies above the end if the end's rank was reached before it.
        index += np.concatenate([np.zeros((len(counts), 1), bool), reached[:, :-1] >= rank], axis=1)
    return index


def paired(first: World, second: World, n: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The paired bracket of two models on the same rows, which share most of their luck."""
    counts = forecast_counts(n, rng, repetitions)
    both = 0.8 * np.minimum(first.accuracy, second.accuracy) + 0.2 * first.accuracy * second.accuracy
    right, tried = np.zeros((4, *counts.shape), dtype=np.int64), np.zeros(POPULATION)
    left = counts
    # Outcomes of a pair: both right, the first alone, the second alone, neither.
    for which, share in enumerate((both, first.accuracy - both, second.accuracy - both)):
        rest = 1 - tried
        chance = np.divide(share, rest, out=np.zeros(POPULATION), where=rest > 1e-12)
        right[which] = rng.binomial(left, np.clip(chance, 0, 1))
        left, tried = left - right[which], tried + share
    right[3] = left
    return paired_drawn(first, second, n, right)


def recalibrated(first: World, second: World, n: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The paired bracket of a model and its recalibration, whose outcomes are the same."""
    counts = forecast_counts(n, rng, repetitions)
    right = np.zeros((4, *counts.shape), dtype=np.int64)
    right[0] = rng.binomial(counts, first.accuracy)
    right[3] = counts - right[0]
    return paired_drawn(first, second, n, right)


def unpaired(first: World, second: World, n: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The bracket of the difference between two models on different rows, n and n/2 of them."""
    parts, errors = [], []
    for world, size in ((first, n), (second, n // 2)):
        counts = forecast_counts(size, rng, repetitions)
        parts.append(parts_of(tables(world, counts, rng.binomial(counts, world.accuracy))))
        errors.append(with_unseen(parts[-1].se, size))
    se = np.asarray(np.hypot(*errors))
    low, high, p_value = paired_ends(parts[0], parts[1], se=se, level=LEVEL)
    return Drawn(low=low, high=high, truth=first.error - second.error, p_value=p_value)


def paired_drawn(first: World, second: World, n: int, right: Counts) -> Drawn:
    """Paired brackets, from how often each forecast has each pair of outcomes, (4, repetitions, forecasts)."""
    counts = right.sum(axis=0)
    ours, theirs = (parts_of(tables(world, counts, right[0] + right[own])) for world, own in ((first, 1), (second, 2)))
    weight = np.ones(POPULATION) if first.weight is None else first.weight
    rho, moved = row_correlation(first, second, ours, theirs, right, weight)
    size = n if first.weight is None else table_size(tables(first, counts, right[0]))
    se = with_unseen(difference_error(ours, theirs, rho), size)
    low, high, p_value = paired_ends(ours, theirs, se=se, level=LEVEL)
    # Two models that agree on every row are one file twice: 0 by definition.
    low, high, p_value = (np.where(moved, values, np.nan) for values in (low, high, p_value))
    return Drawn(low=low, high=high, truth=first.error - second.error, p_value=p_value)


def row_correlation(
    first: World, second: World, ours: Parts, theirs: Parts, right: Counts, weight: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """What two models' errors share, from counts of rows instead of rows; and whether they differ in any row."""
    shape = right.shape[1:]

    def of_forecasts(values: Floats, world: World) -> Floats:
        return np.take_along_axis(values, np.broadcast_to(world.index, shape), axis=1)

    signs = of_forecasts(np.sign(ours.gap), first), of_forecasts(np.sign(theirs.gap), second)
    sure = sure_share(of_forecasts(ours.sure_sign, first), of_forecasts(theirs.sure_sign, second))
    moved, products, squares, others = (np.zeros(shape[0], dtype=kind) for kind in (bool, float, float, float))
    for count, (hit, other) in zip(right, ((1, 1), (1, 0), (0, 1), (0, 0)), strict=True):
        gaps = first.confidence - hit, second.confidence - other
        a, b = (
            weight * (sign * gap - parts.theta[:, None])
            for sign, gap, parts in zip(signs, gaps, (ours, theirs), strict=True)
        )
        moved |= (count * (gaps[0] != gaps[1])).any(axis=1)
        products += (count * sure * a * b).sum(axis=1)
        squares += (count * a * a).sum(axis=1)
        others += (count * b * b).sum(axis=1)
    scale = np.sqrt(squares * others)
    return np.clip(np.divide(products, scale, out=np.zeros(len(scale)), where=scale > 0), -1, 1), moved


def many_pairs(
    scores: Scores, n: int, view: Literal["classwise", "flattened"], rng: np.random.Generator, repetitions: int
) -> Drawn:
    """The bracket of the views that hold k pairs a row."""
    low, high = np.empty(repetitions), np.empty(repetitions)
    size, k = scores.probs.shape
    cells = scores.cells(view)
    n_cells = (len(scores.edges) - 1) * (k if view == "classwise" else 1)
    for start in range(0, repetitions, 50):
        some = slice(start, min(start + 50, repetitions))
        counts = forecast_counts(n, rng, some.stop - start, size)
        labels = rng.multinomial(counts, scores.truth).reshape(len(counts), -1)
        count, expected, happened = (
            np.stack([np.bincount(cells.ravel(), row, n_cells) for row in rows])
            for rows in (
                np.repeat(counts, k, axis=1),
                np.repeat(counts, k, axis=1) * scores.probs.ravel(),
                labels,
            )
        )
        n_tables = k if view == "classwise" else 1
        each = [
            BinTable(
                edges=scores.edges,
                count=part[0].astype(np.int64),
                weight=part[0],
                weight_squared=part[0],
                confidence_sum=part[1],
                outcome_sum=part[2],
            )
            for part in zip(*(np.split(x, n_tables, axis=1) for x in (count, expected, happened)), strict=True)
        ]
        low[some], high[some] = many_table_ends(each, n, pairs_per_row=k // n_tables, level=LEVEL)
    return Drawn(low=low, high=high, truth=scores.error(view))
