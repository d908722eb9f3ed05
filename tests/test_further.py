"""Metrics on request: all of them from one pass, beside what chance alone shows, and absent with a reason."""

import json

import numpy as np
import pytest
from scipy.stats import binom

import calibkit as ck
from calibkit import metrics, one_pass, views
from calibkit.metrics import METRICS, QUESTIONS, Metric
from calibkit.pairs import read_pairs
from calibkit.render import evaluation_text, evaluations_text, format_number, markdown

ON_REQUEST = [metric for metric in METRICS.values() if metric.on_request]
FROM_PAIRS = [metric for metric in ON_REQUEST if metric.kernel is not None]


def sample(n=300, seed=0, **keys):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 2
    return ck.Predictions.from_logits(rng.integers(0, 4, n), logits, **keys)


@pytest.fixture
def gap_squared(monkeypatch):
    """One more metric of pairs in the registry, which chance alone makes large."""

    def kernel(pairs):
        return float(np.average(pairs.forecast - pairs.outcome, weights=pairs.weights) ** 2)

    metric = Metric(
        name="gap_squared",
        title="squared gap",
        function=lambda labels, probs, *, weights=None: kernel(read_pairs(labels, probs, weights=weights)),
        kind="bin-free",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Square of the gap.",
        reading="0 is best",
        kernel=kernel,
        by_chance=True,
    )
    larger = {**METRICS, metric.name: metric}
    monkeypatch.setattr("calibkit.further.METRICS", larger)
    monkeypatch.setattr("calibkit.render.tables.METRICS", larger)
    monkeypatch.setattr("calibkit.render.further.METRICS", larger)
    return metric


def test_the_standard_table_holds_none_and_says_how_to_get_them():
    evaluation = ck.evaluate(sample())
    assert not {metric.name for metric in ON_REQUEST} & set(evaluation.metrics)
    with pytest.raises(KeyError, match=r'aurc: it is computed on request: evaluate\(\.\.\., metrics="all"\)'):
        evaluation["aurc"]
    assert "Beyond the table" not in str(evaluation)


def test_everything_else_stays_as_it_is():
    standard, everything = (ck.evaluate(sample(), metrics=which).to_dict() for which in ("standard", "all"))
    assert everything.keys() == standard.keys()
    assert {name: everything["metrics"][name] for name in standard["metrics"]} == standard["metrics"]
    for key in standard.keys() - {"metrics", "notes", "by_chance", "tests"}:
        assert everything[key] == standard[key]


def test_all_of_them_come_from_the_one_pass(monkeypatch):
    passes = []
    monkeypatch.setattr(one_pass, "score_and_bin", lambda *a, **k: passes.append(1) or views.score_and_bin(*a, **k))
    monkeypatch.setattr("calibkit.pairs.score_rows", lambda *_, **__: pytest.fail("a second pass over the array"))
    evaluation = ck.evaluate(sample(), metrics="all")
    assert len(passes) == 1
    assert {metric.name for metric in FROM_PAIRS} <= set(evaluation.metrics)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("view", ["top-label", "classwise", "flattened"])
def test_metrics_of_tables_are_those_of_the_predicted_class_in_every_view(view, binning):
    labels = sample().labels
    probs = np.exp(sample().logits)
    probs /= probs.sum(axis=1, keepdims=True)
    found = ck.evaluate(sample(), view=view, metrics="all", n_bins=7, binning=binning)
    for name in ("over_confidence", "under_confidence", "debiased_rmsce", "classwise_ece", "class_conditional_ece"):
        alone = METRICS[name].function(labels, probs, n_bins=7, binning=binning)
        assert found[name].value == pytest.approx(alone, abs=1e-13), name


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_the_classes_are_binned_while_the_rows_are_scored(monkeypatch, binning):
    monkeypatch.setattr("calibkit.binned.by_class.score_and_bin", lambda *_, **__: pytest.fail("another pass"))
    for predictions in (sample(), ck.Predictions.from_probs([0, 1, 1], [0.3, 0.4, 0.9])):
        found = ck.evaluate(predictions, metrics="all", binning=binning)
        assert 0 < found["classwise_ece"].value < 1
        assert not any("classwise" in n for n in found.notes if n.startswith("Read the array once more: "))


@pytest.mark.parametrize("view", ["top-label", "flattened"])
@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("weighted", [False, True])
def test_chance_levels_by_class_are_those_of_view_classwise(view, binning, weighted):
    rows = sample()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(rows)) if weighted else None
    rows = ck.Predictions.from_logits(rows.labels, rows.logits, weights=weights)
    found = ck.evaluate(rows, view=view, metrics="all", binning=binning).by_chance["classwise_ece"]
    own = ck.evaluate(rows, view="classwise", binning=binning).chance
    assert found.mean == pytest.approx(own.mean, rel=0.02)
    assert found.p95 == pytest.approx(own.p95, rel=0.03)


