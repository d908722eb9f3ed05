"""Temperature scaling: the one number by which logits are divided, fitted or cross-fitted. Floor 2."""

from collections.abc import Callable
from dataclasses import dataclass
from math import copysign, exp, inf, isfinite, log, nan, sqrt

import numpy as np

from calibkit import _checks
from calibkit._checks.scaling import refuse_impossible_labels, refuse_scaling, refuse_too_few
from calibkit._numerics import Floats, Integers, effective_size, group_codes, sums_by
from calibkit.predictions import Predictions
from calibkit.scores.binary import log_odds
from calibkit.scores.blocks import Layout, Matrix, each_chunk, thread_count
from calibkit.scores.row_scores import sigmoid
from calibkit.scores.rows import score_rows

# Beyond these temperatures a softmax is a vote, or a coin.
BOUNDS = (1e-3, 1e3)
MIN_GROUPS = 5
_LOWEST, _HIGHEST = log(BOUNDS[0]), log(BOUNDS[1])
_TOLERANCE = 1e-5  # of the last Newton step; its error is of the order of the square
_FAR = 1e150  # stands for the distance to a class with p = 0: its square is finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """A fitted temperature: above 1 the model was over-confident, below 1 under-confident.

    Attributes
    ----------
    value : float
        T, by which logits are divided; in [0.001, 1000].
    low, high : float or None
        Ends of its interval; None where there is none: at a bound, or with fewer than 5 groups.
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


def fit_temperature(predictions: Predictions, *, level: float | None = 0.95, threads: int | None = None) -> Temperature:
    """Temperature that maximises the likelihood of the labels.

    T > 1 says that the model is over-confident, T < 1 that it is under-confident.

    Parameters
    ----------
    predictions : Predictions
        Calibration rows: logits or probabilities, 1-D or (n, k). Not the rows that are evaluated.
    level : float or None, default 0.95
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
    Newton's method on log T, with the expected second derivative and kept in [0.001, 1000], reads the rows a few
    times in float64. Probabilities enter as log p, 1-D probabilities as log-odds.

    The interval is that of a misspecified model ("sandwich"): with s_i and h_i the first and second derivatives of
    row i's loss in log T, ``se^2 = u/(u - 1) sum_u (sum_{i in u} w_i s_i)^2 / (sum_i w_i h_i)^2`` over the u rows, or
    groups if there are any; the quantile is that of t with (effective number of rows or groups) - 1 degrees.

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
    derive = _derivatives_of(predictions, threads)
    weights = _weights(predictions)
    log_t, at_bound = _minimise(derive, weights, start=0.0)
    source = f"fitted on {len(predictions):,} calibration rows"
    return _with_interval(predictions, derive(log_t), log_t, level=level, source=source, at_bound=at_bound)


def cross_fit_temperature(
    predictions: Predictions,
    *,
    n_folds: int = 5,
    rng: int | np.random.Generator = 0,
    level: float | None = 0.95,
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
    level, threads
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
    takes no part in its temperature. Each fold starts at the temperature of all rows and goes on until log T
    moves by less than 1e-5.

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
    folds = _folds(predictions, n_folds, _checks.check_rng(rng))
    derive = _derivatives_of(predictions, threads)
    weights = _weights(predictions)
    log_t, at_bound = _minimise(derive, weights, start=0.0)
    at_start = derive(log_t)
    per_row = np.empty(len(folds))
    for fold in range(folds.max() + 1):
        others = weights * (folds != fold)
        fold_log_t, _ = _minimise(lambda t: at_start if t == log_t else derive(t), others, start=log_t)
        per_row[folds == fold] = exp(fold_log_t)
    source = f"cross-fitted over {folds.max() + 1} folds of the same rows"
    fitted = _with_interval(predictions, at_start, log_t, level=level, source=source, at_bound=at_bound)
    return fitted, per_row


def _refuse_unusable(predictions: Predictions, threads: int | None) -> None:
    """Raise for predictions that no temperature can be fitted on; this reads and checks every value."""
    if predictions.kind in ("top1", "correct"):
        refuse_scaling(predictions.kind, predictions.name)
    if len(predictions) < 2:
        refuse_too_few("rows", len(predictions), predictions.name)
    scores = score_rows(predictions, threads=threads)
    if scores.n_zero and scores.log_score is not None:
        refuse_impossible_labels(np.isposinf(scores.log_score), predictions.kind, predictions.name)


def _weights(predictions: Predictions) -> Floats:
    """Weight of each row."""
    return np.ones(len(predictions)) if predictions.weights is None else predictions.weights


def _folds(predictions: Predictions, n_folds: int, rng: np.random.Generator) -> Integers:
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
class _Derivatives:
    """First and expected second derivative of each row's loss in log T; both (n,)."""

    slope: Floats
    curvature: Floats


_Derive = Callable[[float], _Derivatives]


