"""Row scores of AURC and AUGRC: the jackknife by brute force, a textbook's delta method, and what is refused."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError
from calibkit.intervals import mean_interval
from calibkit.pairs import Pairs
from calibkit.pseudo_values import MIN_ANSWERS, augrc_rows, aurc_rows, too_few_answers, why_no_difference
from calibkit.scores import score_rows
from calibkit.selective import augrc, aurc, auroc
from calibkit.units import units_of
from tests.real_data import real_data


def answers(confidence, correct, weights=None):
    return Pairs(view="top-label", forecast=confidence, outcome=correct, weights=weights)


def sample(n, levels, seed):
    """Tied confidences where levels are few."""
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, levels + 1, n) / (levels + 1)
    return confidence, rng.random(n) < confidence


def left_out(kernel, confidence, correct):
    """N A - (n - 1) A_i, each A_i computed anew from the other rows, shifted to the mean A."""
    n = len(confidence)
    others = [kernel(answers(np.delete(confidence, i), np.delete(correct, i))) for i in range(n)]
    whole = kernel(answers(confidence, correct))
    rows = n * whole - (n - 1) * np.array(others)
    return rows - rows.mean() + whole


@pytest.mark.parametrize(("n", "levels"), [(2, 1), (2, 9), (7, 2), (25, 6), (40, 1000)])
def test_aurc_rows_are_the_jackknife(n, levels):
    confidence, correct = sample(n, levels, seed=n)
    np.testing.assert_allclose(
        aurc_rows(answers(confidence, correct)), left_out(aurc, confidence, correct), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize(("rows", "kernel"), [(aurc_rows, aurc), (augrc_rows, augrc)])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_their_mean_is_the_metric_and_a_weight_is_so_many_rows(rows, kernel, levels):
    confidence, correct = sample(200, levels, seed=1)
    weights = np.random.default_rng(2).integers(1, 5, 200).astype(float)
    often = np.repeat(np.arange(200), weights.astype(int))
    weighted = rows(answers(confidence, correct, weights))
    np.testing.assert_allclose(weighted[often], rows(answers(confidence[often], correct[often])), rtol=0, atol=1e-12)
    assert np.average(weighted, weights=weights) == pytest.approx(
        kernel(answers(confidence, correct, weights)), rel=1e-13
    )


def test_augrc_rows_are_near_the_jackknife_and_have_the_variance_that_auroc_and_error_rate_give():
    confidence, correct = sample(300, 10_000, seed=3)
    rows = augrc_rows(answers(confidence, correct))
    # The V-statistic's jackknife differs from its first-order terms by O(1/n).
    np.testing.assert_allclose(rows, left_out(augrc, confidence, correct), rtol=0, atol=3 / 300)
    # AUGRC = (1 - AUROC) r (1 - r) + r^2 / 2: the delta method on DeLong's components of AUROC and on the error rate r.
    wrong, area = ~correct, auroc(answers(confidence, correct))
    r = wrong.mean()
    higher = (confidence[correct][:, None] > confidence[wrong]).astype(float)
    higher += (confidence[correct][:, None] == confidence[wrong]) / 2
    of_area = np.empty(300)
    of_area[correct] = (higher.mean(axis=1) - area) / (1 - r)
    of_area[wrong] = (higher.mean(axis=0) - area) / r
    influence = -r * (1 - r) * of_area + ((1 - area) * (1 - 2 * r) + r) * (wrong - r)
    np.testing.assert_allclose(rows - rows.mean(), influence, rtol=0, atol=1e-12)


def test_the_interval_holds_the_true_area_as_often_as_it_says():
    # Forecasts uniform in [0, 1], right with that probability: the error rate above c is (1 - c) / 2, its mean 1/4.
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        confidence = rng.random(400)
        found = mean_interval(aurc_rows(answers(confidence, rng.random(400) < confidence)), level=0.95)
        held += found.low <= 0.25 <= found.high
    assert 0.93 <= held / 400 <= 0.975


def test_edges():
    for rows in (aurc_rows, augrc_rows):
        assert len(rows(answers(np.empty(0), np.empty(0, dtype=bool)))) == 0
    assert aurc_rows(answers(np.array([0.3]), np.array([False]))).tolist() == [1.0]
    assert aurc_rows(answers(np.array([0.3, 0.9]), np.array([True, True]))).tolist() == [0.0, 0.0]
    with pytest.raises(DataError, match=r"0\.5 is not a whole number"):
        aurc_rows(answers(np.array([0.3, 0.9]), np.array([True, False]), np.array([0.5, 1.0])))


def test_too_few_answers_of_a_kind_or_groups_have_no_interval():
    correct = np.arange(100) >= MIN_ANSWERS
    rows = units_of(100)
    assert too_few_answers(correct, rows) is None
    assert too_few_answers(correct | (np.arange(100) == 3), rows) == "29 wrong answers, fewer than 30"
    assert too_few_answers(np.arange(100) < 1, rows) == "1 right answer, fewer than 30"
    weights = np.where(np.arange(100) == 3, 5.0, 1.0)  # of 30 wrong answers one counts 5 times: 34^2 / 54
    few = too_few_answers(correct, units_of(100, weights=weights))
    assert few == "21.4 effective wrong answers, fewer than 30"
    assert too_few_answers(correct, units_of(100, weights=np.full(100, 3.0))) is None
    assert "10.0 effective groups" in too_few_answers(correct, units_of(100, groups=np.arange(100) // 10))
    assert too_few_answers(correct, units_of(100, groups=np.arange(100) // 2)) is None
    assert why_no_difference(0.0, correct, correct, rows) == "the rankings differ only among answers that are alike"
    assert why_no_difference(0.1, correct, correct, rows) is None


def models(n=600, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, k))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    noisy = logits + rng.normal(size=logits.shape)
    return {name: ck.Predictions.from_logits(labels, z) for name, z in (("clear", logits), ("noisy", noisy))}


def test_a_comparison_holds_aurc_of_each_model_and_its_paired_difference_before_and_after_scaling():
    pair = models()
    comparison = ck.compare(pair)
    for part in (comparison, comparison.scaled):
        assert all(m["aurc"].low < m["aurc"].value < m["aurc"].high for m in part.models.values())
        difference = part.differences["noisy"]["aurc"]
        assert difference.low > 0
        assert difference.p_value < 0.05
        assert difference.value == pytest.approx(
            part.models["noisy"]["aurc"].value - part.models["clear"]["aurc"].value
        )
    labels, logits = pair["clear"].labels, pair["clear"].logits
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert comparison.models["clear"]["aurc"].value == pytest.approx(
        ck.area_under_risk_coverage(labels, probs), rel=1e-9
    )
    rows = aurc_rows(answers(probs.max(axis=1), probs.argmax(axis=1) == labels))
    deviation = rows.std(ddof=1) / np.sqrt(len(labels))
    width = comparison.models["clear"]["aurc"].high - comparison.models["clear"]["aurc"].low
    assert width == pytest.approx(2 * 1.964 * deviation, rel=0.1)
    text = str(comparison)
    assert text.count("AURC") == 3  # two tables of models, one of differences
    assert "aurc" in comparison.to_dict()["scaled"]["differences"]["noisy"]


def test_models_that_rank_alike_differ_by_exactly_nothing():
    labels = np.random.default_rng(0).integers(0, 2, 600)
    ranked = np.random.default_rng(1).random(600)
    sure, unsure = (ck.Predictions.from_probs(labels, 1 / (1 + np.exp(-z * ranked))) for z in (5.0, 1.0))
    difference = ck.compare({"sure": sure, "unsure": unsure}).differences["unsure"]["aurc"]
    assert (difference.value, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_all_pairs_are_adjusted_and_unpaired_differences_are_wider():
    pair = models()
    three = ck.compare({**pair, "third": models(seed=0)["noisy"].with_name("third")}, pairs="all")
    found = three.differences["noisy"]["aurc"]
    assert found.adjusted_p_value >= found.p_value
    apart = ck.compare({"clear": pair["clear"], "noisy": models(seed=9)["noisy"]}, paired=False).differences["noisy"]
    assert apart["aurc"].high - apart["aurc"].low > found.high - found.low


def test_few_wrong_answers_and_weights_that_are_no_counts_are_explained():
    assert any("interval for the difference of aurc" in note for note in ck.compare(models(n=30)).notes)
    labels, probs = np.zeros(100, dtype=int), np.tile([0.6, 0.4], (100, 1))
    shares = ck.Predictions.from_probs(labels, probs, weights=np.full(100, 0.5))
    comparison = ck.compare({"a": shares, "b": shares})
    assert "aurc" not in comparison.differences["b"]
    assert "whole number" in comparison.models["a"].absent["aurc"]


def test_the_standard_table_has_none_and_all_has_the_interval():
    clear = models()["clear"]
    assert "aurc" not in ck.evaluate(clear).metrics
    found = ck.evaluate(clear, metrics="all")
    assert found["aurc"].low < found["aurc"].value < found["aurc"].high
    assert found["augrc"].low < found["augrc"].value < found["augrc"].high
    assert found["excess_aurc"].low is None  # it was not shown to cover
    assert ck.evaluate(clear, metrics="all", confidence_level=None)["aurc"].low is None


def test_the_published_pair_s_interval_is_that_of_resampled_rows():
    path = real_data("multiclass/cifar10_resnet50_ce.npz")
    evaluation, predictions = ck.evaluate(ck.load(path), metrics="all"), ck.load(path)
    scores = score_rows(predictions)
    confidence, correct, rng = scores.confidence, scores.correct, np.random.default_rng(0)
    drawn = (rng.integers(len(correct), size=len(correct)) for _ in range(300))
    spread = np.std([aurc(answers(confidence[rows], correct[rows])) for rows in drawn])
    found = evaluation["aurc"]
    assert (found.high - found.low) / 3.92 == pytest.approx(spread, rel=0.15)
