"""Rows with unlike numbers of choices: those of one number are scored together, as rows of so many classes. Floor 1.

So the scores of a row have the bits of its own k, whatever it was filled up to, and what fills it up is not read (but
beside a lone choice).
"""

from collections.abc import Iterator

import numpy as np

from calibkit._intake.ragged import MIN_WIDTH
from calibkit._numerics import Floats, Integers, sum_slack
from calibkit.errors import DataError
from calibkit.predictions import Predictions
from calibkit.scores.matrix import refuse_bad_values, score_matrix
from calibkit.scores.row_scores import RowScores, ScoreVectors
from calibkit.scores.row_sums import Temperature

PIECE_BYTES = 1 << 24


def by_choices(predictions: Predictions) -> Iterator[tuple[Integers, Predictions]]:
    """Rows of one number of choices at a time: their numbers, and their predictions as those of so many classes.

    A lone choice has one beside it that is impossible. Labels and forecasts alone go along.
    """
    n_choices, labels, values = predictions.n_choices, predictions.labels, predictions.values
    assert n_choices is not None
    assert labels is not None
    epsilon = float(np.finfo(values.dtype).eps)
    for count in np.unique(n_choices):
        width = max(MIN_WIDTH, int(count))
        rows = np.flatnonzero(n_choices == count)
        tolerance = predictions.sum_tolerance
        if predictions.kind == "probs" and tolerance is None:
            tolerance = sum_slack(int(count), epsilon)
        step = max(1, PIECE_BYTES // (width * values.dtype.itemsize))
        for start in range(0, len(rows), step):
            piece = rows[start : start + step]
            own, is_logits = values[piece, :width], predictions.kind == "logits"
            part = Predictions(
                kind=predictions.kind,
                labels=labels[piece],
                logits=own if is_logits else None,
                probs=None if is_logits else own,
                n_classes=width,
                sum_tolerance=tolerance,
                name=predictions.name,
            )
            yield piece, part


def score_ragged(predictions: Predictions, temperature: Temperature, threads: int) -> RowScores:
    """Scores of ragged rows, with nothing of their size made on the way."""
    scores, parts = ScoreVectors.empty(len(predictions), one_event=False), []
    for rows, part in by_choices(predictions):
        try:
            found = score_matrix(part, _of_rows(temperature, rows), threads, None)
        except DataError:
            refuse_bad_values(predictions)  # by the numbers that the rows have among all
            raise
        scores.confidence[rows], scores.correct[rows] = found.confidence, found.correct
        scores.log_score[rows], scores.brier[rows] = found.log_score, found.brier
        parts.append(found)
    deviation = max((part.max_sum_deviation or 0.0 for part in parts), default=0.0)
    return scores.finished(
        n_ties=sum(part.n_ties for part in parts),
        n_snapped=sum(part.n_snapped for part in parts),
        max_sum_deviation=deviation if predictions.kind == "probs" else None,
    )


def _of_rows(temperature: Temperature, rows: Integers) -> float | Floats | None:
    return temperature[rows] if isinstance(temperature, np.ndarray) else temperature
