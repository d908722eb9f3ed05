"""The pass allocates nothing of the size of its array, and reads a memory map from its first row to its last."""

import tracemalloc

import numpy as np
import pytest

import calibkit as ck
from tests.bfloat16 import rounded


def arrays(shape, dtype, kind):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(shape, dtype=np.float32)
    if kind == "probs":
        np.exp(values, out=values)
        values /= values.sum(axis=1, keepdims=True)
    return rng.integers(0, shape[1], shape[0]), rounded(values, dtype)


def peak(work):
    work()  # what is imported on the way is not counted
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("dtype", [np.float16, "bfloat16", np.float32, np.float64])
@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize(
    ("shape", "view"), [((10_000, 500), None), ((10_000, 500), "classwise"), ((50, 100_000), None)]
)
def test_an_evaluation_takes_a_fraction_of_its_array(shape, view, kind, dtype):
    labels, values = arrays(shape, dtype, kind)
    make = ck.Predictions.from_logits if kind == "logits" else ck.Predictions.from_probs
    options = {} if kind == "logits" else {"sum_tolerance": 0.5}

    def work():
        ck.evaluate(make(labels, values, **options), view=view, threads=1, confidence_level=None)

    # A block in float64, its copy, and vectors of the rows: 20 MB of float32 values, 40 of float64 ones.
    assert peak(work) < 9e6


def test_a_memory_map_is_read_in_order(tmp_path, monkeypatch):
    from calibkit.scores.blocks import Layout

    labels, values = arrays((3_000, 300), np.float32, "logits")
    np.save(tmp_path / "logits.npy", values)
    mapped = np.load(tmp_path / "logits.npy", mmap_mode="r")
    starts, load = [], Layout.load

    def noted(layout, rows, scratch):
        starts.append(
            (rows.__array_interface__["data"][0] - mapped.__array_interface__["data"][0]) // mapped.strides[0]
        )
        return load(layout, rows, scratch)

    monkeypatch.setattr(Layout, "load", noted)
    evaluation = ck.evaluate(ck.Predictions.from_logits(labels, mapped), threads=1)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    monkeypatch.undo()
    assert evaluation == ck.evaluate(ck.Predictions.from_logits(labels, values))
