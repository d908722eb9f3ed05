"""What is asked of a file, and the Predictions that its arrays make by the one constructor that fits. Floor 2."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from calibkit._checks import check_choice, check_int
from calibkit.errors import CalibkitError, LabelError, OptionError, ShapeError
from calibkit.files.names import RECOGNISED, Key, Question
from calibkit.files.ragged import with_counts
from calibkit.files.reading import Drawn
from calibkit.predictions import Kind, Predictions

_OPTIONS: dict[Kind, tuple[str, ...]] = {
    "logits": ("invalid", "label_base", "ignore_index", "ragged"),
    "probs": ("invalid", "label_base", "ignore_index", "clip", "renormalize", "log_probs", "ragged"),
    "top1": ("invalid", "label_base", "ignore_index"),
    "correct": ("invalid",),
}
# Why an option that is for others is not needed.
_IN_VAIN = {
    ("log_probs", "logits"): ". Leave it out: softmax turns logs of probabilities into these",
    ("renormalize", "logits"): ". Leave it out: softmax normalises them",
}
_OPT_INS = {option for options in _OPTIONS.values() for option in options}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `load` and `scan` are asked for, checked."""

    question: Question
    options: Mapping[str, Any]
    labels_file: str | None = None
    class_names: tuple[str, ...] | None = None
    name: str | None = None
    binary: bool = False
    max_bytes: int | None = None

    @property
    def log_probs(self) -> bool:
        """Whether the probabilities are given as logarithms."""
        return bool(self.options.get("log_probs"))


def requested(
    *,
    split: str | None = None,
    labels_file: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    binary: bool = False,
    dtype: str | None = None,
    max_bytes: int | None = None,
    label_base: int = 0,
    **others: Any,
) -> Request:
    """Check the keywords of `load`: names of arrays, opt-ins of the constructors, and those listed here."""
    options = {"label_base": label_base} | {key: value for key, value in others.items() if key in _OPT_INS}
    keys = {key: value for key, value in others.items() if key not in _OPT_INS}
    ragged = bool(options.get("ragged"))
    if ragged and binary:
        raise OptionError("ragged=True reads lists of choices and binary=True a single column: leave one of them out")
    question = asked(
        keys,
        split=split,
        label_base=label_base,
        labels_file=labels_file,
        dtype=dtype,
        max_bytes=max_bytes,
        ragged=ragged,
    )
    return Request(
        question=question,
        options=options,
        labels_file=labels_file,
        class_names=None if class_names is None else tuple(class_names),
        name=name,
        binary=binary,
        max_bytes=max_bytes,
    )


def asked(
    keys: Mapping[Any, Key],
    *,
    split: str | None = None,
    label_base: int = 0,
    labels_file: str | None = None,
    dtype: str | None = None,
    max_bytes: int | None = None,
    ragged: bool = False,
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
    if dtype is not None:
        check_choice(dtype, ("float16", "float32", "float64"), option="dtype")
    if split == "":
        raise OptionError('split="": give the prefix of the arrays, as in split="val"')
    elsewhere = labels_file is not None
    return Question(
        keys=keys, split=split, label_base=label_base, labels_elsewhere=elsewhere, dtype=dtype, ragged=ragged
    )


def built(drawn: Drawn, request: Request) -> Predictions:
    """Call the constructor of the kind; its complaints begin with the path."""
    options = _accepted(drawn, request.options)
    drawn = dressed(drawn, request)
    told = _told(drawn, request)
    if "n_choices" in drawn.arrays:
        options["ragged"] = True
    construct: Callable[..., Predictions] = getattr(Predictions, f"from_{drawn.kind}")
    with naming_path(drawn, told["name"]):
        return construct(**with_counts(drawn.arrays), **told, **options)


def dressed(drawn: Drawn, request: Request) -> Drawn:
    """The arrays as the request says they are meant, or a complaint about what a file alone makes doubtful."""
    if request.class_names is not None:
        drawn = replace(drawn, class_names=request.class_names)
    if request.binary:
        drawn = _as_vectors(drawn)
    _check_dress(drawn)
    return drawn


@contextmanager
def naming_path(drawn: Drawn, name: str | None) -> Iterator[None]:
    """Let complaints about the predictions of that name begin with the path of their file."""
    try:
        yield
    except OptionError:
        raise
    except CalibkitError as error:
        complaint = str(error).removeprefix(f"{name}: ")
        raise type(error)(f"{drawn.path}: {complaint}") from error


def _accepted(drawn: Drawn, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the constructor takes; one that was set and cannot be used is an error."""
    accepted = _OPTIONS[drawn.kind]
    for option, value in options.items():
        if option not in accepted and value not in (None, False, 0):
            what = " or ".join(kind for kind, names in _OPTIONS.items() if option in names)
            raise OptionError(
                f"{option}={value!r} is for {what}; {drawn.path} would be read as {drawn.kind}"
                f"{_IN_VAIN.get((option, drawn.kind), '')}"
            )
    return {option: options[option] for option in accepted if option in options}


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


def _told(drawn: Drawn, request: Request) -> dict[str, Any]:
    """What the constructor is told beside the arrays."""
    header = drawn.header or {}
    name = header.get("name", drawn.stem) if request.name is None else request.name
    told: dict[str, Any] = {"name": name, "provenance": header.get("provenance")}
    if drawn.kind != "correct":
        told["class_names"] = drawn.class_names
    if drawn.kind == "top1":
        told["n_classes"] = header.get("n_classes")
    if drawn.kind == "probs":
        told["sum_tolerance"] = drawn.sum_tolerance
    return told


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
