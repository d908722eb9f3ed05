"""Smooth calibration error: gaps smoothed just as widely as they are large, instead of binned. Floor 2."""

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_int, check_rng
from calibkit._numerics import Floats, sums_by
from calibkit.bracket import Chance, chance_from
from calibkit.pairs import Pairs, PairView, TiedPairs, pool_ties, read_pairs
from calibkit.resampling import calibrated_outcomes, pool_cells

# Largest error that grid and quadrature may make, as long as the grid is not the finest.
TOLERANCE = 5e-7
# Grid points: of the first attempt, and the most.
_COARSE, _FINEST = 1 << 12, 1 << 22
# Grid points in a bandwidth, at least: the grid's highest frequency is then damped by e^-79.
_IN_BANDWIDTH = 4
# The same of the draws that tell a chance level, where no digits are at stake.
_COARSE_BY_CHANCE, _FINEST_BY_CHANCE, _IN_BANDWIDTH_BY_CHANCE, _FEW = 1 << 8, 1 << 14, 8, 10
# Bisections in logarithms, if all steps were that slow.
_ROUNDS = 100
_NORMAL_AT_ONE = float(np.exp(-0.5) / np.sqrt(2 * np.pi))


def smooth_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Smooth calibration error: the mean absolute gap, smoothed with a bandwidth equal to the error itself.

    In [0, 1], smaller is better; consistent, continuous in the forecasts, and free of bins. Biased upward: read it
    beside `smooth_calibration_by_chance`.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive"}, optional
        Which event is forecast: by default "positive" for 1-D probabilities, else "top-label".
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    smECE_s is the integral over t in [0, 1] of |sum_i w_i (f_i - y_i) K_s(t, f_i)| / sum w, where K_s is the Gaussian
    density of standard deviation s reflected at 0 and at 1. It falls with s, and the error is the one s with
    smECE_s = s.

    Gaps are shared between two neighbours of a grid of G points, smoothed by a cosine transform, in which a reflected
    Gaussian is diagonal, and summed. For the mean absolute gap r of a row the error is at most 3/2 phi(1) r / (G s)^2
    (phi the normal density): the grid is chosen so that this is at most 5e-7, down to s = 1e-4 and less. The reference
    package relplot 1.0.3 halves an interval ten times and stops at .001: it is off by up to .001.

    Not the number to compare with a published ECE, which is a sum over bins; it is at most that plus the bins' width.

    References
    ----------
    Błasiok, Nakkiran 2023, "Smooth ECE: principled reliability diagrams via kernel smoothing", definition 2 and
    section 4.

    Examples
    --------
    A gap of one sign is not smoothed away: the error is its mean.

    >>> from calibkit import smooth_calibration_error
    >>> round(smooth_calibration_error([0, 0, 1, 0], [0.3, 0.4, 0.6, 0.7]), 4)
    0.25
    """
    return smooth_error(read_pairs(labels, probs, view=view, weights=weights))


def smooth_calibration_by_chance(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> Chance:
    """Smooth calibration error that a calibrated model with the same forecasts would show, by chance alone.

    Its mean, its 95th percentile, and how often it is at least the error observed. Never to be subtracted.

    Parameters
    ----------
    labels, probs, view, weights
        As in `smooth_calibration_error`.
    n_draws : int, default 1000
        Calibrated models drawn.
    rng : int or numpy.random.Generator, default 0
        Seed or source of the draws.

    Returns
    -------
    Chance
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Outcomes are drawn from forecasts that share a grid cell, each cell at its mean; cells are at most an eighth of
    the bandwidth. For 20,000 forecasts that was within 1.3 % of draws row by row, mean and percentile (``python -m
    benchmarks.resampling --accuracy``). It assumes independent rows.

    References
    ----------
    Bröcker, Smith 2007, "Increasing the reliability of reliability diagrams", section 3.

    Examples
    --------
    >>> from calibkit import smooth_calibration_by_chance
    >>> chance = smooth_calibration_by_chance([0, 1] * 50, [0.45] * 100)
    >>> 0.03 < chance.mean < 0.05, chance.p_value > 0.2
    (True, True)
    """
    check_int(n_draws, option="n_draws", low=1, high=1_000_000)
    generator = check_rng(rng)
    return smooth_error_by_chance(read_pairs(labels, probs, view=view, weights=weights), n_draws=n_draws, rng=generator)


def smooth_error(pairs: Pairs) -> float:
    """The smooth calibration error of pairs.

    Examples
    --------
    >>> round(smooth_error(read_pairs([1], [0.3])), 9)
    0.7
    """
    if len(pairs) == 0:
        return float("nan")
    weight = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    gap = (pairs.forecast - pairs.outcome) * (weight / weight.sum())
    fine = np.sqrt(1.5 * _NORMAL_AT_ONE * np.abs(gap).sum() / TOLERANCE)
    points = _COARSE
    while True:
        error = float(_solve(_frequencies(pairs.forecast, gap, points)[None], digits=10)[0])
        needed = max(_IN_BANDWIDTH, fine) / max(error, _IN_BANDWIDTH / _FINEST)
        if points >= min(needed, _FINEST):
            return error
        if needed > _FINEST and (without := _without_smoothing(pairs.forecast, gap)) < TOLERANCE:
            return without
        points = min(_FINEST, 1 << int(np.ceil(np.log2(needed))))


def smooth_error_by_chance(pairs: Pairs, *, n_draws: int = 1000, rng: np.random.Generator) -> Chance:
    """The smooth calibration error of calibrated forecasts, with the p-value of the one observed.

    Examples
    --------
    >>> smooth_error_by_chance(read_pairs([0, 1], [0.0, 1.0]), n_draws=10, rng=np.random.default_rng(0)).p95
    0.0
    """
    if len(pairs) == 0:
        return chance_from(np.nan, np.empty(0))
    tied = pool_ties(pairs)
    points = _COARSE_BY_CHANCE
    while points < _FINEST_BY_CHANCE:
        # A few draws tell how wide the bandwidths are.
        few = _drawn_errors(_on_grid(tied, points), points, n_draws=_FEW, rng=np.random.default_rng(0))
        if not np.any((few > 0) & (few * points < _IN_BANDWIDTH_BY_CHANCE)):
            break
        points *= 2
    return chance_from(smooth_error(pairs), _drawn_errors(_on_grid(tied, points), points, n_draws=n_draws, rng=rng))


def _on_grid(tied: TiedPairs, points: int) -> TiedPairs:
    """Forecasts of one cell of the grid together, at their mean; 0 and 1 apart, where nothing is left to chance."""
    inside = np.minimum(tied.forecast * points, points - 1).astype(np.int64) + 1
    cell = np.where(tied.forecast == 0, 0, np.where(tied.forecast == 1, points + 1, inside))
    return pool_cells(tied, cell)


def _drawn_errors(cells: TiedPairs, points: int, *, n_draws: int, rng: np.random.Generator) -> Floats:
    """Errors of calibrated draws, each cell's gap at the grid point in its middle: the bandwidth is much wider."""
    from scipy.fft import dct

    uncertain = (cells.forecast > 0) & (cells.forecast < 1)
    place = (cells.forecast[uncertain] * points).astype(np.int64)
    errors = []
    for happened in calibrated_outcomes(cells, n_draws=n_draws, rng=rng):
        gap = np.zeros((len(happened), points))
        gap[:, place] = (cells.weight * cells.forecast - happened)[:, uncertain] / cells.weight.sum()
        errors.append(_solve(dct(gap), digits=3))
    return np.concatenate(errors)


