"""`calibkit evaluate`: tables, JSON, files, and the same numbers as the library."""

import csv
import json
import re

import numpy as np
import pytest

import calibkit as ck


def test_a_table_names_the_convention_with_the_number(run, pair):
    done = run("evaluate", pair["sharp"])
    assert (done.code, done.err) == (0, "")
    for part in ("sharp", "600 rows", "4 classes", "top-label", "15 equal-width bins (lo, hi]", "NLL", "Brier", "ECE"):
        assert part in done.out


def test_json_is_the_library_s_evaluation(run, pair):
    done = run("evaluate", pair["sharp"], "--json", "--bins", 10, "--edges", "left", "--seed", 3)
    expected = ck.evaluate(ck.load(pair["sharp"]), n_bins=10, edges="left", rng=3).to_dict()
    assert json.loads(done.out) == json.loads(json.dumps(expected))


def test_several_files_stand_side_by_side(run, pair):
    done = run("evaluate", pair["sharp"], pair["true"], "--json")
    result = json.loads(done.out)
    assert result["schema"] == "calibkit.evaluations/1"
    assert [one["name"] for one in result["evaluations"]] == ["sharp", "true"]
    table = run("evaluate", pair["sharp"], pair["true"]).out
    assert "sharp" in table
    assert "true" in table


def test_the_per_bin_table_is_written(run, pair, tmp_path):
    out = tmp_path / "bins.csv"
    assert run("evaluate", pair["sharp"], "--table", out).code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    curve = ck.evaluate(ck.load(pair["sharp"])).reliability
    assert [int(row["count"]) for row in rows] == list(curve.count)
    assert run("evaluate", pair["sharp"], "--table", tmp_path / "no" / "bins.csv").code == 5


def test_everything_is_added_on_request(run, pair, monkeypatch):
    assert "Beyond the table" not in run("evaluate", pair["sharp"]).out
    monkeypatch.setenv("COLUMNS", "80")
    out = run("evaluate", pair["sharp"], "--all").out
    # One table: it is not parted for its width.
    assert re.search(r"^- AURC +[\d.]+  \[[\d., ]+\], lower is better", out, re.M)
    result = json.loads(run("evaluate", pair["sharp"], "--all", "--json").out)
    assert result == json.loads(json.dumps(ck.evaluate(ck.load(pair["sharp"]), metrics="all").to_dict()))


def test_markdown_can_be_pasted(run, pair):
    assert "| :--" in run("evaluate", pair["sharp"], "--markdown").out


def test_no_intervals_when_not_asked_for(run, pair):
    result = json.loads(run("evaluate", pair["sharp"], "--json", "--confidence-level", 0).out)
    assert result["settings"]["confidence_level"] is None
    assert result["metrics"]["nll"]["low"] is None


def test_another_split_and_named_arrays(run, pair, tmp_path):
    done = run("evaluate", pair["sharp"], "--split", "val", "--json")
    assert json.loads(done.out)["n"] == 300
    named = tmp_path / "named.npz"
    with np.load(pair["sharp"]) as arrays:
        np.savez(named, a=arrays["logits"], b=arrays["labels"])
    unclear = run("evaluate", named)
    assert unclear.code == 4
    assert "a" in unclear.err
    assert "b" in unclear.err
    assert "--logits" in unclear.err
    assert run("evaluate", named, "--logits", "a", "--labels", "b").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--bins", "0"], 2, "bins"),
        (["--bins", "ten"], 2, "ten"),
        (["--bins", "2.5"], 2, "2.5"),
        (["--bins", "1000000000"], 2, "100,000"),
        (["--view", "toplabel"], 2, "top-label"),
        (["--view", "positive"], 4, "4 classes"),
        (["--confidence-level", "1.5"], 2, "confidence-level"),
        (["--frobnicate"], 2, "frobnicate"),
        (["--split", "dev"], 4, "val"),
    ],
)
def test_a_mistake_is_one_message_and_a_code(run, pair, arguments, code, said):
    done = run("evaluate", pair["sharp"], *arguments)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_missing_file_is_bad_input(run, tmp_path):
    done = run("evaluate", tmp_path / "none.npz")
    assert done.code == 4
    assert "none.npz" in done.err


def test_a_table_over_its_own_input_is_refused(run, pair, tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(pair["sharp"])
    before = pair["sharp"].read_bytes()
    assert run("evaluate", pair["sharp"], "--table", link).code == 5
    assert pair["sharp"].read_bytes() == before


def test_json_lines_come_from_standard_input(run, monkeypatch):
    import io
    import sys

    lines = '{"label": 1, "prob": 0.8}\n{"label": 0, "prob": 0.3}\n{"label": 1, "prob": 0.6}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    result = json.loads(run("evaluate", "-", "--json").out)
    assert (result["n"], result["view"]) == (3, "positive")


def test_labels_that_are_names(run, tmp_path):
    path = tmp_path / "letters.jsonl"
    rows = [("A", "A", 0.8), ("B", "C", 0.55), ("D", "D", 0.7), ("C", "C", 0.9)]
    path.write_text("".join(json.dumps({"label": y, "pred": p, "conf": c}) + "\n" for y, p, c in rows))
    refused = run("evaluate", path)
    assert refused.code == 4
    assert "--class-names" in refused.err
    result = json.loads(run("evaluate", path, "--class-names", "A,B,C,D", "--json").out)
    assert result["metrics"]["accuracy"]["value"] == 0.75


def test_columns_of_the_classes_are_named_in_their_order(run, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("truth,eel,cat,dog\n1,0.1,0.2,0.7\n0,0.1,0.6,0.3\n")
    done = run("evaluate", path, "--labels", "truth", "--probs", "cat, dog,eel", "--json")
    metrics = json.loads(done.out)["metrics"]
    assert metrics["accuracy"]["value"] == 1
    assert metrics["mean_confidence"]["value"] == pytest.approx(0.65)
    assert run("evaluate", path, "--labels", "truth", "--probs", "cat,dgo").code == 4


def test_two_outputs_at_once_are_a_usage_error(run, pair):
    done = run("evaluate", pair["sharp"], "--json", "--markdown")
    assert (done.code, done.out) == (2, "")
    assert "--json and --markdown" in done.err


@pytest.mark.usefixtures("pair")
def test_a_pattern_is_for_parts_of_one_test_set(run, tmp_path):
    pattern = str(tmp_path / "[st]*.npz")
    refused = run("evaluate", pattern)
    assert refused.code == 4
    assert "is a pattern, not a file (it matches 2): --together makes one evaluation of all their rows" in refused.err
    assert "no file matches" in run("evaluate", tmp_path / "x*.npz").err
    assert "1,200 rows" in run("evaluate", pattern, "--together").out
