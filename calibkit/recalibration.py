"""Temperature scaling: the one number by which logits are divided, fitted or cross-fitted. Floor 2."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import copysign, exp, expm1, inf, log, log1p, nan

import numpy as np

from calibkit import _checks
from calibkit._checks.scaling import refuse_impossible_labels, refuse_scaling, refuse_too_few
from calibkit._numerics import Floats, Integers, group_codes, sums_by
from calibkit.log_temperature import LogError, error_of_groups, error_of_rows
from calibkit.predictions import Predictions
from calibkit.scores.blocks import thread_count
from calibkit.scores.derivatives import loss_derivatives
from calibkit.scores.rows import score_rows

# Beyond these temperatures a softmax is a vote, or a coin.
BOUNDS = (1e-3, 1e3)
MIN_GROUPS = 5
_LOWEST, _HIGHEST = log(BOUNDS[0]), log(BOUNDS[1])
# Estimated errors of log T; a standard error is seldom below 1e-3.
_TOLERANCE, _FOLD_TOLERANCE, _ROUGH = 1e-9, 1e-7, 1e-3
# Relative change of 1/T over which derivatives at one point speak for another.
REACH = 0.05
MAX_PASSES = 100
# A sample of this size finds T to a few per cent; the next has eight times as many rows.
MIN_SAMPLE, GROWTH = 256, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """A fitted temperature: above 1 the model was over-confident, below 1 under-confident.

    Attributes
    ----------
    value : float
        T, by which logits are divided; in [0.001, 1000].
    low, high : float or None
        Ends of its interval; None where there is none: at a bound, or with too few groups or wrong answers among them.
    log_se : float or None
        Standard error of log T.
    n : int
        Rows it was fitted on.
    source : str
        Which rows these were.
    at_bound : bool
        Whether the likelihood still rises at the end of the range (every row is right, or worse than guessed).

    Examples
    --------
    >>> Temperature(value=2.4, low=2.2, high=2.6, log_se=0.04, n=5000, source="fitted on 5,000 calibration rows").n
    5000
    """

    value: float
    low: float | None
    high: float | None
    log_se: float | None
    n: int
    source: str
    at_bound: bool = False


def fit_temperature(
    predictions: Predictions, *, confidence_level: float | None = 0.95, threads: int | None = None
) -> Temperature:
    """Temperature that maximises the likelihood of the labels.

    T > 1 says that the model is over-confident, T < 1 that it is under-confident.

    Parameters
    ----------
    predictions : Predictions
        Calibration rows: logits or probabilities, 1-D or (n, k). Not the rows that are evaluated.
    confidence_level : float or None, default 0.95
        Level of the interval; None for none.
    threads : int, optional
        Default: CALIBKIT_THREADS, else the available cores. The result does not depend on it.

    Returns
    -------
    Temperature
        T with its interval.

    Raises
    ------
    DataError
        If there are no logits or probabilities of all classes, if a true class has p = 0, or below 2 rows.

    Notes
    -----
    T minimises ``sum_i w_i (log sum_j exp(z_ij / T) - z_iy / T)``, which has one minimum, for it is convex in 1/T.
    Newton's method on log T, with the expected second derivative and kept in [0.001, 1000], starts from a sample of
    the rows; its last steps use four derivatives, so that two readings of all rows are enough as a rule. Log T is
    good to 1e-8, for float32 logits to 1e-6. Probabilities enter as log p, 1-D probabilities as log-odds.

    The interval is that of a misspecified model ("sandwich"): with s_i and h_i the first and second derivatives of
    row i's loss in log T, ``se^2 = n/(n - 1) sum (w_i s_i)^2 / (sum w_i h_i)^2``, and the quantile that of t with
    (effective number of rows) - 1 degrees of freedom. Groups are left out one by one instead (CR3), with the degrees of
    freedom and the skewness of a mean of groups; they have no interval where the wrong (or right) answers are worth
    fewer than 5 whole groups. ``python -m benchmarks.coverage --of recalibration`` measures what it covers.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 4.2.
    White 1982, "Maximum likelihood estimation of misspecified models", theorem 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from calibkit import Predictions
    >>> logits = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 4.0], [2.0, 6.0]])
    >>> fitted = fit_temperature(Predictions.from_logits(np.array([0, 0, 1, 0]), logits))
    >>> round(fitted.value, 4), round(4 / np.log(3), 4)  # T turns a margin of 4 into odds of 3 to 1
    (3.641, np.float64(3.641))
    """
    _refuse_unusable(predictions, threads)
    fit = _fit(predictions, threads)
    return _with_interval(
        predictions, fit, level=confidence_level, source=f"fitted on {len(predictions):,} calibration rows"
    )


def cross_fit_temperature(
    predictions: Predictions,
    *,
    n_folds: int = 5,
    rng: int | np.random.Generator = 0,
    confidence_level: float | None = 0.95,
    threads: int | None = None,
) -> tuple[Temperature, Floats]:
    """Temperatures fitted on the same rows that they will scale, each on the folds that its row is not in.

    Parameters
    ----------
    predictions : Predictions
        Logits or probabilities, 1-D or (n, k).
    n_folds : int, default 5
        Folds of equal size, drawn at random; groups stay whole.
    rng : int or numpy.random.Generator, default 0
        Draws the folds.
    confidence_level, threads
        As in `fit_temperature`.

    Returns
    -------
    Temperature
        Fitted on all rows, with its interval: what the folds vary around.
    ndarray of shape (n,)
        The temperature of each row.

    Raises
    ------
    DataError
        As in `fit_temperature`; also with fewer than 2 groups.

    Notes
    -----
    Scores at a temperature fitted on the very rows that are scored look better than they are; a row's own fold
    takes no part in its temperature. The sums of four derivatives over each fold, which the last reading for all
    rows leaves behind, place the minimum of every fold to 1e-6 in log T; a fold whose minimum is too far away for
    that is fitted by further readings.

    References
    ----------
    Ashukha, Lyzhov, Molchanov, Vetrov 2020, "Pitfalls of in-domain uncertainty estimation and ensembling in deep
    learning", section 3 (cross-validated temperature).

    Examples
    --------
    >>> import numpy as np
    >>> from calibkit import Predictions
    >>> log_odds = np.array([2.0, -1.5, 0.7, -2.2, 1.1, -0.4])
    >>> rows = Predictions.from_logits(np.array([1, 0, 0, 1, 1, 0]), log_odds)
    >>> fitted, temperatures = cross_fit_temperature(rows, n_folds=3)
    >>> fitted.source, temperatures.shape
    ('cross-fitted over 3 folds of the same rows', (6,))
    """
    _refuse_unusable(predictions, threads)
    folds = fold_of_rows(predictions, n_folds, _checks.check_rng(rng))
    fit = _fit(predictions, threads)
    per_row = np.exp(_fold_log_t(predictions, fit, folds, threads))[folds]
    source = f"cross-fitted over {folds.max() + 1} folds of the same rows"
    return _with_interval(predictions, fit, level=confidence_level, source=source), per_row


def _refuse_unusable(predictions: Predictions, threads: int | None) -> None:
    """Raise for predictions that no temperature can be fitted on; bad logits of a matrix show in their derivatives."""
    if predictions.kind in ("top1", "correct"):
        refuse_scaling(predictions.kind, predictions.name)
    if len(predictions) < 2:
        refuse_too_few("rows", len(predictions), predictions.name)
    if predictions.is_binary or predictions.kind == "probs":
        _refuse_unusable_values(predictions, threads)


def _refuse_unusable_values(predictions: Predictions, threads: int | None) -> None:
    """Read and check every value."""
    scores = score_rows(predictions, threads=threads)
    if scores.n_zero and scores.log_score is not None:
        refuse_impossible_labels(np.isposinf(scores.log_score), predictions.kind, predictions.name)


def _weights(predictions: Predictions) -> Floats:
    """Weight of each row."""
    return np.ones(len(predictions)) if predictions.weights is None else predictions.weights


def fold_of_rows(predictions: Predictions, n_folds: int, rng: np.random.Generator) -> Integers:
    """Fold of each row; groups, shuffled and dealt out in turn, stay whole."""
    n_folds = _checks.check_int(n_folds, option="n_folds", low=2)
    if predictions.groups is None:
        codes, n_units = np.arange(len(predictions)), len(predictions)
    else:
        codes, n_units = group_codes(predictions.groups)
    if n_units < 2:
        refuse_too_few("groups", n_units, predictions.name)
    fold_of_unit = np.empty(n_units, np.int64)
    fold_of_unit[rng.permutation(n_units)] = np.arange(n_units) % n_folds
    return fold_of_unit[codes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """The least loss, and the derivatives of all rows where they were last taken, a `step` in log T before it."""

    point: float
    rows: Floats
    step: float = 0.0
    at_bound: bool = False

    @property
    def log_t(self) -> float:
        """Log T of the least loss."""
        return min(max(self.point + self.step, _LOWEST), _HIGHEST)

    def slope_and_curvature(self) -> tuple[Floats, Floats]:
        """First and expected second derivative of each row's loss in log T, at the least loss."""
        move = expm1(-self.step)
        first, second, third, fourth = self.rows
        slope = first + move * (second + move * (third / 2 + move * fourth / 6))
        curvature = second + move * (third + move * fourth / 2)
        return -(1 + move) * slope, (1 + move) ** 2 * curvature


