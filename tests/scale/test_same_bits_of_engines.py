"""One state, to the last bit, whoever reads the files: this process, processes of its own, or workers of Dask.

Over every format, split into shards, and size of the blocks; `tests/integrations` holds processes of torch to it.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import calibkit as ck
from tests.scale.test_same_bits_of_files import FEW, FORMATS, MANY, arrays_of, written
from tests.state.samples import predictions


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield {"executor": executor}


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with distributed.LocalCluster(processes=True, **options) as cluster, distributed.Client(cluster) as client:
        yield {"client": client}


@pytest.fixture(params=["processes", "dask"])
def engine(request):
    return request.getfixturevalue(request.param)


def check(folder, engine, kind, n, extension, n_shards, blocks):
    """The files of one split, read in each size of the blocks."""
    expected = ck.CalibrationState()
    expected.update(predictions(kind, n))
    cut = {key: np.array_split(values, n_shards) for key, values in arrays_of(kind, n).items()}
    reading = written(folder, extension, [{key: cut[key][i] for key in cut} for i in range(n_shards)])
    for block_rows, threads in blocks:
        options = {"block_rows": block_rows, "threads": threads, **reading, **engine}
        state = ck.state_of_files(f"{folder}/shard-*", **options)
        assert state.digest == expected.digest, block_rows
        assert len(state.sources) == n_shards
    assert state.evaluation() == expected.evaluation()


@pytest.mark.parametrize("extension", FORMATS)
def test_small_blocks(tmp_path, engine, extension):
    check(tmp_path, engine, "probs", FEW, extension, 3, [(1, 1), (7, 2)])


@pytest.mark.parametrize("n_shards", [1, 2, 3, 16])
@pytest.mark.parametrize("extension", FORMATS)
def test_blocks_and_shards(tmp_path, engine, extension, n_shards):
    blocks = [(1_000, 1), (65_536, 2), (MANY, 1)]
    check(tmp_path, engine, "float32" if n_shards % 2 else "probs", MANY, extension, n_shards, blocks)


def test_states_merged_by_workers(tmp_path, dask, monkeypatch):
    """All of them in a tree of three, so that one state comes back."""
    monkeypatch.setattr("calibkit.shards.dask.MOST_STATES", 1)
    monkeypatch.setattr("calibkit.shards.dask.FAN_IN", 3)
    check(tmp_path, dask, "float32", MANY, ".npz", 16, [(1_000, 1)])
