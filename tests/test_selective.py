"""Risk and coverage: every order of tied rows by brute force in rational arithmetic, and scikit-learn's AUROC."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

from calibkit import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    confidence_auroc,
    excess_area_under_risk_coverage,
)
from calibkit.errors import DataError, LabelError
from calibkit.pairs import Pairs
from calibkit.selective import augrc, aurc, auroc, excess_aurc
from tests.real_data import real_data

PUBLIC = (
    area_under_risk_coverage,
    excess_area_under_risk_coverage,
    area_under_generalized_risk_coverage,
    confidence_auroc,
)
COUNTING = PUBLIC[:2]


def mean_over_orders(confidence, correct):
    """AURC of Geifman et al. for every order of the rows that is sorted by confidence, averaged: by brute force."""
    n = len(confidence)
    sorted_orders = [
        order
        for order in itertools.permutations(range(n))
        if all(confidence[i] >= confidence[j] for i, j in itertools.pairwise(order))
    ]
    areas = []
    for order in sorted_orders:
        errors = list(itertools.accumulate(int(not correct[i]) for i in order))
        areas.append(sum(Fraction(e, j) for j, e in enumerate(errors, start=1)) / n)
    return sum(areas) / len(areas)


def answers(confidence, correct):
    return Pairs(view="top-label", forecast=confidence, outcome=correct)


def tied(n, seed, *, levels=4):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, levels + 1, n) / levels
    return confidence, rng.random(n) < confidence


def sample(n, k, seed, *, decimals=None):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, 0.7), n)
    labels = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, k - 1)
    if decimals is not None:  # still rows that sum to 1
        probs = np.round(probs, decimals)
        probs[:, -1] += 1 - probs.sum(axis=1)
        probs = np.abs(probs) / np.abs(probs).sum(axis=1, keepdims=True)
    return labels, probs


def top(labels, probs):
    return probs.max(axis=1), probs.argmax(axis=1) == labels


@pytest.mark.parametrize("seed", range(12))
def test_aurc_is_the_mean_over_all_orders_of_tied_rows(seed):
    confidence, correct = tied(7, seed, levels=1 + seed % 5)
    assert aurc(answers(confidence, correct)) == pytest.approx(float(mean_over_orders(confidence, correct)), rel=1e-14)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_ranking_is_the_best_of_all_rankings(seed):
    correct = np.random.default_rng(seed).random(6) < 0.6
    areas = [aurc(answers(np.array(ranks, float), correct)) for ranks in itertools.permutations(range(6))]
    confidence = np.random.default_rng(seed + 50).random(6)
    assert excess_aurc(answers(confidence, correct)) == pytest.approx(
        aurc(answers(confidence, correct)) - min(areas), abs=1e-15
    )


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_the_best_ranking_is_the_finite_sum_and_not_its_limit(n):
    correct = np.arange(n) >= n // 3
    wrong = n // 3
    right = n - wrong
    least = math.fsum(t / (right + t) for t in range(1, wrong + 1)) / n
    assert aurc(answers(correct.astype(float), correct)) == pytest.approx(least, rel=1e-12)
    confidence = np.random.default_rng(n).random(n)
    assert excess_aurc(answers(confidence, correct)) == pytest.approx(
        aurc(answers(confidence, correct)) - least, abs=1e-14
    )
    if wrong:
        r = wrong / n  # Geifman, Uziel, El-Yaniv 2019: the limit, which the finite sum exceeds by about r / (2 n)
        assert least - (r + (1 - r) * math.log(1 - r)) == pytest.approx(r / (2 * n), rel=0.1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_auroc_is_that_of_scikit_learn(seed, weighted):
    labels, probs = sample(400, 5, seed, decimals=2)
    weights = np.random.default_rng(seed).gamma(1.0, size=400) if weighted else None
    confidence, correct = top(labels, probs)
    expected = roc_auc_score(correct, confidence, sample_weight=weights)
    assert confidence_auroc(labels, probs, weights=weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_augrc_is_its_closed_form_in_scikit_learns_auroc(seed, weighted):
    """Traub et al. 2024: AUGRC = (1 - AUROC) r (1 - r) + r^2 / 2 for errors that are 0 or 1."""
    labels, probs = sample(300, 4, seed, decimals=1)
    weights = np.random.default_rng(seed).gamma(1.0, size=300) if weighted else None
    confidence, correct = top(labels, probs)
    r = np.average(~correct, weights=weights)
    ranking = roc_auc_score(correct, confidence, sample_weight=weights)
    expected = (1 - ranking) * r * (1 - r) + r**2 / 2
    assert area_under_generalized_risk_coverage(labels, probs, weights=weights) == pytest.approx(expected, rel=1e-12)


def test_augrc_is_the_area_by_trapezoids_over_distinct_confidences():
    confidence, correct = tied(200, 3, levels=20)
    thresholds = np.unique(confidence)[::-1]
    coverage = [0, *((confidence >= t).mean() for t in thresholds)]
    wrong_and_kept = [0, *(((confidence >= t) & ~correct).mean() for t in thresholds)]
    assert augrc(answers(confidence, correct)) == pytest.approx(auc(coverage, wrong_and_kept), rel=1e-13)


@pytest.mark.parametrize("metric", PUBLIC)
@pytest.mark.parametrize("decimals", [1, None])
def test_row_order_is_irrelevant_and_whole_weights_repeat(metric, decimals):
    labels, probs = sample(150, 3, 4, decimals=decimals)
    value = metric(labels, probs)
    order = np.random.default_rng(1).permutation(150)
    assert metric(labels[order], probs[order]) == pytest.approx(value, abs=1e-15)
    times = np.random.default_rng(2).integers(0, 4, 150)
    repeated = metric(np.repeat(labels, times), np.repeat(probs, times, axis=0))
    assert metric(labels, probs, weights=times) == pytest.approx(repeated, rel=1e-13)
    assert value != pytest.approx(repeated, rel=1e-3)  # the weights were not ignored


def test_a_share_of_a_row_has_no_rank():
    labels, probs = sample(20, 3, 0)
    weights = np.where(np.arange(20) == 7, 0.25, 2.0)
    for metric in COUNTING:
        with pytest.raises(DataError, match=r"weights: 0\.25 is not a whole number.*area_under_generalized"):
            metric(labels, probs, weights=weights)
    assert 0 < area_under_generalized_risk_coverage(labels, probs, weights=weights) < 0.5


def test_confidence_that_tells_nothing():
    correct = np.arange(10) < 7
    same = np.full(10, 0.6)
    assert aurc(answers(same, correct)) == pytest.approx(0.3, rel=1e-14)
    assert augrc(answers(same, correct)) == pytest.approx(0.15, rel=1e-14)
    assert auroc(answers(same, correct)) == 0.5


def test_the_best_and_the_worst_ranking():
    correct = np.array([True, True, True, False, False])
    best, worst = np.array([5, 4, 3, 2, 1]) / 5, np.array([1, 2, 3, 4, 5]) / 5
    assert excess_aurc(answers(best, correct)) == pytest.approx(0, abs=1e-15)
    assert auroc(answers(best, correct)) == 1
    assert auroc(answers(worst, correct)) == 0
    assert aurc(answers(best, correct)) == pytest.approx((1 / 4 + 2 / 5) / 5)
    assert aurc(answers(worst, correct)) == pytest.approx((1 + 1 + 2 / 3 + 2 / 4 + 2 / 5) / 5)
    assert augrc(answers(worst, correct)) == pytest.approx((0.5 + 1.5 + 2 + 2 + 2) / 25)


def test_one_kind_of_answer_or_none():
    right, wrong = np.ones(3, bool), np.zeros(3, bool)
    confidence = np.array([0.9, 0.8, 0.8])
    assert (
        aurc(answers(confidence, right))
        == excess_aurc(answers(confidence, right))
        == augrc(answers(confidence, right))
        == 0
    )
    assert aurc(answers(confidence, wrong)) == 1
    assert augrc(answers(confidence, wrong)) == 0.5
    assert excess_aurc(answers(confidence, wrong)) == 0
    assert math.isnan(auroc(answers(confidence, right)))
    assert math.isnan(auroc(answers(confidence, wrong)))
    for metric in PUBLIC:
        assert math.isnan(metric(np.empty(0, int), np.empty((0, 3))))
    assert area_under_risk_coverage([1], [0.7]) == 0
    assert area_under_risk_coverage([0], [0.7]) == 1


def test_one_event_is_folded_and_its_tie_predicts_class_0():
    labels, p = np.array([0, 1, 1, 0]), np.array([0.1, 0.8, 0.3, 0.5])
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.5]), np.array([True, True, False, True])
    assert area_under_risk_coverage(labels, p) == aurc(answers(confidence, correct))
    assert confidence_auroc(labels, p) == pytest.approx(2 / 3)


def test_a_million_rows_lose_no_digits():
    rng = np.random.default_rng(0)
    confidence = rng.permutation(1_000_000) / 1_000_000
    correct = rng.random(1_000_000) < 0.3 + 0.7 * confidence
    errors = np.cumsum(~correct[np.argsort(-confidence)])
    expected = math.fsum(errors / np.arange(1, 1_000_001)) / 1_000_000
    assert aurc(answers(confidence, correct)) == pytest.approx(expected, rel=1e-13)


def test_a_published_network():
    data = np.load(real_data("multiclass/cifar10_resnet110_ce.npz"))
    logits = data["logits"].astype(float)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    confidence, correct = top(data["labels"], probs)
    assert confidence_auroc(data["labels"], probs) == pytest.approx(roc_auc_score(correct, confidence), rel=1e-12)
    order = np.argsort(-confidence, kind="stable")
    by_rank = np.mean(np.cumsum(~correct[order]) / np.arange(1, len(order) + 1))
    assert area_under_risk_coverage(data["labels"], probs) == pytest.approx(by_rank, rel=2e-3)  # few ties


def test_bad_input_is_refused():
    for metric in PUBLIC:
        with pytest.raises(LabelError):
            metric([0, 3], [[0.5, 0.5], [0.4, 0.6]])
