"""Writes fitted calibrators as JSON, and reads them back: no pickle, every number to its last bit. Floor 2."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit import __version__
from calibkit._numerics import Integers
from calibkit.calibrators.calibrator import Calibrator
from calibkit.calibrators.methods import METHODS, method_of
from calibkit.calibrators.state import from_plain, to_plain
from calibkit.errors import CalibkitError, InputFormatError, LimitError, OutputError
from calibkit.files.atomic import write_text
from calibkit.files.contents import shown
from calibkit.files.source import AnyPath, open_source
from calibkit.files.strict_json import strict_json
from calibkit.same_rows import SIZE, RowSketch

SCHEMA = "calibkit.calibrator/1"
MAX_BYTES = 1 << 28  # a matrix of 3,000 classes
_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "method": str,
    "options": dict,
    "classes": list,
    "n_columns": int,
    "fitted": dict,
    "fitted_on": dict,
}


def save_calibrator(calibrator: Calibrator, path: AnyPath) -> None:
    """Write a fitted calibrator as JSON; see `Calibrator.save`."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(calibrator)
    try:
        fields = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in _plain(calibrator)]
    except (TypeError, ValueError) as error:
        raise OutputError(f"the calibrator cannot be written as JSON: {error}") from error
    write_text(path, "{\n" + ",\n".join(fields) + "\n}\n")


def load_calibrator(path: AnyPath) -> Calibrator:
    """Read a fitted calibrator from the JSON that its ``save`` wrote.

    Parameters
    ----------
    path : path-like
        Of a file of schema ``calibkit.calibrator/1``.

    Returns
    -------
    Calibrator
        Of the class that was saved, fitted: it forecasts the same bits.

    Raises
    ------
    InputFormatError
        If the file is no calibrator, of a newer version, too large, or damaged: everything in it is checked.

    Examples
    --------
    >>> import tempfile
    >>> import calibkit as ck
    >>> logits = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 4.0], [2.0, 6.0]])
    >>> fitted = ck.TemperatureScaling(input="logits").fit(logits, [0, 0, 1, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fitted.save(f"{folder}/temperature.json")
    ...     read = load_calibrator(f"{folder}/temperature.json")
    >>> read.temperature_ == fitted.temperature_
    True
    """
    with open_source(path, max_bytes=MAX_BYTES) as source:
        where, content = source.shown, source.file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise LimitError(f"{where}: is larger than {MAX_BYTES:,} bytes, more than any calibrator needs")
    try:
        plain = strict_json(content)
    except ValueError as error:
        raise InputFormatError(
            f"{where}: is not the JSON of a calibrator, which `calibkit recalibrate fit` writes: {error}"
        ) from error
    if not isinstance(plain, dict) or not str(plain.get("schema", "")).startswith("calibkit.calibrator/"):
        raise InputFormatError(f"{where}: is not a calibrator; calibrators are written by `calibkit recalibrate fit`")
    if plain["schema"] != SCHEMA:
        raise InputFormatError(
            f"{where}: written as {shown(plain['schema'])}; this version of calibkit reads {SCHEMA}. Update calibkit, "
            "or fit again."
        )
    for field, kind in _FIELDS.items():
        if not isinstance(plain.get(field), kind) or isinstance(plain[field], bool):
            raise InputFormatError(f"{where}: the field {field!r} is missing or of the wrong type")
    return _from_plain(plain, where)


def _plain(calibrator: Calibrator) -> Iterable[tuple[str, Any]]:
    """Everything that a fitted calibrator is, field by field."""
    sketch = calibrator.fitted_on_
    names = getattr(calibrator, "feature_names_in_", None)
    fields = {
        "schema": SCHEMA,
        "method": method_of(calibrator),
        "options": {name: _scalar(value) for name, value in calibrator.get_params().items()},
        "classes": calibrator.classes_.tolist(),
        "n_columns": calibrator.n_features_in_,
        "column_names": None if names is None else names.tolist(),
        "fitted": {name: to_plain(getattr(calibrator, name)) for name in calibrator.FITTED},
        "fitted_on": {"n_rows": sketch.n_rows, "total": sketch.total, "rows": sketch.rows.tolist()},
        "calibkit": __version__,
    }
    return fields.items()


