"""Per bin, its gap, the gap's standard error and what bounds its bias: of independent rows and of groups. Floor 2."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.intervals import Units

WEIGHTED = "an ECE interval of weighted rows has no shown coverage"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
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


def parts_of(table: BinTable) -> Parts:
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
    return Parts(
        gap=gap,
        error=np.sqrt(variance),
        theta=theta,
        se=se,
        null_size=_null_size(count, np.clip(confidence / count, 0.0, 1.0)) / n,
        filled=filled,
    )


def grouped(parts: Parts, rows: BinnedRows, units: Units) -> Parts:
    """The same pieces with the CR3 errors of dependent rows, none below its value by rows."""
    signed = signed_gap(rows, parts)
    error = _group_errors(rows, units)[parts.filled]
    return replace(
        parts,
        error=np.maximum(parts.error, error),
        se=max(parts.se, units.standard_error(signed - parts.theta)),
    )


def signed_gap(rows: BinnedRows, parts: Parts) -> Floats:
    """Each row's gap, with the sign of its bin's gap: theta is their mean."""
    sign = np.zeros(len(rows.table.count))
    sign[parts.filled] = np.sign(parts.gap)
    signed: Floats = sign[rows.index] * rows.gap
    return signed


def _null_size(count: Floats, rate: Floats) -> Floats:
    """Mean of |Y - C| in a calibrated bin: the mean absolute deviation of a binomial (de Moivre's formula)."""
    from scipy.special import gammaln, xlog1py, xlogy

    below = np.minimum(np.floor(count * rate), count - 1)
    log_choices = gammaln(count) - gammaln(below + 1) - gammaln(count - below)
    log_mass = log_choices + xlogy(below + 1, rate) + xlog1py(count - below, -rate)
    size: Floats = 2 * count * np.exp(log_mass)
    return size


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


def _folded_bias(size: Floats, error: Floats) -> Floats:
    """E|d + sZ| - d for each bin, the upward bias of |D_b| for a true gap d; 0 where s is 0."""
    from scipy.special import ndtr

    ratio = np.full(len(size), np.inf)
    np.divide(size, error, out=ratio, where=error > 0)
    bias: Floats = 2 * error * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi) - 2 * size * ndtr(-ratio)
    return bias
