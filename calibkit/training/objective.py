"""What training minimises: label smoothing, or a loss that gives one number per row. Annex: training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from calibkit.errors import DataError, LabelError, OptionError
from calibkit.training.binary import BinaryLabelSmoothingCrossEntropy
from calibkit.training.closed_form import smoothed_rows
from calibkit.training.reduction import RowLoss
from calibkit.training.schedules import SmoothingSchedule
from calibkit.training.smoothing import smoothing_rule
from calibkit.training.targets import smoothed_loss_floor
from calibkit.training.tensors import Targets, check_logit_form, check_smoothing, check_targets, widen

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """A batch's losses, added up on the device, with what the rows weigh.

    ``loss`` has a gradient; ``weight`` is what its mean divides by. ``nll`` is against the labels as they are, over
    ``n_rows`` rows that count.
    """

    loss: Tensor
    weight: Tensor
    nll: Tensor
    n_rows: Tensor

    def sums(self) -> Tensor:
        """The four numbers without gradient (4,)."""
        values = (self.loss.detach(), self.weight, self.nll, self.n_rows)
        return torch.stack([value.to(self.nll.dtype) for value in values])


class Objective:
    """The loss of `fit`, and the hard-label NLL that stands beside it in the history."""

    def __init__(self, smoothing: float | SmoothingSchedule, loss: Loss | None) -> None:
        self.schedule = smoothing if isinstance(smoothing, SmoothingSchedule) else None
        self.loss = loss
        self.smoothing: float | None = None  # of this epoch; None for a loss that was passed
        self.ignore_index: int | None = None
        if loss is None:
            self.smoothing = check_smoothing(smoothing if self.schedule is None else self.schedule.at(0))
            return
        if self.schedule is not None or smoothing != 0:
            raise OptionError(
                "smoothing and loss cannot both be passed: smoothing belongs to the default loss. For a loss with "
                "smoothing of its own, set it there, as in loss=LabelSmoothingCrossEntropy(0.1, weight=...)."
            )
        if not callable(loss):
            raise OptionError(f"loss={loss!r}: expected a module or function of (logits, labels).")
        if isinstance(loss, BinaryLabelSmoothingCrossEntropy):
            raise OptionError(
                "loss=BinaryLabelSmoothingCrossEntropy: fit trains networks with one logit a class. Give the network "
                "two logits and pass smoothing, or use the loss in a loop of your own."
            )
        # Only rows that the loss itself ignores are left out; the default loss ignores none.
        self.ignore_index = getattr(loss, "ignore_index", None)

    def to(self, device: torch.device) -> None:
        """Move class weights and the like to the device."""
        if isinstance(self.loss, nn.Module):
            self.loss.to(device)

    def state_dict(self) -> dict[str, Any]:
        """What a loss holds that training may change: its parameters, if an optimizer moves them, and its buffers."""
        return dict(self.loss.state_dict()) if isinstance(self.loss, nn.Module) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it up again."""
        if isinstance(self.loss, nn.Module):
            self.loss.load_state_dict(state)

    def begin(self, epoch: int) -> None:
        """Ask the schedule for the smoothing of an epoch, counted from 1."""
        if self.schedule is not None:
            self.smoothing = self.schedule.at(epoch - 1)

    @property
    def constant_smoothing(self) -> float | None:
        """Share e of every epoch, if there is one."""
        return None if self.schedule is not None else self.smoothing

    def floor(self, n_classes: int) -> float | None:
        """Least value of the loss, where it is known."""
        return None if self.smoothing is None else smoothed_loss_floor(n_classes, self.smoothing)

    @property
    def title(self) -> str:
        """What a user changes between two trainings: the smoothing, its schedule, or the loss."""
        if self.schedule is not None:
            return f"{self.schedule.kind} smoothing from {self.schedule.start:g} to {self.schedule.end:g}"
        return f"loss {self.describe()}" if self.smoothing is None else f"smoothing {self.smoothing:g}"

    def describe(self) -> str:
        """Name the loss in one line."""
        return "cross-entropy" if self.loss is None else _described(self.loss)

    def attributes(self) -> dict[str, object]:
        """Plain settings of a loss that is a module, which its ``repr`` need not tell: those of torch's do not."""
        if not isinstance(self.loss, nn.Module) or isinstance(self.loss, RowLoss):
            return {}
        return {
            f"{where}{'.' if where else ''}{name} of the loss": value
            for where, module in self.loss.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, bool | int | float | str) and name != "training" and not name.startswith("_")
        }

    def score(self, logits: Tensor, labels: Tensor) -> Scored:
        """Losses of a batch of logits (n, k) or (n, k, d1, ...).

        Labels may be on the CPU still: there they are checked without waiting for the device.
        """
        targets = self._targets(logits, labels, soft=True)
        losses, weights = self._rows(logits, labels, targets)
        nll = losses.detach() if self.smoothing == 0 else _smoothed(logits.detach(), targets, 0.0)
        return Scored(loss=losses.sum(), weight=weights.sum(), nll=nll.sum(), n_rows=targets.kept.sum())

    def validate(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Four sums (4,) of a validation batch: NLL against hard labels, rows, right answers, rows."""
        targets = self._targets(logits, labels, soft=False)
        nll, kept = _smoothed(logits, targets, 0.0).sum(), targets.kept.sum()
        right = ((logits.argmax(dim=1) == targets.labels) & targets.kept).sum()
        return torch.stack([value.to(nll.dtype) for value in (nll, kept, right, kept)])

    def _targets(self, logits: Tensor, labels: Tensor, *, soft: bool) -> Targets:
        """Labels, checked against the logits."""
        check_logit_form(logits)
        _refuse_text(labels)
        return check_targets(logits, labels, ignore_index=self.ignore_index, soft=soft)

    def _rows(self, logits: Tensor, labels: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Loss of each row, and what it weighs in the mean."""
        if self.smoothing is not None:
            losses = _smoothed(logits, targets, self.smoothing)
            return losses, targets.kept
        if isinstance(self.loss, RowLoss):
            return self.loss.rows(logits, labels)
        losses = self._checked(widen(logits), labels.to(logits.device))
        return losses, self._weights(losses, targets)

    def _weights(self, losses: Tensor, targets: Targets) -> Tensor:
        """What each row weighs in the mean: class weights count in torch's losses as torch counts them."""
        weight = self.loss.weight if isinstance(self.loss, nn.CrossEntropyLoss | nn.NLLLoss) else None
        if weight is None or targets.labels is None:
            return targets.kept
        return weight.to(losses)[targets.labels] * targets.kept

    def _checked(self, x: Tensor, labels: Tensor) -> Tensor:
        """Rows of a loss of the user's."""
        assert self.loss is not None
        losses = self.loss(x, labels)
        shape = (x.shape[0], *x.shape[2:])
        if not isinstance(losses, Tensor) or tuple(losses.shape) != shape:
            found = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
            raise OptionError(
                f"loss={self.describe()}: returned {found}; expected one loss per row, {shape}. Make it with "
                'reduction="none": fit divides the sum by the number of rows itself.'
            )
        if not losses.requires_grad:
            raise DataError(
                f"loss={self.describe()}: its value has no gradient; compute it from the logits with torch."
            )
        return losses


def _described(loss: object) -> str:
    """A loss in one line; of functools.partial with what it fixes."""
    if isinstance(loss, partial):
        fixed = [*map(repr, loss.args), *(f"{name}={value!r}" for name, value in sorted(loss.keywords.items()))]
        return f"{_described(loss.func)}({', '.join(fixed)})"
    if isinstance(loss, nn.Module):
        return " ".join(repr(loss).split())
    return str(getattr(loss, "__qualname__", type(loss).__qualname__))


def _smoothed(logits: Tensor, targets: Targets, smoothing: float) -> Tensor:
    """Cross-entropy of each row against smoothed targets."""
    return smoothed_rows(logits, targets, smoothing_rule(logits, smoothing=smoothing))


def _refuse_text(labels: object) -> None:
    """Raise for labels that are names, which a DataLoader hands on as a tuple."""
    if isinstance(labels, tuple | list) and labels and isinstance(labels[0], str):
        raise LabelError(
            f"labels are text (the first is {labels[0]!r}); expected class numbers 0..k-1 in a tensor. In the dataset "
            "give class_names.index(label)."
        )
