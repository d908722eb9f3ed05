"""evaluate: values against references and published numbers, intervals where they are offered, its JSON contract."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

import calibkit as ck
from calibkit.metrics import METRICS
from tests.real_data import real_data


def forecasts(n=400, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2.5
    tempered = np.exp(logits / 1.6) / np.exp(logits / 1.6).sum(1, keepdims=True)
    return (tempered.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1), logits


LABELS, LOGITS = forecasts()
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def test_values_agree_with_scikit_learn():
    evaluation = ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS, name="net"))
    assert evaluation["nll"].value == pytest.approx(log_loss(LABELS, PROBS), rel=1e-12)
    one_versus_rest = [brier_score_loss(c == LABELS, PROBS[:, c]) for c in range(4)]
    assert evaluation["brier"].value == pytest.approx(sum(one_versus_rest), rel=1e-12)
    assert evaluation["accuracy"].value == np.mean(PROBS.argmax(1) == LABELS)
    assert evaluation["gap"].value == pytest.approx(PROBS.max(1).mean() - np.mean(PROBS.argmax(1) == LABELS))
    assert (evaluation.name, evaluation.n, evaluation.n_classes, evaluation.view) == ("net", 400, 4, "top-label")


@pytest.mark.parametrize("source", ["logits", "probs", "top1", "correct"])
def test_every_kind_of_input_gives_the_same_calibration(source):
    predicted, confidence = PROBS.argmax(1), PROBS.max(1)
    predictions = {
        "logits": lambda: ck.Predictions.from_logits(LABELS, LOGITS),
        "probs": lambda: ck.Predictions.from_probs(LABELS, PROBS),
        "top1": lambda: ck.Predictions.from_top1(LABELS, predicted, confidence),
        "correct": lambda: ck.Predictions.from_correct(predicted == LABELS, confidence),
    }[source]()
    full = ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS))
    evaluation = ck.evaluate(predictions)
    for metric in ("accuracy", "mean_confidence", "gap", "ece", "rmsce", "mce"):
        assert evaluation[metric].value == pytest.approx(full[metric].value, abs=1e-13)
        assert evaluation[metric].low == pytest.approx(full[metric].low, abs=1e-12)
    if source in ("top1", "correct"):
        with pytest.raises(KeyError, match="hold no probability"):
            _ = evaluation["nll"]
        assert sum("No NLL" in note for note in evaluation.notes) == 1


def test_an_unknown_metric_says_which_there_are():
    with pytest.raises(KeyError, match=r"no such metric.*ece"):
        _ = ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS))["loss"]


def test_the_fast_way_gives_the_same_values_without_intervals():
    predictions = ck.Predictions.from_logits(LABELS, LOGITS)
    fast, full = ck.evaluate(predictions, confidence_level=None), ck.evaluate(predictions)
    for metric in full.metrics:
        assert fast[metric].value == pytest.approx(full[metric].value, abs=1e-15)
        assert fast[metric].low is None
    assert fast.verdict is None
    assert fast.reliability.low is None


def test_intervals_narrow_with_the_level():
    predictions = ck.Predictions.from_logits(LABELS, LOGITS)
    wide, narrow = (ck.evaluate(predictions, confidence_level=level) for level in (0.99, 0.8))
    for metric in ("accuracy", "nll", "brier", "gap", "mean_confidence", "ece", "rmsce"):
        assert wide[metric].high - wide[metric].low > narrow[metric].high - narrow[metric].low
    assert wide["mce"].low is None


def test_an_ece_interval_is_given_only_where_its_coverage_was_shown():
    predictions = ck.Predictions.from_logits(LABELS, LOGITS)
    weighted = ck.Predictions.from_logits(LABELS, LOGITS, weights=np.linspace(0.5, 2, len(LABELS)))
    grouped = ck.Predictions.from_logits(LABELS, LOGITS, groups=np.arange(len(LABELS)) % 50)
    for evaluation in (
        ck.evaluate(predictions, view="classwise"),
        ck.evaluate(predictions, view="flattened"),
        ck.evaluate(predictions, binning="quantile"),
        ck.evaluate(weighted),
        ck.evaluate(weighted, binning="quantile"),
        ck.evaluate(grouped),
    ):
        assert 0 <= evaluation["ece"].low < evaluation["ece"].high
        assert evaluation.verdict is not None
    for evaluation, cause in (
        (ck.evaluate(predictions, view="classwise", binning="quantile"), "quantile bins in the classwise view"),
        (ck.evaluate(weighted, view="flattened"), "weighted rows in the flattened view"),
        (ck.evaluate(grouped, view="classwise"), "dependent rows in the classwise view"),
    ):
        assert evaluation["ece"].low is None
        assert evaluation.verdict is None
        assert any(cause in note for note in evaluation.notes)
        assert evaluation["nll"].low is not None
    assert any("n_eff" in note for note in ck.evaluate(weighted).notes)


def test_groups_that_show_too_few_misses_have_no_interval_of_a_score():
    rng = np.random.default_rng(0)
    groups, confidence = np.repeat(np.arange(20), 50), rng.uniform(0.9, 1, 1_000)
    sure = np.stack([1 - confidence, confidence], axis=1)
    labels = (groups > 0).astype(int)  # one whole group is wrong
    evaluation = ck.evaluate(ck.Predictions.from_probs(labels, sure, groups=groups))
    for metric in ("ece", "nll", "brier"):
        assert evaluation[metric].low is None
        assert any(f"No interval for {evaluation_title(metric)}: 5.0% rarer" in note for note in evaluation.notes)
    assert evaluation["accuracy"].low < 0.9
    assert evaluation.verdict == "Not enough independent data for a verdict."


def evaluation_title(metric):
    return {"ece": "ECE"}.get(metric, metric)


def test_skewed_scores_are_noted():
    rng = np.random.default_rng(1)
    confidence = np.where(rng.random(400) < 0.99, 0.999, 0.6)
    probs, labels = np.stack([1 - confidence, confidence], axis=1), np.ones(400, dtype=int)
    labels[:4] = 0
    notes = ck.evaluate(ck.Predictions.from_probs(labels, probs)).notes
    assert any("interval of nll may cover less than it says: skewed scores ask for" in note for note in notes)


def test_a_zero_probability_of_the_truth_is_counted():
    probs = [[1.0, 0.0], [0.4, 0.6], [0.7, 0.3]]
    evaluation = ck.evaluate(ck.Predictions.from_probs([1, 1, 0], probs))
    assert evaluation["nll"].value == math.inf
    assert evaluation["nll"].low is None
    assert any("1 rows give their true class p = 0" in note for note in evaluation.notes)
    assert json.loads(json.dumps(evaluation.to_dict()))["metrics"]["nll"]["value"] == "inf"
    assert evaluation["brier"].low is not None


def test_ties_and_folded_views_are_noted():
    tied = ck.evaluate(ck.Predictions.from_probs([0, 1, 2], [[0.4, 0.4, 0.2], [0.1, 0.8, 0.1], [0.2, 0.4, 0.4]]))
    assert any("2 rows tie" in note for note in tied.notes)
    assert tied["accuracy"].value == pytest.approx(2 / 3)
    folded = ck.evaluate(ck.Predictions.from_probs([0, 1, 1], [0.2, 0.5, 0.9]), view="top-label")
    assert any("Folded view" in note for note in folded.notes)
    assert any("class 0 counts as predicted" in note for note in folded.notes)


def test_the_positive_view_lists_the_base_rate_and_its_own_gap():
    probs = np.array([0.15, 0.7, 0.35, 0.9, 0.62])
    labels = np.array([0, 1, 0, 1, 0])
    evaluation = ck.evaluate(ck.Predictions.from_probs(labels, probs))
    assert evaluation.view == "positive"
    assert list(evaluation.metrics)[:4] == ["accuracy", "base_rate", "mean_confidence", "gap"]
    assert evaluation["base_rate"].value == 0.4
    assert evaluation["gap"].value == pytest.approx(probs.mean() - 0.4)
    assert evaluation.settings["brier_scale"].endswith("0 to 1")
    two_columns = ck.evaluate(ck.Predictions.from_probs(labels, np.stack([1 - probs, probs], 1)), view="positive")
    assert two_columns["ece"].value == pytest.approx(evaluation["ece"].value, abs=1e-15)
    assert two_columns["nll"].value == pytest.approx(evaluation["nll"].value, abs=1e-15)
    assert two_columns["brier"].value == pytest.approx(2 * evaluation["brier"].value, abs=1e-15)


@pytest.mark.parametrize("n", [0, 1])
def test_almost_no_rows_give_a_defined_result(n):
    evaluation = ck.evaluate(ck.Predictions.from_logits(LABELS[:n], LOGITS[:n]))
    assert evaluation.n == n
    assert math.isnan(evaluation["nll"].value) == (n == 0)
    assert evaluation["nll"].low is None
    json.dumps(evaluation.to_dict(), allow_nan=False)


def test_json_keeps_the_contract():
    result = ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS, name="net")).to_dict()
    assert result["schema"] == "calibkit.evaluation/1"
    assert {"name", "n", "n_classes", "view", "settings", "metrics", "reliability", "notes"} <= set(result)
    assert set(result["settings"]) == {
        *("n_bins", "binning", "edges", "confidence_level", "seed", "interval", "brier_scale", "input", "rows")
    }
    assert set(result["metrics"]["ece"]) == {"value", "low", "high"}
    curve = result["reliability"]
    assert set(curve) == {"view", "edges", "count", "confidence", "accuracy", "low", "high"}
    assert len(curve["edges"]) == 16
    empty = curve["count"].index(0)
    assert curve["confidence"][empty] is curve["low"][empty] is None
    json.dumps(result, allow_nan=False)


def test_the_same_seed_gives_the_same_bytes():
    predictions = ck.Predictions.from_logits(LABELS, LOGITS)
    one, two = (json.dumps(ck.evaluate(predictions, rng=7).to_dict()) for _ in range(2))
    assert one == two
    drawn = ck.evaluate(predictions, rng=np.random.default_rng(7))
    assert drawn == ck.evaluate(predictions, rng=drawn.settings["seed"])
    assert drawn != ck.evaluate(predictions, rng=drawn.settings["seed"] + 1)


def test_what_is_allowed_and_rarely_meant_is_noted_first():
    as_logits = ck.evaluate(ck.Predictions.from_logits(LABELS, PROBS))
    assert "read them as probs" in as_logits.notes[0]
    assert not any(
        "read them as probs" in note for note in ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS)).notes
    )
    right = PROBS.argmax(1)
    rows = right < 3
    shifted = ck.evaluate(ck.Predictions.from_probs(right[rows] + 1, PROBS[rows]))
    assert any("label_base=1" in note for note in shifted.notes)
    honest = ck.evaluate(ck.Predictions.from_probs(right[right > 0], PROBS[right > 0]))
    assert not any("label_base=1" in note for note in honest.notes)


def test_a_small_file_without_a_miss_is_not_called_calibrated():
    evaluation = ck.evaluate(ck.Predictions.from_correct([True] * 20, [1.0] * 20))
    assert evaluation["ece"].high == pytest.approx(0.163, abs=0.001)
    assert evaluation["gap"].high - evaluation["gap"].low > 0.1
    assert "could not show less" not in evaluation.verdict


def test_results_survive_pickling_and_copying():
    evaluation = ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS))
    assert pickle.loads(pickle.dumps(evaluation)) == copy.deepcopy(evaluation) == evaluation


def test_intervals_stay_within_the_bounds_of_their_metric():
    evaluation = ck.evaluate(ck.Predictions.from_probs([0, 1], [0.2, 0.9]))
    for metric, estimate in evaluation.metrics.items():
        if estimate.low is not None:
            assert METRICS[metric].bounds[0] <= estimate.low <= estimate.high <= METRICS[metric].bounds[1]
    assert any("Fewer than 100 rows" in note for note in evaluation.notes)


def test_json_holds_what_chance_would_show_and_what_is_absent():
    result = ck.evaluate(ck.Predictions.from_correct([True, False, True], [0.9, 0.8, 0.6])).to_dict()
    assert set(result["chance"]) == {"mean", "p95", "p_value"}
    assert set(result["absent"]) == {"nll", "brier"}


def test_dependent_rows_widen_every_interval():
    groups = np.repeat(np.arange(100), 4)
    alone = ck.evaluate(ck.Predictions.from_logits(np.repeat(LABELS[:100], 4), np.repeat(LOGITS[:100], 4, axis=0)))
    grouped = ck.evaluate(
        ck.Predictions.from_logits(np.repeat(LABELS[:100], 4), np.repeat(LOGITS[:100], 4, axis=0), groups=groups)
    )
    for metric in ("accuracy", "nll", "brier", "gap", "ece"):
        assert grouped[metric].value == alone[metric].value
        assert grouped[metric].high - grouped[metric].low > 1.4 * (alone[metric].high - alone[metric].low)


def test_many_groups_have_a_chance_level_above_that_of_their_rows():
    rng = np.random.default_rng(5)
    groups, forecast = np.repeat(np.arange(200), 5), rng.uniform(0.1, 0.9, 200)
    outcome = (rng.random(200) < forecast)[groups]  # calibrated; the five rows of a group share their luck
    rows = ck.evaluate(ck.Predictions.from_probs(outcome.astype(int), forecast[groups]))
    grouped = ck.evaluate(ck.Predictions.from_probs(outcome.astype(int), forecast[groups], groups=groups))
    assert rows.chance.p_value < 0.001
    assert grouped.chance.p_value > 0.1
    assert grouped.chance.mean == pytest.approx(np.sqrt(5) * rows.chance.mean, rel=0.1)
    assert any("a calibrated model with these confidences and groups would show" in note for note in grouped.notes)
    assert f"could not show less than {grouped.chance.p95:.4f}" in grouped.verdict
    assert grouped["ece"].low == 0
    shuffled = ck.evaluate(ck.Predictions.from_probs(outcome.astype(int), forecast[groups], groups=groups), rng=1)
    assert shuffled.chance != grouped.chance


def test_fewer_than_five_groups_give_no_interval_and_no_verdict():
    groups = np.arange(400) % 4
    evaluation = ck.evaluate(ck.Predictions.from_logits(LABELS, LOGITS, groups=groups))
    assert evaluation["nll"].low is None
    assert evaluation["ece"].low is None
    assert evaluation.verdict == "Not enough independent data for a verdict."
    assert any("groups" in note for note in evaluation.notes)


def test_the_election_file_by_rows_and_by_groups():
    grouped = ck.load(real_data("binary/538_governors_elections.npz"))
    assert grouped.groups is not None
    evaluation = ck.evaluate(grouped)
    assert (evaluation["ece"].low, evaluation["ece"].high) == pytest.approx((0.0110, 0.0471), abs=6e-5)
    assert (evaluation["base_rate"].low, evaluation["base_rate"].high) == pytest.approx((0.4080, 0.4344), abs=6e-5)
    assert any("G = 253 groups, G_eff = 180" in note for note in evaluation.notes)
    # Nine tenths of the forecasts are nearly certain: what their races expect to go wrong is 16 whole races.
    assert evaluation.chance is None
    assert any(note.startswith("No chance level of ECE: the 9.0% rarer outcomes") for note in evaluation.notes)
