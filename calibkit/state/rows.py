"""Which rows a state takes, and in what steps. Floor 3."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from calibkit._intake.rows import arrays_at
from calibkit._numerics import Floats, Integers
from calibkit.binning import BinTable, assign_bins
from calibkit.class_tables import ClassBins
from calibkit.errors import DataError
from calibkit.predictions import Predictions
from calibkit.sampled_rows import DrawnLabels, RowHashes
from calibkit.scores import RowScores, Visit, score_rows
from calibkit.state.settings import StateSettings
from calibkit.tally import Tally
from calibkit.views import visit_binary

# Rows per step of an update: its vectors are what an update needs of memory.
STEP = 1 << 18
# Probabilities of rows that are scored once more, at a time.
_PAIRS = 1 << 22
# Weights of this size have cubes beyond exact sums; a mean weight below the other end loses digits in them.
LARGEST_WEIGHT, _SMALLEST_MEAN_WEIGHT = 2.0**17, 2.0**-16


def check_rows(predictions: Predictions) -> None:
    """Raise for rows that a state cannot hold."""
    where = predictions.name or "predictions"
    if predictions.groups is not None:
        raise DataError(
            f"{where}: rows with groups cannot go into a state: intervals of dependent rows need the rows of a group "
            "in one place. Evaluate them in memory, from one file; or, if the rows are independent, read them with "
            'groups="", without their groups.'
        )
    weights = predictions.weights
    if weights is not None and len(weights) and weights.max() >= LARGEST_WEIGHT:
        row = int(np.argmax(weights))
        raise DataError(
            f"{where}: weights row {row} is {weights[row]:g}: a state holds weights below {LARGEST_WEIGHT:,.0f}. "
            "Divide all weights by the same number."
        )


def steps_of(predictions: Predictions) -> Iterator[Predictions]:
    """The rows, as views of at most `STEP` of them."""
    for start in range(0, max(len(predictions), 1), STEP):
        cut = arrays_at(predictions, slice(start, start + STEP))
        yield replace(predictions, first_row=predictions.first_row + start, **cut)


def take_rows(tally: Tally, rows: Predictions, settings: StateSettings, *, threads: int | None) -> None:
    """Score rows and add them; in views of many pairs a row each class is binned on the way."""
    assert settings.view is not None
    if tally.class_counts is None:
        tally.take(rows, score_rows(rows, threads=threads), settings.view)
        return
    assert rows.labels is not None
    k, before = rows.n_classes or 2, tally.sketch
    classes, hashes = ClassBins(rows.labels, k, settings.bins), RowHashes(len(rows), k)

    def visit(start: int, block: Floats) -> None:
        if before is not None:
            hashes.visit(start, block)
        classes.visit(start, block)

    scores = _shown(rows, visit, threads)
    draw = partial(_drawn_cells, rows, hashes.values, settings, threads)
    after = None if before is None else before.with_rows(hashes.values, draw)
    tally.take(rows, scores, settings.view, classes)
    tally.sketch = after


def _shown(rows: Predictions, visit: Visit, threads: int | None) -> RowScores:
    """Score rows, and show the visitor the probabilities of all classes."""
    scores = score_rows(rows, threads=threads, visit=visit)
    if rows.is_binary:
        visit_binary(visit, scores)
    return scores


def _drawn_cells(
    rows: Predictions, hashes: NDArray[np.uint64], settings: StateSettings, threads: int | None, some: NDArray[np.intp]
) -> Integers:
    """The cells of labels drawn for some of the rows, which are scored once more: their probabilities were not kept."""
    drawn = DrawnLabels(hashes[some])
    order = np.argsort(some)  # rows of a file are read in order
    step = max(1, _PAIRS // (rows.n_classes or 2))
    for start in range(0, len(some), step):
        part = order[start : start + step]
        labels = DrawnLabels(hashes[some[part]])
        _shown(rows.take(some[part]), labels.visit, threads)
        drawn.labels[part], drawn.forecast[part] = labels.labels, labels.forecast
    bins = assign_bins(drawn.forecast, settings.cells.edges, settings.edges)
    return bins if settings.view == "flattened" else bins + settings.n_bins * drawn.labels


def check_mean_weight(table: BinTable) -> None:
    """Raise for weights whose cubes have lost their digits."""
    mean = table.weight.sum() / max(int(table.count.sum()), 1)
    if 0 < mean < _SMALLEST_MEAN_WEIGHT:
        raise DataError(
            f"the weights are {mean:.2g} on average, too small for exact sums: multiply them by the same number, so "
            "that their mean is near 1."
        )
