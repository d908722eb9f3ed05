"""The sums behind a table a class: integers, added in whatever order blocks and threads bring them. Floor 1."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.binning import SUMS, BinTable
from calibkit.exact import UNIT_BITS, ExactSums, carried, exact_sums, zero_sums

Cell = NDArray[np.intp]
Matrix = NDArray[np.float64]

# A number in [0, 1] added to 1 has a float64 whose bits count it in units of 2^-52, rounded once.
_ONE = int(np.float64(1.0).view(np.uint64))
# Sums are kept as whole multiples of 2^-26, and of 2^-52 for what is left.
_HALF_BITS = 26
_HALF = np.uint64((1 << _HALF_BITS) - 1)
# So many numbers of at most 2^52 units stay inside 64 bits.
_ROWS = 1 << 10
# Weighed pairs are kept until there are so many.
_KEPT = 1 << 17
# What a bin of rows that are next to nothing weighs at least.
_LEAST = 2.0 ** -(UNIT_BITS + 1)


class ColumnSums:
    """Sum of each of k columns of numbers in [0, 1], each rounded once to a multiple of 2^-52: exact ever after.

    Examples
    --------
    >>> sums = ColumnSums(2)
    >>> sums.add(np.array([[0.5, 0.25], [1.0, 0.125]]), 1)
    >>> sums.to_float()
    array([1.5  , 0.375])
    """

    def __init__(self, n_columns: int) -> None:
        self.high = np.zeros(n_columns, dtype=np.int64)
        self.low = np.zeros(n_columns, dtype=np.int64)
        self._waiting = np.zeros(n_columns, dtype=np.uint64)
        self._rows = 0

    def add(self, block: Matrix, class_axis: int) -> None:
        """Add the numbers of a contiguous block, (rows, k) or (k, rows), which is used up."""
        block += 1.0
        bits = block.view(np.uint64)
        if class_axis == 0:
            starts = np.arange(0, block.shape[1], _ROWS)
            rows = np.diff(starts, append=block.shape[1]).astype(np.uint64)
            self._take(np.add.reduceat(bits, starts, axis=1) - rows * np.uint64(_ONE))
            return
        for start in range(0, len(block), _ROWS):
            piece = bits[start : start + _ROWS]
            if self._rows + len(piece) > _ROWS:
                self.settle()
            self._waiting += np.add.reduce(piece, axis=0)
            self._rows += len(piece)

    def merge(self, other: "ColumnSums") -> None:
        """Add the sums of other rows."""
        other.settle()
        self.high += other.high
        self.low += other.low

    def to_float(self) -> Floats:
        """The sums as floats."""
        self.settle()
        return units_to_float(self.high, self.low)

    def exact(self) -> ExactSums:
        """The sums in units of 2^-96."""
        self.settle()
        return units_to_exact(self.high, self.low)

    def settle(self) -> None:
        """Bring all that was added into `high` and `low`."""
        # Modulo 2^64, in which what is left is small.
        self._take((self._waiting - np.uint64(self._rows * _ONE % (1 << 64)))[:, None])
        self._waiting[:], self._rows = 0, 0

    def _take(self, units: NDArray[np.uint64]) -> None:
        """Add sums of 2^-52, (k, m), each of at most 2^63 units."""
        self.high += (units >> np.uint64(_HALF_BITS)).astype(np.int64).sum(axis=1)
        self.low += (units & _HALF).astype(np.int64).sum(axis=1)


def units_to_float(high: Integers, low: Integers) -> Floats:
    """Sums of multiples of 2^-26 and 2^-52 as floats: the same for equal sums.

    Examples
    --------
    >>> units_to_float(np.array([1]), np.array([2**26])) == units_to_float(np.array([2]), np.array([0]))
    array([ True])
    """
    high, low = high + (low >> _HALF_BITS), low & int(_HALF)
    return np.asarray(
        np.ldexp(high.astype(np.float64), -_HALF_BITS) + np.ldexp(low.astype(np.float64), -2 * _HALF_BITS)
    )


def units_to_exact(high: Integers, low: Integers) -> ExactSums:
    """Sums of multiples of 2^-26 and 2^-52, (c,), as exact sums.

    Examples
    --------
    >>> units_to_exact(np.array([3]), np.array([1])).fractions()
    [Fraction(201326593, 4503599627370496)]
    """
    none = np.zeros_like(high)
    # A multiple of 2^-26 is one of 2^-28, and one of 2^-52 is one of 2^-62.
    limbs = np.stack([none, high << 2, (low & int(_HALF)) << 10, none])
    limbs[1] += (low >> _HALF_BITS) << 2
    return ExactSums(limbs=carried(limbs), beyond=none)


class Cells(Protocol):
    """Sums by cell, class times bins plus bin, of the pairs above the first edge."""

    def add(self, cells: Cell, forecast: Floats, rows: Cell) -> None:
        """Add some pairs: their cells, forecasts, and rows."""

    def weigh(self, block: Matrix, rows: slice, class_axis: int) -> None:
        """Multiply the forecasts of a block by the weights of its rows, if there are weights."""

    def table(self, edges: Floats, below: ColumnSums, truth: Cell, *, merged: bool) -> BinTable:
        """The table of all pairs, (k, b), or of all classes together, (b,).

        `below` has the sum of the forecasts of each class below the first edge, `truth` the cell of each row's label.
        """


class CountedCells:
    """Cells of rows without weights.

    Examples
    --------
    >>> cells, below = CountedCells(4), ColumnSums(2)
    >>> cells.add(np.array([1, 3]), np.array([0.75, 0.875]), np.array([0, 1]))
    >>> below.add(np.array([[0.0, 0.25], [0.125, 0.0]]), 1)
    >>> cells.table(np.array([0.0, 0.5, 1.0]), below, np.array([1, 2]), merged=False).confidence_sum
    array([[0.125, 0.75 ],
           [0.25 , 0.875]])
    """

    def __init__(self, n_cells: int) -> None:
        self.count, self.high, self.low = np.zeros((3, n_cells), dtype=np.int64)

    def add(self, cells: Cell, forecast: Floats, rows: Cell) -> None:  # noqa: ARG002
        """Add some pairs."""
        units = (1.0 + forecast).view(np.uint64) - np.uint64(_ONE)
        np.add.at(self.count, cells, 1)
        np.add.at(self.high, cells, (units >> np.uint64(_HALF_BITS)).astype(np.int64))
        np.add.at(self.low, cells, (units & _HALF).astype(np.int64))

    def weigh(self, block: Matrix, rows: slice, class_axis: int) -> None:
        """No weights: nothing."""

    def integers(
        self, n_bins: int, below: ColumnSums, truth: Cell, *, merged: bool
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Pairs, labels, and the two parts of the sums of the forecasts, (k, b) each, or (b,) of all classes."""
        below.settle()
        count, high, low = (sums.reshape(-1, n_bins).copy() for sums in (self.count, self.high, self.low))
        outcome = np.bincount(truth, minlength=count.size).reshape(-1, n_bins)
        count[:, 0] += len(truth) - count.sum(axis=1)
        high[:, 0] += below.high
        low[:, 0] += below.low
        if merged:
            count, outcome, high, low = (sums.sum(axis=0) for sums in (count, outcome, high, low))
        return count, outcome, high, low

    def table(self, edges: Floats, below: ColumnSums, truth: Cell, *, merged: bool) -> BinTable:
        """The table of all pairs, in counts and sums of whole units."""
        count, outcome, high, low = self.integers(len(edges) - 1, below, truth, merged=merged)
        weight = count.astype(np.float64)
        return BinTable(
            edges=edges,
            count=count,
            weight=weight,
            weight_squared=weight,
            confidence_sum=units_to_float(high, low),
            outcome_sum=outcome.astype(np.float64),
        )


