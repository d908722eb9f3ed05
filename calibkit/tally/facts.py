"""Counts and extremes of rows that notes tell; of two parts, those of the whole. Floor 2."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from calibkit._intake.ragged import beyond
from calibkit.predictions import Predictions
from calibkit.scores import RowScores

Number = TypeVar("Number", int, float)

# How many logits are looked at first: nearly all are known from the first rows not to be probabilities.
LOOKED_AT = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was seen of some rows. Counts add up; of extremes the extreme is kept.

    Attributes
    ----------
    n, n_correct, n_ties, n_zero, n_snapped : int
        Rows; rows predicted right; rows whose largest value is shared; rows that give their class p = 0; entries just
        outside [0, 1].
    first_label, last_label : int or None
        Smallest and largest label.
    max_sum_deviation : float or None
        Largest deviation of a row sum from 1, of (n, k) probabilities.
    like_probs : bool
        Whether all rows of logits look like probabilities. True of no rows.
    n_single : int
        Of ragged rows, those with one choice alone.
    fewest_choices, most_choices : int or None
        Smallest and largest number of choices of ragged rows.

    Examples
    --------
    >>> Facts(n=2, first_label=1, last_label=3) + Facts(n=1, first_label=0, last_label=0)
    Facts(n=3, n_correct=0, n_ties=0, n_zero=0, n_snapped=0, first_label=0, last_label=3, max_sum_deviation=None, \
like_probs=True, n_single=0, fewest_choices=None, most_choices=None)
    """

    n: int = 0
    n_correct: int = 0
    n_ties: int = 0
    n_zero: int = 0
    n_snapped: int = 0
    first_label: int | None = None
    last_label: int | None = None
    max_sum_deviation: float | None = None
    like_probs: bool = True
    n_single: int = 0
    fewest_choices: int | None = None
    most_choices: int | None = None

    def __add__(self, other: "Facts") -> "Facts":
        """Facts of the rows of both."""
        return Facts(
            n=self.n + other.n,
            n_correct=self.n_correct + other.n_correct,
            n_ties=self.n_ties + other.n_ties,
            n_zero=self.n_zero + other.n_zero,
            n_snapped=self.n_snapped + other.n_snapped,
            first_label=_extreme(min, self.first_label, other.first_label),
            last_label=_extreme(max, self.last_label, other.last_label),
            max_sum_deviation=_extreme(max, self.max_sum_deviation, other.max_sum_deviation),
            like_probs=self.like_probs and other.like_probs,
            n_single=self.n_single + other.n_single,
            fewest_choices=_extreme(min, self.fewest_choices, other.fewest_choices),
            most_choices=_extreme(max, self.most_choices, other.most_choices),
        )


def _extreme(choose: Callable[[Number, Number], Number], one: Number | None, other: Number | None) -> Number | None:
    """The extreme of two, of which some may be missing."""
    return other if one is None else one if other is None else choose(one, other)


def facts_of(predictions: Predictions, scores: RowScores) -> Facts:
    """Facts of rows after their pass."""
    labels = predictions.labels if len(predictions) else None
    choices = predictions.n_choices if len(predictions) else None
    return Facts(
        n=len(predictions),
        n_correct=int(np.count_nonzero(scores.correct)),
        n_ties=scores.n_ties,
        n_zero=scores.n_zero,
        n_snapped=scores.n_snapped,
        first_label=None if labels is None else int(labels.min()),
        last_label=None if labels is None else int(labels.max()),
        max_sum_deviation=scores.max_sum_deviation if len(predictions) else None,
        like_probs=_like_probs(predictions),
        n_single=0 if choices is None else int(np.count_nonzero(choices == 1)),
        fewest_choices=None if choices is None else int(choices.min()),
        most_choices=None if choices is None else int(choices.max()),
    )


def _like_probs(predictions: Predictions) -> bool:
    """Whether (n, k) logits are rows in [0, 1] that sum to 1: all are read only where the first ones are."""
    logits = predictions.logits
    if logits is None or logits.ndim == 1:
        return False
    n_choices = predictions.n_choices
    step = max(1, LOOKED_AT // logits.shape[1])
    for start in range(0, len(logits), step):
        rows = np.array(logits[start : start + step], dtype=np.float64)
        if n_choices is not None:
            rows[beyond(n_choices[start : start + step], rows.shape[1])] = 0.0
        if rows.min() < 0 or not np.allclose(rows.sum(axis=1), 1, atol=1e-3):
            return False
    return True
