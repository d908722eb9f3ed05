"""What goes along with each row: weights, ids, groups, correctness. Floor 0."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.arrays import (
    Column,
    Source,
    check_vector,
    check_whole,
    read_column,
    refuse_dtype,
    show,
    some_of,
)
from calibkit._checks.labels import words
from calibkit._checks.options import quoted
from calibkit.errors import DataError, InputFormatError, LimitError, ShapeError

BoolArray = NDArray[np.bool_]
KeyArray = NDArray[np.int64] | NDArray[np.str_]

_MAX_TEXT_BYTES = 1 << 32
_WEIGHTS = 1e-100, 1e100  # sums of squares stay inside the range of floats


def check_weights(column: Column, source: Source) -> NDArray[np.float64]:
    """Return float64 weights: finite, none negative, not all zero, none so large or small that squares are lost."""
    values = column.values
    if values.dtype.kind not in "biuf" and values.size:
        refuse_dtype(column, source, "expected numbers")
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        weights = values.astype(np.float64)
    _refuse_weights(column, ~(np.isfinite(weights) & (weights >= 0)), source, "finite weights of at least 0")
    low, high = _WEIGHTS
    extreme = (weights > 0) & ((weights < low) | (weights > high))
    _refuse_weights(column, extreme, source, f"weights from {low:g} to {high:g}; divide them by their mean")
    if len(weights) and not weights.any() and not source.is_part:
        refuse_zero_weights(column.array_name, len(weights), source)
    return weights


def refuse_zero_weights(array_name: str, n_rows: int, source: Source) -> NoReturn:
    """Raise for rows of which none counts."""
    raise DataError(f"{source.of(array_name)}: all {n_rows:,} weights are 0; no row would count.")


def check_counts(weights: NDArray[np.float64] | None, *, what: str, other: str) -> None:
    """Raise for a weight that is a share of a row, where ranks are counted."""
    shares = np.empty(0) if weights is None else weights[weights % 1 != 0]
    if len(shares):
        raise DataError(
            f"weights: {show(shares[0])} is not a whole number, and {what} count rows: a weight says how often a row "
            f"occurs. Other weights: {other}."
        )


def _refuse_weights(column: Column, bad: BoolArray, source: Source, expected: str) -> None:
    """Raise for the first weight that is marked."""
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{source.at(column.array_name, row)}: weight is {show(column.values[row])} "
            f"({some_of(int(bad.sum()), len(bad))}); expected {expected}. Leave a row out with weight 0."
        )


def check_correct(column: Column, source: Source) -> BoolArray:
    """Return correctness as booleans; 0 and 1 are read as such."""
    values = column.values
    if values.dtype.kind == "b" or values.size == 0:
        return values.astype(np.bool_, copy=False)
    if values.dtype.kind not in "iuf":
        refuse_dtype(column, source, "expected True and False, or 1 and 0")
    bad = ~((values == 0) | (values == 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{source.at(column.array_name, row)}: value is {show(values[row])} "
            f"({some_of(int(bad.sum()), len(values))}); expected True and False, or 1 and 0. "
            "Class numbers go to Predictions.from_top1."
        )
    return np.asarray(values == 1, dtype=np.bool_)


def check_keys(column: Column, source: Source) -> KeyArray:
    """Return ids or groups: whole numbers as int64, or text."""
    values: NDArray[Any] = column.values
    if values.dtype.kind in "OSTU" and values.size:
        return _text_array(words(column, source), column.array_name, source)
    if values.dtype.kind == "f":
        check_whole(column, source, DataError)
    elif values.dtype.kind not in "iu" and values.size:
        refuse_dtype(column, source, "expected whole numbers or text")
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        row = int(np.argmax(values > np.iinfo(np.int64).max))
        raise DataError(f"{source.at(column.array_name, row)}: {values[row]} is above 2**63 - 1; pass it as text.")
    return values.astype(np.int64, copy=False)


def _text_array(text: list[str], array_name: str, source: Source) -> NDArray[np.str_]:
    """Text as an array, in which every entry takes the room of the longest."""
    longest = max(range(len(text)), key=lambda row: len(text[row]))
    room = 4 * len(text[longest]) * len(text)
    if room > _MAX_TEXT_BYTES:
        raise LimitError(
            f"{source.at(array_name, longest)}: a text of {len(text[longest]):,} characters; {len(text):,} rows of "
            f"that width would take {room:,} bytes. Pass shorter ones."
        )
    return np.array(text, dtype=np.str_)


def check_unique(keys: KeyArray, array_name: str, source: Source) -> None:
    """Raise for the first id that an earlier row has already."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    again = order[1:][ordered[1:] == ordered[:-1]]  # rows that repeat an earlier one
    if again.size:
        row = int(again.min())
        first = int(np.argmax(keys == keys[row]))
        raise DataError(
            f"{source.at(array_name, row)}: {quoted(keys[row].item())} is already the id of row {source.row(first)} "
            f"({some_of(int(again.size), len(keys))} repeat an id). Ids name rows; items that repeat on purpose "
            "belong in groups."
        )


def check_row_index(index: object, n_rows: int) -> NDArray[np.intp]:
    """Return row numbers from row numbers or a boolean mask."""
    column = read_column(index, "index", Source())
    check_vector(column, Source())
    values = column.values
    if values.dtype.kind == "b":
        if len(values) != n_rows:
            raise ShapeError(f"index is a mask of {len(values):,} entries but there are {n_rows:,} rows.")
        return np.flatnonzero(values)
    if values.dtype.kind not in "iu" and values.size:
        refuse_dtype(column, Source(), "expected row numbers or a boolean mask")
    bad = (values < -n_rows) | (values >= n_rows)
    if bad.any():
        place = int(np.argmax(bad))
        raise ShapeError(f"index entry {place} is {values[place]} but there are {n_rows:,} rows.")
    return values.astype(np.intp)


def check_provenance(provenance: object) -> dict[str, Any]:
    """Return a copy as JSON would read it back."""
    if provenance is not None and not isinstance(provenance, Mapping):
        raise InputFormatError(f"provenance: expected a mapping, got {type(provenance).__name__}.")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(provenance or {}), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputFormatError(f"provenance cannot be written as JSON: {error}.") from error
    return copied


def check_name(name: object) -> str | None:
    """Return the name of the predictions, if they have one."""
    if name is not None and not isinstance(name, str):
        raise InputFormatError(f"name: expected text, got {type(name).__name__}.")
    return name
