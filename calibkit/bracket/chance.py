"""What chance alone shows: mean, 95th percentile and p-value. Floor 2."""

from dataclasses import dataclass

import numpy as np

from calibkit._numerics import Floats


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


# Of no rows.
NO_CHANCE = Chance(mean=np.nan, p95=np.nan, p_value=np.nan)


def chance_from(observed: float, null: Floats) -> Chance:
    """Mean, 95th percentile and one-sided p-value from what calibrated models showed, (n_draws,); NaN without rows.

    Examples
    --------
    >>> chance_from(3.0, np.array([1.0, 2.0, 3.0, 4.0])).p_value
    0.6
    """
    if np.isnan(observed) or len(null) == 0:
        return NO_CHANCE
    return Chance(
        mean=float(null.mean()), p95=float(np.quantile(null, 0.95)), p_value=float(p_values_of(observed, null))
    )


def p_values_of(observed: Floats | float, null: Floats) -> Floats:
    """(1 + number of draws at least as large) / (1 + draws), (...); sums that are equal may differ in the last bits.

    Examples
    --------
    >>> p_values_of(np.array([0.5, 3.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    array([1. , 0.6, 0.2])
    """
    reached = len(null) - np.searchsorted(np.sort(null), np.asarray(observed) * (1 - 1e-12))
    return np.asarray((1 + reached) / (1 + len(null)))
