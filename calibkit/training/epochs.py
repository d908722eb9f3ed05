"""A training from epoch to epoch: train, validate, keep the best, write the checkpoint. Annex: training."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from calibkit.errors import DataError, OptionError
from calibkit.training.averaging import Average
from calibkit.training.best import Best
from calibkit.training.checkpoints import bare, fitted
from calibkit.training.devices import seed_epoch
from calibkit.training.history import Epoch, FitResult
from calibkit.training.state import Folder, Settings, State, digest, naming_damage
from calibkit.training.steps import Steps

Report = Callable[[Epoch], object]


class Training:
    """All that a training is made of, and the epochs that it has behind it."""

    def __init__(
        self,
        steps: Steps,
        *,
        train_loader: Iterable[Any],
        validation_loader: Iterable[Any] | None,
        best: Best,
        seed: int,
        folder: Folder | None,
        settings: Settings,
    ) -> None:
        self.steps = steps
        self.train_loader = train_loader
        self.validation_loader = validation_loader
        self.best = best
        self.seed = seed
        self.folder = folder
        self.settings = settings
        self.generators = _generators(train_loader, validation_loader)
        self.before: list[Tensor] = []  # states of these at the start of the epoch
        self.history: list[Epoch] = []
        self.resumed_from = 0
        self.seconds = 0.0  # of the calls that this one goes on from
        self.start = perf_counter()

    @property
    def model(self) -> nn.Module:
        """The network that is trained."""
        return self.steps.model

    @property
    def average(self) -> Average:
        """The weights that are validated and kept."""
        return self.steps.average

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    @property
    def elapsed(self) -> float:
        """Seconds so far, with those of the calls that this one goes on from."""
        return self.seconds + perf_counter() - self.start

    def run(self, epochs: int, report: Report, on_epoch: Report | None) -> None:
        """Train until so many epochs are done, or patience runs out."""
        while self.epoch < epochs and not self.best.exhausted(self.epoch):
            record = self._train_once(self.epoch + 1)
            self.history.append(record)
            better = self.best.offer(record, self.average.network)
            report(record)
            try:
                if on_epoch is not None:
                    on_epoch(record)
            finally:  # what on_epoch did to the optimizer belongs to this epoch, which counts even if it stopped us
                self._keep(better=better)
        self.best.restore(self.model, self.average.network)

    def _train_once(self, number: int) -> Epoch:
        """One epoch, on random numbers of its own: they depend on the seed and the epoch alone."""
        steps, objective = self.steps, self.steps.objective
        self.before = self._generator_states()
        seed_epoch(steps.updates.device, self.seed, number)
        objective.begin(number)
        skipped = steps.updates.n_skipped
        loss, train_nll = steps.train(self.train_loader, epoch=number)
        self._check_finite(number)
        nll = accuracy = None
        if self.validation_loader is not None:
            nll, accuracy = steps.validate(self.validation_loader, epoch=number)
        return Epoch(
            epoch=number,
            loss=loss,
            loss_floor=objective.floor(steps.n_classes),
            train_nll=train_nll,
            validation_nll=nll,
            validation_accuracy=accuracy,
            smoothing=objective.smoothing,
            lr=steps.rate.now,
            skipped_steps=steps.updates.n_skipped - skipped,
        )

    def _check_finite(self, number: int) -> None:
        """Raise if the epoch's last step spoiled the weights: no loss has shown it yet."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                raise DataError(
                    f"epoch {number}, last step: the weights {name!r} hold NaN or inf after it (lr is "
                    f"{self.steps.rate.now:g}). Lower the learning rate, or pass clip_norm=1.0."
                )

    def _keep(self, *, better: bool) -> None:
        """Write the checkpoint of the epoch that was just done."""
        if self.folder is None:
            return
        if better:
            self.folder.write_weights(self.average.network, epoch=self.epoch)
        self.folder.write(self._state(), self.settings)

    def _state(self) -> State:
        """All that going on needs, as tensors and plain values."""
        steps = self.steps
        return {
            "epoch": self.epoch,
            "model": dict(bare(self.model).state_dict()),
            "loss": steps.objective.state_dict(),
            "optimizer": steps.updates.optimizer.state_dict(),
            "scaler": steps.updates.scaler.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best.state_dict(),
            "history": [asdict(record) for record in self.history],
            "n_classes": steps.n_classes,
            "n_done": steps.n_done,
            "seconds": self.elapsed,
            "first_batch": steps.first_batch,
            "generators before": self.before,
            "generators": self._generator_states(),
        }

    def go_on(self, epochs: int) -> None:
        """Take up the folder's state, if it has one."""
        state = None if self.folder is None else self.folder.read(self.settings)
        if self.folder is None or state is None:
            return
        name, steps = self.folder.name, self.steps
        with naming_damage(name):
            if state["epoch"] > epochs:
                raise OptionError(
                    f"epochs={epochs}: the checkpoint {name} has {state['epoch']} epochs behind it already."
                )
            bare(self.model).load_state_dict(fitted(self.model, state["model"], name))
            steps.objective.load_state_dict(state["loss"])
            steps.updates.optimizer.load_state_dict(state["optimizer"])
            if state["scaler"]:
                steps.updates.scaler.load_state_dict(state["scaler"])
            self.average.load_state_dict(state["average"])
            self.best.load_state_dict(state["best"])
            self.history = [Epoch(**record) for record in state["history"]]
            steps.n_classes, steps.n_done = state["n_classes"], state["n_done"]
            self.seconds, self.resumed_from = state["seconds"], state["epoch"]
            self._set_generators(state["generators before"])
            first_batch, generators = state["first_batch"], state["generators"]
        self._check_order(self.resumed_from, first_batch, name)
        with naming_damage(name):
            self._set_generators(generators)

    def _check_order(self, epoch: int, first_batch: int, name: str) -> None:
        """Warn if the last epoch would not begin with the batch with which it began."""
        seed_epoch(self.steps.updates.device, self.seed, epoch)
        if digest(next(iter(self.train_loader), None)) != first_batch:
            warnings.warn(
                f"train_loader does not give the batches again that it gave when {name} was written, so this training "
                "will not equal one that was never stopped. Its rows have changed, or their order is drawn from a "
                "generator of its own; fit seeds those of torch, NumPy and Python.",
                stacklevel=4,
            )

    def result(self, precision: str) -> FitResult:
        """What was done, as `fit` returns it."""
        objective = self.steps.objective
        return FitResult(
            smoothing=objective.constant_smoothing,
            loss=objective.describe(),
            n_classes=self.steps.n_classes,
            criterion=self.best.criterion,
            best_epoch=self.best.epoch,
            stopped="patience" if self.best.exhausted(self.epoch) else "epochs",
            history=tuple(self.history),
            device=str(self.steps.updates.device),
            precision=precision,
            seed=self.seed,
            resumed_from=self.resumed_from,
            seconds=self.elapsed,
        )

    def _generator_states(self) -> list[Tensor]:
        """Where the loaders' generators stand."""
        return [generator.get_state() for generator in self.generators]

    def _set_generators(self, states: list[Tensor]) -> None:
        """Put them back there."""
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)


def _generators(*loaders: object) -> list[torch.Generator]:
    """Random generators that the loaders brought along, which no seed of ours sets."""
    found: dict[int, torch.Generator] = {}
    for loader in loaders:
        if not isinstance(loader, DataLoader):
            continue
        inner = getattr(loader.batch_sampler, "sampler", None)
        for holder in (loader, loader.sampler, loader.batch_sampler, inner):
            generator = getattr(holder, "generator", None)
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return [*found.values()]
