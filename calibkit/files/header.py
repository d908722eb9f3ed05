"""The JSON header of calibkit's own predictions file: what the arrays cannot say themselves. Floor 2."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from calibkit.errors import InputFormatError, OutputError
from calibkit.files.contents import AnyArray, shown
from calibkit.files.strict_json import strict_json
from calibkit.predictions import Predictions

HEADER_KEY = "calibkit"
SCHEMA = "calibkit.predictions/1"

CONVENTIONS = {
    ("logits", 2): "softmax(logits) over axis 1 is P(class); labels count from 0",
    ("logits", 1): "logits are the log-odds of class 1; labels are 0 and 1",
    ("probs", 2): "probs are P(class), each row sums to 1; labels count from 0",
    ("probs", 1): "probs are P(class 1); labels are 0 and 1",
    ("top1", 1): "confidence is P(predicted class); labels and predicted count from 0",
    ("correct", 1): "confidence is P(the answer is correct)",
}


# Of ragged rows; k is the row's n_choices, and the row is filled up with -inf or 0.
OF_CHOICES = {
    "logits": "softmax(logits[i, :n_choices[i]]) is P(choice) of row i; labels count from 0; choices are not classes",
    "probs": "probs[i, :n_choices[i]] is P(choice) of row i; labels count from 0; choices are not classes",
}


def header_array(predictions: Predictions, *, version: str) -> AnyArray:
    """Write the header as one text, ASCII, keys in a fixed order."""
    convention = CONVENTIONS[predictions.kind, predictions.values.ndim]
    fields = {
        "schema": SCHEMA,
        "kind": predictions.kind,
        "convention": convention if predictions.n_choices is None else OF_CHOICES[predictions.kind],
        "n": len(predictions),
        "n_classes": predictions.n_classes,
        "name": predictions.name,
        "class_names": predictions.class_names,
        "sum_tolerance": predictions.sum_tolerance,
        "provenance": dict(predictions.provenance),
        "calibkit": version,
    }
    try:
        return np.array(json.dumps(fields, ensure_ascii=True, allow_nan=False, sort_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputError(f"provenance cannot be written as JSON: {error}") from error


def parsed_header(array: AnyArray, *, where: str) -> Mapping[str, Any] | None:
    """Read a header; None if the array of that name is not one, an error if it is one that cannot be read."""
    if array.dtype.kind != "U" or array.ndim != 0:
        return None
    try:
        header = strict_json(str(array))
    except ValueError as error:
        raise InputFormatError(f"{where}: the header of the predictions file is damaged: {error}") from error
    if not isinstance(header, dict) or not str(header.get("schema", "")).startswith("calibkit."):
        raise InputFormatError(f"{where}: the array {HEADER_KEY!r} is not the header of a predictions file")
    if header["schema"] != SCHEMA:
        raise InputFormatError(
            f"{where}: written as {shown(header['schema'])}; this version of calibkit reads {SCHEMA}. Update "
            "calibkit, or save the file again with this version."
        )
    _check_fields(header, where=where)
    return header


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "n": (int,),
    "name": (str, type(None)),
    "class_names": (list, type(None)),
    "n_classes": (int, type(None)),
    "sum_tolerance": (int, float, type(None)),
    "provenance": (dict,),
}


def _check_fields(header: Mapping[str, Any], *, where: str) -> None:
    """Refuse a header whose fields are not of their types."""
    for field, types in _TYPES.items():
        if field not in header or not isinstance(header[field], types) or isinstance(header[field], bool):
            raise InputFormatError(f"{where}: the header's field {field!r} is missing or of the wrong type")
    names = header["class_names"]
    if names is not None and not all(isinstance(name, str) for name in names):
        raise InputFormatError(f"{where}: the header's class_names are not all text")
