"""What is simulated: every table, its columns, and a task for each of its lines."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal

from benchmarks.coverage import batches, rows
from benchmarks.coverage.cells import Cell, Sampler, entry, rejections, run
from benchmarks.coverage.worlds import (
    POSITIVE,
    RECALIBRATED,
    SAID,
    SATURATED,
    SHAPES,
    TOP_LABEL,
    World,
    certain_world,
    class_scores,
    forecasts,
    make_world,
    restated,
    second_opinion,
)

SIZES = (300, 1_000, 10_000, 100_000)
# Small files are where misses are few.
CERTAIN_SIZES = (20, 50, 100, 300, 1_000, 10_000)
GROUPS = (10, 30, 200)
# Where chance levels are drawn: rows, and for how many of them labels are; groups of ten rows.
CHANCE_SIZES = ((300, 300), (1_000, 1_000), (2_500, 500))
CHANCE_GROUPS = (100, 300, 1_000)
# Rows of a state, which keeps 1,024 or 2,048.
STATE_SIZES = (300, 1_000, 5_000)
BINS = (5, 15, 50)
ERRORS = (0.0, 0.01, 0.03, 0.10)

Line = tuple[tuple[str, ...], list[Cell]]
# Forecasts, number of bins, shape of the gaps.
Setting = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many samples a cell has at first, and the seed."""

    repetitions: int
    seed: int

    def cell(self, name: str, family: str, sampler: Sampler, *, null: bool = False) -> Cell:
        """Simulate a cell."""
        return run(name, family, sampler, repetitions=self.repetitions, seed=self.seed, null=null)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A title, the columns, and a task for each line, which another process may do."""

    title: str
    columns: tuple[str, ...]
    tasks: tuple[Callable[[Plan], Line], ...]


# ECE of one model -----------------------------------------------------------------------------------------------------


# By metric, what draws its intervals over fixed bins and over the sample's quantile bins.
SAMPLERS = {"ECE": (batches.bracket, batches.quantile_bracket), "RMSCE": (batches.rms, batches.quantile_rms)}


def bracket_line(
    kind: str, n_bins: int, shape: str, weights: str | None, binning: str, metric: str, plan: Plan
) -> Line:
    """An error over fixed bins, or over the sample's quantile bins; the size of its chance test if calibrated."""
    entries, cells = [], []
    family = metric + (", quantile bins" if binning == "quantile" else "" if weights is None else ", weighted")
    over_fixed, over_quantile = SAMPLERS[metric]
    for error in ERRORS:
        world = make_world(forecasts(kind), shape, error, n_bins, weights)
        if world is None or (error == 0 and shape != "one sign"):
            entries.append("")
            continue
        found = []
        for n in SIZES:
            sampler = (
                partial(over_quantile, world, n, n_bins) if binning == "quantile" else partial(over_fixed, world, n)
            )
            name = f"{kind}, {weights or ''} {n_bins} bins, {shape}, {error:g}, n = {n:,}"
            found.append(plan.cell(name, family, sampler, null=error == 0))
        entries.append(entry(found) + (f"; size {rejections(found)}" if error == 0 else ""))
        cells += found
    first = (kind,) if weights is None else (kind, weights)
    return (*first, str(n_bins), shape, *entries), cells


def certain_line(kind: str, plan: Plan) -> Line:
    """ECE, gap and RMSCE of forecasts near 0 and 1, whose misses are rare or absent in a sample."""
    world = certain_world(kind)
    errors = [
        plan.cell(f"{kind}, n = {n:,}", "ECE, few misses", partial(batches.bracket, world, n)) for n in CERTAIN_SIZES
    ]
    squares = [
        plan.cell(f"{kind}, n = {n:,}", "RMSCE, few misses", partial(batches.rms, world, n)) for n in CERTAIN_SIZES
    ]
    sample = [
        partial(rows.mean, design=partial(rows.independent, n), world=world, score=rows.gap) for n in CERTAIN_SIZES
    ]
    gaps = [
        plan.cell(f"{kind}, n = {n:,}", "gap, few misses", partial(rows.repeated, draw, world.mean(rows.gap)))
        for n, draw in zip(CERTAIN_SIZES, sample, strict=True)
    ]
    return (kind, f"{world.error:.4f}", *(entry(cells) for cells in (errors, gaps, squares))), errors + gaps + squares


