"""What would repair forecasts: a temperature, and Cox's slope and shifts, on logits whose best ones are known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.cells import LEVEL, entry
from benchmarks.coverage.rows import Ends, repeated
from benchmarks.coverage.tables import GROUPS, Line, Plan, Table
from benchmarks.coverage.worlds import POPULATION, Floats, Rows, group_sizes
from calibkit.goodness_of_fit import cox_of
from calibkit.intervals import normal_quantile
from calibkit.pairs import Pairs, PairView, pairs_of
from calibkit.predictions import Predictions
from calibkit.recalibration import fit_temperature
from calibkit.scores import score_rows

SIZES = (300, 1_000, 3_000, 10_000)
COX_SIZES = (300, 1_000, 3_000)
TEMPERATURES = (0.5, 1.0, 2.0)
TRUTHS = ("softmax", "a tenth of the labels random")
COX = {"slope": "slope", "calibration_in_the_large": "shift"}
# Rows of a sample with groups; which share of a group's rows follows one luck.
GROUPED_ROWS, SHARED = 2_000, 0.5

# Draws rows, and the uniform numbers that decide their labels; and groups.
Draw = Callable[[np.random.Generator], tuple[Rows, Floats, Rows | None]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logits:
    """A population of logits, (m, k) or (m,) log-odds, the true probabilities (m, k), and weights."""

    logits: Floats
    truth: Floats
    weight: Floats | None = None

    def sample(self, rng: np.random.Generator, draw: Draw) -> Predictions:
        """Predictions with labels."""
        rows, luck, groups = draw(rng)
        labels = (self.truth[rows].cumsum(axis=1) < luck[:, None]).sum(axis=1).clip(max=self.truth.shape[1] - 1)
        weights = None if self.weight is None else self.weight[rows]
        return Predictions.from_logits(labels, self.logits[rows], weights=weights, groups=groups)

    @property
    def every_label(self) -> Predictions:
        """Every row with every label, weighted by how often it has it: what it fits is true."""
        m, k = self.truth.shape
        share = self.truth if self.weight is None else self.truth * self.weight[:, None]
        return Predictions.from_logits(
            np.tile(np.arange(k), m), np.repeat(self.logits, k, axis=0), weights=share.ravel()
        )


def make_logits(k: int, temperature: float, truth: str, weights: str | None = None) -> Logits:
    """Logits that are `temperature` times those of the truth, which may be none that a temperature can reach."""
    rng = np.random.default_rng(k)
    best = rng.normal(scale=2.0, size=(POPULATION, k)) if k > 2 else rng.normal(scale=1.5, size=(POPULATION, 2))
    if k > 2:
        best += 4 * np.eye(k)[rng.integers(k, size=POPULATION)]
    probs = np.exp(best) / np.exp(best).sum(axis=1, keepdims=True)
    probs = probs if truth == "softmax" else 0.9 * probs + 0.1 / k
    said = temperature * (best if k > 2 else best[:, 1] - best[:, 0])
    weight = np.random.default_rng(11).exponential(size=POPULATION) if weights is not None else None
    return Logits(logits=said, truth=probs, weight=weight)


def independent(n: int, rng: np.random.Generator) -> tuple[Rows, Floats, None]:
    """Rows that know nothing of each other."""
    return rng.integers(POPULATION, size=n), rng.random(n), None


def in_groups(n_groups: int, sizes: str, rng: np.random.Generator) -> tuple[Rows, Floats, Rows]:
    """Groups of the same logits, half of whose labels are one."""
    size = group_sizes(n_groups, GROUPED_ROWS, rng, equal=sizes == "equal")
    groups = np.repeat(np.arange(n_groups), size)
    own: NDArray[np.bool_] = rng.random(len(groups)) < SHARED
    luck = np.where(own, rng.random(n_groups)[groups], rng.random(len(groups)))
    return rng.integers(POPULATION, size=n_groups)[groups], luck, groups


def temperature_ends(rng: np.random.Generator, *, world: Logits, draw: Draw) -> Ends:
    """The interval of log T."""
    fitted = fit_temperature(world.sample(rng, draw), confidence_level=LEVEL, threads=1)
    if fitted.low is None or fitted.high is None:
        return None, None, None
    return float(np.log(fitted.low)), float(np.log(fitted.high)), None


def cox_ends(rng: np.random.Generator, *, world: Logits, n: int, parameter: str) -> Ends:
    """The normal interval of a number of Cox's recalibration."""
    fit = cox_of(read(world.sample(rng, partial(independent, n))))
    value, error = getattr(fit, parameter), getattr(fit, f"{parameter}_se")
    if not np.isfinite(value) or not np.isfinite(error):
        return None, None, None
    reach = normal_quantile(LEVEL) * error
    return value - reach, value + reach, None


