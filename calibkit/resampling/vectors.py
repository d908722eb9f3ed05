"""What chance alone does to an ECE over the k pairs of a row, whose outcomes exclude each other. Floor 2."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.binning import Binning, BinTable, row_bins
from calibkit.bracket import NO_CHANCE, Chance, chance_from
from calibkit.class_tables import stacked
from calibkit.resampling.drawn import errors_of_drawn
from calibkit.sampled_rows import MOST_ROWS, N_LABELS, RowSketch, SampledRows


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

    Of more, a random sample stands for all rows: see `calibkit.resampling.drawn`.

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
        return NO_CHANCE
    if sample.whole:
        cells = _cells(sample.probs, tables, binning)
        null = _errors_of_vectors(sample, cells, sum(table.count.size for table in tables), rng, n_draws)
        return chance_from(_seen(tables), null)
    if sample.drawn is None:
        drawn = _drawn_cells(sample.probs, _cells(sample.probs, tables, binning), rng, N_LABELS)
    else:
        drawn = _cells_of(sample.drawn.labels.astype(np.int64), sample.drawn.forecast, tables, binning)
    size = min(sample.n, MOST_ROWS)
    rows = np.arange(size) * len(drawn) // size
    null = errors_of_drawn(drawn[rows], sample.weights[rows], tables, sample.n, rng=rng, n_draws=n_draws)
    return chance_from(_seen(tables), null)


def chance_of_sketch(
    sketch: RowSketch, tables: Sequence[BinTable], n: int, *, rng: np.random.Generator, n_draws: int = 500
) -> Chance:
    """The same of n rows of which a sketch is left.

    Examples
    --------
    >>> from calibkit.binning import bin_table
    >>> from calibkit.sampled_rows import empty_sketch
    >>> # 400 rows (.5, .5), whose drawn labels fall in bin 7 of class 0 or of class 1, which is cell 22.
    >>> cells = np.tile([7, 22], (1, N_LABELS // 2))
    >>> sketch = empty_sketch(10).with_rows(np.zeros(400, dtype=np.uint64), lambda rows: cells)
    >>> tables = [bin_table(np.full(400, 0.5), np.arange(400) % 2 == c, Binning()) for c in (0, 1)]
    >>> null = chance_of_sketch(sketch, tables, 400, rng=np.random.default_rng(0))
    >>> 0.018 < null.mean < 0.022, null.p_value
    (True, 1.0)
    """
    if n == 0:
        return NO_CHANCE
    drawn = sketch.cells[sketch.spread(min(n, MOST_ROWS))].astype(np.int64)
    null = errors_of_drawn(drawn, np.ones(len(drawn)), tables, n, rng=rng, n_draws=n_draws)
    return chance_from(_seen(tables), null)


def _seen(tables: Sequence[BinTable]) -> float:
    """The ECE of all pairs."""
    parts = stacked(tables)
    gap = sum(float(np.abs(table.confidence_sum - table.outcome_sum).sum()) for table in parts)
    return gap / sum(float(table.weight.sum()) for table in parts)


def _cells(probs: Floats, tables: Sequence[BinTable], binning: Binning) -> NDArray[np.intp]:
    """The cell of every pair, (m, k): a bin, or a bin of its class."""
    labels = np.broadcast_to(np.arange(probs.shape[1]), probs.shape)
    return _cells_of(labels, probs, tables, binning)


def _cells_of(labels: Integers, forecast: Floats, tables: Sequence[BinTable], binning: Binning) -> NDArray[np.intp]:
    """The cells of pairs of some classes and forecasts, of any shape."""
    if len(tables) == 1 or binning.strategy == "uniform":
        edges = tables[0].edges
        index = row_bins(forecast.ravel(), edges, binning.edges).reshape(forecast.shape).astype(np.intp)
        return index if len(tables) == 1 else index + (len(edges) - 1) * labels
    # Quantile bins: each class has its own.
    starts = np.cumsum([0, *(len(table.edges) - 1 for table in tables)])
    cells = np.empty(forecast.shape, dtype=np.intp)
    order = np.argsort(labels, axis=None, kind="stable")
    flat, ends = forecast.ravel(), np.searchsorted(labels.ravel()[order], np.arange(len(tables) + 1))
    for c, table in enumerate(tables):
        own = order[ends[c] : ends[c + 1]]
        cells.ravel()[own] = starts[c] + row_bins(flat[own], table.edges, binning.edges)
    return cells


def _errors_of_vectors(
    sample: SampledRows, cells: NDArray[np.intp], width: int, rng: np.random.Generator, n_draws: int
) -> Floats:
    """The errors of calibrated models, of rows that are all there."""
    expected = np.bincount(cells.ravel(), np.ravel(sample.weights[:, None] * sample.probs), width)
    null = np.empty(n_draws)
    for draw, drawn in enumerate(_drawn_cells(sample.probs, cells, rng, n_draws).T):
        null[draw] = np.abs(expected - np.bincount(drawn, sample.weights, width)).sum()
    return np.asarray(null / (sample.weights.sum() * sample.probs.shape[1]))


def _drawn_cells(probs: Floats, cells: NDArray[np.intp], rng: np.random.Generator, count: int) -> Integers:
    """The cells of labels drawn for each row with its probabilities, (m, count)."""
    reached = np.cumsum(probs, axis=1)
    drawn = np.empty((len(probs), count), dtype=np.intp)
    for row, (ends, places) in enumerate(zip(reached, cells, strict=True)):
        drawn[row] = places[np.searchsorted(ends, ends[-1] * rng.random(count), side="right")]
    return drawn
