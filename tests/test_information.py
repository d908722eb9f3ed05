"""Entropy and skill: scipy.stats.entropy, scikit-learn's d2_log_loss_score and log_loss, and the edges."""

import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import d2_log_loss_score, log_loss

import calibkit as ck
from calibkit import Predictions
from calibkit.errors import DataError, LabelError, ShapeError


def sample(n, k, seed):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, 0.6), n)
    labels = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, k - 1)
    return labels, probs, rng.gamma(1.0, size=n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 3, 70])
def test_entropy_is_that_of_scipy(k, weighted):
    labels, probs, weights = sample(300, k, k)
    given = weights if weighted else None
    expected = np.average(entropy(probs, axis=1), weights=given)
    assert ck.predictive_entropy(labels, probs, weights=given) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entropy_of_many_rows_in_blocks_and_threads(dtype):
    labels, probs, _ = sample(30_000, 40, 1)
    logits = np.log(probs).astype(dtype)
    evaluation = ck.evaluate(Predictions.from_logits(labels, logits), metrics="all", threads=2)
    exact = np.exp(logits.astype(float))
    expected = entropy(exact / exact.sum(axis=1, keepdims=True), axis=1).mean()
    assert evaluation["predictive_entropy"].value == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-12)
    assert any(
        note.startswith("Read the array once more:") and "predictive entropy" in note for note in evaluation.notes
    )


def test_entropy_of_one_event():
    labels, probs, weights = sample(200, 2, 3)
    two = ck.predictive_entropy(labels, probs, weights=weights)
    assert ck.predictive_entropy(labels, probs[:, 1], weights=weights) == pytest.approx(two, rel=1e-12)
    assert ck.predictive_entropy([1, 0], [1e-300, 0.0]) == pytest.approx(1e-300 * 300 * math.log(10) / 2, rel=1e-2)


@pytest.mark.parametrize("k", [2, 4])
def test_the_ends_of_entropy(k):
    assert ck.predictive_entropy([0, 1], np.eye(k)[[1, 0]]) == 0
    assert ck.predictive_entropy([0, 1], np.full((2, k), 1 / k)) == pytest.approx(math.log(k))


def test_a_calibrated_model_expects_its_entropy_as_nll():
    labels, probs, _ = sample(200_000, 3, 4)
    assert ck.negative_log_likelihood(labels, probs) == pytest.approx(ck.predictive_entropy(labels, probs), abs=0.01)
    sharp = probs**2 / (probs**2).sum(axis=1, keepdims=True)
    assert ck.negative_log_likelihood(labels, sharp) > ck.predictive_entropy(labels, sharp) + 0.1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 5])
def test_skill_is_that_of_scikit_learn(k, weighted):
    labels, probs, weights = sample(400, k, k)
    given = weights if weighted else None
    expected = d2_log_loss_score(labels, probs, sample_weight=given)
    assert ck.log_skill_score(labels, probs, weights=given) == pytest.approx(expected, rel=1e-9)
    if k == 2:
        assert ck.log_skill_score(labels, probs[:, 1], weights=given) == pytest.approx(expected, rel=1e-9)


def test_skill_against_other_class_shares():
    labels, probs, _ = sample(300, 3, 6)
    prior = np.array([0.5, 0.3, 0.2])
    expected = 1 - log_loss(labels, probs) / log_loss(labels, np.tile(prior, (300, 1)))
    assert ck.log_skill_score(labels, probs, prior=prior) == pytest.approx(expected, rel=1e-12)
    assert ck.log_skill_score(labels, np.tile(prior, (300, 1)), prior=prior) == pytest.approx(0, abs=1e-12)
    shares = np.bincount(labels) / 300
    assert ck.log_skill_score(labels, probs, prior=shares) == pytest.approx(
        ck.log_skill_score(labels, probs), rel=1e-12
    )
    assert ck.log_skill_score([0, 1], [0.1, 0.8], prior=[1.0, 0.0]) == 1  # these shares said that class 1 cannot be


def test_the_ends_of_skill():
    assert ck.log_skill_score([0, 1, 2], np.eye(3)) == 1
    assert ck.log_skill_score([0, 1], [1.0, 0.5]) == -math.inf
    assert math.isnan(ck.log_skill_score([1, 1], [0.8, 0.9]))
    assert math.isnan(ck.log_skill_score([0, 1], [1.0, 0.5], prior=[1.0, 0.0]))  # inf over inf
    for metric in (ck.log_skill_score, ck.predictive_entropy):
        assert math.isnan(metric(np.empty(0, int), np.empty((0, 3))))
        assert math.isnan(metric(np.empty(0, int), np.empty(0)))


def test_whole_weights_repeat():
    labels, probs, _ = sample(100, 3, 7)
    times = np.random.default_rng(0).integers(0, 4, 100)
    for metric in (ck.log_skill_score, ck.predictive_entropy):
        repeated = metric(np.repeat(labels, times), np.repeat(probs, times, axis=0))
        assert metric(labels, probs, weights=times) == pytest.approx(repeated, rel=1e-12)


def test_predictions_of_one_probability_have_neither():
    evaluation = ck.evaluate(Predictions.from_top1([0, 1], [0, 0], [0.9, 0.6], n_classes=3), metrics="all")
    for name in ("predictive_entropy", "log_skill"):
        with pytest.raises(KeyError, match=f"{name}: these predictions hold the probability of one class alone"):
            evaluation[name]


def test_bad_input_is_refused():
    with pytest.raises(LabelError):
        ck.predictive_entropy([0, 3], [[0.5, 0.5], [0.4, 0.6]])
    with pytest.raises(ShapeError, match=r"prior has shape \(3,\); expected \(2,\)"):
        ck.log_skill_score([0, 1], [0.2, 0.6], prior=[0.2, 0.3, 0.5])
    with pytest.raises(DataError, match=r"prior: .*the row sums to 0\.89"):
        ck.log_skill_score([0, 1], [0.2, 0.6], prior=[0.2, 0.7])
