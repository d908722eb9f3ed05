"""Options that several commands share, and the files they read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from calibkit.cli.sizes import number_of_bytes

if TYPE_CHECKING:
    from calibkit.predictions import Predictions

Command = TypeVar("Command", bound=Callable[..., Any])


def _names(_context: click.Context, _option: click.Parameter, value: str | None) -> list[str] | None:
    """Class names from text such as cat,dog,eel."""
    return None if value is None else [name.strip() for name in value.split(",")]


def _columns(_context: click.Context, _option: click.Parameter, value: str | None) -> str | list[str] | None:
    """One array or prefix, or one column per class from text such as p_cat,p_dog,p_eel."""
    return [name.strip() for name in value.split(",")] if value is not None and "," in value else value


READING = (
    click.option("--split", help="Take the arrays with this prefix, e.g. val for val_logits."),
    click.option("--labels", metavar="KEY", help="Array or column of true classes."),
    click.option(
        "--logits",
        metavar="KEY",
        callback=_columns,
        help="Logits, before softmax: an array, a prefix of columns, or A,B,... in class order.",
    ),
    click.option(
        "--probs", metavar="KEY", callback=_columns, help="Probabilities, likewise; a single column is P(y = 1)."
    ),
    click.option("--predicted", metavar="KEY", help="Column of predicted classes (top-1 export)."),
    click.option("--confidence", metavar="KEY", help="Column of confidences."),
    click.option("--correct", metavar="KEY", help="Column that says whether the answer was correct."),
    click.option("--ids", metavar="KEY", help="Column of unique row ids."),
    click.option("--weights", metavar="KEY", help="Column of row weights."),
    click.option("--groups", metavar="KEY", help="Column of groups: rows of one group count as dependent."),
    click.option("--labels-file", metavar="PATH[:KEY]", help="File that holds the labels of a .npy of values."),
    click.option("--invalid", type=click.Choice(["error", "drop"]), help="Rows with NaN or inf: refuse or drop."),
    click.option("--clip", type=float, metavar="EPS", help="Clip probabilities to [EPS, 1 - EPS]; counted."),
    click.option("--renormalize", is_flag=True, default=None, help="Divide rows by their sum; counted."),
    click.option("--label-base", type=int, metavar="INT", help="The smallest label, 1 for 1-based labels."),
    click.option("--ignore-index", type=int, metavar="INT", help="Leave out rows with this label, e.g. -100."),
    click.option(
        "--log-probs",
        is_flag=True,
        default=None,
        help="The probabilities are given as logarithms (row sums are checked).",
    ),
    click.option("--ragged", is_flag=True, default=None, help="Rows are lists of choices, of unlike lengths."),
    click.option(
        "--dtype",
        type=click.Choice(["float16", "float32", "float64"]),
        help="Type of the forecasts before they were printed as CSV or JSON lines.",
    ),
    click.option("--binary", is_flag=True, default=None, help="A single column holds P(y = 1)."),
    click.option(
        "--max-bytes", callback=number_of_bytes, metavar="SIZE", help="Refuse files that unpack to more, e.g. 4GiB."
    ),
    click.option(
        "--class-names",
        callback=_names,
        metavar="A,B,...",
        help="Names of classes 0, 1, ..., for labels that are names; with --ragged those of choices.",
    ),
)
READING_NAMES = (
    "split",
    "labels",
    "logits",
    "probs",
    "predicted",
    "confidence",
    "correct",
    "ids",
    "weights",
    "groups",
    "labels_file",
    "invalid",
    "clip",
    "renormalize",
    "label_base",
    "ignore_index",
    "log_probs",
    "ragged",
    "dtype",
    "binary",
    "max_bytes",
    "class_names",
)
# Those of them that are about rows, wherever these come from.
OF_ROWS = ("invalid", "label_base", "ignore_index", "class_names")
ROWS = tuple(option for name, option in zip(READING_NAMES, READING, strict=True) if name in OF_ROWS)

JUDGING = (
    click.option("--view", help="top-label, positive, classwise or flattened."),
    click.option("--bins", "n_bins", default=15, show_default=True, type=int, help="Number of bins."),
    click.option("--binning", default="uniform", show_default=True, help="uniform (equal width) or quantile."),
    click.option("--edges", default="right", show_default=True, help="The closed end of a bin: right or left."),
    click.option(
        "--confidence-level",
        default=0.95,
        show_default=True,
        type=float,
        help="Level of intervals; 0 for none.",
    ),
    click.option("--seed", "rng", default=0, show_default=True, type=int, help="Seed of what is drawn at random."),
    click.option("--threads", type=int, help="Threads; by default CALIBKIT_THREADS or all cores."),
)


def with_options(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Put a list of options on a command, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options for reading that were given, and the options for judging."""
    reading = {name: options[name] for name in READING_NAMES if options.get(name) is not None}
    judging = {name: options[name] for name in ("view", "n_bins", "binning", "edges", "rng", "threads")}
    level = options["confidence_level"]
    return reading, judging | {"confidence_level": None if level == 0 else level}


