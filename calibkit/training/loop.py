"""A plain training loop with label smoothing, for one network on one device. Annex: training."""

import copy
import math
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from calibkit._checks import check_choice, check_int, check_real, check_seed
from calibkit.errors import DataError, OptionError
from calibkit.training.devices import borrowed_generators, resolve_device, seed_device
from calibkit.training.history import CRITERIA, Criterion, Epoch, FitResult
from calibkit.training.inference import call, evaluating, forward, pair
from calibkit.training.progress import reporting
from calibkit.training.smoothing import smoothed_row_losses
from calibkit.training.targets import smoothed_loss_floor
from calibkit.training.tensors import check_labels, check_logits, check_smoothing

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
MAX_EPOCHS = 1_000_000
STEPS_BETWEEN_CHECKS = 100
KEPT: dict[Criterion, str] = {
    "nll": "epoch of lowest validation NLL",
    "accuracy": "epoch of highest validation accuracy",
    "last": "last epoch",
}


def fit(
    model: nn.Module,
    train_loader: Iterable[Any],
    *,
    epochs: int,
    smoothing: float = 0.0,
    validation_loader: Iterable[Any] | None = None,
    criterion: Criterion | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
) -> FitResult:
    """Train a network with or without label smoothing, and keep the weights of its best epoch.

    Two calls that differ in smoothing alone, on networks of the same initial weights, see the same batches.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits (n, k). It is moved to the device, trained in place, and left in eval mode with the weights of
        the best epoch.
    train_loader : iterable of (inputs, labels)
        Iterated once per epoch; labels are class numbers. Inputs as `predict` takes them.
    epochs : int
        How many times to go through the training rows.
    smoothing : float, default 0
        The share e in [0, 1) of the uniform convention.
    validation_loader : iterable of (inputs, labels), optional
        Rows that choose the best epoch. Measure calibration on other rows.
    criterion : {"nll", "accuracy", "last"}, optional
        What the best epoch is: lowest validation NLL against hard labels (the default with validation rows), highest
        validation accuracy, or the last epoch (the default without). The earlier of equals wins.
    lr, weight_decay : float, optional
        Of AdamW: 0.001 and 0.01, torch's own. Not with an optimizer of yours.
    optimizer : torch.optim.Optimizer, optional
        Over the parameters of this model, instead of AdamW.
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device, default "auto"
        Where it trains; "auto" takes CUDA, else MPS, else the CPU.
    seed : int, default 0
        Seeds torch's generators before every epoch: the order of a loader without a generator of its own, and
        dropout. The caller's random state is put back.
    progress : bool, optional
        Whether to report to standard error; by default only if that is a terminal.
    on_epoch : callable, optional
        Called with each `Epoch` record, for instance to step a schedule.

    Returns
    -------
    FitResult
        The history, the best epoch, and the settings.

    Raises
    ------
    OptionError
        If an option is out of range, the device is not there, or options contradict each other.
    LabelError, ShapeError
        If labels are not class numbers 0..k-1, or logits not (n, k).
    DataError
        If a loader has no batch, or the loss becomes NaN or inf: epoch and step are named.

    Notes
    -----
    Every NLL of the history is against hard labels, so runs with different smoothing can be compared; the smoothed
    loss stands beside its floor (`smoothed_loss_floor`). On the CPU the same seed, data, thread count and torch give
    the same weights; on CUDA that is not promised.

    Examples
    --------
    >>> inputs = torch.tensor([[0.0, 1.0], [1.0, 0.2], [0.1, 0.8], [0.9, 0.0]])
    >>> batches = [(inputs, torch.tensor([0, 1, 0, 1]))]
    >>> result = fit(nn.Linear(2, 2), batches, epochs=3, smoothing=0.1, lr=0.1, device="cpu")
    >>> result.best_epoch, round(result.best.loss_floor, 4)
    (3, 0.1985)
    """
    check_smoothing(smoothing)
    check_int(epochs, option="epochs", low=1, high=MAX_EPOCHS)
    check_seed(seed)
    chosen = _criterion(criterion, validation_loader)
    place = resolve_device(device)
    model.to(place)
    steps = _Steps(model, _optimizer(model, optimizer, lr, weight_decay), smoothing, place)
    best = _Best(chosen)
    history: list[Epoch] = []
    start = perf_counter()
    title = f"Training on {place} with smoothing {smoothing:g}, seed {seed}, keeping the weights of the {KEPT[chosen]}"
    with borrowed_generators(place), reporting(progress, title=title, epochs=epochs) as report:
        for number in range(1, epochs + 1):
            seed_device(place, seed, number)
            record = _epoch(number, steps, train_loader, validation_loader)
            history.append(record)
            best.offer(record, model)
            report(record)
            if on_epoch is not None:
                on_epoch(record)
    best.restore(model)
    return FitResult(
        smoothing=float(smoothing),
        n_classes=steps.n_classes,
        criterion=chosen,
        best_epoch=best.epoch,
        history=tuple(history),
        device=str(place),
        seed=seed,
        seconds=perf_counter() - start,
    )


def _criterion(criterion: Criterion | None, validation_loader: object) -> Criterion:
    """Return what decides the best epoch."""
    if criterion is None:
        return "last" if validation_loader is None else "nll"
    check_choice(criterion, CRITERIA, option="criterion")
    if validation_loader is None and criterion != "last":
        raise OptionError(f'criterion="{criterion}" needs a validation_loader; without one pass criterion="last".')
    return criterion


