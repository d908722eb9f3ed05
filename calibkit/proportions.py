"""Intervals of fractions: of independent rows, and of few units that may show no miss by luck alone. Floor 2."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.intervals import normal_quantile


def wilson_interval(
    proportion: float | Floats, n: float | NDArray[Any], *, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of a fraction; inside [0, 1], and of positive width at fractions 0 and 1 too.

    Parameters
    ----------
    proportion : float or ndarray
        Observed fraction.
    n : float or ndarray
        Number of rows, or an effective number of them.
    level : float
        Coverage to aim at, such as 0.95.

    Returns
    -------
    low, high : ndarray
        NaN where `n` is 0.

    References
    ----------
    Wilson 1927, "Probable inference, the law of succession, and statistical inference", p. 210.
    Brown, Cai, DasGupta 2001, "Interval estimation for a binomial proportion", eq. 4.

    Examples
    --------
    >>> low, high = wilson_interval(0.75, 20, level=0.95)
    >>> round(float(low), 4), round(float(high), 4)
    (0.5313, 0.8881)
    """
    z2 = normal_quantile(level) ** 2
    share = np.asarray(proportion, dtype=np.float64)
    size = np.where(np.asarray(n) > 0, n, np.nan).astype(np.float64)
    centre = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = np.sqrt(z2) * np.sqrt(share * (1 - share) / size + z2 / (4 * size**2)) / (1 + z2 / size)
    # At fraction 0 and 1 the end is exactly 0 and 1, whatever the rounding.
    low = np.where(share == 0, 0.0 * size, np.maximum(centre - half, 0.0))
    return low, np.where(share == 1, 1.0 + 0.0 * size, np.minimum(centre + half, 1.0))


def exact_interval(
    proportion: float | Floats, n: float | NDArray[Any], *, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval of Clopper and Pearson of a fraction: it covers at least as often as it says, at any fraction.

    Parameters
    ----------
    proportion : float or ndarray
        Observed fraction.
    n : float or ndarray
        Number of rows, or an effective number of them, whole or not.
    level : float
        Coverage to aim at, such as 0.95.

    Returns
    -------
    low, high : ndarray
        NaN where `n` is 0.

    Notes
    -----
    The ends are quantiles of Beta(x, n - x + 1) and Beta(x + 1, n - x), x = n times the fraction; 0 and 1 where x is 0
    and n. For ten units that are right in 99 % Wilson's interval covers 90 %, this one 99.6 %.

    References
    ----------
    Clopper, Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".
    Korn, Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data" (with an effective number of rows).

    Examples
    --------
    >>> low, high = exact_interval(0.9, 10, level=0.95)
    >>> round(float(low), 4), round(float(high), 4)
    (0.555, 0.9975)
    """
    from scipy.special import betaincinv

    share = np.asarray(proportion, dtype=np.float64)
    size = np.where(np.asarray(n) > 0, n, np.nan).astype(np.float64)
    some, rest = size * share, size * (1 - share)
    tail = (1 - level) / 2
    low = np.where(share == 0, 0.0 * size, betaincinv(some, rest + 1, tail))
    return low, np.where(share == 1, 1.0 + 0.0 * size, betaincinv(some + 1, rest, 1 - tail))
