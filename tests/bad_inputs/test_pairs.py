"""Rows 48 to 52: ids, files that are compared, and class columns."""

import json

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, InputFormatError, OptionError
from tests.bad_inputs.samples import LABELS, LOGITS, PROBS, is_refusal, refused

from_probs, from_logits = ck.Predictions.from_probs, ck.Predictions.from_logits
IDS = np.array(["a", "b", "c", "d"])


@pytest.fixture
def files(tmp_path):
    """Two models on 60 rows, with ids."""
    rng = np.random.default_rng(11)
    logits, labels = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    paths = {}
    for name, factor in (("one", 1.0), ("two", 2.0)):
        paths[name] = tmp_path / f"{name}.npz"
        np.savez(paths[name], logits=factor * logits, labels=labels, ids=np.arange(60))
    return paths


def changed(path, target, **arrays):
    """The file with some arrays replaced, or left out where None."""
    with np.load(path) as old:
        kept = {key: arrays.get(key, old[key]) for key in old.files}
    np.savez(target, **{key: values for key, values in kept.items() if values is not None})
    return target


def test_row_48_duplicate_ids(run, tmp_path):
    with refused(DataError, "ids row 2: 'a' is already the id of row 0", "1 of 4 rows", "groups"):
        from_probs(LABELS, PROBS, ids=["a", "b", "a", "c"])
    with refused(DataError, "ids row 1: 7 is already the id of row 0", "3 of 4 rows"):
        from_probs(LABELS, PROBS, ids=[7, 7, 7, 7])
    np.savez(tmp_path / "net.npz", labels=LABELS, probs=PROBS, ids=[5, 6, 5, 7])
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "net.npz: ids row 2: 5")
    with refused(DataError, "ids row 1: 'b' is already the id"):
        from_probs(LABELS, PROBS, ids=IDS).take([1, 1])


def test_row_49_other_rows(run, files, tmp_path):
    shorter = changed(
        files["two"], tmp_path / "short.npz", logits=np.zeros((50, 3)), labels=np.zeros(50, int), ids=None
    )
    is_refusal(run("compare", files["one"], shorter), 4, "one has 60 rows and short has 50")
    other_ids = changed(files["two"], tmp_path / "ids.npz", ids=np.arange(7, 67))
    is_refusal(run("compare", files["one"], other_ids), 4, "ids lacks id 0, which is row 0 of one", "7 of 60 ids")
    with np.load(files["two"]) as arrays:
        labels = arrays["labels"].copy()
    labels[[17, 40]] = (labels[[17, 40]] + 1) % 3
    other_labels = changed(files["two"], tmp_path / "labels.npz", labels=labels)
    is_refusal(run("compare", files["one"], other_labels), 4, "labels differ first at row 17 (id 17)", "2 of 60 rows")
    unnamed = changed(other_labels, tmp_path / "unnamed.npz", ids=None)
    is_refusal(run("compare", files["one"], unnamed), 4, "labels differ first at row 17", "give both files ids")


def test_row_49_other_classes(run, files, tmp_path):
    fewer = changed(files["two"], tmp_path / "few.npz", logits=np.zeros((60, 4)))
    is_refusal(run("compare", files["one"], fewer), 4, "one has 3 classes and few has 4")
    is_refusal(run("compare", files["one"], "--calibrate-on", fewer), 4, "4 classes", "3", "same model")


def test_row_49_the_file_at_fault_is_named(run, files, tmp_path):
    with np.load(files["two"]) as arrays:
        logits = arrays["logits"].copy()
    logits[33, 1] = np.nan
    bad = changed(files["two"], tmp_path / "bad.npz", logits=logits)
    is_refusal(run("compare", files["one"], bad), 4, f"{bad}: logits row 33, class 1: value is NaN")
    is_refusal(run("compare", files["one"], "--calibrate-on", bad), 4, f"{bad}: logits row 33, class 1: value is NaN")
    with np.load(files["one"]) as arrays:
        np.savez(tmp_path / "both.npz", **arrays, val_logits=logits, val_labels=arrays["labels"])
    done = run("compare", tmp_path / "both.npz", "--calibrate-split", "val")
    is_refusal(done, 4, "both.npz (split val): logits row 33, class 1")


