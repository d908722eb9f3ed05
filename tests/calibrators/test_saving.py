"""A calibrator's JSON: every bit comes back, and nothing damaged is taken for a calibrator."""

import json

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import calibkit as ck
from tests.calibrators.samples import every_calibrator, given, name, rows

EVERY = pytest.mark.parametrize("calibrator", every_calibrator(), ids=name)


def fitted_to(calibrator, n_classes=3, *, kind="logits", flat=False):
    labels, values = given(n_classes, kind, flat=flat)
    return calibrator.set_params(input=kind).fit(values, labels), values


@pytest.mark.parametrize(
    ("n_classes", "kind", "flat"), [(3, "logits", False), (2, "logits", True), (2, "probs", False), (2, "probs", True)]
)
@EVERY
def test_what_was_saved_forecasts_the_same_bits(tmp_path, calibrator, n_classes, kind, flat):
    fitted, values = fitted_to(calibrator, n_classes, kind=kind, flat=flat)
    fitted.save(tmp_path / "one.json")
    read = ck.load_calibrator(tmp_path / "one.json")
    assert type(read) is type(fitted)
    assert read.get_params() == fitted.get_params()
    np.testing.assert_array_equal(read.predict_proba(values), fitted.predict_proba(values))
    np.testing.assert_array_equal(read.classes_, fitted.classes_)
    read.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_shared_maps_names_of_columns_and_labels_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    labels, logits = rows()
    frame = pandas.DataFrame(logits, columns=["a", "b", "c"])
    fitted = ck.PlattScaling(maps="shared").fit(frame, np.array(["cat", "dog", "eel"])[labels])
    fitted.save(tmp_path / "c.json")
    read = ck.load_calibrator(tmp_path / "c.json")
    assert read.slopes_.shape == (1,)
    assert read.feature_names_in_.tolist() == ["a", "b", "c"]
    assert read.classes_.tolist() == ["cat", "dog", "eel"]
    np.testing.assert_array_equal(read.predict(frame), fitted.predict(frame))


def test_log_odds_against_the_first_class_come_back(tmp_path):
    labels, logits = rows()
    against = logits[:, 1:] - logits[:, :1]
    with pytest.warns(UserWarning, match="log-odds"):
        fitted = ck.TemperatureScaling().fit(against, labels)
    fitted.save(tmp_path / "c.json")
    np.testing.assert_array_equal(
        ck.load_calibrator(tmp_path / "c.json").predict_proba(against), fitted.predict_proba(against)
    )


def test_options_of_numpy_s_types_are_written_as_plain_numbers(tmp_path):
    labels, logits = rows()
    ck.VectorScaling(penalty=np.float64(0.5)).fit(logits, labels).save(tmp_path / "c.json")
    assert ck.load_calibrator(tmp_path / "c.json").penalty == 0.5