def _without_smoothing(forecast: Floats, gap: Floats) -> float:
    """The limit of bandwidth 0, which no smoothing exceeds: only gaps of equal forecasts cancel."""
    values, tie = np.unique(forecast, return_inverse=True)
    return float(np.abs(sums_by(tie, gap, len(values))).sum())


def _frequencies(forecast: Floats, gap: Floats, points: int) -> Floats:
    """Cosine transform of the gaps, each shared between the two grid points (j + 1/2) / G next to its forecast."""
    from scipy.fft import dct

    place = forecast * points - 0.5
    left = np.floor(place)
    place -= left
    # Half a step from 0 and 1 the neighbour is the point's own mirror image.
    below = np.maximum(left, 0).astype(np.int64)
    above = np.minimum(left + 1, points - 1).astype(np.int64)
    right = gap * place
    return np.asarray(dct(sums_by(below, gap - right, points) + sums_by(above, right, points)))


def _smoothed(frequencies: Floats, bandwidth: Floats) -> Floats:
    """Integral of the absolute smoothed gap, for transforms (d, G) and bandwidths (d,)."""
    from scipy.fft import idct

    # Beyond, the damping is below 1e-18.
    kept = min(frequencies.shape[1], int(2.9 / bandwidth.min()) + 2)
    damping = np.exp(-0.5 * (np.pi * np.arange(kept) * bandwidth[:, None]) ** 2)
    damped = np.zeros_like(frequencies)
    np.multiply(frequencies[:, :kept], damping, out=damped[:, :kept])
    return np.asarray(np.abs(idct(damped, overwrite_x=True)).sum(axis=1))


def _solve(frequencies: Floats, *, digits: int) -> Floats:
    """The bandwidths s with smECE_s = s, to so many digits, for each of (d, G) transforms.

    Below the smallest bandwidth that the grid can smooth with, smECE at that bandwidth.
    """
    low = np.full(len(frequencies), _IN_BANDWIDTH / frequencies.shape[1])
    least = _smoothed(frequencies, low)
    high = np.maximum(least, low)
    solved = least <= low
    # In logarithms y = log smECE_s - log s falls at least as fast as x = log s, and nearly as a line.
    x, y = np.log(low), np.log(np.maximum(least, 1e-300)) - np.log(low)
    guess = np.where(solved, low, np.exp(x + 2 / 3 * y))
    for _ in range(_ROUNDS):
        smooth = np.maximum(_smoothed(frequencies, guess), 1e-300)
        low, high = np.maximum(low, np.minimum(guess, smooth)), np.minimum(high, np.maximum(guess, smooth))
        if np.all(solved | (high - low <= 10.0**-digits * high)):
            break
        last_x, last_y = x, y
        x, y = np.log(guess), np.log(smooth / guess)
        slope = np.minimum((y - last_y) / np.where(x == last_x, 1.0, x - last_x), -1.0)
        guess = np.exp(x - y / slope)
        outside = (guess <= low) | (guess >= high)
        guess = np.where(solved, low, np.where(outside, np.sqrt(low * high), guess))
    return np.where(solved, least, (low + high) / 2)
