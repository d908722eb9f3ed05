"""What chance alone does to an ECE, and the interval that allows for it, for one model and for a pair. Floor 2."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.intervals import PairedEstimate, Units, normal_quantile, t_quantile, units_of

_WEIGHTED = "an ECE interval of weighted rows has no shown coverage"
# Null draws per step: bounds the memory that many bins take.
_STEP = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What a calibrated model with the same confidences would show, by chance alone.

    Attributes
    ----------
    mean : float
        Its ECE on average.
    p95 : float
        95th percentile of its ECE.
    p_value : float
        One-sided: how often its ECE is at least the one observed.

    Examples
    --------
    >>> Chance(mean=0.009, p95=0.013, p_value=0.11).p95
    0.013
    """

    mean: float
    p95: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedRows:
    """The rows behind a bin table, for what a table cannot say: dependence between rows and between models.

    Attributes
    ----------
    table : BinTable
        Their sums.
    index : ndarray of shape (n,), integer
        Bin of each row.
    gap : ndarray of shape (n,)
        Confidence minus outcome of each row.
    groups : ndarray of shape (n,) or None
        Group of each row, where rows of one group are dependent.

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> table = bin_table(np.array([0.6, 0.9]), np.array([1, 0]), Binning(n_bins=2))
    >>> BinnedRows(table=table, index=np.array([1, 1]), gap=np.array([-0.4, 0.9])).groups is None
    True
    """

    table: BinTable
    index: NDArray[Any]
    gap: Floats
    groups: NDArray[Any] | None = None


