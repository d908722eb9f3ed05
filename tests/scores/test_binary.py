import numpy as np
import pytest

from calibkit import Predictions
from calibkit.scores import score_rows
from tests.scores.reference import random_logits, softmax


def test_one_dimensional_probabilities():
    probs = np.array([0.8, 0.3, 0.5, 0.5, 1.0, 0.0, 0.0])
    labels = np.array([1, 1, 0, 1, 1, 0, 1])
    scores = score_rows(Predictions.from_probs(labels, probs))
    np.testing.assert_array_equal(scores.confidence, [0.8, 0.7, 0.5, 0.5, 1, 1, 1])
    np.testing.assert_array_equal(scores.correct, [True, False, True, False, True, True, False])
    np.testing.assert_allclose(scores.log_score[:4], -np.log([0.8, 0.3, 0.5, 0.5]), rtol=1e-15)
    np.testing.assert_array_equal(scores.log_score[4:], [0, 0, np.inf])
    assert not np.signbit(scores.log_score).any()
    np.testing.assert_allclose(scores.brier, (probs - labels) ** 2, rtol=1e-15)
    assert (scores.n_ties, scores.n_zero, scores.max_sum_deviation) == (2, 1, None)


@pytest.mark.parametrize("temperature", [None, 2.2])
def test_one_column_and_two_columns_have_equal_scores_but_for_the_brier_scale(temperature):
    labels, pairs = random_logits(200, 2)
    log_odds = pairs[:, 1] - pairs[:, 0]
    two = score_rows(Predictions.from_logits(labels, pairs), temperature=temperature)
    for one_column in (
        Predictions.from_logits(labels, log_odds),
        Predictions.from_probs(labels, softmax(pairs)[:, 1]),
    ):
        one = score_rows(one_column, temperature=temperature)
        np.testing.assert_allclose(one.log_score, two.log_score, rtol=1e-12)
        np.testing.assert_allclose(one.confidence, two.confidence, rtol=1e-12)
        np.testing.assert_allclose(2 * one.brier, two.brier, rtol=1e-11)
        np.testing.assert_array_equal(one.correct, two.correct)


def test_log_odds_far_out_stay_finite():
    scores = score_rows(Predictions.from_logits([1, 0, 1, 0], np.array([800.0, 800.0, -1e308, 0.0])))
    np.testing.assert_array_equal(scores.log_score, [np.exp(-800), 800, 1e308, np.log(2)])
    np.testing.assert_array_equal(scores.correct, [True, False, False, True])
    assert scores.n_ties == 1


def test_zero_log_odds_predict_class_0():
    np.testing.assert_array_equal(score_rows(Predictions.from_logits([0, 1], np.zeros(2))).correct, [True, False])


@pytest.mark.parametrize("temperature", [None, 1.9, np.linspace(0.5, 2, 30)])
def test_the_positive_probability(temperature):
    labels, logits = random_logits(30, 2)
    expected = softmax(logits, 1.0 if temperature is None else temperature)[:, 1]
    log_odds = logits[:, 1] - logits[:, 0]
    for rows in (
        Predictions.from_logits(labels, logits),
        Predictions.from_logits(labels, log_odds),
        Predictions.from_probs(labels, softmax(logits)),
        Predictions.from_probs(labels, softmax(logits)[:, 1]),
    ):
        got = score_rows(rows, temperature=temperature).positive
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def log_odds_of_all_sizes():
    """Log-odds of both signs, and 0, up to where a probability all but underflows."""
    sizes = np.concatenate([[0.0], np.geomspace(1e-9, 600, 60)])
    return np.concatenate([sizes, -sizes])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("temperature", [None, 0.9])
def test_two_columns_lose_nothing_of_the_positive_probability(dtype, temperature):
    log_odds = log_odds_of_all_sizes().astype(dtype)
    labels = np.arange(len(log_odds)) % 2
    pairs = np.stack([np.zeros_like(log_odds), log_odds], axis=1)
    one, two = (
        score_rows(Predictions.from_logits(labels, logits), temperature=temperature).positive
        for logits in (log_odds, pairs)
    )
    np.testing.assert_allclose(two, one, rtol=1e-15)
    assert two.min() > 0


def test_two_columns_of_probabilities_give_the_stored_ones():
    probs = 0.5 + 0.5 * np.tanh(log_odds_of_all_sizes() / 60)
    labels = np.arange(len(probs)) % 2
    pairs = Predictions.from_probs(labels, np.stack([1 - probs, probs], axis=1))
    np.testing.assert_array_equal(score_rows(pairs).positive, probs)
    scaled = score_rows(Predictions.from_probs(labels, probs), temperature=1.3).positive
    inside = (probs > 1e-3) & (probs < 1 - 1e-3)  # 1 - (1 - p) has p's digits there
    np.testing.assert_allclose(score_rows(pairs, temperature=1.3).positive[inside], scaled[inside], rtol=1e-13)


def test_the_positive_probability_of_certain_rows():
    pairs = np.array([[-np.inf, 1.0], [2.0, -np.inf], [0.0, 800.0]])
    np.testing.assert_array_equal(score_rows(Predictions.from_logits([0, 1, 0], pairs)).positive, [1, 0, 1])
    certain = Predictions.from_probs([0, 1], np.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(score_rows(certain).positive, [1, 0])
    np.testing.assert_array_equal(score_rows(certain, temperature=3.0).positive, [1, 0])


def test_more_classes_or_the_predicted_one_alone_have_no_positive_probability():
    for rows in (
        Predictions.from_logits(*random_logits(3, 4)),
        Predictions.from_top1([0, 1], [0, 1], [0.9, 0.4]),
        Predictions.from_correct([True, False], [0.9, 0.4]),
    ):
        assert score_rows(rows).positive is None
