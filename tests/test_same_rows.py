"""Rows are known again by a sketch: all of them, some of them, and no others."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.same_rows import SIZE, hold_the_same_rows, share_seen, sketch_rows


def rows(n_rows, *, seed=0, n_classes=5):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n_rows), rng.normal(size=(n_rows, n_classes)).astype(np.float32)


@pytest.mark.parametrize("n_rows", [1, 2, 40, 3000])
def test_the_same_rows_are_known_in_any_order_and_type(n_rows):
    labels, values = rows(n_rows)
    sketch = sketch_rows(labels, values)
    assert len(sketch.rows) == min(n_rows, SIZE)
    order = np.random.default_rng(1).permutation(n_rows)
    assert share_seen(sketch, labels[order], np.asfortranarray(values[order], dtype=np.float64)) == 1.0
    assert share_seen(sketch, *rows(n_rows, seed=1)) == 0.0
    assert share_seen(sketch, labels[:0], values[:0]) == 0.0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_rows_is_estimated(share):
    labels, values = rows(20_000)
    some = np.random.default_rng(2).random(20_000) < share
    others = rows(5_000, seed=3)
    found = share_seen(sketch_rows(labels, values), np.r_[labels[some], others[0]], np.r_[values[some], others[1]])
    assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / SIZE)


def test_a_label_or_a_value_that_differs_makes_another_row():
    labels, values = rows(300)
    sketch = sketch_rows(labels, values)
    assert share_seen(sketch, (labels + 1) % 5, values) == 0.0
    assert share_seen(sketch, labels, np.nextafter(values, np.float32(9))) == 0.0
    assert share_seen(sketch_rows(labels, 0.0 * values), labels, -0.0 * values) == 1.0


@pytest.mark.parametrize("n_rows", [60, 200, 3000])
@pytest.mark.parametrize("seed", range(20))
def test_coarse_forecasts_of_other_rows_are_not_taken_for_the_same(n_rows, seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.integers(0, 101, n) / 100 for n in (n_rows, 2 * n_rows))
    model = ck.Predictions.from_probs((rng.random(n_rows) < one).astype(int), one)
    tested = ck.Predictions.from_probs((rng.random(2 * n_rows) < other).astype(int), other)
    assert not hold_the_same_rows(model, tested)
    assert hold_the_same_rows(model, model.take(rng.permutation(n_rows)))


def test_other_kinds_of_forecast_are_other_rows():
    logits = ck.Predictions.from_logits([0, 1], [[0.25, 0.75], [0.5, 0.5]])
    assert not hold_the_same_rows(logits, ck.Predictions.from_probs([0, 1], [[0.25, 0.75], [0.5, 0.5]]))
    assert not hold_the_same_rows(logits, ck.Predictions.from_logits([0, 1], [0.25, 0.5]))
    top1 = ck.Predictions.from_correct([True, False], [0.83, 0.57])
    assert hold_the_same_rows(top1, top1)


def test_no_rows_hold_no_rows():
    none = ck.Predictions.from_probs([], [])
    assert not hold_the_same_rows(none, none)
