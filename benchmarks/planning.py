"""Does a planned test set show what it was planned for: power and width at the planned rows, by simulation.

``python -m benchmarks.planning`` prints Markdown tables; ``--repetitions`` sets how long it takes. Plans are made by
`calibkit.plan`; what they promise is measured on samples of the coverage benchmark's worlds, drawn as counts of their
forecasts and outcomes, which share nothing with the normal draws that a plan is made of.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

import calibkit as ck
from benchmarks.coverage import batches
from benchmarks.coverage.cells import LEVEL, Drawn
from benchmarks.coverage.worlds import (
    POPULATION,
    Floats,
    World,
    forecasts,
    make_world,
    second_opinion,
)
from calibkit.intervals import paired_t

K10 = "top-label, k = 10"
PILOTS = (500, 2_000)
N_PILOTS = 8
# Kinds of forecasts and shapes of gaps that pilots are drawn of.
PILOTED = (
    (K10, "one sign"),
    (K10, "alternating"),
    (K10, "one bin"),
    (K10, "random"),
    ("top-label, k = 2", "one sign"),
    ("top-label, k = 100", "alternating"),
    ("positive, balanced", "random"),
    ("positive, rare", "one sign"),
)
PAIRED = (
    (("one sign", 0.05), ("one sign", 0.02)),
    (("one sign", 0.03), ("one sign", 0.02)),
    (("alternating", 0.06), ("alternating", 0.02)),
    (("one sign", 0.04), ("alternating", 0.02)),
)


def generator(*names: object) -> np.random.Generator:
    """Draws of one line of a table, which do not depend on the other lines."""
    return np.random.default_rng(crc32(repr(names).encode()))


def table(title: str, header: Sequence[str], lines: Iterator[Sequence[object]]) -> None:
    """Print a table, line by line as it is made."""
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
    for line in lines:
        print(f"| {' | '.join(map(str, line))} |", flush=True)


def percent(values: Sequence[float]) -> str:
    """Mean, and the range of several."""
    shown = [100 * value for value in values]
    ends = "" if len(shown) == 1 else f" ({min(shown):.0f}-{max(shown):.0f})"
    return f"{np.mean(shown):.1f}{ends}"


def counts(values: Sequence[int]) -> str:
    """Median, and the range of several."""
    ends = "" if len(values) == 1 else f" ({min(values):,}-{max(values):,})"
    return f"{int(np.median(values)):,}{ends}"


def half(drawn: Drawn) -> float:
    """Half the mean width."""
    return float(np.nanmean(drawn.high - drawn.low) / 2)


# One model -----------------------------------------------------------------------------------------------------------


def sample(world: World, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows and outcomes."""
    rows = rng.integers(POPULATION, size=n)
    return rows, rng.random(n) < world.accuracy[rows]


def pilot(kind: str, world: World, n: int, rng: np.random.Generator) -> ck.Predictions:
    """A pilot file of a world."""
    rows, outcome = sample(world, n, rng)
    if kind.startswith("positive"):
        return ck.Predictions.from_probs(outcome.astype(int), world.confidence[rows])
    return ck.Predictions.from_correct(outcome, world.confidence[rows])


def stated_lines(repetitions: int) -> Iterator[Sequence[object]]:
    """Without a pilot: is an ECE found as often as promised, and is the interval as wide."""
    for power in (0.5, 0.8, 0.9):
        for ece in (0.01, 0.02, 0.05, 0.1):
            line = ck.plan(ece=ece, power=power).lines[0]
            for kind, shape in ((K10, "one sign"), (K10, "alternating")):
                world = make_world(forecasts(kind), shape, ece)
                assert world is not None
                drawn = batches.bracket(world, line.rows, generator(power, ece, shape), repetitions)
                found = float(np.mean(drawn.low > 0))
                widths = f"{line.half_width:.4f}", f"{half(drawn):.4f}"
                yield (f"{ece:g}", f"{100 * power:.0f}", shape, f"{line.rows:,}", percent([found]), *widths)


def width_lines(repetitions: int) -> Iterator[Sequence[object]]:
    """Without a pilot: is the interval as wide as asked for."""
    for ece in (0.02, 0.1):
        world = make_world(forecasts(K10), "one sign", ece)
        assert world is not None
        for width in (0.05, 0.02, 0.01, 0.005):
            rows = ck.plan(width=width, ece=ece, metrics="ece")["width", "ece"].rows
            drawn = batches.bracket(world, rows, generator(ece, width), repetitions)
            yield (f"{ece:g}", f"{width:g}", f"{rows:,}", f"{half(drawn):.4f}", f"{half(drawn) / width:.2f}")


