"""One pass over a loader: forward, loss, gradient, step; or forward and NLL. Annex: training."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from calibkit.errors import DataError
from calibkit.training.averaging import Average
from calibkit.training.inference import call, evaluating, pair
from calibkit.training.objective import Objective
from calibkit.training.optimisation import LearningRate
from calibkit.training.state import digest
from calibkit.training.updates import Updates

STEPS_BETWEEN_CHECKS = 100


class Steps:
    """A network with its loss, its optimizer and its arithmetic: one pass over a loader at a time."""

    def __init__(
        self, model: nn.Module, *, objective: Objective, updates: Updates, rate: LearningRate, average: Average
    ) -> None:
        self.model = model
        self.objective = objective
        self.updates = updates
        self.rate = rate
        self.average = average
        self.n_classes = 0
        self.n_done = 0  # in all epochs
        self.batch: tuple[str, int] = ("train_loader", 0)  # what is being worked on, and its rows: for messages
        self.first_batch = 0  # of the epoch, as a digest

    def train(self, loader: Iterable[Any], *, epoch: int) -> tuple[float, float]:
        """One epoch of steps; mean loss and mean hard-label NLL."""
        self.model.train()
        means = Means(epoch, f"lr is {self.rate.now:g}")
        sums: Tensor | None = None
        for number, batch in enumerate(loader):
            if number == 0:
                self.first_batch = digest(batch)
            with self.updates.autocast():
                logits, labels = self._logits(self.model, batch, "train_loader")
            scored = self.objective.score(logits, labels)
            self.updates.add(scored.loss, scored.weight)
            sums = scored.sums() if sums is None else sums + scored.sums()
            if self.updates.full:
                self._step()
                means.add(sums)
                sums = None
        if sums is not None:  # too few batches are left for a whole step: they make one of their own
            self._step()
            means.add(sums)
        return means.result("train_loader")

    def validate(self, loader: Iterable[Any], *, epoch: int) -> tuple[float, float]:
        """Mean hard-label NLL and accuracy, in eval mode and without autocast, as `predict` computes."""
        means = Means(epoch, "in validation", validation=True)
        network = self.average.network
        with evaluating(network):
            for batch in loader:
                logits, labels = self._logits(network, batch, "validation_loader")
                means.add(self.objective.validate(logits, labels))
        return means.result("validation_loader")

    def _logits(self, network: nn.Module, batch: object, loader_name: str) -> tuple[Tensor, Any]:
        """Forward pass of one batch; labels as they came."""
        inputs, labels = pair(batch)
        self.batch = (loader_name, len(labels) if hasattr(labels, "__len__") else 0)
        logits = call(network, inputs, self.updates.device)
        if logits.ndim > 1:
            self.n_classes = logits.shape[1]
        return logits, labels

    def _step(self) -> None:
        """Move the weights at the rate of this step, and their average after them."""
        self.rate.set(self.n_done)
        self.updates.step()
        self.average.update()
        self.n_done += 1


class Means:
    """Two means over rows, of sums that each step adds as four numbers: sum, count, sum, count.

    A number of the device is waited for only every hundred steps, so that the device is never idle for it. A step
    whose loss is NaN, or in training inf or over no row that counts, stops there with its number: at most that many
    steps late.
    """

    def __init__(self, epoch: int, where: str, *, validation: bool = False) -> None:
        self.epoch = epoch
        self.where = where
        self.validation = validation
        self.pending: list[Tensor] = []
        self.totals = [0.0, 0.0, 0.0, 0.0]
        self.n_steps = 0

    def add(self, sums: Tensor) -> None:
        """Add the four sums of one step."""
        self.pending.append(sums)
        self.n_steps += 1
        if len(self.pending) == STEPS_BETWEEN_CHECKS:
            self._read()

    def result(self, loader_name: str) -> tuple[float, float]:
        """Both means."""
        self._read()
        first, n_first, second, n_second = self.totals
        if n_first == 0 or n_second == 0:
            counted = " that count" if self.n_steps else ""
            raise DataError(
                f"epoch {self.epoch}: {loader_name} gave no rows{counted}. A generator gives them once only: pass a "
                "DataLoader; one with drop_last=True gives none if there are fewer rows than batch_size."
            )
        return first / n_first, second / n_second

    def _read(self) -> None:
        """Add what is pending, and stop at the first step that went wrong."""
        if not self.pending:
            return
        first = self.n_steps - len(self.pending) + 1
        for step, sums in enumerate(torch.stack(self.pending).tolist(), start=first):
            self._check(step, *sums)
            self.totals = [total + value for total, value in zip(self.totals, sums, strict=True)]
        self.pending = []

    def _check(self, step: int, loss: float, count: float, *_: float) -> None:
        """Raise for a loss that is not finite, or a step without a row that counts."""
        if math.isnan(loss) or (math.isinf(loss) and not self.validation):
            raise DataError(
                f"epoch {self.epoch}, step {step}: the loss is {loss} ({self.where}). Lower the learning "
                "rate, or look for NaN and inf in the inputs and for masked logits of -inf."
            )
        if count == 0 and not self.validation:
            raise DataError(
                f"epoch {self.epoch}, step {step}: no row counts: every label is ignored, or of a class of weight 0. "
                "The mean loss of such a step is undefined; take larger batches, or pass accumulate=2 or more."
            )
