"""Small predictions in general position, and what a good refusal looks like."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import calibkit as ck


def _may_do_anything():
    """Whether this process may read and write what its permissions forbid, as an administrator's may."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0)
        return os.access(file.name, os.R_OK)


needs_permissions = pytest.mark.skipif(_may_do_anything(), reason="this process may read and write everything")

REPOSITORY = Path(__file__).resolve().parents[2]
LABELS = np.array([0, 1, 2, 0])
PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.25, 0.45], [0.85, 0.1, 0.05]])
LOGITS = np.array([[1.3, -0.4, 0.2], [0.1, 2.6, -1.3], [0.3, -0.7, 0.9], [3.1, 0.2, -0.6]])
WIN = np.array([0.15, 0.62, 0.81, 0.33])
WON = np.array([0, 1, 1, 0])


def with_entry(values, row, column, entry):
    """A copy with one entry replaced."""
    changed = np.array(values)
    changed[row, column] = entry
    return changed


def softmax_nll(logits, labels):
    """Mean of log(sum exp z) - z_y, one row after the other."""
    rows = []
    for row, label in zip(np.asarray(logits, dtype=np.float64), labels, strict=True):
        top = row.max()
        rows.append(np.log(np.exp(row - top).sum()) + top - row[label])
    return np.mean(rows)


@contextmanager
def refused(error, *parts):
    """Exactly this error, in one line that holds each part and ends as a sentence or a bracket."""
    with pytest.raises(error) as caught:
        yield
    said = str(caught.value)
    assert caught.type is error, f"{caught.type.__name__}: {said}"
    assert isinstance(caught.value, ck.errors.CalibkitError)
    assert isinstance(caught.value, ValueError)
    for part in parts:
        assert part in said, said
    assert said.isprintable(), said
    assert len(said) < 2000


def is_refusal(done, code, *parts):
    """One line on standard error with each part, nothing on standard output, this exit code."""
    assert done.code == code, done
    assert done.out == ""
    assert done.err.startswith("calibkit: error: "), done.err
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, done.err


def in_shell(*arguments, **options):
    """The command in a process of its own."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "calibkit", *map(os.fspath, arguments)],
        env=environment,
        capture_output="stdout" not in options,
        check=False,
        timeout=120,
        **options,
    )


def python(code, *arguments, **options):
    """A script in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code, *map(os.fspath, arguments)],
        env=environment,
        capture_output=True,
        check=False,
        timeout=120,
        text=True,
        **options,
    )
