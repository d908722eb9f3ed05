"""Coverage of every interval that calibkit prints, on worlds whose truth is known.

``python -m benchmarks.coverage`` prints Markdown tables; ``--repetitions`` sets how long it takes. Entries are
coverages in % of nominal 95 % intervals, and in brackets their mean widths, for the sample sizes in the heading.
Samples that have no interval (groups that hold most rows, or too few misses; two models that agree on every row) do
not count: "given" is the share that has one, "-" stands where none has.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.samples import (
    LEVEL,
    Sample,
    bracket_sample,
    brier,
    gap_sample,
    grouped_bracket_sample,
    grouped_mean_sample,
    log_score,
    mean_sample,
    paired_sample,
    paired_t_sample,
    whisker_sample,
    wilson_sample,
)
from benchmarks.worlds import (
    POSITIVE,
    SAID,
    SATURATED,
    TOP_LABEL,
    World,
    certain_world,
    forecasts,
    make_world,
    second_opinion,
)

SIZES = (300, 1_000, 10_000)
# Small files are where misses are few.
CERTAIN_SIZES = (20, 50, 100, 300, 1_000, 10_000)
GROUPS = (10, 30, 200)
BINS = (5, 15, 50)
ERRORS = (0.0, 0.01, 0.03, 0.10)


@dataclass(slots=True)
class Cell:
    """What became of one cell's intervals and p-values."""

    name: str
    truth: float
    hits: int = 0
    n: int = 0
    drawn: int = 0
    width: float = 0.0
    rejections: int = 0

    def run(self, sample: Sample, repetitions: int, rng: np.random.Generator) -> "Cell":
        """Draw intervals (low, high, p-value) and count."""
        self.drawn = repetitions
        for _ in range(repetitions):
            low, high, p_value = sample(rng)
            if low is None or high is None:
                continue
            self.n += 1
            self.hits += low <= self.truth <= high
            self.width += high - low
            self.rejections += p_value is not None and p_value <= 1 - LEVEL
        return self

    @property
    def coverage(self) -> float:
        """Share of the intervals that hold the truth."""
        return self.hits / self.n

    @property
    def rejected(self) -> float:
        """Share of the p-values at or below 5 %."""
        return self.rejections / self.n


@dataclass(slots=True)
class Report:
    """Every cell of a run, for the tables and for the list of the worst."""

    repetitions: int
    seed: int
    cells: list[Cell] = field(default_factory=list)

    def cell(self, name: str, truth: float, sample: Sample) -> Cell:
        """Simulate a cell and keep it; its draws depend on its name, not on the cells before it."""
        rng = np.random.default_rng([self.seed, crc32(name.encode())])
        self.cells.append(Cell(name, truth).run(sample, self.repetitions, rng))
        return self.cells[-1]

    def worst(self, number: int) -> list[Cell]:
        """The cells of lowest coverage, of those that gave an interval to at least half of their samples."""
        given = [cell for cell in self.cells if cell.n >= cell.drawn / 2]
        return sorted(given, key=lambda cell: cell.coverage)[:number]


def entry(cells: list[Cell]) -> str:
    """One table entry: coverages and widths over the sample sizes."""
    coverages = " ".join(f"{100 * cell.coverage:.1f}" if cell.n else "-" for cell in cells)
    widths = " ".join(f"{cell.width / cell.n:.3f}".lstrip("0") if cell.n else "-" for cell in cells)
    given = f"; given {' '.join(f'{100 * cell.n / cell.drawn:.0f}' for cell in cells)}"
    return f"{coverages} ({widths})" + (given if any(cell.n < cell.drawn for cell in cells) else "")


def rejections(cells: list[Cell]) -> str:
    """How often each p-value was at most 5 %, in %."""
    return " ".join(f"{100 * cell.rejected:.1f}" if cell.n else "-" for cell in cells)


