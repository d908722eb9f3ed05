"""Plain references for row scores: brute force in float64, and exact in arbitrary precision."""

from dataclasses import dataclass

import mpmath
import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    confidence: np.ndarray
    correct: np.ndarray
    log_score: np.ndarray
    brier: np.ndarray


def softmax(logits, temperature=1.0):
    """exp(z / T) over its sum, for logits that need no care."""
    scaled = np.asarray(logits, dtype=np.float64) / np.broadcast_to(temperature, len(logits))[:, None]
    odds = np.exp(scaled)
    return odds / odds.sum(axis=1, keepdims=True)


def dense(labels, probs):
    """Scores by their definitions, from an (n, k) array of probabilities."""
    probs = np.asarray(probs, dtype=np.float64)
    truth = np.eye(probs.shape[1])[labels]
    with np.errstate(divide="ignore"):
        log_score = -np.log((probs * truth).sum(axis=1))
    return Dense(
        confidence=probs.max(axis=1),
        correct=probs.argmax(axis=1) == labels,
        log_score=log_score,
        brier=((probs - truth) ** 2).sum(axis=1),
    )


def exact(logits, label, temperature=1):
    """Log score, Brier score and confidence of one row, to 60 digits."""
    with mpmath.workdps(60):
        scaled = [mpmath.mpf(float(z)) / temperature for z in logits]
        rest = mpmath.fsum(mpmath.exp(z - scaled[label]) for j, z in enumerate(scaled) if j != label)
        odds = [mpmath.exp(z - max(scaled)) for z in scaled]
        probs = [o / mpmath.fsum(odds) for o in odds]
        wrong = mpmath.fsum(p for j, p in enumerate(probs) if j != label)
        others = mpmath.fsum(p * p for j, p in enumerate(probs) if j != label)
        return mpmath.log1p(rest), wrong**2 + others, max(probs)


def ulps(value, truth):
    """Distance in units of the last place of the true value."""
    with mpmath.workdps(60):
        return float(abs(mpmath.mpf(float(value)) - truth) / float(np.spacing(float(truth))))


def assert_scores(scores, expected, rtol=1e-12):
    """All four vectors agree."""
    np.testing.assert_array_equal(scores.correct, expected.correct)
    for name in ("confidence", "log_score", "brier"):
        np.testing.assert_allclose(getattr(scores, name), getattr(expected, name), rtol=rtol, atol=1e-14)


def random_logits(n_rows, n_classes, seed=0):
    """Labels and logits that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n_rows), rng.normal(size=(n_rows, n_classes)) * 2
