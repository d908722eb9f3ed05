"""One bin table a class, from the blocks of the one pass, without work on each of the n k pairs. Floor 1.

A row's probabilities sum to 1, so that few of them lie above the first edge: fewer than one over it. Those are binned
one by one. All others are in the first bin of their class, where a sum over the rows is all that is asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock, local
from typing import overload

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.binning import SUMS, Binning, BinTable, assign_bins, bin_edges
from calibkit.class_sums import Cells, ColumnSums, CountedCells, WeighedCells, units_to_exact
from calibkit.exact import ExactSums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassTables(Sequence[BinTable]):
    """The bin tables of k classes with the same edges, as one table whose sums have the shape (k, b).

    Examples
    --------
    >>> sums = {name: np.array([[3, 1], [1, 3]]) for name in SUMS}
    >>> tables = ClassTables(stacked=BinTable(edges=np.array([0.0, 0.5, 1.0]), **sums))
    >>> len(tables), tables[1].count
    (2, array([1, 3]))
    """

    stacked: BinTable

    def __len__(self) -> int:
        return len(self.stacked.count)

    @overload
    def __getitem__(self, index: int) -> BinTable: ...
    @overload
    def __getitem__(self, index: slice) -> "ClassTables": ...
    def __getitem__(self, index: int | slice) -> "BinTable | ClassTables":
        part = replace(self.stacked, **{name: getattr(self.stacked, name)[index] for name in SUMS})
        return ClassTables(stacked=part) if isinstance(index, slice) else part

    def __iter__(self) -> Iterator[BinTable]:
        return (self[c] for c in range(len(self)))


def stacked(tables: Sequence[BinTable]) -> Sequence[BinTable]:
    """The same tables with those of equal edges as one, whose formulas then work on all classes at once."""
    return [tables.stacked] if isinstance(tables, ClassTables) else tables


class ClassBins:
    """Puts the n k pairs into bins of equal width by class, while the scoring pass hands over its blocks.

    The sums are whole numbers of small units, and so have the same bits in whatever blocks, order and threads the
    rows come.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Classes 0..k-1.
    n_classes : int
        k.
    binning : Binning
        Number of bins, and which end is closed.
    weights : ndarray of shape (n,), optional
        Positive.

    Notes
    -----
    Probabilities are rounded once to a multiple of 2^-52. With weights the product with the weight is, to 2^-52 of the
    largest weight (above the first edge: 2^-96).

    Examples
    --------
    >>> bins = ClassBins(np.array([0, 1]), 2, Binning(n_bins=2))
    >>> bins.visit(0, np.array([[0.75, 0.25], [0.375, 0.625]]))
    >>> table = bins.tables()[1]
    >>> table.count, table.confidence_sum, table.outcome_sum
    (array([1, 1]), array([0.25 , 0.625]), array([0., 1.]))
    """

    def __init__(self, labels: Integers, n_classes: int, binning: Binning, weights: Floats | None = None) -> None:
        self.labels, self.n_classes, self.binning = labels, n_classes, binning
        self.edges = bin_edges(np.empty(0), binning)
        self.true_bin = np.empty(len(labels), np.min_scalar_type(binning.n_bins))
        n_cells = n_classes * binning.n_bins
        self.cells: Cells = CountedCells(n_cells) if weights is None else WeighedCells(n_cells, weights)
        self._mine, self._columns, self._lock = local(), list[ColumnSums](), Lock()

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, k) of the rows from `start` on, which is used up."""
        rows = slice(start, start + len(block))
        class_axis = 1 if block.flags.c_contiguous else 0
        pairs = block if class_axis == 1 else np.ascontiguousarray(block.T)
        flat, labels, r = pairs.reshape(-1), self.labels[rows], np.arange(len(block))
        truth = r * self.n_classes + labels if class_axis == 1 else labels * len(block) + r
        self.true_bin[rows] = self._bin(flat[truth])
        above = np.flatnonzero(flat > self.edges[1] if self.binning.edges == "right" else flat >= self.edges[1])
        forecast = flat[above]
        outer, inner = np.divmod(above, pairs.shape[1])
        row, class_ = (outer, inner) if class_axis == 1 else (inner, outer)
        cells = class_ * self.binning.n_bins + self._bin(forecast)
        with self._lock:
            self.cells.add(cells, forecast, start + row)
        flat[above] = 0.0
        self.cells.weigh(pairs, rows, class_axis)
        self._own_columns().add(pairs, class_axis)

    def tables(self) -> ClassTables:
        """One table a class."""
        return ClassTables(stacked=self._table(merged=False))

    def merged(self) -> BinTable:
        """One table of the pairs of all classes."""
        return self._table(merged=True)

    def _bin(self, forecast: Floats) -> NDArray[np.intp]:
        return assign_bins(forecast, self.edges, self.binning.edges)

    def _own_columns(self) -> ColumnSums:
        """The sums of this thread: none waits for another."""
        if not hasattr(self._mine, "columns"):
            self._mine.columns = ColumnSums(self.n_classes)
            with self._lock:
                self._columns.append(self._mine.columns)
        columns: ColumnSums = self._mine.columns
        return columns

    def exact(self, *, merged: bool) -> tuple[Integers, ExactSums]:
        """Pairs and labels, (2, k b) or of all classes (2, b), and the sums of the forecasts; without weights."""
        assert isinstance(self.cells, CountedCells)
        below, truth = self._below_and_truth()
        count, outcome, high, low = self.cells.integers(self.binning.n_bins, below, truth, merged=merged)
        return np.stack([count.ravel(), outcome.ravel()]), units_to_exact(high.ravel(), low.ravel())

    def _table(self, *, merged: bool) -> BinTable:
        return self.cells.table(self.edges, *self._below_and_truth(), merged=merged)

    def _below_and_truth(self) -> tuple[ColumnSums, NDArray[np.intp]]:
        """Sums of each class below the first edge, and the cell of each row's label."""
        below = ColumnSums(self.n_classes)
        for columns in self._columns:
            below.merge(columns)
        return below, (self.labels * self.binning.n_bins + self.true_bin).astype(np.intp, copy=False)
