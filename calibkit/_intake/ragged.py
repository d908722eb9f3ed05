"""Questions with unlike numbers of choices: rows filled up to one matrix, and how many choices each has. Floor 1."""

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import Column, Source, float_values, is_bfloat16, narrowed, quoted, read_column, refuse_no_choices
from calibkit._numerics import Floats, Integers, sum_slack
from calibkit.errors import CalibkitError, InputFormatError, ShapeError

Array = NDArray[Any]

N_CHOICES = "n_choices"
# What stands in the places that a row does not have: nothing is forecast there.
FILL = {"logits": -np.inf, "log_probs": -np.inf, "probs": 0.0}
# A lone choice has a place beside it, so that a matrix has two columns at least.
MIN_WIDTH = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilledRows:
    """A matrix that was filled up before, such as that of a saved file, and how many choices each row has."""

    values: object
    n_choices: object


def with_choices(values: object, array_name: str, *, meaning: str, name: object) -> dict[str, object]:
    """The forecast of rows of any lengths, filled up to a matrix, and the number of choices of each row.

    Parameters
    ----------
    values : sequence of sequences of float, array_like of shape (n, k), or FilledRows
        The choices of each row.
    array_name : str
        What complaints call it.
    meaning : {"logits", "probs", "log_probs"}
        What the values are: -inf or 0 stands for the choices that a row does not have.
    name : str or None
        Name of the predictions.

    Examples
    --------
    >>> with_choices([[0.7, 0.3], [1.0], [0.2, 0.5, 0.3]], "probs", meaning="probs", name=None)
    {'probs': array([[0.7, 0.3, 0. ],
           [1. , 0. , 0. ],
           [0.2, 0.5, 0.3]]), 'n_choices': array([2, 1, 3])}
    """
    source = Source(name=name if isinstance(name, str) else None)
    if isinstance(values, FilledRows):
        _check_filled(values, array_name, FILL[meaning], source)
        return {array_name: values.values, N_CHOICES: values.n_choices}
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] >= MIN_WIDTH:
        return {array_name: values, N_CHOICES: np.full(shape[0], shape[1], dtype=np.int64)}
    rows, missing = _listed(values, array_name, source)
    flat, lengths = _flattened(rows, missing, array_name, source)
    matrix = _filled(flat, lengths, FILL[meaning])
    # Rows of bfloat16 stay what they are: their sums are further off than those of float32.
    short = not isinstance(matrix, np.ma.MaskedArray) and bool(rows) and all(map(is_bfloat16, rows))
    return {array_name: narrowed(matrix) if short else matrix, N_CHOICES: lengths}


def check_choices(
    labels: Integers, n_choices: Integers, source: Source, *, label_base: int, names: tuple[str, ...] | None = None
) -> None:
    """Raise for a label that is not among the choices of its row; ``names`` are those that the labels were read by."""
    if (labels >= n_choices).any():
        refuse_no_choices(labels, n_choices, source, label_base=label_base, names=names)


def sum_tolerances(n_choices: Integers, epsilon: float) -> Floats:
    """Deviation of the sum of each row that rounding explains: that of its own number of choices.

    Examples
    --------
    >>> sum_tolerances(np.array([2, 100]), 2.0**-52) * 2**52
    array([ 64., 100.])
    """
    of_count = [sum_slack(count, epsilon) for count in range(int(n_choices.max(initial=0)) + 1)]
    return np.array(of_count, dtype=np.float64)[n_choices]


def beyond(n_choices: Integers, width: int) -> NDArray[np.bool_]:
    """The places of a matrix that its rows do not have, (n, width)."""
    return np.asarray(np.arange(width) >= n_choices[:, None])


def _listed(values: Any, array_name: str, source: Source) -> tuple[list[Any], NDArray[np.bool_] | None]:
    """The rows, each a list of choices, and which of them are missing: these have one choice, NaN."""
    label = source.of(array_name)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 2) == 0:
        raise InputFormatError(f"{label}: expected a list of choices for each row, got {type(values).__name__}.")
    missing = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) and values.ndim == 1 else None
    rows = list(values.data if isinstance(values, np.ma.MaskedArray) and missing is not None else values)
    if missing is not None:
        rows = [[np.nan] if gone else row for row, gone in zip(rows, missing, strict=True)]
    for number, row in enumerate(rows):
        if not isinstance(row, Sized) or isinstance(row, str | bytes) or getattr(row, "ndim", 1) != 1:
            n_dims = getattr(row, "ndim", 1)
            one = f"an array of shape {row.shape}" if n_dims > 1 else quoted(row.item() if n_dims == 0 else row)
            raise ShapeError(
                f"{source.at(array_name, number)}: {one} is no list of choices; ragged=True takes one for each row. "
                "One number a row is P(y = 1) or log-odds: leave ragged=True out."
            )
    return rows, missing


