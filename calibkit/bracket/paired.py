"""The interval of the difference of two models' ECE on the same rows. Floor 2."""

from dataclasses import replace

import numpy as np

from calibkit._numerics import Floats, sums_by, weighted_mean
from calibkit.bracket.parts import BinnedRows, Parts, grouped, parts_of, signed_gap
from calibkit.bracket.single import grown_size, too_rare
from calibkit.intervals import PairedEstimate, normal_quantile, t_reach, tail, tilt_that_counts, with_unseen
from calibkit.units import Units


def paired_bracket(model: BinnedRows, reference: BinnedRows, *, level: float) -> PairedEstimate:
    """Difference of two models' l1 calibration errors on the same rows, with its interval and p-value.

    Parameters
    ----------
    model, reference : BinnedRows
        The same rows in the same order.
    level : float
        Coverage to aim at, such as 0.95.

    Returns
    -------
    PairedEstimate
        ``value`` is the difference of the plug-in errors. A file against itself gives exactly 0 and [0, 0]. Groups too
        few, or with too few misses, give no interval.

    Notes
    -----
    With theta, se and the two bounds of the bias of each model X (see `bracket_interval`), middle beta_X and half
    distance h_X of the bounds, and rho what the errors of the two share: m = theta_A - beta_A - theta_B + beta_B;
    se^2 = se_A^2 + se_B^2 - 2 rho se_A se_B; h = h_A + h_B, for a bias that is only bounded does not average out as an
    error does. The interval is m ± (h + z se), p = min(1, 2 Phi(-(|m| - h)_+ / se)), with se grown for outcomes that
    were not seen as in `bracket_interval`.

    rho is the correlation over rows of sign(D_b) (confidence - outcome) of the two models, in which a row whose two
    signs agree counts omega_A omega_B, omega = 2 Phi((|D_b|/s_b - 1)_+) - 1 for how sure a sign is, and one whose signs
    differ counts in full, however sure they are. With the signs as seen, a model and its recalibration would seem to
    share errors of gaps whose sign is luck, and in the worst case 77 % of the intervals would hold the truth.

    With groups, s_b, each se and rho are those of groups, and z and Phi are of t with their degrees of freedom and its
    term for skewness. The interval errs on the safe side nearly everywhere. A weak test of a difference; proper
    scores are better ones. Models that agree on every row differ by exactly 0, whatever other rows might have shown.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", eq. 3 (theta).

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> def rows(confidence, correct):
    ...     table = bin_table(confidence, correct, Binning(n_bins=1))
    ...     return BinnedRows(table=table, index=np.zeros(len(correct), int), gap=confidence - correct)
    >>> correct = np.arange(1000) % 5 > 0
    >>> difference = paired_bracket(rows(np.full(1000, 0.95), correct), rows(np.full(1000, 0.83), correct), level=0.95)
    >>> round(difference.value, 4), difference.p_value < 0.001
    (0.12, True)
    """
    if _identical(model, reference):
        return PairedEstimate(value=0.0, low=0.0, high=0.0, p_value=1.0)
    model, reference = model.present(), reference.present()
    first, second, units = parts_of(model.table), parts_of(reference.table), model.units()
    result = PairedEstimate(value=float(first.theta - second.theta))
    reason = units.reason or too_rare(model.table, units) or too_rare(reference.table, units)
    if reason is not None:
        return replace(result, reason=reason)
    rho = _shared(model, reference, first, second)
    by_rows = difference_error(first, second, rho)
    if units.codes is None:
        low, high, p_value = paired_ends(first, second, se=with_unseen(by_rows, units.effective), level=level)
        return replace(result, low=float(low), high=float(high), p_value=float(p_value))
    return _of_groups(result, model, reference, level=level, by_rows=by_rows)


