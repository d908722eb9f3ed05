"""A training's checkpoint folder: where it stands after each epoch, and how to go on from there. Annex: training."""

import os
import zlib
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calibkit.errors import CalibkitError, InputFormatError, OptionError, OutputError
from calibkit.files.contents import shown
from calibkit.training.archive import read_archive, write_archive
from calibkit.training.checkpoints import RESUME, WEIGHTS, require_safetensors, save_weights
from calibkit.training.objective import Objective

FORMAT = "calibkit.resume/1"

State = dict[str, Any]
Settings = dict[str, Any]


class Folder:
    """A folder with resume.pt, all that going on needs, and weights.safetensors, those of the best epoch.

    Both are written after an epoch, each whole or not at all. A process that is killed between the two leaves the
    older resume.pt, from which the same epoch is trained once more, to the same weights.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool) -> None:
        require_safetensors()
        self.path = Path(path)
        self.epoch: int | None = None  # of the checkpoint; None without one, and while it is written
        self._readable = False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            occupied = not resume and self.file.exists()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{shown(str(path))}: the checkpoint folder cannot be made: {reason}") from error
        if occupied:
            raise OptionError(
                f"{self.name}: holds a training already. Pass resume=True to go on from it, choose another folder, or "
                "delete it."
            )

    @property
    def file(self) -> Path:
        """Where resume.pt is."""
        return self.path / RESUME

    @property
    def name(self) -> str:
        """That path, as messages show it."""
        return shown(str(self.file))

    def write(self, state: State, settings: Settings) -> None:
        """Keep a training's state; the first time, read it back, so that resuming holds no surprise."""
        before, self.epoch = self.epoch, None
        try:
            write_archive(self.file, {"format": FORMAT, "settings": settings, **state})
        except OutputError:
            self.epoch = before  # the old file is intact
            raise
        if not self._readable:
            self._check_readable()
        self.epoch = state["epoch"]

    def write_weights(self, network: nn.Module, *, epoch: int) -> None:
        """Keep the weights that the network would hold if training ended now."""
        save_weights(network, self.path / WEIGHTS, metadata={"epoch": str(epoch)})

    def read(self, settings: Settings) -> State | None:
        """The state that is kept, of a training with the same settings; None if there is none yet."""
        if not self.file.exists():
            return None
        state = read_archive(self.file)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise InputFormatError(
                f"{self.name}: is no checkpoint of calibkit's fit ({FORMAT}); choose another folder."
            )
        with naming_damage(self.name):
            check_same(settings, state["settings"], self.name)
            self.epoch = int(state["epoch"])
        self._readable = True
        return state

    def _check_readable(self) -> None:
        """Raise for a network or optimizer whose state is more than tensors and plain values."""
        try:
            read_archive(self.file)
        except InputFormatError as error:
            self.file.unlink(missing_ok=True)
            raise OptionError(
                "checkpoint: the state of the network or of the optimizer holds other objects than tensors and plain "
                "values. Such a file is never loaded, so that it could not be resumed; train without checkpoint, or "
                f"keep tensors alone there ({error})"
            ) from error
        self._readable = True


@contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turn what a checkpoint with wrong contents raises into an error that names the file."""
    try:
        yield
    except CalibkitError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        cause = shown((str(error).strip() or "no reason given").splitlines()[0])
        raise InputFormatError(f"{name}: is damaged ({type(error).__name__}: {cause}).") from error


def what_decides(objective: Objective, optimizer: torch.optim.Optimizer, **loaders: object) -> Settings:
    """What decides the weights of a training: resuming asks that nothing of it has changed."""
    schedule = objective.schedule
    settings: Settings = {
        "smoothing": objective.smoothing if schedule is None else schedule.to_dict(),
        "loss": objective.describe(),
        "optimizer": type(optimizer).__name__,
        **objective.attributes(),
    }
    if isinstance(objective.loss, nn.Module):  # class weights, a prior: by their values
        settings["tensors of the loss"] = digest(
            {key: value.cpu() for key, value in objective.loss.state_dict().items()}
        )
    groups = optimizer.param_groups
    for number, group in enumerate(groups):
        where = f" of group {number}" if len(groups) > 1 else ""
        settings[f"number of parameters{where}"] = len(group["params"])
        settings.update({f"{key}{where}": value for key, value in group.items() if key != "params"})
    return settings | {f"batches of {name}": length(loader) for name, loader in loaders.items()}


def length(loader: object) -> int | None:
    """How many batches a loader has; None if it does not know."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader over an iterable dataset has a __len__ that cannot answer
        return None


def check_same(settings: Settings, kept: Mapping[str, Any], name: str) -> None:
    """Raise for the first setting that is not the checkpoint's."""
    for key in [*settings, *(key for key in kept if key not in settings)]:
        new, old = settings.get(key), kept.get(key)
        if new != old:
            raise OptionError(
                f"{key}={_quoted(new)}: the checkpoint {name} was trained with {_quoted(old)}. Pass that to go on from "
                "it, or train anew in another folder."
            )


def plain(value: object) -> object:
    """A value as weights_only reads it back, and as == compares it."""
    if isinstance(value, Tensor):
        return value.detach().cpu().tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if value is None or type(value) in (bool, int, float, str) else repr(value)


def digest(batch: object, start: int = 0) -> int:
    """A number for the values of a batch of any nesting; what is neither tensor nor plain is left out."""
    if isinstance(batch, Tensor):
        if batch.device.type != "cpu" or batch.layout is not torch.strided:
            return start
        return zlib.crc32(batch.detach().reshape(-1).contiguous().view(torch.uint8).numpy().data, start)
    if isinstance(batch, Mapping):
        batch = [*batch.values()]
    if isinstance(batch, tuple | list):
        for item in batch:
            start = digest(item, start)
        return start
    return zlib.crc32(repr(batch).encode(), start) if isinstance(batch, bool | int | float | str) else start


def _quoted(value: object) -> str:
    """A value in a message."""
    return f'"{value}"' if isinstance(value, str) else str(value)
