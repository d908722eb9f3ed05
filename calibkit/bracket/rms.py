"""The interval of one model's root mean square calibration error. Floor 2."""

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.bracket.chance import Chance
from calibkit.bracket.parts import effective_counts, table_size
from calibkit.bracket.single import table_units
from calibkit.intervals import normal_quantile, with_unseen

# Skewness beyond this says no more; nor does a share of the variance that would leave no upper end.
_MOST_SKEWED, _MOST_BETWEEN = 1.0, 0.8


def rms_interval(
    table: BinTable, *, level: float, chance: Chance | None = None
) -> tuple[float | None, float | None, str | None]:
    """Interval of the l2 calibration error over given bins, of independent rows.

    Parameters
    ----------
    table : BinTable
        One pair a row.
    level : float
        Coverage to aim at, such as 0.95.
    chance : Chance, optional
        Of this error and this table; decides whether the interval reaches 0.

    Returns
    -------
    low, high : float or None
        Ends, in [0, 1]. The plug-in error is biased upward, and with many bins `high` may lie below it.
    reason : str or None
        Why there is no interval.

    Notes
    -----
    The square has an estimate without bias, unlike ECE: with the gaps g_b of the B filled bins, their shares w_b of the
    rows, p_b = (Y_b + 2 C_b/N_b)/(N_b + 2) and v_b = p_b (1 - p_b)/N_b,

        T = sum w_b g_b^2 - sum w_b v_b

    estimates x = sum w_b (true gap)^2, with the variance V(x) = 4 r x + 2 sum (w_b v_b)^2 + c x^2/n. There r is the
    mean of w_b v_b over the bins, each by its part w_b g_b^2 of the error, and c = sum w_b g_b^4/(sum w_b g_b^2)^2 - 1.
    The ends are the x that solve (T - x)^2 = z^2 V(x), as in Wilson's interval: at the x that is asked about the
    variance is known better than at T, which may be negative. r grows for misses not seen as se^2 does in
    `bracket_interval`.

    T is skewed to the right: for the lower end z grows by k (1 + 2 z^2)/6 (see `mean_interval`), where k, at most 1, is
    sum [8 (w_b v_b)^3 + w_b (g_b^2 - x)^3/n^2] + 24 r^2 x over V(x)^1.5 at x = max(T, 0). That end is 0 where the test
    of `chance` does not reject at one-sided (1 - level)/2. Weights as in `bracket_interval`.

    References
    ----------
    Sun, Chaudhari, Barnett, Dobriban 2024, "A confidence interval for the l2 expected calibration error" (T, and its
    variance where gaps are large; the interval is another).
    Lee, Huang, Hassani, Dobriban 2023, "T-Cal: an optimal test for the calibration of predictive models".
    Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 5 > 0, Binning())
    >>> low, high, _ = rms_interval(table, level=0.95)
    >>> round(low, 3), round(high, 3)  # a single gap of .1 with the standard error .02
    (0.055, 0.145)
    """
    reason = table_units(table).reason
    if reason is not None:
        return None, None, reason
    explained = chance is not None and chance.p_value > (1 - level) / 2
    low, high = rms_ends(table, level=level, explained=explained)
    if not np.isfinite(low) or not np.isfinite(high):
        return None, None, "the weights are beyond the range of floats"
    return float(low), float(high), None


def rms_ends(table: BinTable, *, level: float, explained: NDArray[np.bool_] | bool) -> tuple[Floats, Floats]:
    """Ends of the interval, (...), from tables (..., b)."""
    z, n = normal_quantile(level), table_size(table)
    weight, rows = np.where(table.count > 0, table.weight, 1.0), np.maximum(effective_counts(table), 1.0)
    share = table.weight / np.maximum(np.sum(table.weight, axis=-1, keepdims=True), np.finfo(float).tiny)
    said, happened = np.clip(table.confidence_sum / weight, 0.0, 1.0), table.outcome_sum / weight
    rate = np.clip((rows * happened + 2 * said) / (rows + 2), 0.0, 1.0)
    noise, square = share * rate * (1 - rate) / rows, (said - happened) ** 2
    plug_in = (share * square).sum(axis=-1)
    estimate = plug_in - noise.sum(axis=-1)
    some = np.where(plug_in > 0, plug_in, 1.0)
    # The four terms of V(x): r, the variance of a calibrated model, c/n; and its third moments.
    error = np.sqrt((share * noise).sum(axis=-1))
    linear = np.where(plug_in > 0, (noise * share * square).sum(axis=-1) / some, noise.max(axis=-1))
    linear = linear + with_unseen(error, n) ** 2 - error**2
    fixed = 2 * (noise**2).sum(axis=-1)
    between = np.where(plug_in > 0, (share * square**2).sum(axis=-1) / some**2 - 1, 0.0) / np.maximum(n, 1.0)
    x = np.maximum(estimate, 0.0)
    third = 8 * (noise**3).sum(axis=-1) + 24 * linear**2 * x
    third = third + (share * (square - x[..., None]) ** 3).sum(axis=-1) / np.maximum(n, 1.0) ** 2
    variance = 4 * linear * x + fixed + between * x**2
    skew = np.clip(third / np.maximum(variance, 1e-60) ** 1.5, 0.0, _MOST_SKEWED)
    low, _ = _roots(estimate, z + skew * (1 + 2 * z**2) / 6, linear, fixed, between)
    _, high = _roots(estimate, z, linear, fixed, between)
    low = np.where(explained, 0.0, np.sqrt(np.maximum(low, 0.0)))
    return low, np.clip(np.sqrt(np.maximum(high, 0.0)), low, 1.0)


def _roots(
    estimate: Floats, z: Floats | float, linear: Floats, fixed: Floats, between: Floats
) -> tuple[Floats, Floats]:
    """The x that solve (T - x)^2 = z^2 (4 r x + 2 S + c x^2/n)."""
    squared = np.asarray(z) ** 2
    a = 1 - np.minimum(squared * between, _MOST_BETWEEN)
    b = estimate + 2 * squared * linear  # half of the linear term
    root = np.sqrt(np.maximum(b**2 - a * (estimate**2 - squared * fixed), 0.0))
    return (b - root) / a, (b + root) / a
