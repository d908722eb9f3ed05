"""The cells of the confidence histogram: a fixed grid, denser near 0 and 1, cut again at the edges of bins. Floor 2.

Changing the grid changes what a saved state means: count `GRID` up, and say in docs/state-file.md what it was.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.binning import Binning, assign_bins, bin_edges

GRID = 1
# Distance from the nearer end of [0, 1]: from 2^-6 on, cells of width 2^-12; below, 64 cells an octave down to 2^-54;
# then one cell above 0, and one for 0 itself.
_UNIFORM, _WIDTH_BITS = 2.0**-6, 12
_OCTAVE_BITS, _LEAST = 6, 2.0**-54
_MANTISSA_BITS = 52
_SHIFT = _MANTISSA_BITS - _OCTAVE_BITS
_FIRST: int = int(np.array(_LEAST).view(np.int64)) >> _SHIFT
_N_OCTAVE_CELLS = (int(np.array(_UNIFORM).view(np.int64)) >> _SHIFT) - _FIRST
_FIRST_UNIFORM = 2 + _N_OCTAVE_CELLS - int(_UNIFORM * 2**_WIDTH_BITS)
# The level of a distance of 1/2, and the number of cells: 1/2 has one of its own.
MIDDLE: int = _FIRST_UNIFORM + (1 << (_WIDTH_BITS - 1))
N_FINE: int = 2 * MIDDLE + 1


def fine_cells(forecast: NDArray[Any]) -> NDArray[np.int64]:
    """The fine cell of each forecast in [0, 1], 0..N_FINE-1, increasing.

    Notes
    -----
    With q the distance from the nearer end, min(c, 1 - c), exact in float64, the level of q is: 0 for q = 0; 1 below
    2^-54; below 2^-6 the exponent of q and the first 6 bits of its mantissa, read from the float's own bits; else
    floor(4096 q), shifted. The cell is the level, and for c >= 1/2 mirrored: 2 MIDDLE - level.

    Examples
    --------
    >>> fine_cells(np.array([0.0, 0.5, 1.0])).tolist(), N_FINE
    ([0, 5058, 10116], 10117)
    """
    value = np.asarray(forecast, dtype=np.float64)
    distance = np.minimum(value, 1.0 - value)
    level = (distance * 2.0**_WIDTH_BITS).astype(np.int64) + _FIRST_UNIFORM
    near = distance < _UNIFORM
    if near.any():
        close = distance[near]
        level[near] = np.maximum((close.view(np.int64) >> _SHIFT) - (_FIRST - 2), (close > 0).astype(np.int64))
    return np.where(value < 0.5, level, 2 * MIDDLE - level)


def fine_ends() -> tuple[Floats, Floats]:
    """Smallest and largest float64 forecast of each fine cell.

    Close to 1 some cells hold no float64: there the smallest is above the largest.

    Examples
    --------
    >>> low, high = fine_ends()
    >>> low[[0, MIDDLE, -1]], high[[0, MIDDLE, -1]]
    (array([0. , 0.5, 1. ]), array([0. , 0.5, 1. ]))
    """
    octaves = ((_FIRST + np.arange(_N_OCTAVE_CELLS)) << _SHIFT).view(np.float64)
    uniform = np.arange(int(_UNIFORM * 2**_WIDTH_BITS), 2 ** (_WIDTH_BITS - 1) + 1) / 2**_WIDTH_BITS
    least = np.concatenate([[0.0, np.nextafter(0.0, 1.0)], octaves, uniform])  # distance of each level, then 1/2
    # Above 1/2 all floats are multiples of 2^-53, and so are their distances from 1.
    nearest, units = 1 - np.ceil(least * 2.0**53) / 2.0**53, np.ceil(least[1:] * 2.0**53) - 1
    return (
        np.concatenate([least, (1 - units / 2.0**53)[::-1]]),
        np.concatenate([np.nextafter(least[1:], 0.0), [0.5], nearest[:-1][::-1]]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The fine grid, cut again at the edges of bins, so that a bin is a run of whole cells.

    Parameters
    ----------
    binning : Binning
        Uniform bins.

    Notes
    -----
    The number of a cell is that of its fine cell plus that of its bin. Both increase with the forecast, so that two
    different pairs have different sums; some numbers stay unused.

    Examples
    --------
    >>> cells = Cells(binning=Binning(n_bins=2))
    >>> cells.of(np.array([0.5, 0.75])).tolist(), cells.bins()[[5058, 6083]].tolist()
    ([5058, 6083], [0, 1])
    """

    binning: Binning

    @property
    def count(self) -> int:
        """Number of cells."""
        return N_FINE + int(self.binning.n_bins) - 1

    @property
    def edges(self) -> Floats:
        """Edges of the bins, (b + 1,)."""
        return bin_edges(np.empty(0), self.binning)

    def of(self, forecast: NDArray[Any]) -> NDArray[np.int64]:
        """The cell of each forecast."""
        return fine_cells(forecast) + assign_bins(forecast, self.edges, self.binning.edges)

    def bins(self) -> Integers:
        """The bin of each cell."""
        inner = self.edges[1:-1]
        first = inner if self.binning.edges == "left" else np.nextafter(inner, 2.0)  # smallest forecast of each bin
        starts = fine_cells(first) + np.arange(1, self.binning.n_bins)
        return np.searchsorted(starts, np.arange(self.count), side="right").astype(np.int64)
