"""Views: which binary forecasts and outcomes a calibration error is about, scored and binned in one pass. Floor 2."""

from dataclasses import dataclass
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import check_cells, check_choice
from calibkit._numerics import Floats
from calibkit.binning import SUMS, Binning, BinTable, assign_bins, bin_edges, bin_table, cell_sums, row_bins, table_of
from calibkit.bracket import BinnedRows
from calibkit.errors import ShapeError
from calibkit.predictions import Predictions
from calibkit.scores import RowScores, score_rows

View = Literal["top-label", "positive", "classwise", "flattened"]
VIEWS = ("top-label", "positive", "classwise", "flattened")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binned:
    """The bin tables of one view.

    Attributes
    ----------
    view : str
        Which forecast and outcome were binned.
    tables : tuple of BinTable
        One, or one a class in view classwise.
    reliability : BinTable
        What a reliability diagram draws.
    reliability_view : str
        Its view: top-label where the view has a table for each class.
    forecast, outcome : ndarray of shape (n,)
        What `reliability` holds, row by row.
    rows : BinnedRows or None
        Bin and gap of each row, where they were asked for and the view has one pair a row.
    notes : tuple of str
        What a reader should know.
    """

    view: View
    tables: tuple[BinTable, ...]
    reliability: BinTable
    reliability_view: View
    forecast: Floats
    outcome: NDArray[np.bool_]
    rows: BinnedRows | None = None
    notes: tuple[str, ...] = ()


def resolve_view(predictions: Predictions, view: View | None = None) -> View:
    """Return the view that is asked for, if the predictions have it; by default the one that suits them."""
    if view is None:
        return "positive" if predictions.is_binary else "top-label"
    check_choice(view, VIEWS, option="view")
    where = "" if predictions.name is None else f"{predictions.name}: "
    if view != "top-label" and predictions.kind in ("top1", "correct"):
        raise ShapeError(
            f'{where}view="{view}" needs the probability of every class, and these predictions hold that of one; '
            'use view="top-label".'
        )
    if view == "positive" and predictions.n_classes != 2:
        raise ShapeError(
            f'{where}view="positive" is about one event, and there are {predictions.n_classes} classes; '
            'use view="top-label" or view="classwise".'
        )
    return view


def score_and_bin(
    predictions: Predictions,
    *,
    view: View | None,
    binning: Binning,
    threads: int | None = None,
    temperature: float | Floats | None = None,
    keep_rows: bool = True,
) -> tuple[RowScores, Binned]:
    """Row scores and bin tables from one reading of the predictions.

    Parameters
    ----------
    predictions : Predictions
        Of n rows.
    view : {"top-label", "positive", "classwise", "flattened"} or None
        None: the one that suits the predictions.
    binning : Binning
        How forecasts are put into bins.
    threads, temperature
        As in `score_rows`.
    keep_rows : bool, default True
        Whether to keep each row's bin and gap, which intervals need.

    Returns
    -------
    RowScores, Binned
        Quantile bins of the views classwise and flattened hold all n k probabilities in memory on the way.
    """
    view = resolve_view(predictions, view)
    if view in ("top-label", "positive"):
        scores = score_rows(predictions, temperature=temperature, threads=threads)
        return scores, _one_pair_a_row(predictions, scores, view, binning, keep_rows=keep_rows)
    check_cells(binning.n_bins, predictions.n_classes or 2, view=view)
    matrix = _Matrix(predictions, binning)
    scores = score_rows(predictions, temperature=temperature, threads=threads, visit=matrix.visit)
    if predictions.is_binary and scores.positive is not None:
        matrix.visit(0, np.stack([1 - scores.positive, scores.positive], axis=1))
    top = _one_pair_a_row(predictions, scores, "top-label", binning, keep_rows=False)
    return scores, _one_pair_a_class(predictions, view, matrix, top)


def _one_pair_a_row(
    predictions: Predictions, scores: RowScores, view: View, binning: Binning, *, keep_rows: bool
) -> Binned:
    """Top-label: confidence and correctness. Positive: P(y = 1) and y."""
    forecast, outcome = scores.confidence, scores.correct
    if view == "positive":
        assert predictions.labels is not None  # resolve_view refuses predictions without labels
        assert scores.positive is not None
        forecast, outcome = scores.positive, predictions.labels == 1
    edges = bin_edges(forecast, binning, predictions.weights)
    index = row_bins(forecast, edges, binning.edges) if keep_rows else None
    table = bin_table(forecast, outcome, binning, weights=predictions.weights, edges=edges, index=index)
    rows = None
    if index is not None:
        rows = BinnedRows(
            table=table,
            index=index,
            gap=forecast - outcome,
            groups=predictions.groups,
            weights=predictions.weights,
        )
    return Binned(
        view=view,
        tables=(table,),
        reliability=table,
        reliability_view=view,
        forecast=forecast,
        outcome=outcome,
        rows=rows,
        notes=_merged_bins((table,), binning),
    )


