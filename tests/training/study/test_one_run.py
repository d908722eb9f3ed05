"""One run: its numbers against evaluate, scikit-learn and the closed form; its network and its loss."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from calibkit import Predictions, evaluate, fit_temperature
from calibkit.errors import DataError
from calibkit.training import FocalLoss, smoothed_loss_floor
from calibkit.training.study import one_run
from calibkit.training.study.cells import Cell, Shared, Task
from calibkit.training.study.measuring import measure
from calibkit.training.study.one_run import make_network, run_cell, run_task, train
from calibkit.training.study.problem import make_problem

SHARED = Shared(epochs=2, hidden=(6,), batch_size=64, lr=2e-3, train_rows=300, device="cpu")


def task(path="", **cell):
    return Task(data="digits", shared=SHARED, cell=Cell(**{"seed": 0, **cell}), path=str(path))


def sharp_predictions(n, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 2
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probs.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, 3)
    return Predictions.from_logits(labels, 3 * logits)


def test_measures_are_those_of_evaluate_before_and_after_the_temperature_of_the_calibration_rows():
    test, calibration = sharp_predictions(400, 1), sharp_predictions(500, 2)
    found = measure(test, calibration)
    t = fit_temperature(calibration).value
    assert found["temperature"] == pytest.approx(t)
    assert found["log_temperature"] == pytest.approx(math.log(t))
    scaled = Predictions.from_logits(test.labels, test.logits / t)
    for predictions, prefix in ((test, ""), (scaled, "scaled_")):
        evaluation = evaluate(predictions, confidence_level=None)
        for name in ("accuracy", "mean_confidence", "gap", "ece", "rmsce", "mce", "nll", "brier"):
            assert found[prefix + name] == pytest.approx(evaluation[name].value, rel=1e-9), name
        logits = np.asarray(predictions.logits, dtype=np.float64)
        probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        right = probs.argmax(1) == predictions.labels
        assert found[f"{prefix}confidence_auroc"] == pytest.approx(roc_auc_score(right, probs.max(1)))
        order = np.argsort(-probs.max(1))
        risks = np.cumsum(~right[order]) / np.arange(1, len(right) + 1)
        assert found[f"{prefix}aurc"] == pytest.approx(risks.mean())


def test_where_every_calibration_row_is_right_there_is_no_temperature_and_nothing_after_it():
    right = Predictions.from_logits([0, 1, 0], [[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    found = measure(sharp_predictions(50, 3), right)
    assert found["temperature_at_bound"] == 1.0
    assert math.isnan(found["temperature"])
    assert all(math.isnan(value) for name, value in found.items() if name.startswith("scaled_"))
    assert math.isfinite(found["ece"])


def test_a_run_with_flipped_labels_is_measured_on_true_and_on_flipped_labels():
    clean, noisy = run_cell(task(noise=0.4, smoothing=0.1))
    assert (clean["labels"], noisy["labels"]) == ("clean", "noisy")
    assert clean["accuracy"] != noisy["accuracy"]
    same = ("train_loss", "train_accuracy_given_labels", "n_test", "seconds", "smoothing")
    assert all(clean[name] == noisy[name] for name in same)
    assert (clean["n_train"], clean["n_calibration"], clean["n_test"]) == (300, 748, 749)
    assert len(run_cell(task())) == 1


def test_the_loss_stands_against_its_floor():
    row = run_cell(task(smoothing=0.1))[0]
    assert row["train_loss_floor"] == pytest.approx(smoothed_loss_floor(10, 0.1))
    assert row["least_loss_above_floor"] == pytest.approx(row["train_loss"] - row["train_loss_floor"])
    assert row["least_loss_above_floor"] > 0


def test_train_accuracies_are_against_given_and_true_labels(monkeypatch):
    kept = []
    real = one_run.make_network
    monkeypatch.setattr(one_run, "make_network", lambda *a: kept.append(real(*a)) or kept[-1])
    row = run_cell(task(noise=0.4))[0]
    problem = make_problem("digits", Cell(seed=0, noise=0.4), train_rows=300)
    rows = torch.from_numpy(problem.parts.train)
    with torch.no_grad():
        predicted = kept[0](problem.inputs[rows]).argmax(1)
    assert row["train_accuracy_given_labels"] == pytest.approx(
        (predicted == problem.given[rows]).double().mean().item()
    )
    assert row["train_accuracy_true_labels"] == pytest.approx((predicted == problem.true[rows]).double().mean().item())


def test_runs_of_one_seed_start_from_the_same_weights():
    problem = make_problem("digits", Cell(seed=0), train_rows=300)
    hard, smooth = (make_network(problem, Cell(seed=0, smoothing=e), SHARED) for e in (0.0, 0.1))
    assert all(torch.equal(a, b) for a, b in zip(hard.parameters(), smooth.parameters(), strict=True))


@pytest.mark.parametrize(
    ("cell", "kinds"),
    [
        ({}, ["Linear", "ReLU", "Linear"]),
        ({"regularisation": "dropout"}, ["Linear", "ReLU", "Dropout", "Linear"]),
        ({"network": "linear", "regularisation": "all three"}, ["Linear"]),
        ({"network": "small"}, ["Linear", "ReLU", "Linear"]),
    ],
)
def test_the_network_of_a_run(cell, kinds):
    problem = make_problem("digits", Cell(seed=0), train_rows=300)
    network = make_network(problem, Cell(seed=0, **cell), SHARED)
    assert [type(layer).__name__ for layer in network] == kinds


def test_what_a_run_asks_of_fit(monkeypatch):
    asked = []
    monkeypatch.setattr(one_run, "fit", lambda *_, **options: asked.append(options))
    problem = make_problem("digits", Cell(seed=3), train_rows=300)
    for cell in (
        Cell(seed=3, smoothing=0.2),
        Cell(seed=3, loss="FLSD-53"),
        Cell(seed=3, regularisation="weight decay"),
    ):
        train(torch.nn.Linear(64, 10), problem, cell, SHARED)
    smoothed, focal, decayed = asked
    assert (smoothed["smoothing"], "loss" in smoothed, smoothed["weight_decay"]) == (0.2, False, 0.01)
    assert isinstance(focal["loss"], FocalLoss)
    assert "smoothing" not in focal
    assert decayed["weight_decay"] == 1.0
    assert all(options["seed"] == 3 and options["epochs"] == 2 for options in asked)


def test_the_file_of_a_run_is_strict_json_and_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        run_task(task(tmp_path / f"{name}.json", noise=0.2, smoothing=0.05))
    a, b = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("a", "b"))
    for row in (*a["rows"], *b["rows"]):
        assert row.pop("seconds") >= 0
    assert a == b
    assert a["cell"]["smoothing"] == 0.05


def test_a_run_that_fails_is_named(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise DataError("the loss is nan")

    monkeypatch.setattr(one_run, "fit", fail)
    with pytest.raises(DataError, match=r"^seed0-noise0-smoothing0\.1-.*: the loss is nan"):
        run_task(task(tmp_path / "x.json", smoothing=0.1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", ["FLSD-53", "MbLS", "confidence penalty", "Brier"])
def test_every_relative_of_smoothing_trains(loss):
    row = run_cell(task(loss=loss))[0]
    assert row["loss"] == loss
    assert row["train_loss_floor"] is None
    assert 0 < row["ece"] < 1
