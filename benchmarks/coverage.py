"""Coverage of every interval that calibkit prints, on worlds whose truth is known.

``python -m benchmarks.coverage`` prints Markdown tables; ``--repetitions`` sets how long it takes. Entries are
coverages in % of nominal 95 % intervals, and in brackets their mean widths, for the sample sizes in the heading.
Samples that are refused an interval (one group that holds most of the rows) do not count.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.worlds import (
    POPULATION,
    POSITIVE,
    TOP_LABEL,
    Floats,
    Rows,
    World,
    dependent_sample,
    forecasts,
    group_sizes,
    make_world,
    second_opinion,
)
from calibkit.bracket import bracket_interval, chance, paired_bracket
from calibkit.intervals import mean_interval, paired_t, wilson_interval

LEVEL = 0.95
SIZES = (300, 1_000, 10_000)
BINS = (5, 15, 50)
ERRORS = (0.0, 0.01, 0.03, 0.10)
# Enough to place a p-value on the right side of 2.5 %, which is all that the bracket asks.
NULL_DRAWS = 200

Sample = Callable[[np.random.Generator], tuple[float | None, float | None, float | None]]


@dataclass(slots=True)
class Cell:
    """What became of one cell's intervals and p-values."""

    name: str
    truth: float
    hits: int = 0
    n: int = 0
    width: float = 0.0
    rejections: int = 0

    def run(self, sample: Sample, repetitions: int, rng: np.random.Generator) -> "Cell":
        """Draw intervals (low, high, p-value) and count."""
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
    rng: np.random.Generator
    cells: list[Cell] = field(default_factory=list)

    def cell(self, name: str, truth: float, sample: Sample) -> Cell:
        """Simulate a cell and keep it."""
        self.cells.append(Cell(name, truth).run(sample, self.repetitions, self.rng))
        return self.cells[-1]

    def worst(self, number: int) -> list[Cell]:
        """The cells of lowest coverage."""
        return sorted(self.cells, key=lambda cell: cell.coverage)[:number]


def entry(cells: list[Cell]) -> str:
    """One table entry: coverages and widths over the sample sizes."""
    coverages = " ".join(f"{100 * cell.coverage:.1f}" for cell in cells)
    return f"{coverages} ({' '.join(f'{cell.width / cell.n:.3f}'.lstrip('0') for cell in cells)})"


