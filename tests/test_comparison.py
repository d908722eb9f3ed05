"""compare: paired differences, before and after scaling, with published files as oracle."""

import json
import math

import numpy as np
import pytest
from scipy import stats

import calibkit as ck
from calibkit.intervals import holm
from calibkit.results import Difference
from calibkit.score_split import ScoreSplit
from tests.real_data import real_data


def pair(n=600, k=4, seed=1):
    """Labels, logits that are right, and logits that are three times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 1.5
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probs.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
    return labels, logits, 3 * logits


LABELS, TRUE, SHARP = pair()
MODELS = {"sharp": ck.Predictions.from_logits(LABELS, SHARP), "true": ck.Predictions.from_logits(LABELS, TRUE)}


def nll(logits):
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), LABELS]


def test_means_have_paired_t_intervals():
    difference = ck.compare(MODELS).differences["true"]["nll"]
    rows = nll(TRUE) - nll(SHARP)
    interval = stats.ttest_1samp(rows, 0).confidence_interval(0.95)
    assert difference.value == pytest.approx(rows.mean(), rel=1e-12)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert difference.p_value == pytest.approx(stats.ttest_1samp(rows, 0).pvalue, rel=1e-6)


def test_a_model_against_itself_differs_by_exactly_nothing():
    comparison = ck.compare({"A": MODELS["sharp"], "B": MODELS["sharp"]})
    for differences in (comparison.differences, comparison.scaled.differences):
        for metric, difference in differences["B"].items():
            assert difference.value == 0.0
            if metric not in ("mce", "rmsce"):
                assert (difference.low, difference.high, difference.p_value) == (0.0, 0.0, 1.0)


def test_swapping_the_reference_turns_the_signs():
    one, other = ck.compare(MODELS), ck.compare(MODELS, reference="true")
    for metric, difference in one.differences["true"].items():
        turned = other.differences["sharp"][metric]
        assert turned.value == pytest.approx(-difference.value, abs=1e-15)
        if difference.low is not None:
            assert (turned.low, turned.high) == pytest.approx((-difference.high, -difference.low), abs=1e-12)
            assert turned.p_value == pytest.approx(difference.p_value, abs=1e-12)


def test_scaling_undoes_a_temperature():
    comparison = ck.compare(MODELS)
    ratio = comparison.temperature["sharp"].value / comparison.temperature["true"].value
    assert ratio == pytest.approx(3, rel=1e-5)
    assert comparison.scaled.differences["true"]["nll"].value == pytest.approx(0, abs=1e-6)
    assert "cross-fitted" in comparison.temperature["sharp"].source
    assert any("cross-fitted over 5 folds of the same rows" in note for note in comparison.notes)
    few = {name: ck.Predictions.from_logits(LABELS, m.logits, groups=np.arange(600) % 3) for name, m in MODELS.items()}
    notes = ck.compare(few).notes
    assert any("over 3 folds" in note for note in notes)
    assert not any("over 5 folds" in note for note in notes)


def test_calibration_rows_fix_the_temperature():
    labels, logits, sharp = pair(seed=2)
    rows = {"sharp": ck.Predictions.from_logits(labels, sharp), "true": ck.Predictions.from_logits(labels, logits)}
    comparison = ck.compare(MODELS, calibrate_on=rows)
    assert comparison.temperature["sharp"].value == pytest.approx(ck.fit_temperature(rows["sharp"]).value)
    assert "fitted on 600 calibration rows" in comparison.temperature["sharp"].source
    scaled = ck.evaluate(ck.Predictions.from_logits(LABELS, SHARP / comparison.temperature["sharp"].value))
    assert comparison.scaled.models["sharp"]["nll"].value == pytest.approx(scaled["nll"].value, rel=1e-12)
    assert comparison.scaled.models["sharp"]["ece"].value == pytest.approx(scaled["ece"].value, rel=1e-9)


def test_the_difference_of_nll_is_split_row_by_row():
    labels, logits, sharp = pair(seed=2)
    rows = {"sharp": ck.Predictions.from_logits(labels, sharp), "true": ck.Predictions.from_logits(labels, logits)}
    comparison = ck.compare(MODELS, calibrate_on=rows)
    split, scales = comparison.scaled.nll_split["true"], comparison.temperature
    removed = [nll(z) - nll(z / scales[name].value) for name, z in (("true", TRUE), ("sharp", SHARP))]
    interval = stats.ttest_1samp(removed[0] - removed[1], 0).confidence_interval(0.95)
    assert (split.temperature.low, split.temperature.high) == pytest.approx((interval.low, interval.high), rel=1e-7)
    assert split.total.value == pytest.approx(split.temperature.value + split.rest.value, abs=1e-14)
    # The rest is nothing, so that a share of the total means nothing.
    assert split.rest.value == pytest.approx(0, abs=1e-3)
    plain = comparison.to_dict()["scaled"]["nll_split"]["true"]
    assert plain["temperature"]["value"] == split.temperature.value
    share = split.temperature_share(level=0.95)
    assert (share is None) == (split.rest.value > 0)


def test_a_share_is_told_only_of_parts_with_the_sign_of_a_significant_total():
    def split(total, temperature, rest, p_value=1e-6):
        parts = {"total": total, "temperature": temperature, "rest": rest}
        return ScoreSplit(**{name: Difference(value=v, p_value=p_value) for name, v in parts.items()})

    assert split(0.3, 0.2, 0.1).temperature_share(level=0.95) == pytest.approx(2 / 3)
    assert split(0.1, 0.2, -0.1).temperature_share(level=0.95) is None
    assert split(0.3, 0.2, 0.1, p_value=0.2).temperature_share(level=0.95) is None


def test_an_infinite_log_score_is_not_split():
    impossible = SHARP.copy()
    impossible[0, LABELS[0]] = -np.inf
    models = {"sharp": ck.Predictions.from_logits(LABELS, impossible), "true": MODELS["true"]}
    labels, logits, sharp = pair(seed=2)
    rows = {"sharp": ck.Predictions.from_logits(labels, sharp), "true": ck.Predictions.from_logits(labels, logits)}
    comparison = ck.compare(models, calibrate_on=rows)
    assert comparison.scaled.nll_split == {}
    assert "NLL difference, split" not in str(comparison)


def test_few_calibration_rows_are_noted():
    small = {name: model.take(np.arange(50)) for name, model in MODELS.items()}
    tested = {name: model.take(np.arange(50, 600)) for name, model in MODELS.items()}
    notes = ck.compare(tested, calibrate_on=small).notes
    assert any("50 calibration rows for 550 test rows" in note for note in notes)


def test_calibrating_on_the_evaluated_rows_is_refused():
    with pytest.raises(ck.DataError, match="calibration rows are the evaluated rows"):
        ck.compare(MODELS, calibrate_on=MODELS)
    with pytest.raises(ck.OptionError, match="calibrate_on names sharp, but the models are sharp, true"):
        ck.compare(MODELS, calibrate_on={"sharp": MODELS["true"]})


@pytest.mark.parametrize("change", ["provenance", "order", "ids", "part", "more"])
def test_the_evaluated_rows_are_known_again(change):
    model = MODELS["sharp"]
    order = np.random.default_rng(0).permutation(len(model))
    rows = {
        "provenance": ck.Predictions.from_logits(LABELS, SHARP, provenance={"epoch": 3}),
        "order": model.take(order),
        "ids": ck.Predictions.from_logits(LABELS, SHARP, ids=np.arange(len(LABELS))),
        "part": model.take(order[:200]),
        "more": ck.Predictions.from_logits(np.tile(LABELS, 2), np.concatenate([SHARP, SHARP + 0.01])),
    }[change]
    with pytest.raises(ck.DataError, match="calibration rows are the evaluated rows"):
        ck.compare({"sharp": model}, calibrate_on={"sharp": rows})


@pytest.mark.parametrize("options", [{"view": "classwise"}, {"view": "flattened"}, {"binning": "quantile"}])
def test_a_model_against_itself_has_no_difference_in_any_view(options):
    difference = ck.compare({"A": MODELS["sharp"], "B": MODELS["sharp"]}, **options).differences["B"]["ece"]
    assert (difference.value, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_verdict_of_an_event_forecast_does_not_ask_for_a_temperature():
    rng = np.random.default_rng(5)
    probs = rng.uniform(0.05, 0.2, 3000)
    model = ck.Predictions.from_probs(rng.random(3000) < probs / 4, probs, name="rain")
    assert ck.compare({"rain": model}).models["rain"].verdict == ck.evaluate(model).verdict
    assert ck.evaluate(model).verdict.startswith("P(y = 1) is too high on average")


def test_without_intervals_temperatures_have_none():
    assert ck.compare(MODELS, confidence_level=None).temperature["sharp"].low is None


def test_an_unknown_reference_is_refused_with_the_names():
    with pytest.raises(ck.OptionError, match="true"):
        ck.compare(MODELS, reference="tru")
    with pytest.raises(ck.OptionError, match="nothing to compare"):
        ck.compare({})


def test_one_model_is_shown_before_and_after():
    comparison = ck.compare({"sharp": MODELS["sharp"]})
    assert comparison.differences == {}
    assert comparison.scaled.models["sharp"]["ece"].value < comparison.models["sharp"]["ece"].value
    assert comparison.verdict == (f"sharp: {comparison.models['sharp'].verdict}",)
    assert comparison.verdict[0].startswith("sharp: Over-confident: ECE")


def test_top_1_files_are_compared_without_scaling():
    models = {
        name: ck.Predictions.from_top1(LABELS, logits.argmax(1), np.exp(-nll(logits)).clip(0.25, 1))
        for name, logits in (("sharp", SHARP), ("true", TRUE))
    }
    comparison = ck.compare(models)
    assert comparison.scaled is None
    assert comparison.temperature == {}
    assert any("No temperature scaling" in note for note in comparison.notes)
    assert "nll" not in comparison.differences["true"]


def test_different_views_must_be_said():
    probs = np.array([0.2, 0.7, 0.9, 0.4])
    labels = [0, 1, 1, 0]
    models = {
        "one": ck.Predictions.from_probs(labels, probs),
        "two": ck.Predictions.from_probs(labels, np.stack([1 - probs, probs], 1)),
    }
    with pytest.raises(ck.OptionError, match="view="):
        ck.compare(models)
    assert ck.compare(models, view="positive").differences["two"]["ece"].value == pytest.approx(0, abs=1e-15)


def test_an_infinite_score_makes_an_infinite_difference_without_interval():
    labels = np.array([0, 1, 0, 1, 1, 0])
    a = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55], [0.8, 0.2]])
    b = a.copy()
    b[0] = [0.0, 1.0]
    comparison = ck.compare({"a": ck.Predictions.from_probs(labels, a), "b": ck.Predictions.from_probs(labels, b)})
    difference = comparison.differences["b"]["nll"]
    assert difference.value == math.inf
    assert difference.low is None
    assert comparison.scaled is None
    assert any("p = 0" in note or "inf" in note for note in comparison.notes)
    assert json.loads(json.dumps(comparison.to_dict()))["differences"]["b"]["nll"]["value"] == "inf"


def test_more_than_two_models_show_adjusted_p_values():
    models = MODELS | {"flat": ck.Predictions.from_logits(LABELS, 0.8 * TRUE)}
    comparison = ck.compare(models, reference="true")
    for metric in ("nll", "ece", "brier"):
        p = {name: comparison.differences[name][metric] for name in ("sharp", "flat")}
        low, high = sorted(p.values(), key=lambda d: d.p_value)
        assert low.adjusted_p_value == pytest.approx(min(1, 2 * low.p_value))
        assert high.adjusted_p_value == pytest.approx(max(low.adjusted_p_value, high.p_value))
    assert any("Holm" in note for note in comparison.notes)
    assert any(line.startswith("flat against true: ") for line in comparison.verdict)
    assert ck.compare(MODELS).differences["true"]["nll"].adjusted_p_value is None


def test_every_pair_is_compared_when_asked_for():
    models = MODELS | {"flat": ck.Predictions.from_logits(LABELS, 0.5 * TRUE)}
    by_reference, every = ck.compare(models), ck.compare(models, pairs="all")
    assert by_reference.between == {}
    assert list(every.between) == ["true"]
    assert list(every.between["true"]) == ["flat"]
    alone = ck.compare(models, reference="true").differences["flat"]
    for metric, difference in every.between["true"]["flat"].items():
        for end in ("value", "low", "high", "p_value"):
            assert getattr(difference, end) == getattr(alone[metric], end)
    p_values = [
        *(every.differences[name]["nll"] for name in ("true", "flat")),
        every.between["true"]["flat"]["nll"],
    ]
    adjusted = holm([p.p_value for p in p_values])
    assert [p.adjusted_p_value for p in p_values] == pytest.approx(list(adjusted))
    assert any(line.startswith("flat against true: ") for line in every.verdict)
    assert set(every.scaled.between["true"]["flat"]) == set(alone)
    shown = str(every)
    assert shown.count("Difference: ") == 3
    assert "Difference: flat - true" in shown
    result = every.to_dict()
    assert set(result["between"]["true"]["flat"]["ece"]) == {"value", "low", "high", "p_value", "adjusted_p_value"}


def test_different_test_sets_are_compared_only_when_asked_for():
    half = len(LABELS) // 2
    other = {"sharp": MODELS["sharp"].take(np.arange(half)), "true": MODELS["true"].take(np.arange(half, 2 * half - 7))}
    with pytest.raises(ck.DataError, match="paired=False"):
        ck.compare(other)
    found = ck.compare(other, paired=False)
    alone = {name: ck.evaluate(model) for name, model in other.items()}
    for metric in ("nll", "ece", "accuracy", "gap"):
        difference = found.differences["true"][metric]
        assert difference.value == pytest.approx(alone["true"][metric].value - alone["sharp"][metric].value)
        assert difference.low < difference.value < difference.high
    assert found.paired is False
    assert found.to_dict()["paired"] is False
    assert found.scaled.nll_split == {}
    assert found.verdict[-2].startswith("Unpaired: ")
    assert any(note.startswith("Unpaired: ") for note in found.notes)
    shown = " ".join(str(found).split())
    assert "on different rows (unpaired)" in shown
    assert "Difference, unpaired: true - sharp" in shown
    assert f"true: {half - 7:,} rows" in shown


def test_an_unpaired_comparison_is_less_certain_and_says_that_a_paired_one_would_do():
    ids = np.arange(len(LABELS))
    models = {
        name: ck.Predictions.from_logits(LABELS, scale * TRUE, ids=ids) for name, scale in (("sharp", 2), ("true", 1))
    }
    paired, unpaired = ck.compare(models), ck.compare(models, paired=False)
    for metric in ("nll", "brier", "gap"):  # ECE's paired interval allows for signs of gaps that are luck
        widths = [c.differences["true"][metric].high - c.differences["true"][metric].low for c in (paired, unpaired)]
        assert widths[0] < widths[1]
    assert any("All models hold the same ids" in note for note in unpaired.notes)
    other = {**models, "true": ck.Predictions.from_logits(LABELS % 2, TRUE[:, :2])}
    with pytest.raises(ck.DataError, match="classes"):
        ck.compare(other, paired=False)


def test_a_margin_names_what_is_equivalent_within_it():
    near = MODELS | {"true": ck.Predictions.from_logits(LABELS, 2.999 * TRUE)}
    said = "\n".join(ck.compare(near, margin=0.05).verdict)
    assert "Equivalent within 0.05000 in log score" in said
    assert "Equivalent" not in "\n".join(ck.compare(near).verdict)
    assert "Equivalent" not in "\n".join(ck.compare(MODELS, margin=1e-6).verdict)
    for margin in (0, -0.1, np.nan, "wide"):
        with pytest.raises(ck.OptionError, match="margin"):
            ck.compare(near, margin=margin)
    with pytest.raises(ck.OptionError, match="pairs"):
        ck.compare(near, pairs="some")


def test_the_difference_of_ece_in_a_view_of_many_pairs_has_no_interval_but_a_reason():
    found = ck.compare(MODELS, view="classwise")
    assert found.differences["true"]["ece"].low is None
    assert any("difference of ece: its coverage has not been shown for the classwise view" in n for n in found.notes)


def test_without_intervals_there_are_values_and_no_words():
    comparison = ck.compare(MODELS, confidence_level=None)
    full = ck.compare(MODELS)
    assert comparison.verdict == ()
    for metric, difference in comparison.differences["true"].items():
        assert difference.value == pytest.approx(full.differences["true"][metric].value, abs=1e-14)
        assert difference.low is None


def test_json_keeps_the_contract():
    result = ck.compare(MODELS).to_dict()
    assert result["schema"] == "calibkit.comparison/1"
    assert set(result) == {
        *("schema", "reference", "paired", "models", "differences", "between", "temperature", "scaled"),
        *("verdict", "notes"),
    }
    assert result["reference"] == "sharp"
    assert set(result["differences"]) == {"true"}
    assert set(result["differences"]["true"]["ece"]) == {"value", "low", "high", "p_value"}
    assert {"value", "source"} <= set(result["temperature"]["sharp"])
    assert set(result["scaled"]) == {"models", "differences", "between", "nll_split"}
    json.dumps(result, allow_nan=False)


@pytest.fixture(scope="module")
def published():
    paths = {
        "ce": real_data("multiclass/cifar10_resnet50_ce.npz"),
        "flsd": real_data("multiclass/cifar10_resnet50_flsd53.npz"),
    }
    return ck.compare(
        {name: ck.load(path) for name, path in paths.items()},
        calibrate_on={name: ck.load(path, split="val") for name, path in paths.items()},
    )


def test_the_published_pair_as_saved(published):
    ce, flsd = published.models["ce"]["ece"], published.models["flsd"]["ece"]
    assert (ce.value, ce.low, ce.high) == pytest.approx((0.0435, 0.0389, 0.0474), abs=6e-5)
    assert (flsd.value, flsd.low, flsd.high) == pytest.approx((0.0155, 0.0103, 0.0187), abs=6e-5)
    difference = published.differences["flsd"]["ece"]
    assert (-difference.high, -difference.low) == pytest.approx((0.0238, 0.0335), abs=6e-5)
    assert difference.significant(0.95)
    assert -published.differences["flsd"]["nll"].value == pytest.approx(0.2366, abs=6e-5)


def test_the_published_pair_after_scaling(published):
    assert published.temperature["ce"].value == pytest.approx(2.5, abs=0.01)
    assert published.temperature["flsd"].value == pytest.approx(1.06, abs=0.01)
    ece, nll = (published.scaled.differences["flsd"][metric] for metric in ("ece", "nll"))
    assert abs(ece.value) == pytest.approx(0.0040, abs=6e-5)
    assert not ece.significant(0.95)
    assert -nll.value == pytest.approx(0.0300, abs=6e-5)
    assert (-nll.high, -nll.low) == pytest.approx((0.0179, 0.0420), abs=6e-5)
    assert nll.significant(0.95)


def test_the_published_pair_s_log_score_is_split(published):
    split = published.scaled.nll_split["flsd"]
    part = split.temperature
    assert (-part.value, -part.high, -part.low) == pytest.approx((0.2066, 0.1833, 0.2300), abs=6e-5)
    assert -split.rest.value == pytest.approx(0.0300, abs=6e-5)
    assert split.total.value == pytest.approx(part.value + split.rest.value, abs=1e-12)
    assert split.temperature_share(level=0.95) == pytest.approx(0.873, abs=5e-4)
    said = " ".join(str(published).split())
    assert "[-0.2300, -0.1833] that one temperature removes, and -0.02998" in said
    assert "(87% and 13%)" in said


def test_the_published_pair_in_words(published):
    words = "\n".join(published.verdict)
    assert "ce: Over-confident: ECE 0.03886 to 0.04745, T* 2.498" in words
    assert "flsd is better calibrated as saved; after temperature scaling no difference in ECE was detected" in words
    assert "After scaling flsd keeps a better log score by 0.02998" in words
    assert "one seed each" in words
