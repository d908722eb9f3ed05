"""Reads a file of any size block by block: the rows of `load`, in order, in constant memory. Floor 2."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibkit._checks import Source as Rows
from calibkit._checks import check_int, counting_from, read_column, refuse_zero_weights
from calibkit._intake.rows import check_shapes
from calibkit.errors import ShapeError
from calibkit.files.building import Request, built, dressed, naming_path, requested
from calibkit.files.contents import AnyArray, Batches, Contents, Entry, Look
from calibkit.files.digits import PrintedDigits
from calibkit.files.formats import open_contents
from calibkit.files.names import Found, Question, Reading, Role
from calibkit.files.reading import (
    Drawn,
    add_digits,
    by_role,
    chosen,
    drawn_from,
    labels_place,
    needs_digits,
    path_and_key,
    sum_tolerance,
    wanted_of,
)
from calibkit.files.size import item_size
from calibkit.files.source import AnyPath, Source
from calibkit.files.stepping import regrouped
from calibkit.predictions import Predictions

BLOCK_BYTES = 1 << 24
MOST_ROWS = 1 << 18
LIST_ROWS = 1 << 12  # of lists whose length is not known before they are read


def scan(path: AnyPath, *, block_rows: int | None = None, **reading: Any) -> Iterator[Predictions]:
    """Predictions of a file of any size, block by block, in the order of its rows.

    Parameters
    ----------
    path : path-like
        As for `load`.
    block_rows : int, optional
        Rows of a block; the last may have fewer, and so has one from which rows are left out. By default as many as
        hold 16 MiB, and at most 262,144.
    **reading
        Keywords of `load`: names of arrays, opt-ins, `max_bytes`.

    Yields
    ------
    Predictions
        Put together they are what `load` gives, bit for bit. A file without rows gives one block without rows,
        or none where it does not tell how many classes there are.

    Raises
    ------
    InputFormatError, LimitError, DataError, LabelError, ShapeError
        What `load` raises, with the row's number in the file, as soon as the row is met. What is known only at the
        file's end (a checksum, a length, that the file has changed meanwhile) is raised after the last block: results
        of the blocks before count only when the iteration has ended.

    Notes
    -----
    The file is read once, in order; arrays that stand one after the other in it are read in step. Text is read twice:
    the types of its columns, and how many decimals were printed, are known only when all rows were seen. Memory holds
    one block, of an Arrow file one record batch, of an .npz in Fortran's order the array. Without `max_bytes`
    there is no limit of 16 GiB, for nothing of that size is made.

    Counts in messages and notes are those of the block. Ids are compared within a block.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from calibkit import scan
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", labels=[1, 0, 1], probs=[0.83, 0.27, 0.64])
    ...     [block.labels.tolist() for block in scan(f"{folder}/net.npz", block_rows=2)]
    [[1, 0], [1]]
    """
    return watched_scan(path, lambda _: None, block_rows=block_rows, **reading)


def watched_scan(
    path: AnyPath, watch: Callable[[Callable[[int], float]], None], *, block_rows: int | None = None, **reading: Any
) -> Generator[Predictions]:
    """The same; `watch` is given a function that tells from the rows so far which share of the file that is."""
    if block_rows is not None:
        check_int(block_rows, option="block_rows", low=1)
    return _blocks(path, requested(**reading), block_rows, watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the values of some roles are read from."""

    path: str
    contents: Contents
    found: Mapping[Role, Found]
    question: Question

    def entries(self) -> dict[str, Entry]:
        """The entries that will be read, by name."""
        entries = {name: self.contents.entry(name) for place in self.found.values() for name in place.names}
        return {name: entry for name, entry in entries.items() if entry is not None}

    def arrays(self, values: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Values by role."""
        return by_role(self.contents, self.found, self.question, values)

    def stream(self, block_rows: int, look: Look | None = None) -> Batches:
        """Arrays by role, in blocks of so many rows."""
        batches = self.contents.stream(wanted_of(self.contents, self.found, self.question), block_rows, look)
        return (self.arrays(values) for values in regrouped(batches, block_rows))

    def empty(self) -> dict[str, AnyArray]:
        """Arrays by role of a file without rows."""
        return self.arrays(self.contents.read(wanted_of(self.contents, self.found, self.question)))


def _blocks(
    path: AnyPath, request: Request, block_rows: int | None, watch: Callable[[Callable[[int], float]], None]
) -> Generator[Predictions]:
    """Open what is to be read, and make Predictions of its blocks."""
    with ExitStack() as files:
        options: dict[str, Any] = {"max_bytes": request.max_bytes, "by_block": True}
        source, contents = files.enter_context(open_contents(path, **options))
        reading = chosen(source, contents, request.question)
        drawn = drawn_from(source, contents, reading)
        watch(_share(source, contents, reading))
        places = [_Place(path=source.shown, contents=contents, found=reading.found, question=request.question)]
        if request.labels_file is not None:
            elsewhere, key = path_and_key(request.labels_file)
            source, contents = files.enter_context(open_contents(elsewhere, **options))
            found = labels_place(source, contents, key)
            places.append(_Place(path=source.shown, contents=contents, found=found, question=Question(keys={})))
        _check_known_shapes(places, drawn, request)
        yield from _made(places, reading, drawn, request, block_rows or _likely_rows(places))


def _share(source: Source, contents: Contents, reading: Reading) -> Callable[[int], float]:
    """How far a number of rows is through a file: by its rows where they are known, else by its bytes."""
    names = [name for place in reading.found.values() for name in place.names]
    lengths = [entry.shape[0] for name in names if (entry := contents.entry(name)) is not None and entry.shape]
    n_rows = lengths[0] if lengths else None
    if n_rows:
        return lambda rows: rows / n_rows

    def share(_: int) -> float:
        """Bytes read; of a file that was closed, or that another thread is closing, all."""
        try:
            return source.file.tell() / source.size
        except (ValueError, OSError):
            return 1.0

    return share


def _made(
    places: list[_Place], reading: Reading, drawn: Drawn, request: Request, block_rows: int
) -> Iterator[Predictions]:
    """Predictions of every block."""
    digits, contents, first_row, weighty = PrintedDigits(), places[0].contents, 0, False

    def look(values: Mapping[str, AnyArray]) -> None:
        """Take the digits of printed probabilities."""
        for name in reading.found["probs"].names:
            add_digits(digits, values[name])

    def predictions(arrays: Mapping[str, AnyArray]) -> Predictions:
        """Predictions of one block."""
        tolerance = sum_tolerance(contents, reading, arrays, digits, log_probs=request.log_probs)
        with counting_from(first_row):
            return built(replace(drawn, arrays=arrays, sum_tolerance=tolerance), request)

    streams = [places[0].stream(block_rows, look if needs_digits(contents, reading) else None)]
    streams += [place.stream(block_rows) for place in places[1:]]
    for arrays in _side_by_side(streams, places):
        yield predictions(arrays)
        first_row += len(next(iter(arrays.values())))
        weighty = weighty or "weights" not in arrays or bool(np.any(arrays["weights"]))
    if first_row == 0:
        if all(size is not None for place in places for entry in place.entries().values() for size in entry.shape[1:]):
            yield predictions({role: values for place in places for role, values in place.empty().items()})
    elif not weighty:
        with naming_path(drawn, None):
            refuse_zero_weights("weights", first_row, Rows())


def _side_by_side(streams: list[Batches], places: list[_Place]) -> Batches:
    """The same rows of every file, whose numbers of rows must be the same."""
    counts = [0] * len(streams)
    while True:
        blocks = [next(stream, {}) for stream in streams]
        lengths = [len(next(iter(block.values()))) if block else 0 for block in blocks]
        counts = [count + length for count, length in zip(counts, lengths, strict=True)]
        if len({*lengths}) > 1:
            for number, stream in enumerate(streams):
                counts[number] += sum(len(next(iter(block.values()))) for block in stream)
            raise ShapeError(
                f"{places[0].path} has {counts[0]:,} rows but {places[1].path}, from which the labels are read, has "
                f"{counts[1]:,}; expected one entry per row in both."
            )
        if not lengths[0]:
            return
        yield {role: values for block in blocks for role, values in block.items()}


def _check_known_shapes(places: list[_Place], drawn: Drawn, request: Request) -> None:
    """Raise for shapes that do not fit, where they are known before anything is read."""
    entries = {name: entry for place in reversed(places) for name, entry in place.entries().items()}
    if any(size is None for entry in entries.values() for size in entry.shape):
        return
    shapes: dict[str, AnyArray] = {}
    for place in reversed(places):  # labels first
        for role, found in place.found.items():
            first = _of_shape(entries[found.names[0]])
            matrix = found.matrix and first.ndim == 1
            shapes[role] = np.broadcast_to(first[:, None], (len(first), len(found.names))) if matrix else first
    drawn = dressed(replace(drawn, arrays=shapes), request)
    with naming_path(drawn, None):
        check_shapes({role: read_column(values, role, Rows()) for role, values in drawn.arrays.items()}, Rows())


def _of_shape(entry: Entry) -> AnyArray:
    """An array of an entry's shape that takes no room."""
    return np.broadcast_to(np.zeros(()), [size or 0 for size in entry.shape])


def _likely_rows(places: list[_Place]) -> int:
    """Rows that take about `BLOCK_BYTES`."""
    entries = [entry for place in places for entry in place.entries().values()]
    ragged = any(place.contents.table and place.question.ragged for place in places)
    if any(size is None or ragged for entry in entries for size in entry.shape[1:]):
        return LIST_ROWS
    row_bytes = sum(math.prod(size or 0 for size in entry.shape[1:]) * item_size(entry) for entry in entries)
    return max(1, min(MOST_ROWS, BLOCK_BYTES // max(1, row_bytes)))
