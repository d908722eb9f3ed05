"""Cox's recalibration: which shift and stretch of the log-odds would repair the forecasts? Floor 2."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from calibkit._numerics import Floats
from calibkit.goodness_of_fit.result import TestResult, chi_square_tail, gaps, nothing, variance
from calibkit.pairs import Pairs, PairView, TiedPairs, pool_ties, read_pairs

_NAN = float("nan")
_STEPS, _CLOSE = 100, 1e-12
# Log-odds that differ by less, relative to their size, cannot tell a slope, nor a curvature whose columns do.
_ALIKE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class CoxCalibration:
    """The logistic regression of outcomes on the log-odds of their forecasts.

    Attributes
    ----------
    slope : float
        1 where calibrated; below 1 the forecasts are too extreme, above 1 too timid.
    intercept : float
        0 where calibrated; the shift of the log-odds beside that slope.
    calibration_in_the_large : float
        0 where calibrated; the shift with slope 1. Above 0 the event happens more often than forecast.
    slope_se, intercept_se, calibration_in_the_large_se : float
        Standard errors, NaN where the estimate is not finite.
    p_value : float
        Of the hypothesis that slope is 1 and intercept 0 (score test).

    Examples
    --------
    >>> CoxCalibration(slope=0.8, intercept=0.1, calibration_in_the_large=0.2).slope
    0.8
    """

    slope: float
    intercept: float
    calibration_in_the_large: float
    slope_se: float = _NAN
    intercept_se: float = _NAN
    calibration_in_the_large_se: float = _NAN
    p_value: float = _NAN


def cox_calibration(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
    clip: float | None = None,
) -> CoxCalibration:
    """Cox's calibration slope and intercept, and calibration-in-the-large, with standard errors.

    Slope is best at 1, the other two at 0, in log-odds. A slope sees one kind of error, forecasts too extreme or too
    timid as a whole; errors of other shapes may leave it at 1.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive"}, optional
        Which forecast and outcome; by default "positive" for 1-D probabilities, else "top-label".
    weights : array_like of shape (n,), optional
        Row weights. They change what is averaged, not how many independent rows there are.
    clip : float, optional
        Clip probabilities to [clip, 1 - clip] first, where forecasts of 0 or 1 came out otherwise.

    Returns
    -------
    CoxCalibration
        Every case has an answer, with p as everywhere the probability that calibrated forecasts show as much:

        - forecasts of 0 or 1 that came true fit any positive slope and are left out;
        - one that did not is impossible at any shift and positive slope: the estimates are NaN, and p is 0;
        - outcomes that are all alike: the shifts are infinite, the slope is NaN;
        - outcomes that some forecast separates, if only to within rounding: the slope is infinite (negative where the
          lower forecasts came true), the intercept NaN, calibration-in-the-large finite;
        - a single value of the forecast: slope and intercept NaN, calibration-in-the-large finite;
        - no rows: NaN.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    With x = log(p / (1 - p)), P(y = 1) = 1 / (1 + exp(-(a + b x))), fitted by weighted maximum likelihood: slope b and
    intercept a. Calibration-in-the-large is a with b = 1, x as offset.

    Standard errors come from n/(n - d) A^-1 B A^-1, with n effective rows and d = 2 parameters (or 1),
    A = sum w v (1, x)(1, x)', v the fitted p (1 - p), and B = sum w^2 (y - p)^2 (1, x)(1, x)': those of a regression
    that may be wrong, as that of calibration-in-the-large is where the slope is not 1. With the information, A alone,
    its intervals covered 78 to 90 % there (``python -m benchmarks.coverage --of recalibration``).

    The test compares U' V^-1 U with chi-square of two degrees of freedom, U = sum w (y - p)(1, x),
    V = sum w^2 p (1 - p)(1, x)(1, x)'; it needs no fit.

    References
    ----------
    Cox 1958, "Two further applications of a model for binary regression".
    White 1982, "Maximum likelihood estimation of misspecified models", theorem 3.2 (standard errors).
    Steyerberg 2019, "Clinical prediction models", 2nd ed., section 15.3.

    Examples
    --------
    Forecasts twice as extreme in log-odds as they should be have slope 1/2:

    >>> from calibkit import cox_calibration
    >>> fit = cox_calibration([1, 0, 0, 0, 1, 1, 1, 0], [0.1] * 4 + [0.9] * 4)
    >>> round(fit.slope, 4), abs(fit.intercept) < 1e-9
    (0.5, True)
    """
    return cox_of(read_pairs(labels, probs, view=view, weights=weights, clip=clip))


def cox_test(
    labels: ArrayLike, probs: ArrayLike, *, view: PairView | None = None, weights: ArrayLike | None = None
) -> TestResult:
    """The score test of `cox_calibration` as a `TestResult`.

    In [0, inf]; p is small where a shift or stretch of the log-odds would help.

    Parameters
    ----------
    labels, probs, view, weights
        As in `cox_calibration`.

    Returns
    -------
    TestResult
        Its p-value is that of `cox_calibration`.

    Raises
    ------
    DataError, LabelError, ShapeError, OptionError
        As `cox_calibration`.

    Examples
    --------
    At log-odds -+2.197 the scores are 0 and 4 * .15 * 2 * 2.197, with variance 8 * .09 * 2.197^2:

    >>> result = cox_test([1, 0, 0, 0, 1, 1, 1, 0], [0.1] * 4 + [0.9] * 4)
    >>> round(result.statistic, 4), result.degrees_of_freedom  # (1.2 * 2.197)^2 / (.72 * 2.197^2)
    (2.0, 2)
    """
    return cox(read_pairs(labels, probs, view=view, weights=weights))


def cox_of(pairs: Pairs) -> CoxCalibration:
    """Fit pairs."""
    p_value = cox(pairs).p_value
    tied = _uncertain(pool_ties(pairs))
    if tied is None or len(tied.weight) == 0:
        return CoxCalibration(slope=_NAN, intercept=_NAN, calibration_in_the_large=_NAN, p_value=p_value)
    log_odds = _log_odds(tied)
    happened, total = tied.happened.sum(), tied.weight.sum()
    if happened in (0, total):
        end = np.inf if happened else -np.inf
        return CoxCalibration(slope=_NAN, intercept=end, calibration_in_the_large=end, p_value=p_value)
    shift, shift_se = _shift(tied, log_odds)
    large = CoxCalibration(
        slope=_NAN,
        intercept=_NAN,
        calibration_in_the_large=shift,
        calibration_in_the_large_se=shift_se,
        p_value=p_value,
    )
    x, separated = _standardised(log_odds, tied.weight), _separation(tied)
    if x is None or separated:
        return replace(large, slope=separated * np.inf if separated else _NAN)
    slope, intercept, slope_se, intercept_se = _line(tied, x)
    return replace(large, slope=slope, intercept=intercept, slope_se=slope_se, intercept_se=intercept_se)


def cox(pairs: Pairs) -> TestResult:
    """Test pairs for slope 1 and intercept 0: the score test, which needs no fit."""
    if len(pairs) == 0:
        return nothing()
    tied = _uncertain(pool_ties(pairs))
    if tied is None:
        return TestResult(statistic=float("inf"), p_value=0.0, degrees_of_freedom=2)
    if len(tied.weight) == 0:
        return TestResult(statistic=0.0, p_value=1.0, degrees_of_freedom=0)
    information = tied.weight_squared * variance(tied.forecast)
    gap, x = gaps(tied), _standardised(_log_odds(tied), information)
    # Standardised by the information, the two scores are uncorrelated, each of this variance.
    value = float((gap.sum() ** 2 + (0.0 if x is None else gap @ x.values) ** 2) / information.sum())
    freedom = 1 if x is None else 2
    return TestResult(statistic=value, p_value=chi_square_tail(value, freedom), degrees_of_freedom=freedom)


def _uncertain(tied: TiedPairs) -> TiedPairs | None:
    """The rows whose forecast is not 0 or 1; None if one of the others came out otherwise."""
    inside = variance(tied.forecast) > 0
    if (gaps(tied)[~inside] != 0).any():
        return None
    kept = {name: getattr(tied, name)[inside] for name in ("forecast", "weight", "weight_squared", "happened")}
    return TiedPairs(**kept)


def _log_odds(tied: TiedPairs) -> Floats:
    return np.asarray(np.log(tied.forecast) - np.log1p(-tied.forecast))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Standardised:
    """Values less their mean, over their spread."""

    values: Floats
    centre: float
    spread: float


def _standardised(values: Floats, weights: Floats) -> _Standardised | None:
    """Standardised values; None where they hardly differ."""
    centre = float(np.average(values, weights=weights))
    spread = float(np.sqrt(np.average((values - centre) ** 2, weights=weights)))
    if spread <= _ALIKE * (1 + abs(centre)):
        return None
    return _Standardised(values=(values - centre) / spread, centre=centre, spread=spread)


def _separation(tied: TiedPairs) -> int:
    """1 where every outcome of a higher forecast happened and of a lower did not, -1 in the mirror case, else 0."""
    yes, no = tied.happened > 0, tied.happened < tied.weight
    first_yes, last_yes = np.flatnonzero(yes)[[0, -1]]
    first_no, last_no = np.flatnonzero(no)[[0, -1]]
    if len(yes) == 1:
        return 0  # one forecast separates nothing
    return int(last_no <= first_yes) - int(last_yes <= first_no)


def _shift(tied: TiedPairs, log_odds: Floats) -> tuple[float, float]:
    """Calibration-in-the-large and its standard error: the shift at which as much is forecast as happened."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    happened, total = tied.happened.sum(), tied.weight.sum()
    rate = logit(happened / total)
    ends = rate - log_odds.max() - 1, rate - log_odds.min() + 1
    shift = float(brentq(lambda a: np.sum(tied.weight * expit(a + log_odds)) - happened, *ends, xtol=1e-14))
    fitted = expit(shift + log_odds)
    curvature = np.sum(tied.weight * fitted * expit(-shift - log_odds))
    return shift, float(np.sqrt(_squared_residuals(tied, fitted, 1).sum()) / curvature)


