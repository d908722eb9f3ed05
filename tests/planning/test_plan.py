"""`plan`: what it promises, measured through the public functions; its laws; what it refuses."""

import json

import numpy as np
import pytest

import calibkit as ck
from tests.real_data import real_data


def world(n, rng, ece, *, more=0.0):
    """Rows of a model that is over-confident by `ece` in every bin, and of one by `more` on the same rows."""
    confidence = 0.3 + 0.7 * rng.beta(3, 1.2, n)
    own = rng.random(n) < 0.5  # half of the second one's luck is its own
    luck = [rng.random(n), rng.random(n)]
    luck[1] = np.where(own, luck[1], luck[0])
    return [(u < confidence - gap, confidence) for u, gap in zip(luck, (ece, ece + more), strict=True)]


def correctness(rows, name):
    right, confidence = rows
    return ck.Predictions.from_correct(right, confidence, name=name)


def vectors(n, rng, sharpness):
    logits = rng.normal(size=(n, 4)) * 1.5
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3)
    return [ck.Predictions.from_logits(labels, logits * s, name=f"x{s:g}") for s in sharpness]


def test_a_planned_test_set_detects_the_ece_as_often_as_promised():
    pilot = correctness(world(2_000, np.random.default_rng(1), 0.06)[0], "pilot")
    planned = ck.plan(ece=0.06, like=pilot)["detection", "ece"]
    rng, found, widths = np.random.default_rng(2), 0, []
    for _ in range(150):
        ece = ck.evaluate(correctness(world(planned.rows, rng, 0.06)[0], "test"))["ece"]
        found += ece.low > 0
        widths.append((ece.high - ece.low) / 2)
    assert planned.power == pytest.approx(0.8, abs=0.02)
    assert found / 150 == pytest.approx(0.8, abs=0.08)
    assert np.mean(widths) == pytest.approx(planned.half_width, rel=0.1)


def test_a_planned_test_set_detects_differences_as_often_as_promised():
    rng = np.random.default_rng(3)
    pilots = [correctness(rows, name) for rows, name in zip(world(2_000, rng, 0.03, more=0.06), "ab", strict=True)]
    planned = ck.plan(ece=0.03, difference=0.06, like=pilots, metrics=["ece", "accuracy"])
    rng = np.random.default_rng(5)
    for metric in ("ece", "accuracy"):
        rows, found = planned["difference", metric].rows, 0
        for _ in range(150):
            pair = dict(zip("ab", (correctness(r, None) for r in world(rows, rng, 0.03, more=0.06)), strict=True))
            found += ck.compare(pair).differences["b"][metric].p_value < 0.05
        assert found / 150 == pytest.approx(0.8, abs=0.12), metric


def test_rows_for_a_mean_are_those_of_the_pilots_differences():
    one, two = vectors(700, np.random.default_rng(5), (1.0, 1.6))
    planned = ck.plan(difference=0.05, like=[one, two])
    scores = []
    for p in (one, two):
        z = np.asarray(p.logits, dtype=np.float64)
        probs = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        hit = np.eye(4)[p.labels]
        scores.append({"brier": ((probs - hit) ** 2).sum(axis=1), "nll": -np.log((probs * hit).sum(axis=1))})
    for metric in ("brier", "nll"):
        sd = np.std(scores[1][metric] - scores[0][metric])
        # (z_.975 + z_.8)^2 sd^2 / D^2, to which t adds about two rows, and skewness a few.
        normal = (1.959964 + 0.841621) ** 2 * sd**2 / 0.05**2
        assert normal < planned["difference", metric].rows < 1.2 * normal + 5


def test_two_models_of_which_one_is_known_have_the_assumed_correlation():
    (one,) = vectors(700, np.random.default_rng(6), (1.0,))
    rows = [
        ck.plan(difference=0.01, like=one, metrics="brier", correlation=rho)["difference", "brier"].rows
        for rho in (0.0, 0.5)
    ]
    assert rows[0] / rows[1] == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("question", ["ece", "width", "difference"])
def test_more_is_asked_more_rows_are_needed(question):
    def rows(size, **options):
        planned = ck.plan(**{question: size}, metrics=["ece", "brier"], **options)
        return np.array([line.rows for line in planned.lines])

    middle = rows(0.03)
    assert (rows(0.02) > middle).all()
    assert (rows(0.03, confidence_level=0.99) > middle).all()
    if question != "width":
        assert (rows(0.03, power=0.9) > middle).all()
        assert (rows(0.03, power=0.5) < middle).all()


