"""Reads a file into Predictions: what is what by name, then the one constructor that fits. Floor 2."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from calibkit._checks import check_int
from calibkit.errors import CalibkitError, LabelError, OptionError, ShapeError
from calibkit.files.formats import open_contents
from calibkit.files.names import RECOGNISED, Key, Question, Role, has_recognised
from calibkit.files.reading import Drawn, draw, with_labels_from
from calibkit.files.source import AnyPath
from calibkit.predictions import Invalid, Kind, Predictions


def load(
    path: AnyPath,
    *,
    split: str | None = None,
    labels: str | None = None,
    logits: Key = None,
    probs: Key = None,
    predicted: str | None = None,
    confidence: str | None = None,
    correct: str | None = None,
    ids: str | None = None,
    weights: str | None = None,
    groups: str | None = None,
    labels_file: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    invalid: Invalid = "error",
    clip: float | None = None,
    renormalize: bool = False,
    label_base: int = 0,
    ignore_index: int | None = None,
    log_probs: bool = False,
    binary: bool = False,
    max_bytes: int | None = None,
) -> Predictions:
    """Read predictions from a file.

    Parameters
    ----------
    path : path-like
        A .npz, .npy, .safetensors, .pt, .pth, .csv, .tsv, .parquet, .arrow, .feather or .jsonl file; "-" reads CSV
        or JSON lines from standard input.
    split : str, optional
        Read the arrays whose names begin with this and an underscore: ``"val"`` for ``val_logits``.
    labels, logits, probs, predicted, confidence, correct, ids, weights, groups : str, optional
        Names of arrays or columns that are not recognised by themselves; ``""`` reads none. `logits` and `probs` may
        be a prefix of columns (``"out"`` for ``out_0, out_1, ...``) or a list of columns in class order.
    labels_file : str, optional
        ``"PATH"`` or ``"PATH:KEY"`` of a file with the labels.
    class_names : list of str, optional
        Names in class order, by which labels that are text are read; default: those that the file tells.
    name : str, optional
        Name of the predictions; default: the one saved with them, else the file's name without its extension.
    invalid, clip, renormalize, label_base, ignore_index, log_probs
        Opt-ins of the constructors, see `Predictions`.
    binary : bool
        Read a single column (n, 1) as 1-D: P(y = 1), or log-odds of class 1.
    max_bytes : int, optional
        Refuse to unpack more; default 16 GiB, and no more than 100 times the file's size where that is over 1 GiB.

    Returns
    -------
    Predictions
        Of the kind that the file holds.

    Raises
    ------
    InputFormatError
        If the file cannot be read, or it is not clear what is what: the message lists what it holds.
    LimitError
        If the file claims more bytes than it has, or than `max_bytes`.
    MissingExtraError
        If the format needs a package that is not installed.
    DataError, LabelError, ShapeError
        What the constructors raise.

    Notes
    -----
    Recognised names, in any case: labels, label, targets, target, y, y_true, outcome; logits, scores; probs,
    probabilities, y_prob, prob, p; pred, predicted; conf, confidence; correct; id, ids, index; weight, weights;
    group, groups. One array per class, ``logits_0, logits_1, ...`` or ``probs_cat, probs_dog, ...``, is put together.
    All formats, and the limits of each, are described in docs/predictions-file.md.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from calibkit import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", y=[2, 0], out=[[0.1, -1.2, 2.3], [0.4, 1.9, -0.7]])
    ...     load(f"{folder}/net.npz", logits="out")
    Predictions(kind='logits', n=2, n_classes=3, dtype=float64, name='net')
    """
    keys: dict[Role, Key] = {
        **{"labels": labels, "logits": logits, "probs": probs, "predicted": predicted, "confidence": confidence},
        **{"correct": correct, "ids": ids, "weights": weights, "groups": groups},
    }
    options: dict[str, Any] = {
        **{"invalid": invalid, "clip": clip, "renormalize": renormalize, "log_probs": log_probs},
        **{"label_base": label_base, "ignore_index": ignore_index},
    }
    question = asked(keys, split=split, label_base=label_base, labels_file=labels_file, max_bytes=max_bytes)
    drawn = draw(path, question, max_bytes=max_bytes, log_probs=log_probs)
    if labels_file is not None:
        drawn = with_labels_from(drawn, labels_file, max_bytes=max_bytes)
    if class_names is not None:
        drawn = replace(drawn, class_names=tuple(class_names))
    return _built(_as_vectors(drawn) if binary else drawn, name, _accepted(drawn, options))


def has_split(path: AnyPath, split: str, **keys: Key) -> bool:
    """Whether a file holds labels and a forecast under a prefix.

    Parameters
    ----------
    path : path-like
        As for `load`.
    split : str
        The prefix without its underscore, ``"val"``.
    **keys
        Names of arrays as for `load`.

    Raises
    ------
    InputFormatError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", val_labels=[1, 0], val_prob=[0.83, 0.27])
    ...     has_split(f"{folder}/net.npz", "val"), has_split(f"{folder}/net.npz", "test")
    (True, False)
    """
    question = asked(keys, split=split)
    with open_contents(path) as (_, contents):
        return has_recognised(contents, question, split)


def asked(
    keys: Mapping[Any, Key],
    *,
    split: str | None = None,
    label_base: int = 0,
    labels_file: str | None = None,
    max_bytes: int | None = None,
) -> Question:
    """Check what a user asks of a file."""
    unknown = next((key for key in keys if key not in RECOGNISED), None)
    if unknown is not None:
        raise OptionError(f"{unknown!r} is not read from files; choose from {', '.join(RECOGNISED)}")
    for role, key in keys.items():
        names = key if isinstance(key, Sequence) and not isinstance(key, str) else [key]
        if key is not None and not all(isinstance(name, str) for name in names):
            raise OptionError(f"{role}={key!r}: expected the name of an array or column, or a list of names")
    if max_bytes is not None:
        check_int(max_bytes, option="max_bytes", low=1)
    if split == "":
        raise OptionError('split="": give the prefix of the arrays, as in split="val"')
    return Question(keys=keys, split=split, label_base=label_base, labels_elsewhere=labels_file is not None)


def _accepted(drawn: Drawn, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the constructor takes; one that was set and cannot be used is an error."""
    accepted = _OPTIONS[drawn.kind]
    for option, value in options.items():
        if option not in accepted and value not in (None, False, 0):
            what = " or ".join(kind for kind, names in _OPTIONS.items() if option in names)
            raise OptionError(f"{option}={value!r} is for {what}; {drawn.path} would be read as {drawn.kind}")
    return {option: options[option] for option in accepted}


