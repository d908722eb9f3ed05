"""Which forecasts and outcomes a view bins: against loops over classes, in any number of threads, and its refusals."""

import numpy as np
import pytest

from calibkit.binning import Binning, BinTable, bin_table
from calibkit.calibration_error import calibration_error
from calibkit.errors import OptionError, ShapeError
from calibkit.predictions import Predictions
from calibkit.views import VIEWS, resolve_view, score_and_bin

BINNINGS = [
    Binning(n_bins=7),
    Binning(n_bins=7, edges="left"),
    Binning(n_bins=4, strategy="quantile"),
    Binning(n_bins=4, strategy="quantile", edges="left"),
]


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def sample(n=120, k=4, seed=0):
    rng = np.random.default_rng(seed)
    probs = softmax(rng.normal(scale=2, size=(n, k)))
    labels = (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return labels, probs, rng.choice([0.5, 1.0, 2.5], n)


def assert_same(found: BinTable, expected: BinTable) -> None:
    for name in ("edges", "count", "weight", "weight_squared", "confidence_sum", "outcome_sum"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("binning", BINNINGS)
def test_every_view_of_a_matrix_is_a_table_of_its_pairs(binning, weighted):
    labels, probs, weights = sample()
    weights = weights if weighted else None
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    binned = {v: score_and_bin(predictions, view=v, binning=binning)[1] for v in VIEWS if v != "positive"}
    top = bin_table(probs.max(axis=1), probs.argmax(axis=1) == labels, binning, weights=weights)
    assert_same(binned["top-label"].tables[0], top)
    assert_same(binned["classwise"].reliability, top)
    assert binned["classwise"].reliability_view == "top-label"
    for c, table in enumerate(binned["classwise"].tables):
        assert_same(table, bin_table(probs[:, c].copy(), labels == c, binning, weights=weights))
    every = bin_table(
        probs.ravel(),
        (labels[:, None] == np.arange(4)).ravel(),
        binning,
        weights=None if weights is None else np.repeat(weights, 4),
    )
    assert_same(binned["flattened"].tables[0], every)
    assert_same(binned["flattened"].reliability, every)
    # Tables of the classes are work: there where they were asked for, or where the view is made of them.
    assert binned["flattened"].by_class is None
    asked = score_and_bin(predictions, view="flattened", binning=binning, by_class=True)[1]
    for table, own in zip(asked.by_class, binned["classwise"].tables, strict=True):
        assert_same(table, own)


@pytest.mark.parametrize("kind", ["probs", "logits"])
def test_the_positive_view_is_column_one_and_the_top_label_view_folds(kind):
    labels, probs, _ = sample(k=2)
    logits = np.log(probs)
    two = {
        "probs": Predictions.from_probs(labels, probs),
        "logits": Predictions.from_logits(labels, logits),
    }[kind]
    one = {
        "probs": Predictions.from_probs(labels, probs[:, 1]),
        "logits": Predictions.from_logits(labels, logits[:, 1] - logits[:, 0]),
    }[kind]
    expected = bin_table(probs[:, 1].copy(), labels == 1, Binning())
    folded = bin_table(probs.max(axis=1), probs.argmax(axis=1) == labels, Binning())
    for predictions in (one, two):
        _, positive = score_and_bin(predictions, view="positive", binning=Binning())
        assert_same(positive.tables[0], expected)
        np.testing.assert_allclose(positive.forecast, probs[:, 1], rtol=1e-12)
        np.testing.assert_array_equal(positive.outcome, labels == 1)
        assert_same(score_and_bin(predictions, view="top-label", binning=Binning())[1].tables[0], folded)
        classwise = score_and_bin(predictions, view="classwise", binning=Binning())[1].tables
        assert_same(classwise[1], expected)
        assert_same(classwise[0], bin_table(probs[:, 0].copy(), labels == 0, Binning()))


@pytest.mark.parametrize("n_bins", [1, 15, 600])
def test_many_rows_in_few_bins_are_summed_like_few_rows_in_each(n_bins):
    rng = np.random.default_rng(5)
    probs = rng.beta(8, 1, size=70_001)
    labels = (rng.random(70_001) < probs).astype(int)
    _, binned = score_and_bin(Predictions.from_probs(labels, probs), view="positive", binning=Binning(n_bins=n_bins))
    bins = np.searchsorted(np.arange(1, n_bins) / n_bins, probs)
    table = binned.tables[0]
    np.testing.assert_array_equal(table.count, np.bincount(bins, minlength=n_bins))
    np.testing.assert_array_equal(table.outcome_sum, np.bincount(bins, labels, n_bins))
    np.testing.assert_array_equal(table.weight_squared, table.count)
    np.testing.assert_allclose(table.confidence_sum, np.bincount(bins, probs, n_bins), rtol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_two_columns_are_read_once(monkeypatch, view):
    from calibkit.scores.blocks import Layout

    labels, probs, _ = sample(n=3_000, k=2)
    read, load = [], Layout.load
    monkeypatch.setattr(Layout, "load", lambda self, rows, scratch: read.append(len(rows)) or load(self, rows, scratch))
    score_and_bin(Predictions.from_logits(labels, np.log(probs)), view=view, binning=Binning(), threads=1)
    # What a visitor is shown is loaded again while it is in cache.
    assert sum(read) == 3_000 * (1 if view in ("top-label", "positive") else 2)


def test_a_temperature_is_applied_before_the_bins():
    labels, probs, _ = sample()
    logits = np.log(probs)
    cooled = softmax(logits / 2.5)
    _, binned = score_and_bin(
        Predictions.from_logits(labels, logits), view="classwise", binning=Binning(), temperature=2.5
    )
    for c, table in enumerate(binned.tables):
        assert_same(table, bin_table(cooled[:, c].copy(), labels == c, Binning()))


@pytest.mark.parametrize("view", ["classwise", "flattened"])
def test_threads_change_no_bit(view):
    labels, probs, _ = sample(n=70_000, k=10, seed=2)
    predictions = Predictions.from_probs(labels, probs)
    one, many = (score_and_bin(predictions, view=view, binning=Binning(), threads=threads)[1] for threads in (1, 4))
    for ours, theirs in zip(one.tables, many.tables, strict=True):
        np.testing.assert_array_equal(ours.confidence_sum, theirs.confidence_sum)
        np.testing.assert_array_equal(ours.outcome_sum, theirs.outcome_sum)
        assert ours.count.sum() == (70_000 if view == "classwise" else 700_000)


@pytest.mark.parametrize(("view", "kept"), [("top-label", True), ("positive", True), ("classwise", False)])
def test_rows_are_kept_where_each_has_one_pair(view, kept):
    labels, probs, _ = sample(k=2)
    groups = np.arange(120) % 17
    predictions = Predictions.from_probs(labels, probs, groups=groups)
    _, binned = score_and_bin(predictions, view=view, binning=Binning())
    assert (binned.rows is not None) is kept
    if binned.rows is not None:
        np.testing.assert_array_equal(np.bincount(binned.rows.index, minlength=15), binned.tables[0].count)
        assert binned.rows.gap.sum() == pytest.approx((binned.forecast - binned.outcome).sum())
        np.testing.assert_array_equal(binned.rows.groups, groups)
    assert score_and_bin(predictions, view=view, binning=Binning(), keep_rows=False)[1].rows is None


def test_the_view_follows_the_input():
    labels, probs, _ = sample(k=2)
    assert resolve_view(Predictions.from_probs(labels, probs)) == "top-label"
    assert resolve_view(Predictions.from_probs(labels, probs[:, 1])) == "positive"
    assert resolve_view(Predictions.from_logits(labels, np.log(probs[:, 1]))) == "positive"
    assert resolve_view(Predictions.from_top1([1, 2], [1, 0], [0.8, 0.6])) == "top-label"
    assert resolve_view(Predictions.from_correct([True, False], [0.8, 0.6])) == "top-label"


def test_what_a_view_needs_and_the_input_lacks_is_said():
    labels, probs, _ = sample(k=3)
    three = Predictions.from_probs(labels, probs, name="net")
    with pytest.raises(ShapeError, match=r"net: .*about one event, and there are 3 classes.*top-label"):
        resolve_view(three, "positive")
    for view in ("positive", "classwise", "flattened"):
        for predictions in (
            Predictions.from_top1([1, 0], [1, 0], [0.8, 0.6], n_classes=2),
            Predictions.from_correct([True, False], [0.8, 0.6]),
        ):
            with pytest.raises(ShapeError, match="needs the probability of every class"):
                resolve_view(predictions, view)
    with pytest.raises(OptionError, match=r"view='toplabel'.*'top-label'"):
        resolve_view(three, "toplabel")


def test_classes_that_never_occur_count_with_frequency_zero_and_are_noted():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    _, binned = score_and_bin(Predictions.from_probs([0, 1], probs), view="classwise", binning=Binning())
    assert binned.notes == ("1 of 3 classes never occur (2): their frequency is 0.",)
    # Class 0: .3 and .1 of two rows; class 1: .2 and .2; class 2: .1 and .1.
    assert calibration_error(binned.tables, norm="l1") == pytest.approx((0.2 + 0.2 + 0.1) / 3)


def test_quantile_bins_that_ties_have_merged_are_noted():
    labels, confidence = [1, 0, 1, 1], [0.6, 0.6, 0.6, 0.9]
    ties = Predictions.from_probs(labels, confidence)
    quantile = Binning(n_bins=3, strategy="quantile")
    assert score_and_bin(ties, view="positive", binning=quantile)[1].notes == (
        "Ties are never split: 2 of 3 quantile bins remain.",
    )
    assert score_and_bin(ties, view="classwise", binning=quantile)[1].notes == (
        "Ties are never split: 1 of 3 quantile bins remain in one of the classes.",
    )
    assert score_and_bin(ties, view="positive", binning=Binning(n_bins=3))[1].notes == ()


@pytest.mark.parametrize("view", VIEWS)
def test_no_rows_make_empty_tables(view):
    predictions = Predictions.from_probs(np.empty(0, int), np.empty((0, 2)))
    for binning in BINNINGS:
        scores, binned = score_and_bin(predictions, view=view, binning=binning)
        assert len(scores.confidence) == 0
        assert all(table.count.sum() == 0 for table in binned.tables)
        assert np.isnan(calibration_error(binned.tables, norm="l1"))
