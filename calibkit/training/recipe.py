"""What twins share, and one run by it: from prepared data to a written folder. Annex: training."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from calibkit import __version__
from calibkit._checks import check_int, check_seed
from calibkit.errors import OptionError
from calibkit.predictions import Predictions
from calibkit.training.averaging import check_ema
from calibkit.training.best import make_best
from calibkit.training.checkpoints import require_safetensors
from calibkit.training.data import (
    Dataset,
    Part,
    Rows,
    Split,
    check_classes,
    load_dataset,
    scale_inputs,
    split_rows,
    with_noise,
)
from calibkit.training.devices import limited_threads, resolve_device
from calibkit.training.folder import begin_run, open_folder, refuse_replacing, write_run
from calibkit.training.history import Criterion, FitResult
from calibkit.training.inference import predict
from calibkit.training.loop import MAX_EPOCHS, fit
from calibkit.training.networks import check_hidden, mlp
from calibkit.training.objective import Loss
from calibkit.training.optimisation import Schedule, check_lr, check_schedule, check_weight_decay
from calibkit.training.tensors import check_smoothing
from calibkit.training.updates import Precision, check_accumulate, check_clip_norm, check_precision

SCHEMA = "calibkit.run/1"
EVALUATION_BATCH = 1024

Batches = DataLoader[tuple[torch.Tensor, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that twins share; what is wrong in it is found before data are read or a folder is made."""

    data: str | os.PathLike[str]
    noise: float
    seed: int
    epochs: int
    hidden: tuple[int, ...]
    batch_size: int
    lr: float
    weight_decay: float
    schedule: Schedule
    warmup_steps: int
    accumulate: int
    clip_norm: float | None
    ema: float | None
    precision: Precision
    deterministic: bool
    criterion: Criterion
    patience: int | None
    device: str | torch.device
    threads: int
    progress: bool | None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_hidden(self.hidden)
        check_int(self.epochs, option="epochs", low=1, high=MAX_EPOCHS)
        check_int(self.batch_size, option="batch_size", low=1)
        check_int(self.threads, option="threads", low=1)
        check_lr(self.lr)
        check_weight_decay(self.weight_decay)
        check_schedule(self.schedule, self.warmup_steps)
        check_accumulate(self.accumulate)
        check_clip_norm(self.clip_norm)
        check_ema(self.ema)
        check_precision(self.precision, resolve_device(self.device))
        make_best(self.criterion, self.patience, validated=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Scaled inputs with their labels, and which rows are which part."""

    dataset: Dataset
    inputs: torch.Tensor
    labels: torch.Tensor
    split: Split
    scaling: Mapping[str, object]
    n_flipped: int

    def loader(self, part: Part, *, batch_size: int, shuffle: bool = False) -> Batches:
        """Batches of one part."""
        rows = torch.from_numpy(self.rows(part))
        return DataLoader(TensorDataset(self.inputs[rows], self.labels[rows]), batch_size=batch_size, shuffle=shuffle)

    def rows(self, part: Part) -> Rows:
        """Row numbers of one part."""
        rows: Rows = getattr(self.split, part)
        return rows


def write_runs(
    folders: Mapping[Path, float], recipe: Recipe, *, overwrite: bool, checkpoints: bool, resume: bool = False
) -> tuple[Path, ...]:
    """Train one run per folder, on data that are prepared once."""
    require_safetensors()
    if resume and overwrite:
        raise OptionError(
            "resume=True goes on with the run in the folder, overwrite=True replaces it: pass one of them."
        )
    for smoothing in folders.values():
        check_smoothing(smoothing)
    prepared = prepare(recipe)
    opened = [open_folder(folder, overwrite=overwrite, resume=resume) for folder in folders]
    for folder in opened:
        refuse_replacing(folder, recipe.data)
    with limited_threads(recipe.threads):
        for folder, smoothing in zip(opened, folders.values(), strict=True):
            if checkpoints:
                begin_run(folder, resume=resume)
            model, result = train_network(
                prepared, recipe, smoothing=smoothing, checkpoint=folder if checkpoints else None, resume=resume
            )
            if not checkpoints:  # until now the run that is replaced was whole
                begin_run(folder, resume=False)
            _write(folder, model, prepared, recipe, result)
    return tuple(opened)


def prepare(recipe: Recipe) -> Prepared:
    """Read, split, flip and scale."""
    clean = load_dataset(recipe.data)
    split = split_rows(len(clean.labels), seed=recipe.seed)
    check_classes(clean.labels[split.train], f"{clean.name}: every label of the training part")
    dataset, n_flipped = with_noise(clean, split.train, noise=recipe.noise, seed=recipe.seed)
    scaled = scale_inputs(dataset, split.train)
    return Prepared(
        dataset=dataset,
        inputs=torch.from_numpy(scaled.inputs),
        labels=torch.from_numpy(dataset.labels),
        split=split,
        scaling=scaled.scaling,
        n_flipped=n_flipped,
    )


def train_network(
    prepared: Prepared,
    recipe: Recipe,
    *,
    smoothing: float = 0.0,
    loss: Loss | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> tuple[nn.Module, FitResult]:
    """One network of a recipe, trained on data that were prepared by it; nothing is written but checkpoints."""
    model = mlp(prepared.inputs.shape[1], prepared.dataset.n_classes, hidden=recipe.hidden, seed=recipe.seed)
    result = fit(
        model,
        prepared.loader("train", batch_size=recipe.batch_size, shuffle=True),
        epochs=recipe.epochs,
        smoothing=float(smoothing),
        loss=loss,
        validation_loader=prepared.loader("selection", batch_size=EVALUATION_BATCH),
        criterion=recipe.criterion,
        patience=recipe.patience,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        schedule=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        accumulate=recipe.accumulate,
        clip_norm=recipe.clip_norm,
        ema=recipe.ema,
        precision=recipe.precision,
        deterministic=recipe.deterministic,
        device=recipe.device,
        seed=recipe.seed,
        checkpoint=checkpoint,
        resume=resume,
        provenance={
            "data": prepared.dataset.name,
            "data_sha256": prepared.dataset.sha256,
            "noise": float(recipe.noise),
            "hidden": ",".join(map(str, recipe.hidden)),
            "batch_size": recipe.batch_size,
        },
        progress=recipe.progress,
    )
    return model, result


def _write(folder: Path, model: nn.Module, prepared: Prepared, recipe: Recipe, result: FitResult) -> None:
    """Write a run's folder."""
    name = folder.resolve().name
    settings = _settings(prepared, recipe, result)
    write_run(
        folder,
        model=model,
        validation=_predictions(model, prepared, "calibration", name=name, device=recipe.device, settings=settings),
        test=_predictions(model, prepared, "test", name=name, device=recipe.device, settings=settings),
        record=_record(name, recipe, prepared, settings, result),
    )


def _predictions(
    model: nn.Module,
    prepared: Prepared,
    part: Part,
    *,
    name: str,
    device: str | torch.device,
    settings: Mapping[str, object],
) -> Predictions:
    """Predictions for one part, which say how they were made."""
    return predict(
        model,
        prepared.loader(part, batch_size=EVALUATION_BATCH),
        device=device,
        ids=prepared.rows(part),
        name=name,
        provenance={**settings, "part": part},
    )


def _settings(prepared: Prepared, recipe: Recipe, result: FitResult) -> dict[str, object]:
    """What decides the weights."""
    return {
        "smoothing": result.smoothing,
        "convention": "uniform",
        "data": prepared.dataset.name,
        "data_sha256": prepared.dataset.sha256,
        "noise": float(recipe.noise),
        "seed": recipe.seed,
        "hidden": list(recipe.hidden),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": "AdamW",
        "lr": recipe.lr,
        "weight_decay": recipe.weight_decay,
        "schedule": recipe.schedule,
        "warmup_steps": recipe.warmup_steps,
        "accumulate": recipe.accumulate,
        "clip_norm": recipe.clip_norm,
        "ema": recipe.ema,
        "precision": recipe.precision,
        "criterion": result.criterion,
        "patience": recipe.patience,
        "best_epoch": result.best_epoch,
    }


def _record(
    name: str, recipe: Recipe, prepared: Prepared, settings: Mapping[str, object], result: FitResult
) -> dict[str, object]:
    """What run.json holds."""
    return {
        "schema": SCHEMA,
        "name": name,
        **settings,
        "flipped_labels": prepared.n_flipped,
        "split": prepared.split.sizes(),
        "n_inputs": prepared.inputs.shape[1],
        "n_classes": result.n_classes,
        "scaling": dict(prepared.scaling),
        "device": result.device,
        "threads": recipe.threads,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "calibkit": __version__,
        },
        "seconds": round(result.seconds, 3),
        "ended": result.reason,
        "history": result.to_dict()["history"],
    }
