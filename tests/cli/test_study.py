"""``calibkit study``: verdicts on the terminal, files, exit codes."""

import numpy as np
import pytest

pytest.importorskip("torch")

from calibkit.training.study import cost

SMALL = ("--seeds", 2, "--epochs", 1, "--hidden", "4", "--noise", 0, "--jobs", 1)


def test_a_small_study_on_a_file(run, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "REPEATS", 2)
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    np.savez(tmp_path / "mine.npz", x=rng.normal(size=(120, 5)) + y[:, None], y=y)
    arguments = ("--data", tmp_path / "mine.npz", "--out", tmp_path / "out", "--page", tmp_path / "docs" / "page.md")
    (tmp_path / "docs").mkdir()
    done = run("study", *arguments, *SMALL, "--smoothing", 0.3)
    assert (done.code, done.err) == (0, "")
    assert "mine.npz (1) " in done.out
    assert "mine.npz (12) supported: The smoothed training loss" in done.out
    page = (tmp_path / "docs" / "page.md").read_text()
    assert "calibkit study --data mine.npz --smoothing 0.3 --noise 0 --seeds 2 --epochs 1 --hidden 4 --out" in page
    assert str(tmp_path) not in page
    assert (tmp_path / "docs" / "images" / "page-mine.png").exists()


@pytest.mark.parametrize(
    ("y", "code", "said"),
    [
        (np.ones(40, int), 4, "every label of y is 1"),
        (np.array(["cat", "dog"] * 20), 4, "y"),
        (np.arange(12) % 2, 4, "12 rows"),
    ],
)
def test_data_that_cannot_be_studied(run, tmp_path, y, code, said):
    np.savez(tmp_path / "d.npz", x=np.zeros((len(y), 2)), y=y)
    done = run("study", "--data", tmp_path / "d.npz", "--out", tmp_path / "out", *SMALL)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_options_are_named_as_flags(run, tmp_path):
    done = run("study", "--out", tmp_path / "out", "--seeds", 1)
    assert done.code == 2
    assert "--seeds 1: one seed gives no interval" in done.err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert run("study", "--out", tmp_path / "full").code == 5
    assert run("study", "--out", tmp_path / "o", "--page", "x.html").code == 2
