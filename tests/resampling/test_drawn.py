"""Errors of calibrated models from labels drawn for a sample of the rows: against all rows, drawn row by row."""

import numpy as np
import pytest
from scipy import stats

from calibkit.binning import Binning, bin_table
from calibkit.resampling import drawn
from calibkit.resampling.drawn import errors_of_drawn


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def tables_of(probs, n_bins, weights, *, merged):
    if merged:
        repeated = None if weights is None else np.repeat(weights, probs.shape[1])
        return [bin_table(probs.ravel(), np.zeros(probs.size), Binning(n_bins=n_bins), weights=repeated)]
    return [bin_table(p, np.zeros(len(p)), Binning(n_bins=n_bins), weights=weights) for p in probs.T]


def cells_of(probs, n_bins, *, merged):
    bins = np.clip(np.ceil(probs * n_bins).astype(int) - 1, 0, n_bins - 1)
    return bins if merged else bins + n_bins * np.arange(probs.shape[1])


def labels_of(probs, count, rng):
    """Labels of each row, (count, n)."""
    reached = probs.cumsum(axis=1)
    return np.stack([(reached < rng.random((len(probs), 1))).sum(axis=1) for _ in range(count)])


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "k", "m"), [(300, 3, 300), (2_000, 8, 700), (300, 40, 300)])
def test_mean_and_percentile_are_those_of_all_rows(n, k, m, weighted, merged):
    rng, n_bins = np.random.default_rng(k), 15
    probs = softmax(2 * rng.normal(size=(n, k)) + 3 * np.eye(k)[rng.integers(k, size=n)])
    weights = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    cells = cells_of(probs, n_bins, merged=merged)
    width = n_bins * (1 if merged else k)
    expected = np.bincount(cells.ravel(), np.ravel(weights[:, None] * probs), width)
    rows = np.arange(n)
    errors = [
        np.abs(expected - np.bincount(cells[rows, labels], weights, width)).sum() / (k * weights.sum())
        for labels in labels_of(probs, 1_500, rng)
    ]
    some = rng.permutation(n)[:m]
    places = cells[some[:, None], labels_of(probs[some], 32, rng).T]
    tables = tables_of(probs, n_bins, weights if weighted else None, merged=merged)
    got = errors_of_drawn(places, weights[some], tables, n, rng=rng, n_draws=1_500)
    assert got.mean() == pytest.approx(np.mean(errors), rel=0.035 if merged else 0.01)
    assert np.quantile(got, 0.95) == pytest.approx(np.quantile(errors, 0.95), rel=0.05 if merged else 0.03)


def test_two_classes_that_mirror_each_other_vary_as_one():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.9, 4_000)
    probs = np.stack([1 - p, p], axis=1)
    some = rng.permutation(4_000)[:800]
    places = cells_of(probs, 5, merged=False)[some[:, None], labels_of(probs[some], 32, rng).T]
    both = errors_of_drawn(places, np.ones(800), tables_of(probs, 5, None, merged=False), 4_000, rng=rng, n_draws=2_000)
    bins = np.ceil(p * 5).astype(int) - 1
    one = [np.abs(np.bincount(bins, p - (rng.random(4_000) < p))).sum() / 4_000 for _ in range(2_000)]
    assert both.std() == pytest.approx(np.std(one), rel=0.12)  # independent cells would have 1/sqrt(2) of it
    assert both.mean() == pytest.approx(np.mean(one), rel=0.02)


def test_certain_rows_have_no_error():
    probs = np.eye(3)[np.arange(60) % 3]
    places = np.tile(cells_of(probs, 5, merged=False)[np.arange(60), np.arange(60) % 3][:, None], (1, 32))
    got = errors_of_drawn(
        places, np.ones(60), tables_of(probs, 5, None, merged=False), 60, rng=np.random.default_rng(0), n_draws=50
    )
    np.testing.assert_array_equal(got, np.zeros(50))


def test_deviation_of_a_binomial():
    for trials, rate in ((1, 0.3), (2, 0.95), (7, 0.02), (40, 0.5), (900, 0.004), (10**6, 0.4)):
        values = np.arange(trials + 1)
        exact = (np.abs(values - trials * rate) * stats.binom.pmf(values, trials, rate)).sum()
        got = drawn._mean_deviation(np.array([trials * rate]), np.array([rate]))
        assert got[0] == pytest.approx(exact, rel=1e-6), (trials, rate)
    # A rate of almost nothing is Poisson's: 2 exp(-a) a below 1.
    assert drawn._mean_deviation(np.array([0.3]), np.array([0.0]))[0] == pytest.approx(0.6 * np.exp(-0.3), rel=1e-4)
    # Between 2 and 3 trials it lies between theirs.
    two, between, three = drawn._mean_deviation(np.full(3, 0.6), np.array([0.3, 0.25, 0.2]))
    assert two < between < three
    assert drawn._mean_deviation(np.array([5.0]), np.array([1.0]))[0] == 0


def test_bounds_of_the_rate_hold_for_any_forecasts():
    rng = np.random.default_rng(2)
    probs = softmax(3 * rng.normal(size=(500, 4)))
    least, most = drawn._bounds_of_rate(tables_of(probs, 6, None, merged=False))
    cells = cells_of(probs, 6, merged=False).ravel()
    total = np.bincount(cells, probs.ravel(), 24)
    rate = np.bincount(cells, probs.ravel() ** 2, 24) / total
    assert np.all((least <= rate * (1 + 1e-9)) & (rate <= most * (1 + 1e-9)))
