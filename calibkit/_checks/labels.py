"""Labels of every dress (integers, names, one-hot rows) to class numbers 0..k-1, or a `LabelError`. Floor 0."""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.arrays import AnyArray, Column, Source, check_whole, refuse_dtype, show, some_of
from calibkit._checks.options import nearest, quoted
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError

IntArray = NDArray[np.int64]

_TRUTH_FIRST = " The truth comes first: (labels, probs)."
_EXPECTED = "expected class numbers, class names or one-hot rows"


def check_class_names(class_names: object, n_classes: int | None, source: Source) -> tuple[str, ...] | None:
    """Return the class names, distinct and one per class."""
    if class_names is None:
        return None
    label = source.of("class_names")
    if isinstance(class_names, str) or not hasattr(class_names, "__iter__"):
        raise InputFormatError(f"{label}: expected a list of names, got {quoted(class_names)}.")
    names = tuple(class_names)
    if not all(isinstance(word, str) for word in names):
        raise InputFormatError(f"{label}: expected text for every class, got {quoted(names)}.")
    if n_classes is not None and len(names) != n_classes:
        raise ShapeError(f"{label} has {len(names)} names but there are {n_classes} classes.")
    if len(names) < 2:
        raise ShapeError(f"{label} has {len(names)} names; a classifier has at least 2 classes.")
    first: dict[str, int] = {}
    for position, word in enumerate(names):
        if first.setdefault(word, position) != position:
            raise DataError(f"{label}: {quoted(word)} names class {first[word]} and class {position}.")
    return tuple(str(word) for word in names)


def ignored_rows(column: Column, ignore_index: int, source: Source) -> NDArray[np.bool_]:
    """Rows whose label is the number to ignore."""
    if column.values.ndim != 1 or column.values.dtype.kind not in "iuf":
        raise OptionError(
            f"ignore_index={ignore_index} works on integer labels; {source.of(column.array_name)} has dtype "
            f"{column.values.dtype} and shape {column.values.shape}."
        )
    return np.asarray(column.values == ignore_index, dtype=np.bool_)


def label_codes(
    column: Column,
    *,
    n_classes: int | None,
    class_names: tuple[str, ...] | None,
    label_base: int,
    source: Source,
    doubt: str = "",
    choices: bool = False,
) -> tuple[IntArray, str | None]:
    """Return class numbers (n,) and what was read out of another dress, if anything.

    ``doubt`` is said of a label outside the range where nothing better can be. ``choices``: the names are those of
    choices, not of classes.
    """
    values = column.values
    if values.ndim == 2:
        return _from_one_hot(column, n_classes, source), f"{column.array_name}: one-hot rows read as class numbers"
    if values.size == 0:
        return np.zeros(0, dtype=np.int64), None
    if are_names(column):
        return _from_names(column, class_names, source, choices=choices), None
    return _from_numbers(column, n_classes, label_base, source, doubt), None


def are_names(column: Column) -> bool:
    """Whether labels are text, to be read by class names."""
    return column.values.ndim == 1 and column.values.dtype.kind in "OSTU"


def refuse_no_choices(
    labels: IntArray, n_choices: IntArray, source: Source, *, label_base: int, names: tuple[str, ...] | None
) -> NoReturn:
    """Raise for the first label that is not among the choices of its row; of labels that are names, by its name."""
    bad = labels >= n_choices
    row = int(np.argmax(bad))
    code, k = int(labels[row]), int(n_choices[row])
    noun = "choice" if k == 1 else "choices"
    if names is None:
        value, expected = str(code + label_base), _range(label_base, k, noun)
        from_one = not label_base and bool((labels > 0).all()) and bool((labels <= n_choices).all())
        hint = " Labels that count from 1? Pass label_base=1." if from_one else ""
    else:
        value, expected, hint = quoted(names[code]), f"{quoted(names[0])} to {quoted(names[k - 1])} for {k} {noun}", ""
    raise LabelError(
        f"{source.at('labels', row)}: value is {value} ({some_of(int(bad.sum()), len(bad))}); expected {expected} of "
        f"this row.{hint}"
    )


def refuse_empty_rows(n_choices: IntArray, array_name: str, source: Source) -> None:
    """Raise for the first row without choices."""
    empty = n_choices == 0
    if empty.any():
        rows = some_of(int(empty.sum()), len(empty))
        raise DataError(
            f"{source.at(array_name, int(np.argmax(empty)))}: the list is empty ({rows}); a question has at least one "
            'choice. Drop them with invalid="drop" or fix the model output.'
        )


