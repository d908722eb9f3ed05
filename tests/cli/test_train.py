"""``calibkit train``: its flags reach the training, a stopped run goes on, and what cannot be trained on is named."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from calibkit.files import load
from calibkit.training.archive import read_archive

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--hidden", "8", "--device", "cpu")
WHOLE = ("weights.safetensors", "val.npz", "test.npz")

# Python heeds Ctrl-C only where whoever started it did; a shell's background jobs do not.
INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from calibkit.cli import main
main(["train", *sys.argv[1:]])
"""


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_the_flags_reach_the_training_and_the_record(run, tmp_path):
    out = tmp_path / "run"
    flags = (
        *("--epochs", 3, "--batch-size", 32, "--lr", 0.01, "--weight-decay", 0, "--schedule", "cosine"),
        *("--warmup-steps", 5, "--accumulate", 2, "--clip-norm", 1, "--ema", 0.9, "--precision", "bfloat16"),
        *("--criterion", "accuracy", "--patience", 2, "--deterministic", "--smoothing", 0.1),
    )
    done = run("train", *SMALL, *flags, "--out", out)
    assert done.code == 0, done.err
    assert done.out == (
        f"wrote {out}: weights.safetensors, run.json, val.npz, test.npz, resume.pt\nAll 3 epochs were done.\n"
    )
    made = record(out)
    assert {key: made[key] for key in ("batch_size", "lr", "weight_decay", "schedule", "warmup_steps")} == {
        **{"batch_size": 32, "lr": 0.01, "weight_decay": 0.0, "schedule": "cosine", "warmup_steps": 5}
    }
    assert {key: made[key] for key in ("accumulate", "clip_norm", "ema", "precision", "patience", "criterion")} == {
        **{"accumulate": 2, "clip_norm": 1.0, "ema": 0.9, "precision": "bfloat16", "patience": 2},
        "criterion": "accuracy",
    }
    assert load(out / "test.npz").logits.dtype == np.float32
    settings = read_archive(out / "resume.pt")["settings"]
    assert (settings["ema"], settings["clip_norm"], settings["batches of train_loader"]) == (0.9, 1.0, 34)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_says_how_to_go_on_and_the_run_that_goes_on_is_the_run_never_stopped(run, tmp_path):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole" / "stopped"
    command = [sys.executable, "-c", INTERRUPTED, *SMALL, "--epochs", "100000", "--out", str(stopped)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            while not (stopped / "resume.pt").exists():
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    epoch = read_archive(stopped / "resume.pt")["epoch"]
    where = re.escape(str(stopped / "resume.pt"))
    which = f"( of epoch {epoch})?"  # not said where the signal came while the file was replaced
    message = rf"interrupted: Stopped in epoch \d+\. The checkpoint{which} is in {where}; --resume goes on from it\."
    assert re.fullmatch(message, said.strip()), said
    assert not (stopped / "run.json").exists()
    refused = run("train", *SMALL, "--out", stopped)
    assert refused.code == 5
    assert "holds a run that was not finished (there is no run.json). Pass --resume to go on with it, or --force" in (
        refused.err
    )
    epochs = ("--epochs", epoch + 2)
    assert run("train", *SMALL, *epochs, "--out", stopped, "--resume").code == 0
    assert run("train", *SMALL, *epochs, "--out", whole).code == 0
    for name in WHOLE:
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    assert record(stopped)["history"] == record(whole)["history"]


def test_a_finished_run_goes_on_for_more_epochs(run, tmp_path):
    longer, whole = tmp_path / "a" / "net", tmp_path / "b" / "net"
    common = ("train", *SMALL, "--smoothing", 0.1, "--noise", 0.1)
    run(*common, "--epochs", 2, "--out", longer)
    assert run(*common, "--epochs", 4, "--out", longer, "--resume").code == 0
    run(*common, "--epochs", 4, "--out", whole)
    for name in WHOLE:
        assert (longer / name).read_bytes() == (whole / name).read_bytes()
    again = run(*common, "--epochs", 4, "--out", longer, "--resume")
    assert again.code == 0
    assert (longer / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--lr", 0.5), "--lr 0.5: the checkpoint"),
        (("--noise", 0.3), "--noise 0.3: the checkpoint"),
        (("--hidden", "9"), "--hidden 9: the checkpoint"),
        (("--batch-size", 63), "--batch-size 63: the checkpoint"),
        (("--smoothing", 0.2), "--smoothing 0.2: the checkpoint"),
        (("--seed", 1), "--seed 1: the checkpoint"),
        (("--epochs", 1), "--epochs 1: the checkpoint"),
        (("--force",), "--resume goes on with the run in the folder, --force replaces it"),
    ],
)
def test_another_run_is_not_gone_on_with(flags, message, run, tmp_path):
    run("train", *SMALL, "--epochs", 2, "--out", tmp_path)
    done = run("train", *SMALL, "--epochs", 2, *flags, "--out", tmp_path, "--resume")
    assert done.code == 2
    assert message in done.err


