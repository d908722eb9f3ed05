"""Worlds whose calibration is known: populations of forecasts with the true probability that each comes true."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit.binning import Binning, assign_bins, bin_edges, cell_sums, table_of
from calibkit.bracket import BinnedRows

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Shape = Callable[[Floats, Floats], Floats]
Score = Callable[[Floats, NDArray[Any]], Floats]

# A world samples from its population with replacement, so that its truths are plain means over it. Few enough
# forecasts that a sample of any size is drawn as counts of them, many enough that every bin holds many.
POPULATION = 1_000

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """A population of forecasts, sorted, the true probability of each, bins, and weights."""

    confidence: Floats
    accuracy: Floats
    edges: Floats
    index: NDArray[np.intp]
    weight: Floats | None = None

    @property
    def shares(self) -> Floats:
        """Share of the population's weight that each forecast has."""
        weight = np.ones(POPULATION) if self.weight is None else self.weight
        return np.asarray(weight / weight.sum())

    @property
    def error(self) -> float:
        """True l1 calibration error over the bins."""
        return float(np.abs(np.bincount(self.index, self.shares * (self.confidence - self.accuracy))).sum())

    @property
    def rms(self) -> float:
        """True l2 calibration error over the bins."""
        share, gap = (
            np.bincount(self.index, v) for v in (self.shares, self.shares * (self.confidence - self.accuracy))
        )
        return float(np.sqrt(np.sum(gap[share > 0] ** 2 / share[share > 0])))

    def binned(self, rows: Rows, outcome: NDArray[np.bool_], groups: Rows | None = None) -> BinnedRows:
        """A sample, row by row."""
        weights = None if self.weight is None else self.weight[rows]
        confidence, index = self.confidence[rows], self.index[rows]
        sums = cell_sums(index, confidence, outcome, n_cells=len(self.edges) - 1, weights=weights)
        table = table_of(self.edges, sums, weighted=weights is not None)
        return BinnedRows(table=table, index=index, gap=confidence - outcome, groups=groups, weights=weights)

    def reweighted(self, other: "World") -> "World":
        """The same forecasts with the weights of another world: its error is then what these weights make it."""
        return replace(self, weight=other.weight)

    def mean(self, score: Score) -> float:
        """True mean of a score of confidence and outcome."""
        right = np.ones(POPULATION, dtype=bool)
        hit, miss = score(self.confidence, right), score(self.confidence, ~right)
        return float(np.sum(self.shares * (self.accuracy * hit + (1 - self.accuracy) * miss)))


def forecasts(kind: str) -> Floats:
    """Top-label confidences of k classes, or P(y = 1): quantiles of 40,000 draws, sorted."""
    rng = np.random.default_rng(20_261_122)
    n = 40_000
    sharp = np.where(rng.random(n) < 0.75, rng.beta(20, 0.6, n), rng.beta(2, 1.5, n))
    population = {
        "top-label, k = 10": 0.1 + 0.9 * sharp,
        "top-label, k = 2": 0.5 + 0.5 * rng.beta(1.2, 1.0, n),
        "top-label, k = 100": 0.01 + 0.99 * rng.beta(1.1, 1.0, n),
        "positive, balanced": rng.beta(0.7, 0.9, n),
        "positive, middling": rng.beta(4.0, 5.0, n),
        "positive, rare": rng.beta(0.4, 8.0, n),
    }
    step = n // POPULATION
    return np.sort(population[kind])[step // 2 :: step]


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


def random_gaps(confidence: Floats, edges: Floats) -> Floats:
    """A gap of random size and sign in each bin."""
    sizes = np.random.default_rng(len(edges)).normal(size=len(edges) - 1)
    return np.asarray(sizes[assign_bins(confidence, edges)])


SHAPES: dict[str, Shape] = {
    "one sign": one_sign,
    "alternating": alternating,
    "one bin": one_bin,
    "random": random_gaps,
}


def weighted(world: World, kind: str) -> World:
    """The same forecasts with weights: at random (exponential, counts), or larger where they are lower (importance)."""
    weight = {
        "exponential": np.random.default_rng(11).exponential(size=POPULATION),
        "counts": np.random.default_rng(11).integers(1, 6, POPULATION).astype(np.float64),
        "importance": np.exp(-2 * world.confidence),
    }[kind]
    return replace(world, weight=weight)


def make_world(
    confidence: Floats, shape: str, error: float, n_bins: int = 15, weights: str | None = None
) -> World | None:
    """A world of the wanted true error; None where probabilities in [0, 1] cannot reach it."""
    edges = bin_edges(confidence, Binning(n_bins=n_bins))
    index, direction = assign_bins(confidence, edges), SHAPES[shape](confidence, edges)

    def scaled(size: float) -> World:
        accuracy = np.clip(confidence - size * direction, 0.0, 1.0)
        world = World(confidence=confidence, accuracy=accuracy, edges=edges, index=index)
        return world if weights is None else weighted(world, weights)

    low, high = 0.0, 1.0
    if scaled(high).error < error:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle).error < error else (low, middle)
    return scaled(low)


RECALIBRATED: dict[str, Callable[[Floats], Floats]] = {
    "forecasts + .01": lambda c: np.clip(c + 0.01, 0.0, 1.0),
    "forecasts + .03": lambda c: np.clip(c + 0.03, 0.0, 1.0),
    "forecasts - .03": lambda c: np.clip(c - 0.03, 0.0, 1.0),
    "odds to the power 1.2": lambda c: c**1.2 / (c**1.2 + (1 - c) ** 1.2),
    "odds to the power .8": lambda c: c**0.8 / (c**0.8 + (1 - c) ** 0.8),
}


def restated(world: World, how: str) -> World:
    """The same rows and outcomes with other forecasts, as before or after a recalibration."""
    confidence = RECALIBRATED[how](world.confidence)
    return replace(world, confidence=confidence, index=assign_bins(confidence, world.edges))


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """A population of probability vectors, the true ones, and bins: for the views that hold k pairs a row."""

    probs: Floats
    truth: Floats
    edges: Floats

    def cells(self, view: str) -> Rows:
        """The cell of every pair: a bin, or a class and a bin."""
        index = assign_bins(self.probs, self.edges)
        if view == "flattened":
            return np.asarray(index)
        return np.asarray(index + (len(self.edges) - 1) * np.arange(self.probs.shape[1]))

    def error(self, view: str) -> float:
        """True error: the mean over classes, or that of all pairs."""
        cells = self.cells(view).ravel()
        return float(np.abs(np.bincount(cells, (self.probs - self.truth).ravel())).sum() / self.probs.size)


def class_scores(k: int, shape: str, n_bins: int = 15) -> Scores:
    """200 probability vectors of a confident network, and a truth that differs from them in a known way."""
    rng = np.random.default_rng(k)
    logits = rng.normal(scale=2.0, size=(200, k)) + 4 * np.eye(k)[rng.integers(k, size=200)]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    cooler = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    favoured = 0.9 * probs + 0.1 * np.eye(k)[0]
    truth = {
        "calibrated": probs,
        "a little over-confident": 0.9 * probs + 0.1 * cooler,
        "over-confident": cooler,
        "one class too rare": favoured,
    }[shape]
    return Scores(probs=probs, truth=truth, edges=np.arange(n_bins + 1) / n_bins)
