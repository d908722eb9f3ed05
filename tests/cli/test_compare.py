"""`calibkit compare`: calibration rows, names, refusals."""

import json

import numpy as np
import pytest

import calibkit as ck


def test_a_comparison_is_printed_with_its_verdict(run, pair):
    done = run("compare", pair["sharp"], pair["true"], "--calibrate-split", "val")
    assert (done.code, done.err) == (0, "")
    for part in ("sharp", "true", "600 rows", "true has the better log score", "one seed each", "Verdict"):
        assert part in done.out


def test_json_is_the_library_s_comparison(run, pair):
    done = run("compare", pair["sharp"], pair["true"], "--calibrate-split", "val", "--reference", "true", "--json")
    expected = ck.compare(
        {name: ck.load(path) for name, path in pair.items()},
        calibrate_on={name: ck.load(path, split="val") for name, path in pair.items()},
        reference="true",
    )
    assert json.loads(done.out) == json.loads(json.dumps(expected.to_dict()))
    assert json.loads(run("compare", *pair.values(), "--reference", pair["true"], "--json").out)["reference"] == "true"


def test_calibration_files_are_taken_in_the_order_of_the_files(run, pair, tmp_path):
    rows = {name: tmp_path / f"{name}-val.npz" for name in pair}
    for name, path in pair.items():
        ck.save(ck.load(path, split="val"), rows[name])
    flags = [f"--calibrate-on={rows[name]}" for name in pair]
    by_file = json.loads(run("compare", *pair.values(), *flags, "--json").out)
    by_split = json.loads(run("compare", *pair.values(), "--calibrate-split", "val", "--json").out)
    assert by_file["temperature"] == by_split["temperature"]
    assert by_file["scaled"] == by_split["scaled"]


def test_one_file_is_shown_before_and_after(run, pair):
    result = json.loads(run("compare", pair["sharp"], "--calibrate-split", "val", "--json").out)
    assert result["differences"] == {}
    assert (
        result["scaled"]["models"]["sharp"]["metrics"]["ece"]["value"]
        < result["models"]["sharp"]["metrics"]["ece"]["value"]
    )


def test_a_file_against_itself_gives_exactly_nothing(run, pair):
    result = json.loads(run("compare", pair["sharp"], pair["sharp"], "--json").out)
    assert list(result["models"]) == ["sharp", "sharp (2)"]
    for metric in ("nll", "ece", "brier", "accuracy"):
        assert result["differences"]["sharp (2)"][metric] == {"value": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}


def test_names_are_the_shortest_that_tell_files_apart(run, pair, tmp_path):
    for name, path in pair.items():
        (tmp_path / name).mkdir()
        path.rename(tmp_path / name / "test.npz")
    result = json.loads(run("compare", tmp_path / "sharp" / "test.npz", tmp_path / "true" / "test.npz", "--json").out)
    assert list(result["models"]) == ["sharp/test", "true/test"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--calibrate-on", "x.npz"], "one each in their order"),
        (["--calibrate-on", "x.npz", "--calibrate-on", "y.npz", "--calibrate-split", "val"], "not both"),
        (["--reference", "tru"], "true"),
    ],
)
def test_usage_errors(run, pair, flags, said):
    done = run("compare", pair["sharp"], pair["true"], *flags)
    assert done.code == 2
    assert said in done.err


def test_other_labels_are_refused_with_the_first_difference(run, pair, tmp_path):
    other = tmp_path / "other.npz"
    with np.load(pair["true"]) as arrays:
        labels = arrays["labels"].copy()
        labels[17] = (labels[17] + 1) % 4
        np.savez(other, logits=arrays["logits"], labels=labels)
    done = run("compare", pair["sharp"], other)
    assert done.code == 4
    assert "labels differ first at row 17" in done.err


def test_the_figure_is_written(run, pair, tmp_path):
    out = tmp_path / "comparison.png"
    assert run("compare", *pair.values(), "--figure", out).code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert run("compare", *pair.values(), "--figure", tmp_path / "comparison.gif").code == 2