def chance(table: BinTable, *, rng: np.random.Generator, n_draws: int = 2000) -> Chance:
    """ECE that a calibrated model with these confidences would show: consistency resampling of the bin table.

    Never to be subtracted from an ECE: where the model is miscalibrated, the bias is far smaller than this.

    Parameters
    ----------
    table : BinTable
        Of unweighted rows.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int, default 2000
        Number of calibrated models drawn.

    Returns
    -------
    Chance
        NaN for a table without rows.

    Notes
    -----
    Outcome sums are drawn as Binomial(N_b, C_b / N_b) for the N_b rows and confidence sum C_b of each bin; the p-value
    is (1 + number of draws at least as large) / (1 + n_draws). Its size at level 5 % is 5.0 to 5.5 %.

    References
    ----------
    Bröcker, Smith 2007, "Increasing the reliability of reliability diagrams", section 3.
    Vaicenavicius et al. 2019, "Evaluating model calibration in classification", section 5.

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 2, Binning())
    >>> null = chance(table, rng=np.random.default_rng(0))
    >>> 0.01 < null.mean < 0.015, null.p_value < 0.001
    (True, True)
    """
    assert not table.weighted  # who calls it asks first
    filled = table.count > 0
    if not filled.any():
        return Chance(mean=np.nan, p95=np.nan, p_value=np.nan)
    count, expected = table.count[filled], table.confidence_sum[filled]
    rate = np.clip(expected / count, 0.0, 1.0)
    null = np.empty(n_draws)
    step = max(1, _STEP // len(count))
    for start in range(0, n_draws, step):
        size = (min(step, n_draws - start), len(count))
        null[start : start + step] = np.abs(rng.binomial(count, rate, size=size) - expected).sum(axis=1)
    null /= count.sum()
    observed = _parts(table).theta
    # Sums that are equal as real numbers may differ in the last bits.
    reached = int(np.count_nonzero(null >= observed * (1 - 1e-12)))
    return Chance(mean=float(null.mean()), p95=float(np.quantile(null, 0.95)), p_value=(1 + reached) / (1 + n_draws))


def bracket_interval(
    rows: BinnedRows | BinTable, *, level: float, chance: Chance
) -> tuple[float | None, float | None, str | None]:
    """Interval of the l1 calibration error over given bins, allowing for its upward bias.

    Parameters
    ----------
    rows : BinnedRows or BinTable
        The bin table; with its rows, groups of dependent rows count as dependent.
    level : float
        Coverage to aim at, such as 0.95.
    chance : Chance
        From the same table; decides whether the interval reaches 0.

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

    With groups, s_b and se are CR3 jackknife errors over groups, each at least its value by rows, and z is the t
    quantile with G_eff - 1 degrees of freedom. ``python -m benchmarks.coverage`` measures the coverage.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", eq. 3 (theta).
    Bröcker 2012, "Estimating reliability and resolution of probability forecasts through decomposition of the
    empirical score" (the bias of binned gaps).
    Diaconis, Zabell 1991, "Closed form summation for classical distributions" (mean deviation of a binomial).

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 5 > 0, Binning())
    >>> low, high, _ = bracket_interval(table, level=0.95, chance=chance(table, rng=np.random.default_rng(0)))
    >>> round(low, 4), round(high, 4)
    (0.0608, 0.1392)
    """
    table = rows.table if isinstance(rows, BinnedRows) else rows
    units = units_of(int(table.count.sum()), groups=rows.groups if isinstance(rows, BinnedRows) else None)
    if table.weighted or units.reason is not None:
        return None, None, _WEIGHTED if table.weighted else units.reason
    parts = _parts(table)
    z = normal_quantile(level)
    if isinstance(rows, BinnedRows) and units.codes is not None:
        parts = _grouped(parts, rows, units)
        z = t_quantile(units.effective - 1, level)
    bias_low, bias_high = parts.bias
    low = max(parts.theta - bias_high - z * parts.se, 0.0)
    if chance.p_value > (1 - level) / 2:
        low = 0.0
    high = min(max(parts.theta - bias_low + z * parts.se, low), 1.0)
    return low, high, None


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
        ``value`` is the difference of the plug-in errors. A file against itself gives exactly 0 and [0, 0]; grouped or
        weighted rows give no interval.

    Notes
    -----
    With theta, se and the two bounds of the bias of each model X (see `bracket_interval`), middle beta_X and half
    distance h_X of the bounds, and rho the correlation over rows of sign(D_b) (confidence - outcome) of the two models:
    m = theta_A - beta_A - theta_B + beta_B; se^2 = se_A^2 + se_B^2 - 2 rho se_A se_B; h^2 likewise from h_A and h_B.
    The interval is m ± (h + z se), p = min(1, 2 Phi(-(|m| - h)_+ / se)). Errs on the safe side nearly everywhere: 0 to
    6 % of equal pairs are told apart at 95 %. The worst of 138 simulated cells, 10,000 rows of a gap in one bin against
    gaps of alternating sign, covers 90 to 92 %. A weak test of a difference; proper scores are better ones.

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
    first, second = _parts(model.table), _parts(reference.table)
    result = PairedEstimate(value=first.theta - second.theta)
    reason = _no_paired_interval(model, reference)
    if reason is not None:
        return replace(result, reason=reason)
    if np.array_equal(model.gap, reference.gap) and np.array_equal(model.index, reference.index):
        return PairedEstimate(value=0.0, low=0.0, high=0.0, p_value=1.0)
    rho = _correlation(_signed_gap(model, first), _signed_gap(reference, second))
    half_first, half_second = ((bias[1] - bias[0]) / 2 for bias in (first.bias, second.bias))
    middle = result.value - sum(first.bias) / 2 + sum(second.bias) / 2
    se = _difference_error(first.se, second.se, rho)
    slack = _difference_error(half_first, half_second, rho)
    reach = slack + normal_quantile(level) * se
    return replace(result, low=middle - reach, high=middle + reach, p_value=_p_value(abs(middle) - slack, se))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The pieces of a bracket interval, by bin: gap D_b and its standard error s_b, over the B filled bins."""

    gap: Floats
    error: Floats
    theta: float
    se: float
    null_size: Floats
    filled: NDArray[np.bool_]

    @property
    def bias(self) -> tuple[float, float]:
        """Lower and upper bound of the bias of theta."""
        size, b = np.abs(self.gap), max(len(self.gap), 1)
        shrunk = np.maximum(size - np.sqrt(max(1.0, np.log(b / 5.5))) * self.error, 0.0)
        largest = _folded_bias(shrunk, self.error)
        # A bin of few rows is not normal: where its gap may be 0, its bias may be that of a calibrated bin.
        largest = np.where(shrunk > 0, largest, np.maximum(largest, self.null_size))
        stretched = size + 0.16 * max(0.0, np.log(b / 15)) * self.error
        return float(np.sum(_folded_bias(stretched, self.error))), float(np.sum(largest))


def _parts(table: BinTable) -> _Parts:
    """Gaps and errors of independent rows, from the table alone."""
    filled = table.count > 0
    count, confidence, outcome = (sums[filled] for sums in (table.weight, table.confidence_sum, table.outcome_sum))
    n = max(float(count.sum()), 1.0)
    gap = (confidence - outcome) / n
    theta = float(np.abs(gap).sum())
    rate = np.clip((outcome + 2 * confidence / count) / (count + 2), 0.0, 1.0)
    variance = count * rate * (1 - rate) / n**2
    between = max(0.0, n * float(np.sum(gap**2 / count)) - theta**2) / n
    se = float(np.sqrt(variance.sum() + between))
    return _Parts(
        gap=gap,
        error=np.sqrt(variance),
        theta=theta,
        se=se,
        null_size=_null_size(count, np.clip(confidence / count, 0.0, 1.0)) / n,
        filled=filled,
    )


def _null_size(count: Floats, rate: Floats) -> Floats:
    """Mean of |Y - C| in a calibrated bin: the mean absolute deviation of a binomial (de Moivre's formula)."""
    from scipy.special import gammaln, xlog1py, xlogy

    below = np.minimum(np.floor(count * rate), count - 1)
    log_choices = gammaln(count) - gammaln(below + 1) - gammaln(count - below)
    log_mass = log_choices + xlogy(below + 1, rate) + xlog1py(count - below, -rate)
    size: Floats = 2 * count * np.exp(log_mass)
    return size


def _grouped(parts: _Parts, rows: BinnedRows, units: Units) -> _Parts:
    """The same pieces with the CR3 errors of dependent rows, none below its value by rows."""
    signed = _signed_gap(rows, parts)
    error = _group_errors(rows, units)[parts.filled]
    return replace(
        parts,
        error=np.maximum(parts.error, error),
        se=max(parts.se, units.standard_error(signed - parts.theta)),
    )


def _group_errors(rows: BinnedRows, units: Units) -> Floats:
    """CR3 standard error of each D_b: leaving out group g moves it by (sum of its gaps - n_g D_b) / (n - n_g)."""
    assert units.codes is not None
    b, n = len(rows.table.count), len(rows.gap)
    # Only the (group, bin) cells that hold rows: a dense table could be far larger than the rows.
    cells, place = np.unique(units.codes * b + rows.index, return_inverse=True)
    total = np.bincount(place, weights=rows.gap)
    bin_of, group_of = cells % b, cells // b
    size = np.asarray(units.weight)
    reach = size / (n - size)
    mean = np.bincount(bin_of, total, b) / n
    moved = total / (n - size[group_of])
    squares = (
        np.bincount(bin_of, moved**2, b)
        - 2 * mean * np.bincount(bin_of, moved * reach[group_of], b)
        + mean**2 * np.sum(reach**2)
    )
    variance: Floats = np.maximum(squares, 0.0) * (units.count - 1) / units.count
    return np.sqrt(variance)


def _signed_gap(rows: BinnedRows, parts: _Parts) -> Floats:
    """Each row's gap, with the sign of its bin's gap: theta is their mean."""
    sign = np.zeros(len(rows.table.count))
    sign[parts.filled] = np.sign(parts.gap)
    signed: Floats = sign[rows.index] * rows.gap
    return signed


def _folded_bias(size: Floats, error: Floats) -> Floats:
    """E|d + sZ| - d for each bin, the upward bias of |D_b| for a true gap d; 0 where s is 0."""
    from scipy.special import ndtr

    ratio = np.full(len(size), np.inf)
    np.divide(size, error, out=ratio, where=error > 0)
    bias: Floats = 2 * error * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi) - 2 * size * ndtr(-ratio)
    return bias


def _difference_error(first: float, second: float, rho: float) -> float:
    """Standard error of a difference of two correlated estimates."""
    return float(np.sqrt(max(first**2 + second**2 - 2 * rho * first * second, 0.0)))


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
        return _WEIGHTED
    if model.groups is not None or reference.groups is not None:
        return "an ECE difference of grouped rows has no shown coverage"
    return units_of(len(model.gap)).reason
