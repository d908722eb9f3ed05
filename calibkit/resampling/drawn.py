"""Errors of calibrated models of many rows, from cells of labels drawn for some of them. Floor 2.

Labels drawn for a row stand for its probabilities: a model draws one of them. So a row of any number of classes takes
the same memory, and with L labels a row the outcomes vary by 1 - 1/L of what the probabilities would make of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers, sums_by
from calibkit.binning import BinTable
from calibkit.bracket import null_size
from calibkit.class_tables import stacked

# Beyond this variance a binomial is normal; below this rate it is one of Poisson.
_NORMAL, _POISSON = 1e5, 1e-5


def errors_of_drawn(
    drawn: Integers,
    weights: Floats,
    tables: Sequence[BinTable],
    n: int,
    *,
    rng: np.random.Generator,
    n_draws: int,
) -> Floats:
    r"""What calibrated models of n rows with these tables show, (n_draws,), from a sample of m of the rows.

    Parameters
    ----------
    drawn : ndarray of shape (m, L)
        Cells of labels drawn for each row of the sample. Where few rows stand for many, each several times: cells are
        then about as sparse as they are in all rows.
    weights : ndarray of shape (m,)
        Their weights.
    tables : sequence of BinTable
        One a class, or one of all pairs: of all rows. Their bins, one after the other, are the cells.
    n : int
        Rows.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int
        Number of calibrated models drawn.

    Notes
    -----
    The error is sum \|D_c\| over the cells, D_c the weight expected in a cell less what falls in it. Let pi_ic be the
    probability that row i falls in cell c. E_c = sum w pi is known from the tables of all rows; the sample gives

        q_c = sum w^2 pi^2 / sum w^2 pi,

    without bias, pi^2 from pairs of a row's labels that share a cell. The binomial of mean E_c and rate q_c has the
    mean and the variance of what falls in the cell, and hence its mean absolute deviation, nearly: so mean and variance
    of each \|D_c\| are those of all rows. Only the covariances of cells are those of the sample, which fall as 1/n:

        mean = sum_c mean_c,   var = sum_c var_c + cov_m L/(L - 1) m/n.

    The draws of the sample are moved and stretched to these.
    """
    sample = _sample_of(drawn, weights)
    total, mean, variance = _if_independent(tables, sample)
    sums, apart = _draw(sample, weights, rng=rng, n_draws=n_draws)
    spread, n_labels = float(sums.var(ddof=1)), drawn.shape[1]
    # To the weight of all pairs, and from m rows to n.
    scale = total / (weights.sum() * _pairs_a_row(tables, n))
    shared = (spread - apart) * n_labels / (n_labels - 1) * scale**2 * len(drawn) / n
    stretch = np.sqrt(max(variance + shared, 0.0) / spread) if spread > 0 else 0.0
    return np.asarray(np.maximum(mean + (sums - sums.mean()) * stretch, 0.0) / total)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """The cells in which labels of the sample fall: their numbers, where each label falls, and what they expect."""

    cells: NDArray[np.intp]
    place: NDArray[np.intp]
    expected: Floats
    rate: Floats


def _sample_of(drawn: Integers, weights: Floats) -> _Sample:
    """Labels as their cells, with the expected weight of each and its rate."""
    m, n_labels = drawn.shape
    cells, place = np.unique(drawn, return_inverse=True)
    place, width = place.reshape(drawn.shape), len(cells)
    expected, weighted = (
        sums_by(place.ravel(), np.repeat(w, n_labels), width) / n_labels for w in (weights, weights**2)
    )
    runs, length = np.unique(place + width * np.arange(m)[:, None], return_counts=True)
    row, cell = np.divmod(runs, width)
    squares = sums_by(cell, weights[row] ** 2 * length * (length - 1.0), width) / (n_labels * (n_labels - 1))
    return _Sample(cells=cells, place=place, expected=expected, rate=squares / weighted)


def _if_independent(tables: Sequence[BinTable], sample: _Sample) -> tuple[float, float, float]:
    """Weight of all pairs, and mean and variance that the sum of all errors would have if cells were independent."""
    weight, squared, expected = (
        np.concatenate([getattr(table, name).ravel() for table in stacked(tables)])
        for name in ("weight", "weight_squared", "confidence_sum")
    )
    total = float(weight.sum())
    some = (expected > 0) & (weight > 0)
    rate, unit = np.zeros(len(weight)), squared[some] / weight[some]
    rate[sample.cells] = sample.rate
    rate = np.clip(rate[some], *(ends[some] for ends in _bounds_of_rate(tables)))
    happens = expected[some] / unit
    size = unit * _mean_deviation(happens, rate)
    variance = np.maximum(unit**2 * happens * (1 - rate) - size**2, 0.0)
    return total, float(size.sum()), float(variance.sum())


def _bounds_of_rate(tables: Sequence[BinTable]) -> tuple[Floats, Floats]:
    """What q of each cell can be, whatever the sample says.

    In bins of one class q is a mean of forecasts, weighted by these: no less than their plain mean c, and no more than
    c + (b - c)(c - a)/c in a bin from a to b (Bhatia and Davis 2000). The pairs of a row that share a bin add up, so
    that in one table of all pairs q can be anything from c on.
    """
    least, most = [], []
    for table in stacked(tables):
        low, high = (np.broadcast_to(ends, table.count.shape) for ends in (table.edges[:-1], table.edges[1:]))
        mean = np.clip(table.confidence_sum / np.where(table.count > 0, table.weight, 1.0), low, high)
        spread = (high - mean) * (mean - low) / np.where(mean > 0, mean, 1.0)
        least.append(low if table.weighted and len(tables) > 1 else mean)
        most.append(np.ones(mean.shape) if len(tables) == 1 else high if table.weighted else mean + spread)
    return np.concatenate([part.ravel() for part in least]), np.concatenate([part.ravel() for part in most])


def _mean_deviation(mean: Floats, rate: Floats) -> Floats:
    """Mean absolute deviation of a binomial of this mean and rate, whose number of trials need not be whole.

    Between whole numbers of trials it is that of a mixture with the same mean and variance.
    """
    variance = mean * (1 - rate)
    fewer = np.maximum(np.floor(mean / np.maximum(rate, _POISSON)), 1.0)
    more = fewer + 1
    rates = [np.minimum(mean / trials, 1.0) for trials in (fewer, more)]
    share = np.clip((rate - mean / more) / (mean / fewer - mean / more), 0.0, 1.0)
    of_fewer, of_more = (trials * null_size(trials, r) for trials, r in zip((fewer, more), rates, strict=True))
    return np.where(variance > _NORMAL, np.sqrt(2 * variance / np.pi), share * of_fewer + (1 - share) * of_more)


def _draw(sample: _Sample, weights: Floats, *, rng: np.random.Generator, n_draws: int) -> tuple[Floats, float]:
    """Sums of the errors of drawn models, (n_draws,), and the variance they would have if cells were independent."""
    (m, n_labels), width = sample.place.shape, len(sample.cells)
    sums, first, second = np.empty(n_draws), np.zeros(width), np.zeros(width)
    rows = np.arange(m)
    for draw in range(n_draws):
        drawn = sample.place[rows, rng.integers(n_labels, size=m)]
        gap = np.abs(sample.expected - np.bincount(drawn, weights, width))
        sums[draw] = gap.sum()
        first += gap
        second += gap**2
    return sums, float((second - first**2 / n_draws).sum() / (n_draws - 1))


def _pairs_a_row(tables: Sequence[BinTable], n: int) -> float:
    return sum(int(table.count.sum()) for table in stacked(tables)) / n