def _minimise(derive: _Derive, weights: Floats, *, start: float) -> tuple[float, bool]:
    """Log T of the least weighted loss, and whether it lies at a bound."""
    low, high, log_t = -inf, inf, start
    for iteration in range(100):
        rows = derive(log_t)
        slope, curvature = float(weights @ rows.slope), float(weights @ rows.curvature)
        if slope == 0 or (slope > 0 and log_t == _LOWEST) or (slope < 0 and log_t == _HIGHEST):
            return log_t, log_t in (_LOWEST, _HIGHEST)
        low, high = (low, log_t) if slope > 0 else (log_t, high)
        step = -slope / curvature if curvature > 0 else -copysign(inf, slope)
        if abs(step) <= _TOLERANCE:
            return min(max(log_t + step, _LOWEST), _HIGHEST), False
        # Where no temperature is best, Newton's steps shrink without end: from the eighth on, every other halves.
        newton = log_t + step if iteration < 8 or iteration % 2 else nan
        log_t = _safeguarded(newton, low, high, falling=slope > 0)
    return log_t, False


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


def _with_interval(
    predictions: Predictions, rows: _Derivatives, log_t: float, *, level: float | None, source: str, at_bound: bool
) -> Temperature:
    """A temperature with its sandwich interval, where there is one."""
    level = _checks.check_level(level, option="level")
    log_se, dof = (None, 0.0) if at_bound else _sandwich(predictions, rows)
    low = high = None
    if log_se is not None and level is not None:
        from scipy.special import stdtrit

        reach = float(stdtrit(dof, 0.5 + level / 2)) * log_se
        low, high = exp(log_t - reach), exp(log_t + reach)
    value = BOUNDS[log_t > 0] if at_bound else exp(log_t)
    return Temperature(
        value=value, low=low, high=high, log_se=log_se, n=len(predictions), source=source, at_bound=at_bound
    )


def _sandwich(predictions: Predictions, rows: _Derivatives) -> tuple[float | None, float]:
    """Standard error of log T and its degrees of freedom; None where the rows do not determine it."""
    weights = _weights(predictions)
    slopes, size, n_units = weights * rows.slope, effective_size(predictions.weights, len(weights)), len(weights)
    if predictions.groups is not None:
        codes, n_units = group_codes(predictions.groups)
        slopes, size = sums_by(codes, slopes, n_units), effective_size(sums_by(codes, weights, n_units), n_units)
        if n_units < MIN_GROUPS:
            return None, 0.0
    curvature = float(weights @ rows.curvature)
    if curvature <= 0 or size <= 1:
        return None, 0.0
    log_se = sqrt(n_units / (n_units - 1) * float(slopes @ slopes)) / curvature
    return (log_se if isfinite(log_se) else None), size - 1


def _derivatives_of(predictions: Predictions, threads: int | None) -> _Derive:
    """The rows' derivatives as a function of log T."""
    if predictions.is_binary:
        return lambda log_t: _binary_derivatives(predictions, log_t)
    n_threads = thread_count(threads)
    return lambda log_t: _matrix_derivatives(predictions, log_t, n_threads)


def _binary_derivatives(predictions: Predictions, log_t: float) -> _Derivatives:
    """Derivatives of log(1 + exp(-m/T)), m the log-odds of the true class."""
    with np.errstate(all="ignore"):
        odds = log_odds(predictions)
        margin = np.minimum(np.where(predictions.labels == 1, odds, -odds), _FAR) * exp(-log_t)
        wrong, right = sigmoid(-margin), sigmoid(margin)
        return _Derivatives(slope=margin * wrong, curvature=np.square(margin) * (wrong * right))


def _matrix_derivatives(predictions: Predictions, log_t: float, threads: int) -> _Derivatives:
    """Derivatives of (n, k) rows: the mean distance to the top logit, and its variance, under softmax(z / T)."""
    assert predictions.labels is not None
    values, labels, is_probs = predictions.values, predictions.labels, predictions.kind == "probs"
    layout, inverse = Layout(n_classes=values.shape[1], dtype=np.dtype(np.float64)), exp(-log_t)
    slope, curvature = np.empty(len(values)), np.empty(len(values))

    def derive(rows: slice, scratch: Matrix) -> None:
        block = layout.load(values[rows], scratch)
        if is_probs:
            np.log(np.clip(block, 0.0, 1.0, out=block), out=block)
        true, mean, variance = _moments(block, labels[rows], layout, inverse)
        slope[rows] = inverse * (true - mean)
        curvature[rows] = inverse * inverse * variance

    each_chunk(derive, n_rows=len(values), step=layout.block_rows, layout=layout, threads=threads)
    return _Derivatives(slope=slope, curvature=curvature)


def _moments(block: Matrix, labels: Integers, layout: Layout, inverse: float) -> tuple[Floats, Floats, Floats]:
    """Per row: the true class's distance to the top logit (at most 0), and mean and variance of all distances."""
    axis, n_rows = layout.class_axis, len(labels)
    block -= layout.across(np.maximum.reduce(block, axis=axis))
    np.maximum(block, -_FAR, out=block)
    true = block.reshape(-1)[layout.places(labels, block)]
    terms = np.exp(block * inverse)
    total = np.add.reduce(terms, axis=axis)[:n_rows]
    terms *= block
    mean = np.add.reduce(terms, axis=axis)[:n_rows] / total
    terms *= block
    square = np.add.reduce(terms, axis=axis)[:n_rows] / total
    return true, mean, np.maximum(square - np.square(mean), 0.0)
