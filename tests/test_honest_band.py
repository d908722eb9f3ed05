"""The confidence band of the true calibration curve: every interval by brute force, exact tails, and its coverage."""

import json

import numpy as np
import pytest
from scipy import stats

import calibkit as ck
from calibkit.honest_band import CalibrationBand


def sample(n, seed, power=1.0, digits=17):
    rng = np.random.default_rng(seed)
    forecast = rng.beta(1.5, 1.0, n).round(digits)
    return (rng.random(n) < forecast**power).astype(int), forecast


def bounds_at(x, cells, labels, forecast, tail):
    """Largest lower and smallest upper bound of the intervals of cells that end at or before x, and start there on."""
    low, high = 0.0, 1.0
    names = np.unique(cells)
    for i, first in enumerate(names):
        for last in names[i:]:
            inside = (first <= cells) & (cells <= last)
            hits, missed = labels[inside].sum(), (1 - labels[inside]).sum()
            if forecast[inside].max() <= x and hits:
                low = max(low, stats.beta.ppf(tail, hits, missed + 1))
            if forecast[inside].min() >= x and missed:
                high = min(high, stats.beta.isf(tail, hits + 1, missed))
    return low, high


def values_at(band, x):
    """The band as a function."""
    low = np.concatenate(([0.0], band.low))[np.searchsorted(band.forecast, x, side="right")]
    return low, np.append(band.high, 1.0)[np.searchsorted(band.forecast, x)]


def test_the_textbook_interval_of_a_single_forecast():
    for hits in (0, 13, 60):
        band = ck.calibration_band(np.arange(60) < hits, np.full(60, 0.7), confidence_level=0.9)
        exact = stats.binomtest(hits, 60).proportion_ci(0.9, method="exact")
        np.testing.assert_allclose([band.low[0], band.high[0]], [exact.low, exact.high], rtol=1e-11)


@pytest.mark.parametrize(("n", "digits"), [(14, 17), (60, 1), (40, 1)])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_every_interval_of_distinct_forecasts_is_bounded(n, digits, level):
    labels, forecast = sample(n, n, digits=digits)
    band = ck.calibration_band(labels, forecast, confidence_level=level)
    distinct = len(np.unique(forecast))
    tail = (1 - level) / (distinct * (distinct + 1))
    assert band.forecast.tolist() == np.unique(forecast).tolist()
    for x in np.concatenate((np.linspace(0, 1, 23), band.forecast)):
        expected = bounds_at(x, forecast, labels, forecast, tail)
        np.testing.assert_allclose(values_at(band, x), expected, rtol=1e-10)


@pytest.mark.parametrize("grid", [1, 7, 10])
def test_rounded_it_is_method_round_of_calibrationband(grid):
    """Cells of forecasts rounded up bound from below, of those rounded down from above, each with its own number."""
    labels, forecast = sample(80, 1, digits=2)
    forecast[:3] = 0.0, 1.0, 0.5
    band = ck.calibration_band(labels, forecast, grid=grid)
    assert band.grid == grid
    up, down = np.ceil((forecast * grid).round(9)), np.floor((forecast * grid).round(9))
    for x in np.concatenate((np.linspace(0, 1, 23), band.forecast)):
        low, high = values_at(band, x)
        for cells, value, side in ((up, low, 0), (down, high, 1)):
            many = len(np.unique(cells))
            expected = bounds_at(x, cells, labels, forecast, 0.05 / (many * (many + 1)))[side]
            assert value == pytest.approx(expected, rel=1e-10)


def test_the_bounds_of_a_million_rows_have_the_tails_they_should():
    counts = np.array([800_000, 200_000])
    band = ck.calibration_band([1, 0] * 2, np.repeat([0.3, 0.9], 2), weights=[240_003, 559_997, 180_001, 19_999])
    assert band.n == 1_000_000
    tail = 0.05 / 6
    for at, hits in ((0, 240_003), (1, 180_001)):
        assert stats.binom.sf(hits - 1, counts[at], band.low[at]) == pytest.approx(tail, rel=1e-6)
        assert stats.binom.cdf(hits, counts[at], band.high[at]) == pytest.approx(tail, rel=1e-6)


