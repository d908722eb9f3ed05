"""Derivatives of each row's log score in the inverse temperature: what a fitted temperature is made of. Floor 1."""

from math import exp
from typing import Any

import numpy as np

from calibkit._numerics import Floats, Integers
from calibkit.predictions import Predictions
from calibkit.scores.binary import log_odds
from calibkit.scores.blocks import Layout, Matrix, each_chunk
from calibkit.scores.row_scores import sigmoid
from calibkit.scores.row_sums import sum_classes

ORDER = 4
_FAR = 1e30  # stands for the distance to a class with p = 0: its powers times exp(-1e30) = 0 are 0, not NaN


def loss_derivatives(predictions: Predictions, log_t: float, *, step: int, threads: int) -> Floats:
    """Four derivatives of the log score of every step-th row in b = 1/T, the j-th times b^j: shape (4, rows).

    They are what is left of the true class's log-odds, and the cumulants of the scaled logits under softmax(z / T).
    Not finite where a logit is not what it should be, or the true class has p = 0. Sums over the classes run in
    float32 for float32 logits, which moves a fitted log T by less than 1e-6, in float64 for every other dtype.
    """
    if predictions.is_binary:
        return _binary_derivatives(predictions, log_t, step)
    return _matrix_derivatives(predictions, log_t, step, threads)


def _binary_derivatives(predictions: Predictions, log_t: float, step: int) -> Floats:
    """Derivatives of log(1 + exp(-m/T)), m the log-odds of the true class."""
    assert predictions.labels is not None
    rows = slice(None, None, step)
    with np.errstate(all="ignore"):
        odds = log_odds(predictions, rows)
        margin = np.minimum(np.where(predictions.labels[rows] == 1, odds, -odds), _FAR) * exp(-log_t)
        wrong, right = sigmoid(-margin), sigmoid(margin)
        second = wrong * right * margin * margin
        third = (wrong - right) * second * margin
        fourth = (1.0 - 6.0 * wrong * right) * second * margin * margin
    return np.stack([-margin * wrong, second, third, fourth])


def _matrix_derivatives(predictions: Predictions, log_t: float, step: int, threads: int) -> Floats:
    """Derivatives of (n, k) rows, in one pass."""
    narrow = predictions.kind == "logits" and predictions.values.dtype == np.float32
    found = _pass_over_matrix(predictions, exp(-log_t), step, threads, np.dtype(np.float32 if narrow else np.float64))
    if narrow and not found[0].any():
        # Nothing to say, or rows so confident that a float32 cannot tell how far.
        found = _pass_over_matrix(predictions, exp(-log_t), step, threads, np.dtype(np.float64))
    return found


def _pass_over_matrix(
    predictions: Predictions, inverse: float, step: int, threads: int, dtype: np.dtype[Any]
) -> Floats:
    """Derivatives of (n, k) rows from blocks of a dtype."""
    assert predictions.labels is not None
    values, labels, is_probs = predictions.values[::step], predictions.labels[::step], predictions.kind == "probs"
    layout = Layout(n_classes=values.shape[1], dtype=dtype)
    found = np.empty((ORDER, len(values)))

    def derive(rows: slice, scratch: Matrix) -> None:
        block = layout.load(values[rows], scratch)
        if is_probs:
            np.log(np.clip(block, 0.0, 1.0, out=block), out=block)
        found[:, rows] = _block_derivatives(block, labels[rows], layout, inverse)

    each_chunk(derive, n_rows=len(values), step=layout.block_rows, layout=layout, threads=threads)
    return found


def _block_derivatives(block: Matrix, labels: Integers, layout: Layout, inverse: float) -> Floats:
    """Derivatives of one block of logits, which is used up: from moments of the distances to the top logit."""
    top = np.maximum.reduce(block, axis=layout.class_axis)
    true = np.subtract(block.reshape(-1)[layout.places(labels, block)], top[: len(labels)], dtype=np.float64)
    block -= layout.across(top)
    block *= inverse
    if block.min() < -_FAR:
        np.maximum(block, -_FAR, out=block)
    terms = np.exp(block)
    total = sum_classes(terms, layout)
    moments = np.empty((ORDER, len(total)))
    for moment in moments:
        terms *= block
        np.divide(sum_classes(terms, layout), total, out=moment, dtype=np.float64)
    found = _cumulants(moments)[:, : len(labels)]
    found[0] -= true * inverse
    return found


def _cumulants(moments: Floats) -> Floats:
    """First four cumulants from raw moments (Kenney and Keeping 1951, section 4.13)."""
    m1, m2, m3, m4 = moments
    square = m1 * m1
    variance = np.maximum(m2 - square, 0.0)
    third = m3 - m1 * (3.0 * m2 - 2.0 * square)
    fourth = m4 - 4.0 * m1 * m3 - 3.0 * m2 * m2 + square * (12.0 * m2 - 6.0 * square)
    return np.stack([m1, variance, third, fourth])
