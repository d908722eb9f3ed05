"""What runs train on: files are read or refused with the place named, splits and noise follow the seed alone."""

import hashlib

import numpy as np
import pytest

from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.training.data import load_dataset, scale_inputs, split_rows, with_noise
from tests.real_data import real_data

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, size=(30, 4, 3), dtype=np.uint8)
FEATURES = RNG.normal(3.0, [1.0, 20.0], size=(30, 2))
LABELS = np.arange(30) % 3


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_digits():
    digits = load_dataset("digits")
    assert digits.inputs.shape == (1797, 64)
    assert (digits.n_classes, digits.name, digits.sha256) == (10, "digits", None)
    scaled = scale_inputs(digits, np.arange(100))
    assert (scaled.inputs.min(), scaled.inputs.max()) == (0, 1)
    assert scaled.scaling == {"kind": "divided", "by": 16.0}


def test_images_are_flattened_and_divided(tmp_path):
    path = saved(tmp_path / "images.npz", x=IMAGES, y=LABELS.astype(np.uint8))
    data = load_dataset(path)
    assert data.labels.dtype == np.int64
    assert (data.n_classes, data.name) == (3, "images.npz")
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    scaled = scale_inputs(data, np.arange(20))
    assert scaled.inputs.dtype == np.float32
    np.testing.assert_allclose(scaled.inputs, IMAGES.reshape(30, 12) / 255, rtol=1e-6)


def test_floats_are_standardised_by_the_training_rows(tmp_path):
    x = np.column_stack([FEATURES, np.full(30, 1.7e9), 1e9 + np.arange(30)])
    data = load_dataset(str(saved(tmp_path / "features.npz", x=x, y=LABELS)))
    train = np.arange(5, 25)
    scaled = scale_inputs(data, train)
    np.testing.assert_allclose(scaled.inputs[train].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.inputs[train].std(0), [1, 1, 0, 1], atol=1e-6)
    assert scaled.scaling["kind"] == "standardised"
    np.testing.assert_allclose(scaled.scaling["mean"], x[train].mean(0))
    assert abs(scaled.inputs[:5].mean()) > 0.01  # the other rows had no say


def test_mnist_is_read():
    data = load_dataset(real_data("training/mnist10k.npz"))
    assert (len(data.labels), data.n_classes, data.divisor) == (10_000, 10, 255.0)
    assert data.sha256 == "3ba302235efdc3e7e4e84db9ce6a6d6cbc9dd1162d4e79dd0b6a606afc745423"


