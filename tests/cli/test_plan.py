"""`calibkit plan`: the library's plan as a table, Markdown and JSON; usage errors."""

import json

import numpy as np
import pytest

import calibkit as ck


def test_a_table_states_rows_power_and_assumptions(run):
    done = run("plan", "--ece", 0.02, "--difference", 0.01, "--power", 0.8)
    assert (done.code, done.err) == (0, "")
    for part in (
        "Rows that a test set needs",
        "ECE of 0.02 is detected",
        "difference of 0.01 in NLL",
        "Assumed",
        "80%",
    ):
        assert part in done.out


def test_json_is_the_library_s_plan(run, pair):
    done = run("plan", "--difference", 0.02, "--ece", 0.1, "--like", pair["sharp"], "--like", pair["true"],
               "--split", "val", "--bins", 10, "--metric", "ece", "--metric", "brier", "--json")  # fmt: skip
    pilots = [ck.load(pair[name], split="val", name=name) for name in ("sharp", "true")]
    expected = ck.plan(difference=0.02, ece=0.1, like=pilots, n_bins=10, metrics=["ece", "brier"]).to_dict()
    assert json.loads(done.out) == json.loads(json.dumps(expected))


def test_what_given_rows_can_show(run, pair):
    done = run("plan", "--rows", 5_000, "--like", pair["sharp"])
    assert done.code == 0
    for part in ("What 5,000 rows can show", "least ECE that is detected", "least difference in accuracy", "sharp"):
        assert part in done.out


def test_markdown_can_be_pasted(run):
    assert "| so that | rows |" in run("plan", "--width", 0.05, "--markdown").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "nothing is asked"),
        (("--ece", 0), 2, "--ece 0.0: expected"),
        (("--difference", 0.1, "--metric", "mse"), 2, "--metric mse"),
        (("--rows", 500, "--width", 0.1), 2, "rows and width"),
        (("--ece", 0.1, "--split", "val"), 2, "--split is about a pilot"),
        (("--ece", 0.1, "--confidence-level", 0), 2, "needs a level"),
        (("--ece", 0.1, "--json", "--markdown"), 2, "two outputs"),
        (("--ece", 0.1, "--like", "absent.npz"), 4, "absent.npz"),
        (("--ece", 0.1, "--like", "-", "--like", "-"), 2, "only once"),
        (("--ece", 0.1, *["--like", "a.npz"] * 3), 2, "one pilot, or two"),
    ],
)
def test_usage_errors(run, arguments, code, said):
    done = run("plan", *arguments)
    assert done.code == code
    assert said in done.err


def test_a_pilot_that_cannot_tell_is_named_by_its_file(run, tmp_path):
    path = tmp_path / "small.npz"
    np.savez(path, correct=np.arange(20) % 2 == 0, confidence=np.full(20, 0.7))
    done = run("plan", "--ece", 0.1, "--like", path)
    assert done.code == 4
    assert f"{path}: a pilot of 20 rows" in done.err
