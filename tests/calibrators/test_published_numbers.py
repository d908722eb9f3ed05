"""After-scaling numbers of published predictions, through the estimators and the command."""

import numpy as np
import pytest

import calibkit as ck
from tests.real_data import real_data

RESNET110 = "multiclass/cifar10_resnet110_ce.npz"
PAIR = ("multiclass/cifar10_resnet50_ce.npz", "multiclass/cifar10_resnet50_flsd53.npz")


def numbers(predictions):
    evaluation = ck.evaluate(predictions, confidence_level=None)
    return {metric: evaluation[metric].value for metric in ("ece", "nll", "mce", "brier")}


def test_resnet_110_after_temperature_scaling():
    """Kull et al. 2019, supplement: NLL .209261, ECE .011321, MCE .236393, Brier / 10 = .009785."""
    path = real_data(RESNET110)
    fitted = ck.fit_calibrator("temperature", ck.load(path, split="val"))
    assert fitted.temperature_ == pytest.approx(2.39501, abs=5e-6)
    found = numbers(ck.calibrate(fitted, ck.load(path)))
    published = {"ece": 0.0113208, "nll": 0.209261, "mce": 0.236393, "brier": 0.0978523}
    assert found == {metric: pytest.approx(value, rel=5e-6) for metric, value in published.items()}


def test_resnet_110_by_the_estimator_and_by_the_command(tmp_path, run_command):
    path = real_data(RESNET110)
    run_command("recalibrate", "fit", path, "--split", "val", "-o", tmp_path / "t.json")
    run_command("recalibrate", "apply", path, tmp_path / "t.json", "-o", tmp_path / "after.npz")
    val, test = ck.load(path, split="val"), ck.load(path)
    probs = ck.TemperatureScaling(input="logits").fit(val.logits, val.labels).predict_proba(test.logits)
    by_hand = ck.Predictions.from_probs(test.labels, probs)
    assert numbers(ck.load(tmp_path / "after.npz")) == {
        metric: pytest.approx(value, rel=1e-9) for metric, value in numbers(by_hand).items()
    }


def test_the_resnet_50_pair_after_temperature_scaling():
    """The same T and scores as `compare` gives with the same calibration rows."""
    paths = {"ce": real_data(PAIR[0]), "focal": real_data(PAIR[1])}
    tests = {name: ck.load(path) for name, path in paths.items()}
    vals = {name: ck.load(path, split="val") for name, path in paths.items()}
    compared = ck.compare(tests, calibrate_on=vals, confidence_level=None)
    for name in paths:
        fitted = ck.fit_calibrator("temperature", vals[name])
        assert fitted.temperature_ == compared.temperature[name].value
        scaled = compared.scaled.models[name]
        expected = {metric: scaled[metric].value for metric in ("ece", "nll", "mce", "brier")}
        found = numbers(ck.calibrate(fitted, tests[name]))
        assert found == {metric: pytest.approx(value, rel=1e-6) for metric, value in expected.items()}


def test_resnet_50_at_the_published_temperature():
    """Mukhoti et al. 2020, table 1: ECE 4.35 % before, 1.35 % at T = 2.5."""
    test = ck.load(real_data(PAIR[0]))
    at_published = ck.TemperatureScaling().fit(test.logits, test.labels)
    at_published.temperature_ = 2.5
    scaled = ck.Predictions.from_probs(test.labels, at_published.predict_proba(test.logits))
    assert numbers(test)["ece"] == pytest.approx(0.0435432, abs=1e-7)
    assert numbers(scaled)["ece"] == pytest.approx(0.0135, abs=5e-5)


@pytest.mark.parametrize("method", ["ensemble-temperature", "vector", "platt", "beta"])
def test_every_smooth_method_does_as_well_on_resnet_110_as_one_temperature(method):
    path = real_data(RESNET110)
    found = numbers(ck.calibrate(ck.fit_calibrator(method, ck.load(path, split="val")), ck.load(path)))
    assert found["nll"] < 0.211
    assert found["ece"] < 0.015


def test_one_temperature_of_the_elections_respects_their_groups():
    path = real_data("binary/538_governors_elections.npz")
    with np.load(path) as file:
        rows = ck.Predictions.from_probs(file["outcome"].astype(int), file["prob"], groups=file["group"], clip=1e-6)
    fitted, expected = ck.fit_calibrator("temperature", rows), ck.fit_temperature(rows)
    assert fitted.temperature_interval_ == (expected.low, expected.high)
    alone = ck.TemperatureScaling(input="probs").fit(rows.probs, rows.labels)
    assert np.ptp(np.log(fitted.temperature_interval_)) > 2 * np.ptp(np.log(alone.temperature_interval_))
