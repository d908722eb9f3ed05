"""What an (n, k) tensor says of each of its rows, on its device, block by block. Annex: integrations.

As in ``calibkit.scores.row_sums`` the two largest values of a row are taken out before the others are summed, so that
nothing cancels or underflows. The tensor is read twice, for the largest value and for all that follows; nothing of its
size is allocated but one block, which is small enough to stay in a device's second-level cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from calibkit.integrations.torch.pairwise import sum_rows
from calibkit.integrations.torch.scores import TensorSums
from calibkit.scores.blocks import MAX_TRANSPOSED, slices
from calibkit.tally.facts import LOOKED_AT

BLOCK_BYTES = 1 << 25
# How far a row of probabilities that were taken for logits may be from a sum of 1.
_ABOUT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What a pass found, all (n,): the sums, and the first class with the largest value."""

    sums: TensorSums
    predicted: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenLogits(Seen):
    """And of the first logits, which rows are not in [0, 1] or do not sum to 1; False for all others."""

    unlike_probs: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenProbs(Seen):
    """And of probabilities, before any was moved into [0, 1]: a row's ends, its sum, and how many lay outside."""

    low: Tensor
    high: Tensor
    total: Tensor
    outside: Tensor


def sum_logits(logits: Tensor, labels: Tensor) -> SeenLogits:
    """Sums of rows of logits (n, k); the sum over classes runs in float32, or in float64 for float64."""
    sums, predicted = _room(logits)
    work = torch.float64 if logits.dtype == torch.float64 else torch.float32
    unlike_probs = torch.zeros_like(predicted, dtype=torch.bool)
    for rows in _blocks(logits, work):
        top, best = logits[rows].max(dim=1)
        block = logits[rows].to(work, copy=True)
        if rows.start < LOOKED_AT:
            unlike_probs[rows] = (block.amin(dim=1) < 0) | ~((block.sum(dim=1) - 1.0).abs() <= _ABOUT)
        sums.true[rows] = block.gather(1, labels[rows, None]).squeeze(1)
        block.scatter_(1, best[:, None], -torch.inf)
        second, next_best = block.max(dim=1)
        block.scatter_(1, next_best[:, None], -torch.inf)
        # Where no second logit is finite the others are exp(-inf) = 0, whatever finite number is taken off.
        block -= torch.where(torch.isneginf(second), 0.0, second)[:, None]
        block.exp_()
        sums.top[rows], sums.second[rows], predicted[rows] = top.to(torch.float64), second.to(torch.float64), best
        sums.rest[rows] = block.sum(dim=1).to(torch.float64)
        sums.square[rows] = torch.linalg.vector_norm(block, dim=1).square().to(torch.float64)
    return SeenLogits(sums=sums, predicted=predicted, unlike_probs=unlike_probs)


def sum_probs(probs: Tensor, labels: Tensor) -> SeenProbs:
    """Sums of rows of probabilities (n, k), in float64; values outside [0, 1] count as its ends.

    Sums over the classes run in the order of the pass over arrays, whose bits they have.
    """
    sums, predicted = _room(probs)
    low, high, total = sums.top.new_empty((3, len(probs)))
    outside = torch.empty_like(predicted)
    few = probs.shape[1] <= MAX_TRANSPOSED
    for rows in _blocks(probs, torch.float64):
        predicted[rows] = probs[rows].argmax(dim=1)
        block = probs[rows].to(torch.float64, copy=True)
        low[rows], high[rows] = block.amin(dim=1), block.amax(dim=1)
        total[rows] = _sum_columns(block) if few else sum_rows(block)
        outside[rows] = ((block < 0) | (block > 1)).sum(dim=1)
        block.clamp_(0.0, 1.0)
        sums.true[rows] = block.gather(1, labels[rows, None]).squeeze(1)
        sums.top[rows], sums.second[rows], sums.square[rows] = (_sort_columns if few else _blank_two)(block)
    return SeenProbs(sums=sums, predicted=predicted, low=low, high=high, total=total, outside=outside)


def _room(values: Tensor) -> tuple[TensorSums, Tensor]:
    """Memory for what is found of each row."""
    top, second, true, rest, square = torch.zeros((5, len(values)), dtype=torch.float64, device=values.device)
    predicted = torch.empty(len(values), dtype=torch.int64, device=values.device)
    return TensorSums(top=top, second=second, true=true, rest=rest, square=square), predicted


def _blocks(values: Tensor, work: torch.dtype) -> list[slice]:
    """Pieces of the rows that fit a block in the type that is worked in."""
    return slices(0, len(values), max(1, BLOCK_BYTES // (values.shape[1] * work.itemsize)))


def _blank_two(block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two largest of each row, and the sum of the squares of the others; the block is used up."""
    found = []
    for _ in range(2):
        largest, where = block.max(dim=1)
        block.scatter_(1, where[:, None], 0.0)
        found.append(largest)
    return found[0], found[1], sum_rows(block.square_())


def _sort_columns(block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of few classes, class after class in the order of the CPU's pass, and so with its bits."""
    top, second = torch.maximum(block[:, 0], block[:, 1]), torch.minimum(block[:, 0], block[:, 1])
    square = torch.zeros_like(top)
    for values in block.T[2:]:
        lesser = torch.minimum(top, values)
        top = torch.maximum(top, values)
        square += torch.square(torch.minimum(second, lesser))  # the least of the three goes
        second = torch.maximum(second, lesser)
    return top, second, square


def _sum_columns(block: Tensor) -> Tensor:
    """The sum of each row, class after class."""
    total = block[:, 0].clone()
    for values in block.T[1:]:
        total += values
    return total
