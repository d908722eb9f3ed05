"""Documents as Markdown, for pasting into an issue, a pull request or a paper's draft. Floor 4."""

import re
from collections.abc import Iterable

from calibkit.render.document import Block, Document, Heading, Passage, Table

# Underscores within words and brackets that begin no link are text already: numbers stay readable.
_ACTIVE = re.compile(r"[\\`*{}<>|~#&$]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[])|^\[(?=[^\]]*\]:)|^[-+](?=\s)")


def document_markdown(document: Document) -> str:
    """A document as Markdown; text is escaped, so that a model's name is never markup or a link."""
    return "\n\n".join(_block(block) for block in document) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading():
            detail = f": {escape(block.detail)}" if block.detail else ""
            return f"**{escape(block.title)}**{detail}"
        case Table():
            return _table(block)
        case Passage():
            return _passage(block)


def _passage(block: Passage) -> str:
    items = [escape(item) for item in block.items]
    label = f"**{block.label}:**" if block.loud else f"{block.label}:"
    if len(items) == 1:
        return f"{label} {items[0]}"
    return "\n".join((label, "", *(f"- {item}" for item in items)))


def _table(table: Table) -> str:
    rule = ("--:" if align == "r" else ":--" for align in table.align)
    rows = (table.header, *table.rows)
    header, *body = (_row(escape(" ".join(cell.split())) for cell in row) for row in rows)
    return "\n".join((header, _row(rule), *body))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    r"""Text that Markdown shows as it is.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    str
        With a backslash before every character that Markdown or HTML would act on.

    Examples
    --------
    >>> print(escape("resnet_50 *new* [0.1, 0.2]"))
    resnet_50 \*new\* [0.1, 0.2]
    """
    return _ACTIVE.sub(r"\\\g<0>", text)
