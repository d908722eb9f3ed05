"""`calibkit predict`, and `calibkit compare` of networks: weights with --model and --data, and run folders."""

import json

import numpy as np
import pytest
import torch

import calibkit as ck
from calibkit.training import mlp, predict, save_weights, train_twins

D, K, N = 4, 3, 240

NETS = """
import torch
from calibkit.training import mlp

print("nets: imported")

def small():
    return mlp(4, 3, hidden=(6,))

def wide():
    return mlp(4, 3, hidden=(7,))

def rows(first, last):
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(480, 4, generator=generator)
    y = (x @ torch.randn(4, 3, generator=generator) + torch.randn(480, 3, generator=generator)).argmax(1)
    return list(zip(x[first:last].split(50), y[first:last].split(50)))

def test():
    return rows(0, 240)

def val():
    return rows(240, 480)

def from_one():
    return [(x, y + 1) for x, y in test()]

def jumpy():
    x, y = (torch.cat(part) for part in zip(*test()))
    order = torch.randperm(240)
    return [(x[order], y[order])]

def pairs_of_what():
    return [torch.zeros(2, 4)]
"""


@pytest.fixture
def nets(user_module, tmp_path):
    """A module of factories and loaders, and two checkpoints of its small network, one of its wide one."""
    user_module(NETS, "nets")
    for name, hidden, seed in (("a", 6, 1), ("b", 6, 2), ("wide", 7, 3)):
        save_weights(mlp(D, K, hidden=(hidden,), seed=seed), tmp_path / f"{name}.safetensors")
    torch.save(mlp(D, K, hidden=(6,), seed=2).state_dict(), tmp_path / "b.pt")
    return tmp_path


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    return train_twins(
        tmp_path_factory.mktemp("runs"), smoothings=(0.0, 0.05, 0.1), epochs=2, hidden=(8,), device="cpu"
    )


def expected(name, loader):
    import nets as module

    seed = {"a": 1, "b": 2}[name]
    return predict(mlp(D, K, hidden=(6,), seed=seed), getattr(module, loader)(), device="cpu", name=name)


PREDICT = ("predict", "--model", "nets:small", "--device", "cpu")


@pytest.mark.parametrize("checkpoint", ["b.safetensors", "b.pt"])
def test_predict_writes_a_predictions_file(run, nets, checkpoint):
    done = run(*PREDICT, "--checkpoint", checkpoint, "--data", "nets:test", "-o", "preds.npz")
    assert (done.code, done.out) == (0, "wrote preds.npz: 240 rows, 3 classes\n")
    said = done.err.splitlines()
    assert said == [f"importing small from nets (file {nets / 'nets.py'})", "nets: imported"]
    found = ck.load("preds.npz")
    np.testing.assert_allclose(found.logits, expected("b", "test").logits, atol=1e-6)
    assert found.name == "b"
    assert found.provenance["checkpoint"] == checkpoint
    assert run("evaluate", "preds.npz").code == 0


@pytest.mark.usefixtures("nets")
def test_predict_from_a_file_of_rows(run):
    x = np.random.default_rng(2).integers(0, 256, size=(30, D), dtype=np.uint8)
    np.savez("rows.npz", x=x, y=np.arange(30) % K)
    flags = ("--checkpoint", "a.safetensors", "--data", "rows.npz", "-o", "preds.npz")
    done = run(*PREDICT, *flags)
    assert done.code == 2
    assert "pass --divide-by 255 for inputs from 0 to 1" in done.err
    done = run(*PREDICT, *flags, "--divide-by", "255", "--batch-size", "7", "--name", "mine")
    assert done.code == 0
    inputs = torch.tensor(x / 255, dtype=torch.float32)
    found = ck.load("preds.npz")
    np.testing.assert_allclose(found.logits, mlp(D, K, hidden=(6,), seed=1)(inputs).detach(), atol=1e-6)
    assert found.name == "mine"


