"""What a calibrated model would show over the k pairs of a row: by enumeration, and a sample against all rows."""

from itertools import product

import numpy as np
import pytest

import calibkit as ck
from calibkit.binning import Binning, bin_table
from calibkit.resampling import chance_of_pairs
from calibkit.sampled_rows import SampledRows, keeping
from calibkit.views import score_and_bin


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def draw(probs, rng):
    return (probs.cumsum(axis=1) > rng.random((len(probs), 1)) * probs.sum(axis=1, keepdims=True)).argmax(axis=1)


def tables_of(labels, probs, view, binning, weights=None):
    predictions = ck.Predictions.from_probs(labels, probs, weights=weights)
    return score_and_bin(predictions, view=view, binning=binning)[1]


def null_of(labels, probs, view, binning, weights=None, *, most=None, **options):
    binned = tables_of(labels, probs, view, binning, weights)
    sample = binned.sample
    if most is not None:
        sample = SampledRows(len(probs), probs.shape[1], weights, most=most)
        sample.visit(0, probs)
    return chance_of_pairs(sample, binned.tables, binning, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("view", ["classwise", "flattened"])
def test_every_labelling_of_a_few_rows(view, weighted, strategy):
    rng = np.random.default_rng(2)
    probs, labels = softmax(rng.normal(size=(4, 3))), np.array([0, 2, 1, 1])
    weights = np.array([1.0, 0.5, 2.0, 1.5]) if weighted else None
    binning = Binning(n_bins=3, strategy=strategy)
    errors, mass = [], []
    for drawn in product(range(3), repeat=4):
        drawn = np.array(drawn)
        error = ck.expected_calibration_error(drawn, probs, view=view, n_bins=3, binning=strategy, weights=weights)
        errors.append(error)
        mass.append(probs[np.arange(4), drawn].prod())
    errors, mass = np.array(errors), np.array(mass)
    seen = ck.expected_calibration_error(labels, probs, view=view, n_bins=3, binning=strategy, weights=weights)
    null = null_of(labels, probs, view, binning, weights, n_draws=20_000)
    assert null.mean == pytest.approx(errors @ mass, rel=0.02)
    assert null.p_value == pytest.approx(mass[errors >= seen * (1 - 1e-9)].sum(), abs=0.015)
    at_least = mass[errors >= null.p95 * (1 - 1e-9)].sum()
    beyond = mass[errors > null.p95 * (1 + 1e-9)].sum()
    assert beyond - 0.01 <= 0.05 <= at_least + 0.01


@pytest.mark.parametrize("view", ["classwise", "flattened"])
@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_stands_for_all_rows(view, k, weighted):
    rng = np.random.default_rng(k)
    probs = softmax(2 * rng.normal(size=(3_000, k)))
    weights = rng.uniform(0.5, 2, 3_000) if weighted else None
    labels, binning = draw(probs, rng), Binning(n_bins=10)
    whole = null_of(labels, probs, view, binning, weights, n_draws=600)
    sampled = null_of(labels, probs, view, binning, weights, n_draws=600, most=600)
    assert sampled.mean == pytest.approx(whole.mean, rel=0.04)
    assert sampled.p95 == pytest.approx(whole.p95, rel=0.06)
    assert sampled.p_value == pytest.approx(whole.p_value, abs=0.12)


def test_sparse_cells_of_a_sample_are_brought_to_all_rows():
    # 40 classes of which a row has few: most cells of the sample hold less than one expected outcome.
    rng = np.random.default_rng(5)
    probs = softmax(np.where(rng.random((4_000, 40)) < 0.1, 4.0, 0.0) + rng.normal(size=(4_000, 40)))
    labels, binning = draw(probs, rng), Binning()
    whole = null_of(labels, probs, "classwise", binning)
    sampled = null_of(labels, probs, "classwise", binning, most=500)
    assert sampled.mean == pytest.approx(whole.mean, rel=0.01)
    assert sampled.p95 - sampled.mean == pytest.approx(whole.p95 - whole.mean, rel=0.25)


def test_independent_outcomes_would_give_another_level():
    # Two classes mirror each other: what they show is that of one, and varies as one does, not as two would.
    rng = np.random.default_rng(3)
    p = rng.uniform(0.1, 0.9, 1_000)
    probs, labels = np.stack([1 - p, p], axis=1), (rng.random(1_000) < p).astype(int)
    null = null_of(labels, probs, "classwise", Binning(n_bins=5), n_draws=2_000)
    one = ck.expected_by_chance(labels, p, n_bins=5)
    assert (null.mean, null.p95) == pytest.approx((one.mean, one.p95), rel=0.04)
    assert null.p_value == pytest.approx(one.p_value, abs=0.04)


@pytest.mark.parametrize("view", ["classwise", "flattened"])
def test_calibrated_models_are_rejected_as_often_as_said(view):
    rng, rejected, means, seen = np.random.default_rng(9), [], [], []
    for _ in range(250):
        probs = softmax(2 * rng.normal(size=(200, 4)))
        labels, binning = draw(probs, rng), Binning(n_bins=5)
        null = null_of(labels, probs, view, binning, n_draws=99)
        rejected.append(null.p_value <= 0.05)
        means.append(null.mean)
        seen.append(ck.expected_calibration_error(labels, probs, view=view, n_bins=5))
    assert 0.015 <= np.mean(rejected) <= 0.09  # two and a half standard errors around 5 %
    assert np.mean(means) == pytest.approx(np.mean(seen), rel=0.06)


def test_evaluate_shows_it_and_says_where_it_does_not():
    rng = np.random.default_rng(4)
    logits = 2 * rng.normal(size=(900, 5))
    labels = draw(softmax(logits), rng)
    calibrated = ck.evaluate(ck.Predictions.from_logits(labels, logits), view="classwise")
    assert calibrated.chance.p_value > 0.05
    assert calibrated["ece"].low == 0
    assert any("a calibrated model with these confidences would show" in note for note in calibrated.notes)
    assert calibrated == ck.evaluate(ck.Predictions.from_logits(labels, logits), view="classwise", threads=2)
    sharp = ck.evaluate(ck.Predictions.from_logits(labels, 3 * logits), view="flattened")
    assert sharp.chance.p_value < 0.01
    assert sharp["ece"].low > 0
    grouped = ck.Predictions.from_logits(labels, logits, groups=np.arange(900) % 90)
    found = ck.evaluate(grouped, view="classwise")
    assert found.chance is None
    assert any(note.startswith("No chance level of ECE: rows of a group are dependent") for note in found.notes)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("view", ["classwise", "flattened"])
def test_too_many_classes_for_whole_rows(monkeypatch, view, weighted, strategy):
    rng = np.random.default_rng(8)
    probs = softmax(2 * rng.normal(size=(900, 6)))
    weights = rng.uniform(0.5, 2, 900) if weighted else None
    predictions = ck.Predictions.from_probs(draw(probs, rng), probs, weights=weights)
    whole = ck.evaluate(predictions, view=view, binning=strategy)
    monkeypatch.setattr(keeping, "_MOST_PAIRS", 3_000)  # 500 whole rows, which are too few
    labels = ck.evaluate(predictions, view=view, binning=strategy)
    assert labels.chance != whole.chance
    assert labels["ece"] == whole["ece"]
    assert labels.chance.mean == pytest.approx(whole.chance.mean, rel=0.05)
    assert labels.chance.p95 == pytest.approx(whole.chance.p95, rel=0.06)
    assert labels.chance.p_value == pytest.approx(whole.chance.p_value, abs=0.12)
    assert not any("No chance level" in note for note in labels.notes)
    assert labels == ck.evaluate(predictions, view=view, binning=strategy, threads=2)
    if not weighted:
        sharp = ck.Predictions.from_probs(predictions.labels, probs**3 / (probs**3).sum(axis=1, keepdims=True))
        assert ck.evaluate(sharp, view=view, binning=strategy).chance.p_value < 0.01


def test_a_vocabulary_has_it():
    rng = np.random.default_rng(2)
    probs = softmax(3 * rng.normal(size=(60, 6_000)))
    labels = draw(probs, rng)
    honest = ck.expected_by_chance(labels, probs, view="classwise")
    # Cells are so sparse that nearly every label is alone in its own: the error is just below 2/k.
    assert 1.0 / 6_000 < honest.mean < honest.p95 < 2 / 6_000
    assert honest.p_value > 0.02
    wrong = ck.expected_by_chance(np.argmin(probs, axis=1), probs, view="classwise")
    assert wrong.p_value < 0.01
    everything = ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all")
    assert everything.by_chance["classwise_ece"].mean == pytest.approx(honest.mean, rel=0.01)


def test_all_metrics_have_it_for_errors_by_class():
    rng = np.random.default_rng(6)
    probs = softmax(2 * rng.normal(size=(800, 4)))
    labels = draw(probs, rng)
    everything = ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all")
    own = ck.evaluate(ck.Predictions.from_probs(labels, probs), view="classwise")
    shown = everything.by_chance["classwise_ece"]
    assert shown.mean == pytest.approx(own.chance.mean, rel=0.02)
    confidence, predicted = probs.max(axis=1), probs.argmax(axis=1)
    errors = []
    for _ in range(400):
        right = rng.random(800) < confidence
        errors.append(
            sum(
                np.abs(table.confidence_sum - table.outcome_sum).sum()
                for table in (bin_table(confidence[c], right[c], Binning()) for c in (predicted == j for j in range(4)))
            )
            / 800
        )
    shown = everything.by_chance["class_conditional_ece"]
    assert shown.mean == pytest.approx(np.mean(errors), rel=0.03)
    assert shown.p95 == pytest.approx(np.quantile(errors, 0.95), rel=0.05)


def test_no_rows_have_no_level():
    binned = tables_of([], np.empty((0, 3)), "classwise", Binning())
    null = chance_of_pairs(binned.sample, binned.tables, Binning(), rng=np.random.default_rng(0))
    assert np.isnan([null.mean, null.p95, null.p_value]).all()


def test_rows_come_in_any_blocks():
    probs = softmax(np.random.default_rng(1).normal(size=(200, 3)))
    one, other = SampledRows(200, 3, most=50), SampledRows(200, 3, most=50)
    one.visit(0, probs)
    for start in (120, 0, 7, 60):
        other.visit(start, probs[start : {0: 7, 7: 60, 60: 120, 120: 200}[start]])
    np.testing.assert_array_equal(one.probs, other.probs)
    np.testing.assert_array_equal(one.probs, probs[one.rows])
