"""A checkpoint on disk gives the predictions of its network: by a factory, or from a run folder that knows its own."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from calibkit import load
from calibkit.errors import DataError, InputFormatError, LabelError, LimitError, OptionError, ShapeError
from calibkit.training import mlp, predict, predict_checkpoint, save_weights, train_run
from calibkit.training.checkpoint_predictions import check_same_inputs

N, D, K = 23, 6, 3
RNG = np.random.default_rng(11)
IMAGES = RNG.integers(0, 256, size=(N, 3, 2), dtype=np.uint8)
FEATURES = RNG.normal(size=(N, D))
LABELS = RNG.integers(0, K, size=N)


def network():
    return mlp(D, K, hidden=(5,), seed=3)


class Flat(nn.Module):
    """Takes images."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        assert x.shape[1:] == (3, 2)
        return self.net(x.flatten(1))


@pytest.fixture
def weights(tmp_path):
    save_weights(network(), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


@pytest.fixture
def features(tmp_path):
    np.savez(tmp_path / "features.npz", x=FEATURES, y=LABELS)
    return tmp_path / "features.npz"


def logits_of(inputs):
    return network()(torch.as_tensor(inputs, dtype=torch.float32).flatten(1)).detach().numpy()


def test_weights_a_factory_and_a_file(weights, features):
    predictions = predict_checkpoint(weights, model=network, data=features, batch_size=4, device="cpu")
    np.testing.assert_allclose(predictions.logits, logits_of(FEATURES), atol=1e-6)
    assert np.array_equal(predictions.labels, LABELS)
    assert predictions.ids.tolist() == list(range(N))
    assert predictions.name == "small"
    told = predictions.provenance
    assert told["checkpoint_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert told["data_sha256"] == hashlib.sha256(features.read_bytes()).hexdigest()
    assert (told["data"], told["scaling"], told["part"]) == ("features.npz", "none", None)
    assert told["model"] == f"{__name__}:network"


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f2"])
def test_floats_of_any_kind_are_given_as_float32(weights, tmp_path, dtype):
    np.savez(tmp_path / "x.npz", x=FEATURES.astype(dtype), y=LABELS.astype(">i2"))
    predictions = predict_checkpoint(weights, model=network, data=tmp_path / "x.npz", device="cpu")
    np.testing.assert_allclose(predictions.logits, logits_of(FEATURES.astype(dtype).astype(np.float32)), atol=1e-6)
    assert np.array_equal(predictions.labels, LABELS)


@pytest.mark.parametrize(("divide_by", "scaling"), [(255, "divided by 255"), (1, "divided by 1")])
def test_images_keep_their_shape_and_are_divided_by_what_is_said(tmp_path, divide_by, scaling):
    np.savez(tmp_path / "images.npz", x=IMAGES, y=LABELS)
    save_weights(Flat(), tmp_path / "flat.safetensors")
    predictions = predict_checkpoint(
        tmp_path / "flat.safetensors", model=Flat, data=str(tmp_path / "images.npz"), divide_by=divide_by, device="cpu"
    )
    np.testing.assert_allclose(predictions.logits, logits_of(IMAGES / divide_by), rtol=1e-5, atol=1e-5)
    assert predictions.provenance["scaling"] == scaling
    with pytest.raises(OptionError, match=r"images\.npz: x is uint8, .* pass divide_by=255"):
        predict_checkpoint(tmp_path / "flat.safetensors", model=Flat, data=tmp_path / "images.npz")


def test_loaders_and_references(weights, user_module):
    name = user_module(
        "import numpy as np, torch\nfrom calibkit.training import mlp\n"
        f"x, y = torch.tensor({FEATURES.tolist()}), torch.tensor({LABELS.tolist()})\n"
        "def build():\n    return mlp(6, 3, hidden=(5,))\n"
        "def loader():\n    return [(x[:9], y[:9]), (x[9:], y[9:])]\n"
    )
    x, y = torch.tensor(FEATURES, dtype=torch.float32), torch.tensor(LABELS)
    expected = predict(network(), [(x, y)], device="cpu")
    for data in (f"{name}:loader", DataLoader(TensorDataset(x, y), batch_size=9), lambda: [(x, y)]):
        found = predict_checkpoint(weights, model=f"{name}:build", data=data, device="cpu", name="mine")
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-6)
        assert np.array_equal(found.labels, expected.labels)
        assert (found.name, found.provenance["scaling"]) == ("mine", "by the loader")
        assert found.provenance["model"] == f"{name}:build"


def test_a_state_dict_in_pt(features, tmp_path):
    torch.save(network().state_dict(), tmp_path / "small.pt")
    predictions = predict_checkpoint(tmp_path / "small.pt", model=network, data=features, device="cpu")
    np.testing.assert_allclose(predictions.logits, logits_of(FEATURES), atol=1e-6)


class Evil:
    """Runs a command where it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_a_hostile_checkpoint_is_refused_and_nothing_of_it_runs(features, tmp_path):
    torch.save({"0.weight": torch.zeros(5, D), "x": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    with pytest.raises(InputFormatError, match=r"evil\.pt: .*never loaded"):
        predict_checkpoint(tmp_path / "evil.pt", model=network, data=features)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_architecture(weights, features):
    with pytest.raises(InputFormatError, match=r"lacks 4\.weight .*another architecture"):
        predict_checkpoint(weights, model=lambda: mlp(D, K, hidden=(5, 4)), data=features)
    with pytest.raises(InputFormatError, match=r"lacks net\.0\.weight .* has 0\.bias .*another architecture"):
        predict_checkpoint(weights, model=Flat, data=features)
    with pytest.raises(ShapeError, match=r"0\.weight has shape \(5, 6\) in the file and \(7, 6\) in the network"):
        predict_checkpoint(weights, model=lambda: mlp(D, K, hidden=(7,)), data=features)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"y": LABELS}, InputFormatError, "has no array x; it holds y"),
        ({"x": FEATURES}, InputFormatError, "has no array y"),
        ({"x": FEATURES[0], "y": LABELS}, ShapeError, r"x has shape \(6,\); expected one row per example"),
        ({"x": FEATURES, "y": LABELS[1:]}, ShapeError, r"y has shape \(22,\) but x has 23 rows"),
        ({"x": FEATURES.astype(int), "y": LABELS}, InputFormatError, "x has dtype int64; expected uint8"),
        (
            {"x": np.where(np.arange(N * D).reshape(N, D) == 4 * D + 1, np.inf, FEATURES), "y": LABELS},
            DataError,
            "x row 4, feature 1: value is inf",
        ),
        ({"x": FEATURES, "y": LABELS + 1}, LabelError, r"value is 3.*expected 0 to 2"),
        ({"x": FEATURES[:, :5], "y": LABELS}, InputFormatError, "mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_files_that_cannot_be_used(weights, tmp_path, arrays, error, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(error, match=message):
        predict_checkpoint(weights, model=network, data=tmp_path / "mine.npz", device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "rows.csv"}, r"expected an \.npz file with x and y, package\.module:loader, or \"digits\""),
        ({"data": FEATURES}, "is a ndarray; expected an iterable of batches"),
        ({"data": {"x": 1}}, "is a dict; expected an iterable of batches"),
        ({"data": [], "batch_size": 4}, r"batch_size=4: is for arrays of an \.npz file"),
        ({"data": [], "divide_by": 255}, r"divide_by=255: is for arrays of an \.npz file"),
        ({"data": "digits", "divide_by": 0}, "divide_by=0: expected a number above 0"),
        ({"data": "digits", "divide_by": True}, "divide_by=True: expected a number above 0"),
        ({"data": "digits", "batch_size": 0}, "batch_size"),
        ({"data": "digits", "split": "train"}, "split"),
        ({"data": "digits", "device": "tpu"}, "device"),
        ({"data": "digits", "model": None}, r"small\.safetensors: holds weights, not the network"),
    ],
)
def test_options_that_do_not_fit(weights, options, message):
    with pytest.raises(OptionError, match=message):
        predict_checkpoint(weights, **{"model": network, **options})


class Fails(nn.Linear):
    def __init__(self):
        super().__init__(D, K)

    def forward(self, x):
        return super().forward(x)[undefined]  # noqa: F821 - a user's mistake


def test_an_error_in_the_network_is_told_by_line(features, tmp_path):
    save_weights(Fails(), tmp_path / "fails.safetensors")
    with pytest.raises(
        InputFormatError, match=r"fails\.safetensors on features\.npz: .*\.py, line \d+, in forward: NameError"
    ):
        predict_checkpoint(tmp_path / "fails.safetensors", model=Fails, data=features, device="cpu")


class Large(nn.Linear):
    def __init__(self):
        super().__init__(D, K)

    def forward(self, _):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_too_little_memory_says_the_batch_size(features, tmp_path):
    save_weights(Large(), tmp_path / "large.safetensors")
    with pytest.raises(LimitError, match="not enough memory for a batch of 9 rows"):
        predict_checkpoint(tmp_path / "large.safetensors", model=Large, data=features, batch_size=9, device="cpu")


def test_a_loader_that_changes_order_between_passes(weights):
    x, y = torch.tensor(FEATURES, dtype=torch.float32), torch.zeros(N, dtype=torch.int64)

    def loader():
        order = torch.randperm(N)
        return [(x[order], y)]

    models = {
        name: predict_checkpoint(weights, model=network, data=loader, device="cpu", name=name) for name in ("a", "b")
    }
    with pytest.raises(DataError, match=r"b: the inputs that .* gave are not those it gave to a"):
        check_same_inputs(models)
    same = {name: predict_checkpoint(weights, model=network, data=[(x, y)], device="cpu") for name in ("a", "b")}
    check_same_inputs(same)


SMALL = {"epochs": 1, "hidden": (8,), "device": "cpu", "smoothing": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("runs") / "smooth-0.1", seed=4, **SMALL)


@pytest.mark.parametrize(("split", "part"), [("test", "test"), ("val", "calibration")])
def test_a_run_repeats_its_own_predictions_and_never_those_of_rows_it_was_trained_on(run, split, part):
    again, saved = predict_checkpoint(run, data="digits", split=split, device="cpu"), load(run / f"{split}.npz")
    assert np.array_equal(again.ids, saved.ids)
    assert np.array_equal(again.labels, saved.labels)
    np.testing.assert_allclose(again.logits, saved.logits, atol=1e-6)
    assert (again.name, again.provenance["part"], again.provenance["model"]) == ("smooth-0.1", part, "run folder")


def features_run(folder, **arrays):
    np.savez(folder / "train.npz", **arrays)
    return train_run(folder / "run", data=folder / "train.npz", seed=2, **SMALL)


def test_a_run_scales_other_data_as_it_was_trained(tmp_path):
    rng = np.random.default_rng(5)
    x, y = rng.normal([3.0, -50.0], [2.0, 9.0], size=(60, 2)), np.arange(60) % 3
    run = features_run(tmp_path, x=x, y=y)
    record = json.loads((run / "run.json").read_text())
    np.savez(tmp_path / "more.npz", x=x[:7] + 1, y=y[:7])
    predictions = predict_checkpoint(run, data=tmp_path / "more.npz", device="cpu")
    scaled = (x[:7] + 1 - record["scaling"]["mean"]) / record["scaling"]["deviation"]
    given = [(torch.tensor(scaled, dtype=torch.float32), torch.tensor(y[:7]))]
    by_loader = predict_checkpoint(run, data=given, device="cpu")  # a loader scales its rows itself
    np.testing.assert_allclose(predictions.logits, by_loader.logits, atol=1e-6)
    assert predictions.provenance["scaling"] == "as the run was trained"
    np.savez(tmp_path / "wide.npz", x=np.zeros((4, 3, 3)), y=y[:4])
    with pytest.raises(ShapeError, match=r"the network takes 2 features per row; x has 9, in rows of shape \(3, 3\)"):
        predict_checkpoint(run, data=tmp_path / "wide.npz")
    with pytest.raises(OptionError, match="divide_by=2: a run scales"):
        predict_checkpoint(run, data=tmp_path / "more.npz", divide_by=2)


def test_a_run_knows_its_images_under_another_name(tmp_path):
    run = features_run(tmp_path, x=np.tile(IMAGES, (2, 1, 1)), y=np.tile(LABELS, 2))
    shutil.copy(tmp_path / "train.npz", tmp_path / "renamed.npz")
    predictions = predict_checkpoint(run, data=tmp_path / "renamed.npz", device="cpu")
    np.testing.assert_allclose(predictions.logits, load(run / "test.npz").logits, atol=1e-6)


def test_a_factory_for_a_run_and_none_for_its_weights(run):
    with pytest.raises(OptionError, match="knows its network: leave model out"):
        predict_checkpoint(run, model=network, data="digits")
    with pytest.raises(OptionError, match=r"or give the run folder, .*smooth-0\.1"):
        predict_checkpoint(run / "weights.safetensors", data="digits")


def test_a_run_that_was_not_finished(run, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(run, half)
    (half / "run.json").unlink()
    with pytest.raises(InputFormatError, match=r"half: has no run\.json, so it is a run that was not finished"):
        predict_checkpoint(half, data="digits")
    with pytest.raises(InputFormatError, match=r"is a folder without run\.json"):
        predict_checkpoint(tmp_path, data="digits")
    shutil.copy(run / "run.json", half)
    (half / "weights.safetensors").unlink()
    with pytest.raises(InputFormatError, match=r"weights\.safetensors: cannot be opened"):
        predict_checkpoint(half, data="digits")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": [9]}, r"\(8, 64\) in the file and \(9, 64\) in the network"),
        ({"hidden": [8, 8]}, "smaller than the|lacks 4.weight"),
        ({"hidden": [10**12]}, "smaller than the"),
        ({"hidden": "8"}, "does not tell the network"),
        ({"hidden": [8.0]}, "does not tell the network"),
        ({"n_classes": 1}, "does not tell the network"),
        ({"n_inputs": None}, "does not tell the network"),
        ({"seed": -1}, "does not tell the network"),
        ({"scaling": {"kind": "divided", "by": 0}}, "does not tell the network"),
        ({"scaling": {"kind": "standardised", "mean": [1.0], "deviation": [1.0]}}, "does not tell the network"),
        ({"scaling": {"kind": "standardised", "mean": ["a"], "deviation": [1.0]}}, "does not tell the network"),
        ({"scaling": None}, "does not tell the network"),
        ({"schema": "calibkit.run/2"}, r"its schema is not 'calibkit\.run/1'"),
    ],
)
def test_a_record_that_was_changed(run, tmp_path, changes, message):
    shutil.copytree(run, tmp_path / "changed")
    record = json.loads((run / "run.json").read_text()) | changes
    (tmp_path / "changed" / "run.json").write_text(json.dumps(record))
    with pytest.raises((InputFormatError, ShapeError), match=message):
        predict_checkpoint(tmp_path / "changed", data="digits", device="cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": NaN}', '{"schema": 1, "schema": 2}', "\xff"])
def test_a_record_that_is_none(run, tmp_path, text):
    shutil.copytree(run, tmp_path / "damaged")
    (tmp_path / "damaged" / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputFormatError, match=r"run\.json: (is damaged|is no record of a run|the file is empty)"):
        predict_checkpoint(tmp_path / "damaged", data="digits")
