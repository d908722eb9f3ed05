"""A step of the weights: in what arithmetic its gradients are made, and from how many batches. Annex: training."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

from calibkit._checks import check_choice, check_int, check_real
from calibkit.errors import OptionError
from calibkit.training.optimisation import parameters_of

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
NARROW = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def check_precision(precision: Precision, device: torch.device) -> Precision:
    """Return a precision that the device has, or raise; another one is never taken in silence."""
    check_choice(precision, PRECISIONS, option="precision")
    if precision == "float32" or (precision == "bfloat16" and device.type == "cpu"):
        return precision
    if device.type != "cuda":
        instead = '"bfloat16" or "float32"' if device.type == "cpu" else '"float32"'
        raise OptionError(f'precision="{precision}" is not available on {device}: it needs CUDA. Here, pass {instead}.')
    if precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise OptionError(f'precision="bfloat16": {device} does not compute in it; pass "float16" or "float32".')
    return precision


def check_accumulate(accumulate: int) -> int:
    """Return a number of batches per step, at least 1."""
    return check_int(accumulate, option="accumulate", low=1)


def check_clip_norm(clip_norm: float | None) -> float | None:
    """Return a largest norm above 0, or None: gradients are not clipped."""
    return None if clip_norm is None else check_real(clip_norm, option="clip_norm", low=0.0, high=math.inf)


class Updates:
    """Gradients of one or several batches, and the step that they make together.

    The loss of a step is the sum over its rows divided by the sum of their weights. The latter is not known before
    the last batch, so every batch is divided by the first one's, and the gradients are put right once before the step,
    after float16 is unscaled and before they are clipped. With one batch to a step there is nothing to put right.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        precision: Precision,
        accumulate: int,
        clip_norm: float | None,
    ) -> None:
        self.optimizer = optimizer
        self.device = device
        self.dtype = NARROW.get(check_precision(precision, device))  # "float32" means no autocast
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.accumulate = check_accumulate(accumulate)
        self.clip_norm = check_clip_norm(clip_norm)
        self.unit: Tensor | None = None
        self.total: Tensor | None = None
        self.n_held = 0
        self.n_skipped = 0

    def autocast(self) -> AbstractContextManager[object]:
        """Context for the forward pass; the loss never leaves float32."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, dtype=self.dtype)

    def add(self, loss: Tensor, weight: Tensor) -> None:
        """Add the gradient of one batch's summed loss, with the summed weight of its rows."""
        if self.unit is None or self.total is None:
            self.optimizer.zero_grad(set_to_none=True)
            self.unit = torch.where(weight > 0, weight, torch.ones_like(weight))
            self.total = torch.zeros_like(weight)
        self.scaler.scale(loss / self.unit).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.total = self.total + weight
        self.n_held += 1

    @property
    def full(self) -> bool:
        """Whether the step's batches are all there."""
        return self.n_held == self.accumulate

    def step(self) -> None:
        """Move the weights; float16 leaves a step out whose gradients overflowed, and counts it."""
        if self.n_held > 1 or self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
        if self.n_held > 1:
            self._put_right()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([*parameters_of(self.optimizer)], self.clip_norm)
        scale = self.scaler.get_scale() if self.scaler.is_enabled() else 0.0
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.n_skipped += self.scaler.is_enabled() and self.scaler.get_scale() < scale
        self.unit = self.total = None
        self.n_held = 0

    def _put_right(self) -> None:
        """Divide by the weight of all rows in place of the first batch's."""
        assert self.unit is not None
        assert self.total is not None
        factor = torch.where(self.total > 0, self.unit / self.total, torch.zeros_like(self.unit))
        for parameter in parameters_of(self.optimizer):
            if parameter.grad is not None:
                parameter.grad.mul_(factor.to(parameter.grad.device))