def view_line(view: Literal["classwise", "flattened"], k: int, shape: str, n_bins: int, plan: Plan) -> Line:
    """ECE of the views that hold k pairs a row."""
    scores = class_scores(k, shape, n_bins)
    cells = [
        plan.cell(
            f"{k} classes, {n_bins} bins, {shape}, n = {n:,}",
            f"ECE, {view}",
            partial(batches.many_pairs, scores, n, view),
        )
        for n in SIZES
    ]
    return (view, str(k), str(n_bins), shape, f"{scores.error(view):.4f}", entry(cells)), cells


def view_chance_line(view: Literal["classwise", "flattened"], k: int, plan: Plan) -> Line:
    """ECE of calibrated probability vectors with its chance level, of all rows and of a sample."""
    scores = class_scores(k, "calibrated")
    cells = [
        plan.cell(
            f"{k} classes, calibrated, n = {n:,}, labels drawn for {most:,}",
            f"ECE, {view}",
            partial(rows.repeated, partial(rows.many_pairs, n=n, scores=scores, view=view, most=most), 0.0),
            null=True,
        )
        for n, most in CHANCE_SIZES
    ]
    return (view, str(k), entry(cells), rejections(cells)), cells


def state_chance_line(view: Literal["classwise", "flattened"], k: int, plan: Plan) -> Line:
    """The same from a state."""
    scores = class_scores(k, "calibrated")
    cells = [
        plan.cell(
            f"{k} classes, calibrated, n = {n:,}, from a state",
            f"ECE, {view}",
            partial(rows.repeated, partial(rows.many_pairs_of_state, n=n, scores=scores, view=view), 0.0),
            null=True,
        )
        for n in STATE_SIZES
    ]
    return (view, str(k), entry(cells), rejections(cells)), cells


def group_chance_line(kind: str, sizes: str, shared: float | None, plan: Plan) -> Line:
    """ECE of calibrated groups with its chance level, where one is shown."""
    world = make_world(forecasts(kind), "one sign", 0.0)
    assert world is not None
    luck = "lucky or not" if shared is None else f"{shared:.0%} shared"
    cells = [
        plan.cell(
            f"{kind}, calibrated, {sizes}, {luck}, G = {g} of 10 rows",
            "ECE, groups",
            partial(
                rows.repeated,
                partial(rows.bracket, design=partial(rows.in_groups, 10 * g, g, sizes, shared), world=world),
                0.0,
            ),
            null=True,
        )
        for g in CHANCE_GROUPS
    ]
    return (kind, sizes, luck, entry(cells), rejections(cells)), cells


# Differences of ECE ---------------------------------------------------------------------------------------------------

PAIRS = (
    (("one sign", 0.0), ("one sign", 0.0)),
    (("one sign", 0.01), ("one sign", 0.0)),
    (("one sign", 0.03), ("one sign", 0.03)),
    (("one sign", 0.03), ("alternating", 0.03)),
    (("one bin", 0.03), ("alternating", 0.03)),
    (("one bin", 0.03), ("one sign", 0.0)),
    (("random", 0.03), ("one sign", 0.03)),
    (("one sign", 0.10), ("one sign", 0.03)),
    (("one sign", 0.10), ("alternating", 0.10)),
)
Said = tuple[str, float]


