"""Which blocks say what a file holds: dictionaries of `FileContents` in, documents out. Floor 4."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from calibkit.render.document import Document, Heading, Passage, Table
from calibkit.render.names import SENTENCE_LENGTH, sanitise
from calibkit.render.terminal import print_document

if TYPE_CHECKING:
    from rich.console import Console


def contents_document(contents: Mapping[str, Any]) -> Document:
    """A file's arrays or columns, and what would be read from them, or why nothing would."""
    rows = tuple(
        (sanitise(entry["name"]), _shape(entry["shape"]), entry["dtype"], entry["role"] or "-")
        for entry in contents["entries"]
    )
    reading, problem = contents["reading"], contents["problem"]
    blocks: list[Any] = [
        Heading(title=sanitise(contents["path"]), detail=contents["format"]),
        Table(header=("name", "shape", "type", "read as"), rows=rows, align="llll"),
        Passage(label="Would be read", items=(sanitise(reading, limit=SENTENCE_LENGTH),)),
    ]
    if problem is not None and problem != reading:
        blocks.append(Passage(label="Why not", items=(sanitise(problem, limit=SENTENCE_LENGTH),), loud=True))
    if contents.get("splits"):
        splits = ", ".join(f"--split {sanitise(split)}" for split in contents["splits"])
        blocks.append(Passage(label="Other splits", items=(splits,)))
    return tuple(blocks)


def print_contents(contents: Mapping[str, Any], console: "Console") -> None:
    """Write what a file holds to a console.

    Parameters
    ----------
    contents : mapping
        `FileContents.to_dict()`.
    console : rich.console.Console
        Decides about width and colour; NO_COLOR is respected.

    Examples
    --------
    >>> from rich.console import Console
    >>> entries = [{"name": "logits", "shape": [9, 3], "dtype": "float32", "role": "logits"}]
    >>> contents = {"path": "a.npz", "format": "npz", "entries": entries, "reading": "logits", "problem": None}
    >>> print_contents(contents, Console(color_system=None, width=80))
    a.npz: npz
    <BLANKLINE>
    name    shape   type     read as
    logits  (9, 3)  float32  logits
    <BLANKLINE>
    Would be read: logits
    """
    print_document(contents_document(contents), console)


def _shape(shape: list[int | None]) -> str:
    sizes = ", ".join("?" if size is None else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"
