"""Outcomes of calibrated models, drawn by forecast, by cell of neighbours or by row. Floor 2."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from calibkit._numerics import Floats, Integers
from calibkit.pairs import Pairs, TiedPairs

CELLS = 2048
# Floats in memory at once, and draws.
_STEP, _MOST_DRAWS = 1 << 17, 1 << 10


def merge_neighbours(tied: TiedPairs, cells: int = CELLS) -> TiedPairs:
    """Put more than twice as many distinct forecasts into cells of about equal weight, each at its mean.

    Forecasts of 0 and of 1 stay apart: there a calibrated model has no chance.

    Examples
    --------
    >>> from calibkit.pairs import pool_ties, read_pairs
    >>> tied = pool_ties(read_pairs([0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8, 1.0]))
    >>> merge_neighbours(tied, cells=2).forecast.round(9)
    array([0.2, 0.7, 1. ])
    """
    if len(tied.forecast) <= 2 * cells:
        return tied
    centre = np.cumsum(tied.weight) - tied.weight / 2
    cell = 1 + np.minimum(centre / tied.weight.sum() * cells, cells - 1).astype(np.int64)
    cell[tied.forecast == 0] = 0
    cell[tied.forecast == 1] = cells + 1
    return pool_cells(tied, cell)


def pool_cells(tied: TiedPairs, cell: Integers) -> TiedPairs:
    """Forecasts of one cell together, at their mean; cells are at least 0 and do not decrease with the forecast.

    Examples
    --------
    >>> from calibkit.pairs import pool_ties, read_pairs
    >>> tied = pool_ties(read_pairs([0, 1, 1], [0.25, 0.75, 1.0]))
    >>> pool_cells(tied, np.array([3, 3, 7])).forecast
    array([0.5, 1. ])
    """
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    weight = np.add.reduceat(tied.weight, first)
    return TiedPairs(
        forecast=np.clip(np.add.reduceat(tied.weight * tied.forecast, first) / weight, 0.0, 1.0),
        weight=weight,
        weight_squared=np.add.reduceat(tied.weight_squared, first),
        happened=np.add.reduceat(tied.happened, first),
    )


def calibrated_outcomes(tied: TiedPairs, *, n_draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weight of the rows that happen at each of m forecasts if these are calibrated: arrays of shape (draws, m).

    Notes
    -----
    Of a forecast's rows Binomial(N, forecast) / N of the weight happen, N = (sum w)^2 / sum w^2: the number of rows
    where they have equal weights, else one of the two whole numbers around it, so often that mean and variance are
    those of the weighted sum. Forecasts are kept, where Bröcker and Smith 2007 and Dimitriadis et al. 2021 draw them
    too: the
    question is about *these* confidences.
    """
    rows = tied.weight**2 / tied.weight_squared
    whole = np.maximum(1, np.floor(rows * (1 + 1e-9)))
    # (1 - q) / N + q / (N + 1) = 1 / rows
    larger = np.clip((1 / whole - 1 / rows) * whole * (whole + 1), 0.0, 1.0)
    larger[rows < whole * (1 + 1e-9)] = 0.0
    step = max(1, min(_MOST_DRAWS, _STEP // len(rows)))
    for start in range(0, n_draws, step):
        draws = min(step, n_draws - start)
        if whole.max() == 1 and not larger.any():
            yield np.where(rng.random((draws, len(rows))) < tied.forecast, tied.weight, 0.0)
        else:
            yield _binomial(tied, whole, larger, draws, rng)


def calibrated_rows(pairs: Pairs, *, n_draws: int, rng: np.random.Generator) -> Iterator[Pairs]:
    """The same rows with outcomes drawn for each: for statistics that see more than sums at each forecast.

    Examples
    --------
    >>> from calibkit.pairs import read_pairs
    >>> drawn = calibrated_rows(read_pairs([0, 1], [0.0, 1.0]), n_draws=3, rng=np.random.default_rng(0))
    >>> [pairs.outcome.tolist() for pairs in drawn]
    [[False, True], [False, True], [False, True]]
    """
    return (replace(pairs, outcome=rng.random(len(pairs)) < pairs.forecast) for _ in range(n_draws))


def _binomial(tied: TiedPairs, whole: Floats, larger: Floats, draws: int, rng: np.random.Generator) -> Floats:
    trials = np.broadcast_to(whole[:, None], (len(whole), 1))
    if larger.any():
        trials = trials + (rng.random((len(whole), draws)) < larger[:, None])
    # Draws of one forecast in a row: where they have as many trials, the generator prepares each binomial once.
    drawn = rng.binomial(trials.astype(np.int64), tied.forecast[:, None], size=(len(whole), draws))
    # A sum of all rows is their weight, whatever the division rounds.
    weight = tied.weight[:, None]
    return np.ascontiguousarray(np.where(drawn == trials, weight, drawn * (weight / trials)).T)
