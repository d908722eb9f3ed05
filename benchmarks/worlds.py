"""Worlds whose calibration is known: populations of forecasts with the true probability that each comes true."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit.binning import Binning, BinTable, assign_bins, bin_edges, cell_sums, table_of
from calibkit.bracket import BinnedRows

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Shape = Callable[[Floats, Floats], Floats]

# A world samples from its population with replacement, so that its truths are plain means over it.
POPULATION = 40_000

TOP_LABEL = ("top-label, k = 10", "top-label, k = 2", "top-label, k = 100")
POSITIVE = ("positive, balanced", "positive, middling", "positive, rare")

# Forecasts near 0 or 1, where most samples show few misses or none: (forecast, true probability) of each share.
SATURATED = {
    "saturated network, calibrated": None,
    "saturated network, accuracy .99": 0.99,
    "saturated network, accuracy .999": 0.999,
    "rare events, said too rare": 0.005,
}
SAID = {
    "1.0, all right": ((1.0, 1.0, 1.0),),
    "1.0, accuracy .98": ((1.0, 1.0, 0.98),),
    ".9999, accuracy .999": ((1.0, 0.9999, 0.999),),
    ".98, accuracy .95": ((1.0, 0.98, 0.95),),
    ".9, accuracy .99": ((1.0, 0.9, 0.99),),
    "1.0/.99/.9, calibrated": ((0.5, 1.0, 1.0), (0.3, 0.99, 0.99), (0.2, 0.9, 0.9)),
    "1.0/.99/.9, accuracy .98/.96/.9": ((0.5, 1.0, 0.98), (0.3, 0.99, 0.96), (0.2, 0.9, 0.9)),
    "1.0/.99/.9, accuracy .9/.8/.7": ((0.5, 1.0, 0.9), (0.3, 0.99, 0.8), (0.2, 0.9, 0.7)),
    ".95/.8/.6, accuracy 1/.99/.9": ((0.5, 0.95, 1.0), (0.3, 0.8, 0.99), (0.2, 0.6, 0.9)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A population of forecasts, the true probability of each, and bins."""

    confidence: Floats
    accuracy: Floats
    edges: Floats
    index: NDArray[np.intp]

    @property
    def error(self) -> float:
        """True l1 calibration error over the bins."""
        return float(np.abs(np.bincount(self.index, self.confidence - self.accuracy)).sum() / POPULATION)

    def table(self, rows: Rows, outcome: NDArray[np.bool_]) -> BinTable:
        """The bin table of a sample."""
        sums = cell_sums(self.index[rows], self.confidence[rows], outcome, n_cells=len(self.edges) - 1)
        return table_of(self.edges, sums, weighted=False)

    def binned(self, rows: Rows, outcome: NDArray[np.bool_], groups: Rows | None = None) -> BinnedRows:
        """A sample with what its table cannot say."""
        gap = self.confidence[rows] - outcome
        return BinnedRows(table=self.table(rows, outcome), index=self.index[rows], gap=gap, groups=groups)

    def mean(self, score: Callable[[Floats, NDArray[Any]], Floats]) -> float:
        """True mean of a score of confidence and outcome."""
        right = np.ones(POPULATION, dtype=bool)
        hit, miss = score(self.confidence, right), score(self.confidence, ~right)
        return float(np.mean(self.accuracy * hit + (1 - self.accuracy) * miss))


def forecasts(kind: str) -> Floats:
    """Top-label confidences of k classes, or P(y = 1); sorted."""
    rng = np.random.default_rng(20_261_122)
    n = POPULATION
    sharp = np.where(rng.random(n) < 0.75, rng.beta(20, 0.6, n), rng.beta(2, 1.5, n))
    population = {
        "top-label, k = 10": 0.1 + 0.9 * sharp,
        "top-label, k = 2": 0.5 + 0.5 * rng.beta(1.2, 1.0, n),
        "top-label, k = 100": 0.01 + 0.99 * rng.beta(1.1, 1.0, n),
        "positive, balanced": rng.beta(0.7, 0.9, n),
        "positive, middling": rng.beta(4.0, 5.0, n),
        "positive, rare": rng.beta(0.4, 8.0, n),
    }
    return np.sort(population[kind])


