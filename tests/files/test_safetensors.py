import json

import numpy as np
import pytest

from calibkit import inspect, load
from calibkit.errors import InputFormatError, LimitError
from tests.files.samples import LABELS, LOGITS, PROBS

VALUES = {"labels": LABELS, "logits": LOGITS}


def safetensors_bytes(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def plain(**changes):
    """A file of labels and logits, with one tensor's fields changed."""
    labels, logits = LABELS.astype("<i8").tobytes(), LOGITS.astype("<f4").tobytes()
    header = {
        "labels": {"dtype": "I64", "shape": [4], "data_offsets": [0, 32]},
        "logits": {"dtype": "F32", "shape": [4, 3], "data_offsets": [32, 80]} | changes,
    }
    return safetensors_bytes(header, labels + logits)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def test_a_file_by_the_format_alone(path):
    path.write_bytes(plain())
    np.testing.assert_array_equal(load(path).logits, LOGITS)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
@pytest.mark.parametrize("whole", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_every_type_the_library_writes(path, kind, whole):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"y": LABELS.astype(whole), "scores": LOGITS.astype(kind)}, path, metadata={"epoch": "7"})
    predictions = load(path)
    assert predictions.logits.dtype == kind
    np.testing.assert_array_equal(predictions.logits, LOGITS.astype(kind))
    np.testing.assert_array_equal(predictions.labels, LABELS)


def test_bfloat16_is_widened_and_its_rows_may_be_off_by_its_own_rounding(path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    from calibkit.scores import score_rows

    half = torch.tensor(PROBS).to(torch.bfloat16)
    save_file({"labels": torch.tensor(LABELS), "probs": half}, path)
    predictions = load(path)
    np.testing.assert_array_equal(predictions.probs, half.float().numpy())
    assert predictions.sum_tolerance == pytest.approx(8 * 2**-7)
    score_rows(predictions)
    assert [str(entry) for entry in inspect(path).entries] == ["labels (4,) int64", "probs (4, 3) bfloat16"]


def test_the_same_key_twice_is_refused(path):
    fields = b'{"dtype":"I64","shape":[4],"data_offsets":[0,32]}'
    path.write_bytes(safetensors_bytes(b'{"labels":' + fields + b',"labels":' + fields + b"}", bytes(32)))
    with pytest.raises(InputFormatError, match="'labels' occurs twice"):
        load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [4, 4]},
        {"shape": [-4, -3]},
        {"shape": [4, 3.0]},
        {"shape": None},
        {"dtype": "F99"},
        {"dtype": 7},
        {"data_offsets": [32]},
        {"data_offsets": [80, 32]},
        {"data_offsets": [0, 48]},
        {"data_offsets": [True, 49]},
        {"data_offsets": "ab"},
    ],
)
def test_claims_that_do_not_fit(path, changes):
    path.write_bytes(plain(**changes))
    with pytest.raises(InputFormatError, match=r"net\.safetensors"):
        load(path)


def test_claims_beyond_the_file(path):
    path.write_bytes(plain(shape=[10**13, 3], data_offsets=[32, 32 + 12 * 10**13]))
    with pytest.raises(LimitError, match="ends at byte"):
        load(path)
    path.write_bytes((10**12).to_bytes(8, "little") + b"{" + bytes(100))
    with pytest.raises(InputFormatError):
        load(path)


def test_a_truncated_file(path):
    data = plain()
    for n_bytes in range(1, len(data), 7):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InputFormatError, match=r"net\.safetensors"):
            load(path)


def test_bytes_after_the_last_tensor(path):
    path.write_bytes(plain() + b"\0")
    with pytest.raises(InputFormatError, match="1 bytes follow"):
        load(path)


@pytest.mark.parametrize("header", [b"[]", b"{", b"{" * 20_000, b'{"a": NaN}', b'{"a": 1}', b'{"\xff": 1}'])
def test_headers_that_are_not_headers(path, header):
    path.write_bytes(safetensors_bytes(header))
    with pytest.raises(InputFormatError):
        load(path)


def test_eight_bit_floats_are_listed_but_not_read(path):
    header = {"labels": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}} | {
        "logits": {"dtype": "F8_E4M3", "shape": [1, 2], "data_offsets": [8, 10]}
    }
    path.write_bytes(safetensors_bytes(header, bytes(10)))
    assert str(inspect(path).entries[1]) == "logits (1, 2) F8_E4M3"
    with pytest.raises(InputFormatError, match="save them as float32"):
        load(path)


def test_the_limit(path):
    path.write_bytes(plain())
    with pytest.raises(LimitError, match="max_bytes=80"):
        load(path, max_bytes=79)
