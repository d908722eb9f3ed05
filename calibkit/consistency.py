"""What a calibrated model with the same forecasts would show: consistency resampling without bins. Floor 2."""

from collections.abc import Iterator

import numpy as np

from calibkit._numerics import Floats, sums_by
from calibkit.bracket import Chance
from calibkit.pairs import TiedPairs

CELLS = 8192
# Floats in memory at once.
_STEP = 1 << 22


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
    _, cell = np.unique(cell, return_inverse=True)
    n_cells = int(cell[-1]) + 1
    weight = sums_by(cell, tied.weight, n_cells)
    return TiedPairs(
        forecast=np.clip(sums_by(cell, tied.weight * tied.forecast, n_cells) / weight, 0.0, 1.0),
        weight=weight,
        weight_squared=sums_by(cell, tied.weight_squared, n_cells),
        happened=sums_by(cell, tied.happened, n_cells),
    )


def calibrated_outcomes(tied: TiedPairs, *, n_draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weight of the rows that happen at each of m forecasts if these are calibrated: arrays of shape (draws, m).

    Notes
    -----
    Of a forecast's rows, Binomial(N, forecast) happen, N = (sum w)^2 / sum w^2 rounded: the number of rows where they
    have equal weights. Forecasts are kept, where Bröcker and Smith 2007 and Dimitriadis et al. 2021 draw them too: the
    question is about *these* confidences.
    """
    trials = np.maximum(1, np.rint(tied.weight**2 / tied.weight_squared)).astype(np.int64)
    step = max(1, _STEP // len(trials))
    for start in range(0, n_draws, step):
        draws = min(step, n_draws - start)
        if trials.max() == 1:
            yield np.where(rng.random((draws, len(trials))) < tied.forecast, tied.weight, 0.0)
        else:
            # Draws of one forecast in a row: the generator prepares each binomial once.
            drawn = rng.binomial(trials[:, None], tied.forecast[:, None], size=(len(trials), draws)).T
            # A sum of all rows is their weight, whatever the division rounds.
            yield np.ascontiguousarray(np.where(drawn == trials, tied.weight, drawn * (tied.weight / trials)))


def chance_from(observed: float, null: Floats) -> Chance:
    """Mean, 95th percentile and one-sided p-value from draws of a calibrated model; NaN without rows.

    Examples
    --------
    >>> chance_from(3.0, np.array([1.0, 2.0, 3.0, 4.0])).p_value
    0.6
    """
    if np.isnan(observed) or len(null) == 0:
        return Chance(mean=np.nan, p95=np.nan, p_value=np.nan)
    return Chance(mean=float(null.mean()), p95=float(np.quantile(null, 0.95)), p_value=p_value_of(observed, null))


def p_value_of(observed: float, null: Floats) -> float:
    """(1 + number of draws at least as large) / (1 + draws); sums that are equal may differ in the last bits."""
    return (1 + int(np.count_nonzero(null >= observed * (1 - 1e-12)))) / (1 + len(null))