def test_row_49_only_some_have_ids_or_weights():
    one = from_logits(LABELS, LOGITS, ids=IDS)
    with_ids = ck.compare({"one": one, "two": from_logits(LABELS, 2 * LOGITS)})
    assert any("do not both hold ids" in note for note in with_ids.notes)
    with refused(DataError, "has no weights and the other has"):
        ck.compare({"one": one, "two": from_logits(LABELS, LOGITS, weights=[1, 2, 1, 1])})
    with refused(DataError, "weights differ first at row 1"):
        weighted = {str(w): from_logits(LABELS, LOGITS, weights=[1, w, 1, 1]) for w in (2, 3)}
        ck.compare(weighted)


def test_row_49_ids_in_another_order():
    order = [2, 0, 3, 1]
    moved = from_logits(LABELS[order], 2 * LOGITS[order], ids=IDS[order])
    models = {"one": from_logits(LABELS, LOGITS, ids=IDS), "two": moved}
    same = {**models, "two": from_logits(LABELS, 2 * LOGITS, ids=IDS)}
    assert ck.compare(models).differences == ck.compare(same).differences
    assert any("another order" in note for note in ck.compare(models).notes)


@pytest.mark.parametrize("view", [None, "classwise", "flattened"])
def test_row_50_a_file_against_itself(view):
    rng = np.random.default_rng(2)
    labels, logits = rng.integers(0, 3, 80), 3 * rng.normal(size=(80, 3))
    logits[5, labels[5]] = -np.inf  # an infinite score is equal to itself
    model = from_logits(labels, logits)
    result = ck.compare({"a": model, "b": from_logits(labels, logits.copy())}, view=view)
    for metric, difference in result.differences["b"].items():
        assert difference.value == 0, metric
        if metric not in ("rmsce", "mce") and (metric != "ece" or view is None):
            assert (difference.low, difference.high, difference.p_value) == (0, 0, 1), metric


def test_row_50_on_the_command_line(run, files):
    result = json.loads(run("compare", files["one"], files["one"], "--json").out)
    for stage in (result, result["scaled"]):
        for metric in ("accuracy", "gap", "ece", "nll", "brier"):
            expected = {"value": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}
            assert stage["differences"]["one (2)"][metric] == expected


def test_row_51_ragged_choices(run, tmp_path):
    path = tmp_path / "choices.jsonl"
    path.write_text('{"label": 0, "probs": [0.7, 0.3]}\n{"label": 1, "probs": [0.2, 0.5, 0.3]}\n')
    is_refusal(
        run("evaluate", path), 4, "choices.jsonl line 2: 'probs' has 3 values; the lines before have 2", "--ragged"
    )
    assert json.loads(run("evaluate", path, "--ragged", "--json").out)["metrics"]["accuracy"]["value"] == 1
    path.write_text('{"correct": true, "confidence": 0.7}\n{"correct": false, "confidence": 0.5}\n')
    assert json.loads(run("evaluate", path, "--json").out)["metrics"]["accuracy"]["value"] == 0.5
    with refused(InputFormatError, "probs", "equal lengths"):
        from_probs([0, 1], [[0.7, 0.3], [0.2, 0.5, 0.3]])


