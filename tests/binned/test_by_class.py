"""Errors of each class against loops over classes, rows and bins."""

import json

import numpy as np
import pytest

import calibkit as ck


def sample(n=240, k=5, seed=0, absent=False):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, 0.4), n)
    labels = np.array([rng.choice(k, p=row) for row in probs])
    if absent:
        labels[labels == k - 1] = 0
    return labels, probs


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_each_class_is_a_binary_problem(binning, norm):
    labels, probs = sample()
    options = {"binning": binning, "norm": norm, "n_bins": 8}
    table = ck.class_calibration(labels, probs, **options)
    alone = [ck.expected_calibration_error(labels == c, probs[:, c], **options) for c in range(5)]
    assert table.error == pytest.approx(alone, abs=1e-14)
    assert ck.classwise_calibration_error(labels, probs, **options) == pytest.approx(np.mean(alone), abs=1e-14)


def test_what_stands_beside_the_errors():
    labels, probs = sample(absent=True)
    weights = np.random.default_rng(1).random(len(labels))
    table = ck.class_calibration(labels, probs, weights=weights)
    assert table.count.tolist() == np.bincount(labels, minlength=5).tolist()
    assert table.count[4] == 0
    assert table.frequency == pytest.approx([weights[labels == c].sum() / weights.sum() for c in range(5)], abs=1e-14)
    assert table.mean_probability == pytest.approx(np.average(probs, axis=0, weights=weights), abs=1e-14)
    assert table.gap == pytest.approx(table.mean_probability - table.frequency, abs=1e-15)
    assert table.error[4] == pytest.approx(table.mean_probability[4], abs=1e-14)  # it never occurs: all of it is gap


def test_the_table_is_plain_json_and_knows_names():
    table = ck.class_calibration(["ox", "ant"], [[0.7, 0.3], [0.4, 0.6]], class_names=("ant", "ox"))
    plain = json.loads(json.dumps(table.to_dict()))
    assert plain["class_names"] == ["ant", "ox"]
    assert plain["count"] == [1, 1]
    assert ck.class_calibration([], np.empty((0, 2))).to_dict()["error"] == [None, None]


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("weighted", [False, True])
def test_within_each_predicted_class(binning, weighted):
    labels, probs = sample(seed=2)
    weights = np.random.default_rng(5).random(len(labels)) if weighted else np.ones(len(labels))
    predicted, confidence = probs.argmax(1), probs.max(1)
    total = 0.0
    for c in np.unique(predicted):
        rows = predicted == c
        error = ck.expected_calibration_error(
            (labels == c)[rows], confidence[rows], n_bins=6, binning=binning, weights=weights[rows]
        )
        total += weights[rows].sum() * error
    found = ck.class_conditional_calibration_error(
        labels, probs, n_bins=6, binning=binning, weights=weights if weighted else None
    )
    assert found == pytest.approx(total / weights.sum(), abs=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_given_the_prediction_errors_do_not_cancel(seed):
    labels, probs = sample(seed=seed)
    inside = ck.class_conditional_calibration_error(labels, probs)
    assert inside >= ck.expected_calibration_error(labels, probs) - 1e-15


def test_one_predicted_class_is_ece():
    probs = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]])
    assert ck.class_conditional_calibration_error([0, 1, 0], probs) == pytest.approx(
        ck.expected_calibration_error([0, 1, 0], probs), abs=1e-15
    )


def test_a_forecast_of_one_event_is_folded():
    labels, probs = [1, 0, 0, 1, 1], np.array([0.9, 0.2, 0.7, 0.4, 0.5])
    both = np.stack([1 - probs, probs], axis=1)
    assert ck.class_conditional_calibration_error(labels, probs) == pytest.approx(
        ck.class_conditional_calibration_error(labels, both), abs=1e-14
    )


def test_top1_files_hold_the_prediction_and_correctness_does_not():
    labels, probs = sample(seed=3)
    whole = ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all")
    top1 = ck.Predictions.from_top1(labels, probs.argmax(1), probs.max(1), n_classes=5)
    found = ck.evaluate(top1, metrics="all")
    assert found["class_conditional_ece"].value == pytest.approx(whole["class_conditional_ece"].value, abs=1e-15)
    with pytest.raises(KeyError, match="every class"):
        found["classwise_ece"]
    correct = ck.evaluate(ck.Predictions.from_correct(probs.argmax(1) == labels, probs.max(1)), metrics="all")
    with pytest.raises(KeyError, match="which class was predicted"):
        correct["class_conditional_ece"]


def test_the_bins_are_those_of_the_evaluation():
    labels, probs = sample(seed=4)
    found = ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all", n_bins=5, binning="quantile")
    options = {"n_bins": 5, "binning": "quantile"}
    for name, function in {
        "over_confidence": ck.over_confidence_error,
        "debiased_rmsce": ck.debiased_calibration_error,
        "classwise_ece": ck.classwise_calibration_error,
        "class_conditional_ece": ck.class_conditional_calibration_error,
    }.items():
        assert found[name].value == pytest.approx(function(labels, probs, **options), abs=1e-14)


def test_no_rows_no_number():
    assert np.isnan(ck.classwise_calibration_error([], np.empty((0, 3))))
    assert np.isnan(ck.class_conditional_calibration_error([], np.empty((0, 3))))
