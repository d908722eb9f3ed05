"""The scores of a row, from log-odds, from a probability, or from its sums over the classes. Floor 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.scores.row_sums import RowSums, Temperature

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowScores:
    """What each row is worth, and what the pass saw on its way.

    Attributes
    ----------
    confidence : ndarray of shape (n,)
        Probability of the predicted class.
    correct : ndarray of bool of shape (n,)
        Whether the predicted class is the label.
    log_score : ndarray of shape (n,) or None
        Negative log-likelihood of the label in nats, in [0, inf]; smaller is better. None for top-1 predictions.
    brier : ndarray of shape (n,) or None
        Brier score: summed over classes, in [0, 2]; for 1-D predictions (p - y)^2, in [0, 1]; smaller is better.
    positive : ndarray of shape (n,) or None
        P(y = 1) of 1-D predictions and of two classes, with full relative precision where it is small; else None.
    n_ties : int
        Rows in which several classes share the largest value.
    n_zero : int
        Rows with an infinite log score: their true class has p = 0.
    max_sum_deviation : float or None
        Largest ``|row sum - 1|`` of (n, k) probabilities, else None.
    n_snapped : int
        Entries of (n, k) probabilities outside [0, 1] by at most 4 eps, counted as 0 or 1.

    Examples
    --------
    >>> scores = RowScores(confidence=np.array([0.7, 0.6]), correct=np.array([True, False]))
    >>> scores.correct.mean(), scores.log_score
    (np.float64(0.5), None)
    """

    confidence: Floats
    correct: Bools
    log_score: Floats | None = None
    brier: Floats | None = None
    positive: Floats | None = None
    n_ties: int = 0
    n_zero: int = 0
    max_sum_deviation: float | None = None
    n_snapped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreVectors:
    """The vectors of all rows, or of some; all (n,). P(y = 1) only where there is one event."""

    confidence: Floats
    correct: Bools
    log_score: Floats
    brier: Floats
    positive: Floats | None = None

    @classmethod
    def empty(cls, n_rows: int, *, one_event: bool) -> "ScoreVectors":
        """Room for the scores of `n_rows` rows."""
        confidence, log_score, brier = (np.empty(n_rows) for _ in range(3))
        return cls(
            confidence=confidence,
            correct=np.empty(n_rows, np.bool_),
            log_score=log_score,
            brier=brier,
            positive=np.empty(n_rows) if one_event else None,
        )

    def put(self, rows: slice, part: "ScoreVectors") -> None:
        """Write the scores of some rows."""
        self.confidence[rows], self.correct[rows] = part.confidence, part.correct
        self.log_score[rows], self.brier[rows] = part.log_score, part.brier
        if self.positive is not None:
            self.positive[rows] = part.positive

    def finished(self, *, n_ties: int, n_snapped: int = 0, max_sum_deviation: float | None = None) -> RowScores:
        """Row scores with what the pass saw."""
        return RowScores(
            confidence=self.confidence,
            correct=self.correct,
            log_score=self.log_score,
            brier=self.brier,
            positive=self.positive,
            n_ties=n_ties,
            n_zero=int(np.count_nonzero(self.log_score == np.inf)),
            max_sum_deviation=max_sum_deviation,
            n_snapped=n_snapped,
        )


def difference(minuend: Floats, subtrahend: Floats, temperature: Temperature) -> Floats:
    """(a - b)/T; halved first, for the difference of the largest floats may overflow where the result does not."""
    if temperature is None:
        return minuend - subtrahend
    return (0.5 * minuend - 0.5 * subtrahend) / (0.5 * temperature)


def _rounded_off(difference: Floats, minuend: Floats, subtrahend: Floats) -> Floats:
    """What a - b lost to rounding, exactly (Knuth 1969, theorem 4.2.2 B); 0 where it overflowed."""
    taken = minuend - difference
    lost = (minuend - (difference + taken)) + (taken - subtrahend)
    return np.where(np.isfinite(lost), lost, 0.0)


def sigmoid(log_odds: Floats) -> Floats:
    """1/(1 + exp(-z)) without overflow, with full relative precision at both ends."""
    odds = np.exp(-np.abs(log_odds))
    return np.where(log_odds >= 0, 1.0, odds) / (1.0 + odds)


def scores_of_probability(probs: Floats, positive: Bools) -> ScoreVectors:
    """Scores of P(y = 1)."""
    missing = np.where(positive, 1.0 - probs, probs)
    # 0 - x, not -x: a certain and correct row scores +0.0.
    log_score = 0.0 - np.where(positive, np.log(probs), np.log1p(-probs))
    return ScoreVectors(
        confidence=np.maximum(probs, 1.0 - probs),
        correct=(probs > 0.5) == positive,
        log_score=log_score,
        brier=np.square(missing),
        positive=np.clip(probs, 0.0, 1.0),
    )


def scores_of_log_odds(log_odds: Floats, positive: Bools) -> ScoreVectors:
    """Scores of log-odds of class 1."""
    margin = np.where(positive, log_odds, -log_odds)
    odds = np.exp(-np.abs(margin))
    return ScoreVectors(
        confidence=1.0 / (1.0 + odds),
        correct=(log_odds > 0) == positive,
        log_score=np.log1p(odds) + np.maximum(-margin, 0.0),
        brier=np.square(sigmoid(-margin)),
        positive=sigmoid(log_odds),
    )


def scores_of_logits(
    sums: RowSums, correct: Bools, temperature: Temperature, *, narrow: bool, ones: Bools | None
) -> ScoreVectors:
    """Scores of softmax(z / T); `narrow` logits are float32, `ones` are the rows in which class 1 of two leads."""
    lead = difference(sums.second, sums.top, temperature)
    odds_second = np.exp(lead)
    if temperature is None and not narrow:
        # Else the error of a confident row would grow with its margin. Float32 logits have exact differences.
        odds_second *= 1.0 + _rounded_off(lead, sums.second, sums.top)
    behind = difference(sums.top, sums.true, temperature)
    odds_true = np.exp(-behind)
    rest = (1.0 + sums.rest) * odds_second  # (1 - p_top)/p_top
    # Where the true class is on top its odds are exactly 1: what is left are the sums without it, not cancelled.
    missing = rest + (1.0 - odds_true)
    others = (1.0 + sums.square) * np.square(odds_second) + (1.0 - np.square(odds_true))
    confidence = 1.0 / (1.0 + rest)
    return ScoreVectors(
        confidence=confidence,
        correct=correct,
        log_score=behind + np.log1p(rest),
        brier=(np.square(missing) + others) * np.square(confidence),
        positive=None if ones is None else np.where(ones, 1.0, rest) / (1.0 + rest),
    )


def scores_of_probs(sums: RowSums, correct: Bools, *, ones: Bools | None) -> ScoreVectors:
    """Scores of stored class probabilities; `ones` are the rows in which class 1 of two leads."""
    # As for logits: the last product is exactly 0 where the true class is on top.
    others = sums.square + np.square(sums.second) + (sums.top - sums.true) * (sums.top + sums.true)
    return ScoreVectors(
        confidence=sums.top,
        correct=correct,
        log_score=0.0 - np.log(sums.true),
        brier=np.square(1.0 - sums.true) + others,
        positive=None if ones is None else np.where(ones, sums.top, sums.second),
    )


def predicts_label(sums: RowSums, values: NDArray[Any], labels: Integers, *, step: int) -> tuple[Bools, int]:
    """Whether the first class with the largest value is the label; and in how many rows several classes have it."""
    correct, n_ties = sums.true == sums.top, 0
    tied = np.flatnonzero(sums.top == sums.second)
    for start in range(0, len(tied), step):
        rows = tied[start : start + step]
        values_there = np.asarray(values[rows])
        best = values_there == values_there.max(axis=1, keepdims=True)
        correct[rows] = best.argmax(axis=1) == labels[rows]
        # Different probabilities may have equal logarithms.
        n_ties += int(np.count_nonzero(best.sum(axis=1) > 1))
    return correct, n_ties
