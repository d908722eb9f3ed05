"""Exact sums of tensors, with the integers of ``calibkit.exact``. Annex: integrations.

Each step is one that IEEE 754 fixes to the last bit, and sums of integers have no order: every device gives the same.
"""

import torch
from torch import Tensor

from calibkit.exact import LIMB_BITS, LIMIT, N_LIMBS, SCALES, ExactSums

_MASK = (1 << LIMB_BITS) - 1
# A limb of a row is at most 2^34 in size: so many rows add up to an int64.
_ROWS_TO_CARRY = 1 << 28


class TensorSums:
    """Exact sums of c cells on a device: limbs (4, c) and counts of numbers beyond range (c,), all int64.

    Examples
    --------
    >>> sums = TensorSums(1, torch.device("cpu"))
    >>> for value in (0.1, 1e9, 0.2):
    ...     sums.add(torch.tensor([[value]], dtype=torch.float64))
    >>> sums.on_host().to_float()
    array([1.e+09])
    """

    def __init__(self, n_cells: int, device: torch.device) -> None:
        self.limbs = torch.zeros((N_LIMBS, n_cells), dtype=torch.int64, device=device)
        self.beyond = torch.zeros(n_cells, dtype=torch.int64, device=device)
        self._rows = 0

    def add(self, values: Tensor) -> None:
        """Add float64 numbers (c, n), each row to its cell."""
        self._make_room(values.shape[1])
        limbs, far = _limbs(values)
        self.limbs += limbs.sum(dim=2)
        self.beyond += far.sum(dim=1)

    def add_by_cell(self, values: Tensor, cells: Tensor) -> None:
        """Add float64 numbers (n,), each to the cell whose number stands beside it."""
        self._make_room(len(values))
        limbs, far = _limbs(values)
        self.limbs.index_add_(1, cells, limbs)
        self.beyond.index_add_(0, cells, far.to(torch.int64))

    def _make_room(self, n_rows: int) -> None:
        """Carry before so many rows might overflow a limb."""
        self._rows += n_rows
        if self._rows > _ROWS_TO_CARRY:
            self.carry()
            self._rows = n_rows

    def carry(self) -> None:
        """Bring the limbs to the one form that each sum has."""
        for place in range(N_LIMBS - 1, 0, -1):
            self.limbs[place - 1] += self.limbs[place] >> LIMB_BITS
            self.limbs[place] &= _MASK

    def on_host(self) -> ExactSums:
        """The sums as an array holds them; this waits for the device."""
        self.carry()
        return ExactSums(limbs=self.limbs.cpu().numpy().copy(), beyond=self.beyond.cpu().numpy().copy())


def _limbs(values: Tensor) -> tuple[Tensor, Tensor]:
    """The four limbs of each number, stacked, and which numbers are beyond range: of those the limbs are 0."""
    far = ~(values.abs() < LIMIT)
    rest, limbs = values.masked_fill(far, 0.0), []
    for scale in SCALES[:-1]:
        limb = torch.trunc(rest * scale)
        limbs.append(limb.to(torch.int64))
        rest = rest - limb / scale
    limbs.append(torch.round(rest * SCALES[-1]).to(torch.int64))  # halves to even
    return torch.stack(limbs), far