def test_what_rows_show_leads_back_to_the_rows():
    shown = ck.plan(rows=6_000, ece=0.03)
    assert {line.rows for line in shown.lines} == {6_000}
    ece = shown["detection", "ece"].size
    assert ck.plan(ece=ece)["detection", "ece"].rows == pytest.approx(6_000, rel=0.04)
    for metric, questions in {"ece": ("difference",), "nll": ("width", "difference"), "accuracy": ("width",)}.items():
        for question in questions:
            size = shown[question, metric].size
            back = ck.plan(**{question: size}, ece=0.03, metrics=metric)[question, metric]
            assert back.rows == pytest.approx(6_000, rel=0.04), (question, metric)


def test_more_rows_show_less():
    few, many = (ck.plan(rows=n, metrics=["ece", "nll"]) for n in (2_000, 20_000))
    assert all(a.size > b.size for a, b in zip(few.lines, many.lines, strict=True))


def test_the_same_seed_gives_the_same_plan_and_another_one_nearly_so():
    first, again = (ck.plan(ece=0.02, difference=0.02) for _ in range(2))
    assert (first, str(first)) == (again, str(again))
    other = ck.plan(ece=0.02, difference=0.02, rng=np.random.default_rng(7))
    assert other != first
    for a, b in zip(first.lines, other.lines, strict=True):
        assert a.rows == pytest.approx(b.rows, rel=0.1)


def test_a_plan_is_plain_json_and_text_that_states_what_it_assumes():
    planned = ck.plan(ece=0.02, width=0.02, difference=0.01)
    result = planned.to_dict()
    assert json.loads(json.dumps(result)) == result
    assert result["schema"] == "calibkit.plan/1"
    assert [line["question"] for line in result["lines"]] == ["detection", *["width"] * 4, *["difference"] * 4]
    text = str(planned)
    for part in ("ECE of 0.02 is detected", "power 80%", "No pilot", "correlation 0.5", "0.02, as asked", "seed 0"):
        assert part in text
    with pytest.raises(KeyError, match=r"\('width', 'mce'\)"):
        planned["width", "mce"]


def test_a_pilot_says_what_it_is_and_how_sure():
    one, two = vectors(500, np.random.default_rng(8), (1.0, 2.0))
    text = str(ck.plan(difference=0.05, like=[one, two]))
    for part in ("500 of x1 and x2", "as the pilot makes likely", "standard error of", "x2 against x1"):
        assert part in " ".join(text.split())


def test_events_are_planned_in_their_view():
    rng = np.random.default_rng(9)
    p = rng.beta(1, 6, 3_000)
    pilot = ck.Predictions.from_probs((rng.random(3_000) < p).astype(int), p)
    planned = ck.plan(ece=0.02, like=pilot)
    assert planned.settings["view"] == "positive"
    assert planned.lines[0].rows < ck.plan(ece=0.02, like=pilot, view="top-label", power=0.99).lines[0].rows


def test_a_metric_that_the_pilot_lacks_is_noted_or_if_named_refused():
    pilot = correctness(world(300, np.random.default_rng(10), 0.05)[0], "pilot")
    planned = ck.plan(width=0.05, like=pilot)
    assert [line.metric for line in planned.lines] == ["ece", "accuracy"]
    assert any("No plan for NLL" in note for note in planned.notes)
    with pytest.raises(ck.DataError, match=r"nll.*no probability of the true class"):
        ck.plan(width=0.05, like=pilot, metrics=["nll"])


def test_infinite_and_constant_scores_are_not_planned():
    rng = np.random.default_rng(11)
    probs = np.column_stack([p := rng.uniform(0.6, 0.9, 200), 1 - p])
    probs[0] = (0.0, 1.0)
    planned = ck.plan(width=0.1, like=ck.Predictions.from_probs(np.zeros(200, int), probs, name="a"))
    assert any("NLL: 1 rows of the pilot have an infinite score" in note for note in planned.notes)
    probs[0] = (0.8, 0.2)
    planned = ck.plan(width=0.1, like=ck.Predictions.from_probs(np.zeros(200, int), probs, name="a"))
    assert any("accuracy: all rows of the pilot have the same score" in note.lower() for note in planned.notes)


def test_a_pilot_that_is_given_twice_tells_no_difference():
    (one,) = vectors(300, np.random.default_rng(12), (1.0,))
    with pytest.raises(ck.DataError, match="do not differ"):
        ck.plan(difference=0.01, like=[one, one], metrics="nll")


