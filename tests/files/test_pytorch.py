import pickle
import sys
import zipfile

import numpy as np
import pytest

from calibkit import inspect, load
from calibkit.errors import InputFormatError, LimitError, MissingExtraError
from tests.files.samples import LABELS, LOGITS, PROBS

torch = pytest.importorskip("torch")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pt"


def test_tensors_of_a_dictionary(path):
    parameter = torch.nn.Parameter(torch.tensor(LOGITS))
    torch.save({"labels": torch.tensor(LABELS), "logits": parameter, "epoch": 7, "note": "ours"}, path)
    np.testing.assert_array_equal(load(path).logits, LOGITS)
    assert [str(entry) for entry in inspect(path).entries] == ["labels (4,) int64", "logits (4, 3) float32"]


def test_dictionaries_in_a_dictionary_are_named_with_a_dot(path):
    torch.save({"test": {"labels": torch.tensor(LABELS), "logits": torch.tensor(LOGITS)}}, path)
    with pytest.raises(InputFormatError, match=r"test\.labels \(4,\) int64"):
        load(path)
    assert len(load(path, labels="test.labels", logits="test.logits")) == 4


def test_one_tensor_alone_is_called_as_the_file(tmp_path):
    torch.save(torch.tensor(LOGITS), tmp_path / "logits.pth")
    torch.save(torch.tensor(LABELS), tmp_path / "y.pt")
    assert len(load(tmp_path / "logits.pth", labels_file=str(tmp_path / "y.pt"))) == 4
    assert len(load(tmp_path / "logits.pth", logits="array", labels_file=f"{tmp_path / 'y.pt'}:array")) == 4


def test_bfloat16(path):
    half = torch.tensor(PROBS).to(torch.bfloat16)
    torch.save({"labels": torch.tensor(LABELS), "probs": half}, path)
    predictions = load(path)
    np.testing.assert_array_equal(predictions.probs, half.float().numpy())
    assert predictions.sum_tolerance == 8 * 2**-7


@pytest.mark.parametrize("stride", [0, 2])
def test_views_are_read_by_their_strides(path, stride):
    whole = torch.tensor(np.repeat(LOGITS, max(stride, 1), axis=0))
    logits = whole[::2] if stride else whole[:1].expand(4, 3)
    torch.save({"labels": torch.tensor(LABELS), "logits": logits}, path)
    np.testing.assert_array_equal(load(path).logits, logits.numpy())


def test_a_view_that_claims_terabytes(path):
    vast = torch.zeros(1).expand(10**12)
    torch.save({"labels": torch.zeros(1, dtype=torch.int64).expand(10**12), "prob": vast}, path)
    with pytest.raises(LimitError, match="max_bytes="):
        load(path)
    with pytest.raises(LimitError, match="in a file of"):
        load(path, max_bytes=10**15)


class Evil:
    def __reduce__(self):
        return (sys.exit, ("the pickle was loaded",))


def test_other_objects_are_never_loaded(path):
    torch.save({"labels": torch.tensor(LABELS), "logits": Evil()}, path)
    with pytest.raises(InputFormatError, match=r"never loaded.*torch.save"):
        load(path)


def test_a_numpy_array_in_a_pt_is_not_a_tensor(path):
    torch.save({"labels": LABELS, "logits": LOGITS}, path)
    with pytest.raises(InputFormatError, match="tensors alone"):
        load(path)


def test_a_bare_pickle_is_refused_under_any_name(tmp_path):
    for name in ("net.pt", "net.npy", "net.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(InputFormatError, match="pickle, which is never loaded"):
            load(tmp_path / name)


@pytest.mark.parametrize("content", [{"epoch": 7}, [1, 2], "text", {}])
def test_a_file_without_tensors_says_what_it_holds(path, content):
    torch.save(content, path)
    with pytest.raises(InputFormatError, match="no tensors"):
        load(path)


def test_sparse_tensors(path):
    torch.save({"labels": torch.tensor(LABELS), "logits": torch.tensor(LOGITS).to_sparse()}, path)
    with pytest.raises(InputFormatError, match=r"net.pt"):
        load(path)


def test_compressed_members_are_refused(path):
    torch.save({"labels": torch.tensor(LABELS)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(InputFormatError, match=r"torch.save does not write"):
        load(path)


def test_a_truncated_file(path):
    torch.save({"labels": torch.tensor(LABELS), "logits": torch.tensor(LOGITS)}, path)
    data = path.read_bytes()
    for n_bytes in range(1, len(data), 101):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InputFormatError, match=r"net\.pt"):
            load(path)


@pytest.mark.parametrize("version", ["2.9.1", "2.6.0+cu124", "1.13"])
def test_versions_that_are_not_safe(path, monkeypatch, version):
    torch.save({"labels": torch.tensor(LABELS), "logits": torch.tensor(LOGITS)}, path)
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(MissingExtraError, match=r'2\.10 or later.*pip install "calibkit\[train\]"'):
        load(path)


def test_without_torch(path, monkeypatch):
    torch.save({"labels": torch.tensor(LABELS), "logits": torch.tensor(LOGITS)}, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "calibkit\[train\]"'):
        load(path)