@EVERY
def test_what_is_not_fitted_cannot_be_saved(tmp_path, calibrator):
    with pytest.raises(NotFittedError):
        type(calibrator)().save(tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


def test_labels_that_json_has_no_word_for_are_refused(tmp_path):
    labels, logits = rows()
    fitted = ck.TemperatureScaling().fit(logits, labels)
    fitted.classes_ = np.array([b"a", b"b", b"c"])
    with pytest.raises(ck.OutputError, match="cannot be written as JSON"):
        fitted.save(tmp_path / "c.json")


@pytest.fixture
def damaged(tmp_path):
    """Write a saved calibrator with some fields changed; a field that is ... is left out."""

    def damage(calibrator, **changes):
        fitted, _ = fitted_to(calibrator)
        fitted.save(tmp_path / "c.json")
        plain = json.loads((tmp_path / "c.json").read_text())
        for field, value in changes.items():
            place = plain["fitted"] if field in plain["fitted"] else plain
            place[field] = value
            if value is ...:
                del place[field]
        (tmp_path / "c.json").write_text(json.dumps(plain))
        return tmp_path / "c.json"

    return damage


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("TemperatureScaling", {"schema": "calibkit.calibrator/2"}, "this version of calibkit reads"),
        ("TemperatureScaling", {"schema": "calibkit.predictions/1"}, "is not a calibrator"),
        ("TemperatureScaling", {"method": "magic"}, "unknown method magic"),
        ("TemperatureScaling", {"method": ...}, "the field 'method' is missing"),
        ("TemperatureScaling", {"method": "vector"}, "fitted holds"),
        ("TemperatureScaling", {"options": {"depth": 3}}, "options: .*depth"),
        ("TemperatureScaling", {"options": {"loss": "mse"}}, "options: loss='mse'"),
        ("TemperatureScaling", {"classes": [0]}, "classes are not two or more"),
        ("TemperatureScaling", {"classes": [0, 1, 1]}, "classes are not two or more"),
        ("TemperatureScaling", {"classes": [0, 1, "two"]}, "classes are not two or more"),
        ("TemperatureScaling", {"n_columns": 7}, "n_columns is 7 for 3 classes"),
        ("TemperatureScaling", {"n_columns": True}, "the field 'n_columns'"),
        ("TemperatureScaling", {"column_names": ["a"]}, "column_names are not the names of 3 columns"),
        ("TemperatureScaling", {"temperature_": -1.0}, "temperature_ is outside"),
        ("TemperatureScaling", {"temperature_": "2"}, "temperature_: is not the numbers"),
        ("TemperatureScaling", {"temperature_": 10**400}, "temperature_: is not the numbers"),
        ("TemperatureScaling", {"temperature_interval_": [1.0]}, r"has shape \(1,\); expected \(2,\)"),
        ("TemperatureScaling", {"fitted": {}}, "fitted holds"),
        ("TemperatureScaling", {"fitted_on": {"n_rows": 3}}, "fitted_on does not say"),
        ("TemperatureScaling", {"fitted_on": {"n_rows": 3, "total": 1, "rows": [0.5]}}, "fitted_on does not say"),
        ("TemperatureScaling", {"fitted_on": {"n_rows": 3, "total": 1, "rows": [1] * 300}}, "fitted_on does not say"),
        ("EnsembleTemperatureScaling", {"weights_": [0.5, 0.6, 0.1]}, "weights_ are not a distribution"),
        ("EnsembleTemperatureScaling", {"temperature_": 1e4}, "temperature_ is outside"),
        ("VectorScaling", {"weights_": [1.0, 2.0]}, r"weights_: has shape \(2,\); expected \(3,\)"),
        ("DirichletCalibration", {"weights_": [[1.0, 2.0, 3.0], [1.0]]}, "weights_: is not the numbers"),
        ("BetaCalibration", {"coefficients_": [[1.0, -2.0, 0.0]] * 3}, "a or b are below 0"),
        ("IsotonicCalibration", {"thresholds_": [[0.1, 0.1]] * 3}, "differ in length|do not rise"),
        ("IsotonicCalibration", {"thresholds_": [[0.1]]}, "expected 3 lists of numbers"),
        ("HistogramBinning", {"edges_": [[0.0, 1.0]] * 3}, "edges_ are not one more than values_"),
        ("HistogramBinning", {"edges_": [[0.0, 0.5]] * 3, "values_": [[0.5]] * 3}, "edges_ do not rise from 0 to 1"),
        ("HistogramBinning", {"edges_": [[0.0, 1.0]] * 3, "values_": [[1.5]] * 3}, r"values_ are outside \[0, 1\]"),
    ],
)
def test_damage_is_refused_with_its_field(damaged, kind, changes, words):
    with pytest.raises(ck.InputFormatError, match=rf"c\.json: .*({words})"):
        ck.load_calibrator(damaged(getattr(ck, kind)(), **changes))


def test_a_value_of_a_map_that_falls_is_refused(damaged):
    steps = {"thresholds_": [[0.1, 0.9]] * 3, "values_": [[0.6, 0.2]] * 3}
    with pytest.raises(ck.InputFormatError, match="or values_ fall"):
        ck.load_calibrator(damaged(ck.IsotonicCalibration(), **steps))
    steps["values_"] = [[0.6, 1.2]] * 3
    with pytest.raises(ck.InputFormatError, match="values_ are outside"):
        ck.load_calibrator(damaged(ck.IsotonicCalibration(), **steps))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": NaN}', "\x80", '{"schema": "calibkit.calibrator/1"}'])
def test_files_that_are_no_calibrator(tmp_path, text):
    (tmp_path / "c.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ck.InputFormatError, match=r"c\.json"):
        ck.load_calibrator(tmp_path / "c.json")


def test_a_file_too_large_for_a_calibrator_is_not_parsed(tmp_path, monkeypatch):
    from calibkit.calibrators import saving

    fitted, _ = fitted_to(ck.BetaCalibration())
    fitted.save(tmp_path / "c.json")
    monkeypatch.setattr(saving, "MAX_BYTES", 100)
    with pytest.raises(ck.LimitError, match=r"c\.json: is larger than 100 bytes"):
        ck.load_calibrator(tmp_path / "c.json")
    (tmp_path / "c.json").write_text("[" * 99)
    with pytest.raises(ck.InputFormatError, match=r"c\.json: is not the JSON of a calibrator"):
        ck.load_calibrator(tmp_path / "c.json")


def test_no_cut_or_changed_byte_of_a_file_is_a_crash(tmp_path):
    fitted, _ = fitted_to(ck.BetaCalibration())
    fitted.save(tmp_path / "c.json")
    whole = (tmp_path / "c.json").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        bent = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
        for place in rng.integers(0, len(bent), 3):
            bent[place] = rng.integers(0, 256)
        (tmp_path / "c.json").write_bytes(bent)
        try:
            ck.load_calibrator(tmp_path / "c.json")
        except ck.InputFormatError:
            continue
