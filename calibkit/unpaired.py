"""Differences between two samples that share no row: of means, and of calibration errors. Floor 2."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.bracket import BinnedRows
from calibkit.bracket.paired import paired_ends
from calibkit.bracket.parts import parts_of, table_size
from calibkit.intervals import PairedEstimate, mean_interval, t_reach, tail, with_unseen

Two = tuple[NDArray[Any] | None, NDArray[Any] | None]


def unpaired_t(
    values: NDArray[Any],
    reference: NDArray[Any],
    *,
    level: float,
    weights: tuple[Floats | None, Floats | None] = (None, None),
    groups: Two = (None, None),
) -> PairedEstimate:
    """Difference of the means of two independent samples, with Welch's interval and p-value.

    Parameters
    ----------
    values, reference : ndarray of shape (n,) and (m,)
        Scores of different rows.
    level : float
        Coverage to aim at, such as 0.95.
    weights, groups : pair of ndarray, optional
        Of each sample, as in `mean_interval`.

    Returns
    -------
    PairedEstimate
        Without an interval, and with the reason, where either mean has none.

    Notes
    -----
    se^2 = se_1^2 + se_2^2 of the two jackknife errors, degrees of freedom by Satterthwaite. The skewness of the
    difference, (c_1 se_1^3 - c_2 se_2^3)/se^3, moves an end as in `mean_interval`.

    References
    ----------
    Welch 1938, "The significance of the difference between two means when the population variances are unequal".

    Examples
    --------
    >>> found = unpaired_t(np.array([0.9, 0.4, 0.7, 0.2]), np.array([0.5, 0.3, 0.1]), level=0.95)
    >>> round(found.value, 4), round(found.low, 4), round(found.p_value, 4)
    (0.25, -0.249, 0.2536)
    """
    samples = zip((values, reference), weights, groups, strict=True)
    one, two = (mean_interval(scores, level=level, weights=w, groups=g) for scores, w, g in samples)
    with np.errstate(invalid="ignore"):
        result = PairedEstimate(value=one.value - two.value)
    if one.se is None or two.se is None or one.dof is None or two.dof is None:
        return replace(result, reason=one.reason or two.reason)
    variances = one.se**2, two.se**2
    se = float(np.sqrt(sum(variances)))
    if se == 0:
        return replace(result, low=result.value, high=result.value, p_value=1.0 if result.value == 0 else 0.0)
    dof = sum(variances) ** 2 / (variances[0] ** 2 / one.dof + variances[1] ** 2 / two.dof)
    tilt = (one.tilt * one.se**3 - two.tilt * two.se**3) / se**3
    below, above = t_reach(dof, level, tilt)
    notes = dict.fromkeys(note for mean in (one, two) for note in (mean.note, mean.skewed) if note)
    return replace(
        result,
        low=result.value - below * se,
        high=result.value + above * se,
        p_value=tail(abs(result.value) / se, dof, -float(np.sign(result.value)) * tilt),
        note="; ".join(notes) or None,
    )


def unpaired_bracket(model: BinnedRows, reference: BinnedRows, *, level: float) -> PairedEstimate:
    """Difference of two models' l1 calibration errors on different rows, with its interval and p-value.

    Parameters
    ----------
    model, reference : BinnedRows
        Two independent samples.
    level : float
        Coverage to aim at, such as 0.95.

    Returns
    -------
    PairedEstimate
        Groups of dependent rows have no interval: none was shown to cover.

    Notes
    -----
    `paired_bracket` with rho = 0: nothing is shared, so that variances add up, and so do the bounds of the biases.

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> def rows(confidence, correct):
    ...     table = bin_table(confidence, correct, Binning(n_bins=1))
    ...     return BinnedRows(table=table, index=np.zeros(len(correct), int), gap=confidence - correct)
    >>> two = rows(np.full(1000, 0.95), np.arange(1000) % 5 > 0), rows(np.full(500, 0.83), np.arange(500) % 5 > 0)
    >>> found = unpaired_bracket(*two, level=0.95)
    >>> round(found.value, 4), found.p_value < 0.001
    (0.12, True)
    """
    first, second = parts_of(model.table), parts_of(reference.table)
    result = PairedEstimate(value=float(first.theta - second.theta))
    if model.groups is not None or reference.groups is not None:
        return replace(result, reason="an ECE difference of groups on different rows has no shown coverage")
    reason = model.present().units().reason or reference.present().units().reason
    if reason is not None:
        return replace(result, reason=reason)
    grown = [with_unseen(parts.se, table_size(rows.table)) for parts, rows in ((first, model), (second, reference))]
    se = np.asarray(np.hypot(*grown))
    low, high, p_value = paired_ends(first, second, se=se, level=level)
    return replace(result, low=float(low), high=float(high), p_value=float(p_value))
