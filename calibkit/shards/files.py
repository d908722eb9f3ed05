"""Files of any number and size as one evaluation: each a state of its own, merged as they come. Floor 3."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, Literal

from calibkit.errors import OptionError
from calibkit.files.expanding import Paths, expand
from calibkit.shards.dask import from_dask
from calibkit.shards.executors import from_executor
from calibkit.shards.merging import merge_named, name_of
from calibkit.shards.progress import Report, Watch
from calibkit.shards.shard import shard_name, state_of_shard
from calibkit.shards.workers import task_of
from calibkit.state import CalibrationState
from calibkit.views import View

States = Iterable[tuple[Sequence[str], CalibrationState]]


def state_of_files(
    paths: Paths,
    *,
    into: CalibrationState | None = None,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    threads: int | None = None,
    block_rows: int | None = None,
    executor: Executor | None = None,
    client: Any = None,
    progress: Report | None = None,
    allow_duplicates: bool = False,
    **reading: Any,
) -> CalibrationState:
    """The state of many files, each read block by block in constant memory.

    Parameters
    ----------
    paths : path-like, or several
        Files, patterns such as ``"shard-*.parquet"``, and URLs.
    into : CalibrationState, optional
        A state that is added to, file by file, and returned: files that it holds already are passed over. However the
        call ends, it holds whole files alone. Default: a new one.
    view, n_bins, binning, edges
        As for `CalibrationState`; those of ``into`` where it is given.
    threads, block_rows
        As for `evaluate` and `scan`. The state does not depend on them.
    executor : concurrent.futures.Executor, optional
        Reads the files, each as one task: processes of this machine or of others that have the same paths
        (docs/scale.md). The state does not depend on it, nor on the order in which the tasks end.
    client : distributed.Client, optional
        The same on a cluster of Dask: paths are sent, states are merged by the workers where there are many, and what
        a lost worker held is read again by another.
    progress : callable, optional
        Called with a `Progress` after each block, or with an executor after each file.
    allow_duplicates : bool, default False
        Whether a file may be given twice, and files may hold the same rows.
    **reading
        Keywords of `load`.

    Returns
    -------
    CalibrationState
        With one source a file.

    Raises
    ------
    CalibkitError
        What reading, scoring and merging raise, for the first file that fails.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/shard-0.npz", labels=[1, 0, 1], probs=[0.83, 0.27, 0.64])
    ...     np.savez(f"{folder}/shard-1.npz", labels=[0, 0], probs=[0.31, 0.78])
    ...     state_of_files(f"{folder}/shard-*.npz").n
    5
    """
    if executor is not None and not hasattr(executor, "submit"):
        raise OptionError(f"executor={type(executor).__name__!r}: give a concurrent.futures.Executor.")
    if executor is not None and client is not None:
        raise OptionError("executor and client: both share the files out; give one of them.")
    asked: dict[str, Any] = {"view": view, "n_bins": n_bins, "binning": binning, "edges": edges}
    held = CalibrationState(**asked) if into is None else into
    settings = {name: getattr(held.settings, name) for name in asked}
    work = {**settings, "threads": threads, "block_rows": block_rows, **reading}
    given = expand(paths, allow_duplicates=allow_duplicates)
    if len(given) > 1 and reading.get("labels_file") is not None:
        raise OptionError(
            f"labels_file={str(reading['labels_file'])!r} holds the labels of one file, and {len(given):,} files are "
            "given as parts of one test set: store each with its labels, or save a state of each and merge them."
        )
    files = _to_read(given, held, reading.get("split"))
    watch = Watch(files, progress)
    states: States
    if executor is not None:
        states = _watched(from_executor(executor, files, task_of(work)), watch)
    elif client is not None:
        states = _watched(from_dask(client, files, task_of(work), allow_duplicates=allow_duplicates), watch)
    else:
        states = _in_turn(files, work, watch)
    for _, state in states:
        merge_named(held, state, name_of(state), allow_duplicates=allow_duplicates)
    return held


def _to_read(files: Sequence[str], held: CalibrationState, split: str | None) -> list[str]:
    """The files that a state does not hold, or not as often as they are given."""
    names, left = Counter(source.name for source in held.sources), list[str]()
    for path in files:
        name = shard_name(path, split)
        if names[name] == 0:
            left.append(path)
        else:
            names[name] -= 1
    return left


def _in_turn(files: Iterable[str], work: dict[str, Any], watch: Watch) -> States:
    """The states of files, one after the other."""
    for path in files:
        yield (path,), state_of_shard(path, seen=watch.block if watch.report else None, **work)
        watch.done(path)


def _watched(states: States, watch: Watch) -> States:
    """The same states; each is reported when it has been merged."""
    for paths, state in states:
        yield paths, state
        watch.rows += state.n
        for path in paths:
            watch.done(path)
