import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibkit import Predictions, inspect, load, save
from calibkit.errors import DataError, InputFormatError, OutputError
from tests.files.samples import LABELS, LOGITS, PROBS

TEXT = st.text(st.characters(exclude_characters="\0"), max_size=8)
NAMES = st.one_of(st.none(), st.text(max_size=8))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def predictions(draw):
    """Predictions of any kind with any of the fields that may go along."""
    kind = draw(st.sampled_from(["logits", "log-odds", "probs", "prob", "top1", "correct"]))
    n, k = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    wide = kind in ("logits", "probs")
    labels = rng.integers(0, k if wide or kind == "top1" else 2, size=n)
    told = {"name": draw(NAMES), "provenance": draw(st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3))}
    told["ids"] = draw(st.none() | st.lists(TEXT, min_size=n, max_size=n, unique=True) | st.just([*range(-1, n - 1)]))
    told["groups"] = draw(st.none() | st.lists(TEXT, min_size=n, max_size=n) | st.just([3] * n))
    told["weights"] = draw(st.none() | st.lists(st.floats(0.1, 9), min_size=n, max_size=n))
    if wide or kind == "top1":
        told["class_names"] = draw(st.none() | st.lists(TEXT, min_size=k, max_size=k, unique=True))
    scores = rng.normal(size=(n, k)) * 3
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    if kind == "logits":
        return Predictions.from_logits(labels, scores.astype(dtype), **told)
    if kind == "log-odds":
        return Predictions.from_logits(labels, scores[:, 0].astype(dtype), **told)
    if kind == "probs":
        return Predictions.from_probs(
            labels, probs.astype(dtype), sum_tolerance=draw(st.none() | st.just(0.05)), **told
        )
    if kind == "prob":
        return Predictions.from_probs(labels, probs[:, 0].astype(dtype), **told)
    if kind == "top1":
        n_classes = None if told["class_names"] is not None else draw(st.none() | st.just(k + 2))
        return Predictions.from_top1(labels, rng.permutation(labels), probs.max(axis=1), n_classes=n_classes, **told)
    return Predictions.from_correct(labels, probs.max(axis=1), **told)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(predictions())
def test_what_is_saved_is_what_is_loaded(tmp_path, original):
    path = tmp_path / "net.npz"
    save(original, path)
    again = load(path)
    assert again == original
    assert again.values.dtype == original.values.dtype
    first = path.read_bytes()
    save(again, path)
    assert path.read_bytes() == first


