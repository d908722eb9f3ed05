"""The intervals of ECE on simulated worlds of known error: nominal 95 % must cover at least 92 % of samples."""

import numpy as np
import pytest

from calibkit.binning import Binning, bin_table
from calibkit.bracket import bracket_interval, paired_bracket
from calibkit.resampling import chance
from tests.test_bracket import dependent, rows_of


class World:
    """Confidences on a grid with known gaps: the true error is a sum over bins."""

    def __init__(self, gap_of_bin):
        rng = np.random.default_rng(99)
        sharp = np.where(rng.random(20_000) < 0.75, rng.beta(20, 0.6, 20_000), rng.beta(2, 1.5, 20_000))
        self.confidence = 0.1 + 0.9 * sharp
        self.index = np.ceil(self.confidence * 15).astype(int) - 1
        self.accuracy = np.clip(self.confidence - np.asarray(gap_of_bin)[self.index], 0, 1)
        gaps = np.bincount(self.index, self.confidence - self.accuracy, 15) / 20_000
        self.error = np.abs(gaps).sum()

    def sample(self, rng, n):
        rows = rng.integers(20_000, size=n)
        return self.confidence[rows], rng.random(n) < self.accuracy[rows]


CALIBRATED = World(np.zeros(15))
ONE_SIGN = World(np.full(15, 0.03))
ALTERNATING = World(np.where(np.arange(15) % 2 == 0, 0.05, -0.05))
TOP_BIN = World(np.where(np.arange(15) == 14, 0.05, 0.0))


@pytest.mark.parametrize("n", [300, 3_000])
@pytest.mark.parametrize("world", [CALIBRATED, ONE_SIGN, ALTERNATING, TOP_BIN])
def test_the_interval_covers_the_true_error(world, n):
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(250):
        table = bin_table(*world.sample(rng, n), Binning())
        low, high, _ = bracket_interval(table, level=0.95, chance=chance(table, rng=rng, n_draws=199))
        hits += low <= world.error <= high
    assert hits / 250 >= 0.92


SAID = (
    ((1.0, 0.98),),
    ((0.999, 0.99),),
    ((0.9999, 0.999),),
    ((0.9, 0.99),),
    ((1.0, 0.98), (0.99, 0.96), (0.9, 0.9)),
    tuple((c, 0.99) for c in 1 - np.geomspace(3e-3, 1e-6, 50)),
)


@pytest.mark.parametrize("n", [20, 100, 300])
@pytest.mark.parametrize("said", SAID)
def test_the_interval_covers_where_misses_are_few(said, n):
    # In most of these samples no miss is seen, and a variance estimated from them is about 0.
    confidence, accuracy = np.transpose(said)
    index = np.ceil(confidence * 15).astype(int) - 1
    truth = np.abs(np.bincount(index, confidence - accuracy)).sum() / len(said)
    rng, hits = np.random.default_rng(n), 0
    for _ in range(300):
        rows = rng.integers(len(said), size=n)
        table = bin_table(confidence[rows], rng.random(n) < accuracy[rows], Binning())
        low, high, _ = bracket_interval(table, level=0.95, chance=chance(table, rng=rng, n_draws=99))
        hits += low <= truth <= high
    assert hits / 300 >= 0.93


def test_a_percentile_bootstrap_would_fail_the_test_above():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(40):
        confidence, correct = TOP_BIN.sample(rng, 1_000)
        draws = []
        for _ in range(100):
            rows = rng.integers(1_000, size=1_000)
            table = bin_table(confidence[rows], correct[rows], Binning())
            draws.append(np.abs(table.confidence_sum - table.outcome_sum).sum() / 1_000)
        low, high = np.quantile(draws, [0.025, 0.975])
        hits += low <= TOP_BIN.error <= high
    assert hits / 40 < 0.5


def test_the_interval_covers_with_many_sparse_bins():
    # Per bin a handful of rows: nothing there is normal.
    rng = np.random.default_rng(6)
    hits = 0
    fine = np.ceil(TOP_BIN.confidence * 300).astype(int) - 1
    truth = np.abs(np.bincount(fine, TOP_BIN.confidence - TOP_BIN.accuracy)).sum() / 20_000
    for _ in range(250):
        table = bin_table(*TOP_BIN.sample(rng, 1_000), Binning(n_bins=300))
        low, high, _ = bracket_interval(table, level=0.95, chance=chance(table, rng=rng, n_draws=99))
        hits += low <= truth <= high
    assert hits / 250 >= 0.92


def test_the_interval_of_dependent_rows_covers_where_that_of_rows_does_not():
    rng = np.random.default_rng(8)
    hits = np.zeros(2)
    for _ in range(150):
        confidence, correct, groups = dependent(rng)
        # Shifted by a tenth: the true error is .1 in one direction.
        rows = rows_of(confidence + 0.1, correct, 5, groups=groups)
        for which, sample in enumerate((rows, rows.table)):
            low, high, _ = bracket_interval(sample, level=0.95)
            hits[which] += low <= 0.1 <= high
    assert hits[0] / 150 >= 0.91
    assert hits[1] / 150 < 0.65


def test_the_interval_covers_calibrated_groups_that_chance_would_reject():
    rng, n_groups = np.random.default_rng(14), 100
    groups, given, hits, rejected = np.repeat(np.arange(n_groups), 20), 0, 0, 0
    for _ in range(100):
        forecast = rng.uniform(0.3, 0.9, n_groups)
        happened = rng.random(n_groups) < forecast
        rows = rows_of(forecast[groups], happened[groups], 5, groups=groups)
        low, _, _ = bracket_interval(rows, level=0.95)
        given += low is not None
        hits += low == 0
        rejected += chance(rows.table, rng=rng, n_draws=99).p_value <= 0.05
    assert given == 100
    assert hits >= 93
    assert rejected > 90


@pytest.mark.parametrize("worlds", [(ONE_SIGN, ONE_SIGN), (TOP_BIN, ALTERNATING), (ONE_SIGN, CALIBRATED)])
def test_the_paired_interval_covers_the_true_difference(worlds):
    rng = np.random.default_rng(31)
    first, second = worlds
    truth, hits, rejected = first.error - second.error, 0, 0
    for _ in range(200):
        rows, luck = rng.integers(20_000, size=1_000), rng.random(1_000)
        other = np.where(rng.random(1_000) < 0.7, luck, rng.random(1_000))
        samples = [
            rows_of(world.confidence[rows], lucky < world.accuracy[rows])
            for world, lucky in ((first, luck), (second, other))
        ]
        found = paired_bracket(*samples, level=0.95)
        hits += found.low <= truth <= found.high
        rejected += found.p_value <= 0.05
    assert hits / 200 >= 0.92
    if first is second:
        assert rejected / 200 <= 0.08