def print_table(title: str, head: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> None:
    """Print a Markdown table, line by line as it is simulated."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


# One sample of each interval ------------------------------------------------------------------------------------------


def draw(world: World, n: int, rng: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """Independent rows and their outcomes."""
    rows = rng.integers(POPULATION, size=n)
    return rows, rng.random(n) < world.accuracy[rows]


def bracket_sample(world: World, n: int) -> Sample:
    """The bracket interval, and the p-value of the chance test."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, float]:
        table = world.table(*draw(world, n, rng))
        null = chance(table, rng=rng, n_draws=NULL_DRAWS)
        low, high, _ = bracket_interval(table, level=LEVEL, chance=null)
        return low, high, null.p_value

    return sample


def grouped_bracket_sample(world: World, n: int, n_groups: int, *, equal: bool) -> Sample:
    """The bracket interval of dependent rows."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        rows = world.binned(*dependent_sample(world, group_sizes(n_groups, n, rng, equal=equal), rng))
        null = chance(rows.table, rng=rng, n_draws=NULL_DRAWS)
        low, high, _ = bracket_interval(rows, level=LEVEL, chance=null)
        return low, high, None

    return sample


def paired_outcomes(first: World, second: World, n: int, rng: np.random.Generator) -> tuple[Rows, Any, Any]:
    """The same rows judged by two models that share most of their luck."""
    rows, luck = rng.integers(POPULATION, size=n), rng.random(n)
    other = np.where(rng.random(n) < 0.8, luck, rng.random(n))
    return rows, luck < first.accuracy[rows], other < second.accuracy[rows]


def paired_sample(first: World, second: World, n: int) -> Sample:
    """The paired bracket."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, float | None]:
        rows, right, other = paired_outcomes(first, second, n, rng)
        found = paired_bracket(first.binned(rows, right), second.binned(rows, other), level=LEVEL)
        return found.low, found.high, found.p_value

    return sample


def log_score(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """NLL of the top label against nine equal others: heavy-tailed where a confident model errs."""
    certain = np.clip(confidence, 1e-6, 1 - 1e-6)
    return np.where(outcome, -np.log(certain), -np.log((1 - certain) / 9))


def brier(confidence: Floats, outcome: NDArray[Any]) -> Floats:
    """Squared error of the binary event."""
    return np.asarray((confidence - outcome) ** 2)


def mean_sample(world: World, n: int, score: Callable[..., Floats], *, weighted: bool = False) -> Sample:
    """The t interval of a mean."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        rows, outcome = draw(world, n, rng)
        weights = rng.gamma(1.0, size=n) if weighted else None
        found = mean_interval(score(world.confidence[rows], outcome), level=LEVEL, weights=weights)
        return found.low, found.high, None

    return sample


def grouped_mean_sample(world: World, n: int, n_groups: int, *, equal: bool) -> Sample:
    """The t interval of a mean of dependent rows."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, None]:
        rows, outcome, groups = dependent_sample(world, group_sizes(n_groups, n, rng, equal=equal), rng)
        found = mean_interval(brier(world.confidence[rows], outcome), level=LEVEL, groups=groups)
        return found.low, found.high, None

    return sample


def wilson_sample(world: World, n: int) -> Sample:
    """The Wilson interval of the accuracy."""

    def sample(rng: np.random.Generator) -> tuple[float, float, None]:
        low, high = wilson_interval(float(draw(world, n, rng)[1].mean()), n, level=LEVEL)
        return float(low), float(high), None

    return sample


def paired_t_sample(first: World, second: World, n: int, score: Callable[..., Floats]) -> Sample:
    """The paired t interval of a difference of means."""

    def sample(rng: np.random.Generator) -> tuple[float | None, float | None, float | None]:
        rows, right, other = paired_outcomes(first, second, n, rng)
        ours, theirs = score(first.confidence[rows], right), score(second.confidence[rows], other)
        found = paired_t(ours, theirs, level=LEVEL)
        return found.low, found.high, found.p_value

    return sample


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
            size = " ".join(f"{100 * cell.rejected:.1f}" for cell in cells)
            entries.append(entry(cells) + (f"; size {size}" if error == 0 else ""))
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
        rejected = " ".join(f"{100 * cell.rejected:.1f}" for cell in cells)
        yield kind, str(n_bins), *names, entry(cells), rejected


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
    """Dependent rows: 10, 30 and 200 groups."""
    numbers = (10, 30, 200)
    for kind, equal, error in product((TOP_LABEL[0], "positive, balanced"), (True, False), (0.0, 0.03, 0.10)):
        world = make_world(forecasts(kind), "one sign", error)
        assert world is not None
        where = f"{kind}, {'equal' if equal else 'Pareto'} groups, ECE {error}"
        brackets, means = (
            [report.cell(f"{name}, {where}, G = {g}", truth, make(world, 2_000, g, equal=equal)) for g in numbers]
            for name, truth, make in (
                ("grouped bracket", world.error, grouped_bracket_sample),
                ("grouped t, Brier", world.mean(brier), grouped_mean_sample),
            )
        )
        yield kind, "equal" if equal else "Pareto", f"{error:g}", entry(brackets), entry(means)


def main() -> None:
    """Simulate, print every table, then the worst cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200, help="samples a cell (200: about three minutes)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report = Report(options.repetitions, np.random.default_rng(options.seed))
    start = time.perf_counter()
    sizes = " / ".join(f"{n:,}" for n in SIZES)
    error = 100 * (LEVEL * (1 - LEVEL) / report.repetitions) ** 0.5
    print(f"{report.repetitions} samples a cell, standard error {error:.1f} points; n = {sizes}")
    columns = ("forecasts", "bins", "gaps", *(f"ECE {e:g}" for e in ERRORS))
    print_table(
        "ECE: bracket, and size of the chance test at 5 %", columns, bracket_lines(report, TOP_LABEL + POSITIVE)
    )
    columns = ("forecasts", "bins", "model", "reference", "coverage", "p <= .05, %")
    print_table("Difference of ECE: paired bracket", columns, paired_lines(report))
    print_table("Means, fractions, paired means", ("forecasts", "interval", "coverage"), mean_lines(report))
    columns = ("forecasts", "sizes", "ECE", "bracket, G = 10 / 30 / 200", "Brier, G = 10 / 30 / 200")
    print_table("Dependent rows: 2,000 in G groups", columns, group_lines(report))
    print(f"\n### The 15 lowest of {len(report.cells)} coverages\n")
    for cell in report.worst(15):
        print(f"- {100 * cell.coverage:.1f} %: {cell.name}")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
