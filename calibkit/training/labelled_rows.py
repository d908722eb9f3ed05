"""Labelled rows to predict: a loader of the user's, x and y of an .npz file, or digits. Annex: training."""

import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset, TensorDataset

from calibkit._checks import check_int
from calibkit.errors import OptionError
from calibkit.training.data import DIGITS, Rows, read_examples
from calibkit.training.user_code import is_reference, make_loader, name_of

AnyArray = NDArray[Any]

BATCH_SIZE = 256
BY_LOADER, AS_TRAINED = "by the loader", "as the run was trained"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledRows:
    """Batches of (inputs, labels), where they come from, and what was done to the inputs.

    ``ids`` are row numbers where only some rows of the data are taken.
    """

    batches: Iterable[Any]
    name: str
    sha256: str | None = None
    scaling: str
    ids: Rows | None = None

    @property
    def n_rows(self) -> int:
        """Rows of a file's arrays."""
        assert isinstance(self.batches, DataLoader)
        return len(self.batches.dataset)  # type: ignore[arg-type]

    def only(self, rows: Rows) -> "LabelledRows":
        """Some rows of a file's arrays."""
        assert isinstance(self.batches, DataLoader)
        batches = DataLoader(Subset(self.batches.dataset, rows.tolist()), batch_size=self.batches.batch_size)
        return replace(self, batches=batches, ids=rows)


def open_rows(data: object, *, batch_size: int | None, divide_by: float | None, raw: bool) -> LabelledRows:
    """Rows of whatever ``data`` is; ``raw`` leaves arrays to a run, which knows how to scale them."""
    if _is_arrays(data):
        return _from_arrays(data, batch_size=batch_size, divide_by=divide_by, raw=raw)
    for option, value in (("divide_by", divide_by), ("batch_size", batch_size)):
        if value is not None:
            raise OptionError(f"{option}={value!r}: is for arrays of an .npz file; a loader does this itself.")
    if isinstance(data, str | os.PathLike) and not is_reference(data):
        raise OptionError(
            f'data={os.fspath(data)!r}: expected an .npz file with x and y, package.module:loader, or "digits".'
        )
    if isinstance(data, np.ndarray | Tensor | Mapping):
        raise OptionError(f"data: is a {type(data).__name__}; expected an iterable of batches (inputs, labels).")
    return LabelledRows(batches=make_loader(data), name=name_of(data), scaling=BY_LOADER)


def _is_arrays(data: object) -> bool:
    """Whether data are arrays of a file, or digits."""
    if not isinstance(data, str | os.PathLike) or is_reference(data):
        return False
    return data == DIGITS or Path(data).suffix.lower() == ".npz"


def _from_arrays(data: Any, *, batch_size: int | None, divide_by: float | None, raw: bool) -> LabelledRows:
    """Batches of arrays, as float32 unless a run scales them."""
    size = BATCH_SIZE if batch_size is None else check_int(batch_size, option="batch_size", low=1)
    if raw and divide_by is not None:
        raise OptionError(f"divide_by={divide_by!r}: a run scales its inputs as it was trained; leave it out.")
    x, y, sha256 = _digits() if data == DIGITS else read_examples(data)
    name = DIGITS if data == DIGITS else Path(data).name
    inputs = torch.from_numpy(_native(x)) if raw else _as_float32(x, divide_by, name)
    scaling = AS_TRAINED if raw else "none" if divide_by is None else f"divided by {divide_by:g}"
    rows = TensorDataset(inputs, torch.from_numpy(_native(y)))
    return LabelledRows(batches=DataLoader(rows, batch_size=size), name=name, sha256=sha256, scaling=scaling)


def _digits() -> tuple[AnyArray, AnyArray, None]:
    """scikit-learn's digits: 64 features from 0 to 16."""
    from sklearn.datasets import load_digits

    return *load_digits(return_X_y=True), None


def _native(array: AnyArray) -> AnyArray:
    """The same numbers in this machine's byte order, which torch needs."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _as_float32(inputs: AnyArray, divide_by: float | None, name: str) -> Tensor:
    """Inputs as they are, or divided by what the user says; what a network was trained on is never guessed."""
    if divide_by is None:
        if inputs.dtype == np.uint8:
            raise OptionError(
                f"{name}: x is uint8, and a file does not say what the network was trained on: pass divide_by=255 for "
                "inputs from 0 to 1, divide_by=1 for inputs from 0 to 255, or save x as floats."
            )
        return torch.from_numpy(inputs.astype(np.float32))
    if isinstance(divide_by, bool) or not isinstance(divide_by, int | float) or not 0 < divide_by < float("inf"):
        raise OptionError(f"divide_by={divide_by!r}: expected a number above 0.")
    return torch.from_numpy((inputs / divide_by).astype(np.float32))


class InputsChecksum:
    """A checksum of all inputs in their order, so that two passes over a loader can be held against each other."""

    def __init__(self) -> None:
        self.value = 0

    def see(self, inputs: Any) -> None:
        """Take in a batch of any nesting."""
        if isinstance(inputs, Mapping):
            for key in inputs:
                self.see(inputs[key])
        elif isinstance(inputs, tuple | list):
            for part in inputs:
                self.see(part)
        elif isinstance(inputs, Tensor | np.ndarray):
            tensor = torch.as_tensor(inputs).detach().cpu().contiguous()
            self.value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, self.value)

    @property
    def text(self) -> str:
        """Eight hexadecimal digits."""
        return f"{self.value:08x}"
