"""The tables of a result: metrics of one or several models, and differences. Floor 4."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calibkit.metrics import METRICS
from calibkit.render.document import Table
from calibkit.render.names import sanitise
from calibkit.render.numbers import format_interval, format_number, format_p, format_percent

Result = Mapping[str, Any]
Columns = Sequence[tuple[str, Result]]


def _interval_header(result: Result) -> str | None:
    level = result["settings"].get("confidence_level")
    return None if level is None else f"{format_percent(level)} interval"


def evaluation_table(result: Result) -> Table:
    """Metric, value, interval (where intervals were asked for), and how to read it."""
    interval = _interval_header(result)
    rows = []
    for metric, estimate in result["metrics"].items():
        if on_request(metric):
            continue
        signed = metric == "gap"
        cells = [title(metric, result["view"]), format_number(estimate["value"], signed=signed)]
        if interval is not None:
            cells.append(format_interval(estimate["low"], estimate["high"], signed=signed))
        rows.append((*cells, reading(metric, result["view"])))
    middle = () if interval is None else (interval,)
    header = ("metric", "value", *middle, "how to read it")
    return Table(header=header, rows=tuple(rows), align="lr" + "l" * (len(header) - 2))


def side_by_side(
    columns: Columns, *, sizes: bool = False, compared: bool = False, first_row: Sequence[str] | None = None
) -> Table:
    """One column a model, value and interval in each cell; in a comparison also what that adds to the table."""
    results = [result for _, result in columns]
    metrics = [metric for metric in held(results) if not on_request(metric) or (compared and METRICS[metric].compared)]
    rows: list[tuple[str, ...]] = []
    if sizes:
        rows.append(("rows", *(f"{result['n']:,}" for result in results)))
        rows.append(("view", *(result["view"] for result in results)))
    if first_row is not None:
        rows.append(("temperature", *first_row))
    cells = [_estimate_cells(result, metrics) for result in results]
    titles = [title(metric, results[0]["view"]) for metric in metrics]
    rows += [(name, *(column[row] for column in cells)) for row, name in enumerate(titles)]
    header = ("metric", *(name for name, _ in columns))
    return Table(header=header, rows=tuple(rows), align="l" * len(header))


def _estimate_cells(result: Result, metrics: Iterable[str]) -> list[str]:
    """Value and interval of each metric, the values padded so that the intervals line up."""
    parts = [estimate_parts(result["metrics"].get(metric), signed=metric == "gap") for metric in metrics]
    width = max((len(value) for value, interval in parts if interval), default=0)
    return [f"{value:<{width}} {interval}".rstrip() for value, interval in parts]


def estimate_parts(estimate: Result | None, *, signed: bool = False) -> tuple[str, str]:
    """A value and its interval, the latter empty where there is none."""
    if estimate is None:
        return "not defined", ""
    value = format_number(estimate["value"], signed=signed)
    if estimate.get("low") is None:
        return value, ""
    return value, format_interval(estimate["low"], estimate["high"], signed=signed)


def held(results: Sequence[Result]) -> list[str]:
    """Every metric of these results, in the order of the registry."""
    return list(dict.fromkeys(metric for result in results for metric in result["metrics"]))


def on_request(metric: str) -> bool:
    """Whether a metric is in no standard table."""
    return metric in METRICS and METRICS[metric].on_request


def difference_table(reference: Result, before: Result, after: Result | None) -> Table:
    """Differences from the reference by metric, as saved and, where there are any, scaled."""
    level, view = reference["settings"].get("confidence_level"), reference["view"]
    adjusted = any(difference.get("adjusted_p_value") is not None for difference in before.values())
    tested = "adjusted_p_value" if adjusted else "p_value"
    rows: list[tuple[str, ...]] = []
    for metric, difference in before.items():
        cells = _difference_cells(difference, level, tested)
        if after is None:
            rows.append((title(metric, view), *cells))
            continue
        rows.append((title(metric, view), "as saved", *cells))
        rows.append(("", "scaled", *_difference_cells(after[metric], level, tested)))
    names = ("metric",) if after is None else ("metric", "scores")
    tests = () if level is None else (f"{format_percent(level)} interval", "Holm p" if adjusted else "p")
    align = "l" * len(names) + "r" + "l" * len(tests)
    return Table(header=(*names, "difference", *tests), rows=tuple(rows), align=align)


def _difference_cells(difference: Result, level: float | None, tested: str) -> tuple[str, ...]:
    value = format_number(difference["value"], signed=True)
    if level is None:
        return (value,)
    interval = format_interval(difference["low"], difference["high"], signed=True)
    return value, interval, format_p(difference.get(tested)).removeprefix("= ")


def title(metric: str, view: str) -> str:
    """What a table calls a metric in a view."""
    known = METRICS.get(metric)
    if known is None:
        return sanitise(metric)
    return known.positive_title if view == "positive" and known.positive_title else known.title


def reading(metric: str, view: str) -> str:
    """How to read a metric in a view."""
    known = METRICS.get(metric)
    if known is None:
        return ""
    return known.positive_reading if view == "positive" and known.positive_reading else known.reading
