"""How far a number from cells can be from that of the rows: bounds that hold whatever lies inside a cell. Floor 3.

What is known of a block of rows: by outcome its weight, mean forecast, smallest and largest forecast. docs/scale.md
derives the bounds.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from calibkit._numerics import Floats
from calibkit.decomposition import Score
from calibkit.isotonic import isotonic_rates
from calibkit.pairs import TiedPairs
from calibkit.selective import TiedBlocks, blocks_of
from calibkit.tally import Histogram

# Integral of the absolute first and second derivative of the normal density, for a standard deviation of 1.
_SLOPE, _CURVATURE = float(2 / np.sqrt(2 * np.pi)), float(4 * np.exp(-0.5) / np.sqrt(2 * np.pi))
# What the quadrature of smooth ECE, and the rounding of any of these numbers, add at most.
QUADRATURE, ROUNDING = 1e-6, 1e-12
_ROUNDS = 60


def spread_within(cells: Histogram) -> Floats:
    """Largest variance of the forecasts of a block and outcome with this mean, (2, m) (Bhatia and Davis 2000)."""
    there = cells.count > 0
    low, high = np.where(there, cells.low, 0.0), np.where(there, cells.high, 0.0)
    return np.where(there, np.maximum(high - cells.means, 0.0) * np.maximum(cells.means - low, 0.0), 0.0)


def smooth_bound(cells: Histogram, error: float) -> float:
    """Bound for the smooth calibration error, from blocks at the mean forecast of each outcome.

    Moving forecasts m + d to their mean m changes the smoothed gap by sum d (K(m + d) - K(m)) + (m - y) sum (K(m + d) -
    K(m) - d K'(m)), whose integral is at most sum d^2 (sqrt(2/pi)/s + |m - y| 2 phi(1)/s^2): largest where the
    bandwidth s is smallest. The error is the s at which the smoothed error is s.
    """
    share = cells.weight * spread_within(cells) / cells.weight.sum()
    first = _SLOPE * share.sum()
    second = _CURVATURE / 2 * (share * np.abs(cells.means - [[0.0], [1.0]])).sum()
    bound = 0.0
    for _ in range(_ROUNDS):
        least = error - bound
        larger = first / least + second / least**2 if least > 0 else error
        if larger <= bound * (1 + 1e-9) or larger >= error:
            return min(max(bound, larger), error) + QUADRATURE
        bound = larger
    return error + QUADRATURE


def isotonic_bounds(cells: Histogram, score: Score) -> tuple[float, float]:
    """Mean score of the recalibrated forecasts: the least it can be, and what recalibrating whole blocks gives.

    Rows recalibrated one by one score at most as much as whole blocks; and at least as much as if the forecast told the
    two outcomes of a block apart: give the misses the least of the block's rates and the hits the largest, and no score
    gets worse.
    """
    return _recalibrated(cells.ordered(hits_above=True), score), _recalibrated(cells.tied(), score)


def _recalibrated(tied: TiedPairs, score: Score) -> float:
    rates = isotonic_rates(tied.happened, tied.weight)
    hits, misses = tied.happened, tied.weight - tied.happened
    costs = _costs(1 - rates, hits, score) + _costs(rates, misses, score)
    return float(costs.sum()) / float(tied.weight.sum())


def score_bounds(cells: Histogram, score: Score) -> tuple[float, float]:
    """Mean score of the forecasts themselves: with all rows of a block and outcome at their mean, and the most it is.

    Both scores are convex in the forecast: all at the mean is the least, all at the ends is the most.
    """
    there = cells.count > 0
    # Distance from what happened: sums of 1 - c keep their digits near 1.
    near = np.where(there, np.stack([cells.low[0], 1 - cells.high[1]]), 0.0)
    far = np.where(there, np.stack([cells.high[0], 1 - cells.low[1]]), 0.0)
    sums = np.stack([cells.forecast[0], cells.missing[1]])
    mean = np.clip(np.divide(sums, cells.weight, out=np.zeros(sums.shape), where=there), near, far)
    share = np.divide(mean - near, far - near, out=np.zeros(mean.shape), where=far > near)
    least = _costs(mean, cells.weight, score)
    most = _costs(far, cells.weight * share, score) + _costs(near, cells.weight * (1 - share), score)
    total = float(cells.weight.sum())
    return float(least.sum()) / total, float(np.maximum(least, most).sum()) / total


def _costs(distance: Floats, weight: Floats, score: Score) -> Floats:
    """Score of forecasts so far from what happened, times the weight; without weight nothing."""
    with np.errstate(divide="ignore"):
        cost = distance**2 if score == "brier" else 0.0 - np.log1p(-distance)
    return np.where(weight > 0, weight * np.where(weight > 0, cost, 0.0), 0.0)


def excursion_bound(cells: Histogram, statistic: Literal["ecce_r", "ecce_mad"], value: float) -> float:
    """Bound for the range or the largest size of the cumulative differences, which are known at the ends of blocks.

    Inside a free block they rise by at most what its hits add, and fall by at most what its misses take.
    """
    total, free = cells.weight.sum(), cells.free
    start = np.append(0.0, np.cumsum(cells.missing[1] - cells.forecast[0])) / total
    rise, fall = np.where(free, cells.missing[1], 0.0) / total, np.where(free, cells.forecast[0], 0.0) / total
    top = float(np.max(np.append(start[:-1] + rise, start)))
    bottom = float(np.min(np.append(start[:-1] - fall, start)))
    most = top - bottom if statistic == "ecce_r" else max(top, -bottom)
    return max(most - value, 0.0) + ROUNDING


def ranking_bound(cells: Histogram, kernel: Callable[[TiedBlocks], float], value: float) -> float:
    """Bound for a metric of the ranking: in a free block right rows may all be above wrong ones, or all below."""
    ends = (kernel(blocks_of(cells.ordered(hits_above=above))) for above in (True, False))
    return max(abs(end - value) for end in ends) + ROUNDING
