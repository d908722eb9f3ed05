"""A run folder read back: the network with its weights, and how to scale and choose rows for it. Annex: training."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from calibkit.errors import InputFormatError, ShapeError
from calibkit.files.contents import shown
from calibkit.files.source import open_source
from calibkit.files.strict_json import strict_json
from calibkit.training.checkpoints import RESUME, WEIGHTS, load_weights
from calibkit.training.data import Rows, scaled_inputs, split_rows
from calibkit.training.folder import RECORD
from calibkit.training.networks import mlp
from calibkit.training.recipe import SCHEMA

SplitName = Literal["test", "val"]
PARTS = {"test": "test", "val": "calibration"}  # as the predictions files of a run are named


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A network as its run left it, and the record of how it came to be."""

    folder: Path
    model: nn.Module
    record: Mapping[str, Any]

    def scale(self, inputs: Tensor) -> Tensor:
        """Rows of a file as the network was trained on them: flat, and scaled."""
        flat = inputs.reshape(len(inputs), -1)
        if flat.shape[1] != self.record["n_inputs"]:
            raise ShapeError(
                f"{shown(str(self.folder))}: the network takes {self.record['n_inputs']} features per row; x has "
                f"{flat.shape[1]}, in rows of shape {tuple(inputs.shape[1:])}."
            )
        return torch.from_numpy(scaled_inputs(flat.numpy(), self.record["scaling"]))

    def was_split_from(self, name: str, sha256: str | None) -> bool:
        """Whether these are the data of which a part trained the network."""
        return (name, sha256) == (self.record["data"], None) or (
            sha256 is not None and sha256 == self.record["data_sha256"]
        )

    def rows_of(self, split: SplitName, n_rows: int) -> Rows:
        """Row numbers of one of the parts of its data that neither trained the network nor chose its weights."""
        rows: Rows = getattr(split_rows(n_rows, seed=self.record["seed"]), PARTS[split])
        return rows


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Rebuild the network of a complete run folder, and give it its weights."""
    path = Path(folder)
    record = read_record(path)
    n_inputs, n_classes, hidden = record["n_inputs"], record["n_classes"], record["hidden"]
    weights = path / WEIGHTS
    n_numbers = sum((width + 1) * following for width, following in pairwise([n_inputs, *hidden, n_classes]))
    if weights.is_file() and 4 * n_numbers > weights.stat().st_size:
        raise InputFormatError(
            f"{shown(str(weights))}: is smaller than the {n_numbers:,} numbers of the network that {RECORD} tells of; "
            "they are not of one run."
        )
    model = mlp(n_inputs, n_classes, hidden=hidden)
    load_weights(model, weights)
    return Run(folder=path, model=model, record=record)


def read_record(folder: Path) -> dict[str, Any]:
    """What run.json holds, of a folder that has one: it is written last."""
    name = shown(str(folder))
    if not (folder / RECORD).is_file():
        what = f"is a folder without {RECORD}, which calibkit train writes last; give a complete run folder"
        if any((folder / file).exists() for file in (WEIGHTS, RESUME)):
            what = (
                f"has no {RECORD}, so it is a run that was not finished, or a checkpoint of fit; give its {WEIGHTS} "
                "with what makes the network"
            )
        raise InputFormatError(f"{name}: {what}, or a file of predictions.")
    with open_source(folder / RECORD) as source:
        try:
            record = strict_json(source.file.read())
        except ValueError as error:
            raise InputFormatError(f"{source.shown}: is damaged: {error}.") from error
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise InputFormatError(f"{source.shown}: is no record of a run: its schema is not {SCHEMA!r}.")
        _check_record(record, source.shown)
    return record


def _check_record(record: Mapping[str, Any], where: str) -> None:
    """Raise unless the record holds what rebuilds a network; text that a person changed may not."""
    try:
        fine = (
            all(_is_count(width) for width in (record["n_inputs"], record["n_classes"] - 1, *record["hidden"]))
            and _is_count(record["seed"], low=0)
            and isinstance(record["data"], str)
            and isinstance(record["data_sha256"], str | None)
            and _is_scaling(record["scaling"], record["n_inputs"])
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        fine = False
    if not fine:
        raise InputFormatError(
            f"{where}: does not tell the network and its inputs (n_inputs, hidden, n_classes, scaling, data, "
            "data_sha256, seed); it was changed, or written by another version."
        )


def _is_count(value: object, *, low: int = 1) -> bool:
    """Whether a value is a whole number of at least so many."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_scaling(scaling: Mapping[str, Any], n_inputs: int) -> bool:
    """Whether a scaling is complete."""
    if scaling["kind"] == "divided":
        return isinstance(scaling["by"], int | float) and 0 < scaling["by"] < float("inf")
    vectors = [np.asarray(scaling[key], dtype=float) for key in ("mean", "deviation")]
    return scaling["kind"] == "standardised" and all(v.shape == (n_inputs,) and np.isfinite(v).all() for v in vectors)
