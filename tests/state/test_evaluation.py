"""The evaluation of a state against that of the rows in memory: every number, note and sentence."""

import re

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError
from tests.state.samples import KINDS, numbers, predictions, state_of, words


def assert_alike(got, expected, *, rel, absolute=1e-15):
    found, wanted = numbers(got), numbers(expected)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert (found[key] is None) == (value is None), key
        if value is not None:
            assert found[key] == pytest.approx(value, rel=rel, abs=absolute, nan_ok=True), key


@pytest.mark.parametrize("n", [0, 1, 2, 60, 4_000])
@pytest.mark.parametrize("kind", KINDS)
def test_all_is_as_in_memory(kind, n):
    rows = predictions(kind, n)
    got, expected = state_of(rows).evaluation(), ck.evaluate(rows)
    assert_alike(got, expected, rel=1e-12)
    assert words(got) == words(expected)
    assert (got.settings["rows"], expected.settings["rows"]) == ("state", "in memory")


@pytest.mark.parametrize("kind", ["probs", "event", "top1"])
def test_weighted_rows(kind):
    rows = predictions(kind, 20_000, weighted=True)
    got, expected = state_of(rows).evaluation(), ck.evaluate(rows)
    assert re.sub("ask for .*? rows", "", repr(words(got))) == re.sub("ask for .*? rows", "", repr(words(expected)))
    for name, estimate in expected.metrics.items():
        assert got[name].value == pytest.approx(estimate.value, rel=1e-12)
        if estimate.low is not None and estimate.high is not None:
            # Standard errors and skewness expand a row's share of the weight: see docs/scale.md.
            half = (estimate.high - estimate.low) / 2
            assert got[name].low == pytest.approx(estimate.low, abs=0.005 * half)
            assert got[name].high == pytest.approx(estimate.high, abs=0.005 * half)


@pytest.mark.parametrize("options", [{"n_bins": 4}, {"edges": "left"}, {"n_bins": 1}, {"n_bins": 6_000}])
@pytest.mark.parametrize("kind", ["logits", "event"])
def test_bins_as_asked(kind, options):
    rows = predictions(kind, 3_000)
    assert_alike(state_of(rows, **options).evaluation(), ck.evaluate(rows, **options), rel=1e-12)


@pytest.mark.parametrize(("kind", "view"), [("two", "positive"), ("event", "top-label"), ("log-odds", "top-label")])
def test_views_as_asked(kind, view):
    rows = predictions(kind, 3_000)
    got, expected = state_of(rows, view=view).evaluation(), ck.evaluate(rows, view=view)
    assert_alike(got, expected, rel=1e-12)
    assert words(got) == words(expected)


def test_level_name_and_seed():
    rows = predictions("probs", 500)
    state = state_of(rows)
    assert_alike(
        state.evaluation(confidence_level=0.8, rng=3), ck.evaluate(rows, confidence_level=0.8, rng=3), rel=1e-12
    )
    without = state.evaluation(confidence_level=None, name="net")
    assert (without.name, without["ece"].low, without.verdict, without.reliability.low) == ("net", None, None, None)
    assert_alike(without, ck.evaluate(rows, confidence_level=None), rel=1e-12)


def test_sums_are_the_exact_ones_rounded_once():
    from fractions import Fraction

    rows = predictions("probs", 1_000)
    from calibkit.scores import score_rows

    scores = score_rows(rows)
    unit = 1 << 96
    exact = sum(Fraction(round(Fraction(float(score)) * unit), unit) for score in scores.log_score) / 1_000
    assert state_of(rows).evaluation()["nll"].value == float(exact)


def test_infinite_scores_and_labels_that_may_be_a_mistake():
    probs = np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [1.0, 0.0, 0.0]] * 40)
    rows = ck.Predictions.from_probs(np.tile([2, 2, 1], 40), probs)
    got, expected = state_of(rows).evaluation(), ck.evaluate(rows)
    assert words(got) == words(expected)
    assert_alike(got, expected, rel=1e-12)
    assert any("Label 0 never occurs" in note for note in got.notes)
    like = ck.Predictions.from_logits(np.tile([2, 2, 1], 40), probs)
    assert words(state_of(like).evaluation()) == words(ck.evaluate(like))
    assert any("read them as probs" in note for note in state_of(like).evaluation().notes)


def test_opt_ins_are_counted_over_all_updates():
    labels, probs = [0, 1, 1, -100], [[0.7, 0.3], [1.0, 0.0], [np.nan, 0.1], [0.5, 0.5]]
    options = {"invalid": "drop", "ignore_index": -100, "clip": 0.01}
    parts = [ck.Predictions.from_probs(labels[i : i + 2], probs[i : i + 2], **options) for i in (0, 2)]
    whole = ck.evaluate(ck.Predictions.from_probs(labels, probs, **options))
    assert sorted(state_of(*parts).evaluation().notes) == sorted(whole.notes)


def test_a_certain_and_a_constant_model():
    for confidence in (1.0, 0.5, 0.7, 0.0):
        rows = ck.Predictions.from_correct(np.arange(300) % 3 > 0, np.full(300, confidence))
        assert_alike(state_of(rows).evaluation(), ck.evaluate(rows), rel=1e-10, absolute=2e-9)


def test_an_empty_state_has_no_evaluation():
    with pytest.raises(DataError, match="empty"):
        ck.CalibrationState().evaluation()


def test_weights_that_are_too_small_to_be_cubed():
    rows = ck.Predictions.from_correct([True, False], [0.7, 0.6], weights=[1e-7, 2e-7])
    with pytest.raises(DataError, match="multiply"):
        state_of(rows).evaluation()


@pytest.mark.parametrize("options", [{}, {"binning": "quantile"}, {"view": "flattened"}])
def test_the_callers_error_state_is_left_alone(options):
    probs = [[1e-300, 1 - 1e-16], [1 - 1e-300, 1e-300], [1e-308, 1.0], [0.4, 0.6]]
    rows = ck.Predictions.from_probs([1, 0, 0, 1], probs)
    with np.errstate(all="raise"):
        assert state_of(rows, **options).evaluation(metrics="all")["accuracy"].value == 0.75


def test_scores_beyond_the_range_of_exact_sums_leave_no_interval():
    logits = np.array([[0.0, 2e5], [3.0, 1.0], [0.5, 1.5]] * 40)
    got = state_of(ck.Predictions.from_logits(np.zeros(120, int), logits)).evaluation()
    assert got["nll"].low is None
    assert got["nll"].value == pytest.approx(
        ck.evaluate(ck.Predictions.from_logits(np.zeros(120, int), logits))["nll"].value
    )
    assert "No interval for nll: the variance is beyond the range of floats." in got.notes
    huge = state_of(ck.Predictions.from_logits([0, 1], [[0.0, 1e250], [0.0, 1.0]])).evaluation()
    assert huge["nll"].value == np.inf


def test_a_score_too_large_for_sums_is_not_said_to_be_infinite():
    state = state_of(ck.Predictions.from_logits([1, 2, 0], [[5.0, 2.0, 1e13], [1.0, 2.0, 0.0], [2.0, 1.0, 0.0]]))
    notes = " ".join(state.evaluation().notes)
    assert "1 of 3 rows have an infinite score, or one of at least 2^40, which a state takes as infinite" in notes
