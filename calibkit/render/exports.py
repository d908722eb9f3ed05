"""Results for machines: strict JSON, and the per-bin table as CSV. Floor 4."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from calibkit.render.names import sanitise

BIN_COLUMNS = (
    "name",
    "view",
    "low_edge",
    "high_edge",
    "count",
    "confidence",
    "accuracy",
    "gap",
    "accuracy_low",
    "accuracy_high",
)


def to_json(result: Mapping[str, Any]) -> str:
    r"""A result's dictionary as strict JSON.

    Parameters
    ----------
    result : mapping
        From ``to_dict()``; non-finite numbers are strings there already.

    Returns
    -------
    str
        ASCII (other characters are escaped), indented by two, keys in their given order.

    Raises
    ------
    ValueError
        If a number is not finite: such a file would not be valid JSON.

    Examples
    --------
    >>> print(to_json({"name": "Zoë", "nll": "inf"}))
    {
      "name": "Zo\u00eb",
      "nll": "inf"
    }
    """
    return json.dumps(result, allow_nan=False, indent=2)


def bin_table_csv(results: Sequence[Mapping[str, Any]]) -> str:
    """The bins of one or several evaluations as CSV, one line a bin.

    Parameters
    ----------
    results : sequence of mapping
        Dictionaries of evaluations.

    Returns
    -------
    str
        A header and the bins in order, numbers in full precision. In empty bins the count is 0 and the other
        cells are empty. The view is that of the reliability curve; gap is confidence - accuracy. A name that
        a spreadsheet would run as a formula has ``'`` before it.

    References
    ----------
    OWASP, "CSV injection": cells that begin with ``=``, ``+``, ``-``, ``@``, tab or carriage return.

    Examples
    --------
    >>> curve = {"view": "top-label", "edges": [0.0, 0.5, 1.0], "count": [0, 8], "confidence": [None, 0.75],
    ...          "accuracy": [None, 0.5], "low": [None, 0.25], "high": [None, 0.75]}
    >>> print(bin_table_csv([{"name": "=hard", "reliability": curve}]))
    name,view,low_edge,high_edge,count,confidence,accuracy,gap,accuracy_low,accuracy_high
    '=hard,top-label,0.0,0.5,0,,,,,
    '=hard,top-label,0.5,1.0,8,0.75,0.5,0.25,0.25,0.75
    <BLANKLINE>
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(BIN_COLUMNS)
    for result in results:
        writer.writerows(_bin_rows(_cell_name(result["name"]), result["reliability"]))
    return stream.getvalue()


def _cell_name(name: str) -> str:
    """A name that no spreadsheet runs."""
    prefix = "'" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else ""
    return prefix + sanitise(name)


def _bin_rows(name: str, curve: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    edges, count = curve["edges"], curve["count"]
    absent = [None] * len(count)
    low, high = (curve[key] if curve[key] is not None else absent for key in ("low", "high"))
    for number, (confidence, accuracy) in enumerate(zip(curve["confidence"], curve["accuracy"], strict=True)):
        gap = None if confidence is None else confidence - accuracy
        numbers = (confidence, accuracy, gap, low[number], high[number])
        yield name, curve["view"], edges[number], edges[number + 1], count[number], *numbers
