"""Questions with unlike numbers of choices, from predictions to evaluation, comparison, state and calibrator."""

from dataclasses import replace

import numpy as np
import pytest

import calibkit as ck
from calibkit.calibrators import TemperatureScaling, calibrate, cross_calibrate, fit_calibrator, load_calibrator
from calibkit.errors import DataError, OptionError, ShapeError
from calibkit.metrics import METRICS
from calibkit.views import VIEWS

OF_CLASSES = {"classwise_ece", "class_conditional_ece", "log_skill"}


def choices(n=240, *, seed=0, most=6, scale=2.0, noise=0.0, kind="logits", **options):
    """Questions of 1 to `most` choices, the same for every scale and noise; rows by seed."""
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    counts = rng.integers(1, most + 1, n)
    rows = [rng.normal(size=k) for k in counts]
    labels = [int((row + rng.gumbel(size=len(row)) / 2).argmax()) for row in rows]
    rows = [scale * row + noise * other.normal(size=len(row)) for row in rows]
    if kind == "probs":
        rows = [np.exp(row) / np.exp(row).sum() for row in rows]
    make = ck.Predictions.from_logits if kind == "logits" else ck.Predictions.from_probs
    return make(labels, rows, ragged=True, **options)


def brute(made):
    """The same scores row by row, each row evaluated by itself."""
    found = []
    for label, row, k in zip(made.labels, made.values, made.n_choices, strict=True):
        probs = np.exp(row[:k] - row[:k].max()) if made.kind == "logits" else row[:k]
        probs = probs / probs.sum() if made.kind == "logits" else probs
        truth = np.arange(k) == label
        found.append((probs.max(), probs.argmax() == label, -np.log(probs[label]), ((probs - truth) ** 2).sum()))
    return np.array(found).T


@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_metrics_are_those_of_each_row_by_its_own_choices(kind):
    made = choices(kind=kind)
    confidence, correct, nll, brier = brute(made)
    found = ck.evaluate(made)
    assert found["accuracy"].value == correct.mean()
    expected = {"mean_confidence": confidence.mean(), "nll": nll.mean(), "brier": brier.mean()}
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-15, abs=0), name
    bins = np.minimum(np.ceil(confidence * 15).astype(int) - 1, 14)
    gaps = np.bincount(bins, confidence - correct)
    assert found["ece"].value == pytest.approx(np.abs(gaps).sum() / len(made), rel=1e-13)
    # The same as of top-1 predictions of these rows, intervals and chance levels among them.
    top1 = ck.evaluate(ck.Predictions.from_correct(correct.astype(bool), confidence))
    for end in ("low", "high"):
        assert getattr(found["ece"], end) == pytest.approx(getattr(top1["ece"], end), rel=1e-9)
    assert found.chance.mean == pytest.approx(top1.chance.mean, rel=1e-9)


def test_what_is_told():
    made = choices(kind="probs")
    found = ck.evaluate(made)
    assert (found.n_classes, found.settings["choices"], found.view) == (None, [1, 6], "top-label")
    single = int((made.n_choices == 1).sum())
    assert "Ragged rows: each is scored over its own choices, which are not classes." in found.notes
    assert f"{single} rows have one choice alone: certain and right, whatever the model." in found.notes
    text = str(found)
    assert text.splitlines()[0] == "predictions: 240 rows, 1 to 6 choices, top-label view"
    assert "sum over the row's choices, 0 to 2" in " ".join(text.split())
    ties = ck.evaluate(ck.Predictions.from_probs([0, 0], [[0.5, 0.5], [0.5, 0.5]], ragged=True))
    assert "2 rows tie for the most probable choice; the lowest choice index counts as predicted." in ties.notes
    assert "Every label is choice 0: does the place of an answer tell that it is right?" in ties.notes
    assert str(ties).startswith("predictions: 2 rows, 2 choices, top-label view")
    zero = ck.evaluate(ck.Predictions.from_probs([1, 0], [[1.0, 0.0], [1.0]], ragged=True))
    assert "1 rows give their true choice p = 0: NLL is inf." in zero.notes