def pair_of_worlds(
    kind: str, one: Said, other: Said, n_bins: int, weights: str | None = None
) -> tuple[World, World] | None:
    """Two models of the same rows; None where one cannot be."""
    confidence = forecasts(kind)
    first = make_world(confidence, *one, n_bins, weights)
    second = make_world(second_opinion(confidence), *other, n_bins, weights)
    if first is None or second is None:
        return None
    # A row has one weight, that of the first model's forecast.
    return first, second if weights is None else second.reweighted(first)


def unpaired_line(kind: str, n_bins: int, one: Said, other: Said, plan: Plan) -> Line:
    """Difference of two models' ECE on different rows."""
    worlds = pair_of_worlds(kind, one, other, n_bins)
    names = [f"{shape} {error:g}" for shape, error in (one, other)]
    if worlds is None:
        return (kind, str(n_bins), *names, "", ""), []
    cells = [
        plan.cell(
            f"{kind}, {n_bins} bins, {names[0]} - {names[1]}, n = {n:,}",
            "difference of ECE, unpaired",
            partial(batches.unpaired, *worlds, n),
            null=abs(worlds[0].error - worlds[1].error) < 1e-9,
        )
        for n in SIZES
    ]
    return (kind, str(n_bins), *names, entry(cells), rejections(cells)), cells


def paired_line(kind: str, n_bins: int, one: Said, other: Said, weights: str | None, plan: Plan) -> Line:
    """Difference of two models' ECE."""
    worlds = pair_of_worlds(kind, one, other, n_bins, weights)
    names = [f"{shape} {error:g}" for shape, error in (one, other)]
    if worlds is None:
        return (kind, weights or "none", str(n_bins), *names, "", ""), []
    family = "difference of ECE" if weights is None else "difference of ECE, weighted"
    null = abs(worlds[0].error - worlds[1].error) < 1e-9
    cells = [
        plan.cell(
            f"{kind}, {weights or ''} {n_bins} bins, {names[0]} - {names[1]}, n = {n:,}",
            family,
            partial(batches.paired, *worlds, n),
            null=null,
        )
        for n in SIZES
    ]
    return (kind, weights or "none", str(n_bins), *names, entry(cells), rejections(cells)), cells


def recalibrated_line(kind: str, n_bins: int, shape: str, error: float, how: str, plan: Plan) -> Line:
    """Difference of ECE between a model and its recalibration."""
    world = make_world(forecasts(kind), shape, error, n_bins)
    if world is None:
        return (kind, str(n_bins), shape, how, "", "", ""), []
    other = restated(world, how)
    truth = other.error - world.error
    cells = [
        plan.cell(
            f"{kind}, {n_bins} bins, {shape} {error:g}, {how}, n = {n:,}",
            "difference of ECE, recalibrated",
            partial(batches.recalibrated, other, world, n),
        )
        for n in SIZES
    ]
    return (kind, str(n_bins), f"{shape} {error:g}", how, f"{truth:.4f}", entry(cells), rejections(cells)), cells


CERTAIN_PAIRS = (
    ("saturated network, accuracy .99", "saturated network, accuracy .99"),
    ("saturated network, accuracy .99", "saturated network, calibrated"),
    ("saturated network, accuracy .99", "saturated network, accuracy .999"),
    ("1.0, accuracy .98", "1.0, all right"),
    ("1.0, accuracy .98", ".98, accuracy .95"),
    ("1.0/.99/.9, accuracy .98/.96/.9", "1.0/.99/.9, calibrated"),
    ("1.0/.99/.9, accuracy .98/.96/.9", "1.0/.99/.9, accuracy .98/.96/.9"),
    (".95/.8/.6, accuracy 1/.99/.9", "1.0/.99/.9, accuracy .9/.8/.7"),
)


def certain_pair_line(one: str, other: str, plan: Plan) -> Line:
    """Difference of ECE of forecasts near 0 and 1."""
    first, second = certain_world(one), certain_world(other)
    cells = [
        plan.cell(
            f"{one} - {other}, n = {n:,}",
            "difference of ECE, few misses",
            partial(batches.paired, first, second, n),
            null=one == other,
        )
        for n in CERTAIN_SIZES
    ]
    return (one, other, entry(cells), rejections(cells)), cells