def read(predictions: Predictions) -> Pairs:
    """Pairs of 1-D forecasts, or of the top labels."""
    view: PairView = "positive" if predictions.is_binary else "top-label"
    return pairs_of(predictions, score_rows(predictions, threads=1), view=view)


def cox_line(k: int, temperature: float, truth: str, weights: str | None, plan: Plan) -> Line:
    """Cox's slope and calibration-in-the-large of independent rows."""
    world = make_logits(k, temperature, truth, weights)
    best = cox_of(read(world.every_label))
    found = {
        parameter: [
            plan.cell(
                f"k = {k}, {truth}, logits times {temperature:g}, n = {n:,}",
                f"Cox, {name}" + ("" if weights is None else ", weighted"),
                partial(
                    repeated,
                    partial(cox_ends, world=world, n=n, parameter=parameter),
                    float(getattr(best, parameter)),
                ),
            )
            for n in COX_SIZES
        ]
        for parameter, name in COX.items()
    }
    true = " ".join(f"{getattr(best, parameter):.3f}" for parameter in COX)
    entries = (entry(cells) for cells in found.values())
    return (str(k), truth, weights or "none", true, *entries), [cell for cells in found.values() for cell in cells]


def temperature_line(k: int, temperature: float, truth: str, weights: str | None, plan: Plan) -> Line:
    """T of independent rows."""
    world = make_logits(k, temperature, truth, weights)
    best = fit_temperature(world.every_label).value
    family = "log T" if weights is None else "log T, weighted"
    cells = [
        plan.cell(
            f"k = {k}, {truth}, logits times {temperature:g}, n = {n:,}",
            family,
            partial(
                repeated, partial(temperature_ends, world=world, draw=partial(independent, n)), float(np.log(best))
            ),
        )
        for n in SIZES
    ]
    return (str(k), truth, weights or "none", f"{best:.3f}", entry(cells)), cells


def grouped_line(k: int, temperature: float, sizes: str, plan: Plan) -> Line:
    """T of dependent rows."""
    world = make_logits(k, temperature, TRUTHS[0])
    cells = [
        plan.cell(
            f"k = {k}, logits times {temperature:g}, {sizes}, G = {g}",
            "log T, groups",
            partial(
                repeated,
                partial(temperature_ends, world=world, draw=partial(in_groups, g, sizes)),
                float(np.log(temperature)),
            ),
        )
        for g in GROUPS
    ]
    return (str(k), sizes, f"{temperature:g}", entry(cells)), cells


def tables() -> Iterator[Table]:
    """Every table of this part."""
    settings = tuple(product((2, 10), TEMPERATURES, TRUTHS))
    yield Table(
        title=f"Temperature: n = {' / '.join(f'{n:,}' for n in SIZES)}",
        columns=("k", "truth", "weights", "true T", "coverage of log T"),
        tasks=tuple(
            partial(temperature_line, *line, weights)
            for line, weights in product(settings, (None, "exponential"))
            if weights is None or line[1] == 2
        ),
    )
    yield Table(
        title=f"Cox's recalibration: n = {' / '.join(f'{n:,}' for n in COX_SIZES)}",
        columns=("k", "truth", "weights", "true slope and shift", "slope", "shift with slope 1"),
        tasks=tuple(
            partial(cox_line, *line, weights)
            for line, weights in product(settings, (None, "exponential"))
            if weights is None or line[1] == 2
        ),
    )
    yield Table(
        title=f"Temperature of dependent rows: 2,000 in G = {' / '.join(map(str, GROUPS))} groups",
        columns=("k", "sizes", "true T", "coverage of log T"),
        tasks=tuple(partial(grouped_line, *line) for line in product((2, 10), (1.0, 2.0), ("equal", "Pareto"))),
    )
