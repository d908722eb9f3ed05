"""Means, effective sizes and group sums against plain loops, fractions, and the ends of the float range."""

from fractions import Fraction

import numpy as np
import pytest

from calibkit._numerics import effective_size, group_codes, present_rows, sums_by, weighted_mean

VALUES = np.array([0.31, 2.7, 0.013, 1.9, 0.77])
WEIGHTS = np.array([2.0, 0.5, 3.0, 1.0, 0.25])


def test_a_mean_is_that_of_exact_fractions():
    exact = sum(Fraction(v) for v in VALUES) / len(VALUES)
    assert weighted_mean(VALUES) == pytest.approx(float(exact), rel=1e-15)
    weighted = sum(Fraction(w) * Fraction(v) for w, v in zip(WEIGHTS, VALUES, strict=True)) / sum(
        map(Fraction, WEIGHTS)
    )
    assert weighted_mean(VALUES, WEIGHTS) == pytest.approx(float(weighted), rel=1e-15)


def test_integer_weights_act_as_repetition():
    times = np.array([3, 1, 0, 2, 5])
    assert weighted_mean(VALUES, times.astype(float)) == pytest.approx(
        weighted_mean(np.repeat(VALUES, times)), rel=1e-15
    )


def test_a_mean_of_booleans_is_a_fraction():
    assert weighted_mean(np.array([True, False, True, True])) == 0.75


def test_a_mean_of_nothing_is_nan():
    assert np.isnan(weighted_mean(np.empty(0)))
    assert np.isnan(weighted_mean(np.array([1.0, 2.0]), np.zeros(2)))


def test_half_precision_is_not_summed_in_half_precision():
    assert weighted_mean(np.full(100_000, 0.5, dtype=np.float16)) == 0.5


def test_an_infinite_score_makes_the_mean_infinite_unless_its_row_is_absent():
    values = np.array([0.3, np.inf, 0.9])
    assert weighted_mean(values) == np.inf
    assert weighted_mean(values, np.array([1.0, 0.0, 1.0])) == pytest.approx(0.6)
    assert np.isnan(weighted_mean(np.array([np.inf, -np.inf, 1.0])))


def test_the_sum_of_huge_scores_does_not_overflow():
    assert weighted_mean(np.array([1.7e308, 1.5e308, 0.0, 0.4e308])) == pytest.approx(0.9e308, rel=1e-15)


@pytest.mark.parametrize("scale", [5e-300, 1.0, 7e307])
def test_the_scale_of_the_weights_does_not_matter(scale):
    weights = WEIGHTS / WEIGHTS.max()
    assert weighted_mean(VALUES, weights * scale) == pytest.approx(weighted_mean(VALUES, weights), rel=1e-15)
    assert effective_size(weights * scale, 5) == pytest.approx(effective_size(weights, 5), rel=1e-15)


def test_effective_size_by_hand():
    assert effective_size(None, 7) == 7
    assert effective_size(np.full(9, 0.3), 9) == pytest.approx(9)
    assert effective_size(np.array([3.0, 1.0]), 2) == pytest.approx(16 / 10)
    assert effective_size(np.empty(0), 0) == 0
    assert effective_size(np.zeros(4), 4) == 0


def test_rows_of_weight_zero_are_absent():
    assert present_rows(None) is None
    assert present_rows(np.array([0.5, 2.0])) is None
    np.testing.assert_array_equal(present_rows(np.array([0.5, 0.0, 2.0])), [True, False, True])


@pytest.mark.parametrize("groups", [np.array(["b", "a", "b", "c"]), np.array([17, -4, 17, 90])])
def test_groups_of_any_kind_are_coded_and_summed(groups):
    codes, count = group_codes(groups)
    assert count == 3
    assert codes[0] == codes[2]
    assert len(set(codes)) == 3
    sums = sums_by(codes, np.array([0.1, 0.7, 0.25, 3.0]), count)
    assert sums[codes[0]] == pytest.approx(0.35)
    assert sums.sum() == pytest.approx(4.05)
