"""Rows as they may come: forecasts, the true probability of each, and their bins. Floor 3."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.binning import Binning, BinTable, assign_bins, bin_edges
from calibkit.bracket.parts import parts_of
from calibkit.errors import OptionError
from calibkit.intervals import with_unseen

DEFAULT_ERROR, DEFAULT_CLASSES = 0.02, 10
_DEFAULT_SIZE = 1_000
_HALVINGS = 50
# Of a larger pilot every second, third, ... row is enough to say how forecasts are distributed.
_ENOUGH = 100_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Equally likely rows, of which a test set is drawn.

    Attributes
    ----------
    confidence : ndarray of shape (m,)
        Forecasts.
    gap : ndarray of shape (m,)
        Forecast minus true probability, one value a bin; cut where the probability would leave [0, 1].
    index : ndarray of shape (m,), integer
        Bin of each forecast.
    edges : ndarray of shape (b + 1,)
        Of the bins.

    Examples
    --------
    >>> forecasts, edges = np.array([0.6, 0.9]), np.array([0.0, 0.75, 1.0])
    >>> made = Population(confidence=forecasts, gap=np.full(2, 0.1), index=np.arange(2), edges=edges)
    >>> round(made.error, 4), made.with_error(0.05).truth.round(4)
    (0.1, array([0.55, 0.85]))
    """

    confidence: Floats
    gap: Floats
    index: NDArray[Any]
    edges: Floats

    @property
    def truth(self) -> Floats:
        """True probability of each row."""
        return np.clip(self.confidence - self.gap, 0.0, 1.0)

    @property
    def error(self) -> float:
        """True l1 calibration error over the bins."""
        return float(np.abs(np.bincount(self.index, self.confidence - self.truth)).sum() / len(self.confidence))

    @property
    def largest(self) -> "Population":
        """The same forecasts and signs, with gaps so large that they cannot grow."""
        sign = np.sign(self.gap)
        return replace(self, gap=sign if sign.any() else np.ones(len(sign)))

    def with_error(self, error: float) -> "Population":
        """The same forecasts and signs with this true error, and gaps of one size wherever probabilities allow it.

        Spread so, an error is hardest to see; which bins hold more of it, a pilot can hardly say.
        """
        largest = self.largest
        if error > largest.error:
            raise OptionError(
                f"an ECE of {error:.4g} cannot be: with gaps of these signs, such forecasts are wrong by at most "
                f"{largest.error:.4g}. Ask for less, or give a pilot of other forecasts."
            )
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if _scaled(largest, middle).error < error else (low, middle)
        return _scaled(largest, high)

    @property
    def thinned(self) -> "Population":
        """Every k-th row, so that at most 100,000 are left."""
        step = -(-len(self.confidence) // _ENOUGH)
        if step <= 1:
            return self
        confidence, gap, index = (np.ascontiguousarray(x[::step]) for x in (self.confidence, self.gap, self.index))
        return replace(self, confidence=confidence, gap=gap, index=index)


def _scaled(population: Population, factor: float) -> Population:
    return replace(population, gap=factor * population.gap)


def default_population(binning: Binning) -> Population:
    """Top-label confidences of a network with ten classes, over-confident alike in every bin, by .02.

    .1 + .9 (.75 Beta(20, .6) + .25 Beta(2, 1.5)): three quarters of the answers are nearly sure.
    """
    from scipy.special import betaincinv

    sure = _DEFAULT_SIZE * 3 // 4
    parts = [(20.0, 0.6, sure), (2.0, 1.5, _DEFAULT_SIZE - sure)]
    share = np.concatenate([betaincinv(a, b, (np.arange(m) + 0.5) / m) for a, b, m in parts])
    confidence = 1 / DEFAULT_CLASSES + (1 - 1 / DEFAULT_CLASSES) * share
    edges = bin_edges(confidence, binning)
    index = assign_bins(confidence, edges, binning.edges)
    made = Population(confidence=confidence, gap=np.ones(len(confidence)), index=index, edges=edges)
    return made.with_error(DEFAULT_ERROR)


def pilot_population(forecast: Floats, index: NDArray[Any], table: BinTable) -> Population:
    """The forecasts of a pilot, with gaps as its table makes them likely."""
    index = index.astype(np.intp)
    return Population(
        confidence=np.asarray(forecast, dtype=np.float64), gap=likely_gaps(table)[index], index=index, edges=table.edges
    )


def likely_gaps(table: BinTable) -> Floats:
    """Gap of each bin, drawn to the mean of all by as much as chance explains how they differ; 0 in empty ones.

    With gaps g and variances v: the mean is weighted by 1/v, the variance between bins is by moments (DerSimonian,
    Laird 1986), and g moves to the mean by the share v / (v + between).

    Examples
    --------
    >>> from calibkit.binning import bin_table
    >>> said, right = np.repeat([0.6, 0.9], 200), np.arange(400) % 2 == 0
    >>> table = bin_table(said, right, Binning(), edges=np.array([0.0, 0.75, 1.0]))
    >>> table.gap, likely_gaps(table).round(3)
    (array([0.1, 0.4]), array([0.104, 0.396]))
    """
    parts = parts_of(table)
    filled = parts.filled
    share = table.weight[filled] / table.weight.sum()
    gap = parts.gap[filled] / share
    variance = with_unseen(parts.error[filled] / share, table.count[filled].astype(np.float64)) ** 2
    precision = 1 / variance
    total = precision.sum()
    mean = float(precision @ gap / total)
    freedom = total - (precision**2).sum() / total
    excess = float(precision @ (gap - mean) ** 2) - (len(gap) - 1)
    between = max(0.0, excess / freedom) if len(gap) > 1 else 0.0
    likely = np.zeros(len(table.count))
    likely[filled] = mean + between / (between + variance) * (gap - mean)
    return likely
