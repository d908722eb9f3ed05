"""Per bin, its gap, the gap's standard error and what bounds its bias: of independent rows and of groups. Floor 2.

Every formula works on the last axis, so that many tables of the same bins (as in a simulation) go through at once.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers, sums_by
from calibkit.binning import BinTable
from calibkit.intervals import tilt_that_counts
from calibkit.units import Units, units_of


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
    weights : ndarray of shape (n,) or None
        Weight of each row; those of weight 0 are absent.

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
    weights: Floats | None = None

    def present(self) -> "BinnedRows":
        """The rows of positive weight."""
        if self.weights is None or np.all(self.weights > 0):
            return self
        kept = self.weights > 0
        groups = None if self.groups is None else self.groups[kept]
        return replace(self, index=self.index[kept], gap=self.gap[kept], groups=groups, weights=self.weights[kept])

    def units(self) -> Units:
        """The independent units: rows, or groups of them; call it on `present` rows."""
        return units_of(len(self.gap), weights=self.weights, groups=self.groups)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """The pieces of a bracket interval: gap D_b and its standard error s_b of every bin, 0 in empty ones.

    Attributes
    ----------
    gap, error, null_size : ndarray of shape (..., b)
        D_b, s_b, and the mean size of D_b in a calibrated bin.
    theta, se : ndarray of shape (...)
        The plug-in error, sum |D_b|, and its standard error.
    filled : ndarray of shape (..., b)
        Which bins hold rows.
    """

    gap: Floats
    error: Floats
    null_size: Floats
    theta: Floats
    se: Floats
    filled: NDArray[np.bool_]

    def bias(self, further: float = 0.0) -> tuple[Floats, Floats]:
        """Lower and upper bound of the bias of theta; for the lower one gaps are `further` standard errors larger."""
        size = np.abs(self.gap)
        b = np.maximum(self.filled.sum(axis=-1, keepdims=True), 1)
        tau = np.sqrt(np.maximum(1.0, np.log(b / 5.5)))
        shrunk = np.maximum(size - tau * self.error, 0.0)
        largest = _folded_bias(shrunk, self.error)
        # A bin of few rows is not normal: where its gap may be 0, its bias may be that of a calibrated bin.
        largest = np.where(shrunk > 0, largest, np.maximum(largest, self.null_size))
        stretched = size + (further + 0.16 * np.maximum(0.0, np.log(b / 9))) * self.error
        return _folded_bias(stretched, self.error).sum(axis=-1), largest.sum(axis=-1)

    @property
    def sure_sign(self) -> Floats:
        """Sign of each gap, as far as it is sure: 0 within one standard error of 0, nearly ±1 beyond three."""
        from scipy.special import ndtr

        ratio = np.full(np.shape(self.gap), np.inf)
        np.divide(np.abs(self.gap), self.error, out=ratio, where=self.error > 0)
        sure: Floats = np.sign(self.gap) * (2 * ndtr(np.maximum(ratio - 1, 0.0)) - 1)
        return sure

    def ends(
        self,
        below: Floats | float,
        above: Floats | float,
        *,
        explained: NDArray[np.bool_] | bool = False,
        further: float = 0.0,
    ) -> tuple[Floats, Floats]:
        """Ends of the interval, so far beyond the bounds of the bias; the lower one is 0 where chance explains it."""
        bias_low, bias_high = self.bias(further)
        low = np.where(explained, 0.0, np.maximum(self.theta - bias_high - below, 0.0))
        return low, np.minimum(np.maximum(self.theta - bias_low + above, low), 1.0)


def effective_counts(table: BinTable) -> Floats:
    """Kish's number of equally weighted rows in each bin; the count without weights, 0 in an empty bin."""
    return _kish(table.weight, table.weight_squared) if table.weighted else table.count.astype(np.float64)


def table_size(table: BinTable) -> Floats:
    """Kish's number of equally weighted rows of a table."""
    return _kish(np.sum(table.weight, axis=-1), np.sum(table.weight_squared, axis=-1))


def _kish(total: Floats, squares: Floats) -> Floats:
    return np.asarray(np.divide(total**2, squares, out=np.zeros(np.shape(total)), where=squares > 0))


