"""Columns of pandas, polars and Arrow tables as arrays, by name, with none of them imported. Floor 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import listed, nearest
from calibkit.errors import InputFormatError

Array = NDArray[Any]
Columns = str | Sequence[str]

_FORECASTS = ("logits", "probs")
_PASSENGERS = {"ids", "weights", "groups"}
_ROLES = {
    "from_logits": {"labels", "logits"},
    "from_probs": {"labels", "probs"},
    "from_top1": {"labels", "predicted", "confidence"},
    "from_correct": {"correct", "confidence"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameArrays:
    """What the named columns hold, and the constructor of Predictions that takes it."""

    constructor: str
    arrays: Mapping[str, object]
    options: Mapping[str, object]


def read_frame(
    frame: object, named: Mapping[str, Columns | None], *, class_names: Sequence[str] | None, ragged: bool = False
) -> FrameArrays:
    """Read every named column; of logits and probs also lists of names and prefixes, and lists of unlike lengths."""
    wanted = {role: name for role, name in named.items() if name is not None}
    constructor = _constructor(wanted)
    known = _column_names(frame)
    arrays: dict[str, object] = {}
    for role, name in wanted.items():
        if role in _FORECASTS and (isinstance(name, list) or name not in known):
            columns, class_names = _class_columns(known, role, name, class_names)
            arrays[role] = _stack([_read(frame, column, known, role) for column in columns])
        else:
            arrays[role] = _read(frame, name, known, role, ragged=ragged and role in _FORECASTS)
    options = {} if class_names is None else {"class_names": tuple(class_names)}
    return FrameArrays(constructor=constructor, arrays=arrays, options=options)


def _constructor(wanted: Mapping[str, Columns]) -> str:
    """The constructor that takes these roles and no others."""
    for constructor, roles in _ROLES.items():
        if wanted.keys() - _PASSENGERS == roles:
            return constructor
    sets = "; ".join(" and ".join(sorted(roles)) for roles in _ROLES.values())
    given = ", ".join(sorted(wanted)) or "none"
    raise InputFormatError(f"columns are named for {given}; expected one of these sets: {sets}.")


def _column_names(frame: Any) -> list[Any]:
    """Names of the columns, in order."""
    if hasattr(frame, "collect"):
        raise _no_table(frame, "Collect the lazy frame first: frame.collect().")
    names = getattr(frame, "column_names", None)
    if names is None:
        names = getattr(frame, "columns", None)
    if names is None or not (hasattr(frame, "column") or hasattr(frame, "__getitem__")):
        raise _no_table(frame, "Arrays go to from_logits, from_probs, from_top1 or from_correct.")
    return list(names)


def _no_table(frame: object, hint: str) -> InputFormatError:
    """The complaint about something that is no table."""
    return InputFormatError(f"expected a pandas, polars or Arrow table, got {type(frame).__name__}. {hint}")


def _class_columns(
    known: list[Any], role: str, wanted: Columns, class_names: Sequence[str] | None
) -> tuple[list[Any], Sequence[str] | None]:
    """One column per class, in class order, and the class names if the column names are all there is."""
    if not isinstance(wanted, str):
        return (list(wanted) if hasattr(wanted, "__iter__") else [wanted]), class_names
    prefix = f"{wanted}_"
    suffixes = [name[len(prefix) :] for name in known if isinstance(name, str) and name.startswith(prefix)]
    if not suffixes:
        return [wanted], class_names
    numbers = sorted(int(suffix) for suffix in suffixes if suffix.isdecimal())
    if class_names is not None and set(class_names) <= set(suffixes):
        return [prefix + word for word in class_names], class_names
    if numbers == list(range(len(suffixes))):
        return [f"{prefix}{number}" for number in numbers], class_names
    if not numbers and class_names is None:
        return [prefix + word for word in suffixes], suffixes
    raise InputFormatError(
        f"{role}={wanted!r}: the columns {listed([prefix + word for word in suffixes])} are neither {prefix}0, "
        f"{prefix}1, ... without a gap nor one per class name. Name them: {role}=[...]."
    )


def _read(frame: Any, name: Any, known: list[Any], role: str, *, ragged: bool = False) -> Array:
    """One column, with its nulls masked; a list column is an (n, k) array, or if ragged an array of its rows."""
    if name not in known:
        meant = nearest(str(name), [str(word) for word in known])
        raise InputFormatError(f"{role}={name!r}: no such column. The table has {listed(known)}.{meant}")
    if known.count(name) > 1:
        raise InputFormatError(f"{role}={name!r}: the table has {known.count(name)} columns of this name; rename them.")
    column = frame.column(name) if hasattr(frame, "column") else frame[name]
    null = _nulls(column)
    if null is None:
        return _values(column, name, role, ragged=ragged)
    valid = _values(_without_nulls(column), name, role, ragged=ragged)
    full = np.zeros((len(null), *valid.shape[1:]), dtype=valid.dtype)
    full[~null] = valid
    return np.ma.MaskedArray(full, mask=np.broadcast_to(null.reshape(-1, *[1] * (full.ndim - 1)), full.shape))


def _nulls(column: Any) -> NDArray[np.bool_] | None:
    """Mask of the nulls, None if there are none; NaN in a NumPy-backed pandas column is a NaN, not a null."""
    if isinstance(getattr(column, "dtype", None), np.dtype) and column.dtype.kind == "f":
        return None
    null = column.isna() if hasattr(column, "isna") else column.is_null()
    mask = np.asarray(null, dtype=np.bool_)
    return mask if mask.any() else None


def _without_nulls(column: Any) -> Any:
    """The column without its nulls."""
    methods = ("dropna", "drop_nulls", "drop_null")  # of pandas, polars and Arrow
    return next(getattr(column, method) for method in methods if hasattr(column, method))()


def _values(column: Any, name: Any, role: str, *, ragged: bool) -> Array:
    """Values of a column without nulls."""
    values = np.asarray(column.to_numpy())
    if values.dtype != object or not len(values) or (ragged and np.ndim(values[0]) == 1):
        return values
    if np.ndim(values[0]) == 1:
        return _stack_rows(values, name, role)
    alike = {type(value) for value in values} <= {bool} or {type(value) for value in values} <= {int}
    return np.array(values.tolist()) if alike else values


def _stack_rows(rows: Array, name: Any, role: str) -> Array:
    """The rows of a list column as an (n, k) array; a null within a row is NaN."""
    arrays = [np.asarray(row) for row in rows]
    for number, row in enumerate(arrays):
        if row.shape != arrays[0].shape:
            raise InputFormatError(
                f"{role}={name!r}: row {number} has {row.size} entries but row 0 has {arrays[0].size}; every row "
                "needs one per class. Questions with unlike numbers of choices: ragged=True."
            )
    stacked = np.stack(arrays)
    return stacked.astype(np.float64) if stacked.dtype == object else stacked


def _stack(columns: list[Array]) -> Array:
    """Columns side by side; masks are kept."""
    if any(isinstance(column, np.ma.MaskedArray) for column in columns):
        return np.ma.stack(columns, axis=1)
    return np.stack(columns, axis=1)
