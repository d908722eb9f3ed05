"""The independent units of a sample, rows or groups of dependent rows, and how a mean over them varies. Floor 2."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, effective_size, group_codes, sums_by

MIN_GROUPS = 5
FEW_GROUPS = 10
# With less than one degree of freedom a t interval is wider than anything it could say; rounding aside.
MIN_EFFECTIVE = 2 - 1e-9
# Rows per step of a sum of powers: its temporaries stay in cache.
_CHUNK = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a mean varies when one unit is left out.

    Attributes
    ----------
    se : float
        CR3 jackknife standard error of the mean.
    tilt : float
        Skewness of the mean, ``sum d^3 / (sum d^2)^1.5`` of the changes d: in [-1, 1], that of the scores over the root
        of their number. NaN where nothing varies.

    Examples
    --------
    >>> spread = units_of(4).spread(np.array([0.0, 0.0, 0.0, 1.0]), 0.25)
    >>> round(spread.se, 4), round(spread.tilt, 4)
    (0.25, 0.5774)
    """

    se: float
    tilt: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The independent units of a sample: its rows, or its groups of dependent rows.

    Attributes
    ----------
    codes : ndarray of shape (n,) or None
        Each row's group, or None where every row is a unit.
    row_weight : ndarray of shape (n,) or None
        Weight of each row.
    weight : ndarray of shape (units,) or float
        Total weight of each unit; 1.0 where each is a row without weight.
    count : int
        Number of units.
    effective : float
        Kish's number of equal units, ``(sum w)^2 / sum w^2``.
    """

    codes: NDArray[np.int64] | None
    row_weight: Floats | None
    weight: Floats | float
    count: int
    effective: float

    @property
    def dof(self) -> float:
        """Degrees of freedom of a variance estimated from these units.

        By Satterthwaite they are ``(sum v)^2 / sum v^2`` less 1 for units of variance v. That of a group's sum grows
        with its size where its rows are independent (then they are `effective` less 1), and with the square of it
        where they are alike: the geometric mean of the two. Groups of one size have their number less 1.
        """
        if self.codes is None:
            return self.effective - 1
        return dof_of_groups(np.asarray(self.weight), np.square(self.weight))

    @property
    def reason(self) -> str | None:
        """Why these units are too few for an interval, or None."""
        if self.codes is not None and self.count < MIN_GROUPS:
            return f"{self.count} groups of dependent rows, fewer than {MIN_GROUPS}"
        if self.count < 2:
            return "no rows" if self.count == 0 else "a single row"
        if self.effective < MIN_EFFECTIVE:
            heavy = "row has most of the weight (n_eff" if self.codes is None else "group holds most rows (G_eff"
            return f"one {heavy} = {self.effective:.1f})"
        return None

    @property
    def note(self) -> str | None:
        """What to know about an interval from these units."""
        few = self.codes is not None and self.effective < FEW_GROUPS
        return f"few groups: {self.effective:.1f} effective groups" if few else None

    def spread(self, values: NDArray[Any], mean: float) -> Spread:
        """Jackknife standard error and skewness of the mean of one value a row."""
        n = self.count
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found by whoever asks
            if self.codes is None and self.row_weight is None:
                squares, cubes = _powers(values, mean)
                return Spread(se=float(np.sqrt(squares / (n - 1) / n)), tilt=_tilt(squares, cubes))
            scored = values - mean if self.row_weight is None else self.row_weight * (values - mean)
            if self.codes is not None:
                scored = sums_by(self.codes, scored, n)
            total = np.sum(self.weight) if np.ndim(self.weight) else float(n)
            squares, cubes = _powers(scored / (total - self.weight), 0.0)
            return Spread(se=float(np.sqrt((n - 1) / n * squares)), tilt=_tilt(squares, cubes))


def dof_of_groups(apart: Floats, alike: Floats) -> float:
    """Degrees of freedom of a variance from groups: between those of independent rows and those of rows that are alike.

    Parameters
    ----------
    apart, alike : ndarray of shape (g,)
        Variance of each group's sum, up to a factor, in either case.

    Examples
    --------
    >>> dof_of_groups(np.ones(8), np.ones(8))
    7.0
    """
    one, two = (effective_size(variance, len(variance)) - 1 for variance in (apart, alike))
    return float(np.sqrt(max(one, 1.0) * max(two, 1.0)))


def units_of(n: int, *, weights: Floats | None = None, groups: NDArray[Any] | None = None) -> Units:
    """The independent units of n rows, all of positive weight."""
    if groups is None:
        return Units(
            codes=None,
            row_weight=weights,
            weight=1.0 if weights is None else weights,
            count=n,
            effective=effective_size(weights, n),
        )
    codes, count = group_codes(groups)
    weight = sums_by(codes, np.ones(n) if weights is None else weights, count)
    return Units(codes=codes, row_weight=weights, weight=weight, count=count, effective=effective_size(weight, count))


def _powers(values: NDArray[Any], mean: float) -> tuple[float, float]:
    """Sums of the squares and cubes of deviations, in steps that stay in cache."""
    squares = cubes = 0.0
    for start in range(0, len(values), _CHUNK):
        deviation = values[start : start + _CHUNK] - mean
        square = deviation * deviation
        squares += float(square.sum())
        cubes += float(np.einsum("i,i->", square, deviation))
    return squares, cubes


def _tilt(squares: float, cubes: float) -> float:
    return float(np.divide(cubes, np.float64(squares) ** 1.5))