# Means ----------------------------------------------------------------------------------------------------------------

MEANS = {"NLL": rows.log_score, "Brier": rows.brier}


def mean_line(kind: str, name: str, weights: str | None, plan: Plan) -> Line:
    """A mean, and its paired difference between two models that score the same, of independent rows."""
    score = MEANS[name]
    worlds = pair_of_worlds(kind, ("one sign", 0.01), ("one sign", 0.0), 15, weights)
    assert worlds is not None
    found: list[list[Cell]] = [[], [], []]
    suffix = "" if weights is None else ", weighted"
    for n in SIZES:
        design, title = partial(rows.independent, n), f"{kind}, {weights or ''} n = {n:,}"
        single = partial(rows.mean, design=design, world=worlds[0], score=score)
        difference = partial(rows.paired_mean, design=design, first=worlds[0], second=worlds[1], score=score)
        truth = worlds[0].mean(score), worlds[0].mean(score) - worlds[1].mean(score)
        found[0].append(plan.cell(title, f"{name}{suffix}", partial(rows.repeated, single, truth[0])))
        found[1].append(plan.cell(title, f"difference of {name}{suffix}", partial(rows.repeated, difference, truth[1])))
        # Two models that are one, but for the luck of their rows: the test's size.
        twin = partial(rows.paired_mean, design=design, first=worlds[0], second=worlds[0], score=score)
        found[2].append(
            plan.cell(f"{title}, twins", f"difference of {name}{suffix}", partial(rows.repeated, twin, 0.0), null=True)
        )
    entries = (*(entry(cells) for cells in found[:2]), rejections(found[2]))
    return (kind, name, weights or "none", *entries), [cell for cells in found for cell in cells]


def fraction_line(kind: str, plan: Plan) -> Line:
    """Accuracy of independent rows."""
    world = make_world(forecasts(kind), "one sign", 0.01)
    assert world is not None
    truth = float(world.accuracy.mean())
    cells = [
        plan.cell(
            f"{kind}, n = {n:,}",
            "accuracy",
            partial(rows.repeated, partial(rows.fraction, design=partial(rows.independent, n), world=world), truth),
        )
        for n in SIZES
    ]
    return (kind, entry(cells)), cells


# Dependent rows -------------------------------------------------------------------------------------------------------


def group_line(kind: str, error: float, sizes: str, shared: float | None, weights: str | None, plan: Plan) -> Line:
    """2,000 rows in 10, 30 and 200 groups."""
    said = SAID | SATURATED
    worlds = (
        (certain_world(kind), certain_world(kind))
        if kind in said
        else pair_of_worlds(kind, ("one sign", error), ("one sign", error), 15, weights)
    )
    assert worlds is not None
    first, second = worlds
    luck = "lucky or not" if shared is None else f"{shared:.0%} shared"
    columns, every = [], []
    for family, truth, sample in (
        ("ECE, groups", first.error, partial(rows.bracket, world=first)),
        ("accuracy of a bin, groups", 0.0, partial(rows.whisker, world=first)),
        ("Brier, groups", first.mean(rows.brier), partial(rows.mean, world=first, score=rows.brier)),
        ("NLL, groups", first.mean(rows.log_score), partial(rows.mean, world=first, score=rows.log_score)),
        ("difference of ECE, groups", 0.0, partial(rows.paired, first=first, second=second)),
        (
            "difference of Brier, groups",
            first.mean(rows.brier) - second.mean(rows.brier),
            partial(rows.paired_mean, first=first, second=second, score=rows.brier),
        ),
    ):
        title = f"{kind}, {weights or ''} ECE {error:g}, {sizes}, {luck}"
        cells = [
            plan.cell(
                f"{title}, G = {g}",
                family + ("" if weights is None else ", weighted"),
                partial(rows.repeated, partial(sample, design=partial(rows.in_groups, 2_000, g, sizes, shared)), truth),
                null=family.startswith("difference of ECE") or (family == "ECE, groups" and first.error < 1e-9),
            )
            for g in GROUPS
        ]
        every += cells
        columns.append(entry(cells))
        if family.startswith("difference of ECE"):
            columns.append(rejections(cells))
    return (kind, weights or "none", sizes, luck, f"{error:g}", *columns), every


