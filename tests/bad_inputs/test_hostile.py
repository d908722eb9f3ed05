"""Rows 57 to 61, 64 and 65: files that are made to do harm."""

import io
import json
import os
import pickle
import struct
import time
import zipfile

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import InputFormatError, LimitError
from tests.bad_inputs.formats import pyarrow, torch
from tests.bad_inputs.samples import LABELS, LOGITS, is_refusal, python, refused


def npy(shape, dtype="<f8", payload=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + payload


def safetensors_bytes(header, payload=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


HUGE = {
    "net.npy": npy((10**13,)),
    "cube.npy": npy((2**40, 2**40, 2**40)),
    "net.safetensors": safetensors_bytes(
        {"logits": {"dtype": "F64", "shape": [10**13, 1], "data_offsets": [0, 8 * 10**13]}}, b"\0" * 64
    ),
    "header.safetensors": struct.pack("<Q", 2**62) + b"{" + b" " * 64,
}


@pytest.mark.parametrize("name", HUGE)
def test_row_57_a_header_that_claims_more_than_the_file_holds(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(HUGE[name])
    began = time.process_time()
    with pytest.raises(InputFormatError, match=name.replace(".", r"\.")):
        ck.load(path, logits="array", labels="array")
    assert time.process_time() - began < 2


def test_row_57_members_that_claim_more(tmp_path):
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", npy((10**13,), "<i8", b"\0" * 64))
        archive.writestr("logits.npy", npy((10**13, 3), "<f8", b"\0" * 64))
    with refused(LimitError, f"{path}:", "claims", "truncated"):
        ck.load(path, max_bytes=10**15)
    with refused(LimitError, f"{path}: labels, logits unpacks to 320,000,000,000,000 bytes"):
        ck.load(path)


def bomb(path, n_rows):
    zeros = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, header, size in (
            ("labels.npy", npy((n_rows,), "|i1"), n_rows),
            ("logits.npy", npy((n_rows, 2)), 16 * n_rows),
        ):
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(header)
                for start in range(0, size, len(zeros)):
                    file.write(zeros[: size - start])


def test_row_58_zip_bomb(run, tmp_path):
    path = tmp_path / "bomb.npz"
    bomb(path, 65_000_000)
    assert path.stat().st_size < 10_000_000
    is_refusal(run("evaluate", path, "--max-bytes", "1000000"), 4, f"{path}: labels, logits", "1,105,000,000 bytes")
    code = (
        "import resource, sys, calibkit as ck\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: ck.load(sys.argv[1])\n"
        "except ck.errors.LimitError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    said, growth = python(code, path).stdout.splitlines()
    assert "pass max_bytes=1105000000" in said
    assert int(growth) < 100_000


def test_row_58_parquet_bomb(run, tmp_path):
    from pyarrow import parquet

    path = tmp_path / "bomb.parquet"
    zeros = pyarrow.table({"label": np.zeros(10**6, dtype=np.int8), "p": np.zeros(10**6)})
    with parquet.ParquetWriter(path, zeros.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(zeros)
    assert path.stat().st_size < 2_000_000
    for flags in ([], ["--max-bytes", "1000000"]):
        is_refusal(run("evaluate", path, *flags), 4, f"{path}: label, p unpacks to 1,600,000,000 bytes", "--max-bytes")


class Evil:
    """What a pickle would run if it were loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (os.fspath(self.path),))


def evil_files(folder, target):
    np.save(folder / "net.npy", np.array([Evil(target)], dtype=object), allow_pickle=True)
    np.savez(folder / "net.npz", labels=LABELS, logits=np.array([Evil(target)], dtype=object))
    torch.save({"labels": torch.tensor(LABELS), "logits": Evil(target)}, folder / "net.pt")
    torch.save({"logits": Evil(target)}, folder / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("net.pkl", "model.joblib", "renamed.npz", "renamed.csv", "renamed.pt", "renamed.npy"):
        (folder / name).write_bytes(pickle.dumps(Evil(target)))
    return sorted(path for path in folder.iterdir() if path.is_file())


def test_row_59_nothing_is_unpickled(run, tmp_path):
    target = tmp_path / "ran"
    for path in evil_files(tmp_path, target):
        for command in ("evaluate", "inspect"):
            done = run(command, path, "--logits", "array" if path.suffix == ".npy" else "logits")
            assert "Traceback" not in done.err
            assert done.code == 4 or (command == "inspect" and done.code == 0), path
        assert not target.exists(), path


def test_row_59_the_message_says_how_to_convert(run, tmp_path):
    evil_files(tmp_path, tmp_path / "ran")
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "net.npz:logits: holds Python objects", ".astype(float)")
    is_refusal(run("evaluate", tmp_path / "net.pt"), 4, "net.pt: holds Python objects", "torch.save(")
    is_refusal(run("evaluate", tmp_path / "model.joblib"), 4, "pickle, which is never loaded", "numpy.savez")


def test_row_60_hdf5_is_not_opened(run, tmp_path):
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    is_refusal(run("evaluate", tmp_path / "net.h5"), 4, "net.h5: is HDF5, which is not read", "numpy.savez")


def test_row_61_members_are_names_and_nothing_else(tmp_path):
    path, outside = tmp_path / "net.npz", tmp_path / "outside"
    outside.mkdir()
    names = ["../../outside/labels", f"{outside}/labels", "a\\..\\labels", "C:labels", "..", "/"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", npy((4,), "<i8", LABELS.tobytes()))
        link = zipfile.ZipInfo("link.npy")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("logits.npy", npy((4, 3), "<f8", LOGITS.tobytes()))
    with pytest.raises(InputFormatError, match="damaged"):
        ck.load(path, labels="link")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", npy((4,), "<i8", LABELS.tobytes()))
        archive.writestr("logits.npy", npy((4, 3), "<f8", LOGITS.tobytes()))
    before = sorted(tmp_path.rglob("*"))
    for name in names:
        assert ck.load(path, labels=name).labels.tolist() == LABELS.tolist()
    assert sorted(tmp_path.rglob("*")) == before


def test_row_64_a_key_twice(tmp_path):
    path = tmp_path / "net.safetensors"
    entry = '{"dtype": "F64", "shape": [4], "data_offsets": [0, 32]}'
    path.write_bytes(safetensors_bytes(f'{{"p": {entry}, "p": {entry}}}'.encode(), bytes(32)))
    with refused(InputFormatError, f"{path}: the header is damaged", "'p' occurs twice"):
        ck.load(path)
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr("labels.npy", npy((4,), "<i8", LABELS.tobytes()))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("labels.npy", npy((4,), "<i8", LABELS[::-1].tobytes()))
    with refused(InputFormatError, "net.npz:labels", "two arrays of this name"):
        ck.load(tmp_path / "net.npz")


def test_row_65_every_batch_is_validated(tmp_path):
    from pyarrow import feather

    path = tmp_path / "net.arrow"
    lists = pyarrow.array(LOGITS.tolist(), type=pyarrow.list_(pyarrow.float64()))
    words = pyarrow.DictionaryArray.from_arrays(pyarrow.array(LABELS.astype(np.int32)), pyarrow.array([0, 1, 2]))
    feather.write_feather(pyarrow.table({"label": words, "logits": lists}), path, compression="uncompressed")
    data = path.read_bytes()
    assert ck.load(path).values.tolist() == LOGITS.tolist()
    for right, wrong in (([0, 3, 6, 9, 12], [0, 3, 2**30, 9, 12]), (LABELS, [0, 1, 2**30, 0])):
        right, wrong = (np.array(numbers, dtype=np.int32).tobytes() for numbers in (right, wrong))
        assert data.count(right) == 1
        path.write_bytes(data.replace(right, wrong))
        with refused(InputFormatError, f"{path}: cannot be read as arrow, it is damaged"):
            ck.load(path)
