"""The interval of one model's ECE, allowing for its bias. Floor 2."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.bracket.chance import Chance
from calibkit.bracket.many import many_pairs_parts
from calibkit.bracket.parts import BinnedRows, grouped, parts_of, table_size
from calibkit.intervals import normal_quantile, t_reach, with_unseen
from calibkit.units import Units

# How much larger, in standard errors, the gaps of few groups may be: the errors that they are held against are noisy.
_FURTHER = 0.3
# Rarer outcomes of dependent rows, in whole groups: with fewer, the groups that would tell were not seen.
_MIN_RARE_GROUPS = 2


def bracket_interval(
    rows: BinnedRows | BinTable, *, level: float, chance: Chance | None = None
) -> tuple[float | None, float | None, str | None]:
    """Interval of the l1 calibration error over given bins, allowing for its upward bias.

    Parameters
    ----------
    rows : BinnedRows or BinTable
        The bin table; with its rows, groups of dependent rows count as dependent.
    level : float
        Coverage to aim at, such as 0.95.
    chance : Chance, optional
        From the same table, or of the same groups; decides whether the interval reaches 0.

    Returns
    -------
    low, high : float or None
        Ends, in [0, 1]. The plug-in ECE is biased, and with many bins `high` may lie below it.
    reason : str or None
        Why there is no interval.

    Notes
    -----
    The estimand is sum_b |E[(confidence - outcome) 1_b]| over the given, fixed edges: a lower bound of the error that
    knows no bins. With the sums N_b, C_b (confidence), Y_b (outcome) of the B filled bins, n rows,

    - D_b = (C_b - Y_b)/n, theta = sum |D_b|, p_b = (Y_b + 2 C_b/N_b)/(N_b + 2), s_b^2 = N_b p_b (1 - p_b)/n^2;
    - se^2 = sum s_b^2 + max(0, n sum D_b^2/N_b - theta^2)/n;
    - beta(d, s) = 2 s phi(d/s) - 2 d Phi(-d/s), which is E|d + sZ| - d: the bias of a bin whose true gap is d.

    The bias of theta is bounded from below by taking gaps as seen, and a little larger in many bins:
    sum beta(|D_b| + kappa s_b, s_b), kappa = .16 max(0, ln(B/9)); and from above by shrinking them by tau standard
    errors: sum beta(max(|D_b| - tau s_b, 0), s_b), tau = max(1, sqrt(ln(B/5.5))), where a bin whose gap shrinks to 0
    counts at least with the mean |Y_b - C_b|/n of a calibrated bin, exact for the few rows that are not normal.
    low = theta - the larger bound - z se, high = theta - the smaller one + z se; low is 0 where the test of `chance`
    does not reject at one-sided (1 - level)/2. The 2 pseudo-rows keep s_b > 0 in bins that are all correct.

    Misses (or, of rare events, hits) too rare to be seen have no place in these sums: where none was seen, 3.7/n of
    them are still within a two-sided 95 %. Therefore se^2 grows by 4/(n + 4)^2 / (1 + n^2 se^2/30): the 4 pseudo-rows
    of Agresti and Coull where little was seen, nothing where much was. 20 rows that are all correct with
    confidence 1 have the interval [0, .163].

    Of weighted rows, n and the N_b of p_b are Kish's effective numbers, sums are weighted, and s_b^2 and the second
    part of se^2 are the weighted variances. With groups, s_b and se are CR3 jackknife errors over groups, each at least
    its value by rows, z is the t quantile with the degrees of freedom of groups and its term for skewness (see
    `mean_interval`), n in the growth of se is n/deff, deff the ratio of se^2 to its value by rows (at most
    n/G_eff), and kappa is .3 larger: the s_b of few groups are noisy, and where one is too small so is the gap that its
    bias is taken from. There is no interval where the rarer outcomes of the bins, a share r of the rows, are worth
    fewer than r G_eff = 2 groups.
    ``python -m benchmarks.coverage`` measures the coverage.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", eq. 3 (theta).
    Bröcker 2012, "Estimating reliability and resolution of probability forecasts through decomposition of the
    empirical score" (the bias of binned gaps).
    Agresti, Coull 1998, "Approximate is better than exact for interval estimation of binomial proportions".
    Diaconis, Zabell 1991, "Closed form summation for classical distributions" (mean deviation of a binomial).

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> from calibkit.resampling import chance
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 5 > 0, Binning())
    >>> low, high, _ = bracket_interval(table, level=0.95, chance=chance(table, rng=np.random.default_rng(0)))
    >>> round(low, 4), round(high, 4)
    (0.0605, 0.1395)
    """
    explained = chance is not None and chance.p_value > (1 - level) / 2
    if isinstance(rows, BinnedRows) and rows.groups is not None:
        return _group_ends(rows.present(), level, explained=explained)
    table = rows if isinstance(rows, BinTable) else rows.table
    units = table_units(table)
    if units.reason is not None:
        return None, None, units.reason
    low, high = table_ends(table, level=level, explained=explained)
    if not np.isfinite(low) or not np.isfinite(high):
        return None, None, "the weights are beyond the range of floats"
    return float(low), float(high), None


def table_ends(table: BinTable, *, level: float, explained: NDArray[np.bool_] | bool) -> tuple[Floats, Floats]:
    """Ends of the interval of independent rows, (...), from their table (..., b) alone."""
    parts, effective = parts_of(table), table_size(table)
    reach = normal_quantile(level) * with_unseen(parts.se, effective)
    return parts.ends(reach, reach, explained=explained)


def many_pairs_ends(
    tables: Sequence[BinTable], n: int, *, pairs_per_row: int, level: float, chance: Chance | None = None
) -> tuple[float | None, float | None, str | None]:
    """Interval of the ECE over k pairs a row, from its tables (see `many_pairs_parts`), or why there is none."""
    units = Units(codes=None, row_weight=None, weight=1.0, count=n, effective=float(n))
    if units.reason is not None:
        return None, None, units.reason
    explained = chance is not None and chance.p_value > (1 - level) / 2
    low, high = many_table_ends(tables, n, pairs_per_row=pairs_per_row, level=level)
    return 0.0 if explained else float(low), float(high), None


def many_table_ends(tables: Sequence[BinTable], n: int, *, pairs_per_row: int, level: float) -> tuple[Floats, Floats]:
    """Ends of that interval, (...), from tables (..., b) of n rows."""
    parts = many_pairs_parts(tables, pairs_per_row=pairs_per_row)
    reach = normal_quantile(level) * with_unseen(parts.se, n)
    return parts.ends(reach, reach)


def _group_ends(rows: BinnedRows, level: float, *, explained: bool) -> tuple[float | None, float | None, str | None]:
    """Ends of the interval of dependent rows, or why there are none."""
    units = rows.units()
    reason = units.reason or too_rare(rows.table, units)
    if reason is not None:
        return None, None, reason
    by_rows = parts_of(rows.table)
    parts, tilt = grouped(by_rows, rows, units)
    se = with_unseen(parts.se, grown_size(units, by_rows.se, parts.se))
    below, above = t_reach(units.dof, level, tilt)
    low, high = parts.ends(below * se, above * se, explained=explained, further=_FURTHER)
    return float(low), float(high), None


def grown_size(units: Units, by_rows: Floats, by_groups: Floats) -> float:
    """Rows that dependent rows are worth, of their variance: between G_eff and n."""
    deflated = (by_rows / by_groups) ** 2 if by_groups > 0 else 0.0
    n = units.effective if units.codes is None else float(len(units.codes))
    return max(units.effective, n * min(1.0, float(deflated)))


def too_rare(table: BinTable, units: Units) -> str | None:
    """Why groups with so few misses have no interval, or None."""
    if units.codes is None:
        return None
    rarer = np.minimum(table.outcome_sum, table.weight - table.outcome_sum).sum() / table.weight.sum()
    if rarer * units.effective >= _MIN_RARE_GROUPS:
        return None
    return (
        f"{rarer:.1%} rarer outcomes (misses, say) are worth {rarer * units.effective:.1f} of "
        f"{units.effective:.1f} effective groups, fewer than {_MIN_RARE_GROUPS}"
    )


def table_units(table: BinTable) -> Units:
    """The rows of a table, each a unit."""
    n, effective = int(table.count.sum()), float(table_size(table))
    return Units(codes=None, row_weight=None, weight=1.0, count=n, effective=effective)
