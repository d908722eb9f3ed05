"""The same four rows in every format that is read."""

import os

import numpy as np
import pytest

import calibkit as ck
from tests.bad_inputs.samples import LABELS, LOGITS

pyarrow = pytest.importorskip("pyarrow")
torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.numpy")


def write_npz(path):
    np.savez(path, labels=LABELS, logits=LOGITS)


def write_npy(path):
    np.save(path, LOGITS)


def write_compressed(path):
    np.savez_compressed(path, labels=LABELS, logits=LOGITS)


def write_own(path):
    told = {"ids": ["a", "b", "c", "d"], "weights": [1.0, 2.0, 0.5, 1.0], "groups": [7, 7, 8, 9]}
    ck.save(ck.Predictions.from_logits(LABELS, LOGITS, name="net", **told), path)


def write_safetensors(path):
    safetensors.save_file({"labels": LABELS, "logits": LOGITS}, path)


def write_pt(path):
    torch.save({"labels": torch.tensor(LABELS), "logits": torch.tensor(LOGITS)}, path)


def table():
    return pyarrow.table({"label": LABELS, **{f"logits_{j}": LOGITS[:, j] for j in range(3)}})


def write_parquet(path):
    from pyarrow import parquet

    lists = pyarrow.table({"label": LABELS, "logits": LOGITS.tolist()})
    parquet.write_table(lists, path, write_page_checksum=True)


def write_feather(path):
    from pyarrow import feather

    feather.write_feather(table(), path)


def write_stream(path):
    with pyarrow.OSFile(os.fspath(path), "wb") as file, pyarrow.ipc.new_stream(file, table().schema) as writer:
        writer.write_table(table())


WRITERS = {
    "own.npz": write_own,
    "net.npz": write_npz,
    "packed.npz": write_compressed,
    "net.npy": write_npy,
    "net.safetensors": write_safetensors,
    "net.pt": write_pt,
    "net.parquet": write_parquet,
    "net.feather": write_feather,
    "net.arrows": write_stream,
}


def read(path):
    if path.suffix == ".npy":
        return ck.load(path, logits="array", labels_file=os.fspath(path.with_name("labels.npy")))
    return ck.load(path)
