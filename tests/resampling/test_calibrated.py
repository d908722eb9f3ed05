"""Outcomes of calibrated models: their distribution in closed form, and what cells leave out."""

import numpy as np
import pytest
from scipy import stats

from calibkit.bracket import chance_from
from calibkit.pairs import Pairs, TiedPairs, pool_ties
from calibkit.resampling import calibrated_outcomes, merge_neighbours


def tied(forecast, weight, weight_squared=None):
    weight = np.asarray(weight, dtype=float)
    squares = weight if weight_squared is None else np.asarray(weight_squared, dtype=float)
    return TiedPairs(
        forecast=np.asarray(forecast, dtype=float),
        weight=weight,
        weight_squared=squares,
        happened=np.zeros(len(weight)),
    )


def draws(pairs, n_draws, seed=0):
    return np.concatenate(list(calibrated_outcomes(pairs, n_draws=n_draws, rng=np.random.default_rng(seed))))


def test_counts_are_binomial():
    drawn = draws(tied([0.3, 0.85], [12, 4]), 20_000)
    for column, (n, p) in zip(drawn.T, [(12, 0.3), (4, 0.85)], strict=True):
        expected = stats.binom.pmf(np.arange(n + 1), n, p) * len(column)
        seen = np.bincount(column.astype(int), minlength=n + 1)
        likely = expected > 5
        assert stats.chisquare(seen[likely], expected[likely] * seen[likely].sum() / expected[likely].sum())[1] > 1e-3


def test_single_rows_happen_with_the_probability_of_their_forecast():
    forecast = np.linspace(0.01, 0.99, 50)
    rate = draws(tied(forecast, np.ones(50)), 20_000).mean(axis=0)
    assert np.max(np.abs(rate - forecast) / np.sqrt(forecast * (1 - forecast) / 20_000)) < 4


def test_a_weighted_row_happens_whole_or_not_at_all():
    drawn = draws(tied([0.4], [3.7], [3.7**2]), 5000)
    assert np.unique(drawn).tolist() == [0.0, 3.7]


def test_weighted_rows_have_the_mean_and_variance_of_their_sum():
    weights = np.array([1.0, 1.0, 2.0, 0.5, 1.5])
    drawn = draws(tied([0.4], [weights.sum()], [np.sum(weights**2)]), 50_000)
    assert drawn.mean() == pytest.approx(0.4 * 6, abs=0.03)
    # (sum w)^2 / sum w^2 = 4.2 rows are drawn as 4 or 5
    assert drawn.var() == pytest.approx(0.24 * np.sum(weights**2), rel=0.02)
    assert drawn.max() == weights.sum()


def test_two_rows_of_unequal_weight_have_the_variance_of_their_sum():
    drawn = draws(tied([0.7], [5.0], [17.0]), 50_000)
    assert drawn.mean() == pytest.approx(3.5, abs=0.04)
    assert drawn.var() == pytest.approx(0.21 * 17, rel=0.02)


def test_certain_forecasts_have_no_chance():
    drawn = draws(tied([0.0, 0.5, 1.0], [10, 10, 10]), 200)
    assert np.all(drawn[:, 0] == 0)
    assert np.all(drawn[:, 2] == 10)


@pytest.mark.parametrize("weight", [1, 3])
def test_the_same_seed_gives_the_same_draws_and_any_number_comes(weight):
    pairs = tied(np.linspace(0, 1, 30_000), np.full(30_000, weight))
    one, other = draws(pairs, 301, seed=5), draws(pairs, 301, seed=5)
    assert one.shape == (301, 30_000)
    assert one.tobytes() == other.tobytes()


def test_cells_keep_all_weight_and_set_certainties_apart():
    rng = np.random.default_rng(1)
    forecast = np.concatenate((np.zeros(40), rng.random(5000), np.ones(70)))
    weights = rng.exponential(size=len(forecast))
    full = pool_ties(Pairs(view="positive", forecast=forecast, outcome=rng.random(5110) < forecast, weights=weights))
    cells = merge_neighbours(full, cells=100)
    assert len(cells.forecast) <= 102
    assert np.all(np.diff(cells.forecast) > 0)
    assert (cells.forecast[0], cells.forecast[-1]) == (0.0, 1.0)
    assert cells.weight[0] == pytest.approx(weights[:40].sum())
    assert cells.weight[-1] == pytest.approx(weights[-70:].sum())
    for name in ("weight", "weight_squared", "happened"):
        assert getattr(cells, name).sum() == pytest.approx(getattr(full, name).sum())
    assert np.sum(cells.weight * cells.forecast) == pytest.approx(np.sum(weights * forecast))


def test_short_lists_are_left_alone():
    pairs = tied(np.linspace(0, 1, 200), np.ones(200))
    assert merge_neighbours(pairs, cells=100) is pairs
    assert len(merge_neighbours(pairs, cells=99).forecast) <= 101


def test_chance_by_hand():
    null = np.arange(1.0, 20.0)
    chance = chance_from(19.0, null)
    assert (chance.mean, chance.p95, chance.p_value) == (10.0, pytest.approx(18.1), 0.1)
    assert chance_from(0.0, null).p_value == 1.0
    assert chance_from(np.inf, null).p_value == 1 / 20
    assert np.isnan(chance_from(np.nan, np.empty(0)).p_value)
