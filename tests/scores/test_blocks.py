import threading

import numpy as np
import pytest

from calibkit.errors import OptionError
from calibkit.scores import thread_count
from calibkit.scores.blocks import MAX_TRANSPOSED, Layout, each_chunk, slices


def layout(n_classes, dtype=np.float64):
    return Layout(n_classes=n_classes, dtype=np.dtype(dtype))


def test_threads_are_the_keyword_before_the_variable_before_the_cores(monkeypatch):
    monkeypatch.setenv("CALIBKIT_THREADS", " 3 ")
    assert thread_count(5) == 5
    assert thread_count(None) == 3
    monkeypatch.delenv("CALIBKIT_THREADS")
    assert thread_count(None) >= 1


@pytest.mark.parametrize("cores", ["0", "-2", "2.5", "two", "²"])
def test_a_bad_variable_is_named(monkeypatch, cores):
    monkeypatch.setenv("CALIBKIT_THREADS", cores)
    with pytest.raises(OptionError, match="CALIBKIT_THREADS"):
        thread_count(None)


@pytest.mark.parametrize("threads", [0, -1, 2.0, True, "2"])
def test_a_bad_keyword_is_named(threads):
    with pytest.raises(OptionError, match="threads"):
        thread_count(threads)


def test_a_system_without_affinity_counts_its_cores(monkeypatch):
    monkeypatch.delenv("CALIBKIT_THREADS", raising=False)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert thread_count(None) == 1


@pytest.mark.parametrize("n_classes", [2, MAX_TRANSPOSED, MAX_TRANSPOSED + 1, 200])
@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_a_block_holds_its_rows_and_their_labels(n_classes, n_rows):
    values = np.random.default_rng(3).normal(size=(n_rows, n_classes))
    labels = np.arange(n_rows) * 7 % n_classes
    plan = layout(n_classes)
    block = plan.load(values[:, ::-1][:, ::-1], plan.scratch())
    assert block.flags.c_contiguous
    np.testing.assert_array_equal(plan.as_rows(block, n_rows), values)
    np.testing.assert_array_equal(block.ravel()[plan.places(labels, block)], values[np.arange(n_rows), labels])
    np.testing.assert_array_equal(plan.as_rows(block - plan.across(values[:, 1]), n_rows), values - values[:, 1, None])


@pytest.mark.parametrize("n_classes", [4, 256])
@pytest.mark.parametrize("subnormals", [True, False])
def test_every_float16_is_widened_exactly(monkeypatch, n_classes, subnormals):
    monkeypatch.setattr("calibkit.scores.blocks.keeps_subnormals", lambda: subnormals)
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, n_classes)
    finite = every[np.isfinite(every).all(axis=1)]
    for values in (every, finite, finite[::-2, ::-1]):
        plan = layout(n_classes)
        scratch = np.empty(values.size)
        block = plan.as_rows(plan.load(values, scratch), len(values))
        wide = values.astype(np.float64)
        np.testing.assert_array_equal(block, wide)
        np.testing.assert_array_equal(np.signbit(block[~np.isnan(wide)]), np.signbit(wide[~np.isnan(wide)]))


def test_a_transposed_block_is_never_one_column_wide():
    plan = layout(3)
    assert plan.load(np.ones((1, 3)), plan.scratch()).shape == (3, 2)


def test_a_block_fits_its_scratch_even_for_very_many_classes():
    plan = layout(1_000_000)
    assert plan.block_rows == 1
    assert plan.load(np.zeros((1, 1_000_000)), plan.scratch()).shape == (1, 1_000_000)


def test_slices_cover_the_rows_once():
    assert slices(3, 11, 4) == [slice(3, 7), slice(7, 11)]
    assert slices(3, 10, 4) == [slice(3, 7), slice(7, 10)]
    assert slices(3, 3, 4) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_chunks_come_back_in_order(threads):
    found = each_chunk(lambda rows, scratch: (rows, scratch.size), n_rows=10, step=3, layout=layout(5), threads=threads)
    assert [rows for rows, _ in found] == slices(0, 10, 3)
    assert {size for _, size in found} == {layout(5).scratch().size}


def test_two_chunks_at_work_never_share_their_scratch():
    meeting = threading.Barrier(2, timeout=30)

    def task(_rows, scratch):
        meeting.wait()
        return id(scratch)

    assert len(set(each_chunk(task, n_rows=2, step=1, layout=layout(5), threads=2))) == 2


def test_scratch_for_very_many_classes_keeps_within_its_limit():
    seen = set()
    each_chunk(
        lambda _rows, scratch: seen.add(id(scratch)),
        n_rows=64,
        step=1,
        layout=layout(4_000_000),
        threads=64,
    )
    assert len(seen) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_chunk_reaches_the_caller(threads):
    def task(rows, _scratch):
        raise KeyError(rows.start)

    with pytest.raises(KeyError):
        each_chunk(task, n_rows=9, step=3, layout=layout(5), threads=threads)
