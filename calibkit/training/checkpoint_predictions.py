"""From a checkpoint on disk to Predictions: the network is made, given its weights, and asked. Annex: training."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from calibkit._checks import check_choice
from calibkit.errors import DataError, OptionError
from calibkit.files.contents import shown
from calibkit.predictions import Invalid, Predictions
from calibkit.training.checkpoints import WEIGHTS, load_weights
from calibkit.training.data import file_sha256
from calibkit.training.devices import resolve_device
from calibkit.training.distributed import n_processes
from calibkit.training.folder import RECORD
from calibkit.training.inference import as_predictions, predicted_rows
from calibkit.training.labelled_rows import AS_TRAINED, BY_LOADER, InputsChecksum, open_rows
from calibkit.training.saved_run import PARTS, Run, SplitName, load_run
from calibkit.training.user_code import make_model, name_of, told_by_line

AnyPath = str | os.PathLike[str]
Factory = str | Callable[[], nn.Module]
Data = str | os.PathLike[str] | Iterable[Any] | Callable[[], Iterable[Any]]
INPUTS = "inputs_crc32"


def predict_checkpoint(
    checkpoint: AnyPath,
    *,
    model: Factory | None = None,
    data: Data,
    divide_by: float | None = None,
    batch_size: int | None = None,
    split: SplitName = "test",
    device: str | torch.device = "auto",
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    invalid: Invalid = "error",
    label_base: int = 0,
    ignore_index: int | None = None,
) -> Predictions:
    """Predictions of a saved network for labelled rows: what ``calibkit predict`` writes.

    Parameters
    ----------
    checkpoint : path-like
        A .safetensors file, a .pt or .pth file that holds a state dict and nothing else, or a run folder made by
        `train_run`.
    model : str or callable, optional
        Makes the network that the weights are loaded into: ``"package.module:factory"``, or a function or class that
        is called without arguments. Left out for a run folder, which knows its own.
    data : str, path-like, iterable or callable
        Labelled rows in an order that does not change: a loader of (inputs, labels) as `predict` takes, or a function
        without arguments that returns one, either also as ``"package.module:loader"``; or the path of an .npz file
        with x (n, ...) and y (n,); or ``"digits"``, scikit-learn's 1,797 rows of 64 features from 0 to 16.
    divide_by : float, optional
        Arrays of a file are given to the network as float32, as they are or divided by this. For uint8 it must be
        given, since a file does not say what the network was trained on. For a run folder they are scaled as it was
        trained. A loader scales its inputs itself.
    batch_size : int, optional
        Rows at a time of a file, 256 by default. A loader makes its own batches.
    split : {"test", "val"}, default "test"
        Which rows are predicted if the data are those that a run folder was trained on: those of its test.npz or its
        val.npz, which did not train it. Other data are predicted whole.
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device, default "auto"
        Where it computes.
    name : str, optional
        What results call these predictions; by default the name of the file or folder.
    class_names, invalid, label_base, ignore_index
        As in `Predictions`.

    Returns
    -------
    Predictions
        Of kind "logits". Their provenance holds the SHA-256 of the weights and of the data file, the names of model
        and data, what was done to the inputs, and a checksum of all inputs in their order.

    Raises
    ------
    InputFormatError
        If the weights are not those of the network (the first missing and unexpected names are given), if a file
        cannot be read, or if the user's code fails: its file, line and message are told.
    DataError, ShapeError, LabelError
        If rows are not what they should be.
    LimitError
        If the device has too little memory for a batch.
    OptionError
        If a name leads nowhere, or an option does not go with the others.

    Notes
    -----
    Naming ``package.module:attribute`` runs that module: each import is said on standard error first. The current
    folder is put where Python looks for modules, as ``python -m`` does.

    Examples
    --------
    >>> import tempfile
    >>> from calibkit.training.checkpoints import save_weights
    >>> from calibkit.training.networks import mlp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(mlp(64, 10, hidden=(8,)), f"{folder}/small.safetensors")
    ...     predict_checkpoint(f"{folder}/small.safetensors", model=lambda: mlp(64, 10, hidden=(8,)), data="digits")
    Predictions(kind='logits', n=1797, n_classes=10, dtype=float32, name='small')
    """
    check_choice(split, tuple(PARTS), option="split")
    chosen = resolve_device(device)
    network = _open_network(checkpoint, model)
    rows, part = open_rows(data, batch_size=batch_size, divide_by=divide_by, raw=network.run is not None), None
    if network.run is not None and network.run.was_split_from(rows.name, rows.sha256):
        rows, part = rows.only(network.run.rows_of(split, rows.n_rows)), PARTS[split]
    checksum = InputsChecksum()

    def prepare(inputs: Any) -> Any:
        """Note what came; scale arrays of a file as a run was trained."""
        checksum.see(inputs)
        return network.run.scale(inputs) if network.run is not None and rows.scaling == AS_TRAINED else inputs

    with told_by_line(f"{network.shown} on {rows.name}"):
        found = predicted_rows(network.model, rows.batches, chosen, prepare=prepare)
    return as_predictions(
        found,
        device=chosen,
        ids=rows.ids,
        name=network.name if name is None else name,
        class_names=class_names,
        invalid=invalid,
        label_base=label_base,
        ignore_index=ignore_index,
        provenance={
            **network.provenance,
            "data": rows.name,
            "data_sha256": rows.sha256,
            "part": part,
            "scaling": rows.scaling,
            INPUTS: checksum.text if n_processes() == 1 else None,  # each process has seen its own share
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Network:
    """A network with its weights, and where they come from."""

    model: nn.Module
    run: "Run | None"
    name: str
    shown: str
    provenance: Mapping[str, object]


def _open_network(checkpoint: AnyPath, factory: Factory | None) -> _Network:
    """Make the network of a run folder, or of a factory and a file of weights."""
    path = Path(checkpoint)
    if path.is_dir():
        if factory is not None:
            raise OptionError(f"{shown(str(path))}: is a folder; a run folder knows its network: leave model out.")
        run = load_run(path)
        model, name, file, made_by = run.model, path.resolve().name, path / WEIGHTS, "run folder"
    else:
        if factory is None:
            beside = f"; or give the run folder, {shown(str(path.parent))}" if (path.parent / RECORD).is_file() else ""
            raise OptionError(
                f"{shown(str(path))}: holds weights, not the network; say what makes it: "
                f'model="package.module:factory"{beside}.'
            )
        run, name, file, made_by = None, path.stem, path, name_of(factory)
        model = make_model(factory)
        load_weights(model, path)
    with file.open("rb") as opened:
        digest = file_sha256(opened)
    provenance = {"checkpoint": path.name, "checkpoint_sha256": digest, "model": made_by}
    return _Network(model=model, run=run, name=name, shown=shown(str(path)), provenance=provenance)


def check_same_inputs(models: Mapping[str, Predictions]) -> None:
    """Raise if one loader gave two checkpoints other inputs, or the same in another order."""
    seen: dict[object, tuple[str, object]] = {}
    for name, predictions in models.items():
        told = predictions.provenance
        if told.get("scaling") != BY_LOADER or told.get(INPUTS) is None:
            continue
        first, checksum = seen.setdefault(told["data"], (name, told[INPUTS]))
        if checksum != told[INPUTS]:
            raise DataError(
                f"{name}: the inputs that {told['data']} gave are not those it gave to {first}, or come in another "
                "order. A comparison needs the same rows each time: no shuffling, no random augmentation."
            )
