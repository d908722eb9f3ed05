"""Calibration errors and reliability curves: published numbers, plain loops, and the traps of other tools."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibkit import expected_calibration_error, reliability_curve
from calibkit.binning import Binning, bin_table, row_bins
from calibkit.bracket import BinnedRows
from calibkit.calibration_error import calibration_error, curve_of
from calibkit.errors import DataError, OptionError, ShapeError
from calibkit.predictions import Predictions
from calibkit.views import score_and_bin
from tests.real_data import real_data

NORMS = ("l1", "l2", "max")


def loop_error(confidence, correct, *, n_bins=15, norm="l1", edges="right", weights=None):
    """The definition, one bin at a time: (lo, hi] or [lo, hi), with 0 and 1 inside."""
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    weights = np.ones(len(confidence)) if weights is None else np.asarray(weights, float)
    parts = []
    for b in range(n_bins):
        low, high = b / n_bins, (b + 1) / n_bins
        if edges == "right":
            inside = (confidence > low) & (confidence <= high) | (confidence == 0) & (b == 0)
        else:
            inside = (confidence >= low) & (confidence < high) | (confidence == 1) & (b == n_bins - 1)
        if weights[inside].sum() > 0:
            gap = np.average(confidence[inside] - correct[inside], weights=weights[inside])
            parts.append((weights[inside].sum() / weights.sum(), abs(gap)))
    shares, gaps = np.transpose(parts)
    return {"l1": shares @ gaps, "l2": math.sqrt(shares @ gaps**2), "max": gaps.max()}[norm]


# Against the definition -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", ["right", "left"])
@pytest.mark.parametrize("norm", NORMS)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1 / 3]) | st.floats(0, 1), st.booleans(), st.integers(1, 4)
        ),
        min_size=1,
        max_size=25,
    ),
    n_bins=st.sampled_from([1, 3, 5, 10, 15]),
)
def test_the_positive_error_is_that_of_a_loop(norm, edges, rows, n_bins):
    p, y, w = np.array([row[0] for row in rows]), [row[1] for row in rows], [row[2] for row in rows]
    found = expected_calibration_error(np.array(y, int), p, n_bins=n_bins, norm=norm, edges=edges, weights=w)
    expected = loop_error(p, y, n_bins=n_bins, norm=norm, edges=edges, weights=w)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_the_multiclass_errors_are_those_of_loops(norm):
    rng = np.random.default_rng(3)
    probs = rng.dirichlet([0.6, 1.0, 0.4, 0.8], 200)
    labels = rng.integers(0, 4, 200)
    weights = rng.choice([0.5, 1.0, 2.0], 200)

    def found(view):
        return expected_calibration_error(labels, probs, view=view, n_bins=10, norm=norm, weights=weights)

    def one(confidence, correct, row_weights):
        return loop_error(confidence, correct, n_bins=10, norm=norm, weights=row_weights)

    right, is_label = probs.argmax(axis=1) == labels, labels[:, None] == np.arange(4)
    assert found("top-label") == found(None) == pytest.approx(one(probs.max(axis=1), right, weights))
    per_class = [one(probs[:, c], labels == c, weights) for c in range(4)]
    assert found("classwise") == pytest.approx(np.mean(per_class))
    assert found("flattened") == pytest.approx(one(probs.ravel(), is_label.ravel(), np.repeat(weights, 4)))


def test_one_bin_leaves_the_gap_of_the_means():
    rng = np.random.default_rng(4)
    p, y = rng.random(50), rng.integers(0, 2, 50)
    for norm in NORMS:
        assert expected_calibration_error(y, p, n_bins=1, norm=norm) == pytest.approx(abs(p.mean() - y.mean()))


def test_norms_are_ordered_and_a_perfect_forecast_has_no_error():
    rng = np.random.default_rng(5)
    p, y = rng.random(300), rng.integers(0, 2, 300)
    l1, l2, largest = (expected_calibration_error(y, p, norm=norm) for norm in NORMS)
    assert l1 < l2 < largest
    for view in ("top-label", "positive", "classwise", "flattened"):
        for norm in NORMS:
            assert expected_calibration_error(y, np.eye(2)[y], view=view, norm=norm) == 0


def test_mce_is_never_below_ece_even_in_the_last_bit():
    rng = np.random.default_rng(6)
    for _ in range(200):
        n = rng.integers(1, 6)
        p, y = rng.random(n).round(1), rng.integers(0, 2, n)
        assert expected_calibration_error(y, p, norm="max") >= expected_calibration_error(y, p) * (1 - 1e-15)


def test_quantile_bins_by_hand():
    p, y = [0.1, 0.2, 0.6, 0.9], [0, 1, 1, 1]
    # (.1, .2) against 1/2, (.6, .9) against 1: gaps .35 and .25.
    assert expected_calibration_error(y, p, n_bins=2, binning="quantile") == pytest.approx(0.3)
    assert expected_calibration_error(y, p, n_bins=2, binning="quantile", edges="left") == pytest.approx(0.3)


def test_row_order_does_not_matter():
    rng = np.random.default_rng(7)
    probs, labels = rng.dirichlet(np.ones(3), 500), rng.integers(0, 3, 500)
    shuffled = rng.permutation(500)
    for view in ("top-label", "classwise", "flattened"):
        for binning in ("uniform", "quantile"):
            one = expected_calibration_error(labels, probs, view=view, binning=binning)
            two = expected_calibration_error(labels[shuffled], probs[shuffled], view=view, binning=binning)
            assert one == pytest.approx(two, rel=1e-12)


def test_no_rows_have_no_error():
    assert np.isnan(expected_calibration_error(np.empty(0, int), np.empty(0)))


# The traps of other tools ---------------------------------------------------------------------------------------------


def test_confidence_one_has_no_bin_of_its_own():
    # torchmetrics 1.9 puts 1.0 in an eleventh bin and answers .525.
    assert expected_calibration_error([1, 0], [0.95, 1.0], n_bins=10) == pytest.approx(0.475)


def test_relplot_example_with_ones():
    # .2625 with a phantom bin.
    assert expected_calibration_error([1, 1, 0, 1], [0.95, 1, 1, 1], n_bins=10) == pytest.approx(0.2375)


def test_confidence_zero_is_not_dropped():
    # Confident and wrong: peers whose first bin is open at 0 answer 0.
    predictions = Predictions.from_correct([True, True], [0.0, 0.0])
    _, binned = score_and_bin(predictions, view=None, binning=Binning())
    assert calibration_error(binned.tables, norm="l1") == 1


@pytest.mark.parametrize("n", [6, 14, 24, 28, 49])
def test_a_wrong_model_of_confidence_one_is_off_by_one_at_any_n(n):
    probs = np.tile([0.0, 1.0], (n, 1))
    for norm in NORMS:
        assert expected_calibration_error(np.zeros(n, int), probs, norm=norm) == 1


def test_confidences_on_edges_are_counted_once():
    # .4 and .8 are edges of 15 bins.
    confidence, correct = np.array([0.4, 0.8, 0.8, 0.4]), np.array([True, True, False, False])
    predictions = Predictions.from_correct(correct, confidence)
    _, binned = score_and_bin(predictions, view=None, binning=Binning())
    assert binned.tables[0].count.sum() == 4
    assert calibration_error(binned.tables, norm="l1") == pytest.approx((0.1 * 2 + 0.3 * 2) / 4)


def test_half_precision_does_not_overflow():
    # In float16, 100,000 rows count to inf and the error to 0; the truth is one half.
    p = np.linspace(0, 1, 100_000).astype(np.float16)
    found = expected_calibration_error(np.zeros(100_000, int), p)
    assert found == pytest.approx(p.astype(float).mean(), rel=1e-12)
    assert found == pytest.approx(0.5, abs=1e-3)


def test_one_value_above_one_is_not_taken_for_logits():
    p = np.full(10, 0.9)
    p[3] = 1.0000001
    with pytest.raises(DataError, match="row 3"):
        expected_calibration_error(np.ones(10, int), p)


def test_two_columns_are_not_silently_the_positive_class():
    labels, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.7, 0.85])
    two = np.stack([1 - p, p], axis=1)

    def found(probs, view=None):
        return expected_calibration_error(labels, probs, view=view, n_bins=5)

    assert found(two, "positive") == found(p) == pytest.approx((0.1 + 0.3 + 0.75) / 4)
    # Folded, the first row is right with confidence .9.
    assert found(two) == pytest.approx((0.3 + 0.65) / 4)
    assert found(p, "top-label") == pytest.approx(found(two))


def test_the_view_can_change_the_error_sixfold():
    rng = np.random.default_rng(11)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p**2).astype(int)
    assert expected_calibration_error(y, p) > 5 * expected_calibration_error(y, p, view="top-label")


def test_wrong_options_and_views_are_refused():
    with pytest.raises(OptionError, match="norm='l3'"):
        expected_calibration_error([1, 0], [0.4, 0.2], norm="l3")
    with pytest.raises(OptionError, match="n_bins=0"):
        expected_calibration_error([1, 0], [0.4, 0.2], n_bins=0)
    with pytest.raises(ShapeError, match="3 classes"):
        expected_calibration_error([1, 0], [[0.4, 0.2, 0.4], [0.1, 0.1, 0.8]], view="positive")
    with pytest.raises(OptionError, match="confidence_level"):
        reliability_curve([1, 0], [0.4, 0.2], confidence_level=95)


# Reliability curves ---------------------------------------------------------------------------------------------------


def test_the_curve_is_that_of_scikit_learn_with_its_empty_bins_kept():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(12)
    p = rng.beta(2, 5, 300)
    y = (rng.random(300) < p).astype(int)
    accuracy, confidence = calibration_curve(y, p, n_bins=15)
    curve = reliability_curve(y, p)
    filled = curve.count > 0
    assert len(curve.count) == 15
    assert not filled.all()
    np.testing.assert_allclose(curve.accuracy[filled], accuracy, rtol=1e-12)
    np.testing.assert_allclose(curve.confidence[filled], confidence, rtol=1e-12)
    for name in ("confidence", "accuracy", "low", "high"):
        assert np.isnan(getattr(curve, name)[~filled]).all()


def test_the_interval_of_a_bin_is_wilson_s():
    from scipy.stats import binomtest

    y, p = np.array([1, 1, 0, 1, 0, 1, 1]), np.array([0.7, 0.8, 0.9, 0.6, 0.2, 0.75, 0.65])
    curve = reliability_curve(y, p, n_bins=2, confidence_level=0.9)
    for b, (right, n) in enumerate([(0, 1), (5, 6)]):
        expected = binomtest(right, n).proportion_ci(0.9, method="wilson")
        assert (curve.low[b], curve.high[b]) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_interval_of_a_weighted_bin_has_its_effective_count():
    from calibkit.proportions import wilson_interval

    y, p, w = [1, 0, 1], [0.7, 0.8, 0.9], [1.0, 2.0, 0.5]
    curve = reliability_curve(y, p, n_bins=1, weights=w)
    low, high = wilson_interval(1.5 / 3.5, 3.5**2 / 5.25, level=0.95)
    assert (curve.accuracy[0], curve.low[0], curve.high[0]) == pytest.approx((1.5 / 3.5, float(low), float(high)))
    assert curve.count[0] == 3


def rows_in_groups(confidence, correct, groups, n_bins, weights=None):
    table = bin_table(confidence, correct, Binning(n_bins=n_bins), weights=weights)
    return BinnedRows(table=table, index=row_bins(confidence, table.edges), gap=confidence - correct, groups=groups)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.5, 0.7])])
def test_the_rows_of_a_group_count_as_one_in_a_bin(weights):
    from calibkit.proportions import exact_interval

    confidence, correct = np.array([0.7, 0.8, 0.9, 0.6, 0.2, 0.75, 0.65]), np.array([1, 1, 0, 1, 0, 1, 1])
    groups = np.array(list("aabbaca"))
    rows = rows_in_groups(confidence, correct, groups, 2, weights)
    curve = curve_of(rows.table, "top-label", level=0.95, rows=rows, weights=weights)
    row_weights = np.ones(7) if weights is None else weights
    for b, inside in enumerate((confidence <= 0.5, confidence > 0.5)):
        totals = [row_weights[inside & (groups == g)].sum() for g in "abc"]
        size = sum(totals) ** 2 / sum(total**2 for total in totals)
        expected = exact_interval(np.average(correct[inside], weights=row_weights[inside]), size, level=0.95)
        assert (curve.low[b], curve.high[b]) == pytest.approx(tuple(map(float, expected)))


def test_groups_of_one_row_count_as_rows_in_the_whiskers():
    from calibkit.proportions import exact_interval

    rng = np.random.default_rng(3)
    confidence, correct = rng.random(80), rng.random(80) < 0.5
    plain = rows_in_groups(confidence, correct, None, 5)
    expected = curve_of(plain.table, "top-label", level=0.9)
    found = curve_of(plain.table, "top-label", level=0.9, rows=plain)
    np.testing.assert_allclose((found.low, found.high), (expected.low, expected.high))
    grouped = rows_in_groups(confidence, correct, rng.permutation(80), 5)
    found = curve_of(grouped.table, "top-label", level=0.9, rows=grouped)
    exact = exact_interval(plain.table.accuracy, plain.table.count, level=0.9)
    np.testing.assert_allclose((found.low, found.high), exact)


def test_whiskers_of_dependent_rows_cover_where_those_of_rows_do_not():
    rng, groups = np.random.default_rng(14), np.repeat(np.arange(100), 20)
    hits = {"groups": [], "rows": []}
    for _ in range(60):
        forecast = rng.uniform(0.3, 0.9, 100)
        happened = rng.random(100) < forecast
        rows = rows_in_groups(forecast[groups], happened[groups], groups, 5)
        for name, binned in (("groups", rows), ("rows", None)):
            curve = curve_of(rows.table, "top-label", level=0.95, rows=binned)
            inside = (curve.low <= curve.confidence) & (curve.confidence <= curve.high)
            hits[name] += list(inside[curve.count > 0])
    assert np.mean(hits["groups"]) > 0.92
    assert np.mean(hits["rows"]) < 0.5


def test_a_curve_without_a_level_has_no_interval():
    curve = reliability_curve([1, 0], [0.4, 0.2], confidence_level=None)
    assert curve.low is curve.high is None
    assert curve.to_dict()["low"] is None


def test_the_curve_is_plain_json_with_null_in_empty_bins():
    plain = json.loads(json.dumps(reliability_curve([1, 0, 1], [0.3, 0.9, 0.8], n_bins=3).to_dict(), allow_nan=False))
    assert set(plain) == {"view", "edges", "count", "confidence", "accuracy", "low", "high"}
    assert plain["view"] == "positive"
    assert plain["edges"] == [0, 1 / 3, 2 / 3, 1]
    assert plain["count"] == [1, 0, 2]
    assert plain["accuracy"] == [1, None, 0.5]
    assert plain["low"][1] is plain["high"][1] is None


def test_a_curve_of_classes_is_drawn_as_top_label():
    rng = np.random.default_rng(13)
    probs, labels = rng.dirichlet(np.ones(3), 100), rng.integers(0, 3, 100)
    classwise, top = (reliability_curve(labels, probs, view=view) for view in ("classwise", "top-label"))
    assert classwise.view == "top-label"
    np.testing.assert_array_equal(classwise.count, top.count)


def test_a_curve_of_a_table_keeps_its_numbers():
    table = bin_table(np.array([0.6, 0.7, 0.2]), np.array([1, 0, 0]), Binning(n_bins=2))
    curve = curve_of(table, "positive", level=0.95)
    np.testing.assert_array_equal(curve.accuracy, table.accuracy)
    np.testing.assert_array_equal(curve.edges, table.edges)


# Published files ------------------------------------------------------------------------------------------------------


def errors_of(predictions, **options):
    binning = Binning(n_bins=options.pop("n_bins", 15))
    _, binned = score_and_bin(predictions, view=options.get("view"), binning=binning)
    return {norm: calibration_error(binned.tables, norm=norm) for norm in NORMS}, binned


@pytest.mark.parametrize(
    ("name", "ece", "mce"),
    [
        ("cifar10_resnet110_ce", 0.0475035, 0.295799),
        ("cifar10_resnet50_ce", 0.0435432, 0.394259),
        ("cifar10_resnet50_flsd53", 0.0155128, 0.155708),
        ("cifar100_resnet-20", 0.103393, None),
        ("sst2_gpt2", 0.199953, None),
    ],
)
def test_published_top_label_errors(name, ece, mce):
    data = np.load(real_data(f"multiclass/{name}.npz"))
    found, _ = errors_of(Predictions.from_logits(data["labels"], data["logits"]))
    assert found["l1"] == pytest.approx(ece, rel=5e-6)
    if mce is not None:
        assert found["max"] == pytest.approx(mce, rel=5e-6)


def test_published_classwise_and_flattened_errors():
    data = np.load(real_data("multiclass/cifar10_resnet110_ce.npz"))
    predictions = Predictions.from_logits(data["labels"], data["logits"])
    assert errors_of(predictions, view="classwise")[0]["l1"] == pytest.approx(0.00982904, rel=5e-6)
    assert errors_of(predictions, view="flattened")[0]["l1"] == pytest.approx(0.009587, abs=5e-7)


def test_the_view_of_two_classes_changes_the_published_error():
    data = np.load(real_data("multiclass/sst2_gpt2.npz"))
    predictions = Predictions.from_logits(data["labels"], data["logits"])
    assert errors_of(predictions, view="positive")[0]["l1"] == pytest.approx(0.273, abs=5e-4)


def test_published_bin_counts_of_imagenet():
    data = np.load(real_data("top1/imagenet_tv_resnext101_32x8d.npz"))
    predictions = Predictions.from_top1(data["labels"], data["pred"], data["conf"])
    found, binned = errors_of(predictions, n_bins=20)
    assert found["l1"] == pytest.approx(0.08073629151433703, rel=1e-7)
    assert found["max"] == pytest.approx(0.1919470946617725, rel=1e-7)
    published = "3 37 118 248 355 452 573 687 799 894 1270 1206 1222 1202 1338 1479 1647 2043 3050 31377"
    np.testing.assert_array_equal(binned.tables[0].count, [int(count) for count in published.split()])
    assert errors_of(predictions)[0]["l1"] == pytest.approx(0.0806427, abs=5e-8)


def test_published_error_of_an_under_confident_network():
    data = np.load(real_data("top1/imagenet_timm_efficientnet_b3a.npz"))
    predictions = Predictions.from_top1(data["labels"], data["pred"], data["conf"])
    for n_bins in (10, 15):
        assert errors_of(predictions, n_bins=n_bins)[0]["l1"] == pytest.approx(0.123776, abs=5e-7)


def test_published_errors_of_event_forecasts():
    nba = np.load(real_data("binary/538_nba_games.npz"))
    assert expected_calibration_error(nba["outcome"], nba["prob"]) == pytest.approx(0.049189, abs=5e-7)
    folded = expected_calibration_error(nba["outcome"], nba["prob"], view="top-label")
    assert folded == pytest.approx(0.0354608, abs=5e-8)
    governors = np.load(real_data("binary/538_governors_elections.npz"))
    found = expected_calibration_error(governors["outcome"], governors["prob"])
    assert found == pytest.approx(0.0350745, abs=5e-8)