def _scalar(value: Any) -> Any:
    """A plain number for one of NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def _from_plain(plain: Mapping[str, Any], where: str) -> Calibrator:
    """Make a calibrator of checked fields, whose contents are checked here."""
    if plain["method"] not in METHODS:
        raise InputFormatError(
            f"{where}: unknown method {shown(plain['method'])}; this version has {', '.join(METHODS)}"
        )
    kind = METHODS[plain["method"]]
    try:
        calibrator = kind(**plain["options"])
        calibrator._check_options()
    except (TypeError, CalibkitError) as error:
        raise InputFormatError(f"{where}: options: {error}") from error
    calibrator.classes_ = _classes(plain["classes"], f"{where}: classes")
    n_classes, calibrator.n_features_in_ = len(calibrator.classes_), plain["n_columns"]
    if n_classes - plain["n_columns"] not in (0, 1):
        raise InputFormatError(f"{where}: n_columns is {plain['n_columns']} for {n_classes} classes")
    if (names := plain.get("column_names")) is not None:
        if (
            not isinstance(names, list)
            or len(names) != plain["n_columns"]
            or not all(isinstance(n, str) for n in names)
        ):
            raise InputFormatError(f"{where}: column_names are not the names of {plain['n_columns']} columns")
        calibrator.feature_names_in_ = np.array(names, dtype=object)
    _set_fitted(calibrator, plain["fitted"], where)
    calibrator.fitted_on_ = _sketch(plain["fitted_on"], where)
    return calibrator


def _classes(plain: list[Any], where: str) -> NDArray[Any]:
    """Labels of the columns: all of one type, and distinct."""
    kinds = {type(label) for label in plain}
    if len(plain) < 2 or len(kinds) != 1 or not kinds <= {int, float, str} or len(set(plain)) != len(plain):
        raise InputFormatError(f"{where} are not two or more distinct labels of one type")
    try:
        return np.array(plain)
    except (OverflowError, ValueError) as error:
        raise InputFormatError(f"{where}: {error}") from error


def _set_fitted(calibrator: Calibrator, plain: Mapping[str, Any], where: str) -> None:
    """Set the fitted numbers, all of which must be there and be possible."""
    n_classes = len(calibrator.classes_)
    if set(plain) != set(calibrator.FITTED):
        raise InputFormatError(f"{where}: fitted holds {', '.join(plain)}; expected {', '.join(calibrator.FITTED)}")
    for name, shape in calibrator.FITTED.items():
        value = from_plain(
            plain[name],
            shape,
            n_classes=n_classes,
            n_maps=calibrator.n_maps(n_classes),
            where=f"{where}: {name}",
        )
        setattr(calibrator, name, tuple(value.tolist()) if shape.optional and isinstance(value, np.ndarray) else value)
    if (fault := calibrator._fault()) is not None:
        raise InputFormatError(f"{where}: {fault}")


def _sketch(plain: Mapping[str, Any], where: str) -> RowSketch:
    """The sketch of the rows that a calibrator was fitted on."""
    fields = [
        plain.get("n_rows"),
        plain.get("total"),
        *(rows if isinstance(rows := plain.get("rows"), list) else [None]),
    ]
    if len(fields) > SIZE + 2 or not all(type(number) is int and 0 <= number < 2**63 for number in fields):
        raise InputFormatError(f"{where}: fitted_on does not say which rows it was fitted on")
    known: Integers = np.array(fields[2:], dtype=np.int64)
    return RowSketch(n_rows=plain["n_rows"], total=plain["total"], rows=known)
