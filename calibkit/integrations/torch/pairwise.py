"""Row sums in the order in which NumPy adds up a row, and so with its bits. Annex: integrations.

NumPy halves a row until at most 128 numbers are left, adds these in eight lanes, and adds the halves up again. Here all
leaves of one size are added at once, and then the nodes of one height after the other.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

_LEAF, _LANES = 128, 8

# A node is told by its height above the leaves and its place among the nodes of that height.
_Node = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """How rows of k numbers are added, as indices on a device.

    ``leaves`` has, for each size m, the columns of all g leaves of that size (g m,) and m; ``order`` brings their sums
    into the order of the row; ``pairs`` has, for each height, which two sums make the next ones.
    """

    leaves: tuple[tuple[Tensor, int], ...]
    order: Tensor
    pairs: tuple[tuple[Tensor, Tensor], ...]


def sum_rows(block: Tensor) -> Tensor:
    """Sums over the columns of a float64 block (r, k), k >= 8: those of ``numpy.add.reduce(block, axis=1)``.

    Examples
    --------
    >>> sum_rows(torch.full((1, 300), 0.1, dtype=torch.float64)).item()
    29.999999999999996
    >>> import numpy
    >>> numpy.add.reduce(numpy.full((1, 300), 0.1), axis=1).item()
    29.999999999999996
    """
    plan = _plan(block.shape[1], block.device)
    found = [_in_lanes(block.index_select(1, columns).view(len(block), -1, size)) for columns, size in plan.leaves]
    sums = torch.cat(found, dim=1).index_select(1, plan.order)  # (r, leaves)
    for left, right in plan.pairs:
        sums = torch.cat([sums, sums.index_select(1, left) + sums.index_select(1, right)], dim=1)
    return sums[:, -1]


def _in_lanes(leaves: Tensor) -> Tensor:
    """Sums of leaves (r, g, m), 8 <= m <= 128: eight lanes, then what is left over."""
    size = leaves.shape[2]
    whole = size - size % _LANES
    lanes = leaves[..., :_LANES].clone()
    for start in range(_LANES, whole, _LANES):
        lanes += leaves[..., start : start + _LANES]
    a, b, c, d, e, f, g, h = lanes.unbind(2)
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for place in range(whole, size):
        total = total + leaves[..., place]
    return total


@lru_cache(maxsize=8)
def _plan(n_columns: int, device: torch.device) -> _Plan:
    """The plan of rows of so many numbers, brought to the device once."""
    leaves: list[tuple[int, int]] = []
    levels: list[list[tuple[_Node, _Node]]] = []
    _grow(0, n_columns, leaves, levels)
    first = [0, len(leaves)]  # number of the first node of each height
    for level in levels:
        first.append(first[-1] + len(level))

    def numbers(nodes: list[_Node]) -> Tensor:
        return torch.tensor([first[height] + place for height, place in nodes], device=device)

    sizes = sorted({size for _, size in leaves})
    columns = [[start + i for start, size in leaves if size == m for i in range(m)] for m in sizes]
    places = [place for m in sizes for place, (_, size) in enumerate(leaves) if size == m]
    return _Plan(
        leaves=tuple((torch.tensor(one, device=device), m) for one, m in zip(columns, sizes, strict=True)),
        order=torch.argsort(torch.tensor(places, device=device)),
        pairs=tuple((numbers([a for a, _ in level]), numbers([b for _, b in level])) for level in levels),
    )


def _grow(start: int, size: int, leaves: list[tuple[int, int]], levels: list[list[tuple[_Node, _Node]]]) -> _Node:
    """Cut numbers start..start+size into leaves, in the order of the row, and note which nodes are added."""
    if size <= _LEAF:
        leaves.append((start, size))
        return 0, len(leaves) - 1
    half = size // 2
    half -= half % _LANES
    pair = _grow(start, half, leaves, levels), _grow(start + half, size - half, leaves, levels)
    height = 1 + max(pair[0][0], pair[1][0])
    while len(levels) < height:
        levels.append([])
    levels[height - 1].append(pair)
    return height, len(levels[height - 1]) - 1
