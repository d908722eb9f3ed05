"""Hosmer and Lemeshow's chi-square over groups of equal count. Floor 2."""

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_real
from calibkit._numerics import Integers
from calibkit.binning import Binning, BinTable, bin_table
from calibkit.goodness_of_fit.result import TestResult, chi_square_tail, nothing, variance
from calibkit.pairs import Pairs, PairView, read_pairs

DECILES = Binning(n_bins=10, strategy="quantile")


def hosmer_lemeshow_test(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    n_bins: int = 10,
    min_expected: float = 5.0,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
) -> TestResult:
    """Hosmer and Lemeshow's chi-square test of calibration, for rows on which the model was not fitted.

    In [0, inf]; p is small where the forecasts are not calibrated. Its value and its p depend on the number of groups,
    and errors that cancel within a group are not seen.

    Parameters
    ----------
    labels, probs, view, weights
        As in `cumulative_difference_test`.
    n_bins : int, default 10
        Number g of groups of equal count; rows of equal forecast stay together, so fewer may remain.
    min_expected : float, default 5
        Neighbouring groups are merged until each expects so many events and so many non-events (Cochran 1954), for
        chi-square is wrong below: of ten groups of a confident network, whose best expect hardly a miss, it rejects 8
        to 10 % of calibrated models. 0 leaves the groups as they are, as most packages do.

    Returns
    -------
    TestResult
        With the degrees of freedom: the groups that remain. NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError, OptionError
        As `cumulative_difference_test`.

    Notes
    -----
    The sum over groups of (O - E)^2 / (N m (1 - m)), with O events among N rows, mean forecast m and E = N m; merged
    groups add their O - E and their variances. For weighted rows N is sum w, the variance has sum w^2 in place of N,
    and min_expected counts effective rows. It is compared with a chi-square of g degrees of freedom, g groups after
    merging. The usual g - 2 is for the rows that a logistic regression was fitted on; on other rows it rejects 11 % of
    calibrated models at g = 10 and level 5 %. Groups whose forecasts are all 0, or all 1, add nothing if their
    outcomes are as forecast, else the statistic is infinite.

    References
    ----------
    Hosmer, Lemeshow 1980, "Goodness of fit tests for the multiple logistic regression model".
    Cochran 1954, "Some methods for strengthening the common chi-square tests".

    Examples
    --------
    Two groups of 20 rows expect 6 and 14 events, and see 2 and 12: (4^2 + 2^2) / (20 * .3 * .7).

    >>> from calibkit import hosmer_lemeshow_test
    >>> labels = [1] * 2 + [0] * 18 + [1] * 12 + [0] * 8
    >>> result = hosmer_lemeshow_test(labels, [0.3] * 20 + [0.7] * 20, n_bins=2)
    >>> round(result.statistic, 4), result.degrees_of_freedom, round(result.p_value, 4)
    (4.7619, 2, 0.0925)
    """
    binning = Binning(n_bins=n_bins, strategy="quantile")
    least = check_real(min_expected, option="min_expected", low=-1e-300, high=np.inf)
    return hosmer_lemeshow(read_pairs(labels, probs, view=view, weights=weights), binning, min_expected=least)


def hosmer_lemeshow(pairs: Pairs, binning: Binning = DECILES, *, min_expected: float = 5.0) -> TestResult:
    """Test pairs by groups of equal count."""
    if len(pairs) == 0:
        return nothing()
    if not variance(pairs.forecast).any():  # without chance, forecasts come true or they do not
        true = bool((pairs.forecast == pairs.outcome).all())
        return TestResult(statistic=0.0 if true else float("inf"), p_value=float(true), degrees_of_freedom=0)
    value, groups = _chi_square(bin_table(pairs.forecast, pairs.outcome, binning, weights=pairs.weights), min_expected)
    return TestResult(statistic=value, p_value=chi_square_tail(value, groups), degrees_of_freedom=groups)


def _chi_square(table: BinTable, least: float) -> tuple[float, int]:
    """The statistic, and the number of groups after merging."""
    filled = table.count > 0
    gap = (table.outcome_sum - table.confidence_sum)[filled]
    spread = table.weight_squared[filled] * variance(np.clip(table.confidence[filled], 0, 1))
    if (gap[spread == 0] != 0).any():
        return float("inf"), int(np.count_nonzero(spread))
    groups = _merged(table, least)
    gaps_of, spread_of = (np.bincount(groups, weights=values) for values in (gap, spread))
    chance = spread_of > 0
    return float(np.sum(gaps_of[chance] ** 2 / spread_of[chance])), int(chance.sum())


def _merged(table: BinTable, least: float) -> Integers:
    """Which group each filled bin goes to: neighbours together until each group expects enough of both outcomes."""
    filled = table.count > 0
    sums = np.stack([table.weight, table.weight_squared, table.confidence_sum])[:, filled]
    groups, held, group = np.zeros(sums.shape[1], np.int64), np.zeros(3), 0
    for b in range(sums.shape[1]):
        groups[b] = group
        held += sums[:, b]
        weight, squared, expected = held
        if min(expected, weight - expected) * weight / squared >= least:  # in rows, of weighted ones effective
            group, held = group + 1, np.zeros(3)
    return np.minimum(groups, max(group - 1, 0))  # what is left over goes to the last that is full
