"""A sample of rows by what is in them, the same for any order, blocks and split of the rows. Floor 1.

Of all different rows those with the smallest hashes are kept, and how often each occurs. Of two sketches the smallest
hashes of both are those of all rows: none that is needed was dropped, and the counts of those that are kept are whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.sampled_rows.drawing import N_LABELS, Words, mixed, uniforms

_LARGEST = np.uint64((1 << 64) - 1)
# Of the rows of a step so many times as many as are kept are looked at, those below a bound that is known beforehand.
_MARGIN = 2
# Numbers of a row that are added up at a time.
_PIECE = 512

Cells = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowSketch:
    """The different rows with the smallest hashes; ``+`` is exactly commutative and associative.

    Attributes
    ----------
    hashes : ndarray of shape (s,), uint64
        Increasing; with fewer than `most` different rows all are here.
    counts : ndarray of shape (s,), int64
        How many rows are equal to each.
    cells : ndarray of shape (s, N_LABELS), int32
        Where labels drawn with the probabilities of each fall: the bin, or the bin of the class.
    most : int
        How many different rows are kept.

    Examples
    --------
    >>> one = empty_sketch(10).with_rows(np.array([7, 3, 7], dtype=np.uint64), lambda rows: rows[:, None] + 0)
    >>> (one + one).counts
    array([2, 4])
    """

    hashes: Words
    counts: Integers
    cells: Cells
    most: int

    @property
    def n(self) -> int:
        """Rows, equal ones counted as often as they occur."""
        return int(self.counts.sum())

    def __add__(self, other: "RowSketch") -> "RowSketch":
        """The sketch of the rows of both."""
        hashes, first, place = np.unique(
            np.concatenate([self.hashes, other.hashes]), return_index=True, return_inverse=True
        )
        counts = np.zeros(len(hashes), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        return RowSketch(
            hashes=hashes[: self.most],
            counts=counts[: self.most],
            cells=np.concatenate([self.cells, other.cells])[first[: self.most]],
            most=self.most,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowSketch):
            return NotImplemented
        names = ("hashes", "counts", "cells", "most")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def with_rows(self, hashes: Words, draw: Callable[[NDArray[np.intp]], Integers]) -> "RowSketch":
        """The sketch with more rows, of these hashes; ``draw(rows)`` gives the cells of some that are new."""
        limit = _LARGEST if len(self.hashes) < self.most else np.uint64(self.hashes[-1])
        found, first, counts = _smallest(hashes, self.most, limit)
        ends = np.unique(np.concatenate([self.hashes, found]))[: self.most]
        kept = found <= ends[-1] if len(ends) else np.ones(len(found), dtype=np.bool_)
        found, first, counts = found[kept], first[kept], counts[kept]
        new = ~np.isin(found, self.hashes)
        # Those that are here already keep their cells: the first of equal hashes counts.
        cells = np.zeros((len(found), N_LABELS), dtype=np.int32)
        if new.any():
            cells[new] = draw(first[new])
        return self + replace(self, hashes=found, counts=counts.astype(np.int64), cells=cells)

    def spread(self, count: int) -> NDArray[np.intp]:
        """Which row each of `count` rows is equal to, in proportion to how often each occurs."""
        reached = np.cumsum(self.counts)
        return np.searchsorted(reached, (np.arange(count) + 0.5) * (self.n / max(count, 1)), side="right")


def _smallest(hashes: Words, most: int, limit: np.uint64) -> tuple[Words, NDArray[np.intp], Integers]:
    """The smallest different hashes up to a limit, where each occurs first, and how often."""
    share = _MARGIN * most / max(len(hashes), 1)
    # Hashes are uniform: below this bound there are enough of them, unless many rows are equal.
    bound = min(limit, np.uint64(int(share * 2.0**64))) if share < 1 else limit
    few = np.flatnonzero(hashes <= bound)
    found, first, counts = np.unique(hashes[few], return_index=True, return_counts=True)
    if len(found) < most and bound < limit:
        few = np.flatnonzero(hashes <= limit)
        found, first, counts = np.unique(hashes[few], return_index=True, return_counts=True)
    return found[:most], few[first[:most]], counts[:most]


def empty_sketch(most: int) -> RowSketch:
    """The sketch of no rows."""
    return RowSketch(
        hashes=np.empty(0, dtype=np.uint64),
        counts=np.empty(0, dtype=np.int64),
        cells=np.empty((0, N_LABELS), dtype=np.int32),
        most=most,
    )


class RowHashes:
    """A hash of each row's probabilities, from the blocks of a pass.

    It mixes the bits of two numbers: a sum of the probabilities, each times a number of its class, and the first
    probability. Rows that differ differ in them, but for one pair in 2^50 or so.

    Parameters
    ----------
    n, n_classes : int
        Rows and classes.

    Examples
    --------
    >>> hashes = RowHashes(3, 2)
    >>> hashes.visit(0, np.array([[0.25, 0.75], [0.75, 0.25], [0.25, 0.75]]))
    >>> hashes.values[0] == hashes.values
    array([ True, False,  True])
    """

    def __init__(self, n: int, n_classes: int) -> None:
        self.values = np.empty(n, dtype=np.uint64)
        self._scales = _scales(n_classes)

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, k) of the rows from `start` on, which stays as it is."""
        first = mixed((block[:, 0] + 0.0).view(np.uint64))  # no -0.0
        total = _sums_of_rows(block, self._scales) if block.flags.c_contiguous else self._sums_of_columns(block.T)
        self.values[start : start + len(block)] = mixed(total.view(np.uint64) ^ first)

    def _sums_of_columns(self, block: Floats) -> Floats:
        """Sums of (k, r), class after class: NumPy adds a lone column in another order."""
        columns = block if block.shape[1] > 1 else np.repeat(block, 2, axis=1)
        return np.asarray(np.add.reduce(columns * self._scales[:, None], axis=0)[: block.shape[1]])


def _sums_of_rows(block: Floats, scales: Floats) -> Floats:
    """Sums of (r, k), each number times that of its class, in pieces of one size."""
    r, k = block.shape
    whole = k // _PIECE * _PIECE
    total = np.zeros(r)
    if whole:
        pieces = block[:, :whole].reshape(r, -1, _PIECE), scales[:whole].reshape(-1, _PIECE)
        total += np.einsum("rpk,pk->rp", *pieces).sum(axis=1)
    if whole < k:
        total += np.einsum("rk,k->r", block[:, whole:], scales[whole:])
    return total


@lru_cache(maxsize=4)
def _scales(n_classes: int) -> Floats:
    """A number in [1, 2) for each class."""
    scales: Floats = 1 + uniforms(np.arange(n_classes, dtype=np.uint64), 1)[:, 0]
    scales.flags.writeable = False
    return scales
