"""Labels drawn for rows, and the sample of rows that a state keeps: against counting, and whatever the order."""

import numpy as np
import pytest

from calibkit.sampled_rows import N_LABELS, DrawnLabels, RowHashes, SampledRows, empty_sketch
from calibkit.sampled_rows.drawing import mixed, uniforms


def vectors(n, k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.3), n)


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def drawn(probs, of):
    labels = DrawnLabels(of)
    labels.visit(0, probs)
    return labels


def test_the_finaliser_is_that_of_splitmix64():
    # Its published generator: the state goes on by the golden ratio, and is mixed. First outputs of seed 1234567.
    steps = (1234567 + 0x9E3779B97F4A7C15 * np.arange(1, 4, dtype=object)) % 2**64
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert mixed(steps.astype(np.uint64)).tolist() == expected


def test_uniforms_are_uniform():
    values = uniforms(np.arange(4_000, dtype=np.uint64), 25)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, 20, (0, 1))[0]
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 43.8  # chi-square with 19 degrees of freedom: p = .001
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("k", [2, 3, 256, 257, 1_000])
def test_labels_are_where_the_running_sum_passes_the_number(k):
    probs, of = vectors(40, k), keys(40)
    got = drawn(probs, of)
    marks = uniforms(of, N_LABELS) * probs.sum(axis=1, keepdims=True)
    expected = np.stack(
        [np.searchsorted(np.cumsum(p), mark, side="right") for p, mark in zip(probs, marks, strict=True)]
    )
    assert np.mean(got.labels == expected) > 0.999  # but for rounding at an end
    np.testing.assert_array_equal(got.forecast, np.take_along_axis(probs, got.labels.astype(int), axis=1))


@pytest.mark.parametrize("k", [5, 400])
def test_labels_come_as_often_as_their_probability_says(k):
    p = vectors(1, k, seed=3)[0]
    p[1] = 0.0
    p /= p.sum()
    labels = drawn(np.tile(p, (6_000, 1)), keys(6_000)).labels
    counts = np.bincount(labels.ravel(), minlength=k)
    assert counts[1] == 0
    often = p * labels.size > 20
    z = (counts - p * labels.size)[often] / np.sqrt(p * (1 - p) * labels.size)[often]
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / often.sum()))


@pytest.mark.parametrize("k", [4, 300])
def test_labels_do_not_depend_on_the_block_or_its_layout(k):
    probs, of = vectors(30, k), keys(30)
    whole = drawn(probs, of)
    other = DrawnLabels(of)
    for start in (21, 0, 1):
        stop = {0: 1, 1: 21, 21: 30}[start]
        other.visit(start, np.asfortranarray(probs[start:stop]))
    np.testing.assert_array_equal(other.labels, whole.labels)
    np.testing.assert_array_equal(other.forecast, whole.forecast)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_differ_have_other_hashes(dtype):
    probs = np.unique(vectors(60_000, 3).astype(dtype), axis=0).astype(np.float64)
    probs = np.concatenate([probs, np.eye(3), [[1 / 3] * 3]])
    hashes = RowHashes(len(probs), 3)
    hashes.visit(0, probs)
    assert len(np.unique(hashes.values)) == len(np.unique(probs, axis=0))
    # Uniform, so that a bound tells how many lie below it.
    counts = np.histogram(hashes.values.astype(float), 16, (0, 2.0**64))[0] / len(probs)
    assert np.abs(counts - 1 / 16).max() < 5 * np.sqrt(1 / 16 / len(probs))


def cells_of(hashes):
    """Cells that only the row decides."""
    return lambda rows: (hashes[rows, None] % np.uint64(97)).astype(np.int64) + np.arange(N_LABELS)


@pytest.mark.parametrize(("n", "distinct"), [(0, 1), (5, 3), (400, 30), (4_000, 30), (4_000, 10**9), (4_000, 300)])
def test_a_sketch_is_the_rows_with_the_smallest_hashes(n, distinct):
    rng, most = np.random.default_rng(n), 50
    hashes = mixed(rng.integers(0, distinct, n).astype(np.uint64))
    expected, counts = np.unique(hashes, return_counts=True)
    whole = empty_sketch(most).with_rows(hashes, cells_of(hashes))
    np.testing.assert_array_equal(whole.hashes, expected[:most])
    np.testing.assert_array_equal(whole.counts, counts[:most])
    np.testing.assert_array_equal(whole.cells, cells_of(expected)(slice(0, most)))
    parts = []
    for part in np.split(rng.permutation(hashes), np.sort(rng.integers(0, n + 1, 3))):
        sketch = empty_sketch(most)
        for piece in np.array_split(part, 3):
            sketch = sketch.with_rows(piece, cells_of(piece))
        parts.append(sketch)
    a, b, c, d = parts
    assert whole == (a + b) + (c + d) == (d + (b + a)) + c == empty_sketch(most) + whole
    assert whole.n == counts[:most].sum()


def test_rows_stand_for_others_as_often_as_they_occur():
    sketch = empty_sketch(10).with_rows(np.repeat(np.array([3, 7, 9], dtype=np.uint64), [2, 1, 5]), cells_of(keys(8)))
    np.testing.assert_array_equal(sketch.spread(8), [0, 0, 1, 2, 2, 2, 2, 2])
    np.testing.assert_array_equal(np.bincount(sketch.spread(4)), [1, 0, 3])
    np.testing.assert_array_equal(np.bincount(sketch.spread(80)), [20, 10, 50])
    assert len(empty_sketch(10).spread(0)) == 0


def test_many_classes_keep_labels_instead_of_vectors(monkeypatch):
    monkeypatch.setattr("calibkit.sampled_rows.keeping._MOST_PAIRS", 10_000)
    probs = vectors(3_000, 20)
    one, other = SampledRows(3_000, 20), SampledRows(3_000, 20)
    one.visit(0, probs)
    for start in (2_000, 0, 700):
        other.visit(start, probs[start : {0: 700, 700: 2_000, 2_000: 3_000}[start]])
    assert not one.whole
    assert one.probs.shape == (0, 20)
    assert len(one.rows) == 2_048
    np.testing.assert_array_equal(one.drawn.labels, other.drawn.labels)
    expected = np.take_along_axis(probs[one.rows], one.drawn.labels.astype(int), axis=1)
    np.testing.assert_array_equal(one.drawn.forecast, expected)
    assert SampledRows(400, 20).whole  # 8,000 probabilities fit


@pytest.mark.parametrize("k", [2, 3, 64, 65, 1_000, 5_001])
def test_hashes_do_not_depend_on_the_block(k):
    probs = vectors(23, k)
    by_class = k <= 64
    whole = RowHashes(23, k)
    whole.visit(0, np.asfortranarray(probs) if by_class else probs)
    for size in (1, 7, 16):
        parts = RowHashes(23, k)
        for start in range(0, 23, size):
            block = probs[start : start + size]
            if by_class:  # as the pass shows it: a part of a wider block
                block = np.vstack([block, np.ones((2, k))]).T.copy()[:, : len(block)].T
            parts.visit(start, block)
        np.testing.assert_array_equal(parts.values, whole.values)