def _of_groups(
    result: PairedEstimate, model: BinnedRows, reference: BinnedRows, *, level: float, by_rows: Floats
) -> PairedEstimate:
    """The interval of dependent rows."""
    units = model.units()
    (first, _), (second, _) = (grouped(parts_of(rows.table), rows, units) for rows in (model, reference))
    rho = _shared(model, reference, first, second, units)
    by_groups = np.maximum(by_rows, difference_error(first, second, rho))
    se = float(with_unseen(by_groups, grown_size(units, by_rows, by_groups)))
    middle, slack = (float(value) for value in _middle_and_slack(first, second))
    difference = signed_gap(model, np.sign(first.gap)) - signed_gap(reference, np.sign(second.gap))
    tilt, dof = tilt_that_counts(units.spread(difference, result.value).tilt), units.dof
    below, above = t_reach(dof, level, tilt)
    return replace(
        result,
        low=middle - slack - below * se,
        high=middle + slack + above * se,
        p_value=tail(max(abs(middle) - slack, 0.0) / se, dof, -float(np.sign(middle)) * tilt),
        note=units.note,
    )


def paired_ends(first: Parts, second: Parts, *, se: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Low and high end and p-value of independent rows, (...), from the pieces of both; `se` is of the difference."""
    from scipy.special import ndtr

    middle, slack = _middle_and_slack(first, second)
    reach, excess = slack + normal_quantile(level) * se, np.maximum(np.abs(middle) - slack, 0.0)
    certain = np.where(excess > 0, -np.inf, 0.0)  # without any error a difference is certain, and none is none
    ratio = np.divide(-excess, se, out=certain, where=se > 0)
    return middle - reach, middle + reach, np.minimum(1.0, 2 * ndtr(ratio))


def _middle_and_slack(first: Parts, second: Parts) -> tuple[Floats, Floats]:
    """The difference between the middles of the biases' bounds, and how far it may lie from that."""
    (low_first, high_first), (low_second, high_second) = first.bias(), second.bias()
    middle = first.theta - (low_first + high_first) / 2 - second.theta + (low_second + high_second) / 2
    return middle, (high_first - low_first) / 2 + (high_second - low_second) / 2


def difference_error(first: Parts, second: Parts, rho: Floats | float) -> Floats:
    """Standard error of the difference of two correlated errors of independent rows."""
    squared = first.se**2 + second.se**2 - 2 * rho * first.se * second.se
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _identical(model: BinnedRows, reference: BinnedRows) -> bool:
    """Whether two models say the same of the same rows."""
    pairs = (
        (model.gap, reference.gap),
        (model.index, reference.index),
        (model.table.weight, reference.table.weight),
        (model.table.confidence_sum, reference.table.confidence_sum),
    )
    return len(model.gap) > 0 and all(np.array_equal(one, other) for one, other in pairs)


def _shared(model: BinnedRows, reference: BinnedRows, first: Parts, second: Parts, units: Units | None = None) -> float:
    """Correlation of the errors of the two thetas, over rows or over the sums of groups, as far as it is sure."""
    signs = np.sign(first.gap)[model.index], np.sign(second.gap)[reference.index]
    sure = sure_share(first.sure_sign[model.index], second.sure_sign[reference.index])
    one, two = (
        _deviations(sign * rows.gap, rows.weights) for sign, rows in zip(signs, (model, reference), strict=True)
    )
    # What is shared, row by row; of groups, each model's share of it is its root.
    root = np.sqrt(sure)
    shared, other = root * one, root * two
    if units is not None and units.codes is not None:
        one, two, shared, other = (sums_by(units.codes, v, units.count) for v in (one, two, shared, other))
    scale = np.sqrt(np.sum(one**2) * np.sum(two**2))
    return float(np.clip(np.sum(shared * other) / scale, -1.0, 1.0)) if scale > 0 else 0.0


def sure_share(first: Floats, second: Floats) -> Floats:
    """How much of a covariance counts, from two sure signs: what makes a difference more certain only if it is sure."""
    product = first * second
    return np.where(np.signbit(product), 1.0, product)  # -0.0: signs that differ, one of them luck


def _deviations(values: Floats, weights: Floats | None) -> Floats:
    """Deviations from the weighted mean, times the weights."""
    deviations = values - weighted_mean(values, weights)
    return deviations if weights is None else weights * deviations