def _optimizer(
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
    moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not moved & {id(parameter) for parameter in parameters}:
        raise OptionError("The optimizer holds no parameter of this model; make it with model.parameters().")
    return optimizer


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


def _epoch(number: int, steps: "_Steps", train_loader: Iterable[Any], validation_loader: Iterable[Any] | None) -> Epoch:
    """Train and validate once."""
    loss, train_nll = steps.train(train_loader, epoch=number)
    validation = None if validation_loader is None else steps.validate(validation_loader, epoch=number)
    return Epoch(
        epoch=number,
        loss=loss,
        loss_floor=smoothed_loss_floor(steps.n_classes, steps.smoothing),
        train_nll=train_nll,
        validation_nll=None if validation is None else validation[0],
        validation_accuracy=None if validation is None else validation[1],
    )


class _Steps:
    """A network with its optimizer, loss and device: one pass over a loader at a time."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, smoothing: float, device: torch.device
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.smoothing = smoothing
        self.device = device
        self.n_classes = 0

    def train(self, loader: Iterable[Any], *, epoch: int) -> tuple[float, float]:
        """One epoch of updates; mean smoothed loss and mean hard-label NLL."""
        self.model.train()
        means = _Means(epoch, f"lr is {self.optimizer.param_groups[0]['lr']:g}")
        for batch in loader:
            inputs, labels = pair(batch)
            logits, codes = self._checked(call(self.model, inputs, self.device), labels)
            losses = smoothed_row_losses(logits, codes, smoothing=self.smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.optimizer.step()
            hard = losses if self.smoothing == 0 else smoothed_row_losses(logits.detach(), codes, smoothing=0.0)
            means.add(len(codes), losses.detach().sum(), hard.detach().sum())
        return means.result("train_loader")

    def validate(self, loader: Iterable[Any], *, epoch: int) -> tuple[float, float]:
        """Mean hard-label NLL and accuracy, in eval mode."""
        means = _Means(epoch, "in validation", infinite=True)
        with evaluating(self.model):
            for output, labels in forward(self.model, loader, self.device):
                logits, codes = self._checked(output, labels)
                nll = smoothed_row_losses(logits, codes, smoothing=0.0)
                means.add(len(codes), nll.sum(), (logits.argmax(dim=1) == codes).sum())
        return means.result("validation_loader")

    def _checked(self, output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and labels on the device; labels are checked where they came from, which is no device wait."""
        logits = check_logits(output)
        self.n_classes = logits.shape[1]
        codes, _ = check_labels(labels, n_classes=self.n_classes, n_rows=len(logits), ignore_index=None)
        return logits, codes.to(self.device, non_blocking=True)


class _Means:
    """Means over rows of two sums per batch, read from the device only now and then."""

    def __init__(self, epoch: int, where: str, *, infinite: bool = False) -> None:
        self.epoch = epoch
        self.where = where
        self.infinite = infinite
        self.pending: list[Tensor] = []
        self.totals = [0.0, 0.0]
        self.n_steps = self.n_rows = 0

    def add(self, n_rows: int, first: Tensor, second: Tensor) -> None:
        """Add the sums of one batch."""
        self.pending.append(torch.stack((first, second)))
        self.n_rows += n_rows
        self.n_steps += 1
        if len(self.pending) == STEPS_BETWEEN_CHECKS:
            self._read()

    def result(self, loader_name: str) -> tuple[float, float]:
        """Both means."""
        self._read()
        if self.n_rows == 0:
            raise DataError(
                f"epoch {self.epoch}: {loader_name} gave no rows. A generator gives them once only: pass a DataLoader; "
                "one with drop_last=True gives none if there are fewer rows than batch_size."
            )
        return self.totals[0] / self.n_rows, self.totals[1] / self.n_rows

    def _read(self) -> None:
        """Add what is pending, and stop at the first loss that is not finite."""
        if not self.pending:
            return
        first = self.n_steps - len(self.pending) + 1
        for step, values in enumerate(torch.stack(self.pending).tolist(), start=first):
            if math.isnan(values[0]) or (math.isinf(values[0]) and not self.infinite):
                raise DataError(
                    f"epoch {self.epoch}, step {step}: the loss is {values[0]} ({self.where}). Lower the learning "
                    "rate, or look for NaN and inf in the inputs and for masked logits of -inf."
                )
            self.totals = [total + value for total, value in zip(self.totals, values, strict=True)]
        self.pending = []


class _Best:
    """The best epoch so far and its weights."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.epoch = 0
        self.value = math.inf
        self.weights: dict[str, Any] | None = None

    def offer(self, record: Epoch, model: nn.Module) -> None:
        """Keep the weights if this epoch is better than all before; the last criterion needs no copy."""
        if self.criterion == "last":
            self.epoch = record.epoch
            return
        value = record.validation_nll if self.criterion == "nll" else -(record.validation_accuracy or 0.0)
        if value is not None and (self.epoch == 0 or value < self.value):
            self.epoch, self.value = record.epoch, value
            self.weights = copy.deepcopy(model.state_dict())

    def restore(self, model: nn.Module) -> None:
        """Put the best weights back and leave the network in eval mode."""
        if self.weights is not None:
            model.load_state_dict(self.weights)
        model.eval()
