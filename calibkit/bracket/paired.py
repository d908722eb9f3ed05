"""The interval of the difference of two models' ECE on the same rows. Floor 2."""

from dataclasses import replace

import numpy as np

from calibkit._numerics import Floats
from calibkit.bracket.parts import WEIGHTED, BinnedRows, parts_of, signed_gap
from calibkit.intervals import PairedEstimate, normal_quantile, units_of, with_unseen


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
        ``value`` is the difference of the plug-in errors. A file against itself gives exactly 0 and [0, 0]; other
        grouped or weighted rows give no interval.

    Notes
    -----
    With theta, se and the two bounds of the bias of each model X (see `bracket_interval`), middle beta_X and half
    distance h_X of the bounds, and rho the correlation over rows of sign(D_b) (confidence - outcome) of the two models:
    m = theta_A - beta_A - theta_B + beta_B; se^2 = se_A^2 + se_B^2 - 2 rho se_A se_B; h = rho_+ |h_A - h_B| +
    (1 - rho_+) (h_A + h_B) with rho_+ = max(rho, 0): a bias that is only bounded does not average out as an error
    does, unless the two models share it. The interval is m ± (h + z se), p = min(1, 2 Phi(-(|m| - h)_+ / se)), with se
    grown for outcomes that were not seen as in `bracket_interval`. It errs on the safe side nearly everywhere. A weak
    test of a difference; proper scores are better ones. Models that agree on every row differ by exactly 0, whatever
    other rows might have shown.

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
    first, second = parts_of(model.table), parts_of(reference.table)
    result = PairedEstimate(value=first.theta - second.theta)
    reason = _no_paired_interval(model, reference)
    if reason is not None:
        return replace(result, reason=reason)
    rho = _correlation(signed_gap(model, first), signed_gap(reference, second))
    half_first, half_second = ((bias[1] - bias[0]) / 2 for bias in (first.bias, second.bias))
    middle = result.value - sum(first.bias) / 2 + sum(second.bias) / 2
    se = with_unseen(_difference_error(first.se, second.se, rho), len(model.gap))
    slack = _difference_slack(half_first, half_second, rho)
    reach = slack + normal_quantile(level) * se
    return replace(result, low=middle - reach, high=middle + reach, p_value=_p_value(abs(middle) - slack, se))


def _identical(model: BinnedRows, reference: BinnedRows) -> bool:
    """Whether two models say the same of the same rows."""
    pairs = (
        (model.gap, reference.gap),
        (model.index, reference.index),
        (model.table.weight, reference.table.weight),
        (model.table.confidence_sum, reference.table.confidence_sum),
    )
    return len(model.gap) > 0 and all(np.array_equal(one, other) for one, other in pairs)


def _difference_error(first: float, second: float, rho: float) -> float:
    """Standard error of a difference of two correlated estimates."""
    return float(np.sqrt(max(first**2 + second**2 - 2 * rho * first * second, 0.0)))


def _difference_slack(first: float, second: float, rho: float) -> float:
    """How far the bias of a difference may lie from its middle: what is shared cancels, the rest adds up."""
    shared = max(rho, 0.0)
    return shared * abs(first - second) + (1 - shared) * (first + second)


def _correlation(first: Floats, second: Floats) -> float:
    """Correlation over rows; 0 where one does not vary."""
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.clip(np.sum(first * second) / scale, -1.0, 1.0)) if scale > 0 else 0.0


def _p_value(excess: float, se: float) -> float:
    """Two-sided p-value of what is left of a difference beyond the uncertainty of its bias."""
    from scipy.special import ndtr

    if excess <= 0 or se == 0:
        return 1.0 if excess <= 0 else 0.0
    return float(min(1.0, 2 * ndtr(-excess / se)))


def _no_paired_interval(model: BinnedRows, reference: BinnedRows) -> str | None:
    """Why these rows have no paired bracket interval, or None."""
    if model.table.weighted or reference.table.weighted:
        return WEIGHTED
    if model.groups is not None or reference.groups is not None:
        return "an ECE difference of grouped rows has no shown coverage"
    return units_of(len(model.gap)).reason
