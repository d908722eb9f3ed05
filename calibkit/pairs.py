"""One forecast and one outcome a row: what the bin-free estimators and the tests work on. Floor 2."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibkit._checks import check_choice
from calibkit._numerics import Floats, Integers, sums_by
from calibkit.predictions import Predictions
from calibkit.scores import RowScores, score_rows
from calibkit.views import resolve_view

PairView = Literal["top-label", "positive"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Forecasts of one event a row, and whether it happened.

    Attributes
    ----------
    view : {"top-label", "positive"}
        The event: the predicted class is right, or y = 1.
    forecast : ndarray of shape (n,)
        Its probability, in [0, 1].
    outcome : ndarray of bool of shape (n,)
        Whether it happened.
    weights : ndarray of shape (n,) or None
        Positive row weights.
    squares : ndarray of shape (n,) or None
        Where a pair stands for several rows, the sum of their squared weights; else that is the weight's square.

    Examples
    --------
    >>> pairs = read_pairs([0, 2], [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]])
    >>> pairs.view, pairs.forecast, pairs.outcome
    ('top-label', array([0.7, 0.5]), array([ True, False]))
    """

    view: PairView
    forecast: Floats
    outcome: NDArray[np.bool_]
    weights: Floats | None = None
    squares: Floats | None = None

    def __len__(self) -> int:
        return len(self.forecast)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiedPairs:
    """The same, with the rows of each distinct forecast together, in increasing order of the forecast.

    Attributes
    ----------
    forecast : ndarray of shape (m,)
        Distinct forecasts, increasing.
    weight, weight_squared, happened : ndarray of shape (m,)
        Sum over their rows of the weights, of the weights' squares, and of the weights of those that happened.

    Examples
    --------
    >>> tied = pool_ties(read_pairs([1, 1, 0], [0.4, 0.2, 0.4]))
    >>> tied.forecast, tied.weight, tied.happened
    (array([0.2, 0.4]), array([1., 2.]), array([1., 1.]))
    """

    forecast: Floats
    weight: Floats
    weight_squared: Floats
    happened: Floats


def read_pairs(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
    clip: float | None = None,
) -> Pairs:
    """Check predictions and take one pair a row: by default P(y = 1) of 1-D input, else the predicted class.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view.
    OptionError
        If an option has a value that is not allowed; "classwise" and "flattened" have many pairs a row.
    """
    if view is not None:
        check_choice(view, ("top-label", "positive"), option="view")
    predictions = Predictions.from_probs(labels, probs, weights=weights, clip=clip)
    binary: PairView = "positive" if resolve_view(predictions, view) == "positive" else "top-label"
    return pairs_of(predictions, score_rows(predictions), view=binary)


def pairs_of(predictions: Predictions, scores: RowScores, *, view: PairView) -> Pairs:
    """Take the pairs of a view that the predictions have, from the row scores of a pass."""
    if view == "top-label":
        return Pairs(view=view, forecast=scores.confidence, outcome=scores.correct, weights=predictions.weights)
    assert scores.positive is not None  # there is one event
    assert predictions.labels is not None
    return Pairs(view=view, forecast=scores.positive, outcome=predictions.labels == 1, weights=predictions.weights)


def pool_ties(pairs: Pairs) -> TiedPairs:
    """Rows of equal forecast together: the order of the rows is forgotten here."""
    return pool_rows(pairs)[0]


def pool_rows(pairs: Pairs) -> tuple[TiedPairs, Integers]:
    """Rows of equal forecast together, and at which of the distinct forecasts each row is, (n,)."""
    values, block = np.unique(pairs.forecast, return_inverse=True)
    weight = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    total = sums_by(block, weight, len(values))
    squares = weight**2 if pairs.squares is None else pairs.squares
    tied = TiedPairs(
        forecast=values,
        weight=total,
        weight_squared=total if pairs.weights is None else sums_by(block, squares, len(values)),
        happened=sums_by(block, np.where(pairs.outcome, weight, 0.0), len(values)),
    )
    return tied, block.astype(np.int64, copy=False)
