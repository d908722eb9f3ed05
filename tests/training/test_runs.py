"""Whole runs: the folder's contents, twins that differ in smoothing alone, and refusals before any training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calibkit import evaluate, load
from calibkit.errors import InputFormatError, OptionError, OutputError
from calibkit.training import mlp, predict, recipe, train_run, train_twins
from calibkit.training.data import load_dataset, split_rows
from tests.real_data import real_data

SMALL = {"epochs": 2, "hidden": (8,), "device": "cpu"}


def record(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    return train_twins(tmp_path_factory.mktemp("twins"), seed=4, **SMALL)


def test_the_folder_of_a_run(tmp_path):
    folder = train_run(str(tmp_path / "a" / "smooth"), smoothing=0.1, noise=0.2, seed=7, **SMALL)
    assert folder == tmp_path / "a" / "smooth"
    assert sorted(path.name for path in folder.iterdir()) == [
        "resume.pt",
        "run.json",
        "test.npz",
        "val.npz",
        "weights.safetensors",
    ]
    run = record(folder)
    assert run["schema"] == "calibkit.run/1"
    assert (run["name"], run["smoothing"], run["convention"]) == ("smooth", 0.1, "uniform")
    assert (run["seed"], run["noise"], run["flipped_labels"]) == (7, 0.2, 216)
    assert run["split"] == {"train": 1080, "selection": 179, "calibration": 179, "test": 359}
    assert (run["data"], run["data_sha256"], run["scaling"]) == ("digits", None, {"kind": "divided", "by": 16.0})
    assert (run["hidden"], run["epochs"], run["criterion"]) == ([8], 2, "nll")
    assert len(run["history"]) == 2
    assert run["history"][0]["loss_floor"] == pytest.approx(0.50029, abs=1e-5)
    assert run["device"] == "cpu"
    assert set(run["versions"]) == {"python", "torch", "numpy", "calibkit"}


def test_predictions_are_those_of_the_kept_weights_on_clean_rows(tmp_path):
    folder = train_run(tmp_path, smoothing=0.1, noise=0.2, seed=7, **SMALL)
    data, split = load_dataset("digits"), split_rows(1797, seed=7)
    model = mlp(64, 10, hidden=(8,), seed=0)
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    for name, rows in (("val", split.calibration), ("test", split.test)):
        predictions = load(folder / f"{name}.npz")
        assert np.array_equal(predictions.ids, rows)
        assert np.array_equal(predictions.labels, data.labels[rows])
        inputs = torch.from_numpy((data.inputs[rows] / 16).astype(np.float32))
        again = predict(model, [(inputs, torch.from_numpy(data.labels[rows]))], device="cpu")
        np.testing.assert_allclose(predictions.logits, again.logits, atol=1e-5)
        assert predictions.name == tmp_path.name
        made = predictions.provenance
        assert (made["smoothing"], made["convention"], made["noise"], made["seed"]) == (0.1, "uniform", 0.2, 7)
        assert made["part"] == {"val": "calibration", "test": "test"}[name]


def test_twins_are_named_and_share_all_but_smoothing(twins):
    hard, smooth = twins
    assert (hard.name, smooth.name) == ("hard", "smooth")
    a, b = record(hard), record(smooth)
    assert {key for key in a if a[key] != b[key]} <= {"name", "smoothing", "seconds", "history"}
    assert (a["smoothing"], b["smoothing"], a["noise"], a["criterion"]) == (0.0, 0.1, 0.1, "last")
    for part in ("val.npz", "test.npz"):
        one, other = load(hard / part), load(smooth / part)
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.labels, other.labels)
        assert not np.array_equal(one.logits, other.logits)


def test_twins_start_from_the_same_weights_and_see_the_same_batches(tmp_path, monkeypatch):
    starts, seen = [], []
    real_fit = recipe.fit

    def watched(model, loader, **options):
        starts.append([value.clone() for value in model.state_dict().values()])
        seen.append([])

        def batches():
            for inputs, labels in loader:
                seen[-1].append((inputs, labels))
                yield inputs, labels

        class Watched:
            def __iter__(self):
                return batches()

        return real_fit(model, Watched(), **options)

    monkeypatch.setattr(recipe, "fit", watched)
    train_twins(tmp_path, **SMALL)
    first, second = starts
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(seen[0]) == len(seen[1]) == 2 * 17
    for (x, y), (u, v) in zip(*seen, strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)
    flipped = load_dataset("digits").labels[split_rows(1797, seed=0).train]
    assert sorted(torch.cat([y for _, y in seen[0][:17]]).tolist()) != sorted(flipped.tolist())


def test_the_same_seed_gives_the_same_bytes(twins, tmp_path):
    again = train_run(tmp_path / "smooth", smoothing=0.1, noise=0.1, seed=4, criterion="last", **SMALL)
    for name in ("weights.safetensors", "val.npz", "test.npz"):
        assert (again / name).read_bytes() == (twins[1] / name).read_bytes()


def test_the_seed_decides_split_and_weights(twins, tmp_path):
    other = train_run(tmp_path, smoothing=0.1, noise=0.1, seed=5, criterion="last", **SMALL)
    assert not np.array_equal(load(other / "test.npz").ids, load(twins[1] / "test.npz").ids)


def test_several_smoothings_are_named_by_their_value(tmp_path):
    folders = train_twins(tmp_path, smoothings=(0.05, 0.0, 0.2), epochs=1, hidden=(), device="cpu")
    assert [folder.name for folder in folders] == ["smooth-0.05", "hard", "smooth-0.2"]
    assert [record(folder)["smoothing"] for folder in folders] == [0.05, 0.0, 0.2]


def test_a_file_of_images(tmp_path):
    data = np.load(real_data("training/mnist10k.npz"))
    np.savez(tmp_path / "part.npz", x=data["x"][:1200], y=data["y"][:1200])
    folder = train_run(
        tmp_path / "run", smoothing=0.1, data=tmp_path / "part.npz", epochs=5, hidden=(64,), device="cpu"
    )
    run = record(folder)
    assert (run["data"], run["scaling"]) == ("part.npz", {"kind": "divided", "by": 255.0})
    assert len(run["data_sha256"]) == 64
    assert evaluate(load(folder / "test.npz"), confidence_level=None)["accuracy"].value > 0.75


def test_a_file_of_features(tmp_path):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, size=300)
    np.savez(tmp_path / "two.npz", x=rng.normal(y[:, None] * [40.0, 0.02], [10.0, 0.01]), y=y)
    folder = train_run(tmp_path / "run", data=str(tmp_path / "two.npz"), epochs=40, hidden=(8,), device="cpu")
    assert record(folder)["scaling"]["kind"] == "standardised"
    assert len(record(folder)["scaling"]["mean"]) == 2
    assert evaluate(load(folder / "test.npz"), confidence_level=None)["accuracy"].value > 0.9


def test_an_occupied_folder_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    (tmp_path / "smooth").mkdir()
    (tmp_path / "smooth" / "notes.txt").write_text("mine")

    def never(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(recipe, "fit", never)
    with pytest.raises(OutputError, match="not empty"):
        train_run(tmp_path / "smooth", **SMALL)
    with pytest.raises(OutputError, match="not empty"):
        train_twins(tmp_path, **SMALL)


def test_the_data_file_is_never_replaced(tmp_path):
    data = tmp_path / "test.npz"
    np.savez(data, x=np.random.default_rng(1).normal(size=(20, 3)), y=np.arange(20) % 2)
    before = data.read_bytes()
    (tmp_path / "link.npz").symlink_to(data)
    for name in ("test.npz", "link.npz"):
        with pytest.raises(OutputError, match="is the data file"):
            train_run(tmp_path, data=tmp_path / name, overwrite=True, **SMALL)
    assert data.read_bytes() == before


def test_overwriting_replaces_the_run(tmp_path):
    train_run(tmp_path, smoothing=0.0, **SMALL)
    train_run(tmp_path, smoothing=0.3, overwrite=True, **SMALL)
    assert record(tmp_path)["smoothing"] == 0.3
    assert load(tmp_path / "test.npz").provenance["smoothing"] == 0.3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"smoothing": 1.0}, OptionError),
        ({"noise": 1.5}, OptionError),
        ({"seed": -1}, OptionError),
        ({"epochs": 0}, OptionError),
        ({"hidden": (0,)}, OptionError),
        ({"batch_size": 0}, OptionError),
        ({"lr": -1.0}, OptionError),
        ({"weight_decay": -1.0}, OptionError),
        ({"criterion": "best"}, OptionError),
        ({"device": "tpu"}, OptionError),
        ({"threads": 0}, OptionError),
        ({"data": "cifar"}, OptionError),
        ({"data": "absent.npz"}, InputFormatError),
    ],
)
def test_a_wrong_option_makes_no_folder(options, error, tmp_path):
    with pytest.raises(error):
        train_run(tmp_path / "run", **{**SMALL, **options})
    assert not Path(tmp_path / "run").exists()


@pytest.mark.parametrize("smoothings", [(), (0.1, 0.1)])
def test_twins_that_are_none(smoothings, tmp_path):
    with pytest.raises(OptionError, match="smoothings="):
        train_twins(tmp_path, smoothings=smoothings, **SMALL)


def test_cuda_without_cuda(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no CUDA"):
        train_run(tmp_path, epochs=1, device="cuda")


@pytest.mark.slow
def test_the_demo_tells_its_story(tmp_path):
    """The hard twin is over-confident, the smoothed one under-confident, and more accurate."""
    hard, smooth = (
        evaluate(load(folder / "test.npz"), confidence_level=None) for folder in train_twins(tmp_path, device="cpu")
    )
    assert hard["gap"].value > 0.02
    assert smooth["gap"].value < -0.08
    assert smooth["accuracy"].value > hard["accuracy"].value


@pytest.mark.cuda
def test_a_run_on_cuda(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    folder = train_run(tmp_path, smoothing=0.1, epochs=3, hidden=(16,), device="cuda")
    assert record(folder)["device"].startswith("cuda:")
