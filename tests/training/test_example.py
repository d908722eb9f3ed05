"""The examples for users with a loop, and with networks, of their own run as they stand."""

import json
import re
import runpy
import sys
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


CHECKPOINTS = EXAMPLE.with_name("transformers_checkpoints.py")


@pytest.mark.parametrize("library", ["as it is", "absent"])
def test_checkpoints_whose_network_gives_an_object_with_logits(
    tmp_path, monkeypatch, capsys, user_module, run_command, library
):
    """With transformers where it is installed, and on the stand-in; by the script and by its command."""
    if library == "absent":
        monkeypatch.setitem(sys.modules, "transformers", None)
    user_module(CHECKPOINTS.read_text(), "transformers_checkpoints")
    runpy.run_path(str(CHECKPOINTS), run_name="__main__")
    assert "Verdict" in capsys.readouterr().out
    command = " ".join(
        re.search(r"^    (calibkit compare .*?)\n\"\"\"", CHECKPOINTS.read_text(), re.M | re.S)[1].split("\\\n")
    )
    found = json.loads(run_command(*command.split()[1:], "--json"))
    assert list(found["models"]) == ["hard", "smooth"]
    assert found["models"]["hard"]["n"] == 800
    assert found["temperature"]["hard"]["source"].startswith("fitted on")
    assert found["models"]["smooth"]["metrics"]["accuracy"]["value"] > 0.5  # chance gives .25
    assert (tmp_path / "hard.safetensors").is_file()


def test_the_study_of_data_of_your_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE.with_name("study_your_data.py")), run_name="__main__")
    printed = capsys.readouterr().out
    assert "breast-cancer.npz (1) " in printed
    assert "every claim with its evidence: study/what-smoothing-does.md" in printed
    assert "The data have two classes." in (tmp_path / "study" / "what-smoothing-does.md").read_text()
