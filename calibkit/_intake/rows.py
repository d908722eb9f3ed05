"""The rows of one constructor call: which of them count, under what numbers, and what was left out. Floor 1."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import (
    ARRAYS,
    BFloat16Array,
    Column,
    Source,
    Stored,
    are_names,
    check_choice,
    check_class_names,
    check_forecast_shape,
    check_int,
    check_keys,
    check_name,
    check_provenance,
    check_rows,
    check_unique,
    check_vector,
    check_weights,
    float_values,
    ignored_rows,
    label_codes,
    read_column,
    refuse_empty_rows,
    refuse_missing,
    unusable_rows,
)
from calibkit._intake.ragged import N_CHOICES, check_choices
from calibkit._numerics import equal_rows

Array = NDArray[Any]
BoolArray = NDArray[np.bool_]

_FORECASTS = ("logits", "probs")
_FLOATS = (*_FORECASTS, "confidence")
_PASSENGERS = ("ids", "weights", "groups")
_ONE_DIMENSIONAL = {"logits": "log-odds of class 1", "probs": "P(y = 1)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The arrays of one constructor call, cut to the rows that count."""

    columns: Mapping[str, Column]
    source: Source
    notes: tuple[str, ...] = ()

    def __getitem__(self, array_name: str) -> Array:
        return self.columns[array_name].values

    @property
    def n_choices(self) -> Array | None:
        """How many choices each row has, where these are no classes."""
        return self.columns[N_CHOICES].values.astype(np.int64) if N_CHOICES in self.columns else None

    def fields(
        self,
        n_classes: int | None,
        class_names: object,
        label_base: int,
        provenance: Mapping[str, object] | None,
        notes: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Fields of a Predictions that do not depend on what was forecast, checked and read-only."""
        choices = self.n_choices is not None
        names = check_class_names(class_names, None if choices else n_classes, self.source)
        if choices:
            n_classes = None
        elif n_classes is None and names is not None:
            n_classes = len(names)
        codes = {}
        for key in (key for key in ("labels", "predicted") if key in self.columns):
            codes[key], note = self._codes(key, n_classes, names, label_base)
            notes = (*notes, note) if note else notes
        return {
            **codes,
            **{key: self._keys(key) for key in ("ids", "groups")},
            "weights": frozen(self["weights"]) if "weights" in self.columns else None,
            "n_choices": None if self.n_choices is None else frozen(self.n_choices),
            "n_classes": n_classes,
            "class_names": None if choices else names,  # labels of choices are read by them, and that is all
            "name": self.source.name,
            "provenance": check_provenance(provenance),
            "notes": (*self.notes, *notes),
            "first_row": self.source.first_row,
        }

    def _codes(
        self, array_name: str, n_classes: int | None, class_names: tuple[str, ...] | None, label_base: int
    ) -> tuple[Array, str | None]:
        """Class numbers 0..k-1 of labels or predicted, and a note if they came in another dress."""
        codes, note = label_codes(
            self.columns[array_name],
            n_classes=n_classes,
            class_names=class_names,
            label_base=check_int(label_base, option="label_base", low=0),
            source=self.source,
            doubt=self._doubt(),
            choices=self.n_choices is not None,
        )
        if self.n_choices is not None:
            names = class_names if are_names(self.columns[array_name]) else None
            check_choices(codes, self.n_choices, self.source, label_base=label_base, names=names)
        return frozen(codes), note

    def _doubt(self) -> str:
        """What to ask where a third class meets a forecast for two."""
        for key in (key for key in _FORECASTS if key in self.columns and self[key].ndim == 1):
            return f" 1-D {key} are {_ONE_DIMENSIONAL[key]} of two classes; confidences go to Predictions.from_top1."
        return ""

    def _keys(self, array_name: str) -> Array | None:
        """Ids or groups, if they were given; ids are distinct."""
        if array_name not in self.columns:
            return None
        keys = check_keys(self.columns[array_name], self.source)
        if array_name == "ids":
            check_unique(keys, array_name, self.source)
        return frozen(keys)


def frozen(array: Stored) -> Array:
    """A read-only view; the array itself keeps its flags."""
    if isinstance(array, BFloat16Array):  # nothing can be written into one
        return cast(Array, array)
    view = array.view()
    view.flags.writeable = False
    return view


def arrays_at(record: Any, rows: Any) -> dict[str, Any]:
    """Some rows of every array that a dataclass holds, by field."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: frozen(value[rows]) for name, value in values.items() if isinstance(value, ARRAYS)}


def same(one: object, other: object) -> bool:
    """Whether two fields hold the same; text arrays whatever their width."""
    if not isinstance(one, ARRAYS) or not isinstance(other, ARRAYS):
        return one is other if isinstance(one, ARRAYS) or isinstance(other, ARRAYS) else one == other
    alike = one.dtype == other.dtype or one.dtype.kind == other.dtype.kind == "U"
    return alike and equal_rows(one, other)


def read_rows(
    arrays: Mapping[str, object],
    *,
    meaning: str,
    invalid: str,
    name: str | None,
    ignore_index: int | None = None,
) -> Intake:
    """Read what was given and leave out the rows that do not count.

    The first array sets the number of rows. ``meaning`` is what the forecast holds: logits, probs, log_probs or
    confidence. Rows of weight 0 and of the label to ignore are absent: nothing in them is checked.
    """
    check_choice(invalid, ("error", "drop"), option="invalid")
    source = Source(name=check_name(name))
    given = {key: values for key, values in arrays.items() if values is not None or key not in _PASSENGERS}
    columns = {key: read_column(values, key, source, in_blocks=key in _FORECASTS) for key, values in given.items()}
    check_shapes(columns, source)
    for key in (key for key in _FLOATS if key in columns):
        columns[key] = replace(columns[key], values=float_values(columns[key], source))
    notes = []
    keep = np.ones(len(next(iter(columns.values())).values), dtype=np.bool_)
    if "weights" in columns:
        columns["weights"] = _weights(columns["weights"], invalid, source)
        notes += _leave_out(keep, columns["weights"].values == 0, "weight 0", always=False)
    if ignore_index is not None:
        ignore_index = check_int(ignore_index, option="ignore_index")
        ignored = ignored_rows(columns["labels"], ignore_index, source)
        notes += _leave_out(keep, ignored, f"ignore_index={ignore_index}")
    if invalid == "drop":
        notes += _leave_out(keep, _invalid_rows(columns, meaning), 'invalid="drop"')
    return _cut(Intake(columns=columns, source=source, notes=tuple(notes)), keep)


def check_shapes(columns: Mapping[str, Column], source: Source) -> None:
    """Raise for the first array whose shape does not fit; forecasts first, for their hints say most."""
    reference = next(iter(columns))
    n_rows = len(columns[reference].values)
    for key in sorted(columns, key=lambda key: key not in _FORECASTS):
        column = columns[key]
        if column.values.ndim <= 2:
            check_rows(column, n_rows, reference, source)
        if key in _FORECASTS:
            check_forecast_shape(column, _ONE_DIMENSIONAL[key], source)
        elif key not in ("labels", "predicted") or column.values.ndim > 2:
            check_vector(column, source)


def _weights(column: Column, invalid: str, source: Source) -> Column:
    """Weights as float64; a missing one counts as 1 until its row is dropped."""
    missing = column.missing
    if missing is not None and invalid == "drop":
        column = replace(column, values=np.where(missing, 1, column.values))
    else:
        refuse_missing(column, source)
    return replace(column, values=check_weights(column, source))


def _leave_out(keep: BoolArray, out: BoolArray, why: str, *, always: bool = True) -> list[str]:
    """Take rows out of ``keep``; an opt-in is noted even when it found none."""
    count = int((keep & out).sum())
    keep &= ~out
    return [left_out_note(why, count, len(keep))] if count or always else []


def left_out_note(why: str, count: int, n_rows: int) -> str:
    """Say how many rows were left out."""
    return f"{why}: {count:,} of {n_rows:,} rows left out"


def _invalid_rows(columns: Mapping[str, Column], meaning: str) -> BoolArray:
    """Rows with a missing entry in any array, NaN or inf in the forecast, or NaN elsewhere but in weights."""
    out = np.zeros(len(next(iter(columns.values())).values), dtype=np.bool_)
    for key, column in columns.items():
        if (missing := column.missing_rows()) is not None:
            out |= missing
        if key in _FLOATS:
            out |= unusable_rows(meaning, column.values)
        elif key == N_CHOICES:
            out |= column.values == 0
        elif column.values.dtype.kind == "f" and key != "weights":
            out |= np.isnan(column.values).reshape(len(out), -1).any(axis=1)
    return out


def _cut(given: Intake, keep: BoolArray) -> Intake:
    """Cut to the rows that count, and remember their numbers; then no entry may be missing."""
    source, columns = given.source, given.columns
    if not keep.all():
        rows = np.flatnonzero(keep)
        source = replace(source, rows=rows)
        columns = {key: column.take(rows) for key, column in columns.items()}
    for column in columns.values():
        refuse_missing(column, source)
    if N_CHOICES in columns:
        refuse_empty_rows(columns[N_CHOICES].values, next(key for key in _FORECASTS if key in columns), source)
    return Intake(columns=columns, source=source, notes=given.notes)
