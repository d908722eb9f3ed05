"""From a path to arrays by role: opens, chooses, reads, puts columns together. Floor 2."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibkit._checks import BFLOAT16_EPS
from calibkit._numerics import sum_slack
from calibkit.errors import InputFormatError, OptionError, ShapeError
from calibkit.files.contents import AnyArray, Contents, Entry, Need, Wanted, described, shown
from calibkit.files.digits import PrintedDigits
from calibkit.files.formats import open_contents
from calibkit.files.names import NEEDS, RECOGNISED, Found, Question, Reading, Role, choose
from calibkit.files.ragged import are_rows, as_type, check_filled, flat, widest
from calibkit.files.source import AnyPath, Source
from calibkit.files.urls import is_url
from calibkit.predictions import Kind

CLASS_NAMES = "class_names"
FLOATS = ("logits", "probs", "confidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What was read from a file: arrays by role, and what the file says beside them."""

    path: str
    stem: str
    kind: Kind
    arrays: Mapping[str, AnyArray]
    class_names: tuple[str, ...] | None
    sum_tolerance: float | None
    header: Mapping[str, Any] | None


def draw(path: AnyPath, question: Question, *, max_bytes: int | None, log_probs: bool = False) -> Drawn:
    """Read what a file holds, each array under its role."""
    with open_contents(path, max_bytes=max_bytes) as (source, contents):
        reading = chosen(source, contents, question)
        arrays = by_role(contents, reading.found, question, contents.read(wanted_of(contents, reading.found, question)))
        for role in FLOATS:
            if role in arrays:
                check_filled(source, arrays[role])
        drawn = drawn_from(source, contents, reading)
    digits = PrintedDigits()
    if needs_digits(contents, reading):
        add_digits(digits, arrays["probs"])
    tolerance = sum_tolerance(contents, reading, arrays, digits, log_probs=log_probs)
    return replace(drawn, arrays=arrays, sum_tolerance=tolerance)


def chosen(source: Source, contents: Contents, question: Question) -> Reading:
    """What would be read, held against the file's header."""
    reading = choose(contents, question, where=source.shown)
    _check_header(contents, reading, question, where=source.shown)
    _check_columns(contents, reading, where=source.shown)
    if question.dtype is not None and not contents.printed:
        raise OptionError(
            f"dtype={question.dtype!r} is for CSV and JSON lines; {source.shown} is {contents.format}, which says what "
            "type its numbers have"
        )
    return reading


def drawn_from(source: Source, contents: Contents, reading: Reading) -> Drawn:
    """What a file says beside its arrays."""
    return Drawn(
        path=source.shown,
        stem=source.stem,
        kind=reading.kind,
        arrays={},
        class_names=reading.class_names or _class_names(contents),
        sum_tolerance=None,
        header=contents.header,
    )


def wanted_of(contents: Contents, found: Mapping[Role, Found], question: Question) -> Wanted:
    """The names that hold the values of these roles, and what the values must be."""
    wanted: dict[str, Need] = {}
    for role, place in found.items():
        for name in place.names:
            entry = contents.entry(name)
            lists = contents.table and entry is not None and len(entry.shape) > 1
            wanted[name] = "choices" if lists and question.ragged and NEEDS[role] == "number" else NEEDS[role]
    return wanted


def with_labels_from(drawn: Drawn, labels_file: str, *, max_bytes: int | None) -> Drawn:
    """The same with the labels of another file, ``"PATH"`` or ``"PATH:KEY"``."""
    return replace(drawn, arrays={**drawn.arrays, "labels": _labels(labels_file, max_bytes)})


def _labels(labels_file: str, max_bytes: int | None) -> AnyArray:
    """The labels of a file."""
    path, key = path_and_key(labels_file)
    with open_contents(path, max_bytes=max_bytes) as (source, contents):
        found, question = labels_place(source, contents, key), Question(keys={})
        return by_role(contents, found, question, contents.read(wanted_of(contents, found, question)))["labels"]


def labels_place(source: Source, contents: Contents, key: str | None) -> Mapping[Role, Found]:
    """Where a file has its labels: the array that is named, else the recognised one, else the only one."""
    known = [entry for entry in contents.entries if entry.name.lower() in RECOGNISED["labels"]]
    choices = known or list(contents.entries)
    entry = contents.entry(key) if key is not None else choices[0] if len(choices) == 1 else None
    if entry is None:
        complaint = "which array holds the labels?" if key is None else f"there is no {shown(key)!r}."
        raise InputFormatError(
            f"{source.shown}: {complaint} The file holds {described(contents.entries)}. Name it: "
            f'labels_file="{source.shown}:KEY".'
        )
    return {"labels": Found(names=(entry.name,), matrix=len(entry.shape) > 1)}


def path_and_key(labels_file: str) -> tuple[str, str | None]:
    """Split at the last colon, unless that is part of the name of a file that is there."""
    if ":" not in labels_file or os.path.lexists(labels_file):
        return labels_file, None
    path, _, key = labels_file.rpartition(":")
    if is_url(labels_file) and "/" in key:  # the colon is that of the scheme, or of a port
        return labels_file, None
    return (path, key) if path and key else (labels_file, None)


