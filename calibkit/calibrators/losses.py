"""Losses of logits, with exact gradients and curvatures. Floor 2."""

from typing import Literal

import numpy as np

from calibkit._numerics import Floats, Integers
from calibkit.calibrators.rows import log_softmax, softmax

Loss = Literal["nll", "brier"]
LOSSES: tuple[Loss, ...] = ("nll", "brier")


def row_gradients(scores: Floats, labels: Integers, weights: Floats, loss: Loss) -> tuple[float, Floats]:
    """Weighted sum of the loss over logits (n, k), and its gradient in them.

    With q the softmax and e the true class's indicator, the gradient of a row is ``q - e`` for the log score, and
    ``2 q (d - sum_j q_j d_j)`` with ``d = q - e`` for the Brier score.
    """
    rows = np.arange(len(labels))
    if loss == "nll":
        log_q = log_softmax(scores)
        value = -float(weights @ log_q[rows, labels])
        gradients = np.exp(log_q)
        gradients[rows, labels] -= 1.0
        return value, gradients * weights[:, None]
    q = softmax(scores)
    d = q.copy()
    d[rows, labels] -= 1.0
    value = float(weights @ (d * d).sum(axis=1))
    gradients = 2.0 * q * (d - (q * d).sum(axis=1, keepdims=True))
    return value, gradients * weights[:, None]


def change_of_gradients(q: Floats, change: Floats, weights: Floats) -> Floats:
    """How the log score's gradients in logits (n, k) change with the logits: ``c q (u - sum_j q_j u_j)``, in place."""
    change -= np.einsum("ij,ij->i", q, change)[:, None]
    change *= q
    change *= weights[:, None]
    return change


def brier_of_temperature(scaled: Floats, labels: Integers, weights: Floats) -> tuple[float, float]:
    """First and second derivative of the summed Brier score in log T, at logits u = z / T that T has divided.

    With means under the softmax q: ``q_j' = -q_j a_j``, ``a_j = u_j - mean(u)``, ``a_j' = -a_j + var(u)``, so that
    ``B' = 2 sum_j d_j q_j'`` and ``B'' = 2 sum_j (q_j'^2 + d_j q_j (a_j^2 + a_j - var(u)))``.
    """
    q = softmax(scaled)
    a = scaled - (q * scaled).sum(axis=1, keepdims=True)
    terms = q * a
    variance = (terms * a).sum(axis=1, keepdims=True)
    d = q.copy()
    d[np.arange(len(labels)), labels] -= 1.0
    slope = -2.0 * (d * terms).sum(axis=1)
    curvature = 2.0 * (terms * terms + d * (terms * a + terms - q * variance)).sum(axis=1)
    return float(weights @ slope), float(weights @ curvature)