def test_rows_that_detect_nothing_say_so():
    assert ck.plan(rows=100, power=0.999999, metrics="ece").lines[0].size is not None
    p = np.random.default_rng(13).uniform(0.0, 0.02, 400)
    pilot = ck.Predictions.from_probs(np.zeros(400, int), p, name="rare")
    planned = ck.plan(rows=100, like=pilot, metrics="ece")
    assert planned["detection", "ece"].size is None
    assert "none" in str(planned)
    assert any("do not detect even the largest ECE" in note for note in planned.notes)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, ck.OptionError, "nothing is asked"),
        ({"ece": 0.0}, ck.OptionError, "ece=0.0: expected a number between 0 and 1"),
        ({"ece": 1.5}, ck.OptionError, "ece=1.5"),
        ({"ece": 0.95}, ck.OptionError, "an ECE of 0.95 cannot be"),
        ({"ece": "a"}, ck.OptionError, "ece='a'"),
        ({"ece": float("nan")}, ck.OptionError, "ece=nan"),
        ({"ece": 1e-8}, ck.OptionError, "more than 1,000,000,000 rows"),
        ({"width": 0}, ck.OptionError, "width=0"),
        ({"width": -0.1}, ck.OptionError, "width=-0.1"),
        ({"difference": 0}, ck.OptionError, "difference=0"),
        ({"difference": 0.97, "metrics": "ece"}, ck.OptionError, "with these forecasts an ECE is at most"),
        ({"difference": 1.0, "metrics": "accuracy"}, ck.OptionError, "between 0 and 1"),
        ({"difference": 0.1, "power": 1.0}, ck.OptionError, "power=1.0"),
        ({"difference": 0.1, "power": 0}, ck.OptionError, "power=0"),
        ({"difference": 0.1, "correlation": 1}, ck.OptionError, "correlation=1"),
        ({"difference": 0.1, "metrics": "mce"}, ck.OptionError, "metrics='mce'"),
        ({"difference": 0.1, "metrics": []}, ck.OptionError, "metrics="),
        ({"rows": 99}, ck.OptionError, "rows=99"),
        ({"rows": 1e4}, ck.OptionError, "rows=10000.0"),
        ({"rows": 500, "width": 0.1}, ck.OptionError, "rows and width"),
        ({"rows": 500, "difference": 0.1}, ck.OptionError, "rows and difference"),
        ({"ece": 0.1, "view": "classwise"}, ck.OptionError, "one pair a row"),
        ({"ece": 0.1, "view": "positive"}, ck.OptionError, "give a pilot"),
        ({"ece": 0.1, "view": "sideways"}, ck.OptionError, "expected one of"),
        ({"ece": 0.1, "n_bins": 101}, ck.OptionError, "n_bins=101"),
        ({"ece": 0.1, "confidence_level": None}, ck.OptionError, "about intervals"),
        ({"ece": 0.1, "like": "pilot.npz"}, ck.InputFormatError, "expected Predictions"),
        ({"ece": 0.1, "like": [0.1, 0.2]}, ck.InputFormatError, "got float"),
    ],
)
def test_what_cannot_be_planned_is_refused(options, error, said):
    with pytest.raises(error) as raised:
        ck.plan(**options)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("n", "extra", "said"),
    [
        (99, {}, "a pilot of 99 rows says too little"),
        (200, {"groups": np.arange(200) // 2}, r'holds groups, .* read without them by groups=""'),
        (200, {"weights": np.arange(200) + 1.0}, "holds weights"),
    ],
)
def test_pilots_that_cannot_tell_are_refused(n, extra, said):
    rng = np.random.default_rng(14)
    pilot = ck.Predictions.from_correct(rng.random(n) < 0.8, rng.uniform(0.5, 1, n), name="pilot", **extra)
    with pytest.raises(ck.DataError, match=said):
        ck.plan(ece=0.05, like=pilot)


def test_pilots_of_other_rows_are_refused():
    one, two = vectors(300, np.random.default_rng(15), (1.0, 2.0))
    with pytest.raises(ck.DataError, match=r"300 rows and .* has 150"):
        ck.plan(difference=0.01, like=[one, two.take(np.arange(150))])


def test_a_large_pilot_is_as_good_as_its_every_fifth_row():
    right, confidence = world(250_000, np.random.default_rng(16), 0.04)[0]
    whole, part = (ck.Predictions.from_correct(right[::s], confidence[::s], name="p") for s in (1, 5))
    rows = [ck.plan(ece=0.04, like=pilot).lines[0].rows for pilot in (whole, part)]
    assert rows[0] == pytest.approx(rows[1], rel=0.05)


def test_published_networks_have_the_widths_that_they_would_be_planned_with():
    """ResNet-50 on CIFAR-10, with cross-entropy and with focal loss (Mukhoti et al. 2020), 10,000 rows."""
    pilots = [ck.load(real_data(f"multiclass/cifar10_resnet50_{loss}.npz")) for loss in ("flsd53", "ce")]
    for pilot in pilots:
        planned, measured = ck.plan(rows=10_000, like=pilot), ck.evaluate(pilot)
        for metric in ("ece", "nll", "brier", "accuracy"):
            half = (measured[metric].high - measured[metric].low) / 2
            assert planned["width", metric].size == pytest.approx(half, rel=0.1), metric
    # Two networks share about half: what is assumed where no pair of pilots tells.
    text = " ".join(str(ck.plan(difference=0.05, like=pilots, metrics="brier")).split())
    assert 0.4 < float(text.partition("has correlation ")[2].split(",")[0]) < 0.6