def piloted_lines(repetitions: int) -> Iterator[Sequence[object]]:
    """With a pilot: the same, over several pilots of the same world."""
    for kind, shape in PILOTED:
        for ece in (0.02, 0.05):
            world = make_world(forecasts(kind), shape, ece)
            if world is None:
                continue
            columns = []
            for size in PILOTS:
                rng = generator(kind, shape, ece, size)
                lines = [ck.plan(ece=ece, like=pilot(kind, world, size, rng)).lines[0] for _ in range(N_PILOTS)]
                drawn = [batches.bracket(world, line.rows, rng, repetitions // 5) for line in lines]
                ratios = [half(d) / float(line.half_width or np.nan) for d, line in zip(drawn, lines, strict=True)]
                columns += [
                    counts([line.rows for line in lines]),
                    percent([float(np.mean(d.low > 0)) for d in drawn]),
                    f"{np.mean(ratios):.2f}",
                ]
            yield kind, shape, f"{ece:g}", *columns


# Two models ----------------------------------------------------------------------------------------------------------


def joint(first: World, second: World, correlation: float) -> Floats:
    """Probability that both are right, of a row of each forecast."""
    one, two = first.accuracy, second.accuracy
    both = one * two + correlation * np.sqrt(one * (1 - one) * two * (1 - two))
    return np.clip(both, np.maximum(0, one + two - 1), np.minimum(one, two))


def outcomes(first: World, second: World, both: Floats, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray:
    """Outcomes of both models in these rows, (2, n)."""
    luck, cut = rng.random(len(rows)), both[rows]
    ours, theirs = first.accuracy[rows], second.accuracy[rows]
    return np.stack([luck < ours, (luck < cut) | ((luck >= ours) & (luck < ours + theirs - cut))])


def paired_sample(
    first: World, second: World, both: Floats, n: int, rng: np.random.Generator, repetitions: int
) -> Drawn:
    """Paired brackets of samples of n rows."""
    tallies = batches.forecast_counts(n, rng, repetitions)
    shares = np.stack([both, first.accuracy - both, second.accuracy - both])
    shares = np.concatenate([shares, 1 - shares.sum(axis=0, keepdims=True)]).clip(0, 1)
    right = np.moveaxis(rng.multinomial(tallies, (shares / shares.sum(axis=0)).T), -1, 0)
    return batches.paired_drawn(first, second, n, right)


def found(drawn: Drawn) -> float:
    """How often a difference is found."""
    return float(np.mean((drawn.low > 0) | (drawn.high < 0)))


def stated_pair_lines(repetitions: int) -> Iterator[Sequence[object]]:
    """Differences of ECE without a pilot: the same forecasts twice, with the assumed correlation."""
    for ece in (0.02, 0.05):
        for difference in (0.05, 0.03, 0.02, 0.01):
            for correlation in (0.5, 0.8):
                line = ck.plan(ece=ece, difference=difference, metrics="ece", correlation=correlation)[
                    "difference", "ece"
                ]
                worlds = [make_world(forecasts(K10), "one sign", error) for error in (ece + difference, ece)]
                both = joint(*worlds, correlation)
                drawn = paired_sample(*worlds, both, line.rows, generator(ece, difference), repetitions)
                widths = f"{line.half_width:.4f}", f"{half(drawn):.4f}"
                yield (
                    f"{ece + difference:g} - {ece:g}",
                    f"{correlation:g}",
                    f"{line.rows:,}",
                    percent([found(drawn)]),
                    *widths,
                )


def pilot_pair(worlds: Sequence[World], both: Floats, n: int, rng: np.random.Generator) -> list[ck.Predictions]:
    """Two pilot files on the same rows, the reference first."""
    rows = rng.integers(POPULATION, size=n)
    right = outcomes(worlds[0], worlds[1], both, rows, rng)
    pair = [ck.Predictions.from_correct(r, w.confidence[rows]) for r, w in zip(right, worlds, strict=True)]
    return pair[::-1]


def piloted_pair_lines(repetitions: int) -> Iterator[Sequence[object]]:
    """Differences of ECE, of pilots of two models whose forecasts differ."""
    for one, other in PAIRED:
        confidence = forecasts(K10)
        worlds = [make_world(confidence, *one), make_world(second_opinion(confidence), *other)]
        both = joint(*worlds, 0.5)
        columns = []
        for size in PILOTS:
            rng = generator(one, other, size)
            lines = [
                ck.plan(
                    ece=other[1],
                    difference=one[1] - other[1],
                    metrics="ece",
                    like=pilot_pair(worlds, both, size, rng),
                )["difference", "ece"]
                for _ in range(N_PILOTS // 2)
            ]
            drawn = [paired_sample(*worlds, both, line.rows, rng, repetitions // 5) for line in lines]
            ratios = [half(d) / float(line.half_width or np.nan) for d, line in zip(drawn, lines, strict=True)]
            columns += [
                counts([line.rows for line in lines]),
                percent([found(d) for d in drawn]),
                f"{np.mean(ratios):.2f}",
            ]
        yield f"{one[0]} {one[1]:g}", f"{other[0]} {other[1]:g}", *columns


# Means ---------------------------------------------------------------------------------------------------------------

CLASSES = 10
Score = Callable[[Floats, NDArray[np.bool_]], Floats]


def vectors(confidence: Floats, right: NDArray[np.bool_]) -> Floats:
    """Probability vectors of ten classes with the true one first: what is left of 1 is spread evenly."""
    other = (1 - confidence) / (CLASSES - 1)
    probs = np.tile(other[:, None], (1, CLASSES))
    probs[np.arange(len(right)), np.where(right, 0, 1)] = confidence
    return probs


SCORES: dict[str, Score] = {
    "nll": lambda c, right: -np.log(np.where(right, c, (1 - c) / (CLASSES - 1))),
    "brier": lambda c, right: ((vectors(c, right) - np.eye(CLASSES)[0]) ** 2).sum(axis=1),
    "accuracy": lambda c, right: right.astype(float),  # noqa: ARG005 - one signature
}


def mean_lines(repetitions: int) -> Iterator[Sequence[object]]:
    """Differences of means: two models whose difference is known, planned from pilots of both."""
    confidence = forecasts(K10)
    worlds = [make_world(confidence, "one sign", 0.04), make_world(second_opinion(confidence), "one sign", 0.02)]
    both = joint(*worlds, 0.5)
    for metric, score in SCORES.items():
        truth = worlds[0].mean(score) - worlds[1].mean(score)
        columns = []
        for size in PILOTS:
            rng = generator(metric, size)
            measured, planned = [], []
            for _ in range(N_PILOTS):
                rows = rng.integers(POPULATION, size=size)
                right = outcomes(*worlds, both, rows, rng)
                labels = np.zeros(size, dtype=int)
                pair = [
                    ck.Predictions.from_probs(labels, vectors(w.confidence[rows], r))
                    for w, r in zip(worlds, right, strict=True)
                ]
                line = ck.plan(difference=abs(truth), metrics=metric, like=pair[::-1])["difference", metric]
                planned.append(line.rows)
                draw = partial(mean_found, worlds, both, score, line.rows, rng)
                measured.append(float(np.mean([draw() for _ in range(repetitions // 5)])))
            columns += [counts(planned), percent(measured)]
        yield metric, f"{truth:+.4f}", *columns


def mean_found(worlds: Sequence[World], both: Floats, score: Score, n: int, rng: np.random.Generator) -> bool:
    """Whether a sample of n rows shows the difference."""
    rows = rng.integers(POPULATION, size=n)
    right = outcomes(*worlds, both, rows, rng)
    values = [score(w.confidence[rows], r) for w, r in zip(worlds, right, strict=True)]
    estimate = paired_t(*values, level=LEVEL)
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low > 0 or estimate.high < 0


PILOTED_COLUMNS = [f"{what}, pilot of {size:,}" for size in PILOTS for what in ("rows", "power, %", "width / planned")]
TABLES: dict[str, tuple[Sequence[str], Callable[[int], Iterator[Sequence[object]]]]] = {
    "An ECE is detected, no pilot": (
        ("true ECE", "asked power, %", "gaps", "rows", "power, %", "half-width planned", "measured"),
        stated_lines,
    ),
    "The interval of ECE is so wide, no pilot": (
        ("true ECE", "asked half-width", "rows", "measured", "ratio"),
        width_lines,
    ),
    "An ECE is detected with power 80 %, planned from pilots": (
        ("forecasts", "gaps", "true ECE", *PILOTED_COLUMNS),
        piloted_lines,
    ),
    "A difference of ECE is detected with power 80 %, no pilot": (
        ("ECE", "correlation", "rows", "power, %", "half-width planned", "measured"),
        stated_pair_lines,
    ),
    "A difference of ECE is detected with power 80 %, planned from pilots": (
        ("model", "reference", *PILOTED_COLUMNS),
        piloted_pair_lines,
    ),
    "A difference of means is detected with power 80 %, planned from pilots": (
        ("metric", "difference", *[f"{what}, pilot of {size:,}" for size in PILOTS for what in ("rows", "power, %")]),
        mean_lines,
    ),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--tables", default="", help="only tables whose title holds this")
    given = parser.parse_args()
    print(f"{given.repetitions:,} samples a line; where pilots are drawn, fewer for each of several.")
    for title, (header, lines) in TABLES.items():
        if given.tables in title:
            table(title, header, lines(given.repetitions))


if __name__ == "__main__":
    main()
