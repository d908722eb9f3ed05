"""Smoothed cross-entropy of rows, and its gradient written down, so that no second (n, k) is kept. Annex: training.

Logits (n, k) or (n, k, d1, ...) are checked already; a row is one position outside the class axis.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from calibkit.training.tensors import Targets, loss_dtype, widen

Number = float | Tensor
Index = tuple[slice, ...]

# Logits per block: on a CPU its temporaries stay in the cache, on a GPU it outlasts the launch of its kernels.
CPU_BLOCK, GPU_BLOCK = 2**19, 2**24
# Of fewer logits the plain form is the faster, and its three copies are small; so it is in rows of very few classes,
# where torch's softmax and log-softmax are different kernels.
FEW, FEW_CLASSES = 2**21, 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """What a row loses: ``-sum_c (on_c t_c + share_c) log p_c``, for a target t that is one-hot or soft.

    Both are numbers if they are the same for every class, else vectors (k,) in the dtype of the loss. Without class
    weights ``on`` is ``1 - e`` and ``share`` is ``e prior``.
    """

    on: Number
    share: Number

    def shares(self, n_classes: int) -> Number:
        """Sum of the shares of all classes."""
        return self.share.sum() if isinstance(self.share, Tensor) else self.share * n_classes


def smoothed_rows(logits: Tensor, targets: Targets, rule: Rule) -> Tensor:
    """Loss of each row (n, d1, ...), 0 where ignored, differentiable any number of times.

    In closed form, unless there are few logits, the targets want a gradient too, or torch.compile is at work, which
    fuses the plain form itself.
    """
    learned = targets.soft is not None and targets.soft.requires_grad
    few = logits.numel() < FEW or (logits.ndim == 2 and logits.shape[1] < FEW_CLASSES)
    if few or learned or torch.compiler.is_compiling():
        return plain_rows(logits, targets, rule)
    return _ClosedForm.apply(logits, targets, rule)  # type: ignore[no-any-return, no-untyped-call]  # torch's own


def plain_rows(logits: Tensor, targets: Targets, rule: Rule) -> Tensor:
    """Loss of each row by torch's own operations."""
    x = widen(logits)
    if targets.some_ignored:  # such a row adds nothing, whatever stands in it: 0 times NaN would be NaN
        x = x.masked_fill(~targets.kept.unsqueeze(1), 0.0)
    losses = _weigh(x.log_softmax(dim=1), targets, rule)
    return losses.masked_fill(~targets.kept, 0.0) if targets.some_ignored else losses


class _ClosedForm(torch.autograd.Function):
    """Row losses that keep the logits alone; backward makes one gradient in place, a block at a time."""

    @staticmethod
    def forward(logits: Tensor, targets: Targets, rule: Rule) -> Tensor:
        """Losses of the rows."""
        dtype = loss_dtype(logits)
        losses = logits.new_empty(targets.kept.shape, dtype=dtype)
        wide, room = _Room(dtype), _Room(dtype)
        for block in _blocks(logits):
            x = wide.widened(logits[_with_classes(block)])
            log_p = torch.log_softmax(x, dim=1, out=room.like(x))
            losses[block] = _weigh(log_p, _part(targets, block), rule)
        return losses.masked_fill_(~targets.kept, 0.0) if targets.some_ignored else losses

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        """Keep the logits, and no other (n, k)."""
        logits, targets, ctx.rule = inputs
        ctx.some_ignored = targets.some_ignored
        # Kept by torch, which says so if the user changes one before the backward pass.
        ctx.save_for_backward(logits, targets.labels, targets.soft, targets.kept)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        """Gradient of the logits, in their dtype."""
        logits, labels, soft, kept = ctx.saved_tensors
        targets = Targets(labels=labels, soft=soft, kept=kept, some_ignored=ctx.some_ignored)
        if torch.is_grad_enabled():  # create_graph=True: this gradient is to be differentiated
            rows = plain_rows(logits, targets, ctx.rule)
            return *torch.autograd.grad(rows, logits, upstream[0], create_graph=True), None, None
        gradient, dtype = torch.empty_like(logits), loss_dtype(logits)
        wide, room = _Room(dtype), _Room(dtype)
        for block in _blocks(logits):
            here = _with_classes(block)
            x, out = wide.widened(logits[here]), gradient[here]
            p = torch.softmax(x, dim=1, out=out if out.dtype == dtype else room.like(x))
            _subtract_targets(p, _part(targets, block), ctx.rule, upstream[0][block])
            if p is not out:
                out.copy_(p)
        return gradient, None, None