BAD = {
    "no y": ({"x": IMAGES, "labels": LABELS}, InputFormatError, r"has no array y; it holds x .*labels"),
    "neither": ({"images": IMAGES}, InputFormatError, "no array x and no array y"),
    "one-dimensional": ({"x": LABELS * 0.1, "y": LABELS}, ShapeError, r"x has shape \(30,\)"),
    "no features": ({"x": IMAGES[:, :0], "y": LABELS}, ShapeError, "x has shape"),
    "integers": ({"x": IMAGES.astype(int), "y": LABELS}, InputFormatError, "x has dtype int64; expected uint8"),
    "few": ({"x": IMAGES[:9], "y": LABELS[:9]}, DataError, "has 9 rows"),
    "lengths": ({"x": IMAGES, "y": LABELS[:29]}, ShapeError, r"y has shape \(29,\) but x has 30 rows"),
    "one-hot": ({"x": IMAGES, "y": np.eye(3)[LABELS]}, ShapeError, r"y has shape \(30, 3\)"),
    "float labels": ({"x": IMAGES, "y": LABELS * 1.0}, LabelError, r"y has dtype float64.*astype\(int\)"),
    "text labels": (
        {"x": IMAGES, "y": LABELS.astype(str)},
        LabelError,
        r"y holds text, such as '0'.*np\.unique\(y, return_inverse=True\)\[1\]",
    ),
    "negative": ({"x": IMAGES, "y": LABELS - 1}, LabelError, r"y row 0: value is -1 \(10 of 30 rows\)"),
    "huge": ({"x": IMAGES, "y": np.where(LABELS == 2, 10**12, 0)}, LabelError, "y row 2: value is 1000000000000"),
    "unsigned": ({"x": IMAGES, "y": np.full(30, 2**64 - 1, np.uint64)}, LabelError, "18446744073709551615"),
    "one class": ({"x": IMAGES, "y": LABELS * 0}, LabelError, "every label of y is 0; two classes"),
    "nan": (
        {"x": np.where(np.arange(60).reshape(30, 2) == 13, np.nan, FEATURES), "y": LABELS},
        DataError,
        r"x row 6, feature 1: value is nan \(1 of 30 rows",
    ),
    "objects": ({"x": IMAGES, "y": LABELS.astype(object)}, InputFormatError, "pickle"),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_cannot_be_used(case, tmp_path):
    arrays, error, message = BAD[case]
    with pytest.raises(error, match=message) as caught:
        load_dataset(saved(tmp_path / "mine.npz", **arrays))
    assert "mine.npz" in str(caught.value)


def test_other_files(tmp_path):
    with pytest.raises(OptionError, match=r'expected "digits" or an \.npz file'):
        load_dataset("digit")
    with pytest.raises(InputFormatError, match="cannot be opened"):
        load_dataset(tmp_path / "absent.npz")
    text = tmp_path / "text.npz"
    text.write_text("x,y\n1,2\n")
    with pytest.raises(InputFormatError, match=r"is not an \.npz file"):
        load_dataset(text)
    whole = saved(tmp_path / "whole.npz", x=IMAGES, y=LABELS).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputFormatError, match=r"half\.npz"):
        load_dataset(tmp_path / "half.npz")


@pytest.mark.parametrize("n", [10, 57, 1797])
def test_the_split_is_60_10_10_20_and_leaves_no_row_out(n):
    split = split_rows(n, seed=3)
    sizes = split.sizes()
    assert (sizes["selection"], sizes["calibration"], sizes["test"]) == (n // 10, n // 10, n // 5)
    rows = [split.train, split.selection, split.calibration, split.test]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(n))
    assert all((np.diff(part) > 0).all() for part in rows)


def test_the_split_follows_seed_and_size_alone():
    first, again, other = split_rows(500, seed=3), split_rows(500, seed=3), split_rows(500, seed=4)
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)
    with pytest.raises(OptionError, match="seed=-1"):
        split_rows(500, seed=-1)


@pytest.mark.parametrize(("noise", "count"), [(0.0, 0), (0.1, 108), (0.2, 216), (0.1004, 108), (0.1005, 109)])
def test_noise_changes_exactly_so_many_training_labels_and_no_others(noise, count):
    data = load_dataset("digits")
    train = split_rows(1797, seed=3).train
    noisy, flipped = with_noise(data, train, noise=noise, seed=3)
    changed = np.flatnonzero(noisy.labels != data.labels)
    assert flipped == len(changed) == count
    assert np.isin(changed, train).all()
    assert ((noisy.labels >= 0) & (noisy.labels < 10)).all()
    again, _ = with_noise(data, train, noise=noise, seed=3)
    assert np.array_equal(noisy.labels, again.labels)


def test_wrong_classes_are_equally_likely():
    data = load_dataset("digits")
    shifts = np.zeros(10)
    for seed in range(30):
        noisy, _ = with_noise(data, np.arange(1797), noise=0.5, seed=seed)
        shifts += np.bincount((noisy.labels - data.labels) % 10, minlength=10)
    expected = shifts[1:].sum() / 9
    assert (((shifts[1:] - expected) ** 2) / expected).sum() < 26.1  # chi-squared, 8 degrees of freedom, p = .001


@pytest.mark.parametrize("noise", [-0.1, 1.0, np.nan, "0.1", True])
def test_noise_outside_its_range(noise):
    with pytest.raises(OptionError, match="noise="):
        with_noise(load_dataset("digits"), np.arange(9), noise=noise, seed=0)
