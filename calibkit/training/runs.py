"""Whole runs: one network, or twins that differ in smoothing alone, each with its folder. Annex: training."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from calibkit.errors import OptionError
from calibkit.training.history import Criterion
from calibkit.training.optimisation import WEIGHT_DECAY, Schedule
from calibkit.training.recipe import Recipe, write_runs
from calibkit.training.tensors import check_smoothing
from calibkit.training.updates import Precision

HIDDEN = (512, 512)
EPOCHS = 100
BATCH_SIZE = 64
LEARNING_RATE = 2e-3
THREADS = 1


def train_run(
    out: str | os.PathLike[str],
    *,
    smoothing: float = 0.0,
    data: str | os.PathLike[str] = "digits",
    noise: float = 0.0,
    seed: int = 0,
    epochs: int = EPOCHS,
    hidden: Sequence[int] = HIDDEN,
    batch_size: int = BATCH_SIZE,
    lr: float = LEARNING_RATE,
    weight_decay: float = WEIGHT_DECAY,
    schedule: Schedule = "constant",
    warmup_steps: int = 0,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema: float | None = None,
    precision: Precision = "float32",
    deterministic: bool = False,
    criterion: Criterion = "nll",
    patience: int | None = None,
    device: str | torch.device = "auto",
    threads: int = THREADS,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Train a multilayer perceptron and write a run folder with weights, record and predictions.

    Runs of one seed share the split, the flipped labels, the initial weights and the batches, so two of them that
    differ in smoothing alone are twins: their test.npz hold the same rows.

    Parameters
    ----------
    out : path-like
        The folder. It gets a checkpoint after every epoch (weights.safetensors and resume.pt); then val.npz
        (predictions for the calibration part, which selects nothing), test.npz, and, last, run.json.
    smoothing : float, default 0
        The share e in [0, 1) of the uniform convention.
    data : "digits" or path-like, default "digits"
        scikit-learn's 1,797 digits, or an .npz file with x (n, ...) and y (n,): uint8 images, which are divided by
        255, or floats, which are standardised by the training rows.
    noise : float, default 0
        Fraction in [0, 1) of the training labels that are changed to another class, all classes equally likely;
        ``floor(noise n + 1/2)`` labels exactly. The other parts keep theirs.
    seed : int, default 0
        Of split, flipped labels, initial weights and batches.
    epochs, hidden, batch_size, lr, weight_decay
        Epochs; widths of the hidden layers; rows per step; AdamW's two settings.
    schedule, warmup_steps, accumulate, clip_norm, ema, precision, deterministic
        As in `fit`.
    criterion : {"nll", "accuracy", "last"}, default "nll"
        Which epoch's weights are kept: see `fit`. The selection part decides.
    patience : int, optional
        Stop after so many epochs in a row without a better one by the criterion.
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device, default "auto"
        Where it trains.
    threads : int, default 1
        CPU threads. More help wide networks on an idle machine; the last bits of the weights depend on their number.
    resume : bool, default False
        Whether to go on with a run that was stopped or killed, or that is to have more epochs. The result is that of
        a run that was never stopped; the other options must be the same.
    overwrite : bool, default False
        Whether a run that is in the folder may be replaced: it is gone as soon as the new training begins.
    progress : bool, optional
        Whether to report to standard error; by default only if that is a terminal.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    OptionError
        If an option is out of range, the device is not there, or the run in the folder had other settings.
    InputFormatError, ShapeError, LabelError, DataError
        If the data file cannot be used: the array and row are named.
    OutputError
        If the folder is not empty, or cannot be written.
    LimitError
        If memory runs out: the size of the batch is named.

    Notes
    -----
    Rows are split at random by the seed into 60 % train, 10 % selection, 10 % calibration and 20 % test. The ids in
    the predictions files are the row numbers of the data.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folder = train_run(Path(home) / "smooth", smoothing=0.1, epochs=1, hidden=(8,), device="cpu")
    ...     sorted(path.name for path in folder.iterdir())
    ['resume.pt', 'run.json', 'test.npz', 'val.npz', 'weights.safetensors']
    """
    recipe = Recipe(
        data=data,
        noise=noise,
        seed=seed,
        epochs=epochs,
        hidden=tuple(hidden),
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup_steps=warmup_steps,
        accumulate=accumulate,
        clip_norm=clip_norm,
        ema=ema,
        precision=precision,
        deterministic=deterministic,
        criterion=criterion,
        patience=patience,
        device=device,
        threads=threads,
        progress=progress,
    )
    return write_runs({Path(out): smoothing}, recipe, overwrite=overwrite, checkpoints=True, resume=resume)[0]


