"""Paired effects against SciPy's paired t, and which seeds count."""

import math

import numpy as np
import pytest
from scipy import stats

from calibkit.training.study.effects import change, effect, level_of, mean_of, series


def test_an_effect_is_the_paired_t_interval_of_scipy():
    before = np.random.default_rng(5).normal(0.3, 0.1, 7)
    after = before + 0.04 + np.array([-0.09, -0.05, -0.01, 0.0, 0.01, 0.05, 0.09])  # no skewness
    found = effect(dict(enumerate(after)), dict(enumerate(before)))
    reference = stats.ttest_rel(after, before)
    interval = reference.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(after - before))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.n == 7


def test_the_end_on_the_side_of_a_long_tail_moves_out():
    before, after = np.zeros(7), np.array([0.01, 0.02, 0.02, 0.03, 0.03, 0.04, 0.2])
    found = effect(dict(enumerate(after)), dict(enumerate(before)))
    interval = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert found.low == pytest.approx(interval.low)
    assert found.high > interval.high + 0.01


def test_only_seeds_that_both_have_are_paired_whatever_their_order():
    found = change({3: 1.0, 1: 5.0, 2: 4.0}, {1: 2.0, 2: 3.0, 9: 7.0})
    assert found == {1: 3.0, 2: 1.0}


def test_one_seed_has_no_interval_and_none_no_value():
    assert (effect({0: 2.0}, {0: 1.0}).low, effect({0: 2.0}, {0: 1.0}).n) == (None, 1)
    nothing = level_of({})
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.n) == (None, 0)


def test_infinite_values_define_nothing():
    assert level_of({0: math.inf, 1: 2.0, 2: 4.0}).value == 3.0
    assert level_of({0: math.inf, 1: 2.0, 2: 4.0}).n == 2


def test_seeds_that_agree_exactly_on_a_change_give_no_interval_but_on_none_they_do():
    agreed = effect({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5})
    assert (agreed.value, agreed.low, agreed.high) == (0.25, None, None)
    nothing = effect({0: 0.5, 1: 0.75}, {0: 0.5, 1: 0.75})
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_a_series_takes_rows_that_meet_all_conditions_and_averages_within_a_seed():
    rows = [
        {"seed": 0, "noise": 0.2, "classes": "0-1", "ece": 0.1},
        {"seed": 0, "noise": 0.2, "classes": "2-3", "ece": 0.3},
        {"seed": 0, "noise": 0.0, "classes": "2-3", "ece": 9.0},
        {"seed": 1, "noise": 0.2, "classes": "0-1", "ece": None},
        {"seed": 1, "noise": 0.2, "classes": "2-3", "ece": 0.5},
        {"seed": 2, "noise": 0.2, "classes": "2-3", "ece": None},
        {"seed": 3, "noise": 0.2, "classes": "2-3", "ece": "inf"},
    ]
    assert series(rows, "ece", noise=0.2) == {0: pytest.approx(0.2), 1: 0.5, 3: math.inf}
    assert series(rows, "ece", noise=0.2, classes="0-1") == {0: 0.1}


def test_a_mean_over_series_needs_the_seed_in_all():
    assert mean_of([{0: 1.0, 1: 2.0}, {0: 3.0, 2: 9.0}]) == {0: 2.0}
    assert mean_of([]) == {}
