"""One run of a study: train, measure, write. Annex: training."""

import json
import math

import torch
from torch import nn

from calibkit.errors import CalibkitError, DataError
from calibkit.files.atomic import write_text
from calibkit.predictions import Predictions
from calibkit.training.data import Rows
from calibkit.training.devices import limited_threads, resolve_device
from calibkit.training.history import FitResult
from calibkit.training.inference import predict
from calibkit.training.loop import fit
from calibkit.training.networks import mlp
from calibkit.training.study.cells import CROSS_ENTROPY, LOSSES, REGULARISATIONS, Cell, Shared, Task
from calibkit.training.study.measuring import agreement, measure
from calibkit.training.study.problem import Batches, Problem, load_once, make_problem

CLEAN, NOISY = "clean", "noisy"
Record = dict[str, object]


def run_task(task: Task) -> str:
    """Do one run and write its file, whole or not at all; its path."""
    try:
        with limited_threads(1):
            rows = run_cell(task)
    except CalibkitError as error:
        raise type(error)(f"{task.cell.name}: {error}") from error
    text = json.dumps({"cell": task.cell.to_dict(), "rows": rows}, indent=1, allow_nan=False)
    write_text(task.path, text + "\n")
    return task.path


def run_cell(task: Task) -> list[Record]:
    """Train one network; a row of numbers for each kind of test labels."""
    cell, shared = task.cell, task.shared
    if load_once(task.data).sha256 != task.data_sha256:
        raise DataError(f"{task.data!r} was changed while it was studied; give another folder for the new data.")
    problem = make_problem(task.data, cell, train_rows=shared.train_rows)
    model = make_network(problem, cell, shared)
    result = train(model, problem, cell, shared)
    kinds = {CLEAN: problem.true} | ({NOISY: problem.given} if cell.noise > 0 else {})
    common = {**cell.to_dict(), **_sizes(problem), **_training(model, problem, result, shared)}
    return [
        {
            **common,
            "labels": kind,
            **_plain(
                measure(
                    _predictions(model, problem, problem.parts.test, labels, shared),
                    _predictions(model, problem, problem.parts.calibration, labels, shared),
                )
            ),
        }
        for kind, labels in kinds.items()
    ]


def make_network(problem: Problem, cell: Cell, shared: Shared) -> nn.Sequential:
    """The network of a run, with dropout after every hidden layer where it is asked for."""
    model = mlp(problem.inputs.shape[1], problem.n_classes, hidden=shared.widths(cell.network), seed=cell.seed)
    rate = REGULARISATIONS[cell.regularisation].dropout
    if rate == 0:
        return model
    layers: list[nn.Module] = []
    for layer in model:
        layers += [layer, nn.Dropout(rate)] if isinstance(layer, nn.ReLU) else [layer]
    return nn.Sequential(*layers)


def train(model: nn.Module, problem: Problem, cell: Cell, shared: Shared, *, epochs: int | None = None) -> FitResult:
    """Train on the labels as given, to the last epoch: nothing is selected."""
    extra = REGULARISATIONS[cell.regularisation]
    rows = torch.from_numpy(problem.parts.train)
    batches = Batches(
        problem.inputs[rows],
        problem.given[rows],
        size=shared.batch_size,
        augmented=problem.shape if extra.augmentation else None,
    )
    objective = {"smoothing": cell.smoothing} if cell.loss == CROSS_ENTROPY else {"loss": LOSSES[cell.loss]}
    return fit(
        model,
        batches,
        epochs=shared.epochs if epochs is None else epochs,
        **objective,
        lr=shared.lr,
        weight_decay=extra.weight_decay,
        device=shared.device,
        seed=cell.seed,
        progress=False,
    )


def _predictions(model: nn.Module, problem: Problem, rows: Rows, labels: torch.Tensor, shared: Shared) -> Predictions:
    chosen = torch.from_numpy(rows)
    return predict(model, [(problem.inputs[chosen], labels[chosen])], device=shared.device)


def _sizes(problem: Problem) -> Record:
    parts = problem.parts
    return {"n_train": len(parts.train), "n_calibration": len(parts.calibration), "n_test": len(parts.test)}


def _training(model: nn.Module, problem: Problem, result: FitResult, shared: Shared) -> Record:
    """What training itself gave: accuracy on its rows, the loss against its floor, and the time."""
    rows = torch.from_numpy(problem.parts.train)
    home = resolve_device(shared.device)
    with torch.inference_mode():
        logits = model(problem.inputs[rows].to(home)).cpu()
    above = [epoch.loss - epoch.loss_floor for epoch in result.history if epoch.loss_floor is not None]
    return {
        "train_accuracy_given_labels": agreement(logits, problem.given[rows]),
        "train_accuracy_true_labels": agreement(logits, problem.true[rows]),
        "train_loss": result.history[-1].loss,
        "train_loss_floor": result.history[-1].loss_floor,
        "least_loss_above_floor": min(above, default=None),
        "seconds": round(result.seconds, 4),
    }


def _plain(values: dict[str, float]) -> Record:
    """Numbers as strict JSON holds them: None for NaN, text for infinities."""
    return {
        name: None if math.isnan(value) else value if math.isfinite(value) else str(value)
        for name, value in values.items()
    }
