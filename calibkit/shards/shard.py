"""One file as a state: the unit of work. Floor 3."""

import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Literal

from calibkit.errors import CalibkitError
from calibkit.files.contents import shown
from calibkit.files.scanning import watched_scan
from calibkit.files.source import AnyPath, tells_of_change
from calibkit.files.urls import without_secrets
from calibkit.predictions import Predictions
from calibkit.state import CalibrationState
from calibkit.views import View


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
        Threads of the pass; by default CALIBKIT_THREADS or all cores.
    block_rows : int, optional
        As for `scan`. The state does not depend on it.
    seen : callable, optional
        Called after each block with the rows so far, and the share of the file that they are.
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
    state = CalibrationState(view=view, n_bins=n_bins, binning=binning, edges=edges)
    shares: list[Callable[[int], float]] = []

    def share(block: Predictions) -> float:
        """Share of the file up to the end of a block."""
        return shares[0](block.first_row + len(block))

    blocks = _ahead(watched_scan(path, shares.append, block_rows=block_rows, **reading), share)
    for block in blocks:
        try:
            state.update(block, threads=threads)
        except CalibkitError as error:
            complaint = str(error).removeprefix(f"{block.name}: ")
            # A file that is still being written looks broken: the reader knows better.
            blocks.throw(type(error)(f"{shown(without_secrets(os.fsdecode(path)))}: {complaint}"))
        if seen is not None:
            seen(block.first_row + len(block), share(block))
    return state.named(shard_name(path, reading.get("split")))


def _ahead(blocks: Generator[Predictions], share: Callable[[Predictions], float]) -> Generator[Predictions]:
    """The blocks, each read while the one before it is worked on; an error that is thrown in is the reader's."""
    block = next(blocks, None)  # by this thread: a pipe is read to its end at once, and Ctrl-C must get through
    with ExitStack() as threads:
        reader = None
        while block is not None:
            if reader is None and share(block) < 1:  # a file of one block is worth no thread
                reader = threads.enter_context(ThreadPoolExecutor(1, thread_name_prefix="calibkit-reader"))
            coming = reader.submit(next, blocks, None) if reader else None
            try:
                yield block
            except CalibkitError as error:
                failure = coming.exception() if coming else None
                blocks.throw(failure if failure is not None and tells_of_change(failure) else error)
            block = coming.result() if coming else next(blocks, None)


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