_Derive = Callable[[float], Floats]


def _fit(predictions: Predictions, threads: int | None) -> _Fit:
    """Fit on samples of the rows that grow eightfold, each from where the last one ended, then on all rows."""
    start, weights, n_threads = 0.0, _weights(predictions), thread_count(threads)
    stride = 1
    while len(predictions) // (stride * GROWTH) >= MIN_SAMPLE:
        stride *= GROWTH
    while stride > 1:
        sample = _minimise(_deriver(predictions, stride, n_threads), weights[::stride], start, tolerance=_ROUGH)
        start = start if sample.at_bound else sample.log_t
        stride //= GROWTH
    return _minimise(_deriver(predictions, 1, n_threads), weights, start, tolerance=_TOLERANCE)


def _fold_log_t(predictions: Predictions, fit: _Fit, folds: Integers, threads: int | None) -> Floats:
    """Log T of each fold, from the rows of the others: by the derivatives at hand where these reach so far."""
    weights, n_folds, derive = _weights(predictions), folds.max() + 1, _deriver(predictions, 1, thread_count(threads))
    own = np.stack([sums_by(folds, weights * derivative, n_folds) for derivative in fit.rows])
    # Added up, not taken off the total: nothing cancels.
    others = own @ (1.0 - np.eye(n_folds))
    found = np.empty(n_folds)
    for fold in range(n_folds):
        step, error = _step(*map(float, others[:, fold]))
        found[fold] = min(max(fit.point + step, _LOWEST), _HIGHEST)
        if fit.at_bound or error > _FOLD_TOLERANCE:
            start = fit.log_t if error == inf else found[fold]
            found[fold] = _minimise(derive, weights * (folds != fold), float(start), tolerance=_FOLD_TOLERANCE).log_t
    return found