def _one_pair_a_class(predictions: Predictions, view: View, matrix: "_Matrix", top: Binned) -> Binned:
    """Classwise: a table a class, drawn as top-label. Flattened: one table of all pairs."""
    if view == "flattened":
        table = matrix.flattened()
        return Binned(
            view=view,
            tables=(table,),
            reliability=table,
            reliability_view=view,
            forecast=top.forecast,
            outcome=top.outcome,
            notes=_merged_bins((table,), matrix.binning),
        )
    tables = matrix.classwise()
    return Binned(
        view=view,
        tables=tables,
        reliability=top.reliability,
        reliability_view="top-label",
        forecast=top.forecast,
        outcome=top.outcome,
        notes=(*_absent_classes(predictions), *_merged_bins(tables, matrix.binning)),
    )


def _merged_bins(tables: tuple[BinTable, ...], binning: Binning) -> tuple[str, ...]:
    """A note where ties left fewer quantile bins than were asked for."""
    fewest = min(len(table.count) for table in tables)
    if fewest == binning.n_bins:
        return ()
    where = " in one of the classes" if len(tables) > 1 else ""
    return (f"Ties are never split: {fewest:,} of {binning.n_bins:,} quantile bins remain{where}.",)


def _absent_classes(predictions: Predictions) -> tuple[str, ...]:
    assert predictions.labels is not None
    assert predictions.n_classes is not None
    absent = np.flatnonzero(np.bincount(predictions.labels, minlength=predictions.n_classes) == 0)
    if len(absent) == 0:
        return ()
    shown = ", ".join(str(c) for c in absent[:10]) + (", ..." if len(absent) > 10 else "")
    return (f"{len(absent):,} of {predictions.n_classes:,} classes never occur ({shown}): their frequency is 0.",)


class _Matrix:
    """Bins all n k pairs while the scoring pass hands over its blocks, in whatever order its threads deliver them."""

    def __init__(self, predictions: Predictions, binning: Binning) -> None:
        assert predictions.labels is not None  # resolve_view refuses predictions without labels
        assert predictions.n_classes is not None
        self.labels = predictions.labels
        self.weights = predictions.weights
        self.n_classes = predictions.n_classes
        self.binning = binning
        self.edges = bin_edges(np.empty(0), Binning(n_bins=binning.n_bins))
        self.values: Floats | None = None
        if binning.strategy == "quantile":
            self.values = np.empty((len(self.labels), self.n_classes))
        self.sums = np.zeros((len(SUMS), self.n_classes * binning.n_bins))
        self.pending: dict[int, tuple[int, Floats]] = {}
        self.next_row = 0
        self.lock = Lock()

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, k) of the rows from `start` on."""
        stop = start + len(block)
        if self.values is not None:
            self.values[start:stop] = block
            return
        sums = self._cell_sums(start, stop, block)
        with self.lock:
            # Added in row order: the same bits whichever thread is first.
            self.pending[start] = stop, sums
            while self.next_row in self.pending:
                self.next_row, ready = self.pending.pop(self.next_row)
                self.sums += ready

    def _cell_sums(self, start: int, stop: int, block: Floats) -> Floats:
        cells = assign_bins(block, self.edges, self.binning.edges)
        cells += np.arange(self.n_classes) * self.binning.n_bins
        weights = None if self.weights is None else np.repeat(self.weights[start:stop], self.n_classes)
        outcome = self._is_label(start, stop)
        return cell_sums(cells.ravel(), block.ravel(), outcome.ravel(), n_cells=self.sums.shape[1], weights=weights)

    def _is_label(self, start: int, stop: int) -> NDArray[np.bool_]:
        return np.equal.outer(self.labels[start:stop], np.arange(self.n_classes))

    def classwise(self) -> tuple[BinTable, ...]:
        """One table a class."""
        weighted = self.weights is not None
        if self.values is not None:
            return tuple(
                bin_table(self.values[:, c], self.labels == c, self.binning, weights=self.weights)
                for c in range(self.n_classes)
            )
        per_class = self.sums.reshape(len(SUMS), self.n_classes, -1)
        return tuple(table_of(self.edges, per_class[:, c], weighted=weighted) for c in range(self.n_classes))

    def flattened(self) -> BinTable:
        """One table of all pairs."""
        weighted = self.weights is not None
        if self.values is None:
            return table_of(self.edges, self.sums.reshape(len(SUMS), self.n_classes, -1).sum(axis=1), weighted=weighted)
        weights = None if self.weights is None else np.repeat(self.weights, self.n_classes)
        outcome = self._is_label(0, len(self.labels))
        return bin_table(self.values.ravel(), outcome.ravel(), self.binning, weights=weights)