def test_plain_numpy_reads_it(tmp_path):
    save(
        Predictions.from_logits(LABELS, LOGITS, ids=["a", "b", "c", "d"], weights=[1.5, 2, 1, 3]), tmp_path / "net.npz"
    )
    with np.load(tmp_path / "net.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["calibkit", "ids", "labels", "logits", "weights"]
        np.testing.assert_array_equal(arrays["logits"], LOGITS)
        header = json.loads(arrays["calibkit"].item())
    assert header["schema"] == "calibkit.predictions/1"
    assert header["kind"] == "logits"
    assert header["n"] == 4


def test_equal_predictions_give_equal_bytes(tmp_path):
    plain = Predictions.from_logits(
        LABELS, LOGITS * np.float32(0), ids=["a", "bb", "c", "d"], provenance={"x": 1, "y": 2}
    )
    other = Predictions.from_logits(
        LABELS[::-1].copy()[::-1],
        np.asfortranarray(LOGITS * np.float32(-0.0)).astype(">f4"),
        ids=np.array(["a", "bb", "c", "d"], dtype="U40"),
        provenance={"y": 2, "x": 1},
    )
    assert plain == other
    save(plain, tmp_path / "one.npz")
    save(other, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_blocks_are_put_together(tmp_path, monkeypatch):
    from calibkit.files import saving

    monkeypatch.setattr(saving, "BLOCK_BYTES", 25)
    original = Predictions.from_probs(LABELS, np.asfortranarray(PROBS))
    save(original, tmp_path / "net.npz")
    assert load(tmp_path / "net.npz") == original


@pytest.mark.parametrize("bad", [np.nan, 1.5, -0.2])
def test_values_are_checked_before_they_are_saved(tmp_path, bad):
    probs = PROBS.copy()
    probs[2, 1] = bad
    path = tmp_path / "net.npz"
    path.write_bytes(b"old")
    with pytest.raises(DataError, match="row 2"):
        save(Predictions.from_probs(LABELS, probs), path)
    assert path.read_bytes() == b"old"


def test_no_rows(tmp_path):
    nothing = Predictions.from_probs(np.zeros(0, int), np.zeros((0, 3)))
    save(nothing, tmp_path / "net.npz")
    assert load(tmp_path / "net.npz") == nothing


@pytest.mark.parametrize("name", ["net.csv", "net", "net.npz.bak"])
def test_other_extensions_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"saved as \.npz"):
        save(Predictions.from_probs([1], [0.7]), tmp_path / name)
    assert not (tmp_path / name).exists()


def edited(path, **changes):
    """Save a file whose header says something else."""
    save(Predictions.from_probs([1, 0], [0.7, 0.2], name="rain"), path)
    with np.load(path) as arrays:
        arrays = dict(arrays)
    header = json.loads(arrays["calibkit"].item()) | changes
    header = {key: value for key, value in header.items() if value is not ...}
    np.savez(path, **arrays | {"calibkit": np.array(json.dumps(header))})
    return path


def test_a_newer_schema_is_refused_by_name(tmp_path):
    path = edited(tmp_path / "net.npz", schema="calibkit.predictions/2")
    with pytest.raises(InputFormatError, match=r"written as calibkit\.predictions/2.*reads calibkit\.predictions/1"):
        load(path)
    with pytest.raises(InputFormatError, match=r"calibkit\.predictions/2"):
        inspect(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "other/1"},
        {"schema": 7},
        {"kind": ...},
        {"kind": "top1"},
        {"kind": 3},
        {"name": 7},
        {"class_names": "ab"},
        {"class_names": [1, 2]},
        {"class_names": ["only one"]},
        {"n_classes": True},
        {"provenance": []},
        {"sum_tolerance": "much"},
        {"n": 3},
    ],
)
def test_a_header_that_does_not_fit(tmp_path, changes):
    with pytest.raises((InputFormatError, DataError), match=r"net\.npz"):
        load(edited(tmp_path / "net.npz", **changes))


def test_fields_that_are_not_known_are_left_alone(tmp_path):
    assert load(edited(tmp_path / "net.npz", added_later={"a": 1})).name == "rain"


def test_an_array_called_calibkit_is_no_header_if_it_holds_numbers(tmp_path):
    np.savez(tmp_path / "net.npz", labels=[1, 0], prob=[0.7, 0.2], calibkit=[1, 2])
    assert load(tmp_path / "net.npz").name == "net"


def test_a_damaged_header(tmp_path):
    np.savez(tmp_path / "net.npz", labels=[1, 0], prob=[0.7, 0.2], calibkit=np.array("{"))
    with pytest.raises(InputFormatError, match="header of the predictions file is damaged"):
        load(tmp_path / "net.npz")


def test_the_name_given_goes_before_the_name_saved(tmp_path):
    save(Predictions.from_probs([1, 0], [0.7, 0.2], name="rain"), tmp_path / "net.npz")
    assert load(tmp_path / "net.npz").name == "rain"
    assert load(tmp_path / "net.npz", name="snow").name == "snow"


def test_a_saved_file_can_be_read_under_other_names(tmp_path):
    save(Predictions.from_probs([1, 0], [0.7, 0.2], weights=[1, 2]), tmp_path / "net.npz")
    assert load(tmp_path / "net.npz", weights="").weights is None


def test_members_are_plain(tmp_path):
    save(Predictions.from_probs([1, 0], [0.7, 0.2]), tmp_path / "net.npz")
    with zipfile.ZipFile(tmp_path / "net.npz") as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_an_output_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        save(Predictions.from_probs([1, 0], [0.7, 0.2]), tmp_path / "no" / "net.npz")