CURVES = {
    "calibrated": lambda x: x,
    "too high": lambda x: x**1.7,
    "two steps": lambda x: np.where(x < 0.6, 0.2, 0.7),
    "flat": lambda x: np.full_like(x, 0.4),
}


@pytest.mark.parametrize("world", CURVES)
@pytest.mark.parametrize(("n", "digits", "grid"), [(100, 17, None), (3000, 17, 50), (2000, 1, None)])
def test_the_whole_curve_is_inside_as_often_as_promised(world, n, digits, grid):
    rng, curve = np.random.default_rng(n), CURVES[world]
    held = []
    for _ in range(100):
        forecast = rng.beta(1.5, 1.0, n).round(digits)
        labels = rng.random(n) < curve(forecast)
        band = ck.calibration_band(labels, forecast, grid=grid)
        # low and high step where forecasts are, and the curve increases: nowhere else is it nearer to leaving.
        truth = curve(band.forecast)
        held.append(bool(np.all((band.low <= truth) & (truth <= band.high))))
    assert np.mean(held) >= 0.95


def test_calibration_is_rejected_where_it_is_wrong_and_not_elsewhere():
    labels, forecast = sample(6000, 2, power=2.0)
    band = ck.calibration_band(labels, forecast)
    assert len(band.too_low) == 0
    assert np.sum(band.too_high[:, 1] - band.too_high[:, 0]) > 0.4
    assert band.rejects.tolist() == band.too_high.tolist()
    other = ck.calibration_band(1 - labels, 1 - forecast)
    assert len(other.too_high) == 0
    assert len(other.too_low) > 0
    assert len(ck.calibration_band(*sample(6000, 3)).rejects) == 0


def test_regions_are_where_the_diagonal_is_outside():
    band = CalibrationBand(
        view="positive",
        n=9,
        level=0.95,
        grid=None,
        forecast=np.array([0.1, 0.3, 0.35, 0.8, 0.9]),
        low=np.array([0.2, 0.32, 0.5, 0.5, 0.5]),
        high=np.array([0.4, 0.6, 0.6, 0.6, 0.85]),
    )
    np.testing.assert_allclose(band.too_low, [[0.1, 0.2], [0.3, 0.32], [0.35, 0.5]])
    np.testing.assert_allclose(band.too_high, [[0.6, 0.8], [0.85, 0.9]])
    np.testing.assert_allclose(band.rejects, np.concatenate((band.too_low, band.too_high)))
    x = np.linspace(0.0005, 0.9995, 1000)
    low, high = values_at(band, x)
    outside = (x < low) | (x > high)
    assert outside.tolist() == np.any([(a < x) & (x < b) for a, b in band.rejects], axis=0).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_regions_of_rows_are_where_the_diagonal_is_outside(seed):
    rng = np.random.default_rng(seed)
    forecast = rng.random(400).round(2)
    band = ck.calibration_band(rng.random(400) < np.where(forecast < 0.5, 0.3, 0.6), forecast, confidence_level=0.2)
    x = rng.random(500)  # no digit in common with an end
    low, high = values_at(band, x)
    expected = (
        np.any([(a < x) & (x < b) for a, b in band.rejects], axis=0) if len(band.rejects) else np.zeros(500, bool)
    )
    assert ((x < low) | (x > high)).tolist() == expected.tolist()
    assert np.all(band.too_high[1:, 0] > band.too_high[:-1, 1])


def test_weights_count_rows_and_row_order_moves_no_bit():
    labels, forecast = sample(300, 4, digits=2)
    weights = np.random.default_rng(5).integers(0, 4, 300)
    one = ck.calibration_band(labels, forecast, weights=weights)
    repeated = ck.calibration_band(np.repeat(labels, weights)[::-1], np.repeat(forecast, weights)[::-1])
    assert json.dumps(one.to_dict()) == json.dumps(repeated.to_dict())
    assert one.n == weights.sum()


