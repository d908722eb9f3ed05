"""What chance alone does to an ECE. Floor 2."""

from dataclasses import dataclass

import numpy as np

from calibkit.binning import BinTable

# Null draws per step: bounds the memory that many bins take.
_STEP = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What a calibrated model with the same confidences would show, by chance alone.

    Attributes
    ----------
    mean : float
        Its ECE on average.
    p95 : float
        95th percentile of its ECE.
    p_value : float
        One-sided: how often its ECE is at least the one observed.

    Examples
    --------
    >>> Chance(mean=0.009, p95=0.013, p_value=0.11).p95
    0.013
    """

    mean: float
    p95: float
    p_value: float


def chance(table: BinTable, *, rng: np.random.Generator, n_draws: int = 2000) -> Chance:
    """ECE that a calibrated model with these confidences would show: consistency resampling of the bin table.

    For independent rows: where rows of one group are dependent, a calibrated model shows more, and the test would
    reject it far too often. Never to be subtracted from an ECE: where the model is miscalibrated, the bias is far
    smaller than this.

    Parameters
    ----------
    table : BinTable
        Of unweighted, independent rows.
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
    is (1 + number of draws at least as large) / (1 + n_draws). Its size at level 5 % is 5.0 to 5.5 %.

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
    assert not table.weighted  # who calls it asks first
    filled = table.count > 0
    if not filled.any():
        return Chance(mean=np.nan, p95=np.nan, p_value=np.nan)
    count, expected = table.count[filled], table.confidence_sum[filled]
    rate = np.clip(expected / count, 0.0, 1.0)
    null = np.empty(n_draws)
    step = max(1, _STEP // len(count))
    for start in range(0, n_draws, step):
        size = (min(step, n_draws - start), len(count))
        null[start : start + step] = np.abs(rng.binomial(count, rate, size=size) - expected).sum(axis=1)
    null /= count.sum()
    observed = np.abs(expected - table.outcome_sum[filled]).sum() / count.sum()
    # Sums that are equal as real numbers may differ in the last bits.
    reached = int(np.count_nonzero(null >= observed * (1 - 1e-12)))
    return Chance(mean=float(null.mean()), p95=float(np.quantile(null, 0.95)), p_value=(1 + reached) / (1 + n_draws))
