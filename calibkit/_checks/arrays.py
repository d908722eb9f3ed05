"""Array-likes to canonical arrays: native, real, of the right shape, never copied without need. Floor 0."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.bfloat16 import BFLOAT16_EPS, as_float32, bits_of, widened
from calibkit.errors import DataError, InputFormatError, ShapeError

AnyArray = NDArray[Any]
BoolArray = NDArray[np.bool_]

_EXACT = 2**53  # beyond it float64 does not hold every whole number
_FLOATS = (np.float16, np.float32, np.float64)
_FIRST_ROW: ContextVar[int | None] = ContextVar("first_row", default=None)


@contextmanager
def counting_from(first_row: int) -> Iterator[None]:
    """Let complaints count rows from this number, and judge them as a part: those of one block of a larger file."""
    token = _FIRST_ROW.set(first_row)
    try:
        yield
    finally:
        _FIRST_ROW.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where values come from: a name, the original number of each row if some were left out, and of the first.

    Rows that are part of a larger file are not judged by what is true of a whole one.
    """

    name: str | None = None
    rows: NDArray[np.intp] | None = None
    first_row: int = field(default_factory=lambda: _FIRST_ROW.get() or 0)
    is_part: bool = field(default_factory=lambda: _FIRST_ROW.get() is not None)

    def of(self, array_name: str) -> str:
        """Name an array: ``preds.npz: probs``."""
        return f"{self.name}: {array_name}" if self.name else array_name

    def row(self, index: int) -> int:
        """Number of a row as the user counts it, from 0."""
        return self.first_row + int(index if self.rows is None else self.rows[index])

    def at(self, array_name: str, index: int, column: int | None = None) -> str:
        """Name a row, and a class: ``preds.npz: probs row 17, class 2``."""
        place = f"{self.of(array_name)} row {self.row(index)}"
        return place if column is None else f"{place}, class {column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One array as given, in native byte order, with the mask of its missing entries (None: nothing missing).

    ``epsilon`` is that of the type in which it was given, where NumPy has no such type and a wider one is read.
    """

    array_name: str
    values: AnyArray
    missing: BoolArray | None = None
    epsilon: float | None = None

    def missing_rows(self) -> BoolArray | None:
        """Rows with a missing entry."""
        if self.missing is None or self.missing.ndim == 1:
            return self.missing
        return np.asarray(self.missing.any(axis=tuple(range(1, self.missing.ndim))), dtype=np.bool_)

    def take(self, rows: NDArray[np.intp]) -> "Column":
        """Keep these rows."""
        missing = None if self.missing is None else self.missing[rows]
        return replace(self, values=self.values[rows], missing=missing)


def show(value: object) -> str:
    """Print one value as the user wrote it."""
    text = str(value)
    return "NaN" if text == "nan" else text


def some_of(count: int, n_rows: int) -> str:
    """Say how many rows: ``3 of 10,000 rows``."""
    return f"{count:,} of {n_rows:,} rows"


def read_column(values: object, array_name: str, source: Source, *, in_blocks: bool = False) -> Column:
    """Read an array-like; views of native arrays stay views, (n, k) numbers of bfloat16 too if read ``in_blocks``."""
    missing = None
    if isinstance(values, np.ma.MaskedArray):
        mask = np.asarray(np.ma.getmask(values), dtype=np.bool_)
        missing = mask if mask.any() else None
        values = np.ma.getdata(values)
    bits, epsilon = bits_of(values), None
    array = _as_array(bits, source.of(array_name))
    if array.dtype.name == "bfloat16" or bits is not values:
        array, epsilon = (as_float32 if in_blocks else widened)(array.view(np.uint16)), BFLOAT16_EPS
    if array.ndim == 0:
        raise ShapeError(f"{source.of(array_name)} is one value ({array}); expected one entry per row.")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Column(array_name=array_name, values=array, missing=missing, epsilon=epsilon)


def _as_array(values: object, label: str) -> AnyArray:
    """Read an array, a sequence, or whatever offers ``__array__`` (a Series, a CPU tensor)."""
    sequence = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not sequence and not hasattr(values, "__array__"):
        raise InputFormatError(f"{label}: expected an array or a list, got {type(values).__name__}.")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        hint = (
            " Pass tensor.detach().cpu(), or evaluate it where it is: calibkit.integrations.torch.evaluate(labels=..., "
            "logits=...)."
        )
        hint = hint if hasattr(values, "detach") else " Rows need equal lengths (Predictions: unless ragged=True)."
        raise InputFormatError(f"{label} cannot be read as an array: {error}{hint}") from error


def refuse_missing(column: Column, source: Source) -> None:
    """Raise for the first masked or null entry."""
    rows = column.missing_rows()
    if column.missing is None or rows is None or not rows.any():
        return
    first = int(np.argmax(rows))
    entry = int(np.argmax(column.missing[first])) if column.missing.ndim == 2 else None
    count = some_of(int(rows.sum()), len(rows))
    raise DataError(
        f"{source.at(column.array_name, first, entry)}: value is missing (masked or null; {count}). "
        'Drop them with invalid="drop" or fill them in.'
    )


def float_values(column: Column, source: Source) -> AnyArray:
    """Return the values as float16, float32 or float64: floats as they are, integers widened to float64."""
    values = column.values
    if values.dtype.type in _FLOATS:
        return values
    if values.dtype.kind in "iu" or values.size == 0:
        return values.astype(np.float64)
    return refuse_dtype(column, source, "expected float16, float32 or float64")


def check_whole(column: Column, source: Source, error: type[DataError]) -> None:
    """Raise the error for the first float that is not a whole number which float64 tells from its neighbours."""
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        values = column.values.astype(np.float64)
    bad = ~(np.isfinite(values) & (np.floor(values) == values) & (abs(values) < _EXACT))
    if bad.any():
        row = int(np.argmax(bad))
        raise error(
            f"{source.at(column.array_name, row)}: value is {show(column.values[row])} "
            f"({some_of(int(bad.sum()), len(values))} are not whole numbers below 2**53). Pass whole numbers; rows "
            'without one (NaN) are left out by invalid="drop".'
        )


def refuse_dtype(column: Column, source: Source, expected: str) -> NoReturn:
    """Raise for a dtype that does not hold what was asked for."""
    dtype = column.values.dtype
    fix = {
        "b": "True and False are not numbers here; correctness goes to Predictions.from_correct.",
        "f": "Narrow it with .astype(np.float64).",
        "c": "Complex values have no order; pass real ones.",
        "O": "Such an array holds Python objects (None, text, unequal rows); pass numbers.",
        "U": "Text is not read as numbers; use .astype(np.float64).",
        "S": "Text is not read as numbers; use .astype(np.float64).",
        "T": "Text is not read as numbers; use .astype(np.float64).",
        "V": "Convert it with .astype(np.float32).",
    }.get(dtype.kind, "Convert it first.")
    if dtype == np.float64:  # it is narrow enough: something else than floats is wanted
        fix = "Convert it first."
    raise InputFormatError(f"{source.of(column.array_name)} has dtype {dtype}; {expected}. {fix}")


def check_rows(column: Column, n_rows: int, reference: str, source: Source) -> None:
    """Raise unless the column has one entry per row of the reference array."""
    shape = column.values.shape
    if shape[0] == n_rows:
        return
    label = source.of(column.array_name)
    turned = len(shape) == 2 and shape[1] == n_rows
    hint = f" It looks transposed: pass {column.array_name}.T." if turned else ""
    raise ShapeError(
        f"{label} has {shape[0]:,} rows (shape {shape}) but {reference} has {n_rows:,}; "
        f"expected one entry per row in both.{hint}"
    )


def check_vector(column: Column, source: Source) -> None:
    """Raise unless the column is one-dimensional."""
    shape = column.values.shape
    if len(shape) == 1:
        return
    hint = f" Pass {column.array_name}.ravel()." if column.values.size == shape[0] else ""
    raise ShapeError(f"{source.of(column.array_name)} has shape {shape}; expected (n,).{hint}")


def check_forecast_shape(column: Column, meaning: str, source: Source) -> None:
    """Raise unless the column is (n,) or (n, k) with k >= 2; ``meaning`` says what (n,) holds."""
    shape, label, name = column.values.shape, source.of(column.array_name), column.array_name
    if len(shape) == 1 or (len(shape) == 2 and shape[1] >= 2):
        return
    if len(shape) == 2 and shape[1] == 1:
        raise ShapeError(
            f"{label} has 1 column (shape {shape}): binary? Pass the column as 1-D {meaning}: {name}[:, 0]."
        )
    if len(shape) == 2:
        raise ShapeError(f"{label} has no columns (shape {shape}); expected (n, k), one column per class.")
    raise ShapeError(
        f"{label} has shape {shape}; expected (n, k), or (n,) = {meaning}. Move the class axis last and reshape, "
        f"here np.moveaxis({name}, 1, -1).reshape(-1, {shape[1]}) if axis 1 is the classes, and labels.reshape(-1)."
    )
