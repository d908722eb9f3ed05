"""--ragged on the command line: what a user reads of questions with unlike numbers of choices."""

import json

import numpy as np
import pytest


@pytest.fixture
def choices(tmp_path):
    """Two models of the same questions of 1 to 5 choices."""
    for name, scale in (("a", 3.0), ("b", 1.5)):
        rng = np.random.default_rng(0)
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            for number in range(200):
                row = rng.normal(size=rng.integers(1, 6))
                label = int((row + rng.gumbel(size=len(row)) / 1.5).argmax())
                print(json.dumps({"id": f"q{number}", "label": label, "logits": (scale * row).tolist()}), file=file)
    return tmp_path


def test_evaluate(run, choices):
    shown = run("evaluate", choices / "a.jsonl", "--ragged").out
    assert shown.startswith("a: 200 rows, 1 to 5 choices, top-label view")
    assert "- Ragged rows: each is scored over its own choices, which are not classes." in shown
    assert "rows have one choice alone: certain and right, whatever the model." in shown
    refused = run("evaluate", choices / "a.jsonl")
    assert refused.code == 4
    assert "Questions with unlike numbers of choices are read by --ragged." in refused.err
    view = run("evaluate", choices / "a.jsonl", "--ragged", "--view", "classwise")
    assert view.code == 4
    assert "--view classwise is about classes, and the choices of ragged rows are none" in view.err
    every = run("evaluate", choices / "a.jsonl", "--ragged", "--all", "--json")
    assert set(json.loads(every.out)["absent"]) == {"classwise_ece", "class_conditional_ece", "log_skill"}


def test_labels_that_are_letters(run, choices):
    lines = [json.loads(line) for line in (choices / "a.jsonl").read_text().splitlines()]
    letters = [{"answer": "ABCDE"[line["label"]], "logits": line["logits"]} for line in lines]
    (choices / "letters.jsonl").write_text("".join(json.dumps(line) + "\n" for line in letters))
    asked = ("evaluate", choices / "letters.jsonl", "--labels", "answer", "--ragged")
    unnamed = run(*asked)
    assert unnamed.code == 4
    assert f"'{letters[0]['answer']}' is a name; pass --class-names A,B,..., the names of a row's first," in unnamed.err
    named = [*asked, "--class-names", "A,B,C,D,E", "--json"]
    expected = json.loads(run("evaluate", choices / "a.jsonl", "--ragged", "--json").out)
    assert json.loads(run(*named).out)["metrics"] == expected["metrics"]
    assert run(*named, "--save-state", choices / "letters.ckst").code == 0
    assert run("evaluate", choices / "a.jsonl", "--ragged", "--save-state", choices / "a.ckst").code == 0
    merged = [json.loads(run("merge", choices / f"{name}.ckst", "--json").out) for name in ("letters", "a")]
    assert merged[0]["metrics"] == merged[1]["metrics"]
    view = run(*named, "--view", "classwise")
    assert "is about classes, and the choices of ragged rows are none" in view.err
    letters[3]["answer"] = "E"
    letters[3]["logits"] = [0.5, 1.5]
    (choices / "letters.jsonl").write_text("".join(json.dumps(line) + "\n" for line in letters))
    beyond = run(*named)
    assert beyond.code == 4
    assert "letters.jsonl: labels row 3: value is 'E' (1 of 200 rows); expected 'A' to 'B' for 2 choices" in beyond.err


def test_log_likelihoods_of_tokens(run, tmp_path):
    lines = [{"label": 2, "ll": [-4.1, -3.2, -6.0]}, {"label": 0, "ll": [-0.9, -2.6]}]
    path = tmp_path / "harness.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for given, code, said in (
        (["--probs", "ll"], 4, "pass it as --logits KEY; logs of probabilities that sum to 1 need --log-probs."),
        (["--probs", "ll", "--log-probs"], 4, "are logits: pass it as --logits KEY without --log-probs"),
        (["--logits", "ll", "--log-probs"], 2, "--log-probs is for probs; harness.jsonl would be read as logits."),
        (["--probs", "ll", "--log-probs", "--renormalize"], 2, "pass it as --logits KEY, and softmax normalises them."),
    ):
        refused = run("evaluate", path, "--ragged", *given)
        assert refused.code == code
        assert said in refused.err.replace(f"{tmp_path}/", "")
    found = json.loads(run("evaluate", path, "--ragged", "--logits", "ll", "--json").out)
    softmax = [np.exp(line["ll"]) / np.exp(line["ll"]).sum() for line in lines]
    expected = -np.log([row[line["label"]] for row, line in zip(softmax, lines, strict=True)]).mean()
    assert found["metrics"]["nll"]["value"] == pytest.approx(expected, rel=1e-14)


def test_files_together_and_their_state(run, choices):
    states = [choices / f"{name}.ckst" for name in "ab"]
    for state in states:
        assert run("evaluate", state.with_suffix(".jsonl"), "--ragged", "--save-state", state).code == 0
    merged = json.loads(run("merge", *states, "--json").out)
    both = json.loads(run("evaluate", choices / "a.jsonl", choices / "b.jsonl", "--together", "--ragged", "--json").out)
    assert merged["metrics"] == both["metrics"]
    assert merged["settings"]["choices"] == [1, 5]


def test_compare_inspect_and_recalibrate(run, choices):
    shown = run("compare", choices / "a.jsonl", choices / "b.jsonl", "--ragged").out
    assert shown.startswith("Comparison of 2 models on the same rows: 200 rows, 1 to 5 choices, top-label")
    assert "Temperatures: cross-fitted over 5 folds of the same rows." in shown
    said = " ".join(run("inspect", choices / "a.jsonl").out.split())
    assert "Would be read: nothing Why not: " in said
    assert "the lists of logits hold 1 to 5 choices: ragged rows" in said
    assert said.endswith("They are read by --ragged.")
    assert "logits of 200 rows of 1 to 5 choices" in run("inspect", choices / "a.jsonl", "--ragged").out
    done = run("recalibrate", "cross-fit", choices / "a.jsonl", "--ragged", "-o", choices / "c.npz")
    assert done.code == 0
    scaled = json.loads(run("evaluate", choices / "c.npz", "--json").out)
    assert scaled["settings"]["choices"] == [1, 5]
    vector = run("recalibrate", "fit", choices / "a.jsonl", "--ragged", "-o", choices / "v.json", "--method", "vector")
    assert vector.code == 4
    assert "A temperature can be fitted" in vector.err
