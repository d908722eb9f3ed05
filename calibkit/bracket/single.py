"""The interval of one model's ECE, allowing for its bias. Floor 2."""

import numpy as np

from calibkit.binning import BinTable
from calibkit.bracket.null import Chance
from calibkit.bracket.parts import WEIGHTED, BinnedRows, grouped, parts_of
from calibkit.intervals import Units, normal_quantile, t_quantile, units_of, with_unseen

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
        From the same table; decides whether the interval reaches 0. Dependent rows have none: theirs is not looked at,
        and the formula alone decides.

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
    sum beta(|D_b| + kappa s_b, s_b), kappa = .16 max(0, ln(B/15)); and from above by shrinking them by tau standard
    errors: sum beta(max(|D_b| - tau s_b, 0), s_b), tau = max(1, sqrt(ln(B/5.5))), where a bin whose gap shrinks to 0
    counts at least with the mean |Y_b - C_b|/n of a calibrated bin, exact for the few rows that are not normal.
    low = theta - the larger bound - z se, high = theta - the smaller one + z se; low is 0 where the test of `chance`
    does not reject at one-sided (1 - level)/2. The 2 pseudo-rows keep s_b > 0 in bins that are all correct.

    Misses (or, of rare events, hits) too rare to be seen have no place in these sums: where none was seen, 3.7/n of
    them are still within a two-sided 95 %. Therefore se^2 grows by 4/(n + 4)^2 / (1 + n^2 se^2/30): the 4 pseudo-rows
    of Agresti and Coull where little was seen, nothing where much was. 20 rows that are all correct with
    confidence 1 have the interval [0, .163].

    With groups, s_b and se are CR3 jackknife errors over groups, each at least its value by rows, z is the t quantile
    with G_eff - 1 degrees of freedom, and n in the growth of se is n/deff, deff the ratio of se^2 to its value by rows
    (at most n/G_eff). There is no interval where the rarer outcomes of the bins, a share r of the rows, are worth
    fewer than r G_eff = 2 groups. ``python -m benchmarks.coverage`` measures the coverage.

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
    >>> from calibkit.bracket import chance
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 5 > 0, Binning())
    >>> low, high, _ = bracket_interval(table, level=0.95, chance=chance(table, rng=np.random.default_rng(0)))
    >>> round(low, 4), round(high, 4)
    (0.0605, 0.1395)
    """
    table = rows.table if isinstance(rows, BinnedRows) else rows
    n = int(table.count.sum())
    units = units_of(n, groups=rows.groups if isinstance(rows, BinnedRows) else None)
    reason = WEIGHTED if table.weighted else units.reason or _too_rare(table, units)
    if reason is not None:
        return None, None, reason
    parts, z, effective = parts_of(table), normal_quantile(level), float(n)
    if isinstance(rows, BinnedRows) and units.codes is not None:
        by_rows, parts = parts.se, grouped(parts, rows, units)
        z, chance = t_quantile(units.effective - 1, level), None
        effective = max(units.effective, n * min(1.0, (by_rows / parts.se) ** 2 if parts.se > 0 else 0.0))
    reach = z * with_unseen(parts.se, effective)
    bias_low, bias_high = parts.bias
    low = max(parts.theta - bias_high - reach, 0.0)
    if chance is not None and chance.p_value > (1 - level) / 2:
        low = 0.0
    high = min(max(parts.theta - bias_low + reach, low), 1.0)
    return low, high, None


def _too_rare(table: BinTable, units: Units) -> str | None:
    """Why groups with so few misses have no interval, or None."""
    if units.codes is None:
        return None
    rarer = np.minimum(table.outcome_sum, table.count - table.outcome_sum).sum() / table.count.sum()
    if rarer * units.effective >= _MIN_RARE_GROUPS:
        return None
    return (
        f"{rarer:.1%} rarer outcomes (misses, say) are worth {rarer * units.effective:.1f} of "
        f"{units.effective:.1f} effective groups, fewer than {_MIN_RARE_GROUPS}"
    )