def test_events_and_misses_mirror_each_other():
    labels, forecast = sample(2000, 6)
    band, other = ck.calibration_band(labels, forecast), ck.calibration_band(1 - labels, 1 - forecast)
    np.testing.assert_allclose(band.forecast, 1 - other.forecast[::-1])
    np.testing.assert_allclose(band.low, 1 - other.high[::-1], atol=1e-14)


def test_forecasts_on_the_grid_are_not_moved_by_their_binary_rounding():
    labels, forecast = sample(700, 7, digits=2)
    assert np.any(np.floor(forecast * 100) != np.round(forecast * 100))  # 0.29 * 100 is 28.999999999999996
    exact, rounded = ck.calibration_band(labels, forecast), ck.calibration_band(labels, forecast, grid=100)
    for name in ("forecast", "low", "high"):
        assert getattr(exact, name).tolist() == getattr(rounded, name).tolist()


def test_many_distinct_forecasts_are_rounded():
    labels, forecast = sample(501, 8)
    assert ck.calibration_band(labels[:500], forecast[:500]).grid is None
    band = ck.calibration_band(labels, forecast)
    assert band.grid == 500
    assert json.dumps(band.to_dict()) == json.dumps(ck.calibration_band(labels, forecast, grid=500).to_dict())


def test_no_increasing_curve_fits_rates_that_fall():
    band = ck.calibration_band([1] * 50 + [0] * 50, [0.2] * 50 + [0.8] * 50)
    assert 0.8 < band.low[0] == band.low[1]
    assert 0.2 > band.high[0] == band.high[1]
    np.testing.assert_allclose(band.rejects, [[band.high[0], 0.8], [0.2, band.low[1]]])


def test_degenerate_samples():
    empty = ck.calibration_band(np.empty(0, dtype=int), np.empty(0))
    assert (empty.n, len(empty.forecast), empty.rejects.shape) == (0, 0, (0, 2))
    single = ck.calibration_band([1], [0.0])
    assert single.low[0] == pytest.approx(0.025)
    np.testing.assert_allclose(single.rejects, [[0.0, 0.025]])
    certain = ck.calibration_band([0, 1], [0.0, 1.0], grid=1)
    assert len(certain.rejects) == 0


@pytest.mark.parametrize("view", ["top-label", "positive"])
def test_views_of_two_classes(view):
    labels, probs = sample(200, 9)
    matrix = np.stack([1 - probs, probs], axis=1)
    band = ck.calibration_band(labels, matrix, view=view)
    assert band.view == view
    assert band.forecast[0] == (matrix.max(axis=1).min() if view == "top-label" else probs.min())


def test_weights_that_are_no_counts_are_refused():
    with pytest.raises(ck.DataError, match="is not a whole number"):
        ck.calibration_band([0, 1], [0.2, 0.7], weights=[1.0, 0.5])
    with pytest.raises(ck.DataError, match="not a whole number"):
        ck.corp_curve([0, 1], [0.2, 0.7], weights=[1.0, 0.5], band="confidence")


@pytest.mark.parametrize(
    "wrong", [{"view": "classwise"}, {"confidence_level": 1.0}, {"confidence_level": None}, {"grid": 0}, {"grid": 2.5}]
)
def test_options_are_checked(wrong):
    with pytest.raises(ck.OptionError, match=next(iter(wrong))):
        ck.calibration_band([0, 1], [0.2, 0.7], **wrong)


def test_a_grid_with_too_many_cells_is_refused():
    forecast = np.linspace(0, 1, 10_001)
    with pytest.raises(ck.OptionError, match="grid=1000000: 10,001 of its steps"):
        ck.calibration_band(np.zeros(10_001, dtype=int), forecast, grid=1_000_000)


def test_a_corp_curve_carries_it():
    labels, forecast = sample(300, 10)
    curve = ck.corp_curve(labels, forecast, band="confidence", confidence_level=0.9)
    alone = ck.calibration_band(labels, forecast, confidence_level=0.9)
    assert curve.to_dict()["band"] == alone.to_dict()
    with pytest.raises(ck.OptionError, match="band='honest'"):
        ck.corp_curve(labels, forecast, band="honest")