def test_what_chance_shows_of_a_part_is_a_binomial():
    labels, probs = np.repeat([1, 0], [30, 20]), np.full(50, 0.6)
    found = ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all")
    k = np.arange(51)
    mass, above = binom.pmf(k, 50, 0.6), np.maximum(30 - k, 0) / 50
    assert found.by_chance["over_confidence"].mean == pytest.approx(mass @ above, rel=0.06)
    square = (k / 50 - 0.6) ** 2 - k / 50 * (1 - k / 50) / 49
    assert found.by_chance["debiased_rmsce"].mean == pytest.approx(mass @ np.sqrt(np.maximum(square, 0)), rel=0.08)


@pytest.mark.parametrize("view", ["top-label", "classwise", "flattened"])
def test_views_with_many_pairs_a_row_take_the_predicted_class(view):
    everything = ck.evaluate(sample(), view=view, metrics="all")
    assert everything["aurc"] == ck.evaluate(sample(), metrics="all")["aurc"]


@pytest.mark.usefixtures("gap_squared")
def test_a_calibration_error_stands_beside_what_chance_shows():
    labels, probs = np.repeat([0, 1], [30, 70]), np.full(100, 0.6)
    evaluation = ck.evaluate(ck.Predictions.from_probs(labels, probs, name="net"), metrics="all")
    assert evaluation["gap_squared"].value == pytest.approx(0.01)
    null = evaluation.by_chance["gap_squared"]
    assert null.mean == pytest.approx(0.6 * 0.4 / 100, rel=0.3)  # a binomial's variance over n
    assert null.p95 == pytest.approx(0.0024 * 3.84, rel=0.4)  # chi-square of one degree of freedom
    assert 0.01 < null.p_value < 0.1  # the gap is 2.04 standard errors
    assert "squared gap" in str(evaluation)
    assert f"chance {format_number(null.mean, digits=3)}, 95% {format_number(null.p95, digits=3)}, p = 0.0" in str(
        evaluation
    )
    assert "Chance: what a calibrated model" in str(evaluation)
    again = ck.evaluate(ck.Predictions.from_probs(labels, probs, name="net"), metrics="all")
    assert again == evaluation
    assert ck.evaluate(ck.Predictions.from_probs(labels, probs), metrics="all", rng=1).by_chance["gap_squared"] != null
    assert json.loads(json.dumps(evaluation.to_dict()))["by_chance"]["gap_squared"]["p95"] == null.p95


