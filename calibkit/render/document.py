"""What a rendered result is made of, before any terminal or markup: headings, tables, passages. Floor 4."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A title with a quieter detail after it.

    Attributes
    ----------
    title : str
        What this is about.
    detail : str
        Size, view and the like; may be empty.
    level : int
        1 for the whole, 2 for a part.
    """

    title: str
    detail: str = ""
    level: Literal[1, 2] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells of text; the first column names the rows and is repeated where a wide table is cut.

    Attributes
    ----------
    header : tuple of str
        One per column; may hold line breaks.
    rows : tuple of tuple of str
        Cells.
    align : str
        One letter per column, "l" or "r".
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A label with one or more sentences or items under it.

    Attributes
    ----------
    label : str
        "Verdict", "Conventions", "Notes".
    items : tuple of str
        One item is a paragraph, several are a list.
    loud : bool
        Whether this is what the reader came for.
    """

    label: str
    items: tuple[str, ...]
    loud: bool = False


Block = Heading | Table | Passage
Document = tuple[Block, ...]
