"""Rows of (n, k) values: the one pass that reads them. Floor 1."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibkit import _checks
from calibkit._intake.ragged import sum_tolerances
from calibkit._numerics import Floats, Integers
from calibkit.predictions import Predictions
from calibkit.scores.blocks import Layout, Matrix, each_chunk, slices
from calibkit.scores.row_scores import (
    Bools,
    RowScores,
    ScoreVectors,
    predicts_label,
    scores_of_logits,
    scores_of_probs,
)
from calibkit.scores.row_sums import (
    RowSums,
    Temperature,
    class_probs,
    sum_logits,
    sum_probs,
    temperature_of,
)

Visit = Callable[[int, Floats], None]


def score_matrix(predictions: Predictions, temperature: Temperature, threads: int, visit: Visit | None) -> RowScores:
    """Scores of (n, k) values, in one pass."""
    assert predictions.labels is not None
    values, is_probs = predictions.values, predictions.kind == "probs"
    narrow = values.dtype == np.float32 and not is_probs
    layout = Layout(n_classes=values.shape[1], dtype=np.dtype(np.float32 if narrow else np.float64))
    scores = ScoreVectors.empty(len(values), one_event=values.shape[1] == 2)
    one_pass = _Pass(
        values=values,
        labels=predictions.labels,
        is_probs=is_probs,
        tolerance=predictions.sum_tolerance or 0.0,
        temperature=temperature,
        layout=layout,
        visit=visit,
        scores=scores,
    )
    # A visited block is read again at once: its chunk is the block itself, still in cache.
    blocks_per_chunk = 1 if visit else layout.chunk_blocks
    found = each_chunk(
        one_pass.run, n_rows=len(values), step=blocks_per_chunk * layout.block_rows, layout=layout, threads=threads
    )
    if not all(piece.clean for piece in found):
        refuse_bad_values(predictions)
    return scores.finished(
        n_ties=sum(piece.n_ties for piece in found),
        n_snapped=sum(piece.n_snapped for piece in found),
        max_sum_deviation=max((piece.deviation for piece in found), default=0.0) if is_probs else None,
    )


def refuse_bad_values(predictions: Predictions) -> None:
    """Read (n, k) values once more, to name the first that is wrong."""
    values = predictions.values
    _checks.check_matrix(
        predictions.kind,
        values,
        array_name=predictions.kind,
        source=_checks.Source(name=predictions.name, first_row=predictions.first_row),
        tolerance=_tolerance(predictions),
        slack=_checks.SNAP * float(np.finfo(values.dtype).eps),
    )


def _tolerance(predictions: Predictions) -> float | Floats:
    """Accepted deviation of the row sums, or of each."""
    if predictions.sum_tolerance is None and predictions.n_choices is not None:
        return sum_tolerances(predictions.n_choices, float(np.finfo(predictions.values.dtype).eps))
    return predictions.sum_tolerance or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What a piece of the pass brought to light."""

    n_ties: int = 0
    n_snapped: int = 0
    deviation: float = 0.0
    clean: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One pass over (n, k) values: what is read, how, and where the scores go."""

    values: Matrix
    labels: Integers
    is_probs: bool
    tolerance: float
    temperature: Temperature
    layout: Layout
    visit: Visit | None
    scores: ScoreVectors

    @property
    def softmax(self) -> bool:
        """Whether a block holds logits, log p among them."""
        return not self.is_probs or self.temperature is not None

    def run(self, rows: slice, scratch: Matrix) -> _Findings:
        """Score some rows."""
        sums = RowSums.empty(rows.stop - rows.start)
        blocks = slices(rows.start, rows.stop, self.layout.block_rows)
        found = [self._sum(block, scratch, sums.part(_within(block, rows))) for block in blocks]
        values, labels = self.values[rows], self.labels[rows]
        correct, n_ties = predicts_label(sums, values, labels, step=self.layout.block_rows)
        self.scores.put(rows, self._scores(rows, sums, correct))
        clean = all(piece.clean for piece in found) and bool(np.isfinite(sums.top).all())
        if self.visit is not None and clean:
            for block in blocks:
                self._show(block, scratch, sums.top[_within(block, rows)])
        return _Findings(
            n_ties=n_ties,
            n_snapped=sum(piece.n_snapped for piece in found),
            deviation=max(piece.deviation for piece in found),
            clean=clean,
        )

    def _scores(self, rows: slice, sums: RowSums, correct: Bools) -> ScoreVectors:
        """Scores of some rows from their sums."""
        ones = None if self.scores.positive is None else correct == (self.labels[rows] == 1)
        if not self.softmax:
            return scores_of_probs(sums, correct, ones=ones)
        temperature, narrow = temperature_of(self.temperature, rows), self.layout.dtype == np.float32
        return scores_of_logits(sums, correct, temperature, narrow=narrow, ones=ones)

    def _sum(self, rows: slice, scratch: Matrix, sums: RowSums) -> _Findings:
        """Fill the sums of one block."""
        block, found = self._read(rows, scratch)
        if self.softmax:
            temperature = temperature_of(self.temperature, rows)
            sum_logits(block, self.labels[rows], sums, layout=self.layout, temperature=temperature)
        else:
            sum_probs(block, self.labels[rows], sums, layout=self.layout)
        return found

    def _read(self, rows: slice, scratch: Matrix) -> tuple[Matrix, _Findings]:
        """Load one block; probabilities are checked, and those that will be scaled enter as log p."""
        block, found = self.layout.load(self.values[rows], scratch), _Findings()
        if self.is_probs:
            found = self._check_probs(block, rows.stop - rows.start)
            if self.softmax:
                np.log(block, out=block)
        return block, found

    def _check_probs(self, block: Matrix, n_rows: int) -> _Findings:
        """Check range and row sums of one block; values just outside [0, 1] are moved to its ends."""
        slack = _checks.SNAP * float(np.finfo(self.values.dtype).eps)
        deviation = float(np.abs(np.add.reduce(block, axis=self.layout.class_axis) - 1.0).max())
        low, high, n_snapped = block.min(), block.max(), 0
        if low < 0 or high > 1:
            rows = self.layout.as_rows(block, n_rows)
            n_snapped = int(np.count_nonzero((rows < 0) | (rows > 1)))
            np.clip(block, 0.0, 1.0, out=block)
        # Written so that NaN fails.
        clean = bool(low >= -slack and high <= 1.0 + slack and deviation <= self.tolerance)
        return _Findings(n_snapped=n_snapped, deviation=deviation, clean=clean)

    def _show(self, rows: slice, scratch: Matrix, top: Floats) -> None:
        """Show the visitor the class probabilities of one block."""
        assert self.visit is not None
        block, _ = self._read(rows, scratch)
        if self.softmax:
            confidence, temperature = self.scores.confidence[rows], temperature_of(self.temperature, rows)
            block = class_probs(block, top, confidence, layout=self.layout, temperature=temperature)
        self.visit(rows.start, self.layout.as_rows(block, rows.stop - rows.start))


def _within(inner: slice, outer: slice) -> slice:
    """A slice of a slice."""
    return slice(inner.start - outer.start, inner.stop - outer.start)
