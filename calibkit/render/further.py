"""What was asked for beyond the standard table: metrics and tests by the question that they answer. Floor 4."""

from collections.abc import Iterator, Sequence

from calibkit.metrics import METRICS, QUESTIONS, TESTS
from calibkit.render.document import Block, Heading, Passage, Table
from calibkit.render.numbers import format_number, format_p
from calibkit.render.tables import Columns, Result, estimate_parts, held, on_request, reading, title

_CHANCE = (
    "what a calibrated model with these forecasts would show: its mean, its 95th percentile, and how often it would "
    "show as much (p). To be read beside the value, not subtracted from it."
)


def further_blocks(columns: Columns) -> Iterator[Block]:
    """A second table, of one model with a reading, of several in their own columns; and the questions."""
    results = [result for _, result in columns]
    by_question = _by_question(results)
    if not by_question:
        return
    single = len(results) == 1
    header = ("value", "how to read it") if single else tuple(name for name, _ in columns)
    cells = _cells if single else _cell
    rows: list[tuple[str, ...]] = []
    for kind, names in by_question.items():
        rows.append((kind, *("" for _ in header)))
        rows += [(f"- {_title(name, results[0])}", *(c for r in results for c in cells(r, name))) for name in names]
    yield Heading(title="Beyond the table", level=2)
    yield Table(header=("metric", *header), rows=tuple(rows), align="lrl" if single else "l" * (1 + len(header)))
    yield Passage(label="Which answers what", items=tuple(f"{kind}: {QUESTIONS[kind]}?" for kind in by_question))
    if single and results[0].get("by_chance"):
        yield Passage(label="Chance", items=(_CHANCE,))


def _by_question(results: Sequence[Result]) -> dict[str, list[str]]:
    """Names of metrics and tests, by kind; empty where the standard table is all."""
    by_question: dict[str, list[str]] = {}
    drawn = {name for result in results for name in result.get("by_chance", {})}
    for metric in held(results):
        if on_request(metric) or metric in drawn:
            by_question.setdefault(METRICS[metric].kind, []).append(metric)
    tests = list(dict.fromkeys(test for result in results for test in result.get("tests", {})))
    return {**by_question, "test": tests} if tests else by_question


def _title(name: str, result: Result) -> str:
    return TESTS[name].title if name in TESTS else title(name, result["view"])


def _cells(result: Result, name: str) -> tuple[str, ...]:
    """Value, and what a calibrated model would show or how to read it."""
    if name in result.get("tests", {}):
        test = result["tests"][name]
        return format_number(test["statistic"]), f"{_scale(test)}p {format_p(test['p_value'])}"
    (value, interval), chance = estimate_parts(result["metrics"][name]), result.get("by_chance", {}).get(name)
    if chance is None:
        return value, ", ".join(part for part in (interval, reading(name, result["view"])) if part)
    mean, p95 = (format_number(chance[key], digits=3) for key in ("mean", "p95"))  # to fit in 80 columns
    return value, f"chance {mean}, 95% {p95}, p {format_p(chance['p_value'])}"


def _cell(result: Result, name: str) -> tuple[str, ...]:
    """Value, with the p-value where there is one."""
    if name in result.get("tests", {}):
        value, tested = format_number(result["tests"][name]["statistic"]), result["tests"][name]
    elif name in result["metrics"]:
        tested = result.get("by_chance", {}).get(name)
        parts = estimate_parts(result["metrics"][name])
        # A test takes the place of the interval; two models with every interval would not fit in 80 columns.
        short = tested is not None or METRICS[name].error_kernel is not None
        value = parts[0] if short else " ".join(parts).rstrip()
    else:
        return ("not defined",)
    return (value if tested is None else f"{value} (p {format_p(tested['p_value'])})",)


def _scale(test: Result) -> str:
    """The statistic in a unit that says whether it is much."""
    if test["statistic_over_sigma"] is not None:
        return f"{format_number(test['statistic_over_sigma'])} sigma, "
    freedom = test["degrees_of_freedom"]
    return "" if freedom is None else f"chi-square, {float(freedom):.0f} df, "