def test_row_52_class_columns_in_another_order(run, tmp_path):
    header, rows = "label,probs_{0},probs_{1}\n", [("ant", 0.7), ("bee", 0.2), ("ant", 0.6), ("bee", 0.55)]
    text = {
        "ab": header.format("ant", "bee") + "".join(f"{name},{p},{1 - p}\n" for name, p in rows),
        "ba": header.format("bee", "ant") + "".join(f"{name},{1 - p},{p}\n" for name, p in rows),
        "bw": header.format("bee", "wasp") + "".join(f"bee,{1 - p},{p}\n" for _, p in rows),
    }
    paths = {name: tmp_path / f"{name}.csv" for name in text}
    for name, path in paths.items():
        path.write_text(text[name])
    result = json.loads(run("compare", paths["ab"], paths["ba"], "--json").out)
    assert all(difference["value"] == 0 for difference in result["differences"]["ba"].values())
    assert any("aligned to those of ab by name" in note for note in result["notes"])
    is_refusal(run("compare", paths["ab"], paths["bw"]), 4, "ab and bw name different classes: 'ant'")


def test_row_52_unnamed_classes_in_another_order_are_noticed_by_their_labels():
    order = np.array([2, 0, 1])
    turned = from_logits(np.argsort(order)[LABELS], LOGITS[:, order])
    with refused(DataError, "labels differ first at row 0"):
        ck.compare({"one": from_logits(LABELS, LOGITS), "two": turned})


@pytest.mark.parametrize(
    "given", [PROBS, None, (LABELS, PROBS), {"labels": LABELS}, 3, [0.5]], ids=lambda given: type(given).__name__
)
def test_what_is_no_predictions(given):
    with refused(InputFormatError, f"expected Predictions, got {type(given).__name__}", "from_probs", "load(path)"):
        ck.evaluate(given)
    good = from_probs(LABELS, PROBS)
    with refused(InputFormatError, "models['b']: expected Predictions"):
        ck.compare({"a": good, "b": given})
    with refused(InputFormatError, "calibrate_on['a']: expected Predictions"):
        ck.compare({"a": good}, calibrate_on={"a": given})


def test_a_path_is_no_predictions_of_a_comparison():
    with refused(InputFormatError, "models['b']: expected Predictions, got str"):
        ck.compare({"a": from_probs(LABELS, PROBS), "b": "net.npz"})
    with refused(InputFormatError, "none.npz: cannot be opened: No such file"):
        ck.evaluate("none.npz")


def test_models_without_names():
    good = from_probs(LABELS, PROBS)
    for models in ([good, good], good, {1: good}):
        with refused(InputFormatError, "models: expected {name: predictions}"):
            ck.compare(models)
    with refused(OptionError, "at least one model"):
        ck.compare({})


def test_calibration_rows_that_are_none():
    good = from_probs(LABELS, PROBS)
    with refused(DataError, "a: the calibration rows are the evaluated rows"):
        ck.compare({"a": good}, calibrate_on={"a": good})
    with refused(DataError, "a (calibration rows)", "at least 2"):
        ck.compare({"a": good}, calibrate_on={"a": from_probs([0], [[0.45, 0.35, 0.2]])})
    with refused(DataError, "a (calibration rows): probs row 1, class 0: value is NaN"):
        ck.compare({"a": good}, calibrate_on={"a": from_probs([0, 1], [[0.7, 0.2, 0.1], [np.nan, 0.5, 0.5]])})
    with refused(DataError, "a (calibration rows)", "no temperature"):
        ck.compare({"a": good}, calibrate_on={"a": ck.Predictions.from_top1([0, 1], [0, 1], [0.7, 0.6])})


def test_tables_whose_columns_have_numbers_for_names():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({0: [0, 1], 1: [0.25, 0.5], 2: [0.75, 0.5]})
    from_frame = ck.Predictions.from_frame
    assert from_frame(table, labels=0, probs=1).probs.tolist() == [0.25, 0.5]
    assert from_frame(table, labels=0, probs=[1, 2]).probs.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    for missing in (7, "1", [1, 7], None):
        with refused(InputFormatError, "probs=" if missing else "columns are named for labels"):
            from_frame(table, labels=0, probs=missing)
