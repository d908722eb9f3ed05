import json

import numpy as np
import pytest

from calibkit import Predictions, inspect, load, save
from calibkit.errors import OptionError
from calibkit.files import npz
from tests.files.samples import EXTRAS, LABELS, LOGITS, WRITERS
from tests.real_data import real_data


@pytest.mark.parametrize("extension", WRITERS)
def test_it_says_what_load_reads(tmp_path, extension):
    if extension in EXTRAS:
        pytest.importorskip(EXTRAS[extension])
    path = tmp_path / f"net{extension}"
    WRITERS[extension](path, {"labels": LABELS, "logits": LOGITS, "group": np.array([1, 1, 2, 2])})
    contents = inspect(path)
    predictions = load(path)
    assert contents.n == len(predictions) == 4
    assert contents.reading.startswith("logits of 4 rows")
    assert contents.reading.endswith("; labels from labels; groups from group")
    assert contents.problem is None
    assert {entry.role for entry in contents.entries} == {"labels", "logits", "groups"}
    json.dumps(contents.to_dict(), allow_nan=False)


def test_values_of_arrays_are_not_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "net.npz", labels=LABELS, logits=LOGITS)

    def refuse(*_arguments, **_options):
        raise AssertionError("values were read")

    monkeypatch.setattr(npz, "_values", refuse)
    assert inspect(tmp_path / "net.npz").n == 4


def test_what_is_not_clear_is_told_and_is_no_error(tmp_path):
    np.savez(tmp_path / "net.npz", labels=LABELS, logits=LOGITS, probs=LOGITS, val_y=LABELS, val_logits=LOGITS)
    contents = inspect(tmp_path / "net.npz")
    assert contents.n is None
    assert "could be read as logits or probs" in contents.problem
    assert contents.reading == "nothing"
    assert contents.splits == ("val",)
    assert all(entry.role is None for entry in contents.entries)
    assert inspect(tmp_path / "net.npz", probs="").problem is None
    assert inspect(tmp_path / "net.npz", split="val").reading.endswith("from val_logits; labels from val_y")


@pytest.mark.parametrize(
    ("predictions", "reading"),
    [
        (Predictions.from_probs([1, 0], [0.7, 0.2]), "probs of 2 rows (P(y = 1)) from probs; labels from labels"),
        (
            Predictions.from_logits([1, 0], [0.7, -0.2]),
            "logits of 2 rows (log-odds of class 1) from logits; labels from labels",
        ),
        (
            Predictions.from_top1([1, 0], [1, 2], [0.7, 0.2]),
            "top1 of 2 rows from confidence; labels from labels; predicted from predicted",
        ),
        (Predictions.from_correct([1, 0], [0.7, 0.2]), "correct of 2 rows from confidence; correct from correct"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_kind_in_words(tmp_path, predictions, reading):
    save(predictions, tmp_path / "net.npz")
    assert inspect(tmp_path / "net.npz").reading == reading


def test_columns_of_text_have_no_type_before_they_are_read(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.csv"
    path.write_text("target,probs_cat,probs_dog\ncat,0.75,0.25\ndog,0.1,0.9\n")
    assert [(e.shape, e.dtype, e.role) for e in inspect(path).entries] == [
        ((2,), "column", "labels"),
        ((2,), "column", "probs"),
        ((2,), "column", "probs"),
    ]
    path.write_text("truth,out_0,out_1\n0,0.75,0.25\n")
    assert inspect(path).problem.endswith("The file holds column truth; columns out_0 .. out_1.")


def test_lists_of_unlike_lengths_are_told_whatever_they_are_called(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x", "b": [0.1, 0.2], "c": [1, 2]}\n{"a": "y", "b": [0.1, 0.2, 0.3], "c": [3, 4]}\n')
    contents = inspect(path)
    assert contents.problem.endswith("The lists of b hold 2 to 3 choices: such rows are read by ragged=True.")
    assert [entry.shape for entry in contents.entries] == [(None,), (2, None), (None, 2)]
    assert "ragged" not in inspect(path, ragged=True).problem
    assert inspect(path, ragged=True, labels="a", logits="b").reading.startswith("logits of 2 rows of 2 to 3 choices")


def test_labels_elsewhere(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "y.npy", LABELS)
    contents = inspect(tmp_path / "logits.npy", labels_file=str(tmp_path / "y.npy"))
    assert contents.reading == "logits of 4 rows and 3 classes from logits"


def test_options_that_concern_values_are_left_aside(tmp_path):
    np.savez(tmp_path / "net.npz", y=LABELS, out=LOGITS)
    assert inspect(tmp_path / "net.npz", logits="out", invalid="drop", clip=1e-6).n == 4
    with pytest.raises(OptionError):
        inspect(tmp_path / "net.npz", split="")


def test_the_training_data_are_no_predictions():
    contents = inspect(real_data("training/mnist10k.npz"))
    assert [str(entry) for entry in contents.entries] == ["x (10000, 28, 28) uint8", "y (10000,) uint8"]
    assert contents.problem is not None


def test_published_splits_are_found():
    assert inspect(real_data("multiclass/cifar10_resnet50_ce.npz")).splits == ("val",)
