"""What a file holds, and what `load` would make of it: shapes and names, no values where the format allows. Floor 2."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibkit.errors import CalibkitError
from calibkit.files.building import asked
from calibkit.files.contents import Contents, Entry, Shape, folded, shown
from calibkit.files.formats import open_contents
from calibkit.files.names import FORECASTS, NEEDS, Found, Question, Reading, choose, splits
from calibkit.files.scanning import LIST_ROWS
from calibkit.files.source import AnyPath, Source

MOST_LISTS = 4  # columns of lists that are read where it is not clear which is the forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    """A forecast in lists: how many rows, and values of the shortest and of the longest."""

    n: int
    fewest: int
    most: int

    def __str__(self) -> str:
        return f"{self.most} choices" if self.fewest == self.most else f"{self.fewest} to {self.most} choices"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContents:
    """What a file holds and what would be read from it.

    Attributes
    ----------
    path, format : str
        The file and the format it begins as.
    entries : tuple of Entry
        Its arrays or columns with shapes, types and roles; numbered columns of one kind are one entry.
    n : int or None
        Number of rows that would be read; None if nothing would.
    reading : str
        What would be read, in words; "nothing" if `problem` says why.
    problem : str or None
        The error that `load` would raise before it looks at values, or at lists that are not all of one length; None
        if there is none.
    splits : tuple of str
        What `split` may be.

    Examples
    --------
    >>> contents = FileContents(path="a.npz", format="npz", entries=(), reading="nothing", n=None, problem="empty")
    >>> contents.to_dict()["problem"]
    'empty'
    """

    path: str
    format: str
    entries: tuple[Entry, ...]
    reading: str
    n: int | None
    problem: str | None
    splits: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: the attributes, an entry as an object of name, shape, dtype and role."""
        entries = [{"name": e.name, "shape": list(e.shape), "dtype": e.dtype, "role": e.role} for e in self.entries]
        return {
            "path": self.path,
            "format": self.format,
            "entries": entries,
            "reading": self.reading,
            "n": self.n,
            "problem": self.problem,
            "splits": list(self.splits),
        }


def inspect(
    path: AnyPath,
    *,
    split: str | None = None,
    labels_file: str | None = None,
    label_base: int = 0,
    max_bytes: int | None = None,
    **options: Any,
) -> FileContents:
    """Show what a file holds and what would be read from it.

    Parameters
    ----------
    path : path-like
        As for `load`.
    split, labels_file, label_base, max_bytes, **options
        As for `load`; options that only concern values are left aside.

    Returns
    -------
    FileContents
        Names, shapes and types; arrays are not read. Of CSV, JSON lines and Arrow files one column is read, to count
        the rows; a column of lists, to see whether they are all of one length.

    Raises
    ------
    InputFormatError
        If the file cannot be read at all. A file in which it is not clear what is what is no error here.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from calibkit import inspect
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", labels=[2, 0], logits=[[0.1, -1.2, 2.3], [0.4, 1.9, -0.7]], epoch=7)
    ...     inspect(f"{folder}/net.npz").reading
    'logits of 2 rows and 3 classes from logits; labels from labels'
    """
    keys, ragged = {key: value for key, value in options.items() if key in NEEDS}, bool(options.get("ragged"))
    question = asked(
        keys, split=split, label_base=label_base, labels_file=labels_file, max_bytes=max_bytes, ragged=ragged
    )
    with open_contents(path, max_bytes=max_bytes) as (source, contents):
        there = splits(contents, Question(keys={}))
        try:
            reading = choose(contents, question, where=source.shown)
        except CalibkitError as error:
            return _unreadable(source, contents, there, str(error), ragged=ragged)
        lists = _lists(contents, _forecast(reading).names[0])
        n = lists.n if lists else _count(contents, reading)
    problem = None
    if lists and lists.fewest < lists.most and not ragged:
        problem = (
            f"{source.shown}: the lists of {shown(_forecast(reading).names[0])} hold {lists}: ragged rows, "
            "of questions with unlike numbers of choices. They are read by ragged=True."
        )
    ragged = ragged or "n_choices" in reading.found
    return FileContents(
        path=source.shown,
        format=contents.format,
        entries=folded(_told(contents, reading, n, lists)),
        reading="nothing" if problem else _in_words(contents, reading, n, lists, ragged=ragged),
        n=None if problem else n,
        problem=problem,
        splits=there,
    )