def test_no_chance_level_of_dependent_rows(gap_squared):
    grouped = ck.evaluate(sample(groups=np.arange(300) // 10), metrics="all")
    assert gap_squared.name in grouped.metrics
    assert gap_squared.name not in grouped.by_chance
    assert not grouped.tests
    assert (
        "No tests of calibration, and no chance levels but that of ECE: rows of a group are dependent." in grouped.notes
    )


def test_what_rows_cannot_give_is_absent_with_the_reason():
    weighted = ck.evaluate(sample(weights=np.linspace(0.5, 2, 300)), metrics="all")
    assert "aurc" not in weighted.metrics
    assert "augrc" in weighted.metrics
    with pytest.raises(KeyError, match=r"aurc: weights: 0\.5 is not a whole number"):
        weighted["aurc"]
    assert any(note.startswith("No AURC: weights: 0.5") for note in weighted.notes)


def test_nan_is_explained_and_no_rows_are_not_an_error():
    right = ck.evaluate(ck.Predictions.from_correct([True] * 5, [0.9, 0.8, 0.7, 0.7, 0.6]), metrics="all")
    assert np.isnan(right["confidence_auroc"].value)
    assert "AUROC of confidence is nan: every answer is right, or every one wrong." in right.notes
    empty = ck.evaluate(ck.Predictions.from_probs(np.empty(0, int), np.empty(0)), metrics="all")
    assert all(np.isnan(empty[metric.name].value) for metric in FROM_PAIRS)
    assert not any("is nan:" in note for note in empty.notes)


def test_another_pass_is_said(monkeypatch):
    def whole(predictions, scores):
        return float(predictions.logits.max() + scores.confidence[0])

    another = metrics.Metric(
        name="peak",
        title="peak",
        function=None,
        kind="information",
        orientation="neither",
        bounds=(0.0, 9.0),
        meaning="Largest logit.",
        reading="",
        whole_kernel=whole,
        another_pass=True,
    )
    monkeypatch.setattr("calibkit.further.METRICS", {**METRICS, "peak": another})
    evaluation = ck.evaluate(sample(), metrics="all")
    assert any(n.startswith("Read the array once more: ") and n.endswith("peak.") for n in evaluation.notes)
    assert evaluation["peak"].value > 4
    assert not any("classwise" in n for n in evaluation.notes)


def one_hot(labels, k):
    return np.eye(k)[labels]


DEGENERATE = {
    "true class has p = 0": ([0, 1, 1], [[0.0, 1.0], [0.3, 0.7], [0.2, 0.8]]),
    "p = 1 and right": ([0, 1, 2], one_hot([0, 1, 2], 3)),
    "p = 1 and wrong": ([0, 1, 2], one_hot([1, 2, 0], 3)),
    "on the edges of bins": ([0, 1, 1, 0, 1], np.array([0, 1, 5, 10, 15]) / 15),
    "half precision": ([0, 1], np.array([[0.25, 0.75], [0.5, 0.5]], np.float16)),
    "integers": ([0, 1, 1], np.array([0, 1, 0])),
    "no rows": (np.empty(0, int), np.empty((0, 4))),
    "one row": ([1], [[0.2, 0.7, 0.1]]),
    "one row of one event": ([1], [0.3]),
    "one class alone": ([1, 1, 1], [0.3, 0.6, 0.9]),
    "a class that never occurs": ([0, 1, 0], [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]]),
    "every class ties": ([0, 1, 2], np.full((3, 3), 1 / 3)),
    "one confidence": ([0, 1, 0, 1], np.full(4, 0.7)),
    "denormal": ([0, 1], [1e-310, 0.5]),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("weighted", [False, True])
def test_degenerate_input_has_defined_results(name, weighted):
    labels, probs = DEGENERATE[name]
    weights = np.arange(len(labels)) if weighted and len(labels) > 1 else None  # a weight of 0 among them
    with np.errstate(all="raise", under="ignore"):
        evaluation = ck.evaluate(ck.Predictions.from_probs(labels, probs, weights=weights), metrics="all")
    assert {metric.name for metric in ON_REQUEST} <= evaluation.metrics.keys()
    for metric in ON_REQUEST:
        value, (low, high) = evaluation[metric.name].value, metric.bounds
        undefined = evaluation.n == 0 or metric.undefined is not None
        assert low - 1e-12 <= value <= high + 1e-12 or (np.isnan(value) and undefined), metric.name
    for test in evaluation.tests.values():
        assert 0 <= test.p_value <= 1 or evaluation.n == 0
    json.dumps(evaluation.to_dict(), allow_nan=False)
    assert "Beyond the table" in str(evaluation)


def test_the_second_table_is_ordered_by_question():
    one, two = (ck.evaluate(sample(seed=s, name=f"net{s}"), metrics="all").to_dict() for s in (1, 2))
    text = evaluation_text(one)
    head, tail = text.split("Beyond the table")
    assert "AURC" not in head
    assert tail.index("ranking") < tail.index("- AURC") < tail.index("Which answers what")
    assert f"ranking: {QUESTIONS['ranking']}?" in tail
    assert max(map(len, text.splitlines())) <= 80
    several = evaluations_text([one, two]).split("Beyond the table")[1]
    assert "net1" in several
    assert "net2" in several
    assert "- AURC | " in markdown(one)


def test_a_model_without_it_is_not_defined_there():
    whole = ck.evaluate(sample(name="counts"), metrics="all").to_dict()
    parts = ck.evaluate(sample(name="shares", weights=np.linspace(0.5, 2, 300)), metrics="all").to_dict()
    lines = evaluations_text([whole, parts]).splitlines()
    assert next(line for line in lines if line.startswith("- AURC ")).endswith("not defined")


def test_a_wrong_choice_is_refused():
    with pytest.raises(ck.OptionError, match="metrics='every'"):
        ck.evaluate(sample(), metrics="every")


def test_every_kind_has_a_question():
    assert {metric.kind for metric in METRICS.values()} <= QUESTIONS.keys()
    for metric in ON_REQUEST:
        assert sum(kernel is not None for kernel in (metric.kernel, metric.table_kernel, metric.whole_kernel)) == 1
        drawn = (metric.kernel, metric.table_kernel, metric.class_kernel, metric.whole_chance)
        assert not metric.by_chance or any(kernel is not None for kernel in drawn)
        assert len(metric.title) <= 24
        assert len(metric.reading) <= 36
