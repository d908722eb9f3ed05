"""The benchmarks run, on arrays so small that their times mean nothing."""

import queue

import numpy as np
import pytest

from benchmarks import files, peers, scale, scaling, throughput
from benchmarks.measuring import Case, head, line

torch = pytest.importorskip("torch")


def cells(text):
    return [cell.strip() for cell in text.strip("|").split("|")]


def test_the_lines_of_a_table_have_one_width():
    assert head("a", "b", "c", text=2) == "| a | b | c |\n| :--- | :--- | ---: |"
    assert cells(line("1", "2")) == ["1", "2"]


def test_one_reading_and_every_type():
    case = Case(n_rows=300, n_classes=7)
    assert cells(throughput.passes(case, 1))[0] == "300 x 7"
    rows = [cells(text) for text in throughput.types(Case(n_rows=40, n_classes=70), 1)]
    assert [row[1] for row in rows] == [
        *("float32", "float32, mapped .npy", "float64", "float16", "bfloat16 tensor"),
        *("float32 probs", "float64 probs", "float16 probs", "bfloat16 probs"),
    ]
    assert cells(throughput.temperatures(case, 1))[0] == "300 x 7"


def test_calls_are_timed_in_a_process_of_their_own(tmp_path):
    peers.prepare(Case(n_rows=200, n_classes=4), tmp_path)
    found = peers.timed_calls("scikit-learn", tmp_path, 20.0, 14.0)
    assert list(found) == ["scipy softmax", "accuracy_score", "log_loss", "brier_score_loss", "calibration_curve"]
    assert all(timed.seconds > 0 and not timed.trouble for timed in found.values())


def test_a_call_that_does_not_end_is_told_from_a_process_that_did():
    lines = queue.Queue()
    peers._pass_on(["done\t0.5\n"], lines)
    assert peers._next(lines, 0.1) == ["done", "0.5"]
    assert peers._next(lines, 0.1) == [""]
    assert peers._next(lines, 0.01) == []


def test_files_are_read_in_four_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STEP", 30)
    monkeypatch.setattr(files, "N_CLASSES", 5)
    paths = files.write(tmp_path, 4 * 5 * 90)
    assert np.load(paths[1]).shape == (90, 5)
    ways = files.works(*paths)
    assert len(ways) == 4
    for work in ways.values():
        work()


def test_curves_over_rows_and_classes(monkeypatch, tmp_path):
    monkeypatch.setattr(scaling, "ROWS", {3: (50, 100), 70: (20,)})
    monkeypatch.setattr(scaling, "CLASSES", (2, 70))
    over_rows, over_classes = scaling.curves(1, 10_000)
    assert [n for n, *_ in over_rows[3]] == [50, 100]
    assert [k for k, *_ in over_classes] == [2, 70]
    scaling.draw(over_rows, over_classes, 2_000, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1_000


@pytest.mark.parametrize("kind", scale.KINDS)
def test_a_stream_covers_its_rows(monkeypatch, kind):
    monkeypatch.setattr(scale, "BLOCK", 400)
    found = scale.covered(kind, 1_000, 60.0)
    assert found.n == 1_000
    assert 0 < found.ece < 0.2
    assert scale.covered(kind, 1_000, 0.0).n == 400
