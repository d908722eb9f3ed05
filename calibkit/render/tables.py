"""The tables of a result: metrics of one or several models, and differences. Floor 4."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calibkit.metrics import METRICS, QUESTIONS
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
        if _on_request(metric):
            continue
        signed = metric == "gap"
        cells = [_title(metric, result["view"]), format_number(estimate["value"], signed=signed)]
        if interval is not None:
            cells.append(format_interval(estimate["low"], estimate["high"], signed=signed))
        rows.append((*cells, _reading(metric, result["view"])))
    middle = () if interval is None else (interval,)
    header = ("metric", "value", *middle, "how to read it")
    return Table(header=header, rows=tuple(rows), align="lr" + "l" * (len(header) - 2))


def side_by_side(columns: Columns, *, sizes: bool = False, first_row: Sequence[str] | None = None) -> Table:
    """One column a model, value and interval in each cell."""
    results = [result for _, result in columns]
    metrics = [metric for metric in _held(results) if not _on_request(metric)]
    rows: list[tuple[str, ...]] = []
    if sizes:
        rows.append(("rows", *(f"{result['n']:,}" for result in results)))
        rows.append(("view", *(result["view"] for result in results)))
    if first_row is not None:
        rows.append(("temperature", *first_row))
    cells = [_estimate_cells(result, metrics) for result in results]
    titles = [_title(metric, results[0]["view"]) for metric in metrics]
    rows += [(title, *(column[row] for column in cells)) for row, title in enumerate(titles)]
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


def further_table(columns: Columns) -> Table | None:
    """Metrics on request by the question that they answer, with what a calibrated model would show; None without any.

    Of one model in a column beside it, of several in the models' own columns.
    """
    results = [result for _, result in columns]
    by_kind: dict[str, list[str]] = {}
    for metric in _held(results):
        if _on_request(metric):
            by_kind.setdefault(METRICS[metric].kind, []).append(metric)
    if not by_kind:
        return None
    cells = _further_cells if len(results) == 1 else _further_cell
    header = ("value", "how to read it") if len(results) == 1 else tuple(name for name, _ in columns)
    rows: list[tuple[str, ...]] = []
    for kind, metrics in by_kind.items():
        rows.append((kind, *("" for _ in header)))
        rows += [
            (f"- {_title(metric, results[0]['view'])}", *(c for r in results for c in cells(r, metric)))
            for metric in metrics
        ]
    align = "lrl" if len(results) == 1 else "l" * (1 + len(header))
    return Table(header=("metric", *header), rows=tuple(rows), align=align)


def questions(results: Sequence[Result]) -> tuple[str, ...]:
    """Which of the metrics on request answers which question, a line each."""
    asked = {METRICS[metric].kind for metric in _held(results) if _on_request(metric)}
    return tuple(f"{kind}: {question}?" for kind, question in QUESTIONS.items() if kind in asked)


def _further_cells(result: Result, metric: str) -> tuple[str, ...]:
    """Value, and what a calibrated model would show or how to read it."""
    value, chance = format_number(result["metrics"][metric]["value"]), result["by_chance"].get(metric)
    if chance is None:
        return value, _reading(metric, result["view"])
    mean, p95 = format_number(chance["mean"]), format_number(chance["p95"])
    return value, f"calibrated: {mean} (95%: {p95}), p {format_p(chance['p_value'])}"


def _further_cell(result: Result, metric: str) -> tuple[str, ...]:
    """Value, with the p-value where chance alone makes it large."""
    if metric not in result["metrics"]:
        return ("not defined",)
    value, chance = format_number(result["metrics"][metric]["value"]), result["by_chance"].get(metric)
    return (value if chance is None else f"{value} (p {format_p(chance['p_value'])})",)


def _held(results: Sequence[Result]) -> list[str]:
    """Every metric of these results, in the order of the registry."""
    return list(dict.fromkeys(metric for result in results for metric in result["metrics"]))


def _on_request(metric: str) -> bool:
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
            rows.append((_title(metric, view), *cells))
            continue
        rows.append((_title(metric, view), "as saved", *cells))
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


def _title(metric: str, view: str) -> str:
    known = METRICS.get(metric)
    if known is None:
        return sanitise(metric)
    return known.positive_title if view == "positive" and known.positive_title else known.title


def _reading(metric: str, view: str) -> str:
    known = METRICS.get(metric)
    if known is None:
        return ""
    return known.positive_reading if view == "positive" and known.positive_reading else known.reading