def _line(tied: TiedPairs, x: _Standardised) -> tuple[float, float, float, float]:
    """Slope, intercept and their standard errors: Newton's method, its steps halved while the loss would grow."""
    from scipy.special import expit

    design = np.stack([np.ones(len(x.values)), x.values], axis=1)
    rate = tied.happened.sum() / tied.weight.sum()
    fit = np.array([np.log(rate) - np.log1p(-rate), 0.0])  # at slope 0 the curvature is never lost
    for _ in range(_STEPS):
        line = design @ fit
        spread = expit(line) * expit(-line)
        curvature = (design.T * (tied.weight * spread)) @ design
        if np.linalg.det(curvature) <= _ALIKE * curvature[0, 0] * curvature[1, 1]:
            # Forecasts that differ in their last digits are all that keeps the outcomes from being separated.
            return float(np.copysign(np.inf, fit[1])), _NAN, _NAN, _NAN
        step = np.linalg.solve(curvature, design.T @ (tied.happened - tied.weight * expit(line)))
        most = _loss(tied, line) * (1 + 1e-12)
        while _loss(tied, design @ (fit + step)) > most and np.abs(step).max() > _CLOSE:
            step /= 2
        fit = fit + step
        if np.abs(step).max() <= _CLOSE:
            break
    inverse = np.linalg.inv(curvature)
    covariance = inverse @ ((design.T * _squared_residuals(tied, expit(design @ fit), 2)) @ design) @ inverse
    back = np.array([[1.0, -x.centre / x.spread], [0.0, 1 / x.spread]])  # to the log-odds as they are
    intercept, slope = back @ fit
    intercept_se, slope_se = np.sqrt(np.diag(back @ covariance @ back.T))
    return float(slope), float(intercept), float(slope_se), float(intercept_se)


def _squared_residuals(tied: TiedPairs, fitted: Floats, parameters: int) -> Floats:
    """Sum of w^2 (y - p)^2 over the rows of each forecast, times n/(n - parameters) of the effective rows n."""
    rate = tied.happened / tied.weight
    squared = tied.weight_squared * (rate * (1 - fitted) ** 2 + (1 - rate) * fitted**2)
    rows = tied.weight.sum() ** 2 / tied.weight_squared.sum()
    return np.asarray(squared * (rows / (rows - parameters) if rows > parameters else np.nan))


def _loss(tied: TiedPairs, line: Floats) -> float:
    """Negative log-likelihood at these log-odds."""
    return float(np.sum(tied.weight * np.logaddexp(0.0, line) - tied.happened * line))