def train_twins(
    out: str | os.PathLike[str],
    *,
    smoothings: Sequence[float] = (0.0, 0.1),
    data: str | os.PathLike[str] = "digits",
    noise: float = 0.1,
    seed: int = 0,
    epochs: int = EPOCHS,
    hidden: Sequence[int] = HIDDEN,
    batch_size: int = BATCH_SIZE,
    lr: float = LEARNING_RATE,
    weight_decay: float = WEIGHT_DECAY,
    schedule: Schedule = "constant",
    warmup_steps: int = 0,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema: float | None = None,
    precision: Precision = "float32",
    deterministic: bool = False,
    criterion: Criterion = "last",
    patience: int | None = None,
    device: str | torch.device = "auto",
    threads: int = THREADS,
    overwrite: bool = False,
    progress: bool | None = None,
) -> tuple[Path, ...]:
    """Train the same network once per smoothing, and write one run folder each.

    The twins share split, flipped labels, initial weights and batches; only the smoothing differs. Their folders get no
    resume.pt.

    Parameters
    ----------
    out : path-like
        Folder of the folders: hard (smoothing 0), and smooth, or smooth-0.05 and so on if there are several.
    smoothings : sequence of float, default (0.0, 0.1)
        Shares e in [0, 1), all different.
    data, noise, seed, epochs, hidden, batch_size, lr, weight_decay, device, threads, overwrite, progress
        As in `train_run`.
    schedule, warmup_steps, accumulate, clip_norm, ema, precision, deterministic, patience
        As in `train_run`.
    criterion : {"nll", "accuracy", "last"}, default "last"
        Which epoch's weights are kept. By default nothing is selected: both twins train to the end, as in the
        published comparisons of smoothing, where networks fit their training labels.

    Returns
    -------
    tuple of pathlib.Path
        The run folders, in the order of smoothings.

    Raises
    ------
    OptionError
        If smoothings repeat, or an option is out of range.
    InputFormatError, ShapeError, LabelError, DataError
        If the data file cannot be used.
    OutputError
        If a folder is not empty, or cannot be written: this is found before anything is trained.

    Notes
    -----
    The defaults were chosen on digits over several seeds: a tenth of the training labels is wrong, as in collected
    data, and after 100 epochs the hard network has learned them, so that it is over-confident on clean test rows.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folders = train_twins(home, epochs=1, hidden=(8,), device="cpu")
    ...     [folder.name for folder in folders]
    ['hard', 'smooth']
    """
    recipe = Recipe(
        data=data,
        noise=noise,
        seed=seed,
        epochs=epochs,
        hidden=tuple(hidden),
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup_steps=warmup_steps,
        accumulate=accumulate,
        clip_norm=clip_norm,
        ema=ema,
        precision=precision,
        deterministic=deterministic,
        criterion=criterion,
        patience=patience,
        device=device,
        threads=threads,
        progress=progress,
    )
    shares = [check_smoothing(smoothing) for smoothing in smoothings]
    if len(set(shares)) < len(shares) or not shares:
        raise OptionError(f"smoothings={tuple(smoothings)!r}: expected one or more, all different.")
    folders = dict(zip([Path(out) / name for name in _names(shares)], shares, strict=True))
    return write_runs(folders, recipe, overwrite=overwrite, checkpoints=False)


def _names(smoothings: Sequence[float]) -> list[str]:
    """Folder names that say the smoothing no longer than needed."""
    only_one = sum(smoothing > 0 for smoothing in smoothings) == 1
    return [("smooth" if only_one else f"smooth-{e:g}") if e else "hard" for e in smoothings]
