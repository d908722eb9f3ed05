"""One state, to the last bit, from every size of the blocks, split into shards, order of them, and number of threads.

The same values in the same dtype: a state's digest is that of its settings, counts and exact sums, and its evaluation
follows from them. Small blocks go over few rows, for each row is an update; large ones over more rows than they hold.
"""

import numpy as np
import pytest

import calibkit as ck
from tests.state.samples import KINDS, predictions

FEW, MANY = 250, 70_000
ORDERS = 20


def state_of(rows, index, *, block, threads, view=None):
    """A state of some rows, updated block by block."""
    state = ck.CalibrationState(view=view)
    for start in range(0, len(index), block):
        state.update(rows.take(index[start : start + block]), threads=threads)
    return state


def digest_of_shards(rows, shards, *, block, threads, order):
    total = ck.CalibrationState()
    states = [state_of(rows, index, block=block, threads=threads).named(f"{i}") for i, index in enumerate(shards)]
    for place in order:
        total.merge(states[place])
    assert total.n == len(rows)
    return total


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("block", [1, 7, FEW])
@pytest.mark.parametrize(("kind", "weighted"), [(kind, False) for kind in KINDS] + [("probs", True)])
def test_small_blocks(kind, weighted, block, threads):
    rows = predictions(kind, FEW, weighted=weighted)
    expected = state_of(rows, np.arange(FEW), block=FEW, threads=1)
    got = state_of(rows, np.arange(FEW), block=block, threads=threads)
    assert got == expected
    assert got.evaluation() == expected.evaluation()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("view", ["top-label", "classwise", "flattened"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("n_classes", [2, 64, 1_000, 5_000])
def test_rows_of_many_classes(n_classes, dtype, view, threads):
    rng = np.random.default_rng(n_classes)
    logits = (3 * rng.normal(size=(22, n_classes))).astype(dtype)
    rows = ck.Predictions.from_logits(rng.integers(0, n_classes, 22), logits)
    whole = ck.CalibrationState(view=view)
    whole.update(rows, threads=1)
    for block in (1, 7):
        parts = ck.CalibrationState(view=view)
        for start in range(0, 22, block):
            parts.update(rows.take(np.arange(start, min(start + block, 22))), threads=threads)
        assert parts.digest == whole.digest


@pytest.fixture(scope="module", params=["float32", "event"])
def many(request):
    rows = predictions(request.param, MANY)
    return rows, state_of(rows, np.arange(MANY), block=MANY, threads=1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("block", [1_000, 65_536, MANY])
@pytest.mark.parametrize("n_shards", [1, 2, 3, 16])
def test_blocks_of_shards(many, n_shards, block, threads):
    rows, expected = many
    shards = np.array_split(np.arange(MANY), n_shards)
    got = digest_of_shards(rows, shards, block=block, threads=threads, order=range(n_shards))
    assert got.digest == expected.digest


@pytest.mark.parametrize("n_shards", [2, 3, 16])
def test_orders_of_rows_and_of_shards(many, n_shards):
    rows, expected = many
    rng = np.random.default_rng(n_shards)
    split = np.sort(rng.integers(0, MANY, n_shards - 1))  # shards of any size
    shards = np.split(rng.permutation(MANY), split)
    states = [state_of(rows, index, block=65_536, threads=2).named(f"{i}") for i, index in enumerate(shards)]
    evaluation = None
    for _ in range(ORDERS):
        total = ck.CalibrationState()
        for place in rng.permutation(n_shards):
            total.merge(states[place])
        assert total.digest == expected.digest
        evaluation = evaluation or total.evaluation()
    assert evaluation == expected.evaluation()


@pytest.mark.parametrize("view", ["classwise", "flattened"])
@pytest.mark.parametrize(("kind", "n"), [("float32", 9_000), ("probs", 9_000), ("event", 9_000), ("rounded", 30_000)])
def test_the_sample_of_rows(kind, n, view):
    """More rows than are kept, of which some are equal: of "rounded" there are few that differ."""
    rows = predictions("probs" if kind == "rounded" else kind, n)
    if kind == "rounded":
        first = np.random.default_rng(0).integers(0, 40, n) / 40
        rows = ck.Predictions.from_probs(rows.labels % 2, np.stack([first, 1 - first], axis=1))
    expected = state_of(rows, np.arange(n), block=n, threads=1, view=view)
    rng = np.random.default_rng(1)
    for n_shards, block, threads in ((1, 1_000, 2), (3, 65_536, 1), (16, 211, 2)):
        shards = np.array_split(rng.permutation(n), n_shards)
        states = [state_of(rows, index, block=block, threads=threads, view=view) for index in shards]
        for _ in range(3):
            total = ck.CalibrationState(view=view)
            for place in rng.permutation(n_shards):
                total.merge(states[place], allow_duplicates=True)
            assert total.digest == expected.digest
    assert total.evaluation() == expected.evaluation()
