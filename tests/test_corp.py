"""The CORP curve: a published example's blocks, and the coverage of its consistency band."""

import json

import numpy as np
import pytest

import calibkit as ck
from calibkit.isotonic import recalibrated
from calibkit.pairs import pool_ties, read_pairs
from tests.real_data import real_data


def sample(n, seed, power=1.0, digits=17):
    rng = np.random.default_rng(seed)
    forecast = rng.beta(1.5, 1.0, n).round(digits)
    return (rng.random(n) < forecast**power).astype(int), forecast


def test_blocks_tell_the_recalibration_of_every_forecast():
    labels, probs = sample(500, 0, 1.5, digits=2)
    curve = ck.corp_curve(labels, probs, confidence_level=None)
    tied = pool_ties(read_pairs(labels, probs))
    block = np.searchsorted(curve.last, tied.forecast)
    assert np.all((curve.first[block] <= tied.forecast) & (tied.forecast <= curve.last[block]))
    np.testing.assert_array_equal(curve.rate[block], recalibrated(tied))
    np.testing.assert_array_equal(np.bincount(block, tied.weight), curve.weight)
    assert curve.band is None


def test_row_order_moves_no_bit_of_curve_and_band():
    labels, probs = sample(800, 1, digits=3)
    order = np.random.default_rng(2).permutation(800)
    one, other = (
        json.dumps(ck.corp_curve(y, p).to_dict()) for y, p in ((labels, probs), (labels[order], probs[order]))
    )
    assert one == other


@pytest.mark.parametrize("view", ["top-label", "positive"])
def test_views_of_two_classes(view):
    labels, probs = sample(300, 3)
    matrix = np.stack([1 - probs, probs], axis=1)
    curve = ck.corp_curve(labels, matrix, view=view, confidence_level=None)
    assert curve.view == view
    assert curve.first[0] == (matrix.max(axis=1).min() if view == "top-label" else probs.min())


@pytest.mark.parametrize(("n", "digits"), [(150, 17), (1500, 1), (40_000, 17)])
def test_the_band_holds_the_curves_of_calibrated_models_as_often_as_it_says(n, digits):
    _, probs = sample(n, 4, digits=digits)
    band = ck.corp_curve(np.zeros(n, dtype=int), probs, confidence_level=0.9, n_draws=400).band
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(60):
        curve = ck.corp_curve((rng.random(n) < probs).astype(int), probs, confidence_level=None)
        # Between blocks a forecast belongs to the block that it is in; band forecasts of cells are inside some block.
        block = np.minimum(np.searchsorted(curve.last, band.forecast - 1e-12), len(curve.rate) - 1)
        rate = curve.rate[block]
        inside.append(np.mean((band.low - 1e-9 <= rate) & (rate <= band.high + 1e-9)))
    # Discrete rates make it hold more, never less.
    assert 0.87 <= np.mean(inside) <= (0.95 if n == 40_000 else 1.0)


def test_the_band_of_one_forecast_is_binomial():
    from scipy.stats import binom

    band = ck.corp_curve(np.tile([0, 1], 50), np.full(100, 0.7), n_draws=20_000).band
    assert band.forecast.tolist() == [0.7]
    expected = binom.ppf([0.025, 0.975], 100, 0.7) / 100
    np.testing.assert_allclose([band.low[0], band.high[0]], expected, atol=0.0101)


def test_a_miscalibrated_curve_leaves_the_band():
    labels, probs = sample(4000, 6, power=2.0)
    curve = ck.corp_curve(labels, probs)
    rate = curve.rate[np.minimum(np.searchsorted(curve.last, curve.band.forecast), len(curve.rate) - 1)]
    assert np.mean(rate < curve.band.low) > 0.5


def test_the_band_is_told_at_a_bounded_number_of_forecasts():
    labels, probs = sample(100_000, 7)
    band = ck.corp_curve(labels, probs, n_draws=20).band
    assert 256 <= len(band.forecast) <= 512
    assert np.all(np.diff(band.forecast) > 0)
    # Along the axis as well as along the rows.
    assert np.max(np.diff(band.forecast)) < 0.01


def test_degenerate_samples():
    empty = ck.corp_curve(np.empty(0, dtype=int), np.empty(0))
    assert (empty.n, len(empty.rate), empty.band) == (0, 0, None)
    single = ck.corp_curve([1], [0.3])
    assert (single.rate.tolist(), single.band.low.tolist(), single.band.high.tolist()) == ([1.0], [0.0], [1.0])
    certain = ck.corp_curve([0, 1, 0], [0.0, 1.0, 1.0])
    assert certain.rate.tolist() == [0.0, 0.5]
    assert certain.band.low.tolist() == certain.band.high.tolist() == [0.0, 1.0]
    backwards = ck.corp_curve([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])
    assert backwards.rate.tolist() == [0.5]


@pytest.mark.parametrize(
    "wrong", [{"view": "classwise"}, {"confidence_level": 1.0}, {"n_draws": 0}, {"rng": -1}, {"n_draws": 2.5}]
)
def test_options_are_checked(wrong):
    with pytest.raises(ck.OptionError, match=next(iter(wrong))):
        ck.corp_curve([0, 1], [0.2, 0.7], **wrong)


def test_election_forecasts_with_certainties_and_ties():
    with np.load(real_data("binary/538_governors_elections.npz")) as file:
        labels, probs = file["outcome"].astype(int), file["prob"]
    curve = ck.corp_curve(labels, probs, n_draws=50)
    assert curve.weight.sum() == len(labels)
    assert np.all(np.diff(curve.rate) > 0)
    assert curve.first[0] == probs.min()
    assert curve.last[-1] == probs.max()