def _flattened(
    rows: list[Any], missing: NDArray[np.bool_] | None, array_name: str, source: Source
) -> tuple[Array, Integers]:
    """The choices of all rows, one after the other, and how many each row has."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    flat = _joined(rows, lengths, array_name, source)
    if missing is None or not missing.any():
        return flat, lengths
    return np.ma.MaskedArray(flat, mask=np.ma.getmaskarray(flat) | np.repeat(missing, lengths)), lengths


def _joined(rows: list[Any], lengths: Integers, array_name: str, source: Source) -> Array:
    """All choices as one vector of floats; what is no number is named by its row."""
    if not lengths.any():
        return np.empty(0)
    if any(isinstance(row, np.ma.MaskedArray) for row in rows):
        join: Callable[[list[Any]], Array] = np.ma.concatenate
        return join([np.ma.asarray(row) for row in rows if len(row)])
    lists = all(isinstance(row, list | tuple) for row in rows)
    arrays = all(type(row) is np.ndarray for row in rows)
    try:
        parts = rows if arrays else [_vector(row) for row in rows if not lists]
        flat = np.asarray(list(chain.from_iterable(rows))) if lists else np.concatenate(parts)
    except (ValueError, TypeError, OverflowError):
        flat = np.empty(0, dtype=object)
    if flat.ndim != 1 or flat.dtype.kind not in "iuf":
        for number, row in enumerate(rows):
            if len(row) and _vector(row).dtype.kind not in "iuf":
                if hasattr(row, "detach"):  # a tensor: reading it says what to do
                    read_column(row, f"{array_name} row {source.row(number)}", source)
                raise InputFormatError(
                    f"{source.at(array_name, number)}: {quoted(row)} holds something else than numbers; expected one "
                    "for each choice. A number that is missing is NaN."
                )
    return float_values(Column(array_name=array_name, values=flat), source)


def _vector(row: Any) -> Array:
    """A row as a vector; of dtype object where it is none."""
    try:
        vector = read_column(row, "", Source()).values
    except CalibkitError:
        return np.empty(1, dtype=object)
    return np.empty(0) if vector.size == 0 else vector if vector.ndim == 1 else np.empty(1, dtype=object)


def _filled(flat: Array, lengths: Integers, fill: float) -> Array:
    """The matrix of the rows; the mask of a masked vector is kept."""
    width = max(MIN_WIDTH, int(lengths.max(initial=0)))
    there = ~beyond(lengths, width)
    matrix = np.full(there.shape, fill, dtype=flat.dtype)
    matrix[there] = np.ma.getdata(flat)
    if not isinstance(flat, np.ma.MaskedArray):
        return matrix
    mask = np.zeros(there.shape, dtype=np.bool_)
    mask[there] = np.ma.getmaskarray(flat)
    return np.ma.MaskedArray(matrix, mask=mask)


def _check_filled(rows: FilledRows, array_name: str, fill: float, source: Source) -> None:
    """Raise where a matrix that was filled up holds something in the places that its rows do not have."""
    column = read_column(rows.values, array_name, source)
    counts = read_column(rows.n_choices, N_CHOICES, source).values
    values, label = column.values, source.of(N_CHOICES)
    if values.ndim != 2 or counts.shape != values.shape[:1] or counts.dtype.kind not in "iu":
        raise ShapeError(
            f"{label} has shape {counts.shape} and dtype {counts.dtype}, and {array_name} has shape {values.shape}; "
            "expected a matrix, and a whole number for each of its rows."
        )
    outside = (counts < 0) | (counts > values.shape[1])
    if outside.any():
        row = int(np.argmax(outside))
        raise ShapeError(
            f"{source.at(N_CHOICES, row)}: value is {counts[row]}; {array_name} has room for 0 to {values.shape[1]}."
        )
    strange = beyond(counts.astype(np.int64), values.shape[1]) & ~(values == fill)
    if strange.any():
        row, place = (int(i) for i in np.argwhere(strange)[0])
        raise ShapeError(
            f"{source.at(array_name, row, place)}: value is {values[row, place]}, and the row's {N_CHOICES} is "
            f"{counts[row]}; expected {fill:g} in the places that it does not have."
        )
