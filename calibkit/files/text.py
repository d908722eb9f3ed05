"""CSV: one header line, one delimiter, every cell present; faults are named by line and column. Floor 2."""

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from typing import Any, NoReturn

import numpy as np

from calibkit.errors import CalibkitError, InputFormatError
from calibkit.files.arrow import pyarrow_or_hint
from calibkit.files.contents import COLUMN, AnyArray, Batches, Contents, Entry, Look, Need, Wanted, shown
from calibkit.files.source import Source
from calibkit.files.stepping import joined

LONGEST_LINE = 1 << 28
SMALLEST_BLOCK = 1 << 22
MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """Column names, the delimiter, and where the rows begin."""

    names: tuple[str, ...]
    delimiter: str
    offset: int


def csv_contents(source: Source) -> Contents:
    """The columns of a CSV file, as text until they are wanted."""
    header = _header(source)

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the columns that are wanted; text is converted at the end."""
        with _telling_lines(source, header):
            batches = [*_cells(source, header, wanted)]
            kinds = _Kinds(wanted)
            for batch in batches:
                kinds.narrow(batch)
            converted = [kinds.converted(batch) for batch in batches]
            return {name: joined([batch[name] for batch in converted]) for name in wanted}

    def stream(wanted: Wanted, _: int, look: Look | None) -> Batches:
        """Read the columns that are wanted twice: what all cells of a column are is known when all were seen."""
        with _telling_lines(source, header):
            kinds = _Kinds(wanted)
            first = {name: need for name, need in wanted.items() if look is not None or need != "number"}
            for batch in _cells(source, header, first):
                kinds.narrow(batch)
                if look is not None:
                    look({name: batch[name] for name in first if wanted[name] == "number"})
            for batch in _cells(source, header, wanted):
                yield kinds.converted(batch)

    entries = tuple(Entry(name=name, shape=(None,), dtype=COLUMN) for name in header.names if name)
    return Contents(format="csv", entries=entries, read=read, stream=stream, table=True, printed=True)


@contextmanager
def _telling_lines(source: Source, header: _Header) -> Iterator[None]:
    """Look for the line at fault where the reader fails, whose own messages have none."""
    source.check_bytes(source.size, what="the text")
    _check_quotes(source, header)
    try:
        yield
    except CalibkitError:
        raise
    except Exception as error:
        _check_encoding(source, header)
        _check_cells(source, header)
        raise error from None


def _header(source: Source) -> _Header:
    """Read the header line, and find the delimiter that splits it most."""
    source.file.seek(0)
    line = source.file.readline(LONGEST_LINE)
    offset = len(line)
    text = _decoded(source, line.removeprefix(MARK)).rstrip("\r\n")
    if "\r" in text:
        raise InputFormatError(f"{source.shown}: its lines end in CR alone; convert them to LF or CRLF")
    delimiter = max(",;\t", key=lambda d: len(_split(text, d)))
    names = tuple(cell.strip() for cell in _split(text, delimiter))
    if not any(names):
        raise InputFormatError(f"{source.shown} line 1: empty; the first line names the columns")
    if all(_is_number(cell) for cell in re.split("[,;\t]", text) if cell):
        raise InputFormatError(
            f"{source.shown} line 1: holds numbers only ({shown(text)}); the first line names the columns, for "
            "example: label,probs_0,probs_1"
        )
    return _Header(names=names, delimiter=delimiter, offset=offset)


def _decoded(source: Source, line: bytes) -> str:
    """The header's text."""
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputFormatError(f"{source.shown}: is UTF-16 text; save it as UTF-8")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputFormatError(f"{source.shown} line 1: byte {error.start} is not UTF-8") from error


def _split(text: str, delimiter: str) -> list[str]:
    """Cells of one line."""
    with _long_fields():
        return next(csv.reader([text], delimiter=delimiter), [])


def _is_number(cell: str) -> bool:
    """Whether a cell reads as a number."""
    return (
        re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|nan|[+-]?inf", cell.strip(), re.I | re.A) is not None
    )