class _Room:
    """Memory for one block after the other: on a CPU, taking fresh memory costs more time than filling it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.flat: Tensor | None = None

    def like(self, block: Tensor) -> Tensor:
        """Uninitialised, of the shape of a block; no block is larger than the first."""
        if self.flat is None:
            self.flat = torch.empty(block.numel(), dtype=self.dtype, device=block.device)
        return self.flat[: block.numel()].view(block.shape)

    def widened(self, block: Tensor) -> Tensor:
        """The block in the dtype of the loss: itself, or a copy here."""
        return block if block.dtype == self.dtype else self.like(block).copy_(block)


def _weigh(log_p: Tensor, targets: Targets, rule: Rule) -> Tensor:
    """``-sum_c (on_c t_c + share_c) log p_c`` of each row."""
    if targets.labels is not None:
        on = rule.on[targets.labels] if isinstance(rule.on, Tensor) else rule.on
        losses = on * -log_p.gather(1, targets.labels.unsqueeze(1)).squeeze(1)
    else:
        losses = -_dot(_mass(rule, targets, log_p.dtype), log_p)
    if isinstance(rule.share, Tensor):
        return losses - _dot(_along(rule.share, log_p), log_p)
    return losses - rule.share * log_p.sum(dim=1) if rule.share else losses


def _subtract_targets(p: Tensor, targets: Targets, rule: Rule, upstream: Tensor) -> None:
    """In place ``upstream ((sum_c on_c t_c + share_c) p - on t - share)``: softmax minus target, without weights."""
    scale = _scale(upstream)
    mass = _mass(rule, targets, p.dtype)
    total = mass if targets.soft is None else mass.sum(dim=1, keepdim=True)
    # No addcmul: with one factor a row it is several times as slow as two operations.
    p.mul_((total + rule.shares(p.shape[1])) * scale)
    if isinstance(rule.share, Tensor):
        p.sub_(_along(rule.share, p) * scale)
    elif rule.share:
        p.sub_(rule.share * scale)
    if targets.labels is not None:
        index = targets.labels.unsqueeze(1)
        p.scatter_add_(1, index, (-mass * scale).expand(index.shape))
    else:
        p.sub_(mass * scale)
    if targets.some_ignored:
        p.masked_fill_(~targets.kept.unsqueeze(1), 0.0)


def _scale(upstream: Tensor) -> Tensor:
    """Upstream (b, 1, ...), or the one number () that it is for all rows after a sum or a mean: the quicker factor."""
    if upstream.numel() and not any(upstream.stride()):
        return upstream[(0,) * upstream.ndim]
    return upstream.unsqueeze(1)


def _mass(rule: Rule, targets: Targets, dtype: torch.dtype) -> Any:
    """``on_c t_c``: of each class (b, k, ...) for soft targets; of the label's class, (b, 1, ...) or a number."""
    if targets.soft is not None:
        soft = targets.soft.to(dtype)
        return soft * (_along(rule.on, soft) if isinstance(rule.on, Tensor) else rule.on)
    assert targets.labels is not None
    return rule.on[targets.labels.unsqueeze(1)] if isinstance(rule.on, Tensor) else rule.on


def _dot(parts: Tensor, log_p: Tensor) -> Tensor:
    """Sum over classes of the product. A class without a part may be masked: 0 * -inf counts as 0.

    No matrix product: autocast would halve it.
    """
    return (parts * log_p.masked_fill(parts == 0, 0.0)).sum(dim=1)


def _along(vector: Tensor, x: Tensor) -> Tensor:
    """Class vector (k,) along the class axis of x."""
    return vector.view(-1, *[1] * (x.ndim - 2))


def _blocks(logits: Tensor) -> Iterator[Index]:
    """Slices of rows (n, d1, ...): along axis 0, and along d1 too where one element of axis 0 is more than a block."""
    size = CPU_BLOCK if logits.device.type == "cpu" else GPU_BLOCK
    shape = logits.shape
    each = max(1, logits[:1].numel())
    if len(shape) == 2 or each <= size:
        step = max(1, size // each)
        yield from ((slice(start, start + step),) for start in range(0, shape[0], step))
        return
    step = max(1, size * shape[2] // each)
    for row in range(shape[0]):
        yield from ((slice(row, row + 1), slice(start, start + step)) for start in range(0, shape[2], step))


def _with_classes(block: Index) -> Index:
    """The block of rows in a tensor that has the class axis as well."""
    return (block[0], slice(None), *block[1:])


def _part(targets: Targets, block: Index) -> Targets:
    """Targets of a block."""
    return Targets(
        labels=None if targets.labels is None else targets.labels[block],
        soft=None if targets.soft is None else targets.soft[_with_classes(block)],
        kept=targets.kept[block],
        some_ignored=targets.some_ignored,
    )
