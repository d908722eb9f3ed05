"""Cumulative differences of outcome and forecast: ECCE-R and ECCE-MAD, the Kuiper and the KS statistic. Floor 2."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_choice
from calibkit._numerics import Floats
from calibkit.goodness_of_fit.result import TestResult, gaps, in_sigmas, nothing, variance
from calibkit.pairs import Pairs, PairView, TiedPairs, pool_ties, read_pairs

Statistic = Literal["ecce_r", "ecce_mad"]
STATISTICS: tuple[Statistic, ...] = ("ecce_r", "ecce_mad")
# Further out than 40 a normal tail is 0 in float64; within .12 Brownian motion stays with a probability below 1e-30.
_FAR, _NEAR = 40.0, 0.12


def cumulative_difference_test(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    statistic: Statistic = "ecce_r",
    view: PairView | None = None,
    weights: ArrayLike | None = None,
) -> TestResult:
    """Test of calibration by cumulative differences of outcome and forecast: no bins, no bandwidth (ECCE).

    The statistic is in [0, 1], 0 is best; p is small where the forecasts are not calibrated.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    statistic : {"ecce_r", "ecce_mad"}, default "ecce_r"
        Range of the cumulative differences, or their largest absolute value: the Kuiper and the Kolmogorov-Smirnov
        statistic; the latter is the KS calibration error of Gupta et al. 2021.
    view : {"top-label", "positive"}, optional
        Which forecast and outcome; by default "positive" for 1-D probabilities, else "top-label".
    weights : array_like of shape (n,), optional
        Row weights. They change what is averaged, not how many independent rows there are.

    Returns
    -------
    TestResult
        NaN without rows. Where every forecast is 0 or 1 there is no chance: p is 1 if all came true, else 0.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    With rows in increasing order of the forecast p, C_j = sum_{i <= j} w_i (y_i - p_i) / sum_i w_i and C_0 = 0, read at
    the last of tied forecasts alone: "ecce_r" is max C - min C, "ecce_mad" max |C|. Under calibration C / sigma is
    close to Brownian motion, sigma^2 = sum_i w_i^2 p_i (1 - p_i) / (sum_i w_i)^2, so that p is the probability that
    Brownian motion on [0, 1] has at least this range (5 % at 2.50) or this largest absolute value (5 % at 2.24).
    With few rows or many ties the path is read at fewer points and the test rejects less often than it says.

    References
    ----------
    Arrieta-Ibarra, Gujral, Tannen, Tygert, Xu 2022, "Metrics of calibration for probabilistic predictions".
    Feller 1951, "The asymptotic distribution of the range of sums of independent random variables".
    Gupta, Rahimi, Ajanthan, Mensink, Sminchisescu, Hartley 2021, "Calibration of neural networks using splines".

    Examples
    --------
    Cumulative differences 0, (0 - .2) / 4, (0 - .2 - .4) / 4, (.4 - .6) / 4, (.6 - .6) / 4:

    >>> from calibkit import cumulative_difference_test
    >>> round(cumulative_difference_test([0, 0, 1, 1], [0.2, 0.4, 0.6, 0.8]).statistic, 4)
    0.15

    Of 100 forecasts .7 half come true: .2 is 4.36 times sqrt(.7 * .3 / 100), and p is 8 Phi(-4.36).

    >>> result = cumulative_difference_test([0, 1] * 50, [0.7] * 100)
    >>> round(result.statistic_over_sigma, 2), round(result.p_value, 6)
    (4.36, 5.1e-05)
    """
    check_choice(statistic, STATISTICS, option="statistic")
    return cumulative(read_pairs(labels, probs, view=view, weights=weights), statistic)


def cumulative_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    statistic: Statistic = "ecce_r",
    view: PairView | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """The statistic of `cumulative_difference_test` alone: ECCE-R, or ECCE-MAD, the KS calibration error.

    In [0, 1], smaller is better.

    Parameters
    ----------
    labels, probs, statistic, view, weights
        As in `cumulative_difference_test`.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError, OptionError
        As `cumulative_difference_test`.

    Examples
    --------
    >>> round(cumulative_calibration_error([0, 0, 1, 1], [0.2, 0.4, 0.6, 0.8], statistic="ecce_mad"), 4)
    0.15
    """
    return cumulative_difference_test(labels, probs, statistic=statistic, view=view, weights=weights).statistic


def cumulative(pairs: Pairs, statistic: Statistic) -> TestResult:
    """Test pairs by their cumulative differences."""
    tied = pool_ties(pairs)
    if len(tied.weight) == 0:
        return nothing()
    value = _excursion(tied, statistic)
    sigma = np.sqrt(np.sum(tied.weight_squared * variance(tied.forecast))) / tied.weight.sum()
    ratio = in_sigmas(value, sigma)
    tail = range_tail if statistic == "ecce_r" else maximum_tail
    return TestResult(statistic=value, statistic_over_sigma=ratio, p_value=tail(ratio))


def range_tail(x: float) -> float:
    """Probability that the range of Brownian motion on [0, 1], started at 0, exceeds x.

    Examples
    --------
    >>> round(range_tail(2.4977), 4)
    0.05
    """
    k = np.arange(1, _FAR / x + 2) if x > _NEAR else np.empty(0)
    return _alternating_tails(8 * k, k * x)


def maximum_tail(x: float) -> float:
    """Probability that the largest absolute value of Brownian motion on [0, 1] exceeds x.

    Examples
    --------
    >>> round(maximum_tail(2.2414), 4)
    0.05
    """
    odd = np.arange(1, _FAR / x + 2, 2) if x > _NEAR else np.empty(0)
    return _alternating_tails(np.full(len(odd), 4.0), odd * x)


def _alternating_tails(factors: Floats, distances: Floats) -> float:
    """f_1 Phi(-d_1) - f_2 Phi(-d_2) + ..., a probability; 1 of no terms."""
    from scipy.special import ndtr

    if len(factors) == 0:
        return 1.0
    signs = np.resize([1.0, -1.0], len(factors))
    return float(np.clip(np.sum(signs * factors * ndtr(-distances)), 0.0, 1.0))


def _excursion(tied: TiedPairs, statistic: Statistic) -> float:
    """How far the cumulative differences go, from their start at 0."""
    path = np.cumsum(np.append(0.0, gaps(tied))) / tied.weight.sum()
    return float(np.ptp(path) if statistic == "ecce_r" else np.abs(path).max())
