"""Arrays of one file, read a few rows of each at a time: nothing larger than these rows is made. Floor 2.

The rows are read, not mapped: where a mapped file is cut short by another process, the system ends this one.
"""

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np

from calibkit.errors import InputFormatError
from calibkit.files.contents import AnyArray, Batches

CHUNK = 1 << 24

Take = Callable[[int, int], AnyArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRows:
    """An array in a file: ``take(start, stop)`` gives rows, asked for in order; ``finish`` is called after the last."""

    n_rows: int
    take: Take
    finish: Callable[[], object] = lambda: None


def in_step(arrays: Mapping[str, StoredRows], block_rows: int) -> Batches:
    """The same rows of every array, block by block; arrays of unequal length are cut to the shortest."""
    n_rows = min(array.n_rows for array in arrays.values())
    for start in range(0, n_rows, block_rows):
        stop = min(start + block_rows, n_rows)
        yield {name: array.take(start, stop) for name, array in arrays.items()}
    for array in arrays.values():
        array.finish()


def rows_of(whole: AnyArray) -> StoredRows:
    """Rows of an array that is in memory."""
    return StoredRows(n_rows=len(whole), take=lambda start, stop: whole[start:stop])


def rows_at(
    file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool = False, where: str
) -> StoredRows:
    """Rows of an array whose values begin at an offset of a file that can seek."""
    width = math.prod(shape[1:])

    def take(start: int, stop: int) -> AnyArray:
        """Read rows that stand together, and ask for those after them."""
        size = (stop - start) * width * dtype.itemsize
        begin = offset + start * width * dtype.itemsize
        _ask_for(file, begin + size, size)
        file.seek(begin)
        return read_rows(file, stop - start, shape, dtype, where=where)

    def take_columns(start: int, stop: int) -> AnyArray:
        """Read rows whose columns stand apart."""
        rows = np.empty((width, stop - start), dtype=dtype)
        for number, column in enumerate(rows):
            file.seek(offset + (number * shape[0] + start) * dtype.itemsize)
            fill(file, column.view(np.uint8), where=where)
        return rows.T

    return StoredRows(n_rows=shape[0], take=take_columns if fortran and len(shape) == 2 else take)


def _ask_for(file: BinaryIO, start: int, length: int) -> None:
    """Tell the system that some bytes will be read next, so that it fetches them meanwhile; where it can be told."""
    if hasattr(os, "posix_fadvise") and length:
        with suppress(OSError, AttributeError):  # no file of the system's, or a pipe
            os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_WILLNEED)


def read_rows(
    file: IO[bytes] | BinaryIO, n_rows: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, where: str
) -> AnyArray:
    """Read the next rows of an array of this shape."""
    rows_shape = (n_rows, *shape[1:])
    raw = np.empty(math.prod(rows_shape) * dtype.itemsize, dtype=np.uint8)
    fill(file, raw, where=where)
    return raw.view(dtype).reshape(rows_shape)


def fill(file: IO[bytes] | BinaryIO, raw: AnyArray, *, where: str) -> None:
    """Fill a buffer from a file, to its end."""
    view, done = raw.data, 0
    while done < len(view):
        n_read = file.readinto(view[done : done + CHUNK])  # type: ignore[union-attr]
        if not n_read:
            raise InputFormatError(f"{where}: truncated, {len(view) - done:,} bytes of values are missing")
        done += n_read


def joined(parts: list[AnyArray]) -> AnyArray:
    """One array of the parts of a column; masks are kept."""
    filled = [part for part in parts if len(part)] or parts[:1]
    if not filled:
        return np.empty(0)
    masked = any(isinstance(part, np.ma.MaskedArray) for part in filled)
    join: Callable[[list[AnyArray]], AnyArray] = np.ma.concatenate if masked else np.concatenate
    return join(filled)


def regrouped(batches: Batches, block_rows: int) -> Batches:
    """Blocks of so many rows, the last of them fewer, from batches of any length."""
    waiting: list[dict[str, AnyArray]] = []
    n_waiting = 0
    for batch in batches:
        n_rows, start = len(next(iter(batch.values()))), 0
        while n_waiting + n_rows - start >= block_rows:
            stop = start + block_rows - n_waiting
            waiting.append({name: values[start:stop] for name, values in batch.items()})
            yield _together(waiting)
            waiting, n_waiting, start = [], 0, stop
        if start < n_rows:
            waiting.append({name: values[start:] for name, values in batch.items()})
            n_waiting += n_rows - start
    if waiting:
        yield _together(waiting)


def _together(batches: list[dict[str, AnyArray]]) -> dict[str, AnyArray]:
    """One batch of several."""
    return batches[0] if len(batches) == 1 else {name: joined([b[name] for b in batches]) for name in batches[0]}
