"""The verbs of this room: a result's dictionary to text, Markdown, or a console. Floor 4."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from calibkit.render.document import Document
from calibkit.render.layout import comparison_document, evaluation_document, evaluations_document
from calibkit.render.markdown import document_markdown
from calibkit.render.planning import plan_document
from calibkit.render.recipes import recipes_document
from calibkit.render.tables import Result
from calibkit.render.terminal import document_text, print_document

if TYPE_CHECKING:
    from rich.console import Console

_DOCUMENT_OF: Mapping[str, Callable[[Any], Document]] = MappingProxyType(
    {
        "calibkit.evaluation": evaluation_document,
        "calibkit.evaluations": lambda result: evaluations_document(result["evaluations"]),
        "calibkit.comparison": comparison_document,
        "calibkit.plan": plan_document,
        "calibkit.recipes": recipes_document,
    }
)


def evaluation_text(result: Result, *, width: int | None = None) -> str:
    """One evaluation as plain text: a table of metrics, the verdict, the conventions, the notes.

    Parameters
    ----------
    result : mapping
        `Evaluation.to_dict()`.
    width : int, optional
        Columns; 80 by default.

    Returns
    -------
    str
        Lines without colour or trailing spaces.

    Examples
    --------
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right", "confidence_level": 0.95}
    >>> result = {"name": "hard", "n": 250, "n_classes": 10, "view": "top-label", "settings": settings,
    ...           "metrics": {"accuracy": {"value": 0.932, "low": 0.894, "high": 0.957}}}
    >>> print(evaluation_text(result))
    hard: 250 rows, 10 classes, top-label view
    <BLANKLINE>
    metric     value  95% interval      how to read it
    accuracy  0.9320  [0.8940, 0.9570]  higher is better
    <BLANKLINE>
    Conventions: 15 equal-width bins (lo, hi]; ECE is the l1 norm.
    """
    return document_text(evaluation_document(result), width=width)


def evaluations_text(results: Sequence[Result], *, width: int | None = None) -> str:
    """Several evaluations as plain text, side by side.

    Parameters
    ----------
    results : sequence of mapping
        Dictionaries of evaluations.
    width : int, optional
        Columns; 80 by default. What does not fit follows below.

    Returns
    -------
    str
        Lines without colour or trailing spaces.

    Examples
    --------
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right", "confidence_level": None}
    >>> size = {"n": 250, "n_classes": 10, "view": "top-label", "settings": settings}
    >>> hard = {"name": "hard", "metrics": {"nll": {"value": 0.236, "low": None, "high": None}}} | size
    >>> smooth = {"name": "smooth", "metrics": {"nll": {"value": 0.175, "low": None, "high": None}}} | size
    >>> print(evaluations_text([hard, smooth]))
    2 evaluations: each of its own rows
    <BLANKLINE>
    metric  hard       smooth
    rows    250        250
    view    top-label  top-label
    NLL     0.2360     0.1750
    <BLANKLINE>
    Conventions: 15 equal-width bins (lo, hi]; ECE is the l1 norm; NLL in nats.
    """
    return document_text(evaluations_document(results), width=width)


def comparison_text(result: Result, *, width: int | None = None) -> str:
    """A comparison as plain text: metrics as saved and scaled, differences, verdict, conventions, notes.

    Parameters
    ----------
    result : mapping
        `Comparison.to_dict()`.
    width : int, optional
        Columns; 80 by default.

    Returns
    -------
    str
        Lines without colour or trailing spaces.

    Examples
    --------
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right", "confidence_level": 0.95}
    >>> model = {"name": "hard", "n": 250, "n_classes": 10, "view": "top-label", "settings": settings,
    ...          "metrics": {"nll": {"value": 0.236, "low": 0.19, "high": 0.28}}}
    >>> change = {"nll": {"value": -0.061, "low": -0.09, "high": -0.03, "p_value": 0.0002}}
    >>> models = {"hard": model, "smooth": model}
    >>> result = {"reference": "hard", "models": models, "differences": {"smooth": change}}
    >>> print(comparison_text(result).splitlines()[-3])
    NLL       -0.06100  [-0.09000, -0.03000]  < 0.001
    """
    return document_text(comparison_document(result), width=width)


def print_evaluations(results: Sequence[Result], console: "Console") -> None:
    """Write several evaluations to a console, side by side.

    Parameters
    ----------
    results : sequence of mapping
        Dictionaries of evaluations.
    console : rich.console.Console
        Decides about width and colour; NO_COLOR is respected.

    Examples
    --------
    >>> from rich.console import Console
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right"}
    >>> result = {"name": "hard", "n": 250, "n_classes": 10, "view": "top-label", "settings": settings,
    ...           "metrics": {"nll": {"value": 0.236, "low": None, "high": None}}}
    >>> print_evaluations([result, result | {"name": "smooth"}], Console(color_system=None, width=80))
    2 evaluations: each of its own rows
    ...
    """
    print_document(evaluations_document(results), console)


def print_comparison(result: Result, console: "Console") -> None:
    """Write a comparison to a console.

    Parameters
    ----------
    result : mapping
        `Comparison.to_dict()`.
    console : rich.console.Console
        Decides about width and colour; NO_COLOR is respected.

    Examples
    --------
    >>> from rich.console import Console
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right"}
    >>> model = {"name": "hard", "n": 250, "n_classes": 10, "view": "top-label", "settings": settings,
    ...          "metrics": {"nll": {"value": 0.236, "low": None, "high": None}}}
    >>> result = {"reference": "hard", "models": {"hard": model, "smooth": model}, "differences": {}}
    >>> print_comparison(result, Console(color_system=None, width=80))
    Comparison of 2 models on the same rows: 250 rows, 10 classes, top-label view
    ...
    """
    print_document(comparison_document(result), console)


def markdown(result: Result) -> str:
    """Any result as Markdown.

    Parameters
    ----------
    result : mapping
        Dictionary of an evaluation, of several (schema ``calibkit.evaluations/1``), of a comparison, of
        recipes or of a plan.

    Returns
    -------
    str
        Tables and lists; text from outside is escaped.

    Examples
    --------
    >>> settings = {"n_bins": 15, "binning": "uniform", "edges": "right"}
    >>> result = {"schema": "calibkit.evaluation/1", "name": "hard", "n": 250, "n_classes": 10,
    ...           "view": "top-label", "settings": settings,
    ...           "metrics": {"nll": {"value": 0.236, "low": None, "high": None}}}
    >>> print(markdown(result))
    **hard**: 250 rows, 10 classes, top-label view
    <BLANKLINE>
    | metric | value | how to read it |
    | :-- | --: | :-- |
    | NLL | 0.2360 | nats, lower is better |
    <BLANKLINE>
    Conventions: 15 equal-width bins (lo, hi]; ECE is the l1 norm; NLL in nats.
    <BLANKLINE>
    """
    return document_markdown(_DOCUMENT_OF[result["schema"].partition("/")[0]](result))
