"""What calibrated groups would show of an ECE: by enumeration, by closed forms, and on simulated calibrated groups."""

from itertools import product

import numpy as np
import pytest

from calibkit.resampling import chance_of_groups, few_expected
from calibkit.resampling import groups as room
from tests.test_bracket import rows_of


def shared_luck(rng, n_groups, size, *, share=1.0, low=0.05, high=0.95):
    """Calibrated rows of which each group's share of rows has one luck."""
    groups = np.repeat(np.arange(n_groups), size)
    forecast = rng.uniform(low, high, n_groups)[groups]
    luck = np.where(rng.random(len(groups)) < share, rng.random(n_groups)[groups], rng.random(len(groups)))
    return forecast, luck < forecast, groups


@pytest.mark.parametrize("weighted", [False, True])
def test_few_groups_by_enumeration(weighted):
    rng = np.random.default_rng(3)
    forecast, outcome, groups = rng.random(40), rng.random(40) < 0.4, np.repeat(np.arange(8), 5)
    weights = rng.uniform(0.5, 2, 40) if weighted else np.ones(40)
    rows = rows_of(forecast, outcome, 4, groups=groups, weights=weights if weighted else None)
    assert few_expected(rows) is not None
    bins = np.ceil(forecast * 4).astype(int) - 1
    errors = []
    for signs in product((-1, 1), repeat=8):
        gaps = weights * (forecast - outcome) * np.array(signs)[groups]
        errors.append(sum(abs(gaps[bins == b].sum()) for b in range(4)) / weights.sum())
    seen = sum(abs((weights * (forecast - outcome))[bins == b].sum()) for b in range(4)) / weights.sum()
    null = chance_of_groups(rows, rng=np.random.default_rng(0), n_draws=20_000)
    assert null.mean == pytest.approx(np.mean(errors), rel=0.01)
    assert null.p95 == pytest.approx(np.quantile(errors, 0.95), rel=0.02)
    assert null.p_value == pytest.approx(np.mean(np.array(errors) >= seen * (1 - 1e-12)), abs=0.01)


def test_gaps_have_the_variance_of_their_forecasts():
    # 1,000 groups of four rows that come true together: their sums have the variance 16 c (1 - c), whatever was seen.
    rng = np.random.default_rng(4)
    groups, forecast = np.repeat(np.arange(1_000), 4), np.full(4_000, 0.9)
    for rate in (0.9, 0.99):
        outcome = (rng.random(1_000) < rate)[groups]
        rows = rows_of(forecast, outcome, groups=groups)
        null = chance_of_groups(rows, rng=np.random.default_rng(0))
        expected = np.sqrt(2 / np.pi * 16 * 0.09 * 1_000) / 4_000
        assert null.mean == pytest.approx(expected, rel=0.05)
    assert null.p_value < 0.001


def test_many_groups_are_normal(monkeypatch):
    rows = rows_of(*shared_luck(np.random.default_rng(5), 400, 5)[:2], groups=np.repeat(np.arange(400), 5))
    signs = chance_of_groups(rows, rng=np.random.default_rng(0), n_draws=20_000)
    monkeypatch.setattr(room, "_MOST_SIGNED", 100)
    normal = chance_of_groups(rows, rng=np.random.default_rng(0), n_draws=20_000)
    assert (normal.mean, normal.p95) == pytest.approx((signs.mean, signs.p95), rel=0.03)
    assert normal.p_value == pytest.approx(signs.p_value, abs=0.02)


def test_groups_in_blocks_and_in_any_order_are_the_same(monkeypatch):
    forecast, outcome, groups = shared_luck(np.random.default_rng(6), 150, 6)
    whole = chance_of_groups(rows_of(forecast, outcome, groups=groups), rng=np.random.default_rng(0), n_draws=300)
    order = np.random.default_rng(1).permutation(len(groups))
    shuffled = rows_of(forecast[order], outcome[order], groups=groups[order])
    again = chance_of_groups(shuffled, rng=np.random.default_rng(0), n_draws=300)
    assert (again.mean, again.p95) == pytest.approx((whole.mean, whole.p95))
    monkeypatch.setattr(room, "_STEP", 15 * 40)  # 40 groups a block, two of whose signs are drawn at once
    blocks = chance_of_groups(rows_of(forecast, outcome, groups=groups), rng=np.random.default_rng(0), n_draws=300)
    assert blocks.mean == pytest.approx(whole.mean, rel=0.08)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_calibrated_groups_are_rejected_as_often_as_said(share):
    rng, rejected, means, seen = np.random.default_rng(11), [], [], []
    for _ in range(400):
        forecast, outcome, groups = shared_luck(rng, 150, 8, share=share)
        rows = rows_of(forecast, outcome, 10, groups=groups)
        assert few_expected(rows) is None
        null = chance_of_groups(rows, rng=rng, n_draws=199)
        rejected.append(null.p_value <= 0.05)
        means.append(null.mean)
        seen.append(np.abs(np.bincount(rows.index, rows.gap, 10)).sum() / len(groups))
    assert 0.02 <= np.mean(rejected) <= 0.08  # two and a half standard errors around 5 %
    assert np.mean(means) == pytest.approx(np.mean(seen), rel=0.03)


def test_certain_forecasts_leave_nothing_to_chance():
    groups, forecast = np.repeat(np.arange(300), 2), np.tile([0.0, 0.5], 300)
    outcome = np.where(forecast == 0, groups < 3, groups % 2 > 0)
    null = chance_of_groups(rows_of(forecast, outcome, groups=groups), rng=np.random.default_rng(0))
    without = chance_of_groups(
        rows_of(forecast, np.where(forecast == 0, 0, outcome), groups=groups), rng=np.random.default_rng(0)
    )
    assert (null.mean, null.p95) == (without.mean, without.p95)


def test_what_has_no_level():
    none = rows_of(np.array([]), np.array([], dtype=bool), groups=np.array([], dtype=int))
    assert np.isnan(chance_of_groups(none, rng=np.random.default_rng(0)).p_value)
    many = np.linspace(0, 1, 4_000)
    rows = rows_of(many, np.arange(4_000) % 2, 3_000, groups=np.arange(4_000))
    assert np.isnan(chance_of_groups(rows, rng=np.random.default_rng(0)).mean)
    assert few_expected(rows) == "more than 1,024 bins of dependent rows"
    sure = rows_of(np.full(400, 0.95), np.arange(400) % 20 > 0, groups=np.repeat(np.arange(100), 4))
    assert few_expected(sure) == (
        "the 5.0% rarer outcomes that these confidences expect are worth 5.0 of 100.0 effective groups, fewer than 25"
    )
