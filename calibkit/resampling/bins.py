"""Calibrated models of a bin table, drawn bin by bin: what chance alone does to an ECE. Floor 2."""

import numpy as np

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.bracket import NO_CHANCE, Chance, chance_from, effective_counts

# Null draws per step: bounds the memory that many bins take.
_STEP = 1 << 20


def chance(table: BinTable, *, rng: np.random.Generator, n_draws: int = 2000) -> Chance:
    """ECE that a calibrated model with these confidences would show: consistency resampling of the bin table.

    For independent rows: where rows of one group are dependent, a calibrated model shows more (see
    `chance_of_groups`), and this test would reject it far too often. Never to be subtracted from an ECE: where the
    model is miscalibrated, the bias is far smaller than this.

    Parameters
    ----------
    table : BinTable
        Of independent rows.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int, default 2000
        Number of calibrated models drawn.

    Returns
    -------
    Chance
        NaN for a table without rows.

    Notes
    -----
    Outcome sums are drawn as Binomial(N_b, C_b / N_b) for the N_b rows and confidence sum C_b of each bin; the p-value
    is (1 + number of draws at least as large) / (1 + n_draws). Of weighted rows, N_b is Kish's effective number of
    them, rounded, and the rate drawn counts with the weight of the bin.

    References
    ----------
    Bröcker, Smith 2007, "Increasing the reliability of reliability diagrams", section 3.
    Vaicenavicius et al. 2019, "Evaluating model calibration in classification", section 5.

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 2, Binning())
    >>> null = chance(table, rng=np.random.default_rng(0))
    >>> 0.01 < null.mean < 0.015, null.p_value < 0.001
    (True, True)
    """
    filled = table.count > 0
    if not filled.any():
        return NO_CHANCE
    weight, expected = table.weight[filled], table.confidence_sum[filled]
    null = null_errors(effective_counts(table)[filled], weight, expected, rng=rng, n_draws=n_draws)
    observed = np.abs(expected - table.outcome_sum[filled]).sum() / weight.sum()
    return chance_from(float(observed), null)


def null_errors(size: Floats, weight: Floats, expected: Floats, *, rng: np.random.Generator, n_draws: int) -> Floats:
    """ECE of calibrated models, (n_draws, ...), from effective rows, weights and confidence sums of bins (..., b)."""
    count = np.rint(size).astype(np.int64)
    rate = np.clip(expected / np.where(weight > 0, weight, 1.0), 0.0, 1.0)
    scale = np.where(count > 0, weight / np.maximum(count, 1), 0.0)
    null = np.empty((n_draws, *np.shape(size)[:-1]))
    step = max(1, _STEP // max(np.size(size), 1))
    for start in range(0, n_draws, step):
        shape = (min(step, n_draws - start), *np.shape(size))
        null[start : start + step] = np.abs(scale * rng.binomial(count, rate, size=shape) - expected).sum(axis=-1)
    total: Floats = np.sum(weight, axis=-1)
    return null / total
