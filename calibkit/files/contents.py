"""What every format is turned into: named arrays, known by shape and type before any value is read. Floor 2."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from numpy.typing import NDArray

AnyArray = NDArray[Any]
Shape = tuple[int | None, ...]
# key: whole numbers or text, exactly as they stand; class: also 1.0; choices: numbers, or lists of any lengths
Need = Literal["number", "class", "key", "choices"]
Wanted = Mapping[str, Need]
Read = Callable[[Wanted], dict[str, AnyArray]]
Batches = Iterator[dict[str, AnyArray]]
Look = Callable[[dict[str, AnyArray]], None]
Stream = Callable[[Wanted, int, Look | None], Batches]

SHOWN_LENGTH = 200
SHOWN_ENTRIES = 12
COLUMN = "column"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One array of a file, or one column of a table.

    Attributes
    ----------
    name : str
        Its key or column name.
    shape : tuple of int or None
        Its shape; None stands for a length that is not known before the values are read.
    dtype : str
        The type that is stored: ``"float32"``, ``"bfloat16"``, ``"text"``; ``"column"`` of CSV, whose cells get a type
        when they are read.
    role : str or None
        What it would be read as: ``"labels"``, ``"logits"``, ...; None if it would not be read.

    Examples
    --------
    >>> str(Entry(name="logits", shape=(None, 10), dtype="float32"))
    'logits (?, 10) float32'
    """

    name: str
    shape: Shape
    dtype: str
    role: str | None = None

    def __str__(self) -> str:
        if self.dtype == COLUMN and self.shape[0] is None:
            return f"{COLUMN}{'s' if len(self.shape) > 1 else ''} {shown(self.name)}"
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{shown(self.name)} ({sizes}{',' if len(self.shape) == 1 else ''}) {self.dtype}"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A file that is open: its entries, and a way to read some of them.

    ``read`` takes the names that are wanted, each with what its values must be, and reads them in one pass.
    ``stream`` reads them in order, about so many rows at a time, in the types that ``read`` gives; of printed numbers
    it shows the batches of a first pass to its last argument, if there is one. ``sole`` is the other name of the one
    array of a file that holds no names. ``printed`` says that numbers are decimal text, ``header`` is what calibkit
    wrote beside the arrays.
    """

    format: str
    entries: tuple[Entry, ...]
    read: Read
    stream: Stream
    sole: str | None = None
    table: bool = False
    printed: bool = False
    header: Mapping[str, Any] | None = None

    def entry(self, name: str) -> Entry | None:
        """Return the entry of that name, if there is one."""
        if name == self.sole and self.entries:
            return self.entries[0]
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        """The entries by their names: a table may have a column for each of 100,000 classes."""
        return {entry.name: entry for entry in reversed(self.entries)}  # of two of a name the first


def shown(text: str) -> str:
    """Text of a file, harmless in a message: control characters as U+XXXX, at most 200 characters."""
    cut = text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 1]}…"
    return "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in cut)


def folded(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries with runs of numbered columns written as one: ``logits_0 .. logits_9``.

    Examples
    --------
    >>> columns = [Entry(name=f"p_{j}", shape=(5,), dtype="double") for j in range(3)]
    >>> [str(entry) for entry in folded(columns)]
    ['p_0 .. p_2 (5, 3) double']
    """
    runs: list[list[Entry]] = []
    for entry in entries:
        if runs and _continues(runs[-1][-1], entry):
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return tuple(_merged(run) for run in runs)


def described(entries: Sequence[Entry]) -> str:
    """Say in one line what a file holds."""
    parts = [str(entry) for entry in folded(entries)]
    more = len(parts) - SHOWN_ENTRIES
    listed = "; ".join(parts[:SHOWN_ENTRIES])
    return f"{listed}; and {more:,} more" if more > 0 else listed or "nothing"


def _continues(before: Entry, entry: Entry) -> bool:
    """Whether a column's number is the next one under the same prefix."""
    (prefix, number), (next_prefix, next_number) = _numbered(before.name), _numbered(entry.name)
    alike = (before.shape, before.dtype, before.role) == (entry.shape, entry.dtype, entry.role)
    return alike and len(entry.shape) == 1 and prefix == next_prefix and number >= 0 and next_number == number + 1


def _numbered(name: str) -> tuple[str, int]:
    """Split a column name into prefix and number; -1 without one."""
    match = re.fullmatch(r"(.*_)(\d{1,9})", name, flags=re.ASCII | re.DOTALL)
    return (match[1], int(match[2])) if match else (name, -1)


def _merged(run: Sequence[Entry]) -> Entry:
    """One entry for a run of columns."""
    first, last = run[0], run[-1]
    if first is last:
        return first
    name = f"{first.name} .. {last.name}"
    return Entry(name=name, shape=(*first.shape, len(run)), dtype=first.dtype, role=first.role)