def test_probabilities_that_were_read_as_logits_are_told_in_spite_of_what_fills_them_up():
    rows = choices(kind="probs")
    lists = [row[:k] for row, k in zip(rows.probs, rows.n_choices, strict=True)]
    found = ck.evaluate(ck.Predictions.from_logits(rows.labels, lists, ragged=True))
    assert any(note.startswith("These logits are rows in [0, 1] that sum to 1") for note in found.notes)
    alone = ck.evaluate(ck.Predictions.from_logits([0, 0], [[1.0], [1.0]], ragged=True))
    assert not any(note.startswith("These logits") for note in alone.notes)


def test_no_rows():
    made = ck.Predictions.from_probs([], [], ragged=True)
    found = ck.evaluate(made)
    assert (found.n, found.settings["choices"]) == (0, [0, 0])
    assert np.isnan(found["nll"].value)
    state = ck.CalibrationState()
    state.update(made)
    assert state.evaluation() == ck.CalibrationState.of(state.settings, state.tally).evaluation()
    assert str(found).startswith("predictions: 0 rows, top-label view")


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "top-label"])
def test_views_of_classes_are_refused(view):
    with pytest.raises(
        ShapeError, match=f'^m: view="{view}" is about classes, and the choices of ragged rows are none'
    ):
        ck.evaluate(choices(name="m"), view=view)
    with pytest.raises(ShapeError, match="is about classes"):
        ck.CalibrationState(view=view).update(choices())


def test_metrics_of_classes_are_absent_with_the_reason_and_all_others_are_there():
    made = choices(n=160)
    found = ck.evaluate(made, metrics="all")
    assert {name for name, metric in METRICS.items() if metric.of_classes} == OF_CLASSES
    assert {name for name, why in found.absent.items() if "choices of ragged rows are none" in why} == OF_CLASSES
    assert set(found.absent) == OF_CLASSES
    state = ck.CalibrationState()
    state.update(made)
    whole = state.evaluation(metrics="all")
    assert {name for name, why in whole.absent.items() if "choices of ragged rows are none" in why} == OF_CLASSES
    entropies = [ck.predictive_entropy([0], np.exp(row[:k])[None] / np.exp(row[:k]).sum()) for row, k in _wide(made)]
    expected = sum(entropies) / len(made)
    assert found["predictive_entropy"].value == pytest.approx(expected, rel=1e-13)


def _wide(made):
    return [(row, k) for row, k in zip(made.logits, made.n_choices, strict=True) if k > 1]


def test_comparison_before_and_after_scaling():
    ids = [f"q{i}" for i in range(300)]
    a, b = choices(300, scale=6.0, ids=ids), choices(300, scale=2.0, noise=0.5, ids=ids)
    mixed = b.take(np.random.default_rng(1).permutation(300))
    found = ck.compare({"a": a, "b": mixed})
    fitted = found.temperature["a"]
    assert abs(np.log(fitted.value / 3)) < 3 * fitted.log_se  # logits are 3 times what they should be
    assert found.differences["b"]["nll"].value == pytest.approx(brute(b)[2].mean() - brute(a)[2].mean(), rel=1e-12)
    assert found.scaled.models["a"]["nll"].value < found.models["a"]["nll"].value
    probs = [np.exp(row[:k]) / np.exp(row[:k]).sum() for row, k in zip(a.logits, a.n_choices, strict=True)]
    other = ck.fit_temperature(ck.Predictions.from_probs(a.labels, probs, ragged=True))
    assert other.value == pytest.approx(ck.fit_temperature(a).value, rel=1e-7)


