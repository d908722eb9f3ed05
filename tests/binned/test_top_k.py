"""Top-k calibration against a loop that sorts every row."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import OptionError


def sample(n=300, n_classes=7, seed=0):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(n_classes, 0.5), n)
    return np.array([rng.choice(n_classes, p=row) for row in probs]), probs


def by_sorting(labels, probs, k):
    forecast, outcome = [], []
    for label, row in zip(labels, probs, strict=True):
        best = sorted(range(len(row)), key=lambda c, row=row: (-row[c], c))[:k]
        forecast.append(sum(row[c] for c in best))
        outcome.append(label in best)
    return np.minimum(forecast, 1.0), np.array(outcome, dtype=int)


@pytest.mark.parametrize("k", [1, 2, 5, 7])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_sorting_every_row(k, norm):
    labels, probs = sample()
    weights = np.random.default_rng(2).random(len(labels))
    forecast, outcome = by_sorting(labels, probs, k)
    options = {"n_bins": 9, "norm": norm, "weights": weights}
    found = ck.top_k_calibration_error(labels, probs, k=k, **options)
    assert found == pytest.approx(ck.expected_calibration_error(outcome, forecast, **options), abs=1e-13)


def test_many_rows_in_blocks_and_threads():
    labels, probs = sample(30_000, 11, seed=1)
    forecast, outcome = by_sorting(labels, probs, 3)
    found = ck.top_k_calibration_error(labels, probs, k=3, binning="quantile")
    assert found == pytest.approx(ck.expected_calibration_error(outcome, forecast, binning="quantile"), abs=1e-12)


def test_k_1_is_ece_and_all_classes_are_certain():
    labels, probs = sample()
    assert ck.top_k_calibration_error(labels, probs, k=1) == ck.expected_calibration_error(labels, probs)
    assert ck.top_k_calibration_error(labels, probs, k=7) == pytest.approx(0, abs=1e-15)


def test_of_equal_probabilities_the_lower_class_comes_first():
    probs = np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]])
    assert ck.top_k_calibration_error([1, 2], probs, k=2, n_bins=1) == pytest.approx(0.7 - 0.5, abs=1e-15)


def test_one_event_has_two_classes():
    labels, probs = [1, 0, 0], [0.9, 0.2, 0.6]
    folded = ck.expected_calibration_error(labels, probs, view="top-label")
    assert ck.top_k_calibration_error(labels, probs, k=1) == pytest.approx(folded, abs=1e-15)
    assert ck.top_k_calibration_error(labels, probs, k=2) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("k", [0, 8, 1.5, True])
def test_k_is_a_number_of_classes(k):
    labels, probs = sample(10)
    with pytest.raises(OptionError, match="k="):
        ck.top_k_calibration_error(labels, probs, k=k)


def test_no_rows_no_number():
    assert np.isnan(ck.top_k_calibration_error([], np.empty((0, 3)), k=2))
