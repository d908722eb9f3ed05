"""A study's folder: one file a finished run, and what they all share, so that a study can go on. Annex: training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from calibkit.errors import OptionError, OutputError
from calibkit.files.atomic import write_text
from calibkit.files.source import AnyPath
from calibkit.training.data import Dataset
from calibkit.training.study.cells import Cell, Shared, Task

SCHEMA = "calibkit.study/1"
SETTINGS = "study.json"
RUNS = "runs"

Record = dict[str, Any]


def open_study(folder: Path, dataset: Dataset, shared: Shared) -> Path:
    """Make the folder of one data set's runs, or enter one whose runs were made in the same way.

    Raises
    ------
    OutputError
        If the folder holds something else.
    OptionError
        If its runs were made with another setting, or on other data: the setting is named.
    """
    wanted = _settings(dataset, shared)
    found = _read(folder / SETTINGS)
    if found is None:
        _make(folder)
        write_text(folder / SETTINGS, json.dumps(wanted, indent=2, allow_nan=False) + "\n")
        return folder
    for name, value in wanted.items():
        if found.get(name) != value:
            raise OptionError(
                f"{folder}: holds runs made with {name}={_shown(found.get(name))}, and {name}={_shown(value)} was "
                "asked for; choose another folder, or delete this one."
            )
    return folder


def tasks_of(
    folder: Path, data: AnyPath, shared: Shared, cells: Sequence[Cell], *, data_sha256: str | None
) -> list[Task]:
    """Every run with the file that it will be in."""
    paths = [str(folder / RUNS / f"{cell.name}.json") for cell in cells]
    return [
        Task(data=data, shared=shared, cell=cell, path=path, data_sha256=data_sha256)
        for cell, path in zip(cells, paths, strict=True)
    ]


def is_finished(task: Task) -> bool:
    """Whether the run's file is there, whole, and of this very run."""
    return _rows(task) is not None


def rows_of(tasks: Sequence[Task], name: str) -> list[Record]:
    """Rows of all finished runs, in the order of the runs; the data set's name comes first."""
    return [{"data": name, **row} for task in tasks for row in _rows(task) or []]


def _rows(task: Task) -> list[Record] | None:
    held = _read(Path(task.path))
    # A file that was damaged, or is of another release's run, counts for nothing.
    if held is None or held.get("cell") != _plain(task.cell.to_dict()) or not isinstance(held.get("rows"), list):
        return None
    rows: list[Record] = held["rows"]
    return rows


def _settings(dataset: Dataset, shared: Shared) -> Record:
    """What decides the numbers of all runs."""
    return _plain(
        {
            "schema": SCHEMA,
            "data": dataset.name,
            "data_sha256": dataset.sha256,
            "rows": len(dataset.labels),
            **asdict(shared),
            "torch": torch.__version__,
        }
    )


def _make(folder: Path) -> None:
    """A new, empty folder with a place for the runs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
        if not occupied:
            (folder / RUNS).mkdir()
    except FileExistsError as error:
        raise OutputError(f"{folder}: is a file; a study needs a folder.") from error
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be made: {getattr(error, 'strerror', None) or error}") from error
    if occupied:
        raise OutputError(f"{folder}: is not empty and holds no study ({SETTINGS}); choose another folder.")


def _read(path: Path) -> Record | None:
    """Contents of a JSON file; None where there is none, or it is no whole one."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return held if isinstance(held, dict) else None


def _plain(record: Mapping[str, object]) -> Record:
    """As JSON gives it back: lists for tuples."""
    plain: Record = json.loads(json.dumps(record))
    return plain


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
