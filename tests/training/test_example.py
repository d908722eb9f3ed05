"""The example for users with a loop of their own runs as it stands."""

import runpy
from pathlib import Path

import pytest

from calibkit import load

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "smooth_your_own_loop.py"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(EXAMPLE))
    printed = capsys.readouterr().out
    assert "of which 0.500 is its floor" in printed
    assert "under-confident before scaling" in printed
    assert load("smoothed.npz") == names["smoothed"]
    assert names["temperature"].value == pytest.approx(0.4, abs=0.15)
