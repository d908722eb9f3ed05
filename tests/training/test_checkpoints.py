"""Weights come back bit for bit, into the architecture that they were saved from and no other."""

import os
import pickle
import sys
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from calibkit.errors import DataError, InputFormatError, MissingExtraError, OptionError, OutputError, ShapeError
from calibkit.files.atomic import atomic_write
from calibkit.training import load_weights, mlp, save_weights
from calibkit.training.archive import read_archive, write_archive
from calibkit.training.checkpoints import require_safetensors


class Tied(nn.Module):
    """An embedding whose matrix is the output layer's too, as in language models, and a normalisation's buffers."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, width)
        self.norm = nn.BatchNorm1d(width)
        self.out = nn.Linear(width, 5, bias=False)
        self.out.weight = self.embed.weight


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def moved(model: nn.Module, by: float = 0.371) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)
    return model


def test_weights_come_back_bit_for_bit_and_tied_ones_are_written_once(tmp_path):
    model = Tied()
    model.norm.running_mean.fill_(0.7)
    model.norm.num_batches_tracked.fill_(9)
    save_weights(model, tmp_path / "w.safetensors", metadata={"epoch": "3"})
    assert sorted(load_file(tmp_path / "w.safetensors")) == sorted(set(model.state_dict()) - {"out.weight"})
    other = moved(Tied())
    load_weights(other, tmp_path / "w.safetensors")
    assert same(other, model)
    assert other.out.weight is other.embed.weight


def test_whichever_of_the_tied_names_a_file_has_is_taken_and_two_must_agree(tmp_path):
    model, path = Tied(), tmp_path / "w.safetensors"
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for absent in ("embed.weight", "out.weight"):
        save_file({key: value for key, value in state.items() if key != absent}, path)
        other = moved(Tied())
        load_weights(other, path)
        assert same(other, model)
    save_file(state, path)  # both, equal
    load_weights(moved(Tied()), path)
    save_file({**state, "out.weight": state["out.weight"] + 1}, path)
    with pytest.raises(InputFormatError, match=r"embed\.weight and out\.weight differ.*one tensor"):
        load_weights(Tied(), path)


def test_views_of_one_storage_that_are_not_the_same_tensor_are_kept_apart(tmp_path):
    model = nn.Module()
    whole = torch.arange(12.0).reshape(3, 4)
    model.register_buffer("turned", whole.t())
    model.register_buffer("row", whole[1])
    model.register_buffer("whole", whole)
    save_weights(model, tmp_path / "w.safetensors")
    read = load_file(tmp_path / "w.safetensors")
    assert torch.equal(read["turned"], whole.t())
    assert torch.equal(read["row"], whole[1])
    assert torch.equal(read["whole"], whole)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_each_type_of_float_comes_back_and_narrower_ones_widen_exactly(dtype, tmp_path):
    model = mlp(4, 2, hidden=(3,), seed=1).to(dtype)
    save_weights(model, tmp_path / "w.safetensors")
    again = mlp(4, 2, hidden=(3,), seed=2).to(dtype)
    load_weights(again, tmp_path / "w.safetensors")
    assert same(again, model)
    wide = mlp(4, 2, hidden=(3,), seed=2).double()
    load_weights(wide, tmp_path / "w.safetensors")
    assert torch.equal(wide[0].weight, model[0].weight.double())


def test_digits_are_not_lost_in_silence(tmp_path):
    save_weights(nn.Linear(2, 2).double(), tmp_path / "w.safetensors")
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    with pytest.raises(ShapeError, match=r"weight is float64.*float32 in the network.*model\.to\(torch\.float64\)"):
        load_weights(model, tmp_path / "w.safetensors")
    save_file({"weight": torch.ones(2, 2, dtype=torch.int64), "bias": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ShapeError, match="weight is int64"):
        load_weights(model, tmp_path / "w.safetensors")
    assert torch.equal(model.weight, before)


def test_another_architecture_is_named_by_its_first_missing_and_unexpected_names(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), path)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(
        InputFormatError,
        match=r"w\.safetensors: lacks 2\.\w+ \(2 of the network's 4 tensors missing\), and has 1\.\w+ \(2 tensors "
        r"that the network does not have\): it is of another architecture",
    ):
        load_weights(model, path)
    with pytest.raises(ShapeError, match=r"0\.weight has shape \(3, 2\) in the file and \(5, 2\) in the network"):
        load_weights(nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 2)), path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_wrappers_are_looked_through_and_their_names_explained(tmp_path):
    path = tmp_path / "w.safetensors"
    model = mlp(4, 2, hidden=(3,), seed=1)
    save_weights(
        nn.DataParallel(torch.compile(model, backend="eager")), path
    )  # nothing is compiled before it is called
    plain = mlp(4, 2, hidden=(3,), seed=2)
    load_weights(plain, path)
    assert same(plain, model)
    load_weights(torch.compile(moved(plain), backend="eager"), path)
    assert same(plain, model)
    save_file({f"module.{key}": value for key, value in model.state_dict().items()}, path)
    with pytest.raises(InputFormatError, match=r"with a wrapper, whose names begin with 'module\.'"):
        load_weights(plain, path)


def test_a_state_dict_of_torch_save_is_read_and_nothing_else(tmp_path):
    model, path = mlp(4, 2, hidden=(3,), seed=1), tmp_path / "w.pt"
    torch.save(model.state_dict(), path)
    other = mlp(4, 2, hidden=(3,), seed=2)
    load_weights(other, path)
    assert same(other, model)
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, path)
    with pytest.raises(InputFormatError, match=r"holds a dictionary of 'epoch', 'state_dict', not a state dict"):
        load_weights(other, path)
    torch.save(model, path)
    with pytest.raises(InputFormatError, match=r"never loaded.*torch\.save\(model\.state_dict\(\), path\)"):
        load_weights(other, path)


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["EVIL"],)


def test_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL", str(tmp_path / "made"))
    torch.save({"weight": Evil()}, tmp_path / "w.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("w.pt", "plain.pt"):
        with pytest.raises(InputFormatError):
            load_weights(nn.Linear(2, 2), tmp_path / name)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_every_cut_of_a_file_is_refused(kind, tmp_path):
    model, path = nn.Linear(2, 2), tmp_path / f"w.{kind}"
    if kind == "pt":
        torch.save(model.state_dict(), path)
    else:
        save_weights(model, path)
    data = path.read_bytes()
    for n_bytes in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InputFormatError, match=rf"w\.{kind}"):
            load_weights(model, path)


def test_files_that_are_not_there_or_not_files(tmp_path):
    model = nn.Linear(2, 2)
    with pytest.raises(InputFormatError, match="cannot be opened"):
        load_weights(model, tmp_path / "none.safetensors")
    with pytest.raises(InputFormatError, match=r"is a folder; give the file in it.*weights\.safetensors"):
        load_weights(model, tmp_path)


def test_what_cannot_be_kept(tmp_path):
    path = tmp_path / "w.safetensors"
    sparse = nn.Module()
    sparse.register_buffer("held", torch.eye(2).to_sparse())
    with pytest.raises(DataError, match="'held' is sparse"):
        save_weights(sparse, path)
    with pytest.raises(DataError, match="'weight' has no values yet"):
        save_weights(nn.LazyLinear(2), path)
    with pytest.raises(DataError, match="'weight' has no values yet"):
        save_weights(nn.Linear(2, 2, device="meta"), path)
    with pytest.raises(OptionError, match="safetensors keeps text"):
        save_weights(nn.Linear(2, 2), path, metadata={"epoch": 3})
    assert not path.exists()


def test_the_same_weights_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_weights(mlp(4, 2, hidden=(3,), seed=1), tmp_path / name, metadata={"epoch": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_safetensors(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r'pip install "calibkit\[train\]"'):
        require_safetensors()


class Full:
    """A file on a disk that takes a hundred bytes and then raises."""

    def __init__(self, file, error):
        self.file, self.error, self.left = file, error, 100

    def write(self, data):
        self.left -= len(bytes(data))
        if self.left < 0:
            raise self.error
        return self.file.write(data)

    def flush(self):
        self.file.flush()


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError(28, "No space left on device"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["a full disk", "Ctrl-C"],
)
def test_an_archive_is_written_whole_or_not_at_all(error, expected, tmp_path, monkeypatch):
    path = tmp_path / "resume.pt"
    write_archive(path, {"epoch": 1, "held": torch.ones(3)})

    @contextmanager
    def filling(target):
        with atomic_write(target) as file:
            yield Full(file, error)

    monkeypatch.setattr("calibkit.training.archive.atomic_write", filling)
    with pytest.raises(expected) as caught:
        write_archive(path, {"epoch": 2, "held": torch.ones(1000)})
    assert expected is KeyboardInterrupt or "No space left on device" in str(caught.value)
    kept = read_archive(path)
    assert kept["epoch"] == 1
    assert torch.equal(kept["held"], torch.ones(3))
    assert [file.name for file in tmp_path.iterdir()] == ["resume.pt"]
