"""Several runs of a recipe on the same test rows: training luck and test rows together, of one recipe and of two."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.cells import LEVEL, entry, rejections
from benchmarks.coverage.rankings import true_aurc
from benchmarks.coverage.rows import Ends, log_score, repeated
from benchmarks.coverage.tables import Line, Plan, Table
from benchmarks.coverage.worlds import POPULATION, TOP_LABEL, Floats, Rows, World, forecasts, make_world
from calibkit.crossed import crossed_mean
from calibkit.pairs import Pairs
from calibkit.pseudo_values import aurc_rows
from calibkit.recipes import MIN_RANKED

SIZES = (300, 1_000, 3_000)
RUNS = (3, 5, 10)
# Standard deviations of a run's log-odds: of all rows together, and of each row by itself.
LUCK = {"none": (0.0, 0.0), "small": (0.02, 0.1), "middling": (0.1, 0.3), "large": (0.3, 0.5)}
TRUTH_RUNS = 2_000

Outcome = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What every run of a recipe has in common: log-odds of its forecasts and of its answers, and luck."""

    said: Floats
    right: Floats
    luck: tuple[float, float]

    def run(self, rng: np.random.Generator) -> World:
        """One network: more or less confident, more or less often right, as a whole and at each row."""
        common, own = self.luck
        moved = [odds + common * rng.normal() + own * rng.normal(size=POPULATION) for odds in (self.said, self.right)]
        confidence, accuracy = (1 / (1 + np.exp(-odds)) for odds in moved)
        return World(
            confidence=confidence, accuracy=accuracy, edges=np.array([0.0, 1.0]), index=np.zeros(POPULATION, int)
        )


def log_odds(p: Floats) -> Floats:
    """Of a probability; 0 and 1 a little inside."""
    inside = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def recipes(luck: str) -> tuple[Recipe, Recipe]:
    """Two recipes with the same answers; the second is less confident and makes a few more mistakes."""
    confidence = forecasts(TOP_LABEL[0])
    world = make_world(confidence, "one sign", 0.01)
    assert world is not None
    said, right = log_odds(confidence), log_odds(world.accuracy)
    return Recipe(said=said, right=right, luck=LUCK[luck]), Recipe(said=0.8 * said, right=right - 0.1, luck=LUCK[luck])


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Row scores of a run, and their mean over a population; how many answers of either kind an interval asks for."""

    rows: Callable[[Floats, Outcome], NDArray[Any]]
    truth: Callable[[World], float]
    least: int = 0


def aurc_of(confidence: Floats, outcome: Outcome) -> Floats:
    """Pseudo-values of AURC."""
    return aurc_rows(Pairs(view="top-label", forecast=confidence, outcome=outcome))


SCORES = {
    "NLL": Score(rows=log_score, truth=lambda world: world.mean(log_score)),
    "accuracy": Score(rows=lambda _, outcome: outcome, truth=lambda world: float(world.accuracy.mean())),
    "AURC": Score(rows=aurc_of, truth=true_aurc, least=MIN_RANKED),
}


def truth(recipe: Recipe, score: Score) -> float:
    """Mean over many runs."""
    rng = np.random.default_rng(9)
    return float(np.mean([score.truth(recipe.run(rng)) for _ in range(TRUTH_RUNS)]))


def sample(rng: np.random.Generator, arms: Sequence[Recipe], score: Score, *, n: int, runs: int) -> Ends:
    """The interval of one recipe, or of the difference of two, whose runs answer the same rows."""
    drawn, luck = rng.integers(POPULATION, size=n), rng.random(n)
    answered = [[_answers(rng, recipe.run(rng), drawn, luck) for _ in range(runs)] for recipe in arms]
    if any(min(right.sum(), n - right.sum()) < score.least for arm in answered for _, right in arm):
        return None, None, None
    found = crossed_mean(*([score.rows(*answers) for answers in arm] for arm in answered), level=LEVEL)
    return found.low, found.high, found.p_value


def _answers(rng: np.random.Generator, run: World, drawn: Rows, luck: Floats) -> tuple[Floats, Outcome]:
    """Confidences and outcomes of a run, which shares most of the rows' luck with the others."""
    own = np.where(rng.random(len(drawn)) < 0.8, luck, rng.random(len(drawn)))
    return run.confidence[drawn], own < run.accuracy[drawn]


def seed_line(luck: str, name: str, runs: int, plan: Plan) -> Line:
    """One recipe, two recipes, a recipe and its twin."""
    score, (one, other) = SCORES[name], recipes(luck)
    ours, theirs = truth(one, score), truth(other, score)
    cases = (
        (f"{name}, seeds", (one,), ours, False),
        (f"difference of {name}, seeds", (one, other), ours - theirs, False),
        (f"difference of {name}, seeds", (one, one), 0.0, True),
    )
    cells = [
        [
            plan.cell(
                f"{luck} luck, {runs} runs, {'twins, ' if twins else ''}n = {n:,}",
                family,
                partial(repeated, partial(sample, arms=arms, score=score, n=n, runs=runs), value),
                null=twins,
            )
            for n in SIZES
        ]
        for family, arms, value, twins in cases
    ]
    entries = (entry(cells[0]), entry(cells[1]), rejections(cells[2]))
    return (luck, name, str(runs), *entries), [cell for line in cells for cell in line]


def tables() -> Iterator[Table]:
    """Every luck, score and number of runs."""
    yield Table(
        title=f"Recipes: several runs on the same rows, n = {' / '.join(f'{n:,}' for n in SIZES)}",
        columns=("training luck", "score", "runs", "coverage", "difference of two recipes", "p <= .05 of twins, %"),
        tasks=tuple(partial(seed_line, *line) for line in product(LUCK, SCORES, RUNS)),
    )
