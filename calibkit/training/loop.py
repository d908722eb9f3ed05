"""`fit`: a network trained with label smoothing or another loss, on one device. Annex: training."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from calibkit._checks import check_int, check_seed
from calibkit.errors import OptionError
from calibkit.training.averaging import Average
from calibkit.training.best import KEPT, make_best
from calibkit.training.devices import borrowed_generators, determinism, resolve_device
from calibkit.training.epochs import Training
from calibkit.training.history import Criterion, Epoch, FitResult
from calibkit.training.interruptions import explained
from calibkit.training.objective import Loss, Objective
from calibkit.training.optimisation import LearningRate, Schedule, make_optimizer
from calibkit.training.progress import reporting
from calibkit.training.schedules import SmoothingSchedule
from calibkit.training.state import Folder, length, plain, what_decides
from calibkit.training.steps import Steps
from calibkit.training.updates import Precision, Updates

MAX_EPOCHS = 1_000_000


def fit(
    model: nn.Module,
    train_loader: Iterable[Any],
    *,
    epochs: int,
    smoothing: float | SmoothingSchedule = 0.0,
    loss: Loss | None = None,
    validation_loader: Iterable[Any] | None = None,
    criterion: Criterion | None = None,
    patience: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: Schedule = "constant",
    warmup_steps: int = 0,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema: float | None = None,
    precision: Precision = "float32",
    deterministic: bool = False,
    device: str | torch.device = "auto",
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    provenance: Mapping[str, object] | None = None,
    progress: bool | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
) -> FitResult:
    """Train a network with or without label smoothing, and keep the weights of its best epoch.

    Two calls that differ in smoothing alone, on networks of the same initial weights, see the same batches.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits (n, k), or (n, k, d1, ...). It is moved to the device, trained in place, and left in eval mode
        with the weights of the best epoch.
    train_loader : iterable of (inputs, labels)
        Iterated once per epoch. Labels are class numbers, or distributions over the classes as mixup makes them.
        Inputs as `predict` takes them.
    epochs : int
        How many times to go through the training rows, with those of a training that is resumed.
    smoothing : float or SmoothingSchedule, default 0
        The share e in [0, 1) of the uniform convention, or a rule that is asked for it with 0 in the first epoch, 1
        in the second, and so on.
    loss : callable of (logits, labels), optional
        Instead of smoothed cross-entropy: a `calibkit.training` loss, or anything that gives one loss per row, such
        as ``nn.CrossEntropyLoss(reduction="none")``. Rows with its ``ignore_index``, if it has one, do not count.
    validation_loader : iterable of (inputs, labels), optional
        Rows that choose the best epoch. Measure calibration on other rows.
    criterion : {"nll", "accuracy", "last"}, optional
        What the best epoch is: lowest validation NLL against hard labels (the default with validation rows), highest
        validation accuracy, or the last epoch (the default without). The earlier of equals wins.
    patience : int, optional
        Stop after so many epochs in a row without a better one by the criterion.
    lr, weight_decay : float, optional
        Of AdamW: 0.001 and 0.01, torch's own. Not with an optimizer of yours.
    optimizer : torch.optim.Optimizer, optional
        Over the parameters of this model, instead of AdamW.
    schedule : {"constant", "cosine"}, default "constant"
        Of the learning rate: as it is, or along half a cosine from its value down to 0 at the end of all epochs.
    warmup_steps : int, default 0
        Steps over which the rate first rises in a straight line.
    accumulate : int, default 1
        Batches per step. The gradient is that of one large batch of their rows: the summed loss divided by the number
        of all rows (or the sum of their weights), also where batches differ in length.
    clip_norm : float, optional
        Largest norm of the gradients of a step; longer ones are scaled down to it.
    ema : float, optional
        Decay in (0, 1) of an exponential moving average of the weights, such as 0.999; it is the average that is
        validated and kept.
    precision : {"float32", "bfloat16", "float16"}, default "float32"
        What the network computes in while it trains, by torch's autocast; float16 with a gradient scaler, on CUDA
        alone. Weights, losses, validation and predictions stay in float32.
    deterministic : bool, default False
        Whether to refuse operations that do not give the same bits every time.
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device, default "auto"
        Where it trains; "auto" takes CUDA, else MPS, else the CPU.
    seed : int, default 0
        Seeds the generators of torch, NumPy and Python before every epoch: the order of a loader without a generator
        of its own, dropout, augmentation. The caller's random state is put back.
    checkpoint : path-like, optional
        A folder that gets, after every epoch, resume.pt, from which a training can go on, and weights.safetensors,
        the weights of the best epoch so far.
    resume : bool, default False
        Whether to go on from the resume.pt that is in the folder; without one the training begins.
    provenance : mapping, optional
        What else decides this training, such as its data's name. It is kept in the checkpoint, and a training that
        is resumed must have the same.
    progress : bool, optional
        Whether to report to standard error; by default only if that is a terminal.
    on_epoch : callable, optional
        Called with each `Epoch` record. What it keeps is not in the checkpoint.

    Returns
    -------
    FitResult
        The history, the best epoch, why training ended, and the settings.

    Raises
    ------
    OptionError
        If an option is out of range, the device is not there, options contradict each other, or the checkpoint is of
        a training with other settings.
    LabelError, ShapeError
        If labels are not class numbers 0..k-1, or logits not (n, k).
    DataError
        If a loader has no batch, or the loss becomes NaN or inf: epoch and step are named.
    LimitError
        If memory runs out: the size of the batch is named.
    InputFormatError
        If the checkpoint is damaged, or of a network of another architecture.
    OutputError
        If the checkpoint cannot be written.

    Notes
    -----
    Every NLL of the history is against hard labels, so runs with different smoothing can be compared; the smoothed
    loss stands beside its floor (`smoothed_loss_floor`). On the CPU the same seed, data, thread count and torch give
    the same weights, whether a training was stopped and resumed or not; on CUDA only ``deterministic=True`` asks for
    that. Whatever ends a training early, the checkpoint of its last complete epoch stays, and the error names it.

    References
    ----------
    Loshchilov, Hutter (2017), SGDR: stochastic gradient descent with warm restarts, equation 5 (cosine). Polyak,
    Juditsky (1992), Acceleration of stochastic approximation by averaging (ema, there with equal weights). Pascanu,
    Mikolov, Bengio (2013), On the difficulty of training recurrent neural networks, section 3.2 (clip_norm).

    Examples
    --------
    >>> inputs = torch.tensor([[0.0, 1.0], [1.0, 0.2], [0.1, 0.8], [0.9, 0.0]])
    >>> batches = [(inputs, torch.tensor([0, 1, 0, 1]))]
    >>> result = fit(nn.Linear(2, 2), batches, epochs=3, smoothing=0.1, lr=0.1, device="cpu")
    >>> result.best_epoch, round(result.best.loss_floor, 4)
    (3, 0.1985)
    """
    check_int(epochs, option="epochs", low=1, high=MAX_EPOCHS)
    objective = Objective(smoothing, loss)
    best = make_best(criterion, patience, validated=validation_loader is not None)
    place = resolve_device(device)
    moved = make_optimizer(model.to(place), optimizer, lr, weight_decay)
    updates = Updates(moved, place, precision=precision, accumulate=accumulate, clip_norm=clip_norm)
    n_steps = _n_steps(train_loader, epochs=epochs, accumulate=updates.accumulate)
    rate = LearningRate(moved, schedule, n_steps=n_steps, warmup_steps=warmup_steps)
    decisive = {
        **what_decides(objective, moved, train_loader=train_loader, validation_loader=validation_loader),
        **{"seed": check_seed(seed), "criterion": best.criterion, "schedule": schedule, "warmup_steps": warmup_steps},
        **{"accumulate": accumulate, "clip_norm": clip_norm, "ema": ema, "precision": precision},
        **({"epochs": epochs} if schedule == "cosine" else {}),
    }
    both = sorted(decisive.keys() & (provenance or {}).keys())
    if both:
        raise OptionError(f"provenance={both[0]!r}: fit keeps a setting of that name itself; call yours another name.")
    training = Training(
        Steps(model, objective=objective, updates=updates, rate=rate, average=Average(model, ema)),
        train_loader=train_loader,
        validation_loader=validation_loader,
        best=best,
        seed=seed,
        folder=_folder(checkpoint, resume=resume),
        settings={key: plain(value) for key, value in {**(provenance or {}), **decisive}.items()},
    )
    title = (
        f"Training on {place} with {objective.title}, seed {seed}, keeping the weights of the {KEPT[best.criterion]}"
    )
    objective.to(place)
    with borrowed_generators(place), determinism(deterministic):
        training.go_on(epochs)
        with explained(training), reporting(progress, title=title, epochs=epochs, done=training.epoch) as report:
            training.run(epochs, report, on_epoch)
    return training.result(precision)


def _n_steps(loader: object, *, epochs: int, accumulate: int) -> int | None:
    """Steps of the whole training; None if the loader does not know its length."""
    batches = length(loader)
    return None if batches is None else epochs * math.ceil(batches / accumulate)


def _folder(checkpoint: str | os.PathLike[str] | None, *, resume: bool) -> Folder | None:
    """Where checkpoints go, if they are wanted."""
    if checkpoint is not None:
        return Folder(checkpoint, resume=resume)
    if resume:
        raise OptionError("resume=True needs the folder to go on from: pass checkpoint=FOLDER.")
    return None
