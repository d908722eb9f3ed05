"""Differences between samples that share no row: against SciPy, the paired formulas, and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from calibkit.intervals import mean_interval
from calibkit.unpaired import unpaired_bracket, unpaired_t
from tests.test_bracket import loop_parts, over_confident, rows_of, unseen

ONE = np.array([0.31, 2.7, 0.013, 1.9, 0.77, 0.42, 2.24, 1.13, 2.5, 1.62])
TWO = np.array([0.5, 1.9, 0.2, 1.7, 0.9, 0.1, 1.0, 1.3])


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_difference_of_two_means_is_welch(level):
    found, expected = unpaired_t(ONE, TWO, level=level), stats.ttest_ind(ONE, TWO, equal_var=False)
    assert found.value == pytest.approx(ONE.mean() - TWO.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(level)), rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)


def test_it_changes_sign_with_the_reference():
    weights, groups = (np.linspace(1, 2, 10), None), (None, np.arange(8))
    one = unpaired_t(ONE**3, TWO, level=0.9, weights=weights, groups=groups)
    two = unpaired_t(TWO, ONE**3, level=0.9, weights=weights[::-1], groups=groups[::-1])
    assert (one.value, one.low, one.high, one.p_value) == pytest.approx((-two.value, -two.high, -two.low, two.p_value))


def test_weights_and_groups_count_as_they_do_for_one_mean():
    weights, groups = np.linspace(1, 3, 10), np.arange(8) // 2 + 10
    groups = np.append(groups[:-1], 99)
    found = unpaired_t(ONE, TWO, level=0.95, weights=(weights, None), groups=(None, groups))
    one, two = mean_interval(ONE, level=0.95, weights=weights), mean_interval(TWO, level=0.95, groups=groups)
    se = np.hypot(one.se, two.se)
    dof = se**4 / (one.se**4 / one.dof + two.se**4 / two.dof)
    assert found.high - found.value >= stats.t.ppf(0.975, dof) * se * (1 - 1e-9)
    assert found.note.startswith("few groups")


def test_what_has_no_interval_says_why():
    assert unpaired_t(ONE, TWO[:1], level=0.95).reason == "a single row"
    assert "infinite" in unpaired_t(np.append(ONE, np.inf), TWO, level=0.95).reason
    certain = unpaired_t(np.full(5, 2.0), np.full(4, 1.5), level=0.95)
    assert (certain.value, certain.low, certain.high, certain.p_value) == (0.5, 0.5, 0.5, 0.0)
    confidence, correct = over_confident(100)
    grouped, plain = rows_of(confidence, correct, groups=np.arange(100)), rows_of(confidence, correct)
    assert "groups" in unpaired_bracket(plain, grouped, level=0.95).reason
    single = rows_of(confidence[:1], correct[:1])
    assert unpaired_bracket(plain, single, level=0.95).reason == "a single row"


def test_the_difference_of_errors_adds_variances_and_biases():
    samples = [over_confident(n, seed=n, gap=gap) for n, gap in ((900, 0.08), (400, 0.02))]
    theta, se, low, high = np.transpose([loop_parts(*sample, 15) for sample in samples])
    middle, half = theta - (low + high) / 2, (high - low) / 2
    error = np.hypot(*(unseen(s, n) for s, n in zip(se, (900, 400), strict=True)))
    found = unpaired_bracket(*(rows_of(*sample) for sample in samples), level=0.95)
    reach = half.sum() + stats.norm.ppf(0.975) * error
    assert found.value == pytest.approx(theta[0] - theta[1])
    assert (found.low, found.high) == pytest.approx((middle[0] - middle[1] - reach, middle[0] - middle[1] + reach))


def test_the_difference_of_errors_covers_and_rarely_rejects():
    rng, hits, rejected = np.random.default_rng(5), 0, 0
    for _ in range(150):
        samples = []
        for n in (800, 500):
            confidence = 0.3 + 0.7 * rng.beta(4, 1, n)
            samples.append(rows_of(confidence, rng.random(n) < confidence - 0.05))
        found = unpaired_bracket(*samples, level=0.95)
        hits += found.low <= 0 <= found.high
        rejected += found.p_value <= 0.05
    assert hits / 150 >= 0.93
    assert rejected / 150 <= 0.07