def print_table(title: str, head: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> None:
    """Print a Markdown table, line by line as it is simulated."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


# Tables ---------------------------------------------------------------------------------------------------------------


def bracket_lines(report: Report, kinds: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """ECE of one model; the size of the chance test beside the calibrated worlds."""
    for kind, n_bins, shape in product(kinds, BINS, ("one sign", "alternating", "one bin")):
        entries = []
        for error in ERRORS:
            world = make_world(forecasts(kind), shape, error, n_bins)
            if world is None or (error == 0 and shape != "one sign"):
                entries.append("")
                continue
            name = f"bracket, {kind}, {n_bins} bins, {shape}, ECE {error}"
            cells = [report.cell(f"{name}, n = {n}", world.error, bracket_sample(world, n)) for n in SIZES]
            entries.append(entry(cells) + (f"; size {rejections(cells)}" if error == 0 else ""))
        yield kind, str(n_bins), shape, *entries


PAIRS = (
    (("one sign", 0.0), ("one sign", 0.0)),
    (("one sign", 0.01), ("one sign", 0.0)),
    (("one sign", 0.03), ("one sign", 0.03)),
    (("one sign", 0.03), ("alternating", 0.03)),
    (("one bin", 0.03), ("alternating", 0.03)),
    (("one bin", 0.03), ("one sign", 0.0)),
    (("one sign", 0.10), ("one sign", 0.03)),
    (("one sign", 0.10), ("alternating", 0.10)),
)


def paired_lines(report: Report) -> Iterator[tuple[str, ...]]:
    """Difference of two models' ECE."""
    kinds = (*TOP_LABEL, "positive, balanced")
    for (kind, n_bins), (one, other) in product([(k, 15) for k in kinds] + [(TOP_LABEL[0], b) for b in (5, 50)], PAIRS):
        confidence = forecasts(kind)
        first = make_world(confidence, *one, n_bins)
        second = make_world(second_opinion(confidence), *other, n_bins)
        if first is None or second is None:
            continue
        names = [f"{shape} {error:g}" for shape, error in (one, other)]
        title = f"paired bracket, {kind}, {n_bins} bins, {names[0]} - {names[1]}"
        truth = first.error - second.error
        cells = [report.cell(f"{title}, n = {n}", truth, paired_sample(first, second, n)) for n in SIZES]
        yield kind, str(n_bins), *names, entry(cells), rejections(cells)


def certain_lines(report: Report) -> Iterator[tuple[str, ...]]:
    """ECE of forecasts near 0 and 1, whose misses are rare or absent in a sample."""
    for kind in (*SATURATED, *SAID):
        world = certain_world(kind)
        cells = [report.cell(f"bracket, {kind}, n = {n}", world.error, bracket_sample(world, n)) for n in CERTAIN_SIZES]
        truth = float(np.mean(world.confidence - world.accuracy))
        gaps = [report.cell(f"gap, {kind}, n = {n}", truth, gap_sample(world, n)) for n in CERTAIN_SIZES]
        yield kind, f"{world.error:.4f}", entry(cells), entry(gaps)


def certain_pair_lines(report: Report) -> Iterator[tuple[str, ...]]:
    """Difference of ECE of such forecasts."""
    pairs = (
        ("saturated network, accuracy .99", "saturated network, accuracy .99"),
        ("saturated network, accuracy .99", "saturated network, calibrated"),
        ("saturated network, accuracy .99", "saturated network, accuracy .999"),
        ("1.0, accuracy .98", "1.0, all right"),
        ("1.0, accuracy .98", ".98, accuracy .95"),
        ("1.0/.99/.9, accuracy .98/.96/.9", "1.0/.99/.9, calibrated"),
        ("1.0/.99/.9, accuracy .98/.96/.9", "1.0/.99/.9, accuracy .98/.96/.9"),
        (".95/.8/.6, accuracy 1/.99/.9", "1.0/.99/.9, accuracy .9/.8/.7"),
    )
    for pair in pairs:
        first, second = (certain_world(name) for name in pair)
        truth = first.error - second.error
        title = f"paired bracket, {pair[0]} - {pair[1]}"
        cells = [report.cell(f"{title}, n = {n}", truth, paired_sample(first, second, n)) for n in CERTAIN_SIZES]
        yield *pair, entry(cells), rejections(cells)


def mean_lines(report: Report) -> Iterator[tuple[str, ...]]:
    """Means, fractions and paired differences of independent rows."""
    for kind in (TOP_LABEL[0], TOP_LABEL[2], "positive, balanced", "positive, rare"):
        confidence = forecasts(kind)
        world, other = make_world(confidence, "one sign", 0.01), make_world(second_opinion(confidence), "one sign", 0.0)
        assert world is not None
        assert other is not None
        for name, score in (("NLL", log_score), ("Brier", brier)):
            truth, difference = world.mean(score), world.mean(score) - other.mean(score)
            samples: dict[str, tuple[float, Callable[..., Sample]]] = {
                f"t, {name}": (truth, partial(mean_sample, world, score=score)),
                f"t, {name}, random weights": (truth, partial(mean_sample, world, score=score, weighted=True)),
                f"paired t, {name}": (difference, partial(paired_t_sample, world, other, score=score)),
            }
            if name == "NLL":
                samples["Wilson, accuracy"] = (float(world.accuracy.mean()), partial(wilson_sample, world))
            for method, (value, make) in samples.items():
                cells = [report.cell(f"{method}, {kind}, n = {n}", value, make(n=n)) for n in SIZES]
                yield kind, method, entry(cells)


def group_lines(report: Report) -> Iterator[tuple[str, ...]]:
    """Dependent rows: 10, 30 and 200 groups that are luckier or unluckier than their forecasts."""
    for kind, equal, error in product((TOP_LABEL[0], "positive, balanced"), (True, False), (0.0, 0.03, 0.10)):
        world = make_world(forecasts(kind), "one sign", error)
        assert world is not None
        sizes = "equal" if equal else "Pareto"
        yield kind, sizes, f"{error:g}", *group_entries(report, world, f"{kind}, {sizes}, ECE {error:g}", equal=equal)


def whole_group_lines(report: Report) -> Iterator[tuple[str, ...]]:
    """Dependent rows whose groups fail as a whole."""
    worlds = {
        f"{kind}, ECE {error:g}": make_world(forecasts(kind), "one sign", error)
        for kind, error in product((TOP_LABEL[0], "positive, balanced"), (0.0, 0.10))
    }
    worlds |= {name: certain_world(name) for name in ("saturated network, accuracy .99", ".98, accuracy .95")}
    for (name, world), shared in product(worlds.items(), (1.0, 0.5)):
        assert world is not None
        title = f"{name}, {shared:.0%} shared"
        yield name, f"{shared:.0%}", *group_entries(report, world, title, equal=True, shared=shared)


def group_entries(
    report: Report, world: World, title: str, *, equal: bool, shared: float | None = None
) -> Iterator[str]:
    """Bracket, whiskers and a mean."""
    options: dict[str, Any] = {"equal": equal, "shared": shared}
    for name, truth, make in (
        ("grouped bracket", world.error, grouped_bracket_sample),
        ("grouped whiskers", 0.0, whisker_sample),
        ("grouped t, Brier", world.mean(brier), grouped_mean_sample),
    ):
        cells = [report.cell(f"{name}, {title}, G = {g}", truth, make(world, 2_000, g, **options)) for g in GROUPS]
        yield entry(cells)


def tables(report: Report) -> Iterator[tuple[str, tuple[str, ...], Iterator[tuple[str, ...]]]]:
    """Title, columns and lines of every table."""
    many = " / ".join(f"{n:,}" for n in CERTAIN_SIZES)
    groups = tuple(f"{name}, G = {' / '.join(map(str, GROUPS))}" for name in ("bracket", "whisker of a bin", "Brier"))
    columns: tuple[str, ...] = ("forecasts", "bins", "gaps", *(f"ECE {e:g}" for e in ERRORS))
    yield "ECE: bracket, and size of the chance test at 5 %", columns, bracket_lines(report, TOP_LABEL + POSITIVE)
    columns = ("forecasts", "true ECE", f"bracket, n = {many}", "gap, the same n")
    yield "ECE of forecasts near 0 and 1, whose misses are few or none", columns, certain_lines(report)
    columns = ("forecasts", "bins", "model", "reference", "coverage", "p <= .05, %")
    yield "Difference of ECE: paired bracket", columns, paired_lines(report)
    columns = ("model", "reference", f"coverage, n = {many}", "p <= .05, %")
    yield "Difference of ECE of forecasts near 0 and 1", columns, certain_pair_lines(report)
    yield "Means, fractions, paired means", ("forecasts", "interval", "coverage"), mean_lines(report)
    yield "Dependent rows: 2,000 in G groups", ("forecasts", "sizes", "ECE", *groups), group_lines(report)
    title = "Dependent rows whose groups fail as a whole: 2,000 in G equal groups"
    yield title, ("forecasts", "shared luck", *groups), whole_group_lines(report)


def main() -> None:
    """Simulate, print every table, then the worst cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200, help="samples a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", default="", help="a part of a title: only tables whose title holds it")
    options = parser.parse_args()
    report = Report(options.repetitions, options.seed)
    start = time.perf_counter()
    error = 100 * (LEVEL * (1 - LEVEL) / report.repetitions) ** 0.5
    sizes = " / ".join(f"{n:,}" for n in SIZES)
    print(f"{report.repetitions} samples a cell, standard error {error:.1f} points; n = {sizes} unless said otherwise")
    for title, columns, lines in tables(report):
        if options.tables in title:
            print_table(title, columns, lines)
    print(f"\n### The 15 lowest of {len(report.cells)} coverages\n")
    for cell in report.worst(15):
        print(f"- {100 * cell.coverage:.1f} %: {cell.name}")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
