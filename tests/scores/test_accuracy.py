"""Row scores against arbitrary precision: the promise of a few units in the last place."""

import mpmath
import numpy as np
import pytest

from calibkit import Predictions
from calibkit.scores import score_rows
from tests.scores.reference import exact, ulps


def rows(n_classes, spread, *, n_rows=80, seed=5):
    """Logits of which most are right, as of a trained network."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_rows, n_classes)) * spread
    return np.where(rng.random(n_rows) < 0.7, logits.argmax(axis=1), rng.integers(0, n_classes, n_rows)), logits


@pytest.mark.parametrize("spread", [1, 10, 100])
@pytest.mark.parametrize("n_classes", [2, 3, 64, 65])
def test_float64_logits_are_scored_to_a_few_ulps_at_every_margin(n_classes, spread):
    labels, logits = rows(n_classes, spread)
    scores = score_rows(Predictions.from_logits(labels, logits))
    for i, (label, row) in enumerate(zip(labels, logits, strict=True)):
        log_score, brier, confidence = exact(row, label)
        assert ulps(scores.log_score[i], log_score) < 4
        assert ulps(scores.confidence[i], confidence) < 8
        if brier > 1e-290:
            assert ulps(scores.brier[i], brier) < 16


@pytest.mark.parametrize("n_classes", [2, 10, 100])
@pytest.mark.parametrize("temperature", [0.6, 2.4])
def test_scaled_logits_lose_at_most_two_roundings_of_their_margin(n_classes, temperature):
    labels, logits = rows(n_classes, 10)
    scores = score_rows(Predictions.from_logits(labels, logits), temperature=temperature)
    for i, (label, row) in enumerate(zip(labels, logits, strict=True)):
        margin = abs(row[label] - np.delete(row, label).max()) / temperature
        assert ulps(scores.log_score[i], exact(row, label, temperature)[0]) < 4 + 2 * margin


@pytest.mark.parametrize("n_classes", [2, 10, 100])
@pytest.mark.parametrize("spread", [1, 10, 100])
def test_float32_logits_keep_float32_precision_on_every_row(n_classes, spread):
    labels, logits = rows(n_classes, spread)
    logits = logits.astype(np.float32)
    scores = score_rows(Predictions.from_logits(labels, logits))
    assert scores.log_score.dtype == np.float64
    for i, (label, row) in enumerate(zip(labels, logits, strict=True)):
        log_score, brier, confidence = (float(x) for x in exact(row, label))
        assert scores.log_score[i] == pytest.approx(log_score, rel=2e-6, abs=0)
        assert scores.confidence[i] == pytest.approx(confidence, rel=2e-6, abs=0)
        assert scores.brier[i] == pytest.approx(brier, rel=4e-6, abs=1e-300)


@pytest.mark.parametrize("n_classes", [3, 100])
def test_a_confident_correct_float32_row_is_not_rounded_to_zero(n_classes):
    logits = np.linspace(-3, 3, n_classes, dtype=np.float32)[None].repeat(2, axis=0)
    logits[:, 1] += np.array([150, 600], np.float32)  # float32 has no exp(-150)
    scores = score_rows(Predictions.from_logits([1, 1], logits))
    for i in range(2):
        assert scores.log_score[i] == pytest.approx(float(exact(logits[i], 1)[0]), rel=1e-6, abs=0)


def test_half_precision_logits_are_widened():
    labels, logits = rows(10, 3)
    half = logits.astype(np.float16)
    got, wide = (score_rows(Predictions.from_logits(labels, x)) for x in (half, half.astype(np.float64)))
    np.testing.assert_array_equal(got.log_score, wide.log_score)
    np.testing.assert_array_equal(got.brier, wide.brier)


def test_log_odds_are_scored_to_a_few_ulps():
    rng = np.random.default_rng(8)
    log_odds = rng.normal(size=200) * 20
    labels = rng.integers(0, 2, 200)
    scores = score_rows(Predictions.from_logits(labels, log_odds))
    for i, z in enumerate(log_odds):
        with mpmath.workdps(60):
            wrong = 1 / (1 + mpmath.exp(float(z) if labels[i] else -float(z)))
            log_score = -mpmath.log1p(-wrong)
        assert ulps(scores.log_score[i], log_score) < 4
        assert ulps(scores.brier[i], wrong**2) < 8


def test_the_brier_score_of_near_certain_probabilities_is_not_cancelled():
    tiny = 2.0**-40
    for n_classes in (3, 100):
        row = np.full(n_classes, tiny)
        row[1] = 1 - tiny * (n_classes - 1)
        brier = score_rows(Predictions.from_probs([1], row[None])).brier[0]
        expected = (tiny * (n_classes - 1)) ** 2 + (n_classes - 1) * tiny**2
        assert brier == pytest.approx(expected, rel=1e-15)
