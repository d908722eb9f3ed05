"""What runs train on: digits or a file's x and y, split by a seed, some training labels made wrong. Annex: training."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import check_seed
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.files.npz import npz_contents
from calibkit.files.source import AnyPath, naming_causes, open_source

AnyArray = NDArray[Any]
Rows = NDArray[np.intp]
Part = Literal["train", "selection", "calibration", "test"]

DIGITS = "digits"
MIN_ROWS = 10
# Streams drawn from one seed, so that the split does not depend on whether labels are flipped.
_SPLIT, _NOISE = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Labelled rows as they came, and how their inputs are to be scaled.

    ``divisor`` is the largest value that an input can have (digits, images), or None: standardise. ``shape`` is that
    of one input before it was made a row.
    """

    inputs: AnyArray
    labels: NDArray[np.int64]
    n_classes: int
    divisor: float | None
    name: str
    shape: tuple[int, ...]
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Row numbers of the four parts, each in ascending order."""

    train: Rows
    selection: Rows
    calibration: Rows
    test: Rows

    def sizes(self) -> dict[str, int]:
        """Rows in each part."""
        return {part: len(getattr(self, part)) for part in ("train", "selection", "calibration", "test")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaled:
    """Inputs (n, d) in float32, and what was done to them, as run.json holds it."""

    inputs: NDArray[np.float32]
    scaling: Mapping[str, object]


def load_dataset(data: AnyPath) -> Dataset:
    """Read scikit-learn's digits (``"digits"``), or x and y of an .npz file."""
    if data == DIGITS:
        from sklearn.datasets import load_digits

        inputs, labels = load_digits(return_X_y=True)
        codes = labels.astype(np.int64)
        return Dataset(inputs=inputs, labels=codes, n_classes=10, divisor=16.0, name=DIGITS, shape=(8, 8))
    name = os.fsdecode(data)
    if Path(name).suffix.lower() != ".npz":
        raise OptionError(f'data={name!r}: expected "digits" or an .npz file with arrays x and y.')
    return _from_arrays(*read_examples(name), Path(name).name)


def read_examples(path: AnyPath) -> tuple[AnyArray, AnyArray, str]:
    """Arrays x, one row per example, and y of an .npz file, checked to fit together; and the file's SHA-256."""
    with open_source(path) as source:
        if source.start(2) != b"PK":
            raise InputFormatError(f"{source.shown}: is not an .npz file; write it with np.savez(path, x=x, y=y).")
        with naming_causes(source, "npz"):
            contents = npz_contents(source)
            absent = [key for key in ("x", "y") if contents.entry(key) is None]
            if absent:
                held = ", ".join(str(entry) for entry in contents.entries) or "no array"
                raise InputFormatError(
                    f"{source.shown}: has no array {' and no array '.join(absent)}; it holds {held}. Save x, one row "
                    "per example, and y, its class number."
                )
            arrays = contents.read({"x": "number", "y": "number"})
        source.file.seek(0)
        sha256 = file_sha256(source.file)
    _check_examples(arrays["x"], arrays["y"], Path(os.fsdecode(path)).name)
    return arrays["x"], arrays["y"], sha256


