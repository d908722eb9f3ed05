"""What whole probability vectors say: how sure they are, and what they add to the class shares. Floor 2."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibkit._numerics import Floats, weighted_mean
from calibkit.errors import ShapeError
from calibkit.predictions import Predictions
from calibkit.scores import RowScores, by_choices, score_rows
from calibkit.views import NOT_CLASSES


def predictive_entropy(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Mean entropy of the predicted distributions, in nats: how unsure the forecasts are.

    In [0, log k]; neither end is better. Where every probability is calibrated given all of them, the expected NLL is
    this entropy: an NLL above it says over-confident, below it under-confident.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1; checked and not used.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1) of two classes.
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    Notes
    -----
    The mean over rows of -sum_j p_j log p_j, with 0 log 0 = 0.

    References
    ----------
    Shannon 1948, "A mathematical theory of communication", section 6.

    Examples
    --------
    A fair coin, and a certain forecast: (log 2 + 0) / 2.

    >>> from calibkit import predictive_entropy
    >>> round(predictive_entropy([0, 1], [[0.5, 0.5], [0.0, 1.0]]), 4)
    0.3466
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    return entropy_of(predictions, score_rows(predictions) if predictions.is_binary else None)


def log_skill_score(
    labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None, prior: ArrayLike | None = None
) -> float:
    """Normalised log score: the share of the class shares' NLL that the forecasts remove.

    In [-inf, 1], larger is better: 0 is as good as to forecast the class shares for every row, 1 is certain and right.

    Parameters
    ----------
    labels, probs, weights
        As in `predictive_entropy`; the labels are used.
    prior : array_like of shape (k,), optional
        The class shares to beat, of training rows say; by default those of these rows, which no forecaster knew: they
        are too good by about (k - 1) / (2 n) nats.

    Returns
    -------
    float
        NaN without rows, and where the labels are all of one class, whose share is certain and right.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    Notes
    -----
    1 - NLL / NLL of the prior. With the shares q of these rows the latter is the entropy -sum_j q_j log q_j. With a
    prior that gives a class of these rows 0, it is inf: the skill is 1 if the NLL is finite, else NaN.

    References
    ----------
    Murphy 1973, "Hedging and skill scores for probability forecasts". Benedetti 2010, "Scoring rules for forecast
    verification", section 5 (log score).

    Examples
    --------
    NLL is log(5/4), that of the shares 1/2 and 1/2 log 2:

    >>> from calibkit import log_skill_score
    >>> round(log_skill_score([0, 1], [[0.8, 0.2], [0.2, 0.8]]), 4)
    0.6781
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    k = predictions.n_classes
    assert k is not None  # these have probabilities
    shares = None if prior is None else _class_shares(prior, k)
    return skill_of(predictions, score_rows(predictions), prior=shares)


def entropy_of(predictions: Predictions, scores: RowScores | None) -> float:
    """Mean entropy of predictions: of (n, k) ones in a pass of its own, of one event from its row scores.

    Examples
    --------
    >>> round(entropy_of(Predictions.from_probs([0], [[0.5, 0.25, 0.25]]), None), 4)  # 1.5 log 2
    1.0397
    """
    _refuse_without_vectors(predictions)
    if predictions.is_binary:
        assert scores is not None
        assert scores.positive is not None
        return weighted_mean(_surprise(scores.positive) + _surprise(1 - scores.positive), predictions.weights)
    if predictions.n_choices is None:
        return weighted_mean(_entropies(predictions), predictions.weights)
    rows = np.empty(len(predictions))
    for places, part in by_choices(predictions):
        rows[places] = _entropies(part)
    return weighted_mean(rows, predictions.weights)


def _entropies(predictions: Predictions) -> Floats:
    """Entropy of each (n, k) forecast."""
    rows = np.empty(len(predictions))

    def visit(start: int, block: Floats) -> None:
        rows[start : start + len(block)] = _surprise(block.astype(np.float64)).sum(axis=1)

    score_rows(predictions, visit=visit)
    return rows


def skill_of(predictions: Predictions, scores: RowScores, *, prior: Floats | None = None) -> float:
    """Skill of scored predictions against class shares.

    Examples
    --------
    >>> predictions = Predictions.from_probs([0, 1], [0.2, 0.8])
    >>> round(skill_of(predictions, score_rows(predictions)), 4)
    0.6781
    """
    _refuse_without_vectors(predictions)
    if predictions.n_choices is not None:
        raise ShapeError(f"class shares are about classes, and {NOT_CLASSES}.")
    assert predictions.labels is not None
    assert scores.log_score is not None
    if len(predictions) == 0:
        return float("nan")
    counts = np.bincount(predictions.labels, weights=predictions.weights, minlength=predictions.n_classes or 2)
    return skill_over(counts, weighted_mean(scores.log_score, predictions.weights), prior=prior)


def skill_over(counts: NDArray[Any], nll: float, *, prior: Floats | None = None) -> float:
    """Skill of an NLL against class shares, by default those of the rows, of which there are some.

    Examples
    --------
    >>> round(skill_over(np.array([1, 1]), np.log(5 / 4)), 4)
    0.6781
    """
    shares = counts / counts.sum()
    with np.errstate(divide="ignore"):
        cost = -np.log(shares if prior is None else prior)
    seen = shares > 0
    reference = float(shares[seen] @ cost[seen])
    if reference == 0:
        return float("nan")
    return float(1 - nll / reference) if np.isfinite(nll) or np.isfinite(reference) else float("nan")


def _surprise(probs: Floats) -> Floats:
    """-p log p, 0 at 0."""
    return np.asarray(0.0 - probs * np.log(np.where(probs > 0, probs, 1.0)))  # 0.0 - 0.0 is no -0.0


def _class_shares(prior: ArrayLike, n_classes: int) -> Floats:
    """A distribution over the classes, checked as a row of probabilities is."""
    shares = np.asarray(prior)
    if shares.shape != (n_classes,):
        raise ShapeError(f"prior has shape {shares.shape}; expected ({n_classes},), the share of each class.")
    score_rows(Predictions.from_probs([0], shares[None, :], name="prior"))
    return shares.astype(np.float64)


def _refuse_without_vectors(predictions: Predictions) -> None:
    if predictions.kind in ("top1", "correct"):
        raise ShapeError("these predictions hold the probability of one class alone, and every class's is needed.")