def one_sign(confidence: Floats, edges: Floats) -> Floats:  # noqa: ARG001 - one signature for every shape
    """Over-confident everywhere."""
    return np.ones(len(confidence))


def alternating(confidence: Floats, edges: Floats) -> Floats:
    """Gaps that change sign from bin to bin, over-confident in the last."""
    return np.where((len(edges) - assign_bins(confidence, edges)) % 2 == 0, 1.0, -1.0)


def one_bin(confidence: Floats, edges: Floats) -> Floats:
    """A gap in one bin alone: the highest of those that hold many forecasts."""
    index = assign_bins(confidence, edges)
    share = np.bincount(index)
    chosen = int(np.flatnonzero(share > share.max() / 2)[-1])
    return np.where(index == chosen, 1.0, 0.0)


SHAPES: dict[str, Shape] = {"one sign": one_sign, "alternating": alternating, "one bin": one_bin}


def make_world(confidence: Floats, shape: str, error: float, n_bins: int = 15) -> World | None:
    """A world of the wanted true error; None where probabilities in [0, 1] cannot reach it."""
    edges = bin_edges(confidence, Binning(n_bins=n_bins))
    index, direction = assign_bins(confidence, edges), SHAPES[shape](confidence, edges)

    def scaled(size: float) -> World:
        accuracy = np.clip(confidence - size * direction, 0.0, 1.0)
        return World(confidence=confidence, accuracy=accuracy, edges=edges, index=index)

    low, high = 0.0, 1.0
    if scaled(high).error < error:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle).error < error else (low, middle)
    return scaled(low)


def certain_world(name: str) -> World:
    """A world of `SATURATED` or `SAID`."""
    if name in SAID:
        sizes = [round(share * POPULATION) for share, _, _ in SAID[name]]
        confidence, accuracy = (np.repeat([row[i] for row in SAID[name]], sizes) for i in (1, 2))
    else:
        confidence = 1 - np.geomspace(3e-3, 1e-6, POPULATION)
        rate = SATURATED[name]
        if name.startswith("rare"):
            confidence = (1 - confidence)[::-1]
        accuracy = confidence if rate is None else np.full(POPULATION, rate)
    edges = bin_edges(confidence, Binning())
    return World(confidence=confidence, accuracy=accuracy, edges=edges, index=assign_bins(confidence, edges))


def second_opinion(confidence: Floats) -> Floats:
    """Another model's confidences on the same rows: as many of each size, in a correlated order."""
    noise = np.random.default_rng(7).normal(scale=0.15 * POPULATION, size=POPULATION)
    order = np.argsort(np.arange(POPULATION) + noise)
    other = np.empty(POPULATION)
    other[order] = np.sort(confidence)
    return other


def group_sizes(n_groups: int, n: int, rng: np.random.Generator, *, equal: bool) -> Rows:
    """Sizes of groups of about n rows in all: equal, or of a Pareto tail."""
    share = np.ones(n_groups) if equal else 1 + rng.pareto(1.5, n_groups)
    return np.asarray(np.maximum(1, np.rint(n * share / share.sum())), dtype=np.int64)


def dependent_sample(
    world: World, sizes: Rows, rng: np.random.Generator, *, shared: float | None = None
) -> tuple[Rows, NDArray[np.bool_], Rows]:
    """Rows, outcomes and groups: a group's rows have similar forecasts, and are all luckier or all unluckier.

    With `shared`, a group has one luck, which decides this share of its rows: it fails as a whole, or not at all.
    """
    groups = np.repeat(np.arange(len(sizes)), sizes)
    place = rng.random(len(sizes))[groups] + 0.1 * rng.random(len(groups))
    rows = (place % 1.0 * POPULATION).astype(np.int64)  # the population is sorted
    accuracy = world.accuracy[rows]
    if shared is not None:
        luck = np.where(rng.random(len(rows)) < shared, rng.random(len(sizes))[groups], rng.random(len(rows)))
        return rows, luck < accuracy, groups
    luck = rng.choice([-0.7, 0.7], len(sizes))[groups]
    return rows, rng.random(len(rows)) < accuracy + luck * np.minimum(accuracy, 1 - accuracy), groups
