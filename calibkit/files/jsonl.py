"""JSON lines: one object a line, checked line by line, columns grown as compact arrays. Floor 2."""

from array import array
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

import numpy as np

from calibkit.errors import InputFormatError, LimitError
from calibkit.files.contents import AnyArray, Batches, Contents, Entry, Look, Need, Wanted, shown
from calibkit.files.ragged import rows_of
from calibkit.files.source import Source
from calibkit.files.strict_json import strict_json

LONGEST_LINE = 1 << 26
MARK = b"\xef\xbb\xbf"

_WORDS = {int: "a number", float: "a number", bool: "true or false", str: "text", list: "a list", dict: "an object"}


def jsonl_contents(source: Source) -> Contents:
    """The keys of the first line, each a column."""
    first = next(iter(_objects(source)), None)
    if first is None:
        raise InputFormatError(f"{source.shown}: holds blank lines only")

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the keys that are wanted from every line."""
        source.check_bytes(source.size, what="the text")
        return next(_blocks(source, wanted, None))

    def stream(wanted: Wanted, block_rows: int, look: Look | None) -> Batches:
        """Read the keys that are wanted from so many lines at a time."""
        source.check_bytes(source.size, what="the text")
        if look is not None:
            for block in _blocks(source, wanted, block_rows):
                look(block)
        yield from _blocks(source, wanted, block_rows)

    entries = tuple(_entry(name, value) for name, value in first[1].items())
    return Contents(format="jsonl", entries=entries, read=read, stream=stream, table=True, printed=True)


def _blocks(source: Source, wanted: Wanted, block_rows: int | None) -> Batches:
    """Columns of so many lines at a time, the last of them fewer; None: of all lines at once."""
    columns = {name: _Column(source, name, need) for name, need in wanted.items()}
    n_rows = 0
    for n_rows, (line, values) in enumerate(_objects(source), start=1):
        for column in columns.values():
            column.append(line, values)
        if block_rows and n_rows % block_rows == 0:
            yield {name: column.taken() for name, column in columns.items()}
    if not block_rows or n_rows % block_rows:
        yield {name: column.taken() for name, column in columns.items()}


def _entry(name: str, value: object) -> Entry:
    """A key of the first line as a column: a list is a row of a matrix."""
    is_list = isinstance(value, list)
    inner = (len(value),) if isinstance(value, list) else ()
    example = value[0] if isinstance(value, list) and value else value
    dtype = "list" if is_list and not value else _WORDS.get(type(example), "null")
    return Entry(name=name, shape=(None, *inner), dtype=dtype.removeprefix("a "))


def _objects(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects; blank lines are passed over."""
    source.file.seek(0)
    path = source.shown
    for line, text in enumerate(iter(partial(source.file.readline, LONGEST_LINE + 1), b""), start=1):
        if len(text) > LONGEST_LINE:
            raise LimitError(f"{path} line {line}: longer than {LONGEST_LINE:,} bytes")
        plain = text.removeprefix(MARK) if line == 1 else text
        if not plain.strip():
            continue
        try:
            value = strict_json(plain)
        except ValueError as error:
            cut = "" if text.endswith(b"\n") else "; the last line is not complete: is the file truncated?"
            raise InputFormatError(f"{path} line {line}: {shown(str(error))}{cut}") from error
        if not isinstance(value, dict):
            hint = " One array of objects is not JSON lines: write one object a line." if line == 1 else ""
            wanted = 'an object like {"label": 1, ...}'
            raise InputFormatError(f"{path} line {line}: {_word(value)}; expected {wanted}.{hint}")
        yield line, value


class _Column:
    """One key, growing by one value a line; what cannot go with the values before it is refused at once."""

    def __init__(self, source: Source, name: str, need: Need) -> None:
        self.source, self.name, self.need = source, name, need
        self.width: int | None = None  # of lists
        self.lengths = array("q")  # of lists of any lengths
        self.numbers = array("d")
        self.scalars: list[Any] = []
        self.lines = array("q")
        self.kind: str | None = None

    def append(self, line: int, values: dict[str, Any]) -> None:
        """Take this key's value from one line."""
        if self.name not in values:
            self._refuse(line, "is missing")
        value = values[self.name]
        kind = _word(value)
        self.kind = self.kind or kind
        if kind != self.kind or kind in ("null", "an object"):
            self._refuse(line, f"is {kind}" + (f", but {self.kind} before" if kind != self.kind else ""))
        self.lines.append(line)
        if isinstance(value, list):
            self._append_row(line, value)
            return
        if self.need in ("number", "choices") and kind != "a number":
            self._refuse(line, f"is {kind}, not a number")
        self.scalars.append(value)

    def taken(self) -> AnyArray:
        """The values so far as one array; those that follow begin a new one."""
        values = self._finished()
        self.numbers, self.scalars, self.lines, self.lengths = array("d"), [], array("q"), array("q")
        return values

    def _finished(self) -> AnyArray:
        """The values so far as one array."""
        if self.need == "choices" and self.kind == "a list":
            return self._rows()
        if self.width is not None:
            values = np.frombuffer(self.numbers, dtype=np.float64).reshape(-1, self.width)
        else:
            values = np.array(self.scalars, dtype=np.str_ if self.kind == "text" else None)
        if values.dtype == object:  # whole numbers of any length are JSON too
            row = next(row for row, value in enumerate(self.scalars) if not -(2**63) <= value < 2**63)
            self._refuse(self.lines[row], "holds a whole number beyond 64 bits")
        if values.dtype.kind == "f" and not np.isfinite(values).all():  # JSON has no infinity, but it has 1e999
            row = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
            self._refuse(self.lines[row], "holds a number that float64 cannot")
        return values

    def _rows(self) -> AnyArray:
        """The lists so far, each of its own length."""
        values, lengths = np.frombuffer(self.numbers, dtype=np.float64), np.frombuffer(self.lengths, dtype=np.int64)
        infinite = np.flatnonzero(~np.isfinite(values))
        if infinite.size:
            row = int(np.searchsorted(np.cumsum(lengths), infinite[0], side="right"))
            self._refuse(self.lines[row], "holds a number that float64 cannot")
        return rows_of(values, lengths)

    def _append_row(self, line: int, value: list[Any]) -> None:
        """Take a list as the next row of a matrix, or if they may have any length as the next list."""
        ragged = self.need == "choices"
        if ragged:
            self.lengths.append(len(value))
        elif self.width is None:
            self.width = len(value)
        elif len(value) != self.width:
            self._refuse(
                line,
                f"has {len(value)} values; the lines before have {self.width}. Every line needs one a class. Questions "
                "with unlike numbers of choices are read by ragged=True",
            )
        strange = set(map(type, value)) - {int, float}
        if strange or not (value or ragged):
            self._refuse(line, f"holds {_WORDS.get(strange.pop(), 'null') if strange else 'nothing'}, not numbers")
        try:
            self.numbers.extend(value)
        except OverflowError:
            self._refuse(line, "holds a number that float64 cannot")

    def _refuse(self, line: int, complaint: str) -> NoReturn:
        """Say which line is at fault."""
        raise InputFormatError(f"{self.source.shown} line {line}: {shown(self.name)!r} {complaint}.")


def _word(value: object) -> str:
    """Name the kind of a JSON value."""
    return _WORDS.get(type(value), "null")
