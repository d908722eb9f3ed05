"""A comparison of recipes as text: means over runs, differences, and whose luck they rest on. Floor 4."""

from collections.abc import Iterator, Mapping
from typing import Any

from calibkit.render.document import Block, Document, Heading, Table
from calibkit.render.layout import bins_phrase, sentences
from calibkit.render.names import sanitise
from calibkit.render.numbers import format_interval, format_number, format_p, format_percent
from calibkit.render.tables import Result, estimate_parts, title
from calibkit.render.terminal import document_text


def recipes_text(result: Result, *, width: int | None = None) -> str:
    """A comparison of recipes as plain text.

    Parameters
    ----------
    result : mapping
        `RecipeComparison.to_dict()`.
    width : int, optional
        Columns; 80 by default.

    Returns
    -------
    str
        Lines without colour or trailing spaces.

    Examples
    --------
    >>> nll = {"value": 0.2, "low": 0.18, "high": 0.22, "between_seeds": 0.004, "within_test_set": 0.009}
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right", "confidence_level": 0.95}
    >>> result = {"reference": "hard", "n": 250, "view": "top-label", "runs": {"hard": 5}, "settings": settings,
    ...           "recipes": {"hard": {"nll": nll}}, "differences": {}, "verdict": [], "notes": []}
    >>> print(recipes_text(result).splitlines()[3])
    NLL     0.2000 [0.1800, 0.2200]
    """
    return document_text(recipes_document(result), width=width)


def recipes_document(result: Result) -> Document:
    """Means over runs, each difference with its two standard errors, the verdict, the notes."""
    several = len(result["recipes"]) > 1
    heading = f"Comparison of {len(result['recipes'])} recipes on the same rows" if several else "Runs on the same rows"
    return (
        Heading(title=heading, detail=f"{result['n']:,} rows, {result['view']} view"),
        _means(result),
        *_differences(result),
        *sentences("Verdict", result["verdict"], loud=True),
        *sentences("Conventions", _conventions(result["settings"])),
        *sentences("Notes", result["notes"]),
    )


def _means(result: Result) -> Table:
    """Mean over runs and interval, a column a recipe."""
    recipes: Mapping[str, Any] = result["recipes"]
    metrics = list(dict.fromkeys(metric for found in recipes.values() for metric in found))
    rows = [
        (
            title(metric, result["view"]),
            *(
                " ".join(estimate_parts(found.get(metric), signed=metric == "gap")).rstrip()
                for found in recipes.values()
            ),
        )
        for metric in metrics
    ]
    names = (f"{sanitise(name)} ({result['runs'][name]} runs)" for name in recipes)
    return Table(header=("metric", *names), rows=tuple(rows), align="l" * (1 + len(recipes)))


def _differences(result: Result) -> Iterator[Block]:
    level = result["settings"]["confidence_level"]
    for name, found in result["differences"].items():
        yield Heading(title="Difference", detail=f"{sanitise(name)} - {sanitise(result['reference'])}", level=2)
        adjusted = any(difference["adjusted_p_value"] is not None for difference in found.values())
        tests = () if level is None else (f"{format_percent(level)} interval", "Holm p" if adjusted else "p")
        rows = tuple(_difference(metric, difference, result, adjusted=adjusted) for metric, difference in found.items())
        header = ("metric", "difference", *tests, "se, seeds", "se, rows")
        yield Table(header=header, rows=rows, align="lr" + "l" * len(tests) + "ll")


def _difference(metric: str, difference: Result, result: Result, *, adjusted: bool) -> tuple[str, ...]:
    cells = [title(metric, result["view"]), format_number(difference["value"], signed=True)]
    if result["settings"]["confidence_level"] is not None:
        p_value = difference["adjusted_p_value" if adjusted else "p_value"]
        cells.append(format_interval(difference["low"], difference["high"], signed=True))
        cells.append(format_p(p_value).removeprefix("= "))
    luck = (difference[key] for key in ("between_seeds", "within_test_set"))
    return (*cells, *(format_number(error, digits=2) for error in luck))


def _conventions(settings: Result) -> tuple[str, ...]:
    return (
        f"{bins_phrase(settings)}; means over runs; intervals for new runs and new rows; se: standard errors from "
        "seeds and from test rows.",
    )
