"""AURC and AUGRC, whose intervals come from jackknife pseudo-values: of one model, and of two on the same rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import rows
from benchmarks.coverage.cells import LEVEL, Cell, entry, rejections
from benchmarks.coverage.tables import CERTAIN_SIZES, GROUPS, SOME_KINDS, Line, Plan, Table, pair_of_worlds
from benchmarks.coverage.worlds import POPULATION, SAID, SATURATED, Floats, Rows, World, certain_world
from calibkit.bracket import too_rare
from calibkit.intervals import mean_interval, paired_t
from calibkit.pairs import Pairs
from calibkit.pseudo_values import augrc_rows, aurc_rows, too_few_answers, why_no_difference
from calibkit.units import units_of
from calibkit.unpaired import unpaired_t

SIZES = (300, 1_000, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Row scores, and the true value in a world: that of infinitely many rows."""

    rows: Callable[[Pairs], Floats]
    truth: Callable[[World], float]


def blocks(world: World) -> tuple[Floats, Floats, Floats, Floats]:
    """Share, share of wrong answers, and both of all that is more confident, of each distinct forecast."""
    _, block = np.unique(-world.confidence, return_inverse=True)
    size, wrong = np.bincount(block, world.shares), np.bincount(block, world.shares * (1 - world.accuracy))
    return size, wrong, size.cumsum() - size, wrong.cumsum() - wrong


def true_aurc(world: World) -> float:
    """The error rate above a coverage, averaged over coverages: over a block, the integral of (E + t e/m)/(a + t)."""
    size, wrong, above, wrong_above = blocks(world)
    growth = np.log1p(np.divide(size, above, out=np.zeros_like(size), where=above > 0))
    return float((wrong + (wrong_above - above * wrong / size) * growth).sum())


def true_augrc(world: World) -> float:
    """How often an answer is kept and wrong, averaged over coverages."""
    size, wrong, _, wrong_above = blocks(world)
    return float((size * (wrong_above + wrong / 2)).sum())


RANKINGS = {
    "AURC": Ranking(rows=aurc_rows, truth=true_aurc),
    "AUGRC": Ranking(rows=augrc_rows, truth=true_augrc),
}


def pairs_of(world: World, drawn: Rows, outcome: NDArray[np.bool_]) -> Pairs:
    """A sample, as rankings take it."""
    weights = None if world.weight is None else world.weight[drawn]
    return Pairs(view="top-label", forecast=world.confidence[drawn], outcome=outcome, weights=weights)


def single(rng: np.random.Generator, *, design: rows.Design, world: World, score: Ranking) -> rows.Ends:
    """The interval of one model, where `evaluate` prints one."""
    drawn, outcome, groups = design(world, rng)
    binned = world.binned(drawn, outcome, groups)
    if too_few_answers(outcome, binned.units()) or too_rare(binned.table, binned.units()):
        return None, None, None
    pairs = pairs_of(world, drawn, outcome)
    return rows.ends(mean_interval(score.rows(pairs), level=LEVEL, weights=pairs.weights, groups=groups))


def paired(
    rng: np.random.Generator, *, design: rows.Design, first: World, second: World, score: Ranking, same: bool = False
) -> rows.Ends:
    """The interval of a difference on the same rows, where `compare` prints one; of the same answers if asked for."""
    sample = design(first, rng)
    drawn, outcome, groups = sample
    other = outcome if same else rows.second_outcome(first, second, sample, rng)
    ours, theirs = score.rows(pairs_of(first, drawn, outcome)), score.rows(pairs_of(second, drawn, other))
    both = first.binned(drawn, outcome, groups), second.binned(drawn, other, groups)
    found = paired_t(ours, theirs, level=LEVEL, weights=both[0].weights, groups=groups)
    reason = why_no_difference(found.value, outcome, other, both[0].units())
    if reason or any(too_rare(b.table, b.units()) for b in both):
        return None, None, None
    return rows.ends(found)


