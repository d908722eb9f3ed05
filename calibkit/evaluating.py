"""evaluate: predictions in memory, or files by the way that fits them. Floor 3."""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

from calibkit._checks import check_int
from calibkit.errors import OptionError
from calibkit.evaluation import Evaluation, evaluate_predictions
from calibkit.files import expand, load
from calibkit.files.size import bytes_in_memory
from calibkit.files.source import DEFAULT_MAX_BYTES, AnyPath
from calibkit.files.urls import place_of
from calibkit.one_pass import Rng, Which, check_predictions
from calibkit.predictions import Predictions
from calibkit.shards import Report, state_of_files
from calibkit.views import View

MAX_MEMORY = 1 << 32


def evaluate(
    predictions: Predictions | AnyPath | Iterable[AnyPath],
    *,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    confidence_level: float | None = 0.95,
    rng: Rng = 0,
    threads: int | None = None,
    metrics: Which = "standard",
    max_memory: int = MAX_MEMORY,
    executor: Executor | None = None,
    client: Any = None,
    progress: Report | None = None,
    **reading: Any,
) -> Evaluation:
    """Every calibration metric of one model, with its interval and the conventions that made it.

    The (n, k) array is read once; intervals work on row scores and bin tables.

    Parameters
    ----------
    predictions : Predictions, path-like, or several paths
        What the model said and what was true; or files of it: paths, patterns such as ``"shard-*.parquet"``, URLs.
    view : {"top-label", "positive", "classwise", "flattened"}, optional
        Which binary question calibration is measured for; by default "positive" for 1-D input, else "top-label".
    n_bins : int, default 15
        Number of bins (Guo et al. 2017).
    binning : {"uniform", "quantile"}, default "uniform"
        Bins of equal width or of equal count (ties never split). In a state those of equal count are as near as its
        cells allow, and ``settings["error_bounds"]`` says how far their errors can be off.
    edges : {"right", "left"}, default "right"
        Which end of a bin is closed; 0 and 1 are always inside.
    confidence_level : float or None, default 0.95
        Level of the intervals; None gives the one pass and its sums alone.
    rng : int or numpy.random.Generator, default 0
        Seed of the ECE that a calibrated model would show.
    threads : int, optional
        Threads of the pass; by default CALIBKIT_THREADS or all cores.
    metrics : {"standard", "all"}, default "standard"
        Whether to add every metric of the registry that is computed on request (docs/estimators.md): most of them
        from the vectors that the pass gave, and the notes say which read the array once more; and every test of
        calibration. Calibrated models are drawn for each calibration error: seconds for 100,000 rows.
    max_memory : int, default 4 GiB
        One file whose arrays take at most so many bytes is loaded. A larger one, and several, are read block by block
        into a `CalibrationState`. ``evaluation.settings["rows"]`` says which: "in memory" or "state".
    executor : concurrent.futures.Executor, optional
        Reads the files in its processes or on its machines; see `state_of_files`.
    client : distributed.Client, optional
        Reads the files on the workers of a Dask cluster; see `state_of_files`.
    progress : callable, optional
        Called with a `Progress` while files are read into a state.
    **reading
        Keywords of `load`, for files; of `state_of_files` also ``allow_duplicates`` and ``block_rows``.

    Returns
    -------
    Evaluation
        ``evaluation["ece"].value``, ``.low``, ``.high``; `to_dict`; `str`.

    Raises
    ------
    DataError
        If the values are not what they were said to be, or a file is given twice.
    InputFormatError
        If `predictions` is something else, or a file cannot be read.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Means have t intervals, accuracy and base rate Wilson intervals, ECE the bracket interval, the RMS calibration error
    an interval from its square (of independent rows with one pair each); MCE has none. With ``groups`` the rows of a
    group count as dependent: group jackknife.

    The limit is a fixed number, not the memory of the machine, so that the same files are evaluated in the same way
    everywhere. What a state gives up is in docs/scale.md.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", eq. 3.

    Examples
    --------
    >>> import calibkit as ck
    >>> probs = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.8, 0.1, 0.1]]
    >>> evaluation = ck.evaluate(ck.Predictions.from_probs([0, 1, 0, 0], probs))
    >>> round(evaluation["accuracy"].value, 2), round(evaluation["ece"].value, 3)
    (0.75, 0.325)
    """
    options: dict[str, Any] = {"view": view, "n_bins": n_bins, "binning": binning, "edges": edges, "threads": threads}
    judging: dict[str, Any] = {"confidence_level": confidence_level, "rng": rng, "metrics": metrics}
    elsewhere = {"executor": executor, "client": client}
    if isinstance(predictions, Predictions):
        _refuse_options_of_files({**elsewhere, "progress": progress, **reading})
        return evaluate_predictions(predictions, **options, **judging)
    check_int(max_memory, option="max_memory", low=0)
    files = expand(_paths_of(predictions), allow_duplicates=bool(reading.get("allow_duplicates")))
    loaded = _loaded(files, max_memory, reading) if executor is client is None else None
    if loaded is not None:
        return evaluate_predictions(loaded, **options, **judging)
    name = reading.pop("name", None) or common_name(files)
    state = state_of_files(files, **options, **elsewhere, progress=progress, **reading)
    return state.evaluation(name=name, **judging)


def common_name(paths: Iterable[str]) -> str:
    """What files are called together: what their names begin with, up to the number that tells them apart.

    Examples
    --------
    >>> common_name(["runs/shard-00.npz", "runs/shard-01.npz"]), common_name(["a.npz", "b.npz"])
    ('shard', 'files')
    """
    stems = [Path(place_of(path)).stem for path in paths]
    name = os.path.commonprefix(stems)  # noqa: RUF071 - of names, letter by letter
    if any(stem[len(name) :][:1].isdigit() for stem in stems):  # the cut is within a number
        name = name.rstrip("0123456789")
    return name.rstrip("-_. ") or "files"


def _loaded(files: tuple[str, ...], max_memory: int, reading: dict[str, Any]) -> Predictions | None:
    """The predictions of one file that fits, else None."""
    reading = {key: value for key, value in reading.items() if key not in _OF_STATES}
    if len(files) > 1 or bytes_in_memory(files[0], **reading) > max_memory:
        return None
    if max_memory > DEFAULT_MAX_BYTES:
        reading.setdefault("max_bytes", max_memory)
    return load(files[0], **reading)


def _paths_of(given: object) -> list[Any]:
    """Paths, of whatever they were given as; an error that says what `evaluate` takes."""
    paths = [given] if isinstance(given, _PATHS) or not isinstance(given, list | tuple | Iterator) else [*given]
    for path in paths:
        if not isinstance(path, _PATHS):
            check_predictions(given)
    return paths


def _refuse_options_of_files(options: Mapping[str, Any]) -> None:
    """Raise for an option that predictions in memory have no use for."""
    name = next((name for name, value in options.items() if value is not None), None)
    if name is None:
        return
    near = next((option for option in _JUDGING if name in option or option in name), None)
    if near is not None:
        raise TypeError(f"evaluate() has no keyword {name!r}. Did you mean {near!r}?")
    raise OptionError(f"{name}={options[name]!r} is for reading files, and these predictions have been read.")


_PATHS = (str, bytes, os.PathLike)
# What `evaluate` has for predictions: a keyword that looks like one of these is a slip.
_JUDGING = ("view", "n_bins", "binning", "edges", "confidence_level", "rng", "threads", "metrics")
_OF_STATES = ("allow_duplicates", "block_rows")
