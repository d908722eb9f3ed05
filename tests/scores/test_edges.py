import warnings

import numpy as np
import pytest

from calibkit import Predictions
from calibkit.scores import score_rows
from tests.scores.reference import assert_scores, dense, softmax


@pytest.mark.parametrize("n_classes", [4, 90])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_a_tie_is_won_by_the_lowest_class_and_counted(kind, n_classes):
    values = np.zeros((4, n_classes))
    values[:, [1, 3]] = 0.5 if kind == "probs" else 2.0
    values[3] = 1 / n_classes if kind == "probs" else 0.25
    make = Predictions.from_probs if kind == "probs" else Predictions.from_logits
    scores = score_rows(make([1, 3, 0, 0], values))
    np.testing.assert_array_equal(scores.correct, [True, False, False, True])
    assert scores.n_ties == 4
    assert_scores(
        score_rows(make([1, 3, 2, 0], values)), dense([1, 3, 2, 0], values if kind == "probs" else softmax(values))
    )


@pytest.mark.parametrize("n_classes", [60, 90])
def test_probabilities_whose_logarithms_tie_do_not(n_classes):
    probs = np.full((1, n_classes), 1 / n_classes)
    probs[0, 2] = np.nextafter(1 / n_classes, 1)
    assert np.log(probs[0, 2]) == np.log(probs[0, 0])
    scores = score_rows(Predictions.from_probs([2], probs), temperature=2.0)
    assert scores.correct[0]
    assert scores.n_ties == 0


@pytest.mark.parametrize("n_classes", [3, 90])
def test_a_masked_class_has_probability_0(n_classes):
    logits = np.full((3, n_classes), -np.inf)
    logits[:, 0], logits[:2, 1] = 1.5, 0.25
    scores = score_rows(Predictions.from_logits([0, 2, 0], logits))
    np.testing.assert_allclose(scores.log_score[0], np.log1p(np.exp(-1.25)), rtol=1e-15)
    np.testing.assert_array_equal(scores.log_score[1:], [np.inf, 0])
    assert scores.n_zero == 1
    np.testing.assert_array_equal(scores.confidence[2], 1)
    assert scores.brier[2] == 0


@pytest.mark.parametrize("n_classes", [3, 90])
@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 3e38), (np.float64, 8e307), (np.float16, 6e4)])
def test_extreme_logits_have_finite_scores_where_these_exist(n_classes, dtype, far):
    logits = np.zeros((2, n_classes), dtype)
    logits[:, 0], logits[:, 1] = far, -far
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_rows(Predictions.from_logits([1, 0], logits))
        scaled = score_rows(Predictions.from_logits([1, 0], logits), temperature=4.0)
    top = float(logits[0, 0])
    np.testing.assert_array_equal(scores.log_score, [2 * top, 0])
    np.testing.assert_array_equal(scaled.log_score, [top / 2, 0])
    np.testing.assert_array_equal(scores.brier, [2, 0])


def test_a_difference_beyond_the_floats_is_infinite_until_it_is_scaled():
    logits = np.array([[1.5e308, -1.5e308, 0.0]])
    assert score_rows(Predictions.from_logits([1], logits)).log_score[0] == np.inf
    assert score_rows(Predictions.from_logits([1], logits), temperature=2.0).log_score[0] == 1.5e308


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_temperatures_make_a_vote_or_a_coin(temperature, dtype):
    logits = np.array([[1.0, 2.0, -np.inf], [3.0, 1.0, 2.0]], dtype)
    scores = score_rows(Predictions.from_logits([0, 0], logits), temperature=temperature)
    expected = [1, 1] if temperature < 1 else [1 / 2, 1 / 3]
    np.testing.assert_allclose(scores.confidence, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormal_probabilities_have_their_exact_log_score(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    for n_classes in (3, 90):
        probs = np.zeros((1, n_classes), dtype)
        probs[0, 0], probs[0, 1] = 1, tiny
        scores = score_rows(Predictions.from_probs([1], probs))
        assert scores.log_score[0] == pytest.approx(-np.log(np.float64(tiny)), rel=1e-15)
        assert scores.n_snapped == 0
    one_column = score_rows(Predictions.from_probs([1], np.array([tiny])))
    assert one_column.log_score[0] == pytest.approx(-np.log(np.float64(tiny)), rel=1e-15)


@pytest.mark.parametrize("n_classes", [3, 90])
def test_certain_rows_score_plus_zero_or_infinity(n_classes):
    probs = np.zeros((3, n_classes))
    probs[:, 0] = 1
    probs[:, 1] = -0.0
    scores = score_rows(Predictions.from_probs([0, 1, 2], probs))
    np.testing.assert_array_equal(scores.log_score, [0, np.inf, np.inf])
    assert not np.signbit(scores.log_score).any()
    np.testing.assert_array_equal(scores.brier, [0, 2, 2])
    np.testing.assert_array_equal(scores.confidence, 1)
    assert (scores.n_zero, scores.n_snapped) == (2, 0)


@pytest.mark.parametrize("n_classes", [3, 90])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_a_few_eps_outside_count_as_0_or_1(n_classes, dtype):
    eps = np.finfo(dtype).eps
    probs = np.zeros((2, n_classes), dtype)
    probs[0, 0], probs[0, 1] = 1 + 3 * eps, -3 * eps
    probs[1, 1], probs[1, 2] = 1 - 3 * eps, 3 * eps
    seen = np.empty((2, n_classes))

    def visit(start, block):
        seen[start : start + len(block)] = block

    scores = score_rows(Predictions.from_probs([0, 1], probs), visit=visit)
    assert scores.n_snapped == 2
    np.testing.assert_array_equal(seen[0, :2], [1, 0])
    np.testing.assert_array_equal(scores.confidence, [1, 1 - 3 * float(eps)])
    np.testing.assert_allclose(scores.log_score, [0, -np.log1p(-3 * float(eps))], rtol=1e-12)
    scaled = score_rows(Predictions.from_probs([0, 1], probs), temperature=2.0)
    assert (scaled.n_snapped, scaled.log_score[0]) == (2, 0)


def test_row_sums_within_the_tolerance_are_kept_and_shown():
    probs = np.array([[0.25, 0.75 + 2**-51, 0.0], [0.5, 0.25, 0.25]])
    scores = score_rows(Predictions.from_probs([1, 0], probs))
    assert scores.max_sum_deviation == 2**-51
    assert scores.log_score[0] == pytest.approx(-np.log(0.75), rel=1e-14)
    loose = Predictions.from_probs([1, 0], np.array([[0.3, 0.6, 0.0], [0.5, 0.5, 0.0]]), sum_tolerance=0.2)
    assert score_rows(loose).max_sum_deviation == pytest.approx(0.1)
    np.testing.assert_array_equal(score_rows(loose).confidence, [0.6, 0.5])