# All ------------------------------------------------------------------------------------------------------------------

CLASS_SHAPES = ("calibrated", "a little over-confident", "over-confident", "one class too rare")
ERROR_COLUMNS = tuple(f"ECE {e:g}" for e in ERRORS)
KINDS = TOP_LABEL + POSITIVE
# Of what the first tables show over the whole grid, the rest is shown for these.
SOME_KINDS = (TOP_LABEL[0], TOP_LABEL[2], "positive, balanced", "positive, rare")
GROUP_COLUMNS = ("ECE", "accuracy of a bin", "Brier", "NLL", "difference of ECE", "p <= .05, %", "difference of Brier")


def group_tasks() -> Iterator[Callable[[Plan], Line]]:
    """Groups that share their luck, and groups that fail as a whole."""
    kinds = (TOP_LABEL[0], "positive, balanced")
    for kind, sizes, error in product(kinds, ("equal", "Pareto"), (0.0, 0.03, 0.10)):
        yield partial(group_line, kind, error, sizes, None, None)
    for kind, error in product(kinds, (0.0, 0.10)):
        yield partial(group_line, kind, error, "equal", None, "exponential")
    for kind, error, shared in product(kinds, (0.0, 0.10), (1.0, 0.5)):
        yield partial(group_line, kind, error, "equal", shared, None)
    for kind, shared in product(("saturated network, accuracy .99", ".98, accuracy .95"), (1.0, 0.5)):
        yield partial(group_line, kind, certain_world(kind).error, "equal", shared, None)


def error_tables(metric: str, every: Sequence[Setting], some: Sequence[Setting]) -> Iterator[Table]:
    """An error of one model, over bins of equal width, over quantile bins, and weighted."""
    columns: tuple[str, ...] = ("forecasts", "bins", "gaps", *ERROR_COLUMNS)
    yield Table(
        title=f"{metric} over bins of equal width, and size of the chance test at 5 %",
        columns=columns,
        tasks=tuple(partial(bracket_line, *line, None, "uniform", metric) for line in every),
    )
    yield Table(
        title=f"{metric} over quantile bins, and size of the chance test",
        columns=columns,
        tasks=tuple(partial(bracket_line, *line, None, "quantile", metric) for line in some),
    )
    yield Table(
        title=f"{metric} of weighted rows, and size of the chance test",
        columns=("forecasts", "weights", *columns[1:]),
        tasks=tuple(
            partial(bracket_line, *line, weights, "uniform", metric)
            for line, weights in product(some, ("exponential", "importance"))
        ),
    )