def test_predict_of_a_run_needs_no_model(run, twins, tmp_path):
    out = tmp_path / "again.npz"
    done = run("predict", "--checkpoint", twins[1], "--data", "digits", "--device", "cpu", "-o", out)
    assert done.code == 0
    assert done.err == "smooth-0.05 was trained on rows of digits: only its 359 test rows are predicted\n"
    np.testing.assert_allclose(ck.load(out).logits, ck.load(twins[1] / "test.npz").logits, atol=1e-5)
    val = tmp_path / "val.npz"
    done = run("predict", "--checkpoint", twins[1], "--data", "digits", "--split", "val", "-o", val)
    assert "only its 179 calibration rows" in done.err
    assert np.array_equal(ck.load(val).ids, ck.load(twins[1] / "val.npz").ids)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--checkpoint", "a.safetensors"), 2, "give the rows to predict with --data"),
        (("--checkpoint", "absent.safetensors", "--data", "nets:test"), 4, "absent.safetensors: cannot be opened"),
        (("--checkpoint", "wide.safetensors", "--data", "nets:test"), 4, "0.weight has shape (7, 4) in the file"),
        (
            ("--checkpoint", "a.safetensors", "--data", "nets:tset"),
            2,
            "--data nets:tset: nets has no tset. Did you mean",
        ),
        (("--checkpoint", "a.safetensors", "--data", "nets:pairs_of_what"), 4, "expected a pair (inputs, labels)"),
        (("--checkpoint", "a.safetensors", "--data", "rows.csv"), 2, "--data rows.csv: expected an .npz file"),
        (("--checkpoint", "a.safetensors", "--data", "absent.npz"), 4, "absent.npz: cannot be opened"),
        (
            ("--checkpoint", "a.safetensors", "--data", "nets:test", "-o", "preds.csv"),
            5,
            "predictions are saved as .npz",
        ),
        (("--checkpoint", "a.safetensors", "--data", "nets:test", "-o", "no/preds.npz"), 5, "there is no folder no"),
        (("--checkpoint", "a.safetensors", "--data", "nets:test", "-o", "old.npz"), 5, "--force"),
        (("--checkpoint", "old.npz", "--data", "nets:test", "-o", "old.npz", "--force"), 5, "is the input old.npz"),
    ],
)
def test_predict_refuses(run, nets, flags, code, message):
    (nets / "old.npz").write_bytes(b"old")
    output = () if "-o" in flags else ("-o", "preds.npz")
    done = run(*PREDICT, *flags, *output)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (nets / "preds.npz").exists()
    assert (nets / "old.npz").read_bytes() == b"old"


@pytest.mark.usefixtures("nets")
def test_labels_that_count_from_1(run):
    """What a message advises, the command takes."""
    flags = ("--checkpoint", "a.safetensors", "--data", "nets:from_one", "-o", "preds.npz")
    done = run(*PREDICT, *flags)
    assert done.code == 4
    assert "Pass --label-base 1" in done.err
    assert run(*PREDICT, *flags, "--label-base", "1", "--class-names", "ape,bee,cat").code == 0
    assert ck.load("preds.npz").class_names == ("ape", "bee", "cat")
    models = ("a.safetensors", "b.pt", "--model", "nets:small", "--json")
    found, wanted = (
        json.loads(run("compare", *models, *flags).out)
        for flags in (("--data", "nets:from_one", "--label-base", "1"), ("--data", "nets:test"))
    )
    assert found["differences"] == wanted["differences"]


@pytest.mark.usefixtures("nets")
def test_two_checkpoints_compare_in_one_command(run):
    done = run("compare", "a.safetensors", "b.pt", "--model", "nets:small", "--data", "nets:test", "--json")
    assert done.code == 0
    assert done.err.count("importing") == 1
    wanted = ck.compare({name: expected(name, "test") for name in "ab"})
    found = json.loads(done.out)
    assert list(found["models"]) == ["a", "b"]
    difference = found["differences"]["b"]["nll"]
    assert difference["value"] == pytest.approx(wanted.differences["b"]["nll"].value, abs=1e-6)
    assert found["temperature"]["a"]["value"] == pytest.approx(wanted.temperature["a"].value, rel=1e-4)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("flags", [("nets:val",), ("nets:val", "nets:val")])
def test_temperatures_on_rows_of_their_own(run, flags):
    calibration = [word for flag in flags for word in ("--calibrate-on", flag)]
    done = run(
        "compare", "a.safetensors", "b.pt", "--model", "nets:small", "--data", "nets:test", *calibration, "--json"
    )
    assert done.code == 0
    wanted = ck.compare(
        {name: expected(name, "test") for name in "ab"}, calibrate_on={name: expected(name, "val") for name in "ab"}
    )
    found = json.loads(done.out)["temperature"]
    for name in "ab":
        assert found[name]["value"] == pytest.approx(wanted.temperature[name].value, rel=1e-4)


