"""Laws of every metric and test in the registries, on data that Hypothesis looks for: ties, certainty, few rows.

200 examples a law; ``pytest tests/laws --hypothesis-profile=nightly`` takes 10,000, an hour of one core in all. Each
example runs through the whole registry.
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import calibkit as ck
from calibkit.binning import Binning, bin_table, merge_tables
from calibkit.metrics import METRICS, TESTS
from calibkit.pairs import Pairs
from calibkit.scores import score_rows

BINARY_ONLY = {"base_rate"}
# Of these a finite number of rows shows in the value: twice the same rows tell more, or rank otherwise.
COUNT_ROWS = {"aurc", "excess_aurc", "debiased_rmsce", "sweep_ece"}
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def vectors(draw, *, ties=True):
    """Labels and rows of probabilities from few values, so that ties, 0 and 1 are frequent."""
    n, k = draw(st.integers(1, 24)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(SEEDS))
    levels = draw(st.sampled_from([2, 5, 100]))
    parts = rng.integers(0, levels, (n, k)) ** draw(st.integers(1, 3))
    parts[parts.sum(axis=1) == 0, 0] = 1
    if not ties:
        top = np.sort(parts, axis=1)
        parts = parts[top[:, -1] > top[:, -2]]
        assume(len(parts))
    return rng.integers(0, k, len(parts)), parts / parts.sum(axis=1, keepdims=True)


@st.composite
def events(draw):
    """Labels and P(y = 1): from few values, among them 0, 1/2, 1 and edges of bins."""
    n = draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(SEEDS))
    grid = draw(st.sampled_from([np.arange(16) / 15, np.array([0.0, 0.5, 1.0]), rng.random(40), rng.beta(0.1, 0.1, 9)]))
    p = rng.choice(grid, n)
    honest = rng.random(n) < p
    return np.where(rng.random(n) < draw(st.sampled_from([0.0, 0.3])), ~honest, honest).astype(int), p


def metrics(probs):
    return [metric for metric in METRICS.values() if probs.ndim == 1 or metric.name not in BINARY_ONLY]


def same(value, expected):
    """Equal but for rounding; infinities and NaN are themselves."""
    return value == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


def check_all(labels, probs, other_labels, other_probs, *, but=(), weights=None):
    for metric in metrics(probs):
        if metric.name not in but:
            value = metric.function(labels, probs, weights=weights)
            assert same(metric.function(other_labels, other_probs), value), metric.name


@given(data=vectors() | events(), seed=SEEDS)
def test_the_order_of_rows_is_irrelevant(data, seed):
    labels, probs = data
    order = np.random.default_rng(seed).permutation(len(labels))
    check_all(labels, probs, labels[order], probs[order])


@given(data=vectors(ties=False), seed=SEEDS)
def test_the_order_of_classes_is_irrelevant_where_none_tie_for_the_largest(data, seed):
    labels, probs = data
    order = np.random.default_rng(seed).permutation(probs.shape[1])
    check_all(labels, probs, np.argsort(order)[labels], probs[:, order])


@given(data=vectors() | events(), seed=SEEDS)
def test_whole_weights_are_repetition(data, seed):
    labels, probs = data
    times = np.random.default_rng(seed).integers(0, 4, len(labels))
    assume(times.any())
    check_all(labels, probs, np.repeat(labels, times), np.repeat(probs, times, axis=0), weights=times)


@given(data=vectors() | events(), times=st.integers(2, 5))
def test_the_same_rows_again_change_nothing(data, times):
    labels, probs = data
    check_all(labels, probs, np.tile(labels, times), np.concatenate([probs] * times), but=COUNT_ROWS)


@given(data=vectors() | events())
def test_values_stay_within_their_bounds(data):
    labels, probs = data
    for metric in metrics(probs):
        low, high = metric.bounds
        value = metric.function(labels, probs)
        assert low - 1e-12 <= value <= high + 1e-12 or (math.isnan(value) and metric.undefined), metric.name


@given(data=vectors() | events())
def test_evaluate_says_what_the_functions_say(data):
    labels, probs = data
    evaluation = ck.evaluate(ck.Predictions.from_probs(labels, probs), confidence_level=None, metrics="all")
    for metric in metrics(probs):
        assert same(evaluation[metric.name].value, metric.function(labels, probs)), metric.name


@given(data=vectors() | events())
def test_temperature_1_is_the_identity(data):
    labels, probs = data
    with np.errstate(divide="ignore"):
        logits = np.log(probs) if probs.ndim == 2 else np.log(probs) - np.log1p(-probs)
    assume(np.isfinite(logits).all())
    predictions = ck.Predictions.from_logits(labels, logits)
    plain, scaled = score_rows(predictions), score_rows(predictions, temperature=1.0)
    for name in ("confidence", "correct", "log_score", "brier"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(plain, name), rtol=1e-12, atol=1e-300, err_msg=name)


@given(data=events(), cut=st.integers(0, 24), bins=st.integers(1, 20), closed=st.sampled_from(["right", "left"]))
def test_tables_of_parts_merge_into_the_table_of_the_whole(data, cut, bins, closed):
    labels, p = data
    binning = Binning(n_bins=bins, edges=closed)
    whole = bin_table(p, labels, binning)
    merged = merge_tables([bin_table(p[:cut], labels[:cut], binning), bin_table(p[cut:], labels[cut:], binning)])
    assert (merged.count == whole.count).all()
    assert whole.count.sum() == len(p)  # no row is lost
    np.testing.assert_allclose(merged.confidence_sum, whole.confidence_sum, rtol=1e-14)
    np.testing.assert_allclose(merged.outcome_sum, whole.outcome_sum, rtol=1e-14)


@given(data=vectors() | events(), bins=st.integers(1, 12), factor=st.integers(2, 4))
def test_finer_bins_and_higher_norms_never_lower_the_error(data, bins, factor):
    labels, probs = data
    coarse, fine = (ck.expected_calibration_error(labels, probs, n_bins=n) for n in (bins, bins * factor))
    assert coarse <= fine + 1e-12
    root, worst = (ck.expected_calibration_error(labels, probs, n_bins=bins, norm=norm) for norm in ("l2", "max"))
    assert coarse <= root + 1e-12
    assert root <= worst + 1e-12


@given(data=vectors(ties=False), power=st.floats(0.2, 5.0))
def test_rankings_see_order_alone(data, power):
    """A steeper or gentler confidence that keeps the order and its ties changes no ranking."""
    labels, probs = data
    confidence = probs.max(axis=1)
    levels, level = np.unique(confidence, return_inverse=True)
    other = 0.5 + 0.5 * (np.arange(1, len(levels) + 1) / (len(levels) + 1)) ** power
    assume(len(np.unique(other)) == len(levels))
    correct = probs.argmax(axis=1) == labels
    for metric in METRICS.values():
        if metric.kind == "ranking":
            one, two = (
                metric.kernel(Pairs(view="top-label", forecast=c, outcome=correct)) for c in (confidence, other[level])
            )
            assert same(one, two), metric.name


@given(data=events(), temperature=st.floats(0.3, 3.0))
def test_dividing_log_odds_multiplies_the_cox_slope(data, temperature):
    labels, p = data
    p = p.clip(1e-3, 1 - 1e-3)
    odds = (p / (1 - p)) ** (1 / temperature)
    one, two = ck.cox_calibration(labels, p), ck.cox_calibration(labels, odds / (1 + odds))
    assert two.slope == pytest.approx(temperature * one.slope, rel=1e-6, abs=1e-6, nan_ok=True)
    assert two.intercept == pytest.approx(one.intercept, rel=1e-6, abs=1e-6, nan_ok=True)


@given(data=events(), seed=SEEDS)
def test_tests_know_neither_the_order_of_rows_nor_the_scale_of_weights(data, seed):
    labels, p = data
    rng = np.random.default_rng(seed)
    order, weights = rng.permutation(len(p)), rng.gamma(1.0, size=len(p)) + 0.01
    for test in TESTS.values():
        result = test.function(labels, p)
        moved = test.function(labels[order], p[order])
        assert 0 <= result.p_value <= 1, test.name
        assert same(moved.statistic, result.statistic), test.name
        assert same(moved.p_value, result.p_value), test.name
        light, heavy = (test.function(labels, p, weights=scale * weights) for scale in (1, 8))
        assert same(light.p_value, heavy.p_value), test.name


@given(data=events(), times=st.integers(2, 6))
def test_the_same_rows_again_are_more_evidence(data, times):
    """Sigma falls as the root of the number of rows, and the distance of outcomes and forecasts stays."""
    labels, p = data
    p = np.round(p, 6)  # of 1 - 1e-14 the distance to 1 has two digits
    again = np.tile(labels, times), np.tile(p, times)
    for name in ("ecce_r", "ecce_mad", "spiegelhalter"):
        one, more = TESTS[name].function(labels, p), TESTS[name].function(*again)
        assert same(more.statistic, one.statistic), name
        assert same(more.statistic_over_sigma, math.sqrt(times) * one.statistic_over_sigma), name
        assert more.p_value <= one.p_value + 1e-9, name


@given(data=events())
def test_the_largest_excursion_is_at_most_the_range_and_at_least_half_of_it(data):
    labels, p = data
    spread, largest = (TESTS[name].function(labels, p).statistic for name in ("ecce_r", "ecce_mad"))
    assert largest <= spread + 1e-15
    assert spread <= 2 * largest + 1e-15
    assert largest >= abs(np.mean(labels - p)) - 1e-12  # the end of the path is the mean gap


@given(data=events())
def test_two_columns_are_one_event(data):
    labels, p = data
    two = np.stack([1 - p, p], axis=1)
    for test in TESTS.values():
        assert same(test.function(labels, two, view="positive").p_value, test.function(labels, p).p_value), test.name
    for name in ("accuracy", "nll", "aurc", "augrc", "confidence_auroc", "predictive_entropy", "log_skill"):
        assert same(METRICS[name].function(labels, two), METRICS[name].function(labels, p)), name


@given(data=vectors(), seed=SEEDS)
def test_comparing_the_other_way_round_changes_every_sign(data, seed):
    labels, probs = data
    assume(len(labels) >= 4)
    other = np.random.default_rng(seed).permutation(probs.ravel()).reshape(probs.shape) + 0.01
    models = {
        "one": ck.Predictions.from_probs(labels, probs),
        "two": ck.Predictions.from_probs(labels, other / other.sum(axis=1, keepdims=True)),
    }
    forth = ck.compare(models, reference="one").differences["two"]
    back = ck.compare(models, reference="two").differences["one"]
    assert forth.keys() == back.keys()
    for name, difference in forth.items():
        mirror = back[name]
        assert same(mirror.value, -difference.value), name
        assert (mirror.low is None) == (difference.low is None), name
        if difference.low is not None:
            assert same(mirror.low, -difference.high), name
            assert same(mirror.high, -difference.low), name
            assert same(mirror.p_value, difference.p_value), name


def test_no_rows_have_no_value():
    for metric in METRICS.values():
        for probs in (np.empty(0), np.empty((0, 3))):
            if probs.ndim == 1 or metric.name not in BINARY_ONLY:
                assert math.isnan(metric.function(np.empty(0, int), probs)), metric.name
    for test in TESTS.values():
        assert math.isnan(test.function(np.empty(0, int), np.empty(0)).p_value), test.name