def _from_one_hot(column: Column, n_classes: int | None, source: Source) -> IntArray:
    """Column number of the single 1 of each row."""
    values, label = column.values, source.of(column.array_name)
    if values.shape[1] == 1:
        raise ShapeError(f"{label} has shape {values.shape}; expected (n,). Pass {column.array_name}[:, 0].")
    if values.dtype.kind not in "biuf":
        refuse_dtype(column, source, _EXPECTED)
    if n_classes is not None and values.shape[1] != n_classes:
        raise ShapeError(
            f"{label} has {values.shape[1]} one-hot columns but there are {n_classes} classes.{_TRUTH_FIRST}"
        )
    bad = ~(((values == 0) | (values == 1)).all(axis=1) & ((values == 1).sum(axis=1) == 1))
    if bad.any():
        row = int(np.argmax(bad))
        shown = ", ".join(show(value) for value in values[row, :6])
        raise LabelError(
            f"{source.at(column.array_name, row)}: ({shown}{', ...' if values.shape[1] > 6 else ''}) is not "
            f"one-hot. Soft labels are not read; pass one class number per row.{_TRUTH_FIRST}"
        )
    return np.asarray(values.argmax(axis=1), dtype=np.int64)


def words(column: Column, source: Source) -> list[str]:
    """Return the text of every row; bytes are UTF-8."""
    values: list[Any] = column.values.tolist()
    if column.values.dtype.kind == "S":
        try:
            return [value.decode("utf-8") for value in values]
        except UnicodeDecodeError as error:
            raise InputFormatError(f"{source.of(column.array_name)}: bytes that are not UTF-8.") from error
    others = [row for row, value in enumerate(values) if not isinstance(value, str)]
    if others:
        row = next((row for row in others if values[row] is None), others[0])
        raise InputFormatError(
            f"{source.at(column.array_name, row)}: {quoted(values[row])} in an array of Python objects; expected text "
            "or numbers throughout."
        )
    return values


def _from_names(
    column: Column, class_names: tuple[str, ...] | None, source: Source, *, choices: bool = False
) -> IntArray:
    """Position of each name among the class names."""
    text = words(column, source)
    if class_names is None:
        order = (
            "the names of a row's first, second, ... choice."
            if choices
            else "in the order of the classes, or name the columns of a table by class (probs_cat, probs_dog)."
        )
        raise LabelError(
            f"{source.at(column.array_name, 0)}: {quoted(text[0])} is a name; pass class_names=[...], {order}"
        )
    known = {word: code for code, word in enumerate(class_names)}
    codes = np.array([known.get(word, -1) for word in text], dtype=np.int64)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise LabelError(
            f"{source.at(column.array_name, row)}: {quoted(text[row])} is not one of the {len(class_names)} class "
            f"names.{nearest(text[row], class_names)}"
        )
    return codes


def _from_numbers(column: Column, n_classes: int | None, label_base: int, source: Source, doubt: str) -> IntArray:
    """Whole numbers counted from label_base, as numbers counted from 0."""
    values = column.values
    if values.dtype.kind == "b":
        return _from_bools(values, n_classes, source.of(column.array_name))
    if values.dtype.kind == "f":
        check_whole(column, source, LabelError)
    elif values.dtype.kind not in "iu":
        refuse_dtype(column, source, _EXPECTED)
    last = label_base + n_classes - 1 if n_classes is not None else np.iinfo(np.int64).max
    bad = (values < label_base) | (values > last)
    if bad.any():
        row = int(np.argmax(bad))
        raise LabelError(
            f"{source.at(column.array_name, row)}: value is {show(values[row])} ({int(bad.sum()):,} of "
            f"{len(values):,} rows); expected {_range(label_base, n_classes)}."
            f"{_hint(values, values[row], n_classes, label_base, doubt)}"
        )
    codes = values.astype(np.int64, copy=False)
    return codes - label_base if label_base else codes


def _from_bools(values: AnyArray, n_classes: int | None, label: str) -> IntArray:
    """False and True as classes 0 and 1, of two."""
    if n_classes is not None and n_classes > 2:
        raise LabelError(f"{label} is True or False but there are {n_classes} classes; pass class numbers.")
    return values.astype(np.int64)


def _range(label_base: int, n_classes: int | None, noun: str = "classes") -> str:
    """Print the labels that are allowed."""
    if n_classes is None:
        return f"{label_base} or more"
    return f"{label_base} to {label_base + n_classes - 1} for {n_classes} {noun}"


def _hint(values: AnyArray, value: Any, n_classes: int | None, label_base: int, doubt: str) -> str:
    """Say what a label outside the range may mean."""
    if n_classes in (2, None) and set(np.unique(values).tolist()) == {-1, 1}:
        return " Labels are -1 and +1: pass (labels + 1) // 2."
    if value in (-1, -100):
        return f" To leave such rows out, pass ignore_index={int(value)}."
    if values.dtype.kind == "i" and value < 0 and np.iinfo(values.dtype).max < label_base + (n_classes or 0) - 1:
        return f" {values.dtype} ends at {np.iinfo(values.dtype).max}: larger labels wrapped around. Save int64 labels."
    if value != n_classes or label_base or (doubt and (values == 0).any()):
        return doubt
    absent = " (but 0 occurs too: is a class column absent?)" if (values == 0).any() else ""
    return f" Labels that count from 1? Pass label_base=1{absent}."