def model_names(paths: Sequence[str]) -> list[str]:
    """Names for files: their stems, or the shortest path suffixes that tell them apart.

    Examples
    --------
    >>> model_names(["runs/hard.npz", "runs/smooth.npz"])
    ['hard', 'smooth']
    >>> model_names(["runs/hard/test.npz", "runs/smooth/test.npz"])
    ['hard/test', 'smooth/test']
    >>> model_names(["a.npz", "a.npz", "a (2).npz"])
    ['a', 'a (2)', 'a (2) (2)']
    >>> model_names(["https://host/net.npz?token=a/b.c"])
    ['net']
    """
    parts = [_parts(path) for path in paths]
    distinct = len({tuple(p) for p in parts})
    length = 1
    while len({tuple(p[-length:]) for p in parts}) < distinct:
        length += 1
    names: list[str] = []
    for part in parts:
        name = "/".join(part[-length:])
        numbered = (f"{name} ({number})" for number in count(2))
        names.append(next(candidate for candidate in chain([name], numbered) if candidate not in names))
    return names


def _parts(path: str) -> list[str]:
    """A path's parts, the last one of a file without its extension."""
    if path == "-":
        return ["stdin"]
    from calibkit.files.urls import place_of

    whole = Path(place_of(path))
    if is_folder(path):
        whole = whole.resolve()
        return [part for part in whole.parts if part != whole.anchor]
    return [part for part in whole.parent.parts if part != whole.anchor] + [whole.stem]


def is_folder(path: str) -> bool:
    """Whether a path leads to a folder."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def load_all(paths: Sequence[str], reading: dict[str, Any]) -> "dict[str, Predictions]":
    """Predictions of every file, by the names they are shown under."""
    names = model_names(paths)
    return {name: load_rows(path, name, reading) for name, path in zip(names, paths, strict=True)}


def load_rows(path: str, name: str, reading: dict[str, Any]) -> "Predictions":
    """Predictions of a file, of which there must be some."""
    from calibkit.errors import DataError
    from calibkit.files import load
    from calibkit.files.urls import without_secrets

    predictions = load(path, name=name, **reading)
    if len(predictions) == 0:
        why = f" ({'; '.join(predictions.notes)})" if predictions.notes else ""
        raise DataError(f"{without_secrets(path)}: holds no rows{why}; give a file with at least one.")
    return predictions


def check_one(path: str) -> None:
    """Refuse a pattern, whose files would be parts of one test set."""
    from calibkit.errors import InputFormatError
    from calibkit.files import expand
    from calibkit.files.urls import without_secrets

    found = expand([path])
    if found != (path,):
        raise InputFormatError(
            f"{without_secrets(path)}: is a pattern, not a file (it matches {len(found):,}): --together makes one "
            "evaluation of all their rows; without quotes the shell names the files, for an evaluation each"
        )


@contextmanager
def naming_files(files: Mapping[str, str]) -> Iterator[None]:
    """Let complaints about a model, by the name it is shown under, begin with the file that holds it."""
    from calibkit.errors import CalibkitError
    from calibkit.files.urls import without_secrets

    try:
        yield
    except CalibkitError as error:
        for name, path in files.items():
            if str(error).startswith(f"{name}: "):
                raise type(error)(f"{without_secrets(path)}: {str(error).removeprefix(f'{name}: ')}") from error
        raise


def check_paths(inputs: Sequence[str], output: str | None, reading: dict[str, Any]) -> None:
    """Refuse, before anything is read, to read standard input twice or to write over what is read."""
    from calibkit.errors import OutputError

    labels_file = reading.get("labels_file")
    # PATH:KEY names a file up to its last colon, and PATH may hold one too.
    sources = [*inputs, *([labels_file, labels_file.rpartition(":")[0]] if labels_file else [])]
    if sources.count("-") > 1:
        raise click.UsageError("standard input (-) can be read only once")
    for path in sources:
        if output is not None and _is_same_file(output, path):
            raise OutputError(f"{output}: is the input {path}; give another output path")


def check_outputs(state: str | None, table: str | None, *, flag: str) -> None:
    """Refuse outputs that are probably files of predictions, for want of a value after a flag, or one file twice."""
    from calibkit.files.formats import EXTENSIONS

    if state is not None and Path(state).suffix.lower() != ".ckst":
        raise click.UsageError(f"{flag} {state}: the name of a state ends in .ckst")
    if table is not None and EXTENSIONS.get(Path(table).suffix.lower(), "csv") != "csv":
        raise click.UsageError(f"--table {table}: is written as CSV; give a name that ends in .csv")
    if state is not None and table is not None and Path(state).resolve() == Path(table).resolve():
        raise click.UsageError(f"--table {table}: is the state of {flag} too; give another path")


def _is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file; a path that leads nowhere is no other's."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False
