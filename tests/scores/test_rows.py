import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibkit import Predictions
from calibkit.errors import DataError
from calibkit.scores import score_rows
from tests.real_data import real_data
from tests.scores.reference import assert_scores, dense, random_logits, softmax


def test_hand_numbers():
    probs = np.array([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.25, 0.15, 0.6]])
    scores = score_rows(Predictions.from_probs([1, 0, 2], probs))
    np.testing.assert_array_equal(scores.correct, [True, False, True])
    np.testing.assert_array_equal(scores.confidence, [0.7, 0.6, 0.6])
    np.testing.assert_allclose(scores.log_score, -np.log([0.7, 0.3, 0.6]), rtol=1e-15)
    np.testing.assert_allclose(scores.brier, [0.09 + 0.05, 0.49 + 0.37, 0.16 + 0.085], rtol=1e-15)
    assert (scores.n_ties, scores.n_zero, scores.n_snapped) == (0, 0, 0)


@pytest.mark.parametrize("n_classes", [2, 3, 64, 65, 130])
@pytest.mark.parametrize("temperature", [None, 0.7, 3.1])
def test_logits_and_probabilities_agree_with_the_definitions(n_classes, temperature):
    labels, logits = random_logits(300, n_classes)
    expected = dense(labels, softmax(logits, temperature or 1.0))
    probs = softmax(logits)
    assert_scores(score_rows(Predictions.from_logits(labels, logits), temperature=temperature), expected)
    assert_scores(score_rows(Predictions.from_probs(labels, probs), temperature=temperature), expected)
    narrow = Predictions.from_logits(labels, logits.astype(np.float32))
    assert_scores(score_rows(narrow, temperature=temperature), expected, rtol=3e-5)


@pytest.mark.parametrize("n_classes", [2, 5, 80])
def test_a_temperature_for_each_row(n_classes):
    labels, logits = random_logits(40, n_classes)
    temperatures = np.random.default_rng(1).uniform(0.4, 3, 40)
    expected = dense(labels, softmax(logits, temperatures))
    for rows in (Predictions.from_logits(labels, logits), Predictions.from_probs(labels, softmax(logits))):
        assert_scores(score_rows(rows, temperature=temperatures), expected)
        for i in (0, 17):
            alone = score_rows(rows.take(np.array([i])), temperature=float(temperatures[i]))
            assert alone.log_score[0] == pytest.approx(expected.log_score[i], rel=1e-12)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 70)), elements=st.floats(-30, 30, width=16)),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_bounds_and_order_of_any_logits(logits, seed):
    labels = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
    scores = score_rows(Predictions.from_logits(labels, logits))
    assert ((scores.confidence >= 1 / logits.shape[1] - 1e-15) & (scores.confidence <= 1)).all()
    assert (scores.log_score >= 0).all()
    assert ((scores.brier >= 0) & (scores.brier <= 2)).all()
    np.testing.assert_array_equal(scores.correct, logits.argmax(axis=1) == labels)
    assert_scores(scores, dense(labels, softmax(logits - logits.max(axis=1, keepdims=True))), rtol=1e-6)


def test_top1_and_correctness_keep_their_confidence_and_have_no_scores():
    top1 = score_rows(Predictions.from_top1([0, 2, 1], [0, 1, 1], [0.9, 0.4, 0.6]))
    answers = score_rows(Predictions.from_correct([True, False, True], [0.9, 0.4, 0.6]))
    for scores in (top1, answers):
        np.testing.assert_array_equal(scores.confidence, [0.9, 0.4, 0.6])
        np.testing.assert_array_equal(scores.correct, [True, False, True])
        assert scores.log_score is None
        assert scores.brier is None


def test_top1_predictions_cannot_be_scaled():
    with pytest.raises(DataError, match="no temperature can scale"):
        score_rows(Predictions.from_top1([0, 2], [0, 1], [0.9, 0.4]), temperature=2.0)


# --- no rows, one row ---


@pytest.mark.parametrize("n_classes", [4, 80])
def test_no_rows_give_no_scores(n_classes):
    none = np.empty(0, np.int64)
    for rows in (
        Predictions.from_logits(none, np.empty((0, n_classes))),
        Predictions.from_probs(none, np.empty((0, n_classes))),
        Predictions.from_probs(none, np.empty(0)),
    ):
        scores = score_rows(rows)
        assert [len(x) for x in (scores.confidence, scores.correct, scores.log_score, scores.brier)] == [0] * 4


@pytest.mark.parametrize(
    ("file", "accuracy", "nll", "brier"),
    [
        ("cifar10_resnet110_ce", 0.9356, 0.358274, 0.110189),
        ("cifar10_resnet50_ce", 0.9505, 0.41212, 0.0921774),
        ("cifar10_resnet50_flsd53", 0.9502, 0.175504, 0.0800538),
        ("cifar100_resnet-20", 0.6883, 1.22526, 0.445252),
        ("sst2_gpt2", 0.586491, 0.63573, 0.460178),
    ],
)
def test_published_numbers(file, accuracy, nll, brier):
    data = np.load(real_data(f"multiclass/{file}.npz"))
    scores = score_rows(Predictions.from_logits(data["labels"], data["logits"]))
    got = scores.correct.mean(), scores.log_score.mean(), scores.brier.mean()
    assert [float(f"{x:.6g}") for x in got] == [accuracy, nll, brier]


def test_memory_stays_far_below_a_second_array():
    import tracemalloc

    n_rows, n_classes = 150_000, 40
    labels, logits = random_logits(n_rows, n_classes)
    rows = Predictions.from_logits(labels, logits.astype(np.float32))
    tracemalloc.start()
    score_rows(rows, threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * n_rows + 5e6 < 0.6 * rows.logits.nbytes