def test_a_temperature_is_that_of_the_sums_over_the_rows_own_choices():
    from scipy.optimize import minimize_scalar

    made = choices(200, scale=5.0)

    def loss(log_t):
        rows = [row[:k] * np.exp(-log_t) for row, k in zip(made.logits, made.n_choices, strict=True)]
        return sum(np.logaddexp.reduce(row) - row[label] for row, label in zip(rows, made.labels, strict=True))

    best = minimize_scalar(loss, bounds=(-2, 3), method="bounded", options={"xatol": 1e-9})
    assert ck.fit_temperature(made).value == pytest.approx(np.exp(best.x), rel=1e-6)


def test_models_of_unlike_questions_are_not_compared():
    a, b = choices(60, seed=1), choices(60, seed=1)
    moved = b.n_choices.copy()
    moved[7] += 1
    with pytest.raises(DataError, match=r"numbers of choices differ first at row 7: a has \d, b has \d"):
        ck.compare({"a": a, "b": replace(b, n_choices=moved)})
    classes = ck.Predictions.from_logits(np.zeros(60, int), np.zeros((60, 6)))
    for models in ({"a": a, "b": classes}, {"b": classes, "a": a}):
        with pytest.raises(DataError, match="a was read as ragged rows of choices and b as rows of classes"):
            ck.compare(models)
    with pytest.raises(DataError, match="only one was read as ragged rows"):
        ck.compare({"a": a}, calibrate_on={"a": classes})
    right = ck.Predictions.from_top1(a.labels, a.labels, np.full(60, 0.8))
    assert ck.compare({"a": a, "b": right}).models["b"].n == 60  # top-1 predictions are of either


def test_calibration_rows_are_known_again_whatever_they_were_filled_up_to():
    rows = choices(120, seed=4)
    assert ck.compare({"a": rows}, calibrate_on={"a": choices(120, seed=5)}).temperature["a"].n == 120
    few = rows.take(np.flatnonzero(rows.n_choices < 4))
    again = [row[:k] for row, k in zip(few.logits, few.n_choices, strict=True)]
    narrow = ck.Predictions.from_logits(few.labels, again, ragged=True)
    assert narrow.logits.shape[1] < few.logits.shape[1]
    with pytest.raises(DataError, match="the calibration rows are the evaluated rows"):
        ck.compare({"a": few}, calibrate_on={"a": narrow})


def test_states_of_parts_filled_up_to_unlike_widths_merge_to_the_same_bits():
    made = choices(500, most=90, kind="probs")
    whole = ck.CalibrationState()
    whole.update(made)
    order = np.argsort(made.n_choices, kind="stable")  # narrow parts and wide ones
    for parts in (np.array_split(order, 7), np.array_split(order[::-1], 3)):
        total = ck.CalibrationState()
        for part in parts:
            lists = [made.probs[i, : made.n_choices[i]] for i in part]
            piece = ck.CalibrationState()
            piece.update(ck.Predictions.from_probs(made.labels[part], lists, ragged=True))
            total.merge(piece)
        assert total.digest == whole.digest
        assert total == whole
    assert (whole.settings.n_classes, whole.settings.ragged) == (None, True)
    assert whole.evaluation().settings["choices"] == [1, 90]


def test_a_state_does_not_mix_choices_and_classes():
    classes = ck.Predictions.from_logits([0, 1], np.zeros((2, 6)))
    state, other = ck.CalibrationState(), ck.CalibrationState()
    state.update(choices())
    other.update(classes)
    for one, rows in ((state, classes), (other, choices())):
        with pytest.raises(DataError, match=r"ragged differs: (True|False) in the predictions"):
            one.update(rows)
    with pytest.raises(DataError, match="ragged differs"):
        state.merge(other)
    with pytest.raises(DataError, match="n_classes=6 of the state, and the choices of ragged rows are none"):
        ck.CalibrationState(n_classes=6).update(choices())
    assert state.n == 240


