"""The debiased error has no bias where its formula says so, and is the U-statistic of the literature."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, OptionError, ShapeError

LABELS = [0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]
LABELS += [0, 1, 1, 1]
FORECASTS = np.repeat([0.15, 0.35, 0.6, 0.85], [7, 1, 12, 20])


def square(labels, probs, **options):
    return ck.debiased_calibration_error(labels, probs, norm="l2_squared", **options)


def test_uncertainty_calibration_gives_the_same_square():
    # unbiased_square_ce of uncertainty-calibration 0.1.4 (Kumar et al. 2019) on these rows in bins of width 1/4.
    assert square(LABELS, FORECASTS, n_bins=4) == pytest.approx(-4.216507177035164e-05, abs=1e-15)
    assert ck.debiased_calibration_error(LABELS, FORECASTS, n_bins=4) == 0.0


def test_its_mean_over_all_outcomes_is_the_true_square():
    # Every outcome of 3 + 4 rows with its exact probability: forecasts 0.3 and 0.7, true rates 2/5 and 1/2.
    forecasts, rates = [0.3] * 3 + [0.7] * 4, [Fraction(2, 5)] * 3 + [Fraction(1, 2)] * 4
    mean = plugin = Fraction(0)
    for outcome in product((0, 1), repeat=7):
        chance = Fraction(1)
        for happened, rate in zip(outcome, rates, strict=True):
            chance *= rate if happened else 1 - rate
        mean += chance * Fraction(square(outcome, forecasts, n_bins=2))
        plugin += chance * Fraction(ck.expected_calibration_error(outcome, forecasts, n_bins=2, norm="l2") ** 2)
    true = (3 * 0.1**2 + 4 * 0.2**2) / 7
    assert float(mean) == pytest.approx(true, abs=1e-14)
    assert float(plugin) == pytest.approx(true + (0.4 * 0.6 + 0.5 * 0.5) / 7, abs=1e-14)  # what it corrects


def test_it_is_the_sum_over_pairs_of_rows_of_t_cal_and_sun_et_al():
    # Lee et al. 2023 (T-Cal) and Sun et al. 2024: products of the residuals of two rows of a bin, equal forecasts each.
    residuals = np.array(LABELS) - FORECASTS
    total = 0.0
    for forecast in np.unique(FORECASTS):
        u = residuals[forecast == FORECASTS]
        if len(u) > 1:
            total += (np.outer(u, u).sum() - (u * u).sum()) / (len(u) - 1)
    assert square(LABELS, FORECASTS, n_bins=4) == pytest.approx(total / len(LABELS), abs=1e-15)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_brute_force_in_general_position(binning):
    rng = np.random.default_rng(4)
    probs = rng.beta(2, 1, 300)
    labels = (rng.random(300) < probs**1.4).astype(int)
    edges = ck.reliability_curve(labels, probs, n_bins=11, binning=binning).edges
    total = 0.0
    for low, high in pairwise(edges):
        rows = (probs > low) & (probs <= high)
        if rows.sum() > 1:
            a, n = labels[rows].mean(), rows.sum()
            total += n * ((probs[rows].mean() - a) ** 2 - a * (1 - a) / (n - 1))
    assert square(labels, probs, n_bins=11, binning=binning) == pytest.approx(total / 300, abs=1e-14)


def test_the_top_label_view_is_the_default_of_a_matrix():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.1, 0.7]])
    correct = [1, 1, 0, 1]
    assert square([0, 1, 1, 2], probs, n_bins=3) == square(correct, probs.max(1), n_bins=3)
    with pytest.raises(ShapeError, match="positive"):
        square([0, 1, 1, 2], probs, view="positive")


def test_single_rows_show_no_noise_and_no_rows_no_number():
    assert square([1, 0, 1], [0.1, 0.5, 0.9], n_bins=10) == 0.0
    assert np.isnan(square([], []))
    assert np.isnan(ck.debiased_calibration_error([], []))


def test_weights_are_counts():
    with pytest.raises(DataError, match="whole number"):
        square([1, 0], [0.6, 0.7], weights=[1.0, 0.5])
    with pytest.raises(OptionError, match="norm"):
        ck.debiased_calibration_error([1, 0], [0.6, 0.7], norm="l1")