def test_force_begins_anew(run, tmp_path):
    run("train", *SMALL, "--epochs", 3, "--out", tmp_path)
    assert run("train", *SMALL, "--epochs", 1, "--lr", 0.1, "--out", tmp_path, "--force").code == 0
    assert read_archive(tmp_path / "resume.pt")["epoch"] == 1
    assert len(record(tmp_path)["history"]) == 1


def test_folders_with_nothing_to_go_on_from(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = run("train", *SMALL, "--out", tmp_path / "mine", "--resume")
    assert (done.code, "is not empty and holds no run" in done.err) == (5, True)
    run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "old")
    (tmp_path / "old" / "resume.pt").unlink()
    done = run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "old", "--resume")
    assert (done.code, "holds a run without resume.pt" in done.err) == (5, True)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "weights.safetensors").write_bytes(b"")  # killed before the first resume.pt
    assert run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "begun", "--resume").code == 0


def test_patience_says_why_it_ended(run, tmp_path):
    done = run("train", *SMALL, "--lr", 0.5, "--epochs", 300, "--patience", 2, "--out", tmp_path)
    assert done.code == 0
    ended = record(tmp_path)["ended"]
    assert ended.startswith("Stopped after epoch")
    assert ended in done.out


X = np.random.default_rng(3).normal(size=(60, 4))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(60, 3), "every label of y is 3; two classes or more are needed"),
        (np.where(np.arange(60) == 1, 1, 0), "every label of the training part is 0; two classes or more"),
        (np.array(["cat", "dog"] * 30), "y holds text, such as 'cat'; expected class numbers"),
    ],
    ids=["one class", "one class to train on", "text"],
)
def test_labels_that_cannot_be_trained_on(y, message, run, tmp_path):
    seed = next(s for s in range(50) if 1 not in split(s)) if "part" in message else 0
    np.savez(tmp_path / "mine.npz", x=X, y=y)
    done = run("train", *SMALL, "--data", tmp_path / "mine.npz", "--seed", seed, "--out", tmp_path / "run")
    assert done.code == 4
    assert message in done.err
    assert not (tmp_path / "run").exists()


def split(seed):
    from calibkit.training.data import split_rows

    return split_rows(60, seed=seed).train


def test_a_loss_of_nan_says_the_step_and_the_checkpoint(run, tmp_path):
    done = run("train", *SMALL, "--lr", 1e30, "--epochs", 3, "--out", tmp_path)
    assert done.code == 4
    assert "epoch 1" in done.err
    assert "Lower the learning rate" in done.err
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--precision", "float16"), "--precision float16 is not available on cpu"),
        (("--schedule", "linear"), "--schedule linear: expected one of"),
        (("--accumulate", 0), "--accumulate 0"),
        (("--ema", 1), "--ema 1"),
        (("--patience", 3, "--criterion", "last"), "--patience 3 waits for a better epoch"),
        (("--warmup-steps", 99999, "--schedule", "cosine"), "--warmup-steps 99999"),
    ],
)
def test_options_that_are_refused(flags, message, run, tmp_path):
    done = run("train", *SMALL, "--epochs", 2, *flags, "--out", tmp_path / "run")
    assert done.code == 2
    assert message in done.err, done.err
