"""What chance alone does to an ECE over the k pairs of a row, whose outcomes exclude each other. Floor 2."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, sums_by
from calibkit.binning import Binning, BinTable, row_bins
from calibkit.bracket import Chance, chance_from, effective_counts, null_size
from calibkit.class_tables import stacked
from calibkit.sampled_rows import SampledRows


def chance_of_pairs(
    sample: SampledRows, tables: Sequence[BinTable], binning: Binning, *, rng: np.random.Generator, n_draws: int = 500
) -> Chance:
    """Mean ECE over tables that a calibrated model with these probability vectors would show.

    Parameters
    ----------
    sample : SampledRows
        What the pass gave.
    tables : sequence of BinTable
        One a class, or one of all pairs: of all rows.
    binning : Binning
        Which made them.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int, default 500
        Number of calibrated models drawn.

    Returns
    -------
    Chance
        NaN without rows.

    Notes
    -----
    A draw gives each row a label with its own probabilities: the k outcomes of a row exclude each other, as they do in
    the data. Up to 8,192 rows (or 4 million probabilities) that is all.

    Of more, a random sample of m rows is drawn for, and its errors are brought to n rows by

        mean_n + (mean of draws - mean_m) / sqrt(n/m) + (draw - mean of draws) sqrt(var / variance of draws),
        var = (variance of draws - var_m) / (n/m) + var_n,

    where mean and var are those of |D| summed over the (class, bin) cells of n or m rows as if cells were independent:
    exact for each cell, sparse ones too, from the tables of all rows. Only what cells share comes from the sample.

    References
    ----------
    Vaicenavicius et al. 2019, "Evaluating model calibration in classification", section 5.
    Widmann, Lindsten, Zachariah 2019, "Calibration tests in multi-class classification", section 7.

    Examples
    --------
    >>> from calibkit.binning import bin_table
    >>> probs = np.tile([0.5, 0.5], (400, 1))
    >>> sample = SampledRows(400, 2)
    >>> sample.visit(0, probs)
    >>> labels = np.arange(400) % 2
    >>> tables = [bin_table(probs[:, c], labels == c, Binning()) for c in (0, 1)]
    >>> null = chance_of_pairs(sample, tables, Binning(), rng=np.random.default_rng(0))
    >>> 0.018 < null.mean < 0.022, null.p_value  # .5 sqrt(2 / (400 pi)) = .02
    (True, 1.0)
    """
    if sample.n == 0:
        return Chance(mean=np.nan, p95=np.nan, p_value=np.nan)
    cells, width = _cells(sample.probs, tables, binning)
    ours = _sample_table(sample, cells, width)
    null = np.empty(n_draws)
    for draw, drawn in enumerate(_drawn_cells(sample.probs, cells, rng, n_draws)):
        happened = np.bincount(drawn, sample.weights, width)
        null[draw] = np.abs(ours.confidence_sum - happened).sum()
    null /= ours.weight.sum()
    if not sample.whole:
        null = _of_all_rows(null, ours, tables, sample.n / len(sample.rows))
    seen = sum(float(np.abs(table.confidence_sum - table.outcome_sum).sum()) for table in stacked(tables))
    return chance_from(seen / _pairs(tables), np.maximum(null, 0.0))


def _cells(probs: Floats, tables: Sequence[BinTable], binning: Binning) -> tuple[NDArray[np.intp], int]:
    """The cell of every pair, (m, k): a bin, or a bin of its class; and how many there are."""
    if len(tables) == 1 or binning.strategy == "uniform":
        edges = tables[0].edges
        index = row_bins(probs.ravel(), edges, binning.edges).reshape(probs.shape).astype(np.intp)
        apart = 0 if len(tables) == 1 else len(edges) - 1
        return index + apart * np.arange(probs.shape[1]), len(tables) * (len(edges) - 1)
    # Quantile bins: each class has its own.
    starts = np.cumsum([0, *(len(table.edges) - 1 for table in tables)])
    columns = [row_bins(p, table.edges, binning.edges) for p, table in zip(probs.T, tables, strict=True)]
    return np.stack(columns, axis=1).astype(np.intp) + starts[:-1], int(starts[-1])


def _drawn_cells(probs: Floats, cells: NDArray[np.intp], rng: np.random.Generator, n_draws: int) -> NDArray[np.int32]:
    """The cell of a label drawn for each row with its probabilities, (n_draws, m)."""
    reached = np.cumsum(probs, axis=1)
    drawn = np.empty((len(probs), n_draws), dtype=np.int32)
    for row, (ends, places) in enumerate(zip(reached, cells, strict=True)):
        drawn[row] = places[np.searchsorted(ends, ends[-1] * rng.random(n_draws), side="right")]
    return np.ascontiguousarray(drawn.T)


def _sample_table(sample: SampledRows, cells: NDArray[np.intp], width: int) -> BinTable:
    """The sums of the sample's forecasts; it has no outcomes."""
    weights, place = np.repeat(sample.weights, cells.shape[1]), cells.ravel()
    weight, squared, expected = (
        sums_by(place, values, width) for values in (weights, weights**2, weights * sample.probs.ravel())
    )
    count = np.bincount(place, minlength=width)
    return BinTable(
        edges=np.array([0.0, 1.0]),
        count=count,
        weight=weight,
        weight_squared=squared,
        confidence_sum=expected,
        outcome_sum=np.zeros(width),
        weighted=True,
    )


def _of_all_rows(null: Floats, ours: BinTable, tables: Sequence[BinTable], times: float) -> Floats:
    """The errors of a sample brought to `times` as many rows, whose tables are these."""
    mean_m, variance_m = _if_independent([ours])
    mean_n, variance_n = _if_independent(tables)
    spread = float(null.var(ddof=1))
    variance = max((spread - variance_m) / times + variance_n, 0.0)
    middle = mean_n + (null.mean() - mean_m) / np.sqrt(times)
    return np.asarray(middle + (null - null.mean()) * np.sqrt(variance / spread if spread > 0 else 0.0))


def _if_independent(tables: Sequence[BinTable]) -> tuple[float, float]:
    """Mean and variance of the error of a calibrated model whose cells are independent binomials."""
    mean = variance = 0.0
    for table in stacked(tables):
        weight = np.where(table.count > 0, table.weight, 1.0)
        rate = np.clip(table.confidence_sum / weight, 0.0, 1.0)
        size = null_size(np.rint(effective_counts(table)), rate) * table.weight
        mean += float(size.sum())
        variance += float((table.weight_squared * rate * (1 - rate) - size**2).sum())
    return mean / _pairs(tables), variance / _pairs(tables) ** 2


def _pairs(tables: Sequence[BinTable]) -> float:
    """Weight of all pairs."""
    return sum(float(table.weight.sum()) for table in stacked(tables))
