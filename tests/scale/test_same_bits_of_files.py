"""One state, to the last bit, from every format, split into files, size of the blocks, and process that reads.

The same values in the same dtype: text is read with `dtype`. The states' digests are compared.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import calibkit as ck
from tests.files.samples import EXTRAS, WRITERS
from tests.state.samples import predictions

FEW, MANY = 48, 2_400
FORMATS = [*WRITERS, "stored.npz"]
ROWS = {"float32": "logits", "probs": "probs"}


def arrays_of(kind, n):
    rows = predictions(kind, n)
    return {"labels": rows.labels, ROWS[kind]: rows.values}


def written(folder, extension, parts):
    """Files of the parts, and the keywords with which they are read."""
    options = {"dtype": str(next(iter(reversed(parts[0].values()))).dtype)} if extension in (".csv", ".jsonl") else {}
    for package in {EXTRAS.get(extension), "safetensors" if extension == ".safetensors" else None} - {None}:
        pytest.importorskip(package)
    for number, part in enumerate(parts):
        path = folder / f"shard-{number:02}{extension}"
        if extension == "stored.npz":
            np.savez(path, **part)
        else:
            WRITERS[extension](path, part)
    return options


def check(folder, kind, n, extension, n_shards, blocks, **options):
    arrays = arrays_of(kind, n)
    expected = ck.CalibrationState()
    expected.update(predictions(kind, n))
    cut = [np.array_split(values, n_shards) for values in arrays.values()]
    parts = [dict(zip(arrays, part, strict=True)) for part in zip(*cut, strict=True)]
    reading = written(folder, extension, parts)
    for block_rows in blocks:
        state = ck.state_of_files(f"{folder}/shard-*", block_rows=block_rows, **reading, **options)
        assert state.digest == expected.digest, block_rows
        assert len(state.sources) == n_shards
    assert state.evaluation() == expected.evaluation()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("extension", FORMATS)
def test_small_blocks(tmp_path, extension, kind, threads):
    check(tmp_path, kind, FEW, extension, 3, (1, 7), threads=threads)


@pytest.mark.parametrize("n_shards", [1, 2, 3, 16])
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("extension", FORMATS)
def test_blocks_and_shards(tmp_path, extension, kind, n_shards):
    check(tmp_path, kind, MANY, extension, n_shards, (1_000, 65_536, MANY))


def ragged_rows(n):
    """Questions of 1 to 90 choices, in lists, and the state of all of them."""
    rng = np.random.default_rng(n)
    lists = [rng.normal(size=k).astype(np.float32) for k in rng.integers(1, 9, n) ** (1 + (np.arange(n) % 40 == 0))]
    labels = [int(rng.integers(len(row))) for row in lists]
    state = ck.CalibrationState()
    state.update(ck.Predictions.from_logits(labels, lists, ragged=True))
    return labels, lists, state


def write_ragged(path, labels, lists):
    if path.suffix == ".jsonl":
        rows = zip(labels, lists, strict=True)
        path.write_text("".join(json.dumps({"y": y, "logits": row.tolist()}) + "\n" for y, row in rows))
        return
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pa.table({"y": labels, "logits": lists})
    parquet.write_table(table, path) if path.suffix == ".parquet" else feather.write_feather(table, str(path))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n_shards", [1, 3, 16])
@pytest.mark.parametrize("extension", [".jsonl", ".parquet", ".feather"])
def test_ragged_rows(tmp_path, extension, n_shards, threads):
    """The longest list of a block and of a shard, to which its rows are filled up, changes no bit."""
    labels, lists, expected = ragged_rows(600)
    for number, rows in enumerate(np.array_split(np.random.default_rng(1).permutation(600), n_shards)):
        path = tmp_path / f"shard-{number:02}{extension}"
        write_ragged(path, [labels[i] for i in rows], [lists[i] for i in rows])
    reading = {"ragged": True} | ({"dtype": "float32"} if extension == ".jsonl" else {})
    for block_rows in (1, 7, 1_000, None):
        state = ck.state_of_files(f"{tmp_path}/shard-*", block_rows=block_rows, threads=threads, **reading)
        assert state.digest == expected.digest, block_rows
    assert state.evaluation() == expected.evaluation()


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_with_labels_elsewhere(tmp_path, order):
    rows = predictions("float32", MANY)
    expected = ck.CalibrationState()
    expected.update(rows)
    np.save(tmp_path / "logits.npy", np.asarray(rows.logits, order=order))
    np.save(tmp_path / "truth.npy", rows.labels)
    for block_rows in (7, 1_000, MANY):
        state = ck.state_of_files(
            tmp_path / "logits.npy", labels_file=str(tmp_path / "truth.npy"), block_rows=block_rows
        )
        assert state.digest == expected.digest


def test_processes(tmp_path):
    """Two processes of their own, over files of three formats."""
    rows = arrays_of("float32", MANY)
    expected = ck.CalibrationState()
    expected.update(predictions("float32", MANY))
    for number, extension in enumerate((".npz", ".safetensors", ".parquet")):
        part = {key: np.array_split(values, 3)[number] for key, values in rows.items()}
        written(tmp_path, extension, [part])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        state = ck.state_of_files(f"{tmp_path}/shard-*", executor=executor, threads=1)
    assert state.digest == expected.digest
    assert len(state.sources) == 3