def unpaired(rng: np.random.Generator, *, n: int, first: World, second: World, score: Ranking) -> rows.Ends:
    """The interval of a difference on different rows, n and n/2 of them."""
    samples = [(world, *rows.independent(size, world, rng)[:2]) for world, size in ((first, n), (second, n // 2))]
    ours, theirs = (pairs_of(*sample) for sample in samples)
    if any(too_few_answers(p.outcome, units_of(len(p.outcome), weights=p.weights)) for p in (ours, theirs)):
        return None, None, None
    weights = ours.weights, theirs.weights
    return rows.ends(unpaired_t(score.rows(ours), score.rows(theirs), level=LEVEL, weights=weights))


def ranked_anew(world: World, noise: float) -> World:
    """The same rows and answers with log-odds that a noise moved, as a temperature reranks those of many classes."""
    odds = np.log(world.confidence / (1 - world.confidence))
    moved = odds + noise * np.random.default_rng(3).normal(size=POPULATION)
    return replace(world, confidence=1 / (1 + np.exp(-moved)))


def ranking_line(kind: str, name: str, weights: str | None, plan: Plan) -> Line:
    """One model, two models, a model and its twin, a model and itself ranked anew, two models on different rows."""
    score = RANKINGS[name]
    worlds = pair_of_worlds(kind, ("one sign", 0.03), ("alternating", 0.03), 15, weights)
    assert worlds is not None
    one, other = worlds
    anew = [ranked_anew(one, noise) for noise in (0.03, 0.3)]
    suffix = "" if weights is None else ", weighted"
    cases: dict[str, tuple[str, Callable[[int], rows.Sample], float]] = {
        "": ("", lambda n: partial(single, design=partial(rows.independent, n), world=one), score.truth(one)),
    }
    for title, second, same in (
        ("two models", other, False),
        ("twins", one, False),
        ("ranked anew, little", anew[0], True),
        ("ranked anew", anew[1], True),
    ):
        cases[title] = (
            "difference of ",
            lambda n, second=second, same=same: partial(
                paired, design=partial(rows.independent, n), first=one, second=second, same=same
            ),
            score.truth(one) - score.truth(second),
        )
    cases["different rows"] = (
        "unpaired difference of ",
        lambda n: partial(unpaired, n=n, first=one, second=other),
        score.truth(one) - score.truth(other),
    )
    found = {
        title: [
            plan.cell(
                f"{kind}, {weights or ''} {title}, n = {n:,}",
                f"{family}{name}{suffix}",
                partial(rows.repeated, partial(sample(n), score=score), truth),
                null=title == "twins",
            )
            for n in SIZES
        ]
        for title, (family, sample, truth) in cases.items()
    }
    entries = (rejections(cells) if title == "twins" else entry(cells) for title, cells in found.items())
    return (kind, weights or "none", name, *entries), [cell for cells in found.values() for cell in cells]


def certain_line(kind: str, name: str, plan: Plan) -> Line:
    """One model, and it and its twin, of forecasts near 0 and 1."""
    world, score = certain_world(kind), RANKINGS[name]
    ours, differences = [], []
    for n in CERTAIN_SIZES:
        design = partial(rows.independent, n)
        draw = partial(single, design=design, world=world, score=score)
        twin = partial(paired, design=design, first=world, second=world, score=score)
        title = f"{kind}, n = {n:,}"
        ours.append(plan.cell(title, f"{name}, few misses", partial(rows.repeated, draw, score.truth(world))))
        differences.append(
            plan.cell(title, f"difference of {name}, few misses", partial(rows.repeated, twin, 0.0), null=True)
        )
    return (kind, name, entry(ours), entry(differences), rejections(differences)), ours + differences


def group_line(kind: str, name: str, sizes: str, shared: float | None, plan: Plan) -> Line:
    """2,000 rows in 10, 30 and 200 groups."""
    worlds = pair_of_worlds(kind, ("one sign", 0.03), ("alternating", 0.03), 15)
    assert worlds is not None
    one, other = worlds
    score, luck = RANKINGS[name], "lucky or not" if shared is None else f"{shared:.0%} shared"
    found: list[list[Cell]] = [[], []]
    for g in GROUPS:
        design, title = partial(rows.in_groups, 2_000, g, sizes, shared), f"{kind}, {sizes}, {luck}, G = {g}"
        draw = partial(single, design=design, world=one, score=score)
        pair = partial(paired, design=design, first=one, second=other, score=score)
        truth = score.truth(one), score.truth(one) - score.truth(other)
        found[0].append(plan.cell(title, f"{name}, groups", partial(rows.repeated, draw, truth[0])))
        found[1].append(plan.cell(title, f"difference of {name}, groups", partial(rows.repeated, pair, truth[1])))
    return (kind, name, sizes, luck, *(entry(cells) for cells in found)), [cell for cells in found for cell in cells]


def tables() -> Iterator[Table]:
    """Independent rows, forecasts near 0 and 1, dependent rows."""
    yield Table(
        title=f"AURC and AUGRC, n = {' / '.join(f'{n:,}' for n in SIZES)}",
        columns=(
            "forecasts",
            "weights",
            "metric",
            "coverage",
            "difference of two models",
            "p <= .05 of twins, %",
            "of a model ranked anew, a little",
            "of a model ranked anew",
            "of different rows",
        ),
        tasks=tuple(partial(ranking_line, *line) for line in product(SOME_KINDS, RANKINGS, (None, "counts"))),
    )
    yield Table(
        title=f"AURC and AUGRC of forecasts near 0 and 1, n = {' / '.join(f'{n:,}' for n in CERTAIN_SIZES)}",
        columns=("forecasts", "metric", "coverage", "difference of twins", "p <= .05 of twins, %"),
        tasks=tuple(partial(certain_line, *line) for line in product((*SATURATED, *SAID), RANKINGS)),
    )
    yield Table(
        title="AURC and AUGRC of dependent rows: 2,000 in G = 10 / 30 / 200 groups",
        columns=("forecasts", "metric", "sizes", "luck", "coverage", "difference of two models"),
        tasks=tuple(
            partial(group_line, kind, name, *how)
            for kind, name, how in product(
                (SOME_KINDS[0], SOME_KINDS[2]), RANKINGS, (("equal", None), ("Pareto", None), ("equal", 0.5))
            )
        ),
    )