def test_a_state_is_saved_and_read_back(tmp_path):
    state = ck.CalibrationState()
    state.update(choices())
    state.save(tmp_path / "ragged.ckst")
    again = ck.CalibrationState.load(tmp_path / "ragged.ckst")
    assert again == state
    assert again.evaluation() == state.evaluation()
    assert b'"ragged": true' in (tmp_path / "ragged.ckst").read_bytes()
    # Files of other rows are what they were before there were ragged ones.
    other = ck.CalibrationState()
    other.update(ck.Predictions.from_probs([0, 1], [0.2, 0.9]))
    other.save(tmp_path / "event.ckst")
    content = (tmp_path / "event.ckst").read_bytes()
    assert b"ragged" not in content
    assert b"choices" not in content
    assert ck.CalibrationState.load(tmp_path / "event.ckst") == other


@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_a_temperature_is_fitted_saved_and_applied(tmp_path, kind):
    fitted = fit_calibrator("temperature", choices(200, seed=2, scale=5.0, kind=kind))
    fitted.save(tmp_path / "t.json")
    rows = choices(150, seed=3, most=9, scale=5.0, kind=kind)  # other numbers of choices
    made = calibrate(load_calibrator(tmp_path / "t.json"), rows)
    assert (made.kind, made.n_choices.tolist()) == ("logits", rows.n_choices.tolist())
    direct = ck.compare({"a": rows}, calibrate_on={"a": choices(200, seed=2, scale=5.0, kind=kind)})
    assert ck.evaluate(made)["nll"].value == pytest.approx(direct.scaled.models["a"]["nll"].value, rel=1e-9)
    crossed = cross_calibrate("temperature", rows)
    assert ck.evaluate(crossed)["nll"].value < ck.evaluate(rows)["nll"].value
    with pytest.raises(DataError, match="100% of the 200 rows that the calibrator was fitted on"):
        calibrate(fitted, choices(200, seed=2, scale=5.0, kind=kind))


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_temperature_scaling_of_the_filled_matrix(loss):
    made = choices(200, scale=5.0)
    fitted = TemperatureScaling(input="logits", loss=loss).fit(made.logits, made.labels)
    probs = np.exp(made.logits - made.logits.max(axis=1, keepdims=True))
    again = TemperatureScaling(input="probs", loss=loss).fit(probs / probs.sum(axis=1, keepdims=True), made.labels)
    assert again.temperature_ == pytest.approx(fitted.temperature_, rel=1e-6)
    assert (fitted.predict_proba(made.logits)[np.isinf(made.logits)] == 0).all()


@pytest.mark.parametrize(
    "method", ["ensemble-temperature", "vector", "dirichlet", "platt", "beta", "isotonic", "histogram"]
)
def test_calibrators_of_classes_are_refused(method):
    with pytest.raises(DataError, match=r"^m: predictions: \w+ maps each class .* choices of ragged rows are none"):
        fit_calibrator(method, choices(name="m"))
    classes = ck.Predictions.from_logits([0, 1, 2] * 5, np.random.default_rng(0).normal(size=(15, 3)))
    with pytest.raises(DataError, match="maps each class"):
        calibrate(fit_calibrator(method, classes), choices())


def test_a_clip_of_the_calibrator_is_refused():
    with pytest.raises(OptionError, match=r"clip=1e-06 would raise what fills ragged rows up"):
        fit_calibrator("temperature", choices(kind="probs"), clip=1e-6)


def test_weights_and_groups_go_along():
    rng = np.random.default_rng(8)
    weights, groups = rng.integers(1, 4, 240).astype(float), np.arange(240) // 4
    made = choices(weights=weights, groups=groups)
    found = ck.evaluate(made)
    assert found["nll"].value == pytest.approx(np.average(brute(made)[2], weights=weights), rel=1e-13)
    repeated = made.take(np.repeat(np.arange(240), weights.astype(int)))
    plain = ck.evaluate(replace(repeated, weights=None, groups=None), confidence_level=None)
    assert plain["ece"].value == pytest.approx(found["ece"].value, rel=1e-12)
