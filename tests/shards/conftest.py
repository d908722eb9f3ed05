"""Five shards in the working folder of every test."""

import numpy as np
import pytest

from tests.test_shards import cut, rows


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, part in enumerate(cut(rows(), 5)):
        np.savez(f"shard-{number}.npz", **part)
    return tmp_path
