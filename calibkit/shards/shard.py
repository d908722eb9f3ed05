"""One file as a state: the unit of work. Floor 3."""

import os
from collections.abc import Callable
from typing import Any, Literal

from calibkit.errors import CalibkitError
from calibkit.files.contents import shown
from calibkit.files.scanning import watched_scan
from calibkit.files.source import AnyPath
from calibkit.files.urls import without_secrets
from calibkit.predictions import Predictions
from calibkit.scores import thread_count
from calibkit.shards.spread import Take, spread
from calibkit.state import CalibrationState
from calibkit.views import View

# States of one file in memory at once, and what they take together.
MOST_WORKERS, MOST_BYTES = 8, 1 << 28


def state_of_shard(
    path: AnyPath,
    *,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    threads: int | None = None,
    block_rows: int | None = None,
    seen: Callable[[int, float], object] | None = None,
    **reading: Any,
) -> CalibrationState:
    """The state of one file, under its name: the unit of work of whoever shares out many files.

    Parameters
    ----------
    path : path-like
        File or URL, which is read block by block.
    view, n_bins, binning, edges
        As for `CalibrationState`.
    threads : int, optional
        Threads, each of which works on a block of its own; by default CALIBKIT_THREADS or all cores. The state does
        not depend on it.
    block_rows : int, optional
        As for `scan`. The state does not depend on it.
    seen : callable, optional
        Called after each block, by the thread that called this, with the rows so far, and the share of the file that
        they are.
    **reading
        Keywords of `load`.

    Returns
    -------
    CalibrationState
        With one source. It can be pickled, saved and merged.

    Raises
    ------
    CalibkitError
        What `scan` and the pass raise; the message begins with the path. There is no state of a part of a file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", labels=[1, 0, 1], probs=[0.83, 0.27, 0.64])
    ...     state_of_shard(f"{folder}/net.npz").n
    3
    """
    asked: dict[str, Any] = {"view": view, "n_bins": n_bins, "binning": binning, "edges": edges}
    state, name = CalibrationState(**asked), shown(without_secrets(os.fsdecode(path)))
    shares: list[Callable[[int], float]] = []
    n_rows = 0

    def tell(more: int) -> float:
        """Say how far the file was read; blocks come in any order."""
        nonlocal n_rows
        n_rows += more
        share = shares[0](n_rows)
        if seen is not None:
            seen(n_rows, share)
        return share

    blocks = watched_scan(path, shares.append, block_rows=block_rows, **reading)
    first = next(blocks, None)  # by this thread: a pipe is read to its end at once, and Ctrl-C must get through
    if first is not None:
        cores = thread_count(threads)
        try:
            _take(state, name, cores)(first)
        except CalibkitError as refusal:
            blocks.throw(refusal)
        more = tell(len(first)) < 1
        states = [state, *(CalibrationState(**asked) for _ in range(1, _workers(state, cores) if more else 1))]
        for taken in spread(blocks, [_take(each, name, max(1, cores // len(states))) for each in states]):
            tell(taken)
        for other in states[1:]:
            state.merge(other)
    return state.named(shard_name(path, reading.get("split")))


def _take(state: CalibrationState, name: str, threads: int) -> Take:
    """What puts blocks of a file into a state; a complaint begins with the file's name."""

    def take(block: Predictions) -> None:
        """Add the rows of a block."""
        try:
            state.update(block, threads=threads)
        except CalibkitError as error:
            complaint = str(error).removeprefix(f"{block.name}: ")
            raise type(error)(f"{name}: {complaint}") from error

    return take


def _workers(state: CalibrationState, cores: int) -> int:
    """How many states are filled side by side: each takes memory, with a block, and one thread at a time reads."""
    size = 0 if state.tally is None else state.tally.nbytes
    return max(1, min(cores, MOST_WORKERS, MOST_BYTES // max(1, size)))


def shard_name(path: AnyPath, split: str | None) -> str:
    """What a state calls a file: its path, or URL without what is secret, with the split that was read.

    Examples
    --------
    >>> shard_name("-", None)
    ''
    >>> shard_name("shard-0.npz", None), shard_name("shard-0.npz", "val")
    ('shard-0.npz', 'shard-0.npz (split val)')
    """
    name = without_secrets(os.fsdecode(path))
    if name == "-":  # standard input is other rows each time
        return ""
    return name if split is None else f"{name} (split {split})"
