"""Runs and rows that are crossed: an analysis of variance by hand, limits that are known, and what is refused."""

import json
import re

import numpy as np
import pytest
from scipy import stats

import calibkit as ck
from calibkit.crossed import crossed_mean
from calibkit.errors import DataError, InputFormatError, OptionError
from calibkit.intervals import mean_interval
from calibkit.render import markdown

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=2, size=(500, 3))
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = (PROBS.cumsum(axis=1) < RNG.random((500, 1))).sum(axis=1)


def run(seed, scale=1.0, luck=0.1, **keys):
    rng = np.random.default_rng(seed)
    noisy = LOGITS + rng.normal(scale=0.5, size=LOGITS.shape)
    return ck.Predictions.from_logits(LABELS, scale * (1 + luck * rng.normal()) * noisy, **keys)


RECIPES = {"sharp": [run(s, 3.0) for s in range(4)], "true": [run(s + 10) for s in range(5)]}


def scores(n_runs, n, seed, *, luck=0.3):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=n)
    return [rows + luck * rng.normal() + 0.5 * rng.normal(size=n) for _ in range(n_runs)]


def test_the_variances_are_those_of_a_two_way_analysis_of_variance():
    values = np.array(scores(4, 60, seed=1))  # runs x rows
    s, n = values.shape
    residual = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    ms_runs = n * values.mean(axis=1).var(ddof=1)
    ms_rows = s * values.mean(axis=0).var(ddof=1)
    ms_both = (residual**2).sum() / ((s - 1) * (n - 1))
    found = crossed_mean(list(values), level=0.95)
    assert found.value == pytest.approx(values.mean())
    # Expected mean squares: MS_runs = both + n seeds, so that (MS_runs - MS_both) / (n s) is what seeds alone do.
    assert found.between_seeds**2 == pytest.approx(max(ms_runs - ms_both, 0) / (n * s))
    assert found.within_test_set**2 == pytest.approx(ms_rows / (n * s))
    reach = np.hypot(stats.t.ppf(0.975, s - 1) * found.between_seeds, stats.t.ppf(0.975, n - 1) * found.within_test_set)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    assert found.p_value is None


def test_runs_that_agree_leave_the_interval_of_the_rows():
    rows = np.random.default_rng(2).normal(size=200)
    found, alone = crossed_mean([rows] * 5, level=0.9), mean_interval(rows, level=0.9)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert (found.between_seeds, found.rests_on) == (0.0, "test rows")


def test_rows_that_agree_leave_student_s_interval_of_the_seeds():
    means = np.array([0.1, 0.25, 0.3, 0.2])
    found = crossed_mean([np.full(300, mean) for mean in means], level=0.95)
    reach = stats.t.ppf(0.975, 3) * means.std(ddof=1) / 2
    assert (found.low, found.high) == pytest.approx((means.mean() - reach, means.mean() + reach))
    assert found.rests_on == "training luck"


def test_more_runs_of_the_same_rows_do_not_bring_the_error_of_the_rows_to_0():
    few, many = (crossed_mean(scores(k, 400, seed=3), level=0.95) for k in (3, 60))
    assert many.between_seeds < few.between_seeds
    assert many.within_test_set == pytest.approx(1 / np.sqrt(400), rel=0.1)
    assert many.high - many.low > 2 * 1.9 / np.sqrt(400)


