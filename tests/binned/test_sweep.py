"""The sweep against a loop over quantile bins, where it ends, and what ties and weights do."""

from dataclasses import replace

import numpy as np
import pytest

import calibkit as ck
from calibkit.binned.sweep import _drawn_errors, _error, _last_monotone, sweep_by_chance, sweep_error
from calibkit.by_chance import chance_of
from calibkit.errors import OptionError
from calibkit.pairs import pool_ties, read_pairs
from calibkit.resampling import calibrated_outcomes


def loop(labels, probs, *, norm="l1", weights=None):
    """One reliability curve after the other, until accuracy falls."""
    last = 1
    for b in range(2, len(labels) + 2):
        curve = ck.reliability_curve(labels, probs, n_bins=b, binning="quantile", weights=weights)
        rates = curve.accuracy[curve.count > 0]
        if (np.diff(rates) < -1e-12).any():
            break
        last = b
    return ck.expected_calibration_error(labels, probs, n_bins=last, binning="quantile", norm=norm, weights=weights)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("seed", range(15))
def test_the_loop_over_quantile_bins(norm, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 200))
    probs = rng.random(n) if seed % 2 else rng.integers(1, 20, n) / 20  # with ties in every other case
    labels = (rng.random(n) < probs**1.3).astype(int)
    found = ck.sweep_calibration_error(labels, probs, norm=norm)
    assert found == pytest.approx(loop(labels, probs, norm=norm), abs=1e-13)


def test_weights_shares_too():
    rng = np.random.default_rng(3)
    probs, weights = rng.random(120), rng.random(120)
    labels = (rng.random(120) < probs).astype(int)
    assert ck.sweep_calibration_error(labels, probs, weights=weights) == pytest.approx(
        loop(labels, probs, weights=weights), abs=1e-13
    )


def test_where_accuracy_never_falls_each_forecast_is_a_bin():
    labels, probs = [0, 0, 1, 1], [0.1, 0.4, 0.6, 0.7]
    assert ck.sweep_calibration_error(labels, probs) == pytest.approx((0.1 + 0.4 + 0.4 + 0.3) / 4, abs=1e-15)


def test_an_upside_down_forecast_has_one_bin():
    labels, probs = [1, 1, 0, 0], [0.1, 0.4, 0.6, 0.7]
    assert ck.sweep_calibration_error(labels, probs) == pytest.approx(abs(0.45 - 0.5), abs=1e-15)


def test_many_rows_of_one_forecast_are_one_bin():
    assert ck.sweep_calibration_error([1, 0, 0, 1, 0], [0.7] * 5) == pytest.approx(0.3, abs=1e-15)


def test_it_ends_at_the_first_fall_not_at_the_last_rise():
    # Halves fall from 2/3 to 1/3, thirds are level: the sweep never sees thirds.
    labels, probs = [1, 0, 1, 0, 1, 0], [0.1, 0.2, 0.4, 0.6, 0.7, 0.9]
    assert len(_last_monotone(pool_ties(read_pairs(labels, probs)))) == 1
    assert ck.sweep_calibration_error(labels, probs) == pytest.approx(abs(2.9 / 6 - 0.5), abs=1e-15)


def test_weights_of_very_different_size_end():
    rng = np.random.default_rng(0)
    probs, labels = rng.random(50), rng.integers(0, 2, 50)
    assert 0 <= ck.sweep_calibration_error(labels, probs, weights=10.0 ** rng.integers(-12, 12, 50)) <= 1


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize(("n", "decimals"), [(5, 3), (400, 2), (3_000, 8)])
def test_draws_at_once_are_the_sweeps_of_each(norm, n, decimals):
    rng = np.random.default_rng(n)
    tied = pool_ties(read_pairs(rng.integers(0, 2, n), rng.random(n).round(decimals)))
    happened = next(calibrated_outcomes(tied, n_draws=20, rng=rng))
    one_by_one = [_error(replace(tied, happened=drawn), norm) for drawn in happened]
    np.testing.assert_allclose(_drawn_errors(tied, happened, norm), one_by_one, rtol=0, atol=1e-15)


def test_chance_is_that_of_outcomes_drawn_row_by_row():
    rng = np.random.default_rng(4)
    forecast = rng.beta(5, 0.6, 9_000)  # more than twice as many as there are cells
    pairs = read_pairs((rng.random(9_000) < forecast).astype(int), forecast)
    in_cells, by_row = sweep_by_chance(pairs, rng=rng), chance_of(sweep_error, pairs, rng=rng, n_draws=500)
    assert in_cells.mean == pytest.approx(by_row.mean, rel=0.05)
    assert in_cells.p95 == pytest.approx(by_row.p95, rel=0.08)
    assert np.isnan(sweep_by_chance(read_pairs([], []), rng=rng).mean)


def test_no_rows_and_options():
    assert np.isnan(ck.sweep_calibration_error([], []))
    with pytest.raises(OptionError, match="norm"):
        ck.sweep_calibration_error([1], [0.5], norm="max")