def _cells(source: Source, header: _Header, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The wanted columns block by block: numbers as float64, all else as text."""
    numbers = {name: str(number) for number, name in enumerate(header.names) if name in wanted}
    n_rows = 0
    for batch in _batches(source, header, [*numbers.values()]) if wanted else ():
        cells = {}
        for name, number in numbers.items():
            where = _Cells(source=source, header=header, name=name, first_row=n_rows)
            convert = where.numbers if wanted[name] == "number" else where.text
            cells[name] = convert(batch.column(number))
        n_rows += batch.num_rows
        yield cells


class _Kinds:
    """What the cells of the text columns can be read as, all of them: narrowed block by block."""

    def __init__(self, wanted: Wanted) -> None:
        choices: dict[Need, list[str]] = {"class": ["int64", "float64"], "key": ["int64"]}
        self.wanted = wanted
        self.kinds = {name: choices[need] for name, need in wanted.items() if need != "number"}

    def narrow(self, batch: Mapping[str, Any]) -> None:
        """Keep the kinds that hold every cell of a block too."""
        for name, kinds in self.kinds.items():
            self.kinds[name] = [kind for kind in kinds if _holds(batch[name], kind, exactly=self.wanted[name] == "key")]

    def converted(self, batch: Mapping[str, Any]) -> dict[str, AnyArray]:
        """The columns of a block as arrays."""
        return {name: self._array(name, cells) for name, cells in batch.items()}

    def _array(self, name: str, cells: Any) -> AnyArray:
        """One column: whole numbers or floats where all its cells are, else text."""
        if name not in self.kinds:
            return cells  # type: ignore[no-any-return]
        kinds = self.kinds[name]
        values: AnyArray = (
            cells.cast(kinds[0]).to_numpy(zero_copy_only=False) if kinds else np.array(cells.to_pylist(), dtype=np.str_)
        )
        return values


def _holds(cells: Any, kind: str, *, exactly: bool) -> bool:
    """Whether every cell reads as a number of this kind, and is printed back as it stands."""
    import pyarrow
    from pyarrow import compute

    try:
        values = compute.cast(cells, kind)
    except pyarrow.ArrowInvalid:
        return False
    return not exactly or compute.all(compute.equal(compute.cast(values, "string"), cells)).as_py() is not False


def _batches(source: Source, header: _Header, numbers: list[str]) -> Iterator[Any]:
    """Blocks of rows of text; the columns are called by their numbers, for names may be missing."""
    pyarrow_or_hint(source)
    from pyarrow import csv as arrow_csv
    from pyarrow import string

    source.file.seek(header.offset)
    longest = max(header.offset, len(source.file.readline(LONGEST_LINE)))
    if source.file.seek(header.offset) == source.size:
        return iter(())
    names = [str(number) for number in range(len(header.names))]
    block = max(SMALLEST_BLOCK, 8 * longest)
    return iter(
        arrow_csv.open_csv(
            source.file,
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=block, use_threads=False),
            parse_options=arrow_csv.ParseOptions(
                delimiter=header.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,  # in a single column an empty line is a missing cell
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=numbers, column_types=dict.fromkeys(numbers, string()), null_values=[]
            ),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """One column of one block, and what is needed to say where a cell stands."""

    source: Source
    header: _Header
    name: str
    first_row: int

    def text(self, cells: Any) -> Any:
        """Return the cells without surrounding blanks, none of them empty."""
        from pyarrow import compute

        cells = compute.utf8_trim_whitespace(cells)
        empty = compute.index(cells, value="").as_py()
        if empty >= 0:
            self._refuse(empty, "the cell is empty")
        return cells

    def numbers(self, cells: Any) -> AnyArray:
        """Return the cells as float64; blanks and the decimal comma are looked at only where a cell is no number."""
        from pyarrow import ArrowInvalid, compute, float64

        try:
            values: AnyArray = compute.cast(cells, float64()).to_numpy(zero_copy_only=False)
        except ArrowInvalid:
            plain = self.text(cells)
            if self.header.delimiter != ",":
                plain = compute.replace_substring(plain, pattern=",", replacement=".")
            index = next((index for index, cell in enumerate(plain.to_pylist()) if not _is_float(cell)), None)
            if index is not None:
                self._refuse(index, f"{shown(cells[index].as_py())!r} is not a number")
            values = compute.cast(plain, float64()).to_numpy(zero_copy_only=False)
        return values

    def _refuse(self, index: int, complaint: str) -> NoReturn:
        """Say which cell is at fault, by the line as an editor counts it."""
        line = _line_of(self.source, self.header, self.first_row + index)
        raise InputFormatError(f"{self.source.shown} line {line}, column {shown(self.name)}: {complaint}")


def _is_float(cell: str) -> bool:
    """Whether Arrow reads a cell as a number."""
    from pyarrow import ArrowInvalid, compute, float64, scalar

    try:
        compute.cast(scalar(cell), float64())
    except ArrowInvalid:
        return False
    return True


def _rows(source: Source, header: _Header, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line they end on, by Python's reader, which keeps count; slow, for error messages."""
    source.file.seek(header.offset)
    text = TextIOWrapper(source.file, encoding="utf-8", errors="replace", newline="")
    try:
        reader = csv.reader(text, delimiter=header.delimiter, strict=strict)
        for row in reader:
            if row or len(header.names) == 1:
                yield 1 + reader.line_num, row
    finally:
        text.detach()


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let Python's reader have cells of any length for a while."""
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _line_of(source: Source, header: _Header, row: int) -> int:
    """The line of a row."""
    with _long_fields():
        return next((line for number, (line, _) in enumerate(_rows(source, header)) if number == row), row + 2)


def _check_encoding(source: Source, header: _Header) -> None:
    """Raise for the first line that is not UTF-8."""
    source.file.seek(header.offset)
    for line, text in enumerate(source.file, start=2):
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputFormatError(
                f"{source.shown} line {line}: byte {error.start} of it is not UTF-8; save the file as UTF-8"
            ) from error


def _check_cells(source: Source, header: _Header) -> None:
    """Raise for the first row that has too few or too many cells."""
    expected = len(header.names)
    with _long_fields():
        for line, row in _rows(source, header):
            if len(row) != expected and row:
                raise InputFormatError(
                    f"{source.shown} line {line}: {len(row)} cells; the header names {expected} columns"
                )


def _check_quotes(source: Source, header: _Header) -> None:
    """Raise for a quote that is never closed: all rows after it would be swallowed as one cell."""
    source.file.seek(header.offset)
    chunks = iter(partial(source.file.read, 1 << 24), b"")
    if sum(chunk.count(b'"') for chunk in chunks) % 2 == 0:
        return
    with _long_fields():
        try:
            for _ in _rows(source, header, strict=True):
                pass
        except csv.Error as error:
            raise InputFormatError(f"{source.shown}: a quotation mark is never closed ({error})") from error
