"""Laws that every metric of the registry keeps."""

import itertools
import math

import numpy as np
import pytest

import calibkit as ck
from calibkit.metrics import METRICS

BINARY_ONLY = {"base_rate"}
MULTICLASS = [metric for metric in METRICS.values() if metric.name not in BINARY_ONLY]
VIEWS = ("top-label", "classwise", "flattened")


def sample(n, k, seed, *, sharpness=2.0):
    """Forecasts and labels in general position: miscalibrated, no ties, every class present."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * sharpness
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    tempered = probs**0.7 / (probs**0.7).sum(1, keepdims=True)
    labels = (tempered.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
    return labels, probs / probs.sum(1, keepdims=True)


def binary_sample(n, seed):
    rng = np.random.default_rng(seed)
    probs = rng.beta(0.6, 0.9, size=n)
    return (rng.random(n) < probs**1.5).astype(int), probs


def ids(metric):
    return metric.name


@pytest.mark.parametrize("metric", METRICS.values(), ids=ids)
@pytest.mark.parametrize("seed", range(3))
def test_row_order_does_not_matter(metric, seed):
    labels, probs = binary_sample(257, seed) if metric.name in BINARY_ONLY else sample(257, 4, seed)
    order = np.random.default_rng(seed + 100).permutation(len(labels))
    assert metric.function(labels[order], probs[order]) == pytest.approx(metric.function(labels, probs), abs=1e-13)


@pytest.mark.parametrize("metric", MULTICLASS, ids=ids)
@pytest.mark.parametrize("k", [2, 3, 10, 70])
def test_class_order_does_not_matter(metric, k):
    labels, probs = sample(300, k, seed=k)
    order = np.random.default_rng(k).permutation(k)
    renamed = np.argsort(order)[labels]
    assert metric.function(renamed, probs[:, order]) == pytest.approx(metric.function(labels, probs), abs=1e-12)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_class_order_does_not_matter_in_any_view(view, norm):
    labels, probs = sample(300, 5, seed=5)
    order = np.array([3, 0, 4, 1, 2])
    one = ck.expected_calibration_error(labels, probs, view=view, norm=norm)
    other = ck.expected_calibration_error(np.argsort(order)[labels], probs[:, order], view=view, norm=norm)
    assert other == pytest.approx(one, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=ids)
@pytest.mark.parametrize("binary", [False, True])
def test_integer_weights_equal_repetition(metric, binary):
    if metric.name in BINARY_ONLY and not binary:
        pytest.skip("defined for 1-D probabilities alone")
    labels, probs = binary_sample(200, 7) if binary else sample(200, 3, 7)
    weights = np.random.default_rng(8).integers(0, 4, size=len(labels))
    repeated = np.repeat(np.arange(len(labels)), weights)
    weighted = metric.function(labels, probs, weights=weights)
    assert weighted == pytest.approx(metric.function(labels[repeated], probs[repeated]), abs=1e-12)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("view", VIEWS)
def test_integer_weights_equal_repetition_in_every_view(binning, view):
    labels, probs = sample(150, 3, 9)
    weights = np.random.default_rng(8).integers(1, 4, size=len(labels))
    repeated = np.repeat(np.arange(len(labels)), weights)
    options = {"binning": binning, "view": view, "n_bins": 7}
    weighted = ck.expected_calibration_error(labels, probs, weights=weights, **options)
    assert weighted == pytest.approx(
        ck.expected_calibration_error(labels[repeated], probs[repeated], **options), abs=1e-12
    )


def perfect(metric, *, mean):
    """Value of a metric for forecasts that are certain and right."""
    own = {"mean_confidence": mean, "base_rate": mean, "predictive_entropy": 0.0}
    own["brier_discrimination"] = mean * (1 - mean)  # all of the uncertainty, which is what there is to save
    own["log_discrimination"] = -sum(p * math.log(p) for p in (mean, 1 - mean) if p > 0)
    untold = {"confidence_auroc", "cox_slope", "calibration_in_the_large"}
    best = {"larger is better": 1.0, "smaller is better": 0.0, "nearer 0 is better": 0.0}
    return math.nan if metric.name in untold else own.get(metric.name, best.get(metric.orientation))


@pytest.mark.parametrize("metric", METRICS.values(), ids=ids)
def test_a_perfect_forecast_has_the_best_value(metric):
    labels = np.array([0, 1, 1, 0, 1])
    value = metric.function(labels, labels.astype(float))
    assert value == pytest.approx(perfect(metric, mean=0.6), abs=1e-15, nan_ok=True)  # mean P(y = 1) is the base rate


@pytest.mark.parametrize("metric", MULTICLASS, ids=ids)
def test_a_perfect_forecast_of_many_classes_has_the_best_value(metric):
    labels = np.array([0, 3, 1, 2, 2, 1])
    assert metric.function(labels, np.eye(4)[labels]) == pytest.approx(
        perfect(metric, mean=1.0), abs=1e-15, nan_ok=True
    )


@pytest.mark.parametrize("metric", METRICS.values(), ids=ids)
@pytest.mark.parametrize("seed", range(5))
def test_values_stay_within_their_bounds(metric, seed):
    labels, probs = binary_sample(40, seed) if metric.name in BINARY_ONLY else sample(40, 6, seed, sharpness=6.0)
    low, high = metric.bounds
    assert low <= metric.function(labels, probs) <= high
    wrong = np.eye(6)[(labels + 1) % 6] if probs.ndim == 2 else 1.0 - labels
    worst = metric.function(labels, wrong)
    assert low <= worst <= high or (math.isnan(worst) and metric.undefined is not None)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("seed", range(4))
def test_one_bin_gives_the_absolute_gap(norm, seed):
    labels, probs = sample(123, 5, seed)
    gap = ck.mean_confidence(labels, probs) - ck.accuracy(labels, probs)
    error = ck.expected_calibration_error(labels, probs, n_bins=1, norm=norm)
    assert error == pytest.approx(abs(gap), abs=1e-14)
    assert METRICS["gap"].function(labels, probs) == pytest.approx(gap, abs=1e-14)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("seed", range(3))
def test_the_norms_are_ordered(binning, view, seed):
    labels, probs = sample(211, 4, seed)
    l1, l2, worst = (
        ck.expected_calibration_error(labels, probs, norm=norm, binning=binning, view=view)
        for norm in ("l1", "l2", "max")
    )
    assert l1 <= l2 + 1e-15
    assert l2 <= worst + 1e-15


@pytest.mark.parametrize("seed", range(4))
def test_refining_bins_never_lowers_ece(seed):
    labels, probs = sample(500, 4, seed)
    errors = [ck.expected_calibration_error(labels, probs, n_bins=b) for b in (1, 3, 15, 45, 225)]
    assert all(coarse <= fine + 1e-14 for coarse, fine in itertools.pairwise(errors))


@pytest.mark.parametrize("metric", METRICS.values(), ids=ids)
def test_evaluate_and_the_function_agree(metric):
    for labels, probs in (sample(321, 4, 3), binary_sample(321, 3)):
        evaluation = ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all")
        if metric.name in BINARY_ONLY and probs.ndim == 2:
            assert metric.name not in evaluation.metrics
        else:
            assert evaluation[metric.name].value == pytest.approx(metric.function(labels, probs), abs=1e-14)


def test_the_registry_says_what_it_holds():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.meaning.endswith(".")
        assert metric.bounds[0] < metric.bounds[1]
        assert not math.isnan(metric.bounds[0])
