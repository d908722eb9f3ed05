"""Spiegelhalter's z: is the Brier score what the forecasts expect? Floor 2."""

import numpy as np
from numpy.typing import ArrayLike

from calibkit.goodness_of_fit.result import TestResult, gaps, in_sigmas, nothing, variance
from calibkit.pairs import Pairs, PairView, pool_ties, read_pairs

_CAUTION = "errors that cancel in the Brier score are not seen: read it beside ECCE"


def spiegelhalter_test(
    labels: ArrayLike, probs: ArrayLike, *, view: PairView | None = None, weights: ArrayLike | None = None
) -> TestResult:
    """Spiegelhalter's test of calibration: whether the Brier score is what the forecasts themselves expect.

    Two-sided; positive where the Brier score is worse than expected. Never read it alone: errors that cancel in one
    weighted sum are not seen, however large (p uniform and y true with probability p^2 passes for any number of rows);
    `cumulative_difference_test` sees them.

    Parameters
    ----------
    labels, probs, view, weights
        As in `cumulative_difference_test`.

    Returns
    -------
    TestResult
        The statistic is Brier score minus expected Brier score, and statistic_over_sigma Spiegelhalter's z. NaN
        without rows. Where every forecast is 0, 1/2 or 1 there is no chance: z is 0 and p 1 if the Brier score is as
        expected, else z is infinite and p 0.

    Raises
    ------
    DataError, LabelError, ShapeError, OptionError
        As `cumulative_difference_test`.

    Notes
    -----
    z = sum_i w_i (y_i - p_i)(1 - 2 p_i) / sqrt(sum_i w_i^2 (1 - 2 p_i)^2 p_i (1 - p_i)), and p = 2 Phi(-|z|).

    References
    ----------
    Spiegelhalter 1986, "Probabilistic prediction in patient management and clinical trials".

    Examples
    --------
    The Brier score is (.04 + .16 + .16 + .04) / 4, expected is (.16 + .24 + .24 + .16) / 4:

    >>> from calibkit import spiegelhalter_test
    >>> result = spiegelhalter_test([0, 0, 1, 1], [0.2, 0.4, 0.6, 0.8])
    >>> round(result.statistic, 4), round(result.statistic_over_sigma, 4)
    (-0.1, -1.0911)
    """
    return spiegelhalter(read_pairs(labels, probs, view=view, weights=weights))


def spiegelhalter(pairs: Pairs) -> TestResult:
    """Test pairs by their Brier score."""
    from scipy.special import ndtr

    tied = pool_ties(pairs)
    if len(tied.weight) == 0:
        return nothing()
    lever = 1 - 2 * tied.forecast
    total = tied.weight.sum()
    value = float(np.sum(lever * gaps(tied)) / total)
    z = in_sigmas(value, np.sqrt(np.sum(tied.weight_squared * lever**2 * variance(tied.forecast))) / total)
    return TestResult(statistic=value, statistic_over_sigma=z, p_value=float(2 * ndtr(-abs(z))), caution=_CAUTION)
