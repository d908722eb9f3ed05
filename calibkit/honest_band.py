"""A confidence band for the whole true calibration curve, of which only that it increases is assumed. Floor 2."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_counts, check_int, check_real
from calibkit._numerics import Floats, Integers
from calibkit.errors import OptionError
from calibkit.pairs import Pairs, PairView, pool_ties, read_pairs

# More distinct forecasts than steps are rounded to this many steps.
STEPS = 500
_MOST_STEPS, _MOST_CELLS = 1_000_000, 10_000
# Of a step: forecasts that were printed with as many digits stand on the grid in spite of their binary rounding.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationBand:
    """A simultaneous confidence band for the true calibration curve: which curves the rows leave possible.

    Attributes
    ----------
    view : {"top-label", "positive"}
        Which event is forecast: the predicted class is right, or y = 1.
    n : int
        Rows; weights count them.
    level : float
        How often, at least, the band holds the whole curve.
    grid : int or None
        Steps that the forecasts were rounded to; None where each distinct one is used.
    forecast : ndarray of shape (m,)
        Where the band steps, increasing.
    low, high : ndarray of shape (m,)
        Ends of the band at these forecasts, in [0, 1], increasing. `low` holds on to the next forecast, `high` back to
        the one before; below the first `low` is 0, above the last `high` is 1.

    Examples
    --------
    >>> from calibkit import calibration_band
    >>> band = calibration_band([0] * 9 + [1], [0.8] * 10)
    >>> band.low.round(4), band.high.round(4)
    (array([0.0025]), array([0.445]))
    """

    view: PairView
    n: int
    level: float
    grid: int | None
    forecast: Floats
    low: Floats
    high: Floats

    @property
    def too_high(self) -> Floats:
        """Start and end of each region where the curve is below the diagonal; shape (r, 2)."""
        before = np.concatenate(([0.0], self.forecast[:-1]))[: len(self.forecast)]
        outside = self.high < self.forecast
        return _joined(np.maximum(before, self.high)[outside], self.forecast[outside])

    @property
    def too_low(self) -> Floats:
        """Start and end of each region where the curve is above the diagonal; shape (r, 2)."""
        after = np.append(self.forecast[1:], 1.0)[: len(self.forecast)]
        outside = self.low > self.forecast
        return _joined(self.forecast[outside], np.minimum(after, self.low)[outside])

    @property
    def rejects(self) -> Floats:
        """Start and end of each region where the diagonal is outside, so that calibration is rejected; shape (r, 2)."""
        regions = np.concatenate((self.too_high, self.too_low))
        return regions[np.argsort(regions[:, 0], kind="stable")]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        settings = {name: getattr(self, name) for name in ("view", "n", "level", "grid")}
        vectors = ("forecast", "low", "high", "too_high", "too_low")
        return settings | {name: getattr(self, name).tolist() for name in vectors}


def calibration_band(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
    confidence_level: float = 0.95,
    grid: int | None = None,
) -> CalibrationBand:
    """Confidence band that holds the whole true calibration curve, at all forecasts at once, in any sample size.

    Ends in [0, 1]; where the diagonal is outside, calibration is rejected (`CalibrationBand.rejects`).

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive"}, optional
        Which event is forecast: by default "positive" for 1-D probabilities, else "top-label".
    weights : array_like of shape (n,), optional
        How often each row occurs, as independent rows: whole numbers.
    confidence_level : float, default 0.95
        How often, at least, the band holds the whole curve.
    grid : int, optional
        Round forecasts to so many steps of [0, 1], 100 for two digits. By default more than 500 distinct forecasts are
        rounded to 500 steps, and fewer are not rounded.

    Returns
    -------
    CalibrationBand
        Without rows it has no forecasts and rejects nothing.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view; if a weight is not a whole number, for
        the bounds are those of counts.
    OptionError
        If an option has a value that is not allowed; if more than 10,000 cells of the grid hold forecasts.

    Notes
    -----
    The only assumptions are that the rows are independent and that the true event rate does not fall with the forecast.
    Of the m(m + 1)/2 intervals of the m distinct forecasts each has a lower and an upper Clopper-Pearson bound of
    one-sided level alpha/(m(m + 1)), so that together they hold with probability 1 - alpha at least. The rate at x is
    at least every lower bound of an interval that ends at or before x, and at most every upper bound of one that starts
    at or after x: the band is the largest of those, and the smallest of these.

    Rounded, the intervals are those of the cells: forecasts rounded up for the lower bound, which holds from the
    largest forecast of a cell on, and down for the upper, which holds up to the smallest. No forecast is moved, and the
    band holds as before: it is even narrower for many forecasts, for there are fewer intervals to allow for.

    The band is conservative, and wider than that of `corp_curve`, which answers another question: where would the curve
    of a calibrated model be seen? Where low is above high, no increasing curve fits the rows.

    Not for dependent rows (several of one patient, frames of a film): there the bounds are too narrow.

    References
    ----------
    Dimitriadis, Dümbgen, Henzi, Puke, Ziegel 2023, "Honest calibration assessment for binary outcome predictions",
    Biometrika 110; the R package calibrationband, methods "standard" and "round" (there `grid` is 10^digits).
    Clopper, Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".

    Examples
    --------
    Forecasts of .9 that come true 60 times in 100:

    >>> from calibkit import calibration_band
    >>> band = calibration_band([1] * 60 + [0] * 40, [0.9] * 100)
    >>> band.low.round(3), band.high.round(3), band.rejects.round(3)
    (array([0.497]), array([0.697]), array([[0.697, 0.9  ]]))
    """
    level = check_real(confidence_level, option="confidence_level", low=0.0, high=1.0)
    if grid is not None:
        check_int(grid, option="grid", low=1, high=_MOST_STEPS)
    return band_of_pairs(read_pairs(labels, probs, view=view, weights=weights), level=level, grid=grid)


def band_of_pairs(pairs: Pairs, *, level: float, grid: int | None = None) -> CalibrationBand:
    """The band of pairs.

    Raises
    ------
    DataError
        If a weight is not a whole number.
    OptionError
        If more than 10,000 cells of the grid hold forecasts.

    Examples
    --------
    >>> band_of_pairs(read_pairs([0, 1, 1], [0.2, 0.7, 0.7]), level=0.9).forecast
    array([0.2, 0.7])
    """
    check_counts(pairs.weights, what="Clopper-Pearson bounds", other="corp_curve, with the band of calibrated models")
    tied = pool_ties(pairs)
    if grid is None and len(tied.forecast) > STEPS:
        grid = STEPS
    up = down = tied.forecast
    if grid is not None:
        up, down = np.ceil(up * grid - _SLACK), np.floor(down * grid + _SLACK)
    low_cells, high_cells = (np.flatnonzero(np.diff(cells, prepend=-1.0)) for cells in (up, down))
    _check_cells(max(len(low_cells), len(high_cells)), grid)
    low = _lower_bounds(tied.happened, tied.weight, low_cells, level=level)
    # What holds from below for misses, read from the other end, holds from above for events.
    mirrored = _mirrored(high_cells, len(tied.forecast))
    missed = tied.weight - tied.happened
    high = 1 - _lower_bounds(missed[::-1], tied.weight[::-1], mirrored, level=level)[::-1]
    low_from, high_to = tied.forecast[_ends(low_cells, len(tied.forecast))], tied.forecast[high_cells]
    forecast = np.union1d(low_from, high_to)
    return CalibrationBand(
        view=pairs.view,
        n=len(pairs) if pairs.weights is None else int(pairs.weights.sum()),
        level=level,
        grid=grid,
        forecast=forecast,
        low=np.concatenate(([0.0], low))[np.searchsorted(low_from, forecast, side="right")],
        high=np.append(high, 1.0)[np.searchsorted(high_to, forecast)],
    )


def _lower_bounds(hits: Floats, rows: Floats, starts: Integers, *, level: float) -> Floats:
    """At each cell the largest lower Clopper-Pearson bound of the intervals of cells that end there or before."""
    from scipy.special import betainc, betaincinv

    cells = len(starts)
    low = np.zeros(cells)
    if cells == 0:
        return low
    tail = (1 - level) / (cells * (cells + 1))
    hits, rows = np.add.reduceat(hits, starts), np.add.reduceat(rows, starts)
    all_hits, all_rows = (np.concatenate(([0.0], np.cumsum(counts))) for counts in (hits, rows))
    # A cell without a hit at either end of an interval only lowers its bound.
    hit = np.flatnonzero(hits)
    best = 0.0
    for number, end in enumerate(hit, start=1):
        happened = all_hits[end + 1] - all_hits[hit[:number]]
        missed = all_rows[end + 1] - all_rows[hit[:number]] - happened
        # Few intervals beat the best bound so far; P(at least so many hits | best) < tail says which, and costs less.
        rivals = np.flatnonzero(happened > best * (happened + missed))
        rivals = rivals[betainc(happened[rivals], missed[rivals] + 1, best) < tail]
        if len(rivals):
            best = max(best, float(betaincinv(happened[rivals], missed[rivals] + 1, tail).max()))
        low[end] = best
    return np.maximum.accumulate(low)


def _check_cells(cells: int, grid: int | None) -> None:
    if cells > _MOST_CELLS:
        raise OptionError(
            f"grid={grid}: {cells:,} of its steps hold forecasts. Every interval of them is bounded, so at most "
            f"{_MOST_CELLS:,} may: take a coarser grid."
        )


def _ends(starts: Integers, length: int) -> Integers:
    """Last index of each cell."""
    return np.append(starts[1:], length)[: len(starts)] - 1


def _mirrored(starts: Integers, length: int) -> Integers:
    """Starts of the same cells, where the indices are counted from the other end."""
    return (length - 1 - _ends(starts, length))[::-1]


def _joined(start: Floats, end: Floats) -> Floats:
    """Regions in increasing order, as (start, end); those that touch as one."""
    if len(start) == 0:
        return np.empty((0, 2))
    gap = start[1:] > end[:-1]
    return np.column_stack((start[np.append(True, gap)], end[np.append(gap, True)]))
