"""Smooth calibration error against exact integration of the smoothed gap, relplot, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

import calibkit as ck
from calibkit.pairs import Pairs, read_pairs
from calibkit.smooth_calibration import smooth_error, smooth_error_by_chance
from tests.real_data import real_data
from tests.sequences import sequence

# relplot 1.0.3, smECE(f, y): ten bisections, so the bandwidth is good to 2^-10.
RELPLOT = {
    (200, 1.0): 0.03585468506687621,
    (1000, 1.0, 2): 0.019318494004814273,
    (1000, 1.5): 0.10264651674274998,
    (5000, 1.1, 3, 0.3): 0.018325916047767992,
    (20000, 1.02): 0.005079789075626453,
}


def exact_error(labels, probs, weights=None):
    """By definition: between sign changes the smoothed gap is integrated by Gaussian distribution functions."""
    weights = np.ones(len(probs)) if weights is None else np.asarray(weights, dtype=float)
    gap = weights * (probs - labels) / weights.sum()

    def integral(s):
        images = np.arange(-math.ceil(5 * s) - 1, math.ceil(5 * s) + 2)
        centres = np.concatenate([2 * j + sign * probs for j in images for sign in (1, -1)])
        gaps = np.tile(gap, 2 * len(images))
        near = (centres > -10 * s) & (centres < 1 + 10 * s)
        centres, gaps = centres[near], gaps[near]

        def smoothed(t):
            return float(np.exp(-0.5 * ((t - centres) / s) ** 2) @ gaps)

        grid = np.linspace(0, 1, 1201)
        signs = np.array([smoothed(t) > 0 for t in grid])
        changes = np.flatnonzero(signs[1:] != signs[:-1])
        ends = [0.0, *(brentq(smoothed, grid[i], grid[i + 1], xtol=1e-14) for i in changes), 1.0]
        return float(np.abs(np.diff([ndtr((t - centres) / s) @ gaps for t in ends])).sum())

    return brentq(lambda s: integral(s) - s, 1e-3, 1.0, xtol=1e-10)


def sample(n, seed, power=1.3, digits=17):
    rng = np.random.default_rng(seed)
    probs = rng.beta(1.2, 0.8, n).round(digits)
    return (rng.random(n) < probs**power).astype(int), probs


@pytest.mark.parametrize(("n", "power", "digits"), [(60, 1.0, 17), (60, 3.0, 1), (300, 1.0, 2), (900, 1.0, 17)])
def test_the_error_solves_its_definition_to_a_millionth(n, power, digits):
    labels, probs = sample(n, n, power, digits)
    assert ck.smooth_calibration_error(labels, probs) == pytest.approx(exact_error(labels, probs), abs=1e-6)


def test_weighted_rows_and_certainties_solve_it_too():
    labels, probs = sample(200, 1, digits=2)
    probs[:40] = np.tile([0.0, 1.0], 20)
    weights = np.random.default_rng(2).exponential(size=200)
    error = ck.smooth_calibration_error(labels, probs, weights=weights)
    assert error == pytest.approx(exact_error(labels, probs, weights), abs=1e-6)


@pytest.mark.parametrize("case", list(RELPLOT))
def test_relplot_agrees_to_two_thousandths_inside_the_interval(case):
    labels, probs = sequence(*case)
    assert ck.smooth_calibration_error(labels, probs) == pytest.approx(RELPLOT[case], abs=2e-3)


def test_relplot_halves_the_gaps_at_zero_and_one():
    """In relplot 1.0.3 the grid is mirrored at its end points, not beyond: what lies on 0 or 1 loses half its mass."""
    labels, probs = sequence(100, 3.0, 1)
    certain = (probs == 0) | (probs == 1)
    assert certain.sum() == 10
    ours, theirs = ck.smooth_calibration_error(labels, probs), 0.26397588552153983
    assert ours == pytest.approx(exact_error(labels, probs), abs=1e-6)
    assert abs(ours - theirs) > 0.01
    halved = ck.smooth_calibration_error(labels, probs, weights=np.where(certain, 0.5, 1.0))
    assert halved == pytest.approx(theirs, abs=2e-3)


def test_gaps_of_one_sign_are_not_smoothed_away():
    labels, probs = np.zeros(50, dtype=int), np.linspace(0.05, 0.6, 50)
    assert ck.smooth_calibration_error(labels, probs) == pytest.approx(probs.mean(), abs=1e-6)
    assert ck.smooth_calibration_error([1], [0.3]) == pytest.approx(0.7, abs=1e-9)


def test_it_is_at_least_the_gap_and_at_most_the_mean_absolute_gap_of_forecasts():
    for seed in range(5):
        labels, probs = sample(400, seed, digits=1)
        error = ck.smooth_calibration_error(labels, probs)
        assert error >= abs(np.mean(probs - labels)) - 1e-9
        assert error <= ck.expected_calibration_error(labels, probs, n_bins=10) + 1e-6


def test_no_gap_and_gaps_that_cancel_are_zero():
    assert ck.smooth_calibration_error([0, 1, 1], [0.0, 1.0, 1.0]) == 0
    assert ck.smooth_calibration_error([0, 1], [0.5, 0.5]) == 0
    exact = ck.smooth_calibration_error([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0.3] * 10)
    assert exact == pytest.approx(0, abs=1e-15)
    assert math.isnan(ck.smooth_calibration_error(np.empty(0, dtype=int), np.empty(0)))


def test_forecasts_that_hardly_differ_are_nearly_one():
    # Two gaps of 1/4, of opposite sign, d apart: smECE_s is about d/4 integral |phi_s'| = d phi(0) / (2 s).
    for apart in (1e-5, 1e-4, 1e-3):
        error = ck.smooth_calibration_error([0, 1] * 10, [0.5, 0.5 + apart] * 10)
        assert error == pytest.approx(math.sqrt(apart * stats.norm.pdf(0) / 2), rel=0.01)


def test_tiny_errors_are_found():
    error = ck.smooth_calibration_error([0, 1] * 10, [0.5, 0.5 + 1e-9] * 10)
    assert error == pytest.approx(math.sqrt(1e-9 * stats.norm.pdf(0) / 2), abs=3e-6)


def test_a_small_change_of_the_forecasts_is_a_small_change_of_the_error():
    labels, probs = sample(500, 6, digits=2)
    error = ck.smooth_calibration_error(labels, probs)
    moved = np.clip(probs + np.random.default_rng(7).normal(0, 1e-7, 500), 0, 1)
    assert ck.smooth_calibration_error(labels, moved) == pytest.approx(error, abs=2e-6)


def test_row_order_and_repetition_do_not_matter():
    labels, probs = sample(300, 8)
    weights = np.random.default_rng(9).integers(1, 5, 300)
    order = np.random.default_rng(10).permutation(300)
    error = ck.smooth_calibration_error(labels, probs)
    assert ck.smooth_calibration_error(labels[order], probs[order]) == pytest.approx(error, abs=1e-12)
    assert ck.smooth_calibration_error(labels, probs, weights=np.full(300, 7.0)) == pytest.approx(error, abs=1e-12)
    repeated = np.repeat(np.arange(300), weights)
    assert ck.smooth_calibration_error(labels, probs, weights=weights) == pytest.approx(
        ck.smooth_calibration_error(labels[repeated], probs[repeated]), abs=1e-12
    )


def test_views_of_two_classes():
    labels, probs = sample(200, 11)
    matrix = np.stack([1 - probs, probs], axis=1)
    assert ck.smooth_calibration_error(labels, matrix, view="positive") == ck.smooth_calibration_error(labels, probs)
    correct = (matrix.argmax(axis=1) == labels).astype(int)
    assert ck.smooth_calibration_error(labels, matrix) == ck.smooth_calibration_error(correct, matrix.max(axis=1))


@pytest.mark.parametrize(("n", "digits"), [(120, 17), (800, 2)])
def test_chance_is_what_calibrated_models_show(n, digits):
    _, probs = sample(n, 12, digits=digits)
    rng = np.random.default_rng(13)
    shown = np.array(
        [smooth_error(Pairs(view="positive", forecast=probs, outcome=rng.random(n) < probs)) for _ in range(250)]
    )
    chance = ck.smooth_calibration_by_chance(np.zeros(n, dtype=int), probs)
    assert chance.mean == pytest.approx(shown.mean(), rel=0.01, abs=4 * shown.std() / math.sqrt(250))
    assert np.mean(shown > chance.p95) == pytest.approx(0.05, abs=0.045)


def test_chance_of_weighted_rows():
    rng = np.random.default_rng(14)
    probs, weights = rng.random(300), rng.choice([1.0, 4.0], 300)
    shown = np.array(
        [
            smooth_error(Pairs(view="positive", forecast=probs, outcome=rng.random(300) < probs, weights=weights))
            for _ in range(250)
        ]
    )
    chance = ck.smooth_calibration_by_chance(np.zeros(300, dtype=int), probs, weights=weights)
    assert chance.mean == pytest.approx(shown.mean(), rel=0.02, abs=4 * shown.std() / math.sqrt(250))


def test_p_values_of_calibrated_models_are_uniform():
    rng = np.random.default_rng(15)
    p_values = []
    for _ in range(100):
        probs = rng.beta(2, 1, 150)
        pairs = Pairs(view="positive", forecast=probs, outcome=rng.random(150) < probs)
        p_values.append(smooth_error_by_chance(pairs, n_draws=99, rng=rng).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_chance_at_the_edges():
    assert math.isnan(ck.smooth_calibration_by_chance(np.empty(0, dtype=int), np.empty(0)).mean)
    certain = ck.smooth_calibration_by_chance([0, 1, 0], [0.0, 1.0, 1.0])
    assert (certain.mean, certain.p95, certain.p_value) == (0.0, 0.0, 1 / 1001)
    single = ck.smooth_calibration_by_chance([1], [0.3])
    assert single.mean == pytest.approx(0.42, abs=0.03)
    one, same = (ck.smooth_calibration_by_chance([0, 1], [0.2, 0.7], rng=rng) for rng in (5, np.random.default_rng(5)))
    assert one == same


@pytest.mark.parametrize("wrong", [{"view": "classwise"}, {"n_draws": 0}, {"rng": "x"}])
def test_options_are_checked(wrong):
    with pytest.raises(ck.OptionError, match=next(iter(wrong))):
        ck.smooth_calibration_by_chance([0, 1], [0.2, 0.7], **wrong)


def test_a_published_network():
    with np.load(real_data("multiclass/cifar10_resnet50_ce.npz")) as file:
        logits, labels = file["logits"].astype(float), file["labels"]
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    # Over-confident nearly everywhere: ECE .0435432 is about the gap, and so is the smooth error.
    assert smooth_error(read_pairs(labels, probs)) == pytest.approx(0.0435, abs=0.001)
