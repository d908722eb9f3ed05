"""Rows for means: published tables, SciPy's noncentral t, simulated t tests, and Wilson's interval."""

import numpy as np
import pytest
from scipy import stats

from calibkit.planning.means import RowSpread, spread_of
from calibkit.planning.search import MAX_ROWS, least_rows, least_size

UNIT = RowSpread(mean=0.0, sd=1.0)


@pytest.mark.parametrize(
    ("effect", "power", "rows"),
    [(0.2, 0.8, 199), (0.5, 0.8, 34), (0.8, 0.8, 15), (0.5, 0.9, 44), (0.2, 0.95, 327), (0.8, 0.95, 23)],
)
def test_rows_of_a_paired_t_test_are_those_of_the_usual_tables(effect, power, rows):
    """Two-sided, 5 %: as G*Power 3.1 and the tables of Cohen 1988 (section 2.4, one sample) have them."""
    found = least_rows(lambda n: UNIT.power(effect, n, 0.95) >= power, low=2, exact=True)
    assert found == rows


@pytest.mark.parametrize(("size", "n", "level"), [(0.13, 7, 0.9), (0.4, 31, 0.95), (0.05, 2_500, 0.99), (2.3, 3, 0.95)])
def test_power_is_that_of_the_noncentral_t(size, n, level):
    spread = RowSpread(mean=0.0, sd=1.7)
    reach, shift = stats.t.ppf((1 + level) / 2, n - 1), size * np.sqrt(n) / 1.7
    expected = stats.nct.sf(reach, n - 1, shift) + stats.nct.cdf(-reach, n - 1, shift)
    assert spread.power(size, n, level) == pytest.approx(expected, abs=1e-7)


def test_power_with_many_rows_is_that_of_the_closed_form_for_a_normal_mean():
    n, size = 40_000, 0.0146
    expected = stats.norm.sf(1.959964 - size * np.sqrt(n)) + stats.norm.cdf(-1.959964 - size * np.sqrt(n))
    assert UNIT.power(size, n, 0.95) == pytest.approx(expected, abs=1e-4)
    assert UNIT.power(size, 10_000, 0.95) == pytest.approx(UNIT.power(size, 10_001, 0.95), abs=1e-3)


def test_power_is_what_simulated_t_tests_show():
    rng, n, size = np.random.default_rng(4), 60, 0.31
    draws = rng.normal(size, 1.0, size=(4_000, n))
    found = stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05
    assert UNIT.power(size, n, 0.95) == pytest.approx(found.mean(), abs=0.02)


def test_extreme_sizes_are_certain_and_warn_of_nothing():
    assert UNIT.power(100.0, 2, 0.95) == pytest.approx(1.0, abs=0.2)
    assert UNIT.power(100.0, 50, 0.95) == 1.0
    assert UNIT.power(1e-9, 50, 0.95) == pytest.approx(0.05, abs=1e-6)
    assert RowSpread(mean=0.0, sd=0.0).power(0.1, 10, 0.95) == 1.0


def test_skewed_rows_need_more():
    skewed = RowSpread(mean=0.0, sd=1.0, skewness=5.0)
    assert skewed.power(0.2, 200, 0.95) < UNIT.power(0.2, 200, 0.95)
    assert skewed.half_width(200, 0.95) > UNIT.half_width(200, 0.95)
    # More than 100 times squared skewness: Student's again.
    assert skewed.half_width(2_600, 0.95) == UNIT.half_width(2_600, 0.95)


def test_half_widths_are_those_of_the_intervals():
    n, p, z = 137, 0.83, stats.norm.ppf(0.975)
    assert UNIT.half_width(n, 0.95) == pytest.approx(stats.t.ppf(0.975, n - 1) / np.sqrt(n))
    wilson = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert RowSpread(mean=p, sd=0.4).half_width(n, 0.95, fraction=True) == pytest.approx(wilson)


def test_moments_are_those_of_scipy_with_and_without_shares():
    values = np.array([0.3, 0.3, 0.3, 1.1, 2.9, -0.7, 0.4])
    spread = spread_of(values)
    assert (spread.mean, spread.sd) == pytest.approx((values.mean(), values.std()))
    assert spread.skewness == pytest.approx(stats.skew(values))
    assert spread.error == pytest.approx(np.sqrt((stats.kurtosis(values, fisher=False) - 1) / 7))
    distinct, count = np.unique(values, return_counts=True)
    shared = spread_of(distinct, count / 7)
    assert (shared.mean, shared.sd, shared.skewness) == pytest.approx((spread.mean, spread.sd, spread.skewness))
    assert shared.error is None


def test_the_error_of_a_variance_is_that_of_simulated_variances():
    rng, n = np.random.default_rng(8), 400
    draws = rng.gamma(2.0, size=(4_000, n))
    errors = [spread_of(row).error for row in draws[:200]]
    assert np.mean(errors) == pytest.approx(draws.var(axis=1).std() / draws.var(axis=1).mean(), rel=0.1)


def test_a_difference_of_two_correlated_scores_has_the_variance_of_the_textbook():
    rng = np.random.default_rng(2)
    one, two = rng.multivariate_normal([0.2, 0.7], [[1.0, 0.6], [0.6, 2.25]], size=200_000).T
    found = spread_of(one).of_difference(spread_of(two), 0.4)
    assert found.sd == pytest.approx((one - two).std(), rel=0.01)
    assert found.mean == pytest.approx(-0.5, abs=0.01)


@pytest.mark.parametrize("least", [2, 3, 101, 999, 1_000, 1_001, 123_456, 10**9])
def test_the_least_rows_are_found(least):
    assert least_rows(lambda n: n >= least, low=2, exact=True) == least
    rough = least_rows(lambda n: n >= least, low=2, exact=False)
    assert least <= rough <= 1.013 * least + 1
    assert least_rows(lambda n: n > MAX_ROWS, low=2, exact=True) is None


@pytest.mark.parametrize("least", [1e-5, 0.00321, 0.5, 0.99])
def test_the_least_size_is_found(least):
    assert least_size(lambda size: size >= least, largest=1.0) == pytest.approx(least, rel=3e-3)
    assert least_size(lambda size: size > 1.0, largest=1.0) is None
