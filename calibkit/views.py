"""Views: which binary forecasts and outcomes a calibration error is about, scored and binned in one pass. Floor 2."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import check_cells, check_choice, fits_cells
from calibkit._numerics import Floats, Integers
from calibkit.binning import Binning, BinTable, bin_edges, bin_table, row_bins
from calibkit.bracket import BinnedRows
from calibkit.class_tables import ClassBins
from calibkit.errors import ShapeError
from calibkit.predictions import Predictions
from calibkit.sampled_rows import SampledRows
from calibkit.scores import RowScores, Visit, score_rows

View = Literal["top-label", "positive", "classwise", "flattened"]
VIEWS = ("top-label", "positive", "classwise", "flattened")
NOT_CLASSES = "the choices of ragged rows are none: choice 2 of one row has nothing to do with choice 2 of another"

# Rows of a 1-D forecast that are binned by class at a time.
_STEP = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binned:
    """The bin tables of one view.

    Attributes
    ----------
    view : str
        Which forecast and outcome were binned.
    tables : sequence of BinTable
        One, or one a class in view classwise.
    of_pairs : BinTable
        That of one pair a row: of the positive class in view positive, else of the predicted class.
    by_class : sequence of BinTable or None
        One a class, where they were asked for or the view is made of them.
    reliability : BinTable
        What a reliability diagram draws.
    reliability_view : str
        Its view: top-label where the view has a table for each class.
    forecast, outcome : ndarray of shape (n,)
        What `reliability` holds, row by row.
    rows : BinnedRows or None
        Bin and gap of each row, where they were asked for and the view has one pair a row.
    sample : SampledRows or None
        Probability vectors that chance levels of the tables by class are drawn from, where the pass gave those tables
        and rows were to be kept.
    notes : tuple of str
        What a reader should know.
    """

    view: View
    tables: Sequence[BinTable]
    of_pairs: BinTable
    reliability: BinTable
    reliability_view: View
    forecast: Floats
    outcome: NDArray[np.bool_]
    by_class: Sequence[BinTable] | None = None
    rows: BinnedRows | None = None
    sample: SampledRows | None = None
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
    if view != "top-label" and predictions.n_choices is not None:
        raise ShapeError(f'{where}view="{view}" is about classes, and {NOT_CLASSES}; use view="top-label".')
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
    by_class: bool = False,
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
        Whether to keep what intervals and chance levels need: each row's bin and gap, or a sample of whole rows.
    by_class : bool, default False
        Whether to bin each class by itself too, whatever the view, where the rows have the probabilities of all.

    Returns
    -------
    RowScores, Binned
        Quantile bins of classes, and of view flattened, hold all n k probabilities in memory on the way.
    """
    view = resolve_view(predictions, view)
    many = view in ("classwise", "flattened")
    if many:
        check_cells(binning.n_bins, predictions.n_classes or 2, view=view)
    classes = _bins_of_classes(predictions, binning) if many or (by_class and _at_once(predictions, binning)) else None
    sample = None
    if classes is not None and keep_rows:
        sample = SampledRows(len(predictions), predictions.n_classes or 2, predictions.weights)

    def visit(start: int, block: Floats) -> None:
        assert classes is not None
        if sample is not None:
            sample.visit(start, block)
        classes.visit(start, block)

    scores = score_rows(predictions, temperature=temperature, threads=threads, visit=None if classes is None else visit)
    if classes is not None and predictions.is_binary:
        visit_binary(visit, scores)
    pair_view: View = "positive" if view == "positive" else "top-label"
    pairs = _one_pair_a_row(predictions, scores, pair_view, binning, keep_rows=keep_rows and not many)
    if classes is None:
        return scores, pairs
    pairs = replace(pairs, sample=sample)
    if view == "flattened":
        return scores, _all_pairs(pairs, classes, binning, by_class=by_class)
    tables = classes.tables()
    return scores, _one_pair_a_class(predictions, pairs, tables, binning) if many else replace(pairs, by_class=tables)


def _at_once(predictions: Predictions, binning: Binning) -> bool:
    """Whether each class can be binned while the rows are scored."""
    of_classes = predictions.kind in ("logits", "probs") and predictions.n_choices is None
    return of_classes and fits_cells(binning.n_bins, predictions.n_classes or 2)


