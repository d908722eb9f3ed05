"""`calibkit recalibrate`: fit on one split, apply to another, cross-fit, refusals."""

import json

import numpy as np
import pytest

import calibkit as ck
from calibkit.calibrators import METHODS


def test_fit_and_apply_are_the_library_s(run, pair, tmp_path):
    done = run("recalibrate", "fit", pair["sharp"], "--split", "val", "-o", tmp_path / "t.json")
    fitted = ck.fit_calibrator("temperature", ck.load(pair["sharp"], split="val"))
    assert (done.code, done.err) == (0, "")
    assert "temperature, T = " in done.out
    assert "95% interval [" in done.out
    assert "fitted on 300 rows" in done.out
    assert ck.load_calibrator(tmp_path / "t.json").temperature_ == fitted.temperature_
    done = run("recalibrate", "apply", pair["sharp"], tmp_path / "t.json", "-o", tmp_path / "after.npz")
    assert (done.code, done.err) == (0, "")
    assert "600 rows, calibrated by temperature, fitted on 300 other rows" in done.out
    after = ck.load(tmp_path / "after.npz")
    np.testing.assert_array_equal(after.logits, ck.calibrate(fitted, ck.load(pair["sharp"])).logits)
    assert after.provenance["calibrated"]["method"] == "temperature"
    for file in (tmp_path / "after.npz", pair["sharp"]):
        assert run("evaluate", file).code == 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_file_that_can_be_evaluated(run, pair, tmp_path, method):
    assert (
        run("recalibrate", "fit", pair["sharp"], "--method", method, "--split=val", "-o", tmp_path / "c.json").code == 0
    )
    assert run("recalibrate", "apply", pair["sharp"], tmp_path / "c.json", "-o", tmp_path / "a.npz").code == 0
    before, after = (
        json.loads(run("evaluate", f, "--json").out)["metrics"] for f in (pair["sharp"], tmp_path / "a.npz")
    )
    assert after["brier"]["value"] < before["brier"]["value"]


def test_options_of_the_method(run, pair, tmp_path):
    out = tmp_path / "c.json"
    run("recalibrate", "fit", pair["sharp"], "--method=histogram", "--bins=4", "--maps=shared", "-o", out)
    fitted = ck.load_calibrator(out)
    assert (fitted.n_bins, fitted.maps, len(fitted.values_)) == (4, "shared", 1)
    run("recalibrate", "fit", pair["sharp"], "--method=dirichlet", "--penalty=0.1", "--bias-penalty=0.2", "-o", out)
    assert (ck.load_calibrator(out).penalty, ck.load_calibrator(out).bias_penalty) == (0.1, 0.2)
    run("recalibrate", "fit", pair["sharp"], "--loss=brier", "-o", out)
    assert ck.load_calibrator(out).loss == "brier"
    assert "interval" not in run("recalibrate", "fit", pair["sharp"], "--loss=brier", "-o", out).out


def test_cross_fitting(run, pair, tmp_path):
    out = tmp_path / "crossed.npz"
    done = run("recalibrate", "cross-fit", pair["sharp"], "--method=isotonic", "--folds=3", "--seed=5", "-o", out)
    assert (done.code, done.err) == (0, "")
    assert "calibrated by isotonic, cross-fitted over 3 folds of the same rows" in done.out
    expected = ck.cross_calibrate("isotonic", ck.load(pair["sharp"]), n_folds=3, rng=5)
    np.testing.assert_array_equal(ck.load(out).probs, expected.probs)


def test_the_rows_of_the_fit_are_refused(run, pair, tmp_path):
    run("recalibrate", "fit", pair["sharp"], "-o", tmp_path / "t.json")
    done = run("recalibrate", "apply", pair["sharp"], tmp_path / "t.json", "-o", tmp_path / "after.npz")
    assert done.code == 4
    assert done.err.startswith(f"calibkit: error: {pair['sharp']}: predictions: 100% of the 600 rows")
    assert "calibkit recalibrate cross-fit" in done.err
    assert not (tmp_path / "after.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fit", "FILE", "--method=magic", "-o", "OUT.json"], 2, "--method magic: expected one of"),
        (["fit", "FILE", "--method=platt", "--loss=nll", "-o", "OUT.json"], 2, "platt has no option loss"),
        (["fit", "FILE", "--loss=mse", "-o", "OUT.json"], 2, "--loss mse: expected one of"),
        (["fit", "FILE", "--method=vector", "--penalty=-1", "-o", "OUT.json"], 2, "--penalty -1"),
        (["fit", "FILE"], 2, "Missing option '-o'"),
        (["fit", "absent.npz", "-o", "OUT.json"], 4, "absent.npz: cannot be opened"),
        (["fit", "FILE", "-o", "FILE"], 5, "is the input"),
        (["fit", "FILE", "-o", "no/such/folder.json"], 5, "there is no folder"),
        (["apply", "FILE", "FILE", "-o", "OUT.npz"], 4, "is not the JSON of a calibrator, which `calibkit recal"),
        (["apply", "c.json", "FILE", "-o", "OUT.npz"], 2, "FILE comes first: calibkit recalibrate apply"),
        (["apply", "FILE", "JSON", "-o", "JSON"], 5, "is the input"),
        (["apply", "FILE", "JSON", "-o", "OUT.csv"], 5, "predictions are saved as .npz"),
        (["cross-fit", "FILE", "--folds=1", "-o", "OUT.npz"], 2, "--folds 1"),
    ],
)
def test_mistakes_have_an_exit_code_and_a_sentence(run, pair, tmp_path, arguments, code, words):
    run("recalibrate", "fit", pair["sharp"], "--split=val", "-o", tmp_path / "JSON")
    places = {"FILE": pair["sharp"], "JSON": tmp_path / "JSON", "OUT.json": tmp_path / "o.json"}
    places |= {"OUT.npz": tmp_path / "o.npz", "OUT.csv": tmp_path / "o.csv"}
    done = run("recalibrate", *(places.get(argument, argument) for argument in arguments))
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err
    assert not any(place.exists() for place in (tmp_path / "o.json", tmp_path / "o.npz", tmp_path / "o.csv"))
