"""The optimizer, and its learning rate along the training. Annex: training."""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from calibkit._checks import check_choice, check_int, check_real
from calibkit.errors import OptionError

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2

Schedule = Literal["constant", "cosine"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine")


def check_lr(lr: float) -> float:
    """Return a learning rate above 0."""
    return check_real(lr, option="lr", low=0.0, high=math.inf)


def check_weight_decay(weight_decay: float) -> float:
    """Return a weight decay of at least 0."""
    return (
        0.0
        if weight_decay == 0 and weight_decay is not False
        else check_real(weight_decay, option="weight_decay", low=0.0, high=math.inf)
    )


def check_schedule(schedule: Schedule, warmup_steps: int) -> None:
    """Raise for an unknown schedule, or a warm-up of less than no steps."""
    check_choice(schedule, SCHEDULES, option="schedule")
    check_int(warmup_steps, option="warmup_steps", low=0)


def make_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer | None, lr: float | None, weight_decay: float | None
) -> torch.optim.Optimizer:
    """Return the optimizer that was passed, checked to move this model, or AdamW."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise OptionError("The model has no parameter with requires_grad=True: there is nothing to train.")
    if optimizer is None:
        rate = LEARNING_RATE if lr is None else check_lr(lr)
        decay = WEIGHT_DECAY if weight_decay is None else check_weight_decay(weight_decay)
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    if lr is not None or weight_decay is not None:
        raise OptionError("lr and weight_decay belong to the optimizer; set them there, or pass no optimizer.")
    moved = {id(parameter) for parameter in parameters_of(optimizer)}
    if not moved & {id(parameter) for parameter in parameters}:
        raise OptionError("The optimizer holds no parameter of this model; make it with model.parameters().")
    return optimizer


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    """Every parameter that an optimizer moves."""
    for group in optimizer.param_groups:
        yield from group["params"]


class LearningRate:
    """The optimizer's own learning rate, times a factor that depends on the step alone: there is nothing to resume.

    At step t of T, counted from 0, after w steps of warm-up the cosine gives ``(1 + cos(pi (t - w) / (T - w))) / 2``
    (Loshchilov and Hutter 2017, SGDR, equation 5, with one period and a least rate of 0), and "constant" 1. Warm-up
    gives ``(t + 1) / (w + 1)`` (linear, as Goyal et al. 2017 use it).
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, schedule: Schedule, *, n_steps: int | None, warmup_steps: int
    ) -> None:
        check_schedule(schedule, warmup_steps)
        self.warmup_steps = warmup_steps
        if schedule == "cosine":
            if n_steps is None:
                raise OptionError(
                    'schedule="cosine" needs to know how many batches an epoch has: pass a train_loader with a '
                    "length, such as a DataLoader over a dataset that has one."
                )
            if n_steps <= warmup_steps:
                raise OptionError(f"warmup_steps={warmup_steps}: the whole training has {n_steps:,} steps; take fewer.")
        self.optimizer = optimizer
        self.n_steps = n_steps if schedule == "cosine" else None
        self.start = [float(group["lr"]) for group in optimizer.param_groups]

    @property
    def now(self) -> float:
        """Rate of the optimizer's first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set(self, step: int) -> None:
        """Set the rate of a step, counted from 0; a rate that never changes is left to the optimizer."""
        if self.n_steps is None and (step > self.warmup_steps or self.warmup_steps == 0):
            return
        factor = self.factor(step)
        for group, start in zip(self.optimizer.param_groups, self.start, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(start * factor)
            else:
                group["lr"] = start * factor

    def factor(self, step: int) -> float:
        """What the rate of a step is multiplied with."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        if self.n_steps is None:
            return 1.0
        past = (step - self.warmup_steps) / (self.n_steps - self.warmup_steps)
        return (1 + math.cos(math.pi * min(past, 1.0))) / 2