def file_sha256(file: BinaryIO) -> str:
    """Checksum of what an open file holds from here on."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _check_examples(x: AnyArray, y: AnyArray, name: str) -> None:
    """Raise unless x has one row of finite numbers per label."""
    if x.ndim < 2 or x.size == 0:
        raise ShapeError(f"{name}: x has shape {x.shape}; expected one row per example: (n, d), or images (n, h, w).")
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise InputFormatError(f"{name}: x has dtype {x.dtype}; expected uint8 (images) or floats.")
    if y.ndim != 1 or len(y) != len(x):
        raise ShapeError(f"{name}: y has shape {y.shape} but x has {len(x)} rows; expected ({len(x)},).")
    _check_finite(x.reshape(len(x), -1), name)


def _from_arrays(x: AnyArray, y: AnyArray, sha256: str, name: str) -> Dataset:
    """Flatten the rows of x, and number the classes."""
    if len(x) < MIN_ROWS:
        raise DataError(f"{name}: has {len(x)} rows; a split into four parts takes at least {MIN_ROWS}.")
    labels = _labels(y, len(x), name)
    return Dataset(
        inputs=x.reshape(len(x), -1),
        labels=labels,
        n_classes=int(labels.max()) + 1,
        divisor=255.0 if x.dtype == np.uint8 else None,
        name=name,
        shape=x.shape[1:],
        sha256=sha256,
    )


def _labels(y: AnyArray, n_rows: int, name: str) -> NDArray[np.int64]:
    """Return class numbers 0..k-1 with k >= 2."""
    if y.dtype.kind not in "iu":
        # Text becomes numbers by its place among the sorted names; a float or a bool is a number already.
        fix = "y.astype(int)" if y.dtype.kind in "fb" else "np.unique(y, return_inverse=True)[1]"
        held = f"holds text, such as {str(y[0])!r}" if y.dtype.kind in "US" else f"has dtype {y.dtype}"
        raise LabelError(f"{name}: y {held}; expected class numbers 0..k-1: save {fix}.")
    bad = (y < 0) | (y >= n_rows)  # as many classes as rows could not be learned, and a stray 10**9 would fill memory
    if bad.any():
        row = int(np.argmax(bad))
        raise LabelError(
            f"{name}: y row {row}: value is {y[row]} ({int(bad.sum()):,} of {n_rows:,} rows); expected class numbers "
            f"0..k-1, fewer classes than the {n_rows:,} rows."
        )
    check_classes(y, f"{name}: every label of y")
    return y.astype(np.int64)


def check_classes(labels: AnyArray, what: str) -> None:
    """Raise for rows of one class: there is nothing to tell apart."""
    if len(labels) and labels.min() == labels.max():
        raise LabelError(f"{what} is {labels[0]}; two classes or more are needed.")


def _check_finite(inputs: AnyArray, name: str) -> None:
    """Raise for the first NaN or inf."""
    if inputs.dtype.kind != "f":
        return
    bad = ~np.isfinite(inputs)
    if bad.any():
        row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
        count = int(bad.any(axis=1).sum())
        raise DataError(
            f"{name}: x row {row}, feature {column}: value is {inputs[row, column]} ({count:,} of {len(inputs):,} "
            "rows have NaN or inf). Leave these rows out or fill them in."
        )


def split_rows(n_rows: int, *, seed: int) -> Split:
    """Split row numbers at random: 10 % selection, 10 % calibration, 20 % test (rounded down), the rest train.

    It depends on the number of rows and the seed alone. Classes are not balanced between the parts.
    """
    order = np.random.default_rng([check_seed(seed), _SPLIT]).permutation(n_rows)
    tenth, fifth = n_rows // 10, n_rows // 5
    ends = np.cumsum([n_rows - 2 * tenth - fifth, tenth, tenth])
    train, selection, calibration, test = (np.sort(rows) for rows in np.split(order, ends))
    return Split(train=train, selection=selection, calibration=calibration, test=test)


def with_noise(dataset: Dataset, rows: Rows, *, noise: float, seed: int) -> tuple[Dataset, int]:
    """Change the labels of a fraction of these rows, each to another class, every one of them equally likely.

    Exactly ``floor(noise len(rows) + 1/2)`` labels are changed; their number is returned too.
    """
    if isinstance(noise, bool) or not isinstance(noise, int | float | np.number) or not 0 <= noise < 1:
        raise OptionError(f"noise={noise!r}: expected a fraction from 0 up to, but not including, 1.")
    count = int(np.floor(float(noise) * len(rows) + 0.5))
    rng = np.random.default_rng([check_seed(seed), _NOISE])
    flipped = rng.choice(rows, size=count, replace=False)
    labels = dataset.labels.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, dataset.n_classes, size=count)) % dataset.n_classes
    return replace(dataset, labels=labels), count


def scale_inputs(dataset: Dataset, train: Rows) -> Scaled:
    """Divide images by their largest possible value; standardise other features by mean and deviation in training.

    A feature that is constant in the training rows is centred only.
    """
    scaling: dict[str, object]
    if dataset.divisor is not None:
        scaling = {"kind": "divided", "by": dataset.divisor}
    else:
        wide = dataset.inputs[train].astype(np.float64)
        deviation = wide.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        scaling = {"kind": "standardised", "mean": wide.mean(axis=0).tolist(), "deviation": deviation.tolist()}
    return Scaled(inputs=scaled_inputs(dataset.inputs, scaling), scaling=scaling)


def scaled_inputs(inputs: AnyArray, scaling: Mapping[str, Any]) -> NDArray[np.float32]:
    """Inputs (n, d) scaled as run.json says."""
    scaled: AnyArray
    if scaling["kind"] == "divided":
        scaled = inputs / scaling["by"]
    else:
        scaled = (inputs.astype(np.float64) - scaling["mean"]) / scaling["deviation"]
    return scaled.astype(np.float32)
