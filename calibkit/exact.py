"""Sums that forget the order: each number rounded once to a multiple of 2^-96, then added as integers. Floor 0.

A float sum depends on the order of its terms, so that two ways of splitting the same rows give two results. Here every
number is rounded to a multiple of `UNIT`, which moves none above 2^-44 and no other by more than 2^-97; whole numbers
are then added, and the sum has the same bits whatever the order, the blocks, the threads or the machines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers

LIMB_BITS = 34
N_LIMBS = 4
UNIT_BITS = 96
LIMIT = 2.0**40

# Multiplied by these a number loses, one after the other, the limbs worth 2^6, 2^-28, 2^-62 and 2^-96.
SCALES = tuple(2.0 ** (UNIT_BITS - LIMB_BITS * place) for place in reversed(range(N_LIMBS)))
_MASK = (1 << LIMB_BITS) - 1
# Below this the most significant limb is 0.
_SMALL = 1 / SCALES[0]

# This many limbs add up to less than 2^53: a float64 holds their sum exactly.
_EXACT_ROWS = 1 << 18
# Up to here sums of one or two cells take a shorter way; integers below 2^53 times this many stay inside 64 bits.
_FEW_LIMIT, _FEW_ROWS = 2.0**8, 1 << 10
# Rows per step: its temporaries stay in cache.
_CHUNK = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExactSums:
    """Exact sums of c cells, equal exactly where their arrays are equal.

    Attributes
    ----------
    limbs : ndarray of shape (4, c), int64
        Most significant first: a sum is ``limbs[0] 2^6 + limbs[1] 2^-28 + limbs[2] 2^-62 + limbs[3] 2^-96``. The last
        three are in [0, 2^34), so that every sum has one form; the first holds the sign.
    beyond : ndarray of shape (c,), int64
        How many numbers were counted instead of added: infinite, NaN, or of a size of at least 2^40.

    Examples
    --------
    >>> one, other = exact_sums([1e9, 0.1]), exact_sums([0.2])
    >>> (one + other).to_float(), (other + one).fractions() == (one + other).fractions()
    (array([1.e+09]), True)
    """

    limbs: Integers
    beyond: Integers

    def __add__(self, other: "ExactSums") -> "ExactSums":
        """Sums of the rows of both."""
        limbs = carried(self.limbs + other.limbs)
        # Two's complement: a sum has overflowed where it has the sign of neither.
        if np.any(((self.limbs[0] ^ limbs[0]) & (other.limbs[0] ^ limbs[0])) < 0):
            raise OverflowError("an exact sum has left the range of ±2^69")
        return ExactSums(limbs=limbs, beyond=self.beyond + other.beyond)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExactSums):
            return NotImplemented
        return np.array_equal(self.limbs, other.limbs) and np.array_equal(self.beyond, other.beyond)

    __hash__ = None  # type: ignore[assignment]

    def integers(self) -> list[int]:
        """Each sum in units of 2^-96, as a Python integer; numbers counted as beyond are not in it."""
        top, high, middle, low = (limb.tolist() for limb in self.limbs)
        b = LIMB_BITS
        return [(((t << b) + h << b) + m << b) + least for t, h, m, least in zip(top, high, middle, low, strict=True)]

    def fractions(self) -> list[Fraction]:
        """Each sum as a fraction; numbers counted as beyond are not in it."""
        return [Fraction(whole, 1 << UNIT_BITS) for whole in self.integers()]

    def to_float(self) -> Floats:
        """Each sum as the float64 next to it, inf where a number was beyond."""
        values = np.zeros(self.limbs.shape[1])
        filled = np.flatnonzero(self.limbs.any(axis=0))
        # The quotient of two Python integers is rounded once, correctly.
        values[filled] = [whole / (1 << UNIT_BITS) for whole in self.at(filled).integers()]
        return np.where(self.beyond > 0, np.inf, values)

    def add_at(self, cells: Any, other: "ExactSums") -> None:
        """Add to distinct cells, in place."""
        total = self.at(cells) + other
        self.limbs[:, cells], self.beyond[cells] = total.limbs, total.beyond

    def at(self, cells: Any) -> "ExactSums":
        """Sums of some cells."""
        return ExactSums(limbs=self.limbs[:, cells], beyond=self.beyond[cells])

    def merged(self, cells: NDArray[Any], n_cells: int) -> "ExactSums":
        """Sums of coarser cells, `cells` being the coarse cell of each: those that the rows themselves would give."""
        limbs = np.zeros((N_LIMBS, n_cells), dtype=np.int64)
        beyond = np.zeros(n_cells, dtype=np.int64)
        np.add.at(beyond, cells, self.beyond)
        for place in range(N_LIMBS):
            np.add.at(limbs[place], cells, self.limbs[place])
        return ExactSums(limbs=carried(limbs), beyond=beyond)


def zero_sums(n_cells: int) -> ExactSums:
    """Sums of nothing.

    Examples
    --------
    >>> zero_sums(2).to_float()
    array([0., 0.])
    """
    return ExactSums(limbs=np.zeros((N_LIMBS, n_cells), dtype=np.int64), beyond=np.zeros(n_cells, dtype=np.int64))


def exact_sums(values: Any, cells: NDArray[np.intp] | None = None, n_cells: int = 1) -> ExactSums:
    """Exact sums of (n,) numbers by cell.

    Parameters
    ----------
    values : array_like of shape (n,)
        Numbers of a size below 2^40; others are counted instead of added.
    cells : ndarray of shape (n,), optional
        Each number's cell, 0..n_cells-1; by default all are in one.
    n_cells : int, default 1
        Number of cells.

    Returns
    -------
    ExactSums

    Notes
    -----
    Each number becomes the whole number next to 2^96 times it (halves to even), in four limbs of 34 bits:
    ``top = trunc(x 2^-6)``, ``x -= top 2^6``, ``next = trunc(x 2^28)``, ..., and the last limb is ``rint(x 2^96)``.
    Every step is exact in float64 but this last rounding. A limb is at most 2^34 in size, so that 2^18 of them are
    added by cell without rounding, and then as int64. A sum may reach 2^69.

    Examples
    --------
    >>> exact_sums([0.1, 0.2, 0.3]).to_float() == exact_sums([0.3, 0.2, 0.1]).to_float()
    array([ True])
    >>> exact_sums([0.5, 2.0, np.inf], np.array([0, 0, 1]), 2).to_float()
    array([2.5, inf])
    """
    numbers = np.asarray(values, dtype=np.float64)
    if n_cells == 1:
        cells = None
    if n_cells <= 2 and (few := _few_sums(numbers, cells)) is not None:
        return few
    total = zero_sums(n_cells)
    for start in range(0, len(numbers), _EXACT_ROWS):
        rows = slice(start, start + _EXACT_ROWS)
        total = total + _piece(numbers[rows], None if cells is None else cells[rows], n_cells)
    return total


def carried(limbs: Integers) -> Integers:
    """The one form of each sum: all limbs but the first in [0, 2^34).

    Examples
    --------
    >>> carried(np.array([[0], [0], [0], [2**34 + 5]])).ravel()
    array([0, 0, 1, 5])
    """
    limbs = limbs.copy()
    for place in range(N_LIMBS - 1, 0, -1):
        limbs[place - 1] += limbs[place] >> LIMB_BITS
        limbs[place] &= _MASK
    return limbs


def limbs_of(values: Floats) -> Iterator[tuple[int, Floats]]:
    """The limbs of numbers of a size below 2^40, as floats that are whole: each that is not 0 for all, and its place.

    Examples
    --------
    >>> [(place, limb.tolist()) for place, limb in limbs_of(np.array([1.0, 0.5, 2.0**-96]))]
    [(1, [268435456.0, 134217728.0, 0.0]), (3, [0.0, 0.0, 1.0])]
    """
    rest = values
    for place, scale in enumerate(SCALES):
        if place == 0 and len(rest) and rest.max() < _SMALL and rest.min() > -_SMALL:
            continue
        limb = rest * scale
        (np.rint if place == N_LIMBS - 1 else np.trunc)(limb, out=limb)
        if limb.any():
            yield place, limb
            rest = rest - limb / scale
        if not rest.any():
            return


def _few_sums(numbers: Floats, cells: NDArray[np.intp] | None) -> ExactSums | None:
    """Sums of one cell, or of two, in a third of the time, where all numbers are in [0, 256); else None."""
    total = [0] if cells is None else [0, 0]
    for start in range(0, len(numbers), _CHUNK):
        value = numbers[start : start + _CHUNK]
        most = value.max()
        if not (most < _FEW_LIMIT and value.min() >= 0):
            return None
        bits = max(0, frexp(most)[1])
        if cells is None:
            total[0] += _units_of(value, bits)
        else:
            second = _units_of(value * cells[start : start + _CHUNK], bits)
            total = [total[0] + _units_of(value, bits) - second, total[1] + second]
    limbs = [[whole >> LIMB_BITS * place & _MASK for whole in total] for place in reversed(range(N_LIMBS - 1))]
    first = [whole >> LIMB_BITS * (N_LIMBS - 1) for whole in total]
    return ExactSums(limbs=np.array([first, *limbs], dtype=np.int64), beyond=np.zeros(len(total), dtype=np.int64))


def _units_of(value: Floats, bits: int) -> int:
    """Sum of numbers in [0, 2^bits], each rounded to a multiple of 2^-96, in units of that.

    A number is added to 2^bits, which rounds it to 2^(bits - 52): the bits of the float64 then count in such units.
    What was rounded off is exact, and is added in units of 2^-96. Integers are added modulo 2^64, a thousand at a time.
    """
    offset = np.float64(2.0**bits)
    starts = np.arange(0, len(value), _FEW_ROWS)
    rows = np.diff(starts, append=len(value)).astype(np.uint64)
    near = value + offset
    coarse = np.add.reduceat(near.view(np.uint64), starts) - rows * offset.view(np.uint64)
    near -= offset
    rest = np.subtract(value, near, out=near)
    rest *= 2.0**UNIT_BITS
    fine = np.add.reduceat(np.rint(rest, out=rest).astype(np.int64), starts)
    return int(sum(coarse.tolist()) << (UNIT_BITS - 52 + bits)) + int(sum(fine.tolist()))


def _piece(numbers: Floats, cells: NDArray[np.intp] | None, n_cells: int) -> ExactSums:
    """Sums of at most 2^18 numbers: floats hold them exactly."""
    sums = np.zeros((N_LIMBS, n_cells))
    beyond = np.zeros(n_cells, dtype=np.int64)
    for start in range(0, len(numbers), _CHUNK):
        value = numbers[start : start + _CHUNK]
        cell = None if cells is None else cells[start : start + _CHUNK]
        if not (value.max() < LIMIT and value.min() > -LIMIT):
            far = ~(np.abs(value) < LIMIT)
            beyond += np.bincount(np.zeros(len(value), np.intp)[far] if cell is None else cell[far], minlength=n_cells)
            value = np.where(far, 0.0, value)
        with np.errstate(under="ignore"):  # what is too small for a limb is 0
            for place, limb in limbs_of(value):
                sums[place] += limb.sum() if cell is None else np.bincount(cell, limb, n_cells)
    return ExactSums(limbs=carried(sums.astype(np.int64)), beyond=beyond)