def _as_vectors(drawn: Drawn) -> Drawn:
    """A single column as the 1-D forecast it is said to be."""
    arrays = dict(drawn.arrays)
    for role in ("logits", "probs"):
        values = arrays.get(role)
        if values is not None and values.ndim == 2 and values.shape[1] == 1:
            arrays[role] = values[:, 0]
        elif values is not None and values.ndim != 1:
            raise ShapeError(f"{drawn.path}: binary=True reads a single column; {role} has shape {values.shape}")
    return replace(drawn, arrays=arrays, sum_tolerance=None)


def _built(drawn: Drawn, name: str | None, options: Mapping[str, Any]) -> Predictions:
    """Call the constructor of the kind; its complaints begin with the path."""
    _check_dress(drawn)
    header = drawn.header or {}
    told = {"name": header.get("name", drawn.stem) if name is None else name, "provenance": header.get("provenance")}
    if drawn.kind != "correct":
        told["class_names"] = drawn.class_names
    if drawn.kind == "top1":
        told["n_classes"] = header.get("n_classes")
    if drawn.kind == "probs":
        told["sum_tolerance"] = drawn.sum_tolerance
    construct: Callable[..., Predictions] = getattr(Predictions, f"from_{drawn.kind}")
    try:
        return construct(**drawn.arrays, **told, **options)
    except OptionError:
        raise
    except CalibkitError as error:
        complaint = str(error).removeprefix(f"{told['name']}: ")
        raise type(error)(f"{drawn.path}: {complaint}") from error


def _check_dress(drawn: Drawn) -> None:
    """Refuse what a file alone makes doubtful: a lone column, and truth values beside class names."""
    for role in ("logits", "probs"):
        values = drawn.arrays.get(role)
        if values is not None and values.ndim == 2 and values.shape[1] == 1:
            raise ShapeError(
                f"{drawn.path}: {role} has 1 column (shape {values.shape}): binary? Pass binary=True to read it as "
                "that of class 1."
            )
    for role in ("labels", "predicted"):
        values = drawn.arrays.get(role)
        if values is not None and values.dtype.kind == "b" and drawn.class_names is not None:
            raise LabelError(f"{drawn.path}: {role} are True and False, but the classes have names; write the names")


_OPTIONS: dict[Kind, tuple[str, ...]] = {
    "logits": ("invalid", "label_base", "ignore_index"),
    "probs": ("invalid", "label_base", "ignore_index", "clip", "renormalize", "log_probs"),
    "top1": ("invalid", "label_base", "ignore_index"),
    "correct": ("invalid",),
}
