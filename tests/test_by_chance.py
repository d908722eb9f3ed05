"""What chance alone shows: binomials in closed form, and rows drawn one by one."""

import math

import numpy as np
import pytest
from scipy.stats import binom

import calibkit as ck
from calibkit.by_chance import chance_of
from calibkit.errors import OptionError, ShapeError
from calibkit.pairs import read_pairs

NORMS = ("l1", "l2", "max")


def sample(n, seed, power=1.0):
    rng = np.random.default_rng(seed)
    p = rng.beta(2.0, 1.0, n)
    return (rng.random(n) < p**power).astype(int), p


@pytest.mark.parametrize("norm", NORMS)
def test_one_bin_is_a_binomial(norm):
    """With one forecast each norm is |K - n p| / n: mean, percentile and p-value are sums over K."""
    labels = np.repeat([1, 0], [36, 14])
    null = ck.expected_by_chance(labels, np.full(50, 0.6), norm=norm, n_draws=100_000)
    k = np.arange(51)
    error, mass = np.abs(k - 30) / 50, binom.pmf(k, 50, 0.6)
    assert null.mean == pytest.approx(mass @ error, rel=0.01)
    assert null.p_value == pytest.approx(mass[error >= 0.12 - 1e-12].sum(), rel=0.05)
    assert mass[error >= null.p95 - 1e-12].sum() > 0.05 >= mass[error > null.p95 + 1e-12].sum()


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("norm", NORMS)
def test_it_is_what_rows_drawn_one_by_one_show(norm, binning):
    labels, p = sample(400, 1, power=1.2)
    rng, options = np.random.default_rng(0), {"norm": norm, "binning": binning, "n_bins": 8}
    drawn = [ck.expected_calibration_error((rng.random(400) < p).astype(int), p, **options) for _ in range(1500)]
    null = ck.expected_by_chance(labels, p, **options)
    assert null.mean == pytest.approx(np.mean(drawn), rel=0.03)
    assert null.p95 == pytest.approx(np.quantile(drawn, 0.95), rel=0.06)
    share = np.mean(np.array(drawn) >= ck.expected_calibration_error(labels, p, **options))
    assert null.p_value == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("norm", NORMS[:2])
def test_weights_count(norm):
    labels, p = sample(600, 2)
    rng = np.random.default_rng(3)
    weights = rng.gamma(1.0, size=600)
    drawn = [
        ck.expected_calibration_error((rng.random(600) < p).astype(int), p, norm=norm, weights=weights, n_bins=6)
        for _ in range(1500)
    ]
    null = ck.expected_by_chance(labels, p, norm=norm, weights=weights, n_bins=6)
    assert null.mean == pytest.approx(np.mean(drawn), rel=0.05)
    assert null.mean > 1.2 * ck.expected_by_chance(labels, p, norm=norm, n_bins=6).mean
    assert ck.expected_by_chance(labels, p, norm=norm, weights=np.full(600, 3.0)).mean == pytest.approx(
        ck.expected_by_chance(labels, p, norm=norm).mean, rel=0.04
    )


def test_it_is_what_evaluate_shows():
    labels, p = sample(500, 4, power=1.5)
    evaluation = ck.evaluate(ck.Predictions.from_probs(labels, p), n_bins=10, rng=7, metrics="all")
    assert ck.expected_by_chance(labels, p, n_bins=10, rng=7) == evaluation.chance
    for name, norm in (("rmsce", "l2"), ("mce", "max")):
        shown, null = evaluation.by_chance[name], ck.expected_by_chance(labels, p, n_bins=10, norm=norm)
        assert shown.mean == pytest.approx(null.mean, rel=0.05)
        assert shown.p95 == pytest.approx(null.p95, rel=0.1)
    classwise = ck.evaluate(ck.Predictions.from_probs(labels, p), view="classwise", metrics="all")
    assert not {"rmsce", "mce"} & classwise.by_chance.keys()


def test_miscalibration_is_seen_and_calibration_is_not_rejected_more_often_than_said():
    labels, p = sample(1000, 5, power=1.5)
    assert ck.expected_by_chance(labels, p).p_value == 1 / 2001
    rejected = dict.fromkeys(NORMS, 0)
    for seed in range(300):
        labels, p = sample(300, seed)
        for norm in NORMS:
            rejected[norm] += ck.expected_by_chance(labels, p, norm=norm, n_draws=199, rng=seed).p_value <= 0.05
    assert all(3 <= count <= 30 for count in rejected.values()), rejected  # 15 expected, four standard errors each way


def test_views():
    labels, p = sample(200, 6)
    two = np.stack([1 - p, p], axis=1)
    confidence, correct = two.max(axis=1), (two.argmax(axis=1) == labels).astype(int)
    assert ck.expected_by_chance(labels, two) == ck.expected_by_chance(correct, confidence)
    assert ck.expected_by_chance(labels, two, view="positive").mean == pytest.approx(
        ck.expected_by_chance(labels, p).mean, rel=1e-9
    )
    # Both classes of a row show the same.
    both = ck.expected_by_chance(labels, two, view="classwise")
    assert both.mean == pytest.approx(ck.expected_by_chance(labels, p).mean, rel=0.05)
    evaluated = ck.evaluate(ck.Predictions.from_probs(labels, two), view="flattened").chance
    assert ck.expected_by_chance(labels, two, view="flattened", n_draws=500) == evaluated
    with pytest.raises(OptionError, match='norm="max": in the classwise view'):
        ck.expected_by_chance(labels, two, view="classwise", norm="max")
    with pytest.raises(OptionError, match="view='class'"):
        ck.expected_by_chance(labels, two, view="class")
    with pytest.raises(ShapeError, match="one event"):
        ck.expected_by_chance([0], [[0.2, 0.3, 0.5]], view="positive")


def test_edges_of_the_input():
    for norm in NORMS:
        nothing = ck.expected_by_chance(np.empty(0, int), np.empty(0), norm=norm)
        assert all(math.isnan(value) for value in (nothing.mean, nothing.p95, nothing.p_value))
        assert ck.expected_by_chance([1], [0.5], norm=norm).mean == pytest.approx(0.5)
        certain = ck.expected_by_chance([0, 1, 1], [0.0, 1.0, 1.0], norm=norm)
        assert (certain.mean, certain.p95, certain.p_value) == (0, 0, 1)
    with pytest.raises(OptionError, match="norm='l3'"):
        ck.expected_by_chance([1], [0.5], norm="l3")
    with pytest.raises(OptionError, match="n_draws=0"):
        ck.expected_by_chance([1], [0.5], n_draws=0)


def test_any_metric_of_pairs_can_be_drawn():
    pairs = read_pairs(*sample(200, 8))

    def gap(drawn):
        return float(np.mean(drawn.forecast - drawn.outcome)) ** 2

    null = chance_of(gap, pairs, rng=np.random.default_rng(0), n_draws=3000)
    variance = np.sum(pairs.forecast * (1 - pairs.forecast)) / 200**2
    assert null.mean == pytest.approx(variance, rel=0.1)
    assert null.p95 == pytest.approx(3.84 * variance, rel=0.15)
    assert math.isnan(chance_of(gap, read_pairs(np.empty(0, int), np.empty(0)), rng=np.random.default_rng(0)).mean)


def test_the_same_seed_gives_the_same_numbers():
    labels, p = sample(100, 9)
    assert ck.expected_by_chance(labels, p, rng=1) == ck.expected_by_chance(labels, p, rng=1)
    assert ck.expected_by_chance(labels, p, rng=1) != ck.expected_by_chance(labels, p, rng=2)