def test_of_two_recipes_seeds_add_and_rows_are_paired():
    one, other = scores(4, 100, seed=4), scores(5, 100, seed=5)
    found, back = crossed_mean(one, other, level=0.95), crossed_mean(other, one, level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert found.p_value == pytest.approx(back.p_value)
    difference = np.mean(one, axis=0) - np.mean(other, axis=0)
    assert found.within_test_set == pytest.approx(difference.std(ddof=1) / 10)


@pytest.mark.parametrize("shift", [-0.9, 0.3, 2.0])
def test_the_p_value_is_the_level_at_which_the_interval_reaches_0(shift):
    one, other = scores(4, 100, seed=6), [run + shift for run in scores(4, 100, seed=7)]
    p_value = crossed_mean(one, other, level=0.95).p_value
    at = crossed_mean(one, other, level=1 - p_value)
    assert min(abs(at.low), abs(at.high)) == pytest.approx(0, abs=1e-6)


def test_weights_repeat_in_the_mean_and_groups_widen():
    values, groups = scores(3, 90, seed=8), np.arange(90) // 6
    weights = np.where(np.arange(90) % 2 == 0, 2.0, 0.0)
    dropped = crossed_mean(values, level=0.95, weights=weights)
    assert dropped.low == pytest.approx(crossed_mean([run[::2] for run in values], level=0.95).low)
    dependent = [run + np.random.default_rng(9).normal(size=15)[groups] for run in values]
    by_groups = crossed_mean(dependent, level=0.95, groups=groups)
    assert by_groups.within_test_set > 1.5 * crossed_mean(dependent, level=0.95).within_test_set


def test_what_gives_no_interval_says_why():
    values = scores(3, 50, seed=10)
    assert crossed_mean(values[:2], level=0.95).reason == "2 runs of a recipe, fewer than 3"
    infinite = [np.where(np.arange(50) == 7, np.inf, run) for run in values]
    assert "infinite score" in crossed_mean(infinite, level=0.95).reason
    assert crossed_mean([run[:1] for run in values], level=0.95).reason == "a single row"


def test_the_interval_holds_the_mean_of_new_runs_and_new_rows():
    rng, held, rows_alone = np.random.default_rng(11), 0, 0
    for _ in range(400):
        rows = rng.normal(size=150)
        runs = [rows + 0.15 * rng.normal() + rng.normal(size=150) for _ in range(4)]
        found = crossed_mean(runs, level=0.95)
        held += found.low <= 0 <= found.high
        rows_alone += abs(found.value) < 1.96 * found.within_test_set
    assert 0.93 <= held / 400 <= 0.99
    assert rows_alone / 400 < 0.91


def test_recipes_are_compared_metric_by_metric():
    found = ck.compare_recipes(RECIPES)
    nll = found.differences["true"]["nll"]
    values = [[ck.evaluate(p, confidence_level=None)["nll"].value for p in runs] for runs in RECIPES.values()]
    assert nll.value == pytest.approx(np.mean(values[1]) - np.mean(values[0]))
    assert nll.high < 0
    assert nll.p_value < 0.05
    assert found.recipes["sharp"]["nll"].value == pytest.approx(np.mean(values[0]))
    ece = found.recipes["sharp"]["ece"]
    values = [ck.evaluate(p, confidence_level=None)["ece"].value for p in RECIPES["sharp"]]
    assert (ece.value, ece.between_seeds) == pytest.approx((np.mean(values), np.std(values, ddof=1) / 2))
    assert (ece.low, ece.within_test_set, ece.rests_on) == (None, None, None)
    assert {"aurc", "gap", "brier", "accuracy"} <= set(found.differences["true"])
    assert any("errors over bins" in note for note in found.notes)


def test_the_verdict_names_the_better_recipe_and_whose_luck_it_rests_on():
    better, luck = ck.compare_recipes(RECIPES).verdict
    said = re.fullmatch(r"true is the recipe with the better log score: by (\S+) nats \[(\S+), (\S+)\]\.", better)
    size, low, high = map(float, said.groups())
    assert 0 < low < size < high  # turned, so that they are what the better recipe gains
    assert luck.startswith("Its uncertainty rests on ")
    same = ck.compare_recipes({"a": [run(s) for s in range(3)], "b": [run(s) for s in range(20, 23)]})
    assert same.verdict[0].startswith("No difference in log score between the recipes b and a detected")
    assert any("rests on the test rows" in s or "rests on training luck" in s for s in same.verdict)


def test_two_runs_are_too_few_for_a_verdict():
    found = ck.compare_recipes({"a": [run(0), run(1)], "b": [run(2), run(3)]})
    assert found.verdict == ("b against a: Not enough independent data for a verdict.",)
    assert "No interval for the difference of nll: 2 runs of a recipe, fewer than 3." in found.notes


def test_text_and_json_hold_it_all():
    found = ck.compare_recipes({**RECIPES, "third": [run(s + 30) for s in range(3)]}, reference="true")
    text = str(found)
    assert "sharp (4 runs)" in text
    assert "se, seeds" in text
    assert "Holm p" in text
    result = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert result["schema"] == "calibkit.recipes/1"
    assert result["reference"] == "true"
    assert set(result["differences"]) == {"sharp", "third"}
    nll = found.differences["sharp"]["nll"]
    assert nll.adjusted_p_value >= nll.p_value
    assert found == ck.compare_recipes({**RECIPES, "third": [run(s + 30) for s in range(3)]}, reference="true")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert markdown(result).count("| metric |") == 3  # means, and two differences


def test_without_level_there_are_no_intervals_and_no_words():
    found = ck.compare_recipes(RECIPES, confidence_level=None)
    assert found.verdict == ()
    assert found.recipes["sharp"]["nll"].low is None
    assert found.differences["true"]["nll"].p_value is None
    assert "interval" not in str(found).split("Conventions")[0]


def test_one_recipe_shows_its_own_luck():
    found = ck.compare_recipes({"true": RECIPES["true"]})
    assert found.differences == {}
    assert found.recipes["true"]["nll"].low < found.recipes["true"]["nll"].value
    assert str(found).startswith("Runs on the same rows")


def test_runs_are_aligned_by_ids():
    order = np.random.default_rng(12).permutation(500)
    runs = [run(s, ids=np.arange(500)) for s in range(3)]
    moved = ck.Predictions.from_logits(LABELS[order], runs[1].logits[order], ids=order)
    found = ck.compare_recipes({"a": [runs[0], moved, runs[2]]}).recipes["a"]["nll"]
    assert found.low == pytest.approx(ck.compare_recipes({"a": runs}).recipes["a"]["nll"].low)


def test_infinite_scores_let_the_brier_score_speak():
    def certain(seed):
        probs = np.eye(3)[(LABELS + (np.random.default_rng(seed).random(500) < 0.2)) % 3]
        return ck.Predictions.from_probs(LABELS, probs)

    found = ck.compare_recipes({"a": [certain(s) for s in range(3)], "b": [certain(s) for s in range(5, 8)]})
    assert found.recipes["a"]["nll"].low is None
    assert "Brier score" in found.verdict[0]


def test_what_is_no_recipe_is_refused():
    with pytest.raises(InputFormatError, match="a sequence of Predictions"):
        ck.compare_recipes({"a": run(0)})
    with pytest.raises(InputFormatError, match="expected"):
        ck.compare_recipes([run(0), run(1)])
    with pytest.raises(OptionError, match="has a single run; give two or more"):
        ck.compare_recipes({"a": [run(0)]})
    with pytest.raises(InputFormatError, match="run 2"):
        ck.compare_recipes({"a": [run(0), LOGITS]})
    with pytest.raises(DataError, match="rows"):
        ck.compare_recipes({"a": [run(0), ck.Predictions.from_logits(LABELS[:9], LOGITS[:9])]})
