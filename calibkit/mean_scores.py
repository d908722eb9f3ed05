"""Means of one score per row: accuracy, confidence, their gap, NLL and Brier score. Floor 2."""

import numpy as np
from numpy.typing import ArrayLike

from calibkit._numerics import weighted_mean
from calibkit.errors import ShapeError
from calibkit.predictions import Predictions
from calibkit.scores import score_rows


def accuracy(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Fraction of rows whose most probable class is the label.

    In [0, 1], larger is better.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1), and p > 1/2 predicts 1.
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
    Ties go to the lowest class.

    Examples
    --------
    >>> from calibkit import accuracy
    >>> accuracy([0, 1, 1], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], weights=[1, 1, 2])
    0.75
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    return weighted_mean(score_rows(predictions).correct, predictions.weights)


def mean_confidence(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Mean probability of the predicted class; of 1-D probabilities, mean P(y = 1).

    In [0, 1]; of a calibrated model it equals the accuracy (1-D: the base rate).

    Parameters
    ----------
    labels, probs, weights
        As in `accuracy`; the labels are checked and not used.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    Examples
    --------
    >>> from calibkit import mean_confidence
    >>> round(mean_confidence([0, 1, 1], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]), 4)
    0.7
    >>> round(mean_confidence([0, 1, 1], [0.3, 0.4, 0.8]), 4)
    0.5
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    confidence = predictions.values if predictions.is_binary else score_rows(predictions).confidence
    return weighted_mean(np.asarray(confidence, np.float64), predictions.weights)


def base_rate(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Fraction of rows whose label is 1, of two classes.

    In [0, 1]; what the forecasts P(y = 1) of a calibrated model average to.

    Parameters
    ----------
    labels, probs, weights
        As in `accuracy`; 1-D probabilities or two columns, checked and not used.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or there are more than two classes.

    Examples
    --------
    >>> base_rate([0, 1, 1, 0, 0], [0.3, 0.4, 0.8, 0.1, 0.2])
    0.4
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    if predictions.n_classes != 2 or predictions.labels is None:
        raise ShapeError(f"a base rate is that of one event, and there are {predictions.n_classes} classes")
    return weighted_mean(predictions.labels == 1, predictions.weights)


def confidence_gap(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Mean confidence minus accuracy; of 1-D probabilities, mean P(y = 1) minus the base rate.

    In [-1, 1], nearer 0 is better; positive: over-confident. Errors of both signs cancel, other than in ECE.

    Parameters
    ----------
    labels, probs, weights
        As in `accuracy`.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    Examples
    --------
    >>> round(confidence_gap([0, 1, 1], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]), 4)
    0.0333
    """
    one_event = np.ndim(probs) == 1
    truth = (base_rate if one_event else accuracy)(labels, probs, weights=weights)
    return mean_confidence(labels, probs, weights=weights) - truth


def negative_log_likelihood(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Negative log-likelihood (log score, cross-entropy) of the labels.

    In [0, inf] nats, smaller is better; a proper score.

    Parameters
    ----------
    labels, probs, weights
        As in `accuracy`.

    Returns
    -------
    float
        The mean of -log p(label); inf if any label had p = 0 (nothing is clipped), NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    References
    ----------
    Good 1952, "Rational decisions"; Gneiting, Raftery 2007, "Strictly proper scoring rules", section 4.

    Examples
    --------
    -(log .7 + log .4 + log .8) / 3:

    >>> from calibkit import negative_log_likelihood
    >>> round(negative_log_likelihood([0, 1, 1], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]), 4)
    0.4987
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    log_score = score_rows(predictions).log_score
    assert log_score is not None  # probabilities define it
    return weighted_mean(log_score, predictions.weights)


def brier_score(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Brier score: squared distance between forecast and outcome.

    Smaller is better, a proper score; summed over classes, in [0, 2]; of 1-D probabilities (p - y)^2, in [0, 1].

    Parameters
    ----------
    labels, probs, weights
        As in `accuracy`.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    References
    ----------
    Brier 1950, "Verification of forecasts expressed in terms of probability", eq. 2.

    Examples
    --------
    (.3^2 + .6^2 + .2^2) / 3, and twice as much over both classes:

    >>> from calibkit import brier_score
    >>> round(brier_score([0, 1, 1], [0.3, 0.4, 0.8]), 4)
    0.1633
    >>> round(brier_score([0, 1, 1], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]), 4)
    0.3267
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    brier = score_rows(predictions).brier
    assert brier is not None  # probabilities define it
    return weighted_mean(brier, predictions.weights)