class WeighedCells:
    """Cells of rows with weights, which are scaled by a power of two so that the largest is between 1/2 and 1.

    Examples
    --------
    >>> cells, below = WeighedCells(4, np.array([2.0, 6.0])), ColumnSums(2)
    >>> cells.add(np.array([1, 3]), np.array([0.75, 0.875]), np.array([0, 1]))
    >>> block = np.array([[0.0, 0.25], [0.125, 0.0]])
    >>> cells.weigh(block, slice(0, 2), 1)
    >>> below.add(block, 1)
    >>> cells.table(np.array([0.0, 0.5, 1.0]), below, np.array([1, 2]), merged=False).confidence_sum
    array([[0.75, 1.5 ],
           [0.5 , 5.25]])
    """

    def __init__(self, n_cells: int, weights: Floats) -> None:
        self.exponent = int(np.frexp(weights.max())[1]) if len(weights) else 0
        self.weights = np.ldexp(weights, -self.exponent)
        self.n_cells = n_cells
        self.count = np.zeros(n_cells, dtype=np.int64)
        self.weight = self.squared = self.confidence = zero_sums(n_cells)
        self._kept: list[tuple[Cell, Floats, Cell]] = []
        self._n_kept = 0

    def add(self, cells: Cell, forecast: Floats, rows: Cell) -> None:
        """Add some pairs."""
        self._kept.append((cells, forecast, rows))
        self._n_kept += len(cells)
        # Each addition walks over all cells.
        if self._n_kept >= max(_KEPT, self.n_cells // 4):
            self._settle()

    def weigh(self, block: Matrix, rows: slice, class_axis: int) -> None:
        """Multiply the forecasts of a block by the weights of its rows."""
        block *= np.expand_dims(self.weights[rows], class_axis)

    def table(self, edges: Floats, below: ColumnSums, truth: Cell, *, merged: bool) -> BinTable:
        """The table of all pairs, in exact sums of the weights."""
        self._settle()
        shape = (-1, len(edges) - 1)
        count = self.count.reshape(shape).copy()
        count[:, 0] += len(truth) - count.sum(axis=1)
        weight, squared, confidence, outcome = (
            sums.limbs.reshape(len(sums.limbs), *shape).copy()
            for sums in (self.weight, self.squared, self.confidence, exact_sums(self.weights, truth, self.n_cells))
        )
        for sums, values in ((weight, self.weights), (squared, self.weights**2)):
            sums[:, :, 0] += exact_sums(values).limbs - sums.sum(axis=2)
        confidence[:, :, 0] += below.exact().limbs
        if merged:
            count, weight, squared, confidence, outcome = (
                sums.sum(axis=-2) for sums in (count, weight, squared, confidence, outcome)
            )
        total = np.where(count > 0, np.maximum(_floats(weight), _LEAST), 0.0)
        # No sum of squares is below this (Cauchy and Schwarz), but that of weights too small for a unit.
        least = np.divide(total**2, count, out=np.zeros(count.shape), where=count > 0)
        scaled = (
            np.ldexp(sums, times * self.exponent)
            for sums, times in (
                (total, 1),
                (np.maximum(_floats(squared), least), 2),
                (_floats(confidence), 1),
                (_floats(outcome), 1),
            )
        )
        return BinTable(edges=edges, count=count, weighted=True, **dict(zip(SUMS[1:], scaled, strict=True)))

    def _settle(self) -> None:
        if not self._kept:
            return
        cells, forecast, rows = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        self._kept, self._n_kept = [], 0
        weights = self.weights[rows]
        self.count += np.bincount(cells, minlength=self.n_cells)
        self.weight += exact_sums(weights, cells, self.n_cells)
        self.squared += exact_sums(weights**2, cells, self.n_cells)
        self.confidence += exact_sums(weights * forecast, cells, self.n_cells)


def _floats(limbs: Integers) -> Floats:
    """Exact sums of any shape, as floats."""
    whole = carried(limbs.reshape(len(limbs), -1))
    return ExactSums(limbs=whole, beyond=np.zeros_like(whole[0])).to_float().reshape(limbs.shape[1:])
