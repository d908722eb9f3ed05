"""Rows of a binary forecast: one number, P(y = 1) or its log-odds. Floor 1."""

import numpy as np

from calibkit._numerics import Floats
from calibkit.predictions import Predictions
from calibkit.scores.blocks import CHUNK_ROWS, slices
from calibkit.scores.row_scores import (
    RowScores,
    ScoreVectors,
    difference,
    scores_of_log_odds,
    scores_of_probability,
)
from calibkit.scores.row_sums import Temperature, temperature_of


def log_odds(predictions: Predictions, rows: slice = slice(None), temperature: Temperature = None) -> Floats:
    """Log-odds of class 1 of binary rows, 1-D or (n, 2); infinite where p is 0 or 1, so call it in an errstate."""
    values = predictions.values[rows].astype(np.float64)
    if predictions.kind == "logits":
        one, zero = (values, np.zeros(1)) if values.ndim == 1 else (values[:, 1], values[:, 0])
    else:
        values = np.clip(values, 0.0, 1.0)
        one = np.log(values if values.ndim == 1 else values[:, 1])
        zero = np.log1p(-values) if values.ndim == 1 else np.log(values[:, 0])
    return difference(one, zero, temperature_of(temperature, rows))


def score_binary(predictions: Predictions, temperature: Temperature) -> RowScores:
    """Scores of a 1-D forecast."""
    labels = predictions.labels
    assert labels is not None
    scores, n_ties = ScoreVectors.empty(len(labels), one_event=True), 0
    for rows in slices(0, len(labels), CHUNK_ROWS):
        positive = labels[rows] == 1
        with np.errstate(all="ignore"):
            if predictions.kind == "probs" and temperature is None:
                probs = predictions.values[rows].astype(np.float64)
                part, ties = scores_of_probability(probs, positive), probs == 0.5
            else:
                odds = log_odds(predictions, rows, temperature)
                part, ties = scores_of_log_odds(odds, positive), odds == 0
        scores.put(rows, part)
        n_ties += int(np.count_nonzero(ties))
    return scores.finished(n_ties=n_ties)
