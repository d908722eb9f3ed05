"""Intervals of means and of paired mean differences; Holm's adjustment. Floor 2."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, present_rows, weighted_mean
from calibkit.units import Spread, Units, units_of

# Outcomes that may hide where few were seen (Agresti and Coull's z^2), and how many seen ones outgrow them.
_HIDDEN, _ENOUGH = 4, 30
# n > 25 skewness^2 (Cochran): then the skewness of the mean is below this.
_SKEWED = 0.2
# A row that carries more of the variance than this is worth a note.
_HEAVY_ROW = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """A mean with its t interval.

    Attributes
    ----------
    value : float
        The (weighted) mean.
    se : float or None
        Its standard error.
    low, high : float or None
        Ends of the interval.
    dof : float or None
        Degrees of freedom of t.
    tilt : float
        Skewness of the mean that the interval allows for.
    reason : str or None
        Why there is no interval; None where there is one.
    note, skewed : str or None
        What to know about an interval that is given: of its units, and of the scores' skewness.

    Examples
    --------
    >>> MeanInterval(value=0.5, reason="a single row").low is None
    True
    """

    value: float
    se: float | None = None
    low: float | None = None
    high: float | None = None
    dof: float | None = None
    tilt: float = 0.0
    reason: str | None = None
    note: str | None = None
    skewed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedEstimate:
    """A difference on the same rows, model minus reference, with its interval and two-sided p-value.

    Attributes
    ----------
    value : float
        The difference.
    low, high : float or None
        Ends of the interval.
    p_value : float or None
        Of the hypothesis of no difference.
    reason : str or None
        Why there is no interval; None where there is one.
    note : str or None
        What to know about an interval that is given.

    Examples
    --------
    >>> PairedEstimate(value=0.0, low=0.0, high=0.0, p_value=1.0).reason is None
    True
    """

    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    reason: str | None = None
    note: str | None = None


def mean_interval(
    values: NDArray[Any],
    *,
    level: float,
    weights: Floats | None = None,
    groups: NDArray[Any] | None = None,
    bounds: tuple[float, float] | None = None,
    binary: bool = False,
) -> MeanInterval:
    """Mean of one score per row, with its t interval.

    In the unit of the values.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Scores; an infinite one makes the mean infinite and leaves no interval.
    level : float
        Coverage to aim at, such as 0.95.
    weights : ndarray of shape (n,), optional
        Non-negative weights; rows of weight 0 are absent.
    groups : ndarray of shape (n,), optional
        Group of each row; rows of different groups are independent, rows of one group need not be.
    bounds : (float, float), optional
        Range of the scores: the interval is cut to it.
    binary : bool, default False
        Scores hold a binary outcome, as a gap does: `se` allows for outcomes not seen (see `bracket_interval`).

    Returns
    -------
    MeanInterval
        Without an interval, and with the reason, for fewer than 2 rows or 5 groups.

    Notes
    -----
    The standard error is the CR3 jackknife: with unit totals w_g, leaving out unit g moves the mean by
    ``sum_{i in g} w_i (x_i - mean) / (W - w_g)``; its square, summed over the G units, times (G - 1)/G. For rows of
    equal weight that is s/sqrt(n). The degrees of freedom of rows are n_eff - 1, ``n_eff = W^2 / sum w_i^2``; those of
    groups lie between Satterthwaite's for independent rows, ``G_eff - 1`` with ``G_eff = W^2 / sum w_g^2``, and his for
    rows that are alike, ``(sum w_g^2)^2 / sum w_g^4 - 1``: their geometric mean, G - 1 for groups of one size.

    Skewed scores need many units: more than 25 times their squared skewness (Cochran), which is a skewness c of the
    mean below .2. With fewer, a note says so, and the end on the side of the tail lies c (1 + 2 t^2)/6 standard errors
    further out (Johnson's first-order term; the other end stays). That fades out from c = .2 to .1: with more than 100
    times squared skewness, the interval is Student's. ``python -m benchmarks.coverage`` measures what that is worth.

    References
    ----------
    Bell, McCaffrey 2002, "Bias reduction in standard errors for linear regression with multi-stage samples" (degrees
    of freedom by Satterthwaite 1946, too).
    MacKinnon, Nielsen, Webb 2023, "Cluster-robust inference: a guide to empirical practice", section 3 (CV3).
    Kish 1965, "Survey sampling" (effective size).
    Johnson 1978, "Modified t tests and confidence intervals for asymmetrical populations", eq. 2.5.
    Cochran 1977, "Sampling techniques", section 2.15.

    Examples
    --------
    >>> interval = mean_interval(np.array([0.2, 0.5, 0.8]), level=0.95)
    >>> round(interval.value, 4), round(interval.se, 4), round(interval.low, 4), round(interval.high, 4)
    (0.5, 0.1732, -0.2452, 1.2452)
    """
    present = present_rows(weights)
    if present is not None and weights is not None:
        values, weights = values[present], weights[present]
        groups = None if groups is None else groups[present]
    result = MeanInterval(value=weighted_mean(values, weights))
    units = units_of(len(values), weights=weights, groups=groups)
    if units.reason is not None:
        return replace(result, reason=units.reason)
    if not np.isfinite(result.value):
        return replace(result, reason=infinite_rows(int(np.count_nonzero(~np.isfinite(values))), len(values)))
    found = spread_interval(result.value, units.spread(values, result.value), units, level=level, binary=binary)
    if bounds is None or found.low is None or found.high is None:
        return found
    return replace(found, low=max(found.low, bounds[0]), high=min(found.high, bounds[1]))


def spread_interval(value: float, spread: Spread, units: Units, *, level: float, binary: bool = False) -> MeanInterval:
    """The interval of a finite mean from its standard error and skewness: see `mean_interval`.

    Examples
    --------
    >>> interval = spread_interval(0.5, Spread(se=0.1, tilt=0.0), units_of(100), level=0.95)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.3016, 0.6984)
    """
    result, dof = MeanInterval(value=value), units.dof
    se = float(with_unseen(spread.se, units.effective)) if binary else spread.se
    if not np.isfinite(se):
        return replace(result, se=se, reason="the variance is beyond the range of floats")
    tilt = 0.0 if binary else tilt_that_counts(spread.tilt)
    below, above = t_reach(dof, level, tilt)
    return replace(
        result,
        se=se,
        low=value - below * se,
        high=value + above * se,
        dof=dof,
        tilt=tilt,
        note=units.note,
        skewed=None if binary else _skewed(spread, units),
    )


def tilt_that_counts(tilt: float) -> float:
    """The skewness of a mean that moves an end: all of it from .2 on, none below .1."""
    size = abs(tilt)
    return 0.0 if not size > _SKEWED / 2 else float(np.sign(tilt)) * min(size, 2 * size - _SKEWED)


def t_reach(dof: float, level: float, tilt: float) -> tuple[float, float]:
    """How many standard errors below and above a mean of this skewness its interval reaches."""
    t = t_quantile(dof, level)
    shift = tilt * (1 + 2 * t**2) / 6
    return t - min(shift, 0.0), t + max(shift, 0.0)


def tail(ratio: float, dof: float, facing: float) -> float:
    """Two-sided p-value of a distance in standard errors from 0, where the skewness `facing` 0 widens the interval.

    The end that faces 0 is t + c (1 + 2 t^2)/6 standard errors away, c the skewness on that side: solved for t.
    """
    from scipy.special import stdtr

    t = ratio if facing <= 0 else (np.sqrt(1 + 4 * facing / 3 * (ratio - facing / 6)) - 1) * 1.5 / facing
    return float(2 * stdtr(dof, -max(t, 0.0)))


def with_unseen(se: Floats | float, n: Floats | float) -> Floats:
    """Standard error of a mean that allows for outcomes which n rows may have without showing any."""
    hidden = _HIDDEN / (n + _HIDDEN) ** 2 / (1 + (n * se) ** 2 / _ENOUGH)
    return np.asarray(np.sqrt(se**2 + hidden), dtype=np.float64)


def paired_t(
    values: NDArray[Any],
    reference: NDArray[Any],
    *,
    level: float,
    weights: Floats | None = None,
    groups: NDArray[Any] | None = None,
) -> PairedEstimate:
    """Mean difference of two scores of the same rows, values minus reference, with its t interval and p-value.

    Parameters
    ----------
    values, reference : ndarray of shape (n,)
        Scores of the two models, row by row.
    level : float
        Coverage to aim at, such as 0.95.
    weights, groups : ndarray of shape (n,), optional
        As in `mean_interval`.

    Returns
    -------
    PairedEstimate
        With a note where one row carries more than 10 % of the variance.

    Notes
    -----
    Equal scores differ by 0, infinite ones too. Where just one is infinite the mean difference is infinite (NaN if
    both signs occur), and there is no interval. Covers 93.6 to 96.1 % at 300 to 10,000 rows.

    References
    ----------
    Student 1908, "The probable error of a mean".

    Examples
    --------
    >>> model, reference = np.array([0.9, 0.4, 0.7, 0.2]), np.array([0.5, 0.3, 0.5, 0.1])
    >>> difference = paired_t(model, reference, level=0.95)
    >>> round(difference.value, 4), round(difference.low, 4), round(difference.p_value, 4)
    (0.2, -0.025, 0.0663)
    """
    difference = _difference(np.asarray(values), np.asarray(reference))
    mean = mean_interval(difference, level=level, weights=weights, groups=groups)
    if mean.reason is not None or mean.dof is None or mean.se is None:
        return PairedEstimate(value=mean.value, reason=mean.reason)
    notes = [note for note in (mean.note, mean.skewed, _heavy_row(difference, mean.value, weights)) if note]
    return PairedEstimate(
        value=mean.value,
        low=mean.low,
        high=mean.high,
        p_value=_t_p_value(mean.value, mean.se, mean.dof, mean.tilt),
        note="; ".join(notes) or None,
    )


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Holm's adjusted p-values: valid together, whatever their dependence.

    Parameters
    ----------
    p_values : array-like of shape (m,)
        Two-sided p-values of m comparisons.

    Returns
    -------
    ndarray of shape (m,)
        In [0, 1], in the order given, never below the p-value itself.

    References
    ----------
    Holm 1979, "A simple sequentially rejective multiple test procedure", section 3.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def normal_quantile(level: float) -> float:
    """Half-width, in standard errors, of a two-sided normal interval."""
    from scipy.special import ndtri

    return float(-ndtri((1 - level) / 2))


def t_quantile(dof: float, level: float) -> float:
    """Half-width, in standard errors, of a two-sided t interval."""
    from scipy.special import stdtrit

    return float(-stdtrit(dof, (1 - level) / 2))


def _t_p_value(value: float, se: float, dof: float, tilt: float) -> float:
    """Two-sided p-value; without any variance a difference is certain, and none is none."""
    if se == 0:
        return 1.0 if value == 0 else 0.0
    return tail(abs(value) / se, dof, -np.sign(value) * tilt)


def _skewed(spread: Spread, units: Units) -> str | None:
    """A note where the units are too few for their skewness, by Cochran's rule."""
    if not abs(spread.tilt) > _SKEWED:
        return None
    kind = "rows" if units.codes is None else "groups"
    wanted = units.effective * (spread.tilt / _SKEWED) ** 2
    return (
        f"skewed scores ask for {wanted:,.0f} {kind} (25 times squared skewness) and there are {units.effective:,.0f}"
    )


def _difference(values: NDArray[Any], reference: NDArray[Any]) -> Floats:
    """Row differences in which equal infinities differ by 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = values.astype(np.float64) - reference
    return np.where(values == reference, 0.0, difference)


def infinite_rows(count: int, n: int) -> str:
    """Say why a mean that is not finite has no interval."""
    return f"{count:,} of {n:,} rows have an infinite score"


def _heavy_row(difference: Floats, mean: float, weights: Floats | None) -> str | None:
    """A note where one row carries more of the variance than 10 %, as in a tiny sample some row must."""
    if len(difference) <= 2 / _HEAVY_ROW:
        return None
    share = np.square((difference - mean) if weights is None else weights * (difference - mean))
    row, total = int(np.argmax(share)), float(np.sum(share))
    if total == 0 or share[row] <= _HEAVY_ROW * total:
        return None
    return f"row {row} carries {share[row] / total:.0%} of the variance"
