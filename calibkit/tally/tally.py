"""What one pass over rows leaves: counts and exact sums, the same for every order and split of the rows. Floor 2."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._intake.rows import same
from calibkit._numerics import Floats, Integers
from calibkit.class_tables import ClassBins
from calibkit.exact import ExactSums, exact_sums, zero_sums
from calibkit.predictions import Predictions
from calibkit.sampled_rows import RowSketch, empty_sketch
from calibkit.scores import RowScores
from calibkit.tally.facts import Facts, facts_of
from calibkit.tally.grid import Cells
from calibkit.tally.moments import UNWEIGHTED, WEIGHTED, WEIGHTS, powers_of, powers_of_weights

# Different rows that are kept of those with many pairs. In view flattened how much a bin varies is known from them.
_MOST_CELLS, _MOST_PAIRS = 1 << 10, 1 << 11


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """Counts and exact sums over rows. Tallies of the same layout add up: ``+`` is commutative and associative.

    Attributes
    ----------
    cells : Cells
        The m cells of the forecast.
    weighted : bool
        Whether rows have weights w; without, w is 1 and not stored.
    facts : Facts
        Counts of rows, of ties and of other things that notes tell.
    count : ndarray of shape (2 m,), int64
        Rows by outcome and cell: first the m cells of the rows whose event did not happen, then those of the others.
    extent : ndarray of shape (2, 2 m)
        Of the same cells, the largest -c and the largest c; -inf where there are no rows.
    sums : dict of str to ExactSums
        By the same 2 m cells: "forecast" (w c); with weights "weight" and "weight_squared" (w, (w / 16)^2).
        Of all rows: "correct" (w where the prediction is right), with weights alone.
        In the order of `moments.UNWEIGHTED` or `WEIGHTED`: "log_score" and "brier", where they are defined; and
        "forecasts", the same by outcome (power after power, two cells each); with weights "weights", the `WEIGHTS` by
        outcome.
        In views of many pairs a row "class_forecast" (p), as `class_counts`.
    classes : ndarray of shape (k,), int64, or None
        Rows of each true class, where the classes are known.
    class_counts : ndarray of shape (2, k b) or (2, b), int64, or None
        In view classwise by class and bin, in view flattened by bin: pairs, and those whose class is the label.
    sketch : RowSketch or None
        In views of many pairs a row a sample of the rows; None where a part of them has none.

    Examples
    --------
    >>> from calibkit.binning import Binning
    >>> from calibkit.scores import score_rows
    >>> rows = Predictions.from_top1([1, 0], [1, 1], [0.9, 0.6])
    >>> tally = empty_tally(Cells(binning=Binning()), n_classes=None, proper=False)
    >>> tally.take(rows, score_rows(rows), "top-label")
    >>> (tally + tally).facts.n, (tally + tally) == tally
    (4, False)
    """

    cells: Cells
    weighted: bool
    facts: Facts = field(default_factory=Facts)
    count: Integers
    extent: Floats
    sums: dict[str, ExactSums]
    classes: Integers | None = None
    class_counts: Integers | None = None
    sketch: RowSketch | None = None

    def __add__(self, other: "Tally") -> "Tally":
        """The tally of the rows of both."""
        return replace(
            self,
            facts=self.facts + other.facts,
            count=self.count + other.count,
            extent=np.maximum(self.extent, other.extent),
            sums={name: sums + other.sums[name] for name, sums in self.sums.items()},
            classes=_added(self.classes, other.classes),
            class_counts=_added(self.class_counts, other.class_counts),
            sketch=None if self.sketch is None or other.sketch is None else self.sketch + other.sketch,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        return (
            (self.cells, self.weighted, self.facts) == (other.cells, other.weighted, other.facts)
            and self.sums == other.sums
            and np.array_equal(self.count, other.count)
            and np.array_equal(self.extent, other.extent)
            and same(self.classes, other.classes)
            and same(self.class_counts, other.class_counts)
            and self.sketch == other.sketch
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        arrays = [self.count, self.extent, self.classes, self.class_counts]
        arrays += [array for sums in self.sums.values() for array in (sums.limbs, sums.beyond)]
        return sum(array.nbytes for array in arrays if array is not None)

    def take(self, predictions: Predictions, scores: RowScores, view: str, classes: ClassBins | None = None) -> None:
        """Add rows, in place: their top-label forecasts, in view positive those of the event, and their `classes`."""
        if len(predictions) == 0:
            return
        if classes is not None:
            assert self.class_counts is not None
            counts, sums = classes.exact(merged=view == "flattened")
            self.class_counts += counts
            self.sums["class_forecast"].add_at(slice(None), sums)
        forecast, outcome = scores.confidence, scores.correct
        if view == "positive":
            assert scores.positive is not None
            assert predictions.labels is not None
            forecast, outcome = scores.positive, predictions.labels == 1
        weights = predictions.weights
        self._take_cells(forecast, outcome, weights)
        event = outcome.astype(np.intp)
        for name, values, cells in self._row_sums(forecast, scores, weights):
            self._take(name, values, event if cells == 2 else None)
        if weights is not None:
            self._take("correct", [weights * scores.correct], None)
        if self.classes is not None and predictions.labels is not None:
            self.classes += np.bincount(predictions.labels, minlength=len(self.classes))
        self.facts += facts_of(predictions, scores)

    def _row_sums(self, forecast: Floats, scores: RowScores, weights: Floats | None) -> Iterator[tuple[str, Any, int]]:
        yield "forecasts", powers_of(forecast, weights), 2
        if weights is not None:
            yield "weights", powers_of_weights(weights), 2
        for name, values in (("log_score", scores.log_score), ("brier", scores.brier)):
            if name in self.sums:
                assert values is not None
                yield name, powers_of(values, weights), 1

    def _take_cells(self, forecast: Floats, outcome: NDArray[np.bool_], weights: Floats | None) -> None:
        """Counts, extents and sums by cell."""
        index = self.cells.of(forecast)
        index += self.cells.count * outcome
        for side, values in enumerate((-forecast, forecast)):
            np.maximum.at(self.extent[side], index, values)
        touched: Any = slice(None)
        size = len(self.count)
        if len(index) < size:  # only the cells that they fall in
            touched, index = np.unique(index, return_inverse=True)
            size = len(touched)
        self.count[touched] += np.bincount(index, minlength=size)
        vectors = {"forecast": forecast}
        if weights is not None:
            vectors = {"forecast": weights * forecast, "weight": weights, "weight_squared": np.square(weights / 16)}
        for name, values in vectors.items():
            self.sums[name].add_at(touched, exact_sums(values, index, size))

    def _take(self, name: str, vectors: list[Floats], event: NDArray[np.intp] | None) -> None:
        """Sums of powers, one after the other, by outcome where `event` is given."""
        width = 1 if event is None else 2
        for place, values in enumerate(vectors):
            part = exact_sums(values, event, width)
            self.sums[name].add_at(slice(place * width, (place + 1) * width), part)


def _added(one: Integers | None, other: Integers | None) -> Integers | None:
    return None if one is None or other is None else one + other


def empty_tally(
    cells: Cells,
    *,
    n_classes: int | None,
    proper: bool,
    weighted: bool = False,
    labelled: bool = True,
    n_tables: int = 0,
) -> Tally:
    """The tally of no rows.

    `proper` says whether log score and Brier score are defined, `labelled` whether the rows have true classes, and
    `n_tables` how many bin tables of many pairs a row there are: one a class, or one.
    """
    powers, by_cell = len(WEIGHTED if weighted else UNWEIGHTED), 2 * cells.count
    sizes = {"forecast": by_cell, "forecasts": 2 * powers}
    if weighted:
        sizes |= {"weight": by_cell, "weight_squared": by_cell, "weights": 2 * len(WEIGHTS), "correct": 1}
    if proper:
        sizes |= {"log_score": powers, "brier": powers}
    if n_tables:
        sizes |= {"class_forecast": n_tables * cells.binning.n_bins}
    return Tally(
        cells=cells,
        weighted=weighted,
        count=np.zeros(by_cell, dtype=np.int64),
        extent=np.full((2, by_cell), -np.inf),
        sums={name: zero_sums(size) for name, size in sizes.items()},
        classes=np.zeros(n_classes, dtype=np.int64) if n_classes is not None and labelled else None,
        class_counts=np.zeros((2, n_tables * cells.binning.n_bins), dtype=np.int64) if n_tables else None,
        sketch=empty_sketch(_MOST_PAIRS if n_tables == 1 else _MOST_CELLS) if n_tables else None,
    )