def _minimise(derive: _Derive, weights: Floats, start: float, *, tolerance: float) -> _Fit:
    """Fit with the least weighted loss: safeguarded Newton steps, the last ones of fourth order."""
    low, high, log_t = -inf, inf, start
    for iteration in range(MAX_PASSES):
        fit = _Fit(point=log_t, rows=derive(log_t))
        sums = fit.rows @ weights
        slope = -float(sums[0])
        if slope == 0 or (slope > 0 and log_t == _LOWEST) or (slope < 0 and log_t == _HIGHEST):
            return replace(fit, at_bound=log_t in (_LOWEST, _HIGHEST))
        low, high = (low, log_t) if slope > 0 else (log_t, high)
        step, error = _step(*map(float, sums))
        if error <= tolerance:
            return replace(fit, step=step)
        # Where no temperature is best, Newton's steps shrink without end: from the eighth on, every other halves.
        newton = log_t + step if iteration < 8 or iteration % 2 else nan
        log_t = _safeguarded(newton, low, high, falling=slope > 0)
    return fit


def _step(first: float, second: float, third: float, fourth: float) -> tuple[float, float]:
    """Step in log T to the least loss, and how far off it may be: inf where it is no more than Newton's.

    Near by, the loss is its Taylor polynomial of order 4 in 1/T, whose error is about one more term.
    """
    if second <= 0:
        return copysign(inf, first), inf
    newton = move = -first / second
    if abs(newton) > REACH:
        return -newton, inf
    for _ in range(10):
        move = newton - move * move * (third / 2 + move * fourth / 6) / second
        if not abs(move) <= 2 * REACH:
            return -newton, inf
    return -log1p(move), abs(move) * max(abs(move) ** 3, abs(move**3 * fourth / (6 * second)))


def _safeguarded(newton: float, low: float, high: float, *, falling: bool) -> float:
    """Newton's step if it stays between the points tried; else a bound not yet tried, else the middle."""
    inner_low, inner_high = max(low, _LOWEST), min(high, _HIGHEST)
    if inner_low < newton < inner_high:
        return newton
    if falling and low == -inf:
        return _LOWEST
    if not falling and high == inf:
        return _HIGHEST
    return (inner_low + inner_high) / 2


def _with_interval(predictions: Predictions, fit: _Fit, *, level: float | None, source: str) -> Temperature:
    """A temperature with its sandwich interval, where there is one."""
    level = _checks.check_level(level)
    error = None if fit.at_bound else _error(predictions, fit)
    low = high = None
    if error is not None and level is not None:
        below, above = error.reach(level)
        with np.errstate(over="ignore"):  # few rows may know of no upper end
            low, high = (float(np.exp(fit.log_t + end)) for end in (-below, above))
    value = BOUNDS[fit.log_t > 0] if fit.at_bound else exp(fit.log_t)
    return Temperature(
        value=value,
        low=low,
        high=high,
        log_se=None if error is None else error.se,
        n=len(predictions),
        source=source,
        at_bound=fit.at_bound,
    )


def _error(predictions: Predictions, fit: _Fit) -> LogError | None:
    """How sure log T is; None where the rows do not tell."""
    weights, (slopes, curvatures) = _weights(predictions), fit.slope_and_curvature()
    derivatives = weights * slopes, weights * curvatures
    if predictions.groups is None:
        return error_of_rows(*derivatives, predictions.weights)
    correct = score_rows(predictions, threads=1).correct
    return error_of_groups(*derivatives, predictions.weights, predictions.groups, correct)


def _deriver(predictions: Predictions, stride: int, threads: int) -> _Derive:
    """Derivatives of every stride-th row as a function of log T."""

    def derive(log_t: float) -> Floats:
        rows = loss_derivatives(predictions, log_t, step=stride, threads=threads)
        if not np.isfinite(rows[0]).all():
            _refuse_unusable_values(predictions, threads)
        return rows

    return derive
