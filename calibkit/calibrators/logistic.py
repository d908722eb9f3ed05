"""Logistic regression with few coefficients: what Platt scaling and beta calibration fit. Floor 2."""

import numpy as np

from calibkit._numerics import Floats
from calibkit.calibrators.minimise import newton, solved
from calibkit.scores.row_scores import sigmoid


def fit_logistic(
    features: Floats, targets: Floats, weights: Floats, *, start: Floats, penalty: float = 0.0
) -> tuple[Floats, float]:
    """Coefficients of least log score, and that score.

    Parameters
    ----------
    features : ndarray of shape (n, p)
        What the coefficients multiply; their sum is the log-odds.
    targets : ndarray of shape (n,)
        Outcomes in [0, 1].
    weights : ndarray of shape (n,)
        Weights of the rows.
    start : ndarray of shape (p,)
        Where to start, and where the penalty pulls to.
    penalty : float, default 0
        ``penalty / 2 |c - start|^2`` is added to the sum of the scores.

    Returns
    -------
    ndarray of shape (p,)
        The coefficients.
    float
        The penalised sum.

    Notes
    -----
    A row's score with log-odds s and target t is ``log(1 + exp(s)) - t s``, its slope ``sigmoid(s) - t``.

    Examples
    --------
    >>> one = np.ones((4, 1))
    >>> coefficients, _ = fit_logistic(one, np.array([1.0, 1, 1, 0]), np.ones(4), start=np.zeros(1))
    >>> coefficients.round(6), np.log(3).round(6)
    (array([1.098612]), np.float64(1.098612))
    """

    def value(point: Floats) -> tuple[float, Floats]:
        odds, away = features @ point, point - start
        score = float(weights @ (np.logaddexp(0.0, odds) - targets * odds)) + penalty / 2 * float(away @ away)
        return score, features.T @ (weights * (sigmoid(odds) - targets)) + penalty * away

    def curvature(point: Floats) -> Floats:
        odds = features @ point
        spread = weights * sigmoid(odds) * sigmoid(-odds)
        return np.asarray((features * spread[:, None]).T @ features + penalty * np.eye(len(point)))

    found = newton(value, start, lambda point, right: solved(curvature(point), right))
    return found, value(found)[0]