def parts_of(table: BinTable) -> Parts:
    """Gaps and errors of independent rows, from the table alone."""
    filled = table.count > 0
    weight = np.where(filled, table.weight, 1.0)
    total = np.sum(table.weight, axis=-1, keepdims=True)
    total = np.where(total > 0, total, 1.0)  # (..., 1)
    size, said = effective_counts(table), np.clip(table.confidence_sum / weight, 0.0, 1.0)
    gap = (table.confidence_sum - table.outcome_sum) / total
    rate = np.clip((size * (table.outcome_sum / weight) + 2 * said) / (size + 2), 0.0, 1.0)
    share = table.weight_squared / total**2  # of the variance that one row would have
    theta = np.abs(gap).sum(axis=-1)
    between = share * (np.abs(gap) * (total / weight) - theta[..., None]) ** 2
    variance = share * rate * (1 - rate)
    return Parts(
        gap=gap,
        error=np.sqrt(variance),
        null_size=null_size(np.rint(size), said) * table.weight / total,
        theta=theta,
        se=np.sqrt((variance + between).sum(axis=-1)),
        filled=filled,
    )


def grouped(parts: Parts, rows: BinnedRows, units: Units) -> tuple[Parts, float]:
    """The same pieces with the CR3 errors of dependent rows, none below its value by rows; the skewness of theta."""
    spread = units.spread(signed_gap(rows, np.sign(parts.gap)), float(parts.theta))
    error = np.maximum(parts.error, _group_errors(rows, units))
    return replace(parts, error=error, se=np.maximum(parts.se, spread.se)), tilt_that_counts(spread.tilt)


def signed_gap(rows: BinnedRows, sign: Floats) -> Floats:
    """Each row's gap, with a sign of its bin; theta is the mean with the signs of the bins' gaps."""
    signed: Floats = sign[rows.index] * rows.gap
    return signed


def null_size(count: Floats, rate: Floats) -> Floats:
    """Mean of |Y/N - rate| in a calibrated bin: the mean absolute deviation of a binomial (de Moivre's formula).

    Examples
    --------
    >>> round(float(null_size(np.array(2.0), np.array(0.5))), 9)  # 0, 1 or 2 of 2: 1/4 + 1/4 of the time 1/2 off
    0.25
    """
    from scipy.special import gammaln, xlog1py, xlogy

    count = np.maximum(count, 1.0)
    below = np.minimum(np.floor(count * rate), count - 1)
    log_choices = gammaln(count) - gammaln(below + 1) - gammaln(count - below)
    log_mass = log_choices + xlogy(below + 1, rate) + xlog1py(count - below, -rate)
    size: Floats = 2 * np.exp(log_mass)
    return size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupCells:
    """The (group, bin) cells that hold rows, by group: a dense table could be far larger than the rows.

    Attributes
    ----------
    group_of, bin_of : ndarray of shape (cells,), integer
        Where a cell lies.
    sums : ndarray of shape (cells,)
        Sum of its rows' w gap.
    """

    group_of: Integers
    bin_of: Integers
    sums: Floats


def group_cells(rows: BinnedRows, units: Units) -> GroupCells:
    """Sums of the weighted gaps of each group in each bin."""
    assert units.codes is not None
    b = len(rows.table.count)
    cells, place = np.unique(units.codes * b + rows.index, return_inverse=True)
    sums = sums_by(place, rows.gap if rows.weights is None else rows.weights * rows.gap, len(cells))
    return GroupCells(group_of=cells // b, bin_of=cells % b, sums=sums)


def _group_errors(rows: BinnedRows, units: Units) -> Floats:
    """CR3 standard error of each D_b: leaving out group g moves it by (sum of its w gap - w_g D_b) / (W - w_g)."""
    b, size, cells = len(rows.table.count), np.asarray(units.weight), group_cells(rows, units)
    total = size.sum()
    reach = size / (total - size)
    mean = np.bincount(cells.bin_of, cells.sums, b) / total
    moved = cells.sums / (total - size[cells.group_of])
    squares = (
        np.bincount(cells.bin_of, moved**2, b)
        - 2 * mean * np.bincount(cells.bin_of, moved * reach[cells.group_of], b)
        + mean**2 * np.sum(reach**2)
    )
    variance: Floats = np.maximum(squares, 0.0) * (units.count - 1) / units.count
    return np.sqrt(variance)


def _folded_bias(size: Floats, error: Floats) -> Floats:
    """E|d + sZ| - d for each bin, the upward bias of |D_b| for a true gap d; 0 where s is 0."""
    from scipy.special import ndtr

    ratio = np.full(np.shape(size), np.inf)
    np.divide(size, error, out=ratio, where=error > 0)
    bias: Floats = 2 * error * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi) - 2 * size * ndtr(-ratio)
    return bias
