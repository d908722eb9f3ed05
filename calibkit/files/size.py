"""How much memory the arrays of a file would take, as far as it tells before they are read. Floor 2."""

import math
import stat
from pathlib import Path
from typing import Any

import numpy as np

from calibkit.files.building import requested
from calibkit.files.contents import Entry
from calibkit.files.formats import open_contents
from calibkit.files.reading import chosen
from calibkit.files.source import AnyPath
from calibkit.files.urls import is_url


def bytes_in_memory(path: AnyPath, **reading: Any) -> int:
    """Bytes of the arrays that `load` would make; the size of the file where it does not tell more.

    Parameters
    ----------
    path : path-like
        As for `load`. Standard input and pipes count 0: they are read to their end whatever is done with them.
    **reading
        Keywords of `load`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(f"{folder}/net.npz", labels=np.zeros(1000, np.int64), logits=np.zeros((1000, 5)))
    ...     bytes_in_memory(f"{folder}/net.npz")
    48000
    """
    if _is_stream(str(path) if not isinstance(path, bytes) else path.decode(errors="surrogateescape")):
        return 0
    request = requested(**reading)
    with open_contents(path, max_bytes=request.max_bytes, by_block=True) as (source, contents):
        found = chosen(source, contents, request.question).found
        entries = [entry for place in found.values() for name in place.names if (entry := contents.entry(name))]
        told = sum(math.prod(size or 0 for size in entry.shape) * item_size(entry) for entry in entries)
        known = all(size is not None for entry in entries for size in entry.shape)
        return told if known else max(told, source.size)


def item_size(entry: Entry) -> int:
    """Bytes of a value, as far as the name of its type tells: 8 for one that is not known."""
    if entry.dtype == "bfloat16":
        return 2
    try:
        return max(1, np.dtype(entry.dtype).itemsize)
    except TypeError:
        return 8


def _is_stream(name: str) -> bool:
    """Whether a path is standard input or a pipe."""
    if name == "-" or is_url(name):
        return name == "-"
    try:
        return stat.S_ISFIFO(Path(name).stat().st_mode)
    except (OSError, ValueError):
        return False
