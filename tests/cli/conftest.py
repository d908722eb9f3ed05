"""Run a command as a user would, and small files to run it on."""

from dataclasses import dataclass

import numpy as np
import pytest

from calibkit.cli import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch):
    """Run ``calibkit`` with these arguments; its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def run_(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(code=end.value.code, out=captured.out, err=captured.err)

    return run_


@pytest.fixture
def pair(tmp_path):
    """Two prediction files on the same rows, each with a validation split: one is too sure."""
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(900, 4)) * 1.5
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probs.cumsum(1) < rng.random((900, 1))).sum(1).clip(0, 3)
    paths = {}
    for name, factor in (("sharp", 3.0), ("true", 1.0)):
        values = (logits * factor).astype(np.float32)
        paths[name] = tmp_path / f"{name}.npz"
        np.savez(
            paths[name], logits=values[:600], labels=labels[:600], val_logits=values[600:], val_labels=labels[600:]
        )
    return paths
