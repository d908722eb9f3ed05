"""A run's folder: whole files, and run.json last, so that a folder that has it is complete. Annex: training."""

import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from calibkit.errors import OutputError
from calibkit.files.atomic import write_text
from calibkit.files.saving import save
from calibkit.predictions import Predictions
from calibkit.training.checkpoints import RESUME, WEIGHTS, save_weights

RECORD = "run.json"
VALIDATION = "val.npz"
TEST = "test.npz"
FILES = (RECORD, WEIGHTS, RESUME, VALIDATION, TEST)


def open_folder(path: str | os.PathLike[str], *, overwrite: bool, resume: bool = False) -> Path:
    """Make the folder, or refuse one that holds something else; ``resume`` wants the run that was begun there."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = {entry.name for entry in folder.iterdir()}
    except FileExistsError as error:
        raise OutputError(f"{folder}: is a file; a run needs a folder.") from error
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be made: {getattr(error, 'strerror', None) or error}") from error
    begun = RESUME in held and RECORD not in held
    if not held or overwrite or (resume and (RESUME in held or _only_just_begun(held))):
        return folder
    if resume:
        what = f"holds a run without {RESUME}" if RECORD in held else "is not empty and holds no run"
        raise OutputError(f"{folder}: {what}, so there is nothing to go on from; choose another folder.")
    if begun:
        raise OutputError(
            f"{folder}: holds a run that was not finished (there is no {RECORD}). Pass resume=True to go on with "
            "it, or overwrite=True to begin anew."
        )
    raise OutputError(
        f"{folder}: is not empty; choose another folder, or pass overwrite=True to replace the run in it."
    )


def _only_just_begun(held: Collection[str]) -> bool:
    """Whether a folder holds no more than a run leaves that is killed before its first checkpoint."""
    return all(name == WEIGHTS or name.startswith(".calibkit-") for name in held)


def begin_run(folder: Path, *, resume: bool) -> None:
    """Take away the record of the run that is in a folder, and unless it is gone on with, its checkpoint."""
    for name in (RECORD,) if resume else (RECORD, RESUME):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder / name}: cannot be replaced: {error.strerror or error}") from error


def refuse_replacing(folder: Path, data: str | os.PathLike[str]) -> None:
    """Raise if the run would be written over the data it is trained on, under whatever name."""
    for name in FILES:
        target = folder / name
        if target.exists() and Path(data).exists() and target.samefile(data):
            raise OutputError(f"{target}: is the data file; choose another folder for the run.")


def write_run(
    folder: Path,
    *,
    model: nn.Module,
    validation: Predictions,
    test: Predictions,
    record: Mapping[str, Any],
) -> None:
    """Write weights, predictions and, once they are all there, run.json; other files of the folder stay."""
    # One key only: safetensors writes several in an order that changes from run to run.
    made = json.dumps({key: record[key] for key in ("smoothing", "convention", "seed")})
    text = json.dumps(_strict(record), indent=2, allow_nan=False) + "\n"
    begin_run(folder, resume=True)  # until the new record is there, no run is complete
    save_weights(model, folder / WEIGHTS, metadata={"calibkit": made})
    save(validation, folder / VALIDATION)
    save(test, folder / TEST)
    write_text(folder / RECORD, text)


def _strict(value: Any) -> Any:
    """Write numbers that JSON cannot hold as text."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
