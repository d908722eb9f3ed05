"""Samples of n rows of one model, as bin tables, and the intervals that `evaluate` would give them. Floor 3."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.bracket import p_values_of
from calibkit.bracket.single import table_ends
from calibkit.planning.population import Population
from calibkit.resampling import null_errors

# Samples of each size (.6 points of a power of 80 %), and calibrated models behind the chance test.
SAMPLES, NULL_SAMPLES = 4_000, 5_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """What a row of a population adds to the bins, on average.

    Attributes
    ----------
    edges : ndarray of shape (b + 1,)
        Of the bins.
    share, said, gap, square : ndarray of shape (b,)
        Means over rows of 1, the forecast, the gap and the squared gap, each where the row is in the bin.
    """

    edges: Floats
    share: Floats
    said: Floats
    gap: Floats
    square: Floats

    def table(self, n: int, deviation: Floats) -> BinTable:
        """Tables of samples of n rows, (samples, b), from the deviations of their gaps, times sqrt(n)."""
        weight = np.broadcast_to(n * self.share, deviation.shape)
        expected = np.broadcast_to(n * self.said, deviation.shape)
        outcome = np.clip(expected - n * self.gap - np.sqrt(n) * deviation, 0.0, weight)
        # A bin that has forecasts has rows: whole ones, so that chance can be drawn for them.
        count = np.where(weight > 0, np.maximum(np.rint(weight), 1), 0).astype(np.int64)
        return BinTable(
            edges=self.edges,
            count=count,
            weight=weight,
            weight_squared=weight,
            confidence_sum=expected,
            outcome_sum=outcome,
        )


def model_of(population: Population) -> Model:
    """The moments of a population's bins."""
    truth, size = population.truth, len(population.confidence)

    def mean(values: NDArray[Any]) -> Floats:
        return np.bincount(population.index, values, len(population.edges) - 1) / size

    gap = population.confidence - truth
    return Model(
        edges=population.edges,
        share=mean(np.ones(size)),
        said=mean(population.confidence),
        gap=mean(gap),
        square=mean(gap**2 + truth * (1 - truth)),
    )


def deviations(covariance: Floats, normal: Floats) -> Floats:
    """Draws of this covariance, (samples, b), from standard normal ones."""
    size, axes = np.linalg.eigh(covariance)
    # Symmetric, so that a small change of the covariance changes the draws a little.
    root = (axes * np.sqrt(np.maximum(size, 0.0))) @ axes.T
    return np.asarray(normal @ root)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampler:
    """The same normal draws for every size of sample: what is read off them changes smoothly with it."""

    level: float
    seed: int

    def ends(self, population: Population, n: int) -> tuple[Floats, Floats]:
        """Ends of the interval of ECE in samples of n rows, (samples,)."""
        model = model_of(population)
        normal = np.random.default_rng(self.seed).normal(size=(SAMPLES, len(model.share)))
        covariance = np.diag(model.square) - np.outer(model.gap, model.gap)
        table = model.table(n, deviations(covariance, normal))
        return table_ends(table, level=self.level, explained=self._explained(table))

    def _explained(self, table: BinTable) -> NDArray[np.bool_]:
        """Where the chance test does not reject: its draws depend on the forecasts, which all samples share."""
        count, weight, expected = (values[0] for values in (table.count, table.weight, table.confidence_sum))
        rng = np.random.default_rng(self.seed)
        null = null_errors(count, weight, expected, rng=rng, n_draws=NULL_SAMPLES)
        theta = np.abs(table.confidence_sum - table.outcome_sum).sum(axis=-1) / weight.sum()
        return p_values_of(theta, null) > (1 - self.level) / 2

    def detects(self, population: Population, n: int) -> float:
        """How often the interval lies above 0."""
        return float(np.mean(self.ends(population, n)[0] > 0))

    def half_width(self, population: Population, n: int) -> float:
        """Half the mean width of the interval."""
        low, high = self.ends(population, n)
        return float(np.mean(high - low) / 2)
