"""Documents on a terminal, or as the same text without colour. Floor 4."""

from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

from calibkit.render.document import Document, Heading, Passage, Table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 80
_SEPARATOR = 2


def print_document(document: Document, console: "Console") -> None:
    """Write a document to a console; rich decides about colour (NO_COLOR, pipes) and gives the width."""
    for number, block in enumerate(document):
        if number > 0:
            console.print()
        for part in _renderables(block, console.width):
            # Names may look like markup, emoji codes or numbers to highlight: they are text.
            console.print(part, markup=False, emoji=False, highlight=False)


def document_text(document: Document, *, width: int | None = None) -> str:
    """A document as plain text of at most so many columns (80 by default), without trailing spaces."""
    from rich.console import Console

    stream = StringIO()
    console = Console(
        file=stream,
        width=PLAIN_WIDTH if width is None else width,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
    )
    print_document(document, console)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _renderables(block: Heading | Table | Passage, width: int) -> Iterator["RenderableType"]:
    match block:
        case Heading():
            yield _heading(block)
        case Table():
            for number, part in enumerate(_cut(block, width)):
                if number > 0:
                    yield ""
                yield _table(part)
        case Passage():
            yield _passage(block)


def _heading(block: Heading) -> "RenderableType":
    from rich.text import Text

    detail = f": {block.detail}" if block.detail else ""
    return Text.assemble((block.title, "bold cyan" if block.level == 1 else "bold"), detail)


def _passage(block: Passage) -> "RenderableType":
    """A paragraph after its label, or a list under it, with hanging indents."""
    from rich.console import Group
    from rich.table import Table as Grid
    from rich.text import Text

    label, style = (f"{block.label}:", "bold" if block.loud else "dim")
    text_style = "bold" if block.loud else ""
    if len(block.items) == 1:
        return Text.assemble((label, style), " ", (block.items[0], text_style))
    grid = Grid.grid(padding=(0, 1, 0, 0))
    for item in block.items:
        grid.add_row("-", Text(item, style=text_style, overflow="fold"))
    return Group(Text(label, style=style), grid)


def _table(table: Table) -> "RenderableType":
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, padding=(0, _SEPARATOR, 0, 0), pad_edge=False, header_style="dim")
    for title, align in zip(table.header, table.align, strict=True):
        grid.add_column(Text(title), justify="right" if align == "r" else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def _cut(table: Table, width: int) -> Iterator[Table]:
    """A table as several, each narrow enough, with the first column repeated."""
    # Headers may wrap, so a long model name does not push its neighbour away.
    sizes = [max((_width(row[column]) for row in table.rows), default=0) for column in range(len(table.header))]
    start = 1
    while start < len(table.header):
        end, used = start + 1, sizes[0] + _SEPARATOR + sizes[start]
        while end < len(table.header) and used + _SEPARATOR + sizes[end] <= width:
            used += _SEPARATOR + sizes[end]
            end += 1
        columns = [0, *range(start, end)]
        yield Table(
            header=tuple(table.header[column] for column in columns),
            rows=tuple(tuple(row[column] for column in columns) for row in table.rows),
            align="".join(table.align[column] for column in columns),
        )
        start = end


def _width(text: str) -> int:
    """Columns that a text takes; wide letters take two."""
    from rich.cells import cell_len

    return cell_len(text)
