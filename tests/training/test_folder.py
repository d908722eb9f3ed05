"""A run's folder is complete if it has run.json; what else it holds is not touched."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calibkit import Predictions, load
from calibkit.errors import OutputError
from calibkit.training import mlp
from calibkit.training.folder import open_folder, write_run


def predictions(shift=0.0):
    return Predictions.from_logits([0, 1, 1], np.array([[0.3, 1.0], [0.2, -0.7], [1.0, 1.5]]) + shift)


def write(folder, **record):
    model = mlp(4, 2, hidden=(3,), seed=1)
    settings = {"smoothing": 0.1, "convention": "uniform", "seed": 1, **record}
    write_run(folder, model=model, validation=predictions(), test=predictions(1.0), record=settings)
    return model


def test_what_is_written_can_be_read(tmp_path):
    model = write(tmp_path, history=[{"nll": math.inf, "loss": 0.5}])
    weights = load_file(tmp_path / "weights.safetensors")
    assert set(weights) == set(model.state_dict())
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert load(tmp_path / "val.npz") == predictions()
    assert load(tmp_path / "test.npz") == predictions(1.0)
    assert json.loads((tmp_path / "run.json").read_text())["history"] == [{"nll": "inf", "loss": 0.5}]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_run_that_is_cut_off_has_no_record(tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("calibkit.training.folder.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, seed=2)
    assert not (tmp_path / "run.json").exists()
    assert load(tmp_path / "test.npz") == predictions(1.0)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folders_are_made_and_occupied_ones_refused(tmp_path):
    made = open_folder(tmp_path / "runs" / "a", overwrite=False)
    assert made.is_dir()
    assert open_folder(str(made), overwrite=False) == made  # empty is fine
    (made / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"is not empty.*overwrite=True"):
        open_folder(made, overwrite=False)
    assert open_folder(made, overwrite=True) == made
    assert (made / "notes.txt").exists()


@pytest.mark.parametrize("name", ["file", "file/below", "nul\0", "x" * 300])
def test_folders_that_cannot_be_made(name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        open_folder(tmp_path / name, overwrite=True)


def test_a_folder_where_a_file_should_go(tmp_path):
    (tmp_path / "test.npz").mkdir()
    with pytest.raises(OutputError, match=r"test\.npz"):
        write(tmp_path)
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OutputError, match=r"run\.json"):
        write(tmp_path)
