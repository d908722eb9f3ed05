"""The same bits, however the pass is cut into blocks, chunks and threads, and however the array lies in memory."""

import numpy as np
import pytest

from calibkit import Predictions
from calibkit.scores import blocks, score_rows
from tests.bfloat16 import rounded

FIELDS = ("confidence", "correct", "log_score", "brier")


def predictions(kind, n_classes, dtype, n_rows=41):
    rng = np.random.default_rng(n_classes)
    logits = rng.normal(size=(n_rows, n_classes)) * 4
    logits[::5, 1] = logits[::5].max(axis=1)  # ties
    labels = rng.integers(0, n_classes, n_rows)
    labels[::2] = logits[::2].argmax(axis=1)
    if kind == "logits":
        return labels, rounded(logits, dtype)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, rounded(probs / probs.sum(axis=1, keepdims=True), dtype)


def make(kind, labels, values):
    # A loose tolerance: float16 rows of many classes sum to 1 only roughly.
    if kind == "logits":
        return Predictions.from_logits(labels, values)
    return Predictions.from_probs(labels, values, sum_tolerance=0.5)


def assert_same_bits(got, expected, rows=slice(None)):
    for name in FIELDS:
        assert getattr(got, name).tobytes() == getattr(expected, name)[rows].tobytes(), name


CASES = [
    ("logits", 2, np.float32, None),
    ("logits", 3, np.float64, None),
    ("logits", 10, np.float32, 1.7),
    ("logits", 10, np.float16, None),
    ("logits", 10, "bfloat16", None),
    ("logits", 64, np.float32, None),
    ("logits", 65, np.float32, None),
    ("logits", 100, np.float64, 0.4),
    ("logits", 1000, np.float32, None),
    ("logits", 1000, "bfloat16", 1.7),
    ("logits", 9001, np.float32, None),
    ("probs", 3, np.float64, None),
    ("probs", 10, np.float32, 1.7),
    ("probs", 100, np.float16, None),
    ("probs", 100, "bfloat16", None),
    ("probs", 9001, np.float64, None),
]


@pytest.mark.parametrize(("kind", "n_classes", "dtype", "temperature"), CASES)
@pytest.mark.parametrize("block_rows", [1, 7, 1000])
def test_bits_do_not_depend_on_block_size_chunks_or_threads(
    monkeypatch, kind, n_classes, dtype, temperature, block_rows
):
    rows = make(kind, *predictions(kind, n_classes, dtype))
    expected = score_rows(rows, temperature=temperature, threads=1)
    itemsize = 4 if kind == "logits" and dtype in (np.float32, "bfloat16") else 8
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_rows * n_classes * itemsize)
    monkeypatch.setattr(blocks, "CHUNK_ROWS", 9)
    for threads in (1, 3):
        got = score_rows(rows, temperature=temperature, threads=threads)
        assert_same_bits(got, expected)
        assert (got.n_ties, got.n_snapped) == (expected.n_ties, expected.n_snapped)
        assert got.max_sum_deviation == expected.max_sum_deviation


@pytest.mark.parametrize(("kind", "n_classes", "dtype", "temperature"), CASES)
def test_a_row_scores_the_same_alone_and_in_any_order(kind, n_classes, dtype, temperature):
    labels, values = predictions(kind, n_classes, dtype)
    expected = score_rows(make(kind, labels, values), temperature=temperature)
    order = np.random.default_rng(1).permutation(len(labels))
    assert_same_bits(score_rows(make(kind, labels[order], values[order]), temperature=temperature), expected, order)
    for row in (0, 5, 18):
        alone = slice(row, row + 1)
        got = score_rows(make(kind, labels[alone], values[alone]), temperature=temperature)
        assert_same_bits(got, expected, alone)


@pytest.mark.parametrize("n_classes", [5, 90])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_bits_do_not_depend_on_how_the_array_lies_in_memory(tmp_path, kind, n_classes):
    labels, values = predictions(kind, n_classes, np.float32)
    expected = score_rows(make(kind, labels, values))
    wide = np.zeros((2 * len(values), 3 * n_classes), np.float32)
    wide[::2, ::3] = values
    np.save(tmp_path / "values.npy", values)
    frozen = values.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"x" + values.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(values.shape)
    for other in (
        np.asfortranarray(values),
        wide[::2, ::3],
        values[::-1, ::-1].copy()[::-1, ::-1],
        np.load(tmp_path / "values.npy", mmap_mode="r"),
        frozen,
        unaligned,
        values.astype(">f4"),
    ):
        assert_same_bits(score_rows(make(kind, labels, other)), expected)


def test_the_input_is_left_as_it_was():
    for kind in ("logits", "probs"):
        for n_classes in (4, 80):
            labels, values = predictions(kind, n_classes, np.float64)
            before = values.copy(), labels.copy()
            score_rows(make(kind, labels, values), temperature=1.3)
            np.testing.assert_array_equal(values, before[0])
            np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("n_classes", [4, 80])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_a_visit_changes_no_bit_and_sees_every_row_once(monkeypatch, kind, n_classes):
    rows = make(kind, *predictions(kind, n_classes, np.float32))
    expected = score_rows(rows)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 8 * n_classes * 4)
    seen = np.full((len(rows), n_classes), np.nan)

    def visit(start, block):
        seen[start : start + len(block)] = block

    assert_same_bits(score_rows(rows, visit=visit, threads=3), expected)
    np.testing.assert_allclose(seen.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(seen.max(axis=1), expected.confidence)


@pytest.mark.parametrize("n_classes", [2, 1_000, 128_000, 10_000_000])
def test_long_rows_are_enough_for_every_thread_in_few(n_classes):
    layout = blocks.Layout(n_classes=n_classes, dtype=np.dtype(np.float32))
    rows = layout.chunk_blocks * layout.block_rows
    assert layout.block_rows <= rows <= max(blocks.CHUNK_ROWS, 1) + layout.block_rows
    assert rows == layout.block_rows or rows * n_classes * 4 <= blocks.CHUNK_BYTES + blocks.BLOCK_BYTES