def _lists(contents: Contents, name: str) -> _Lists | None:
    """What the lists of an entry hold, where no type says that all have one length."""
    entry = contents.entry(name)
    fixed = contents.format != "jsonl" and entry is not None and None not in entry.shape[1:]
    if not contents.table or entry is None or len(entry.shape) < 2 or fixed:
        return None
    n, fewest, most = 0, None, 0
    try:
        for batch in contents.stream({entry.name: "choices"}, LIST_ROWS, None):
            lengths = [len(row) for row in np.ma.compressed(batch[entry.name])]
            n += len(batch[entry.name])
            most = max(most, *lengths, 0)
            fewest = min(lengths + ([] if fewest is None else [fewest]), default=None)
    except CalibkitError:  # said when it is read
        return None
    return _Lists(n=n, fewest=fewest or 0, most=most)


def _unreadable(
    source: Source, contents: Contents, there: tuple[str, ...], problem: str, *, ragged: bool
) -> FileContents:
    """A file of which it is not clear what is what; lists of unlike lengths are told all the same."""
    entries = contents.entries
    for name in [entry.name for entry in entries if len(entry.shape) == 2][:MOST_LISTS]:
        lists = _lists(contents, name)
        if lists and lists.fewest < lists.most:
            entries = tuple(replace(entry, shape=(lists.n, None)) if entry.name == name else entry for entry in entries)
            if not ragged:
                problem += f" The lists of {shown(name)} hold {lists}: such rows are read by ragged=True."
    return FileContents(
        path=source.shown,
        format=contents.format,
        entries=folded(entries),
        reading="nothing",
        n=None,
        problem=problem,
        splits=there,
    )


def _told(contents: Contents, reading: Reading, n: int, lists: _Lists | None) -> tuple[Entry, ...]:
    """Entries with what they would be read as, and the rows of a table once they are counted."""
    roles = {name: role for role, found in reading.found.items() for name in found.names}
    widths = {} if lists is None else {_forecast(reading).names[0]: lists.most if lists.fewest == lists.most else None}

    def shape(entry: Entry) -> Shape:
        if not contents.table:
            return entry.shape
        return (n, widths[entry.name]) if entry.name in widths else (n, *entry.shape[1:])

    return tuple(replace(entry, role=roles.get(entry.name), shape=shape(entry)) for entry in contents.entries)


def _forecast(reading: Reading) -> Found:
    """Where the numbers stand that are judged."""
    return reading.found[FORECASTS[reading.kind][-1]]


def _count(contents: Contents, reading: Reading) -> int:
    """Number of rows: from the shape, else by reading one column."""
    entry = contents.entry(_forecast(reading).names[0])
    if entry is not None and entry.shape and entry.shape[0] is not None:
        return entry.shape[0]
    role = next(iter(reading.found))
    name = reading.found[role].names[0]
    return len(contents.read({name: NEEDS[role]})[name])


def _in_words(contents: Contents, reading: Reading, n: int, lists: _Lists | None, *, ragged: bool) -> str:
    """Say what would be read from where."""
    found = _forecast(reading)
    entry = contents.entry(found.names[0])
    k = len(found.names) if len(found.names) > 1 else entry.shape[1] if entry and len(entry.shape) > 1 else None
    k = lists.most if lists else k
    one_d = {"logits": " (log-odds of class 1)", "probs": " (P(y = 1))"}.get(reading.kind, "")
    classes = f" and {k} classes" if k else "" if found.matrix else one_d
    if ragged and k:
        classes = f" of {lists}" if lists else f" of up to {k} choices"
    first = f"{reading.kind} of {n:,} rows{classes} from {_places(found)}"
    others = {role: place for role, place in reading.found.items() if place is not found}
    return "; ".join([first, *(f"{role} from {_places(place)}" for role, place in others.items())])


def _places(found: Found) -> str:
    """Names of columns, in short."""
    first, last = shown(found.names[0]), shown(found.names[-1])
    return first if first == last else f"{first} .. {last}"
