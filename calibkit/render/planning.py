"""A plan as text: what takes how many rows, and what that rests on. Floor 4."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from calibkit.render.document import Block, Document, Heading, Table
from calibkit.render.layout import bins_phrase, sentences
from calibkit.render.numbers import format_number, format_percent
from calibkit.render.tables import Result, title
from calibkit.render.terminal import document_text, print_document

if TYPE_CHECKING:
    from rich.console import Console

_ASKED = {
    "detection": "{metric} of {size} is detected",
    "width": "interval of {metric} is ±{size} or less",
    "difference": "difference of {size} in {metric} is detected",
}
_SHOWN = {
    "detection": "least {metric} that is detected",
    "width": "half-width of the interval of {metric}",
    "difference": "least difference in {metric} that is detected",
}


def plan_document(result: Result) -> Document:
    """A plan: its table, what it assumes, the conventions, the notes."""
    given = result["rows"]
    power = f"power {format_percent(result['power'])}"
    heading = (
        Heading(title="Rows that a test set needs", detail=power)
        if given is None
        else Heading(title=f"What {given:,} rows can show", detail=power)
    )
    return heading, _needed(result) if given is None else _possible(result), *_passages(result)


def _needed(result: Result) -> Table:
    rows = tuple(
        (
            _words(_ASKED, line, result),
            f"{line['rows']:,}",
            "-" if line["power"] is None else f"{100 * line['power']:.0f}%",
            f"±{format_number(line['half_width'], digits=3)}",
        )
        for line in result["lines"]
    )
    return Table(header=("so that", "rows", "power", "interval"), rows=rows, align="lrrl")


def _possible(result: Result) -> Table:
    rows = tuple((_words(_SHOWN, line, result), format_number(line["size"], digits=3)) for line in result["lines"])
    return Table(header=("what", "size"), rows=rows, align="ll")


def _words(words: dict[str, str], line: Result, result: Result) -> str:
    name = title(line["metric"], result["settings"]["view"])
    return words[line["question"]].format(metric=name, size=f"{float(line['size'] or 0):g}")


def _passages(result: Result) -> Iterator[Block]:
    settings = result["settings"]
    conventions = (
        f"{settings['view']} view; {bins_phrase(settings)}; {format_percent(settings['confidence_level'])} intervals; "
        f"differences are on the same rows; seed {settings['seed']}."
    )
    yield from sentences("Assumed", result["assumptions"])
    yield from sentences("Conventions", [conventions])
    yield from sentences("Notes", result["notes"])


def plan_text(result: Result, *, width: int | None = None) -> str:
    """A plan as plain text: the table, what is assumed, the conventions, the notes.

    Parameters
    ----------
    result : mapping
        `Plan.to_dict()`.
    width : int, optional
        Columns; 80 by default.

    Returns
    -------
    str
        Lines without colour or trailing spaces.

    Examples
    --------
    >>> settings = {"view": "top-label", "n_bins": 15, "binning": "uniform", "edges": "right",
    ...             "confidence_level": 0.95, "seed": 0}
    >>> line = {"question": "width", "metric": "nll", "size": 0.02, "rows": 5000, "power": None, "half_width": 0.0199}
    >>> result = {"rows": None, "power": 0.8, "settings": settings, "lines": [line], "assumptions": ["A."], "notes": []}
    >>> print(plan_text(result).splitlines()[3])
    interval of NLL is ±0.02 or less  5,000      -  ±0.0199
    """
    return document_text(plan_document(result), width=width)


def print_plan(result: Result, console: "Console") -> None:
    """Write a plan to a console.

    Parameters
    ----------
    result : mapping
        `Plan.to_dict()`.
    console : rich.console.Console
        Decides about width and colour; NO_COLOR is respected.

    Examples
    --------
    >>> from rich.console import Console
    >>> settings = {"view": "top-label", "n_bins": 15, "binning": "uniform", "edges": "right",
    ...             "confidence_level": 0.95, "seed": 0}
    >>> result = {"rows": None, "power": 0.8, "settings": settings, "lines": [], "assumptions": ["A."], "notes": []}
    >>> print_plan(result, Console(color_system=None, width=80))
    Rows that a test set needs: power 80%
    ...
    """
    print_document(plan_document(result), console)
