"""How an (n, k) array is read: once, in cache-sized blocks of one layout, by several threads. Floor 1."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.bfloat16 import BFloat16Array, Stored, copy_widened
from calibkit._checks.options import check_threads
from calibkit._checks.values import keeps_subnormals
from calibkit.errors import OptionError

Result = TypeVar("Result")
Matrix = NDArray[Any]

# A block and its source stay in the second-level cache; much smaller blocks spend their time waiting for the GIL.
BLOCK_BYTES = 1 << 20
# Row arithmetic is done on vectors of this many rows: on a block's few hundred it would cost as much as the block. Of
# rows so long that they are the work, fewer are enough, and there is a chunk for every thread.
CHUNK_ROWS, CHUNK_BYTES = 1 << 12, 1 << 24
# Up to here a block is transposed: a reduction over so few classes is faster as k operations on long vectors.
MAX_TRANSPOSED = 64
SCRATCH_BYTES = 1 << 25
# Of a float64: its sign, and what the exponent and mantissa of a float16 fill.
_OF_HALF = np.int64(-(1 << 63) | ((1 << 57) - 1))


def thread_count(threads: int | None) -> int:
    """Return the number of threads: the keyword, else CALIBKIT_THREADS, else the cores this process may use."""
    asked = check_threads(threads)
    if asked is not None:
        return asked
    variable = os.environ.get("CALIBKIT_THREADS", "").strip()
    if not variable:
        return _available_cores()
    if not variable.isdecimal() or int(variable) < 1:
        raise OptionError(f"CALIBKIT_THREADS={variable!r}: expected a whole number of at least 1.")
    return int(variable)


def _available_cores() -> int:
    """Cores this process may run on; on systems that cannot say, all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The one form in which blocks of an array are worked on; it depends on k and the dtype alone.

    A block holds its classes along ``class_axis``: (k, rows) for few classes, (rows, k) for many. Sums over the
    classes then run in one order whatever the source's strides, the block's size and the row's place in it.
    """

    n_classes: int
    dtype: np.dtype[Any]

    @property
    def class_axis(self) -> int:
        """Axis of a block that runs over the classes."""
        return 0 if self.n_classes <= MAX_TRANSPOSED else 1

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK_BYTES // (self.n_classes * self.dtype.itemsize))

    @property
    def chunk_blocks(self) -> int:
        """Blocks of a chunk, whose rows one thread scores together."""
        rows = min(CHUNK_ROWS, CHUNK_BYTES // (self.n_classes * self.dtype.itemsize))
        return max(1, -(-rows // self.block_rows))

    def scratch(self) -> Matrix:
        """Memory for one block."""
        # NumPy sums a (k, 1) array in another order than a (k, 2) one: a block is never narrower than 2.
        return np.empty(self.n_classes * max(2, self.block_rows), self.dtype)

    def load(self, rows: Matrix, scratch: Matrix) -> Matrix:
        """Copy rows (r, k) of any strides and dtype into a block; a lone row is doubled in a transposed one."""
        n_rows, n_classes = rows.shape
        if self.class_axis == 1:
            block = scratch[: n_rows * n_classes].reshape(n_rows, n_classes)
            _copy(block, rows)
        else:
            block = scratch[: n_classes * max(2, n_rows)].reshape(n_classes, -1)
            _copy(block, rows.T)
        return block

    def across(self, vector: NDArray[Any]) -> Matrix:
        """Shape a value per row so that it broadcasts over a block."""
        return np.expand_dims(vector, self.class_axis)

    def as_rows(self, block: Matrix, n_rows: int) -> Matrix:
        """View a block as (rows, k)."""
        return block[:n_rows] if self.class_axis == 1 else block[:, :n_rows].T

    def places(self, labels: NDArray[np.int64], block: Matrix) -> NDArray[np.int64]:
        """Where each row's label stands in the flattened block."""
        rows = np.arange(len(labels))
        return rows * self.n_classes + labels if self.class_axis == 1 else labels * block.shape[1] + rows


def _copy(block: Matrix, values: Stored) -> None:
    """Copy values into a block of their type or a wider one."""
    if isinstance(values, BFloat16Array):
        copy_widened(block, values)
        return
    if values.dtype != np.float16 or block.dtype != np.float64 or not keeps_subnormals():
        np.copyto(block, values)
        return
    # NumPy's own way takes up to ten times as long where some are below 2^-14, as probabilities of many classes are.
    # Here sign, exponent and mantissa move to their places in a float64, whose exponent counts from another number.
    bits = block.view(np.int64)
    np.copyto(bits, values.view(np.int16))
    np.left_shift(bits, 42, out=bits)
    np.bitwise_and(bits, _OF_HALF, out=bits)
    np.multiply(block, 2.0**1008, out=block)
    # Infinities and NaN have become 65,536 and more, which no float16 is.
    if not (block.max() < 65_536 and block.min() > -65_536):
        np.copyto(block, values)


def slices(start: int, stop: int, step: int) -> list[slice]:
    """Cut rows start..stop into pieces of `step` rows."""
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]


def each_chunk(
    task: Callable[[slice, Matrix], Result], *, n_rows: int, step: int, layout: Layout, threads: int
) -> list[Result]:
    """Run ``task(rows, scratch)`` on every slice of `step` rows, in threads; results in the order of the rows."""
    chunks = slices(0, n_rows, step)
    threads = max(1, min(threads, len(chunks), SCRATCH_BYTES // layout.scratch().nbytes))
    scratches: SimpleQueue[Matrix] = SimpleQueue()
    for _ in range(threads):
        scratches.put(layout.scratch())

    def run(rows: slice) -> Result:
        scratch = scratches.get()
        try:
            # Threads do not inherit the error state. Overflow and NaN are part of the work: what they mean is
            # looked at afterwards.
            with np.errstate(all="ignore"):
                return task(rows, scratch)
        finally:
            scratches.put(scratch)

    if threads == 1:
        return [run(rows) for rows in chunks]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, chunks))
