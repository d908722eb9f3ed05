import io
import struct
import zipfile

import numpy as np
import pytest

from calibkit import load
from tests.files.samples import LABELS, LOGITS


def npy_bytes(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def npy_header(text):
    head = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def write_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members:
            archive.writestr(name, data)


@pytest.mark.parametrize(
    "logits",
    [
        np.asfortranarray(LOGITS),
        LOGITS.astype(">f4"),
        LOGITS.astype("<f8"),
        LOGITS.astype(np.float16),
        np.repeat(LOGITS, 2, axis=0)[::2],
    ],
    ids=["fortran", "big-endian", "float64", "float16", "strided"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_layout_has_the_same_values(tmp_path, logits, save):
    save(tmp_path / "net.npz", labels=LABELS, logits=logits)
    read = load(tmp_path / "net.npz").logits
    assert read.dtype == logits.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read, logits)


@pytest.mark.parametrize("labels", [LABELS.astype(">i2"), LABELS.astype(np.uint8), LABELS.astype(np.float32)])
def test_labels_of_every_number_type(tmp_path, labels):
    np.savez(tmp_path / "net.npz", labels=labels, logits=LOGITS)
    assert load(tmp_path / "net.npz").labels.tolist() == LABELS.tolist()


def test_a_fortran_npy_is_not_transposed(tmp_path):
    np.save(tmp_path / "logits.npy", np.asfortranarray(LOGITS))
    np.save(tmp_path / "y.npy", LABELS)
    np.testing.assert_array_equal(load(tmp_path / "logits.npy", labels_file=str(tmp_path / "y.npy")).logits, LOGITS)
