"""URLs on the command line."""

import io
import json

import numpy as np
import pytest

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def put(system, name, logits):
    buffer = io.BytesIO()
    np.savez(buffer, labels=np.arange(len(logits)) % 3, logits=logits)
    system.pipe(f"/run/{name}.npz", buffer.getvalue())


def test_evaluate_and_merge(run, memory, tmp_path):
    logits = np.random.default_rng(4).normal(size=(300, 3))
    for number, part in enumerate(np.array_split(logits, 3)):
        put(memory, f"shard-{number}", part)
    one = json.loads(run("evaluate", "memory://run/shard-0.npz", "--json").out)
    assert (one["name"], one["n"], one["settings"]["rows"]) == ("shard-0", 100, "in memory")
    done = run("evaluate", "memory://run/shard-*.npz", "--save-state", tmp_path / "a.ckst", "--json")
    assert json.loads(done.out)["n"] == 300
    assert json.loads(run("merge", tmp_path / "a.ckst", "--json").out)["n"] == 300


def test_complaints_show_no_secrets(run, memory):
    logits = np.zeros((4, 3))
    logits[2, 1] = np.nan
    put(memory, "bad", logits)
    done = run("evaluate", "memory://run/bad.npz")
    assert done.code == 4
    assert "memory://run/bad.npz: logits row 2, class 1: value is NaN" in done.err
    done = run("evaluate", "what://me:pass@host/net.npz?signature=abc")
    assert done.code == 4
    assert "what://host/net.npz" in done.err
    assert not any(secret in done.err for secret in ("me:", "pass", "signature", "abc"))