def by_role(
    contents: Contents, found: Mapping[Role, Found], question: Question, values: Mapping[str, AnyArray]
) -> dict[str, AnyArray]:
    """Every role's values; columns of a matrix are put side by side."""
    arrays: dict[str, AnyArray] = {}
    for role, place in found.items():
        columns = [values[name] for name in place.names]
        whole = columns[0] if len(columns) == 1 else _side_by_side(columns)
        arrays[role] = whole[:, None] if place.matrix and whole.ndim == 1 and not are_rows(whole) else whole
        if contents.printed and role == "correct":
            arrays[role] = _truths(whole)
        if question.dtype is not None and role in FLOATS:
            arrays[role] = as_type(arrays[role], question.dtype)
    return arrays


def _side_by_side(columns: list[AnyArray]) -> AnyArray:
    """Columns of a matrix; masks are kept."""
    masked = any(isinstance(column, np.ma.MaskedArray) for column in columns)
    matrix: AnyArray = np.ma.stack(columns, axis=1) if masked else np.stack(columns, axis=1)
    return matrix


def _truths(values: AnyArray) -> AnyArray:
    """Printed truth values as booleans; anything else as it is, for the constructor to judge."""
    if values.dtype.kind != "U":
        return values
    words = np.strings.lower(values)
    return words == "true" if np.isin(words, ("true", "false")).all() else values


def _class_names(contents: Contents) -> tuple[str, ...] | None:
    """Class names that the file's header or an array of that name tells."""
    if contents.header is not None:
        names = contents.header[CLASS_NAMES]
        return None if names is None else tuple(names)
    entry = None if contents.table else contents.entry(CLASS_NAMES)
    if entry is None or entry.dtype != "text" or len(entry.shape) != 1:
        return None
    return tuple(contents.read({CLASS_NAMES: "key"})[CLASS_NAMES].tolist())


def needs_digits(contents: Contents, reading: Reading) -> bool:
    """Whether the printed digits say how far row sums may be from 1."""
    return contents.printed and "probs" in reading.found and reading.found["probs"].matrix


def add_digits(digits: PrintedDigits, probs: AnyArray) -> None:
    """Look at more printed probabilities."""
    digits.add(flat(probs))
    if are_rows(probs):
        digits.most_choices = max(digits.most_choices, widest(probs))


def sum_tolerance(
    contents: Contents, reading: Reading, arrays: Mapping[str, AnyArray], digits: PrintedDigits, *, log_probs: bool
) -> float | None:
    """Accepted deviation of row sums where the array's own dtype does not tell it."""
    if contents.header is not None and contents.header["kind"] == reading.kind == "probs":
        stored = contents.header["sum_tolerance"]
        return None if stored is None else float(stored)
    probs = arrays.get("probs")
    if are_rows(probs) and contents.printed:
        return digits.tolerance(digits.most_choices, logarithms=log_probs)
    if probs is None or probs.ndim != 2 or probs.size == 0 or probs.dtype.kind not in "iuf":
        return None
    if contents.printed:
        return digits.tolerance(probs.shape[1], logarithms=log_probs)
    entry = contents.entry(reading.found["probs"].names[0])
    is_short = isinstance(entry, Entry) and entry.dtype == "bfloat16"
    return sum_slack(probs.shape[1], BFLOAT16_EPS) if is_short else None


def _check_columns(contents: Contents, reading: Reading, *, where: str) -> None:
    """Refuse the columns of a matrix that differ in length."""
    for place in reading.found.values():
        first, *others = (entry for name in place.names if (entry := contents.entry(name)) is not None)
        for other in others:
            if other.shape != first.shape:
                raise ShapeError(f"{where}: {other} and {first} are columns of one matrix and differ in length.")


def _check_header(contents: Contents, reading: Reading, question: Question, *, where: str) -> None:
    """Refuse a file whose header and arrays say different things, unless the user named the arrays."""
    named = any(key is not None for key in question.keys.values()) or question.split is not None
    if contents.header is None or named:
        return
    if contents.header["kind"] != reading.kind:
        raise InputFormatError(
            f"{where}: the header says {shown(contents.header['kind'])}, the arrays are those of {reading.kind}"
        )
    strange = next((entry.name for entry in contents.entries if entry.name not in RECOGNISED), None)
    if strange is not None:  # the damaged name of an array that would be missed, weights for instance
        raise InputFormatError(
            f"{where}: has a header of calibkit and the array {shown(strange)!r}, which calibkit does not write. Where "
            'that is meant, name what is to be read: labels="KEY" and so on'
        )
    shapes = [entry.shape for entry in contents.entries]
    if any(shape[:1] != (contents.header["n"],) for shape in shapes):
        raise InputFormatError(f"{where}: the header says {contents.header['n']} rows, the arrays have other lengths")