@pytest.mark.usefixtures("nets")
def test_a_factory_each_and_a_file_of_predictions(run):
    assert run(*PREDICT, "--checkpoint", "b.pt", "--data", "nets:test", "-o", "saved.npz").code == 0
    models = ("--model", "nets:small", "--model", "nets:wide")
    done = run("compare", "a.safetensors", "saved.npz", "wide.safetensors", *models, "--data", "nets:test", "--json")
    assert done.code == 0
    assert list(json.loads(done.out)["models"]) == ["a", "saved", "wide"]


def test_run_folders_compare_by_what_they_hold(run, twins):
    done = run("compare", *twins, "--json")
    assert done.code == 0
    wanted = ck.compare(
        {folder.name: ck.load(folder / "test.npz", name=folder.name) for folder in twins},
        calibrate_on={folder.name: ck.load(folder / "val.npz", name=folder.name) for folder in twins},
    )
    assert json.loads(done.out) == json.loads(json.dumps(wanted.to_dict()))
    assert list(wanted.models) == ["hard", "smooth-0.05", "smooth-0.1"]
    assert done.err == "temperatures are fitted on the val.npz of each run folder\n"


def test_run_folders_on_other_rows(run, twins, tmp_path):
    rng = np.random.default_rng(4)
    for name in ("test", "val"):
        np.savez(tmp_path / f"{name}.npz", x=rng.uniform(0, 16, size=(90, 64)), y=rng.integers(0, 10, size=90))
    flags = ("--data", tmp_path / "test.npz", "--calibrate-on", tmp_path / "val.npz", "--json")
    done = run("compare", *twins[:2], *flags)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["models"]["hard"]["n"] == 90
    assert "calibration rows" in found["temperature"]["hard"]["source"]


def test_a_run_and_a_network_of_the_users_own_on_a_file(run, twins, tmp_path):
    rng = np.random.default_rng(4)
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 17, size=(90, 64), dtype=np.uint8), y=rng.integers(0, 10, size=90))
    (tmp_path / "own_nets.py").write_text("from calibkit.training import mlp\nbuild = lambda: mlp(64, 10, hidden=())\n")
    save_weights(mlp(64, 10, hidden=()), tmp_path / "own.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.syspath_prepend(str(tmp_path))
        flags = ("--model", "own_nets:build", "--data", "x.npz", "--divide-by", "16", "--json")
        done = run("compare", twins[0], "own.safetensors", *flags)
    assert done.code == 0
    assert json.loads(done.out)["models"]["own"]["n"] == 90


WEIGHTS = ("a.safetensors", "b.pt")
ON_ROWS = ("--model", "nets:small", "--data", "nets:test")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (WEIGHTS, 4, "If these are weights, give --model package.module:factory and --data."),
        ((*WEIGHTS, "--data", "nets:test"), 2, "--data is for networks"),
        ((*WEIGHTS, "--model", "nets:small"), 2, "a.safetensors holds weights: give the rows to predict with --data"),
        ((*WEIGHTS, *ON_ROWS, *["--model", "nets:small"] * 2), 2, "2 files of weights need one --model, or one each"),
        ((*WEIGHTS, *ON_ROWS, "--labels", "y"), 2, "--labels: for reading files of predictions"),
        ((*WEIGHTS, *ON_ROWS, "--calibrate-split", "val"), 2, "for a.safetensors give --calibrate-on"),
        ((*WEIGHTS, *ON_ROWS, *["--calibrate-on", "nets:val"] * 3), 2, "2 files need 2 --calibrate-on"),
        ((*WEIGHTS, *ON_ROWS, "--calibrate-on", "nets:test"), 4, "the calibration rows are the evaluated rows"),
        ((*WEIGHTS, "--model", "nets:small", "--data", "nets:jumpy"), 4, "b.pt: the inputs that nets:jumpy gave"),
        ((*WEIGHTS, "--model", "nets:wide", "--data", "nets:test"), 4, "it is of another architecture"),
        (("a.safetensors", "half", *ON_ROWS), 4, "half: has no run.json, so it is a run that was not finished"),
        (("half", "half"), 4, "half: is a folder without run.json"),
        (("half", "--batch-size", "3"), 2, "are for the rows of --data, which is not given"),
        (("half", *ON_ROWS), 2, "--model is given, but no FILE holds weights"),
    ],
)
def test_compare_refuses(run, nets, arguments, code, message):
    (nets / "half").mkdir()
    save_weights(mlp(D, K, hidden=(6,)), nets / "half" / "weights.safetensors")
    done = run("compare", *arguments)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
