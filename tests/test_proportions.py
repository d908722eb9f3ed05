"""Intervals of fractions, against SciPy and the equations that define them."""

import numpy as np
import pytest
from scipy import stats

from calibkit.proportions import exact_interval, wilson_interval


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_that_of_scipy(level):
    for right, n in ((0, 7), (1, 7), (13, 29), (999, 1000), (50, 50)):
        expected = stats.binomtest(right, n).proportion_ci(level, method="wilson")
        low, high = wilson_interval(right / n, n, level=level)
        assert (float(low), float(high)) == pytest.approx(tuple(expected), rel=1e-12, abs=1e-16)


def test_wilson_works_on_vectors_and_on_effective_counts():
    low, high = wilson_interval(np.array([np.nan, 0.3, 1.0]), np.array([0.0, 12.5, 4.0]), level=0.95)
    assert np.isnan(low[0])
    assert np.isnan(high[0])
    # Roots of (p - .3)^2 = z^2 p (1 - p) / 12.5.
    for end in (low[1], high[1]):
        assert (end - 0.3) ** 2 == pytest.approx(stats.norm.ppf(0.975) ** 2 * end * (1 - end) / 12.5, rel=1e-10)
    assert low[2] < high[2] == 1


def test_wilson_ends_are_exact_at_no_and_all_successes():
    low, high = wilson_interval(np.array([0.0, 1.0]), 1000, level=0.95)
    assert low[0] == 0
    assert high[1] == 1
    assert high[0] == pytest.approx(1 - low[1])


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_exact_interval_is_that_of_scipy(level):
    for right, n in ((0, 7), (1, 7), (13, 29), (999, 1000), (50, 50), (1, 1)):
        expected = stats.binomtest(right, n).proportion_ci(level, method="exact")
        low, high = exact_interval(right / n, n, level=level)
        assert (float(low), float(high)) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-16)


def test_the_exact_interval_takes_effective_numbers_between_those_of_whole_ones():
    share, sizes = 0.75, np.array([8.0, 9.3, 12.0])
    low, high = exact_interval(share, sizes, level=0.9)
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) < 0).all()
    # The tails of a beta at the ends.
    assert stats.beta.cdf(low[1], 9.3 * share, 9.3 * 0.25 + 1) == pytest.approx(0.05)
    assert stats.beta.sf(high[1], 9.3 * share + 1, 9.3 * 0.25) == pytest.approx(0.05)


def test_the_exact_interval_of_nothing_is_nan_and_its_ends_stay_inside():
    low, high = exact_interval(np.array([np.nan, 0.0, 1.0]), np.array([0.0, 2.5, 2.5]), level=0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[2]) == (0, 1)
    assert 0 < low[2] < 1
    assert low[2] == pytest.approx(1 - high[1])


@pytest.mark.parametrize("n", [5, 10, 30])
def test_the_exact_interval_covers_rare_misses_where_wilson_does_not(n):
    rate = 0.99
    shares, mass = np.arange(n + 1) / n, stats.binom.pmf(np.arange(n + 1), n, rate)

    def coverage(interval):
        low, high = interval(shares, n, level=0.95)
        return mass[(low <= rate) & (rate <= high)].sum()

    assert coverage(exact_interval) > 0.95
    assert coverage(wilson_interval) < (0.96 if n == 5 else 0.91 if n == 10 else 0.97)
