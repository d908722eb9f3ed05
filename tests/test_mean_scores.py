"""Means of row scores: against scikit-learn, plain loops, and by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from calibkit import accuracy, brier_score, mean_confidence, negative_log_likelihood
from calibkit.errors import LabelError, ShapeError
from calibkit.mean_scores import base_rate, confidence_gap
from tests.real_data import real_data

ALL = (accuracy, mean_confidence, confidence_gap, negative_log_likelihood, brier_score)


def sample(k, n=150, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, k, n), rng.dirichlet(np.full(k, 0.7), n), rng.choice([0.25, 1.0, 3.0], n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 3, 11])
def test_scores_of_a_matrix_are_those_of_scikit_learn(k, weighted):
    labels, probs, weights = sample(k)
    weights = weights if weighted else None
    classes = np.arange(k)
    expected = {
        accuracy: accuracy_score(labels, probs.argmax(axis=1), sample_weight=weights),
        mean_confidence: np.average(probs.max(axis=1), weights=weights),
        negative_log_likelihood: log_loss(labels, probs, labels=classes, sample_weight=weights),
        brier_score: np.average(np.sum((probs - np.eye(k)[labels]) ** 2, axis=1), weights=weights),
    }
    for score, value in expected.items():
        assert score(labels, probs, weights=weights) == pytest.approx(value, rel=1e-12)
    gap = expected[mean_confidence] - expected[accuracy]
    assert confidence_gap(labels, probs, weights=weights) == pytest.approx(gap, abs=1e-14)
    if k > 2:
        each = [brier_score_loss(labels == c, probs[:, c], sample_weight=weights) for c in range(k)]
        assert expected[brier_score] == pytest.approx(sum(each), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_one_event_are_those_of_scikit_learn(weighted):
    labels, probs, weights = sample(2)
    weights, p = weights if weighted else None, probs[:, 1]
    assert accuracy(labels, p, weights=weights) == pytest.approx(accuracy_score(labels, p > 0.5, sample_weight=weights))
    assert mean_confidence(labels, p, weights=weights) == pytest.approx(np.average(p, weights=weights))
    assert base_rate(labels, p, weights=weights) == pytest.approx(np.average(labels, weights=weights))
    assert confidence_gap(labels, p, weights=weights) == pytest.approx(np.average(p - labels, weights=weights))
    log_score = negative_log_likelihood(labels, p, weights=weights)
    assert log_score == pytest.approx(log_loss(labels, p, sample_weight=weights), rel=1e-12)
    expected = brier_score_loss(labels, p, sample_weight=weights)
    assert brier_score(labels, p, weights=weights) == pytest.approx(expected, rel=1e-12)


def test_two_columns_have_twice_the_brier_score_of_one_and_the_same_log_score():
    labels, probs, _ = sample(2)
    assert brier_score(labels, probs) == pytest.approx(2 * brier_score(labels, probs[:, 1]), rel=1e-12)
    assert negative_log_likelihood(labels, probs) == pytest.approx(negative_log_likelihood(labels, probs[:, 1]))
    assert base_rate(labels, probs) == base_rate(labels, probs[:, 1])


def test_by_hand():
    labels, probs = [0, 2, 1], [[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0.25, 0.5, 0.25]]
    assert accuracy(labels, probs) == pytest.approx(2 / 3)
    assert mean_confidence(labels, probs) == pytest.approx(1.7 / 3)
    assert confidence_gap(labels, probs) == pytest.approx(-0.3 / 3)
    assert negative_log_likelihood(labels, probs) == pytest.approx(-math.log(0.5 * 0.2 * 0.5) / 3)
    assert brier_score(labels, probs) == pytest.approx((0.38 + 1.14 + 0.375) / 3)


def test_an_impossible_outcome_is_infinitely_bad_and_not_clipped():
    probs = [[1.0, 0.0], [0.3, 0.7]]
    assert negative_log_likelihood([1, 1], probs) == math.inf
    assert negative_log_likelihood([1, 1], probs, weights=[0, 1]) == pytest.approx(-math.log(0.7))
    assert brier_score([1, 1], probs) == pytest.approx((2 + 2 * 0.09) / 2)
    assert accuracy([1, 1], probs) == 0.5


def test_certainty_that_is_right_costs_nothing():
    probs = np.eye(3)
    assert negative_log_likelihood([0, 1, 2], probs) == 0.0
    assert math.copysign(1, negative_log_likelihood([0, 1, 2], probs)) == 1
    assert brier_score([0, 1, 2], probs) == 0.0
    assert accuracy([0, 1, 2], probs) == mean_confidence([0, 1, 2], probs) == 1.0


def test_ties_go_to_the_lowest_class():
    assert accuracy([0, 1], [[0.5, 0.5], [0.5, 0.5]]) == 0.5
    assert accuracy([0, 1], [0.5, 0.5]) == 0.5
    assert accuracy([1, 0, 2], [[0.2, 0.4, 0.4]] * 3) == pytest.approx(1 / 3)


@pytest.mark.parametrize("score", [*ALL, base_rate])
def test_integer_weights_act_as_repetition_and_no_rows_give_nan(score):
    labels, probs, _ = sample(2, n=40)
    times = np.random.default_rng(1).integers(0, 4, 40)
    repeated = score(np.repeat(labels, times), np.repeat(probs, times, axis=0))
    assert score(labels, probs, weights=times) == pytest.approx(repeated, rel=1e-12)
    assert math.isnan(score(np.empty(0, int), np.empty((0, 2))))


def test_bad_input_is_refused():
    with pytest.raises(LabelError):
        accuracy([0, 3], [[0.5, 0.5], [0.4, 0.6]])
    with pytest.raises(ShapeError, match="3 classes"):
        base_rate([0, 1], [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])


def test_published_scores_of_basketball_forecasts():
    nba = np.load(real_data("binary/538_nba_games.npz"))
    arguments = nba["outcome"], nba["prob"]
    assert base_rate(*arguments) == pytest.approx(0.571686, abs=5e-7)
    assert mean_confidence(*arguments) == pytest.approx(0.619149, abs=5e-7)
    assert negative_log_likelihood(*arguments) == pytest.approx(0.619093, abs=5e-7)
    assert brier_score(*arguments) == pytest.approx(0.214654, abs=5e-7)


def test_published_scores_of_a_network():
    data = np.load(real_data("multiclass/cifar10_resnet110_ce.npz"))
    logits = data["logits"].astype(float)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    assert accuracy(data["labels"], probs) == 0.9356
    assert mean_confidence(data["labels"], probs) == pytest.approx(0.983104, abs=5e-7)
    assert negative_log_likelihood(data["labels"], probs) == pytest.approx(0.358274, abs=5e-7)
    assert brier_score(data["labels"], probs) == pytest.approx(0.110189, abs=5e-7)
