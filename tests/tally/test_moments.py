"""Moments from exact sums against the rows themselves."""

import numpy as np
import pytest

from calibkit.exact import ExactSums, exact_sums
from calibkit.tally.moments import minus_outcome, moments_of, powers_of, powers_of_weights
from calibkit.units import units_of


def stacked(vectors):
    parts = [exact_sums(vector) for vector in vectors]
    return ExactSums(limbs=np.hstack([p.limbs for p in parts]), beyond=np.concatenate([p.beyond for p in parts]))


def moments(values, weights=None):
    held = None if weights is None else stacked(powers_of_weights(weights))
    return moments_of(stacked(powers_of(values, weights)), len(values), weights=held)


SCORES = {
    "uniform": lambda rng, n: rng.random(n),
    "nll": lambda rng, n: rng.exponential(0.3, n) ** 3,
    "near 1": lambda rng, n: 1 - rng.exponential(1e-3, n).clip(0, 1),
    "large": lambda rng, n: rng.exponential(2_000, n),
}


@pytest.mark.parametrize("n", [2, 3, 50, 5_000])
@pytest.mark.parametrize("name", SCORES)
def test_spread_is_that_of_the_rows(name, n):
    values = SCORES[name](np.random.default_rng(n), n)
    found, expected = moments(values), units_of(n).spread(values, values.mean())
    assert found.mean == pytest.approx(values.mean(), rel=1e-14)
    assert found.spread().se == pytest.approx(expected.se, rel=1e-9)
    # Where all scores are nearly equal no skewness is told, and that of a handful of them is not large.
    known = np.var(values) > 2.0**-24 * np.mean(values**2)
    assert found.spread().tilt == pytest.approx(expected.tilt if known else np.nan, rel=1e-5, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("n", [2, 30, 3_000])
def test_equal_weights_are_no_weights(n):
    values = np.random.default_rng(n).random(n)
    plain, weighted = moments(values), moments(values, np.full(n, 0.375))
    assert weighted.mean == pytest.approx(plain.mean, rel=1e-15)
    assert weighted.spread().se == pytest.approx(plain.spread().se, rel=1e-12)
    assert weighted.spread().tilt == pytest.approx(plain.spread().tilt, rel=1e-10)


@pytest.mark.parametrize("n", [100, 1_000, 10_000])
def test_weighted_spread_is_right_to_the_second_order_of_a_rows_share(n):
    rng = np.random.default_rng(n)
    values, weights = rng.exponential(1, n), rng.lognormal(0, 1, n)
    mean = np.average(values, weights=weights)
    expected, found = units_of(n, weights=weights).spread(values, mean), moments(values, weights).spread()
    share = weights.max() / weights.sum()
    assert abs(found.se / expected.se - 1) < 3 * share**2
    assert abs(found.tilt - expected.tilt) < share


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_a_gap_are_those_of_its_rows(weighted):
    rng = np.random.default_rng(7)
    forecast = rng.random(500)
    outcome = rng.random(500) < forecast
    weights = rng.lognormal(size=500) if weighted else None
    parts = [moments(forecast[rows], None if weights is None else weights[rows]) for rows in (~outcome, outcome)]
    found, expected = minus_outcome(*parts), moments(forecast - outcome, weights)
    assert found.mean == pytest.approx(expected.mean, rel=1e-12)
    assert found.spread().se == pytest.approx(expected.spread().se, rel=1e-12)
    assert found.spread().tilt == pytest.approx(expected.spread().tilt, rel=1e-9)


def test_what_is_beyond_leaves_no_spread():
    infinite = moments(np.array([0.5, np.inf, 2.0]))
    assert (infinite.mean, infinite.far) == (np.inf, 1)
    # Its cube is beyond the range, the number itself is not.
    far = moments(np.array([0.5, 1e6, 2.0]))
    assert far.mean == pytest.approx(1_000_002.5 / 3)
    assert far.spread().se == np.inf


def test_equal_scores_have_hardly_any_spread_and_no_skewness():
    spread = moments(np.full(1_000, 0.7)).spread()
    assert spread.se < 1e-8 / np.sqrt(1_000)
    assert np.isnan(spread.tilt)


def test_nothing_has_no_mean():
    assert np.isnan(moments(np.empty(0)).mean)