def visit_binary(visit: Visit, scores: RowScores) -> None:
    """Show the probabilities of both classes of a 1-D forecast, which no visitor is shown."""
    assert scores.positive is not None
    for start in range(0, len(scores.positive), _STEP):
        one = scores.positive[start : start + _STEP]
        visit(start, np.stack([1 - one, one], axis=1))


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
        of_pairs=table,
        reliability=table,
        reliability_view=view,
        forecast=forecast,
        outcome=outcome,
        rows=rows,
        notes=merged_bins((table,), binning),
    )


def _one_pair_a_class(predictions: Predictions, pairs: Binned, tables: Sequence[BinTable], binning: Binning) -> Binned:
    """A table a class, drawn as top-label."""
    return replace(
        pairs,
        view="classwise",
        tables=tables,
        by_class=tables,
        notes=(*_absent_classes(predictions), *merged_bins(tables, binning)),
    )


def _all_pairs(pairs: Binned, classes: "ClassBins | _KeptPairs", binning: Binning, *, by_class: bool) -> Binned:
    """One table of all pairs."""
    table = classes.merged()
    return replace(
        pairs,
        view="flattened",
        tables=(table,),
        by_class=classes.tables() if by_class else None,
        reliability=table,
        reliability_view="flattened",
        notes=merged_bins((table,), binning),
    )


def merged_bins(tables: Sequence[BinTable], binning: Binning) -> tuple[str, ...]:
    """A note where ties left fewer quantile bins than were asked for."""
    if binning.strategy == "uniform":
        return ()
    fewest = min(len(table.count) for table in tables)
    if fewest == binning.n_bins:
        return ()
    where = " in one of the classes" if len(tables) > 1 else ""
    return (f"Ties are never split: {fewest:,} of {binning.n_bins:,} quantile bins remain{where}.",)


def _absent_classes(predictions: Predictions) -> tuple[str, ...]:
    assert predictions.labels is not None
    assert predictions.n_classes is not None
    return absent_classes(np.bincount(predictions.labels, minlength=predictions.n_classes))


def absent_classes(rows: Integers) -> tuple[str, ...]:
    """A note where some classes have no rows, of the number of rows of each.

    Examples
    --------
    >>> absent_classes(np.array([3, 0, 5]))
    ('1 of 3 classes never occur (1): their frequency is 0.',)
    """
    absent = np.flatnonzero(rows == 0)
    if len(absent) == 0:
        return ()
    shown = ", ".join(str(c) for c in absent[:10]) + (", ..." if len(absent) > 10 else "")
    return (f"{len(absent):,} of {len(rows):,} classes never occur ({shown}): their frequency is 0.",)


def _bins_of_classes(predictions: Predictions, binning: Binning) -> "ClassBins | _KeptPairs":
    """What takes the blocks of the pass: sums, or for quantile bins all values."""
    assert predictions.labels is not None  # resolve_view refuses predictions without labels
    assert predictions.n_classes is not None
    bins = ClassBins if binning.strategy == "uniform" else _KeptPairs
    return bins(predictions.labels, predictions.n_classes, binning, predictions.weights)


class _KeptPairs:
    """All n k pairs: quantile bins need them at once."""

    def __init__(self, labels: Integers, n_classes: int, binning: Binning, weights: Floats | None = None) -> None:
        self.labels, self.binning, self.weights = labels, binning, weights
        self.values = np.empty((len(labels), n_classes))

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, k) of the rows from `start` on."""
        self.values[start : start + len(block)] = block

    def tables(self) -> tuple[BinTable, ...]:
        """One table a class."""
        return tuple(
            bin_table(values, self.labels == c, self.binning, weights=self.weights)
            for c, values in enumerate(self.values.T)
        )

    def merged(self) -> BinTable:
        """One table of all pairs."""
        n_classes = self.values.shape[1]
        weights = None if self.weights is None else np.repeat(self.weights, n_classes)
        outcome = np.equal.outer(self.labels, np.arange(n_classes))
        return bin_table(self.values.ravel(), outcome.ravel(), self.binning, weights=weights)
