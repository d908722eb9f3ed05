"""Lists of unlike lengths in a file: an array of rows, each a vector of its own. Floor 2."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from calibkit._intake.ragged import MIN_WIDTH, N_CHOICES, FilledRows
from calibkit.files.contents import AnyArray
from calibkit.files.source import Source


def rows_of(values: AnyArray, lengths: AnyArray) -> AnyArray:
    """Vectors of these lengths, in an array of objects.

    Examples
    --------
    >>> rows_of(np.array([0.7, 0.3, 1.0]), np.array([2, 1]))
    array([array([0.7, 0.3]), array([1.])], dtype=object)
    """
    rows = np.empty(len(lengths), dtype=object)
    for row, part in enumerate(np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else ()):
        rows[row] = part
    return rows


def are_rows(values: Any) -> bool:
    """Whether an array is one of rows of unlike lengths."""
    return isinstance(values, np.ndarray) and values.dtype == object


def flat(values: AnyArray) -> AnyArray:
    """All numbers of an array as float64: of one of rows, one after the other."""
    if not are_rows(values):
        return np.asarray(values, dtype=np.float64)
    given = [row for row in np.ma.getdata(values).tolist() if row is not None]
    return np.concatenate(given).astype(np.float64, copy=False) if given else np.empty(0)


def widest(values: AnyArray) -> int:
    """Length of the longest row, and at least that of a matrix."""
    given = [row for row in np.ma.getdata(values).tolist() if row is not None]
    return max(MIN_WIDTH, *map(len, given)) if given else MIN_WIDTH


def as_type(values: AnyArray, dtype: str) -> AnyArray:
    """The same numbers in another type."""
    with np.errstate(over="ignore"):  # what float16 cannot hold is inf, and refused as such
        if not are_rows(values):
            return values.astype(dtype)
        cast = values.copy()
        for row, numbers in enumerate(np.ma.getdata(values)):
            if numbers is not None:
                np.ma.getdata(cast)[row] = numbers.astype(dtype)
        return cast


def check_filled(source: Source, values: AnyArray) -> None:
    """Refuse rows that take more than the limit when they are filled up to a matrix."""
    if are_rows(values):
        source.check_bytes(len(values) * widest(values) * 8, what="a matrix of the largest number of choices")


def with_counts(arrays: Mapping[str, AnyArray]) -> dict[str, Any]:
    """Arrays for a constructor: of a matrix that was filled up, the number of choices of each row goes along."""
    given: dict[str, Any] = {role: values for role, values in arrays.items() if role != N_CHOICES}
    if N_CHOICES in arrays:
        for role in given.keys() & {"logits", "probs"}:
            given[role] = FilledRows(values=given[role], n_choices=arrays[N_CHOICES])
    return given