def tables() -> Iterator[Table]:
    """Every table."""
    every = tuple(product(KINDS, BINS, SHAPES))
    some = tuple(product(SOME_KINDS, BINS, ("one sign", "random")))
    yield from error_tables("ECE", every, some)
    yield Table(
        title="ECE of k pairs a row",
        columns=("view", "k", "bins", "truth", "true ECE", "coverage"),
        tasks=tuple(
            partial(view_line, *line) for line in product(("classwise", "flattened"), (2, 10, 100), CLASS_SHAPES, BINS)
        ),
    )
    sizes = " / ".join(f"{n:,}" for n, _ in CHANCE_SIZES)
    yield Table(
        title=f"ECE of k pairs a row and its chance level: n = {sizes}, the last from a sample of 500 rows",
        columns=("view", "k", "coverage", "p <= .05, %"),
        tasks=tuple(partial(view_chance_line, *line) for line in product(("classwise", "flattened"), (2, 10, 100))),
    )
    states = " / ".join(f"{n:,}" for n in STATE_SIZES)
    yield Table(
        title=f"ECE of k pairs a row and its chance level, from a state: n = {states}, the last from a sample",
        columns=("view", "k", "coverage", "p <= .05, %"),
        tasks=tuple(partial(state_chance_line, *line) for line in product(("classwise", "flattened"), (2, 10, 100))),
    )
    yield from error_tables("RMSCE", tuple(product(SOME_KINDS, BINS, SHAPES)), some)
    many = " / ".join(f"{n:,}" for n in CERTAIN_SIZES)
    yield Table(
        title="ECE of forecasts near 0 and 1, whose misses are few or none",
        columns=("forecasts", "true ECE", f"ECE, n = {many}", "gap, the same n", "RMSCE"),
        tasks=tuple(partial(certain_line, kind) for kind in (*SATURATED, *SAID)),
    )
    yield Table(
        title="Difference of ECE",
        columns=("forecasts", "weights", "bins", "model", "reference", "coverage", "p <= .05, %"),
        tasks=tuple(
            partial(paired_line, kind, n_bins, *pair, weights)
            for kind, n_bins, pair, weights in product(SOME_KINDS, BINS, PAIRS, (None, "exponential"))
            if weights is None or n_bins == 15
        ),
    )
    yield Table(
        title="Difference of ECE between a model and its recalibration: the same rows and outcomes",
        columns=("forecasts", "bins", "reference", "model", "true difference", "coverage", "p <= .05, %"),
        tasks=tuple(
            partial(recalibrated_line, kind, n_bins, *said, how)
            for kind, n_bins, said, how in product(
                SOME_KINDS, (5, 15), (("one sign", 0.0), ("alternating", 0.01)), RECALIBRATED
            )
        ),
    )
    yield Table(
        title="Difference of ECE between different rows: n of the model, n/2 of the reference",
        columns=("forecasts", "bins", "model", "reference", "coverage", "p <= .05, %"),
        tasks=tuple(partial(unpaired_line, kind, 15, *pair) for kind, pair in product(SOME_KINDS, PAIRS)),
    )
    yield Table(
        title="Difference of ECE of forecasts near 0 and 1",
        columns=("model", "reference", f"coverage, n = {many}", "p <= .05, %"),
        tasks=tuple(partial(certain_pair_line, *pair) for pair in CERTAIN_PAIRS),
    )
    yield Table(
        title="Means and paired differences",
        columns=("forecasts", "score", "weights", "coverage", "paired difference", "p <= .05 of twins, %"),
        tasks=tuple(
            partial(mean_line, *line) for line in product(SOME_KINDS, MEANS, (None, "exponential", "importance"))
        ),
    )
    yield Table(
        title="Accuracy", columns=("forecasts", "Wilson"), tasks=tuple(partial(fraction_line, kind) for kind in KINDS)
    )
    yield Table(
        title="Dependent rows: 2,000 in G = 10 / 30 / 200 groups",
        columns=("forecasts", "weights", "sizes", "luck", "true ECE", *GROUP_COLUMNS),
        tasks=tuple(group_tasks()),
    )
    yield Table(
        title=f"Calibrated groups of 10 rows and their chance level: G = {' / '.join(f'{g:,}' for g in CHANCE_GROUPS)}",
        columns=("forecasts", "sizes", "luck", "coverage", "p <= .05, %"),
        tasks=tuple(
            partial(group_chance_line, kind, sizes, shared)
            for kind, (sizes, shared) in product(
                (*TOP_LABEL[:2], "positive, balanced", "positive, rare"),
                (("equal", None), ("Pareto", None), ("equal", 1.0), ("equal", 0.5), ("equal", 0.0)),
            )
        ),
    )
