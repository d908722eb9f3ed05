"""Murphy's decomposition with within-bin terms: rational arithmetic, ECE's tables, and bins without width."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calibkit as ck

TERMS = ("reliability", "resolution", "uncertainty", "within_bin_variance", "within_bin_covariance")


def sample(n, seed):
    rng = np.random.default_rng(seed)
    probs = rng.beta(1.2, 0.7, n)
    return (rng.random(n) < probs**1.4).astype(int), probs


def mean(values, weights):
    return sum(v * w for v, w in zip(values, weights, strict=True)) / Fraction(sum(weights))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 16), st.booleans(), st.integers(1, 3)), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_the_terms_of_murphy_and_stephenson_in_rational_arithmetic(rows, n_bins):
    f = [Fraction(step, 16) for step, _, _ in rows]
    y = [Fraction(int(hit)) for _, hit, _ in rows]
    w = [weight for _, _, weight in rows]
    bins = [max(0, math.ceil(p * n_bins) - 1) for p in f]
    base, total = mean(y, w), sum(w)
    exact = dict.fromkeys(TERMS, Fraction(0)) | {"uncertainty": base * (1 - base)}
    for b in set(bins):
        inside = [i for i, other in enumerate(bins) if other == b]
        weights = [w[i] for i in inside]
        f_bin, y_bin = mean([f[i] for i in inside], weights), mean([y[i] for i in inside], weights)
        share = Fraction(sum(weights), total)
        exact["reliability"] += share * (f_bin - y_bin) ** 2
        exact["resolution"] += share * (y_bin - base) ** 2
        exact["within_bin_variance"] += share * mean([(f[i] - f_bin) ** 2 for i in inside], weights)
        exact["within_bin_covariance"] += share * mean([2 * (f[i] - f_bin) * (y[i] - y_bin) for i in inside], weights)
    parts = ck.binned_decomposition(list(map(int, y)), list(map(float, f)), n_bins=n_bins, weights=w)
    for name in TERMS:
        assert getattr(parts, name) == pytest.approx(float(exact[name]), rel=1e-13, abs=1e-16), name
    score = mean([(p - outcome) ** 2 for p, outcome in zip(f, y, strict=True)], w)
    rel, res, unc, variance, covariance = (exact[name] for name in TERMS)
    assert score == rel - res + unc + variance - covariance
    assert parts.score == pytest.approx(float(score), rel=1e-14)


@pytest.mark.parametrize("options", [{}, {"n_bins": 4}, {"binning": "quantile"}, {"edges": "left"}, {"n_bins": 500}])
@pytest.mark.parametrize("seed", range(3))
def test_the_parts_add_up_and_reliability_is_the_squared_rmsce(options, seed):
    labels, probs = sample(400, seed)
    parts = ck.binned_decomposition(labels, probs, **options)
    assert parts.score == pytest.approx(ck.brier_score(labels, probs), rel=1e-14)
    assert parts.score == pytest.approx(parts.reliability - parts.generalized_resolution + parts.uncertainty, rel=1e-13)
    rmsce = ck.expected_calibration_error(labels, probs, norm="l2", **options)
    assert parts.reliability == pytest.approx(rmsce**2, rel=1e-12)
    assert parts.resolution >= 0
    assert parts.within_bin_variance >= 0


def test_bins_that_hold_one_forecast_each_need_no_within_bin_terms():
    labels, _ = sample(300, 4)
    probs = np.tile([0.1, 0.3, 0.7], 100)
    parts = ck.binned_decomposition(labels, probs, n_bins=5)
    assert abs(parts.within_bin_variance) < 1e-30
    assert abs(parts.within_bin_covariance) < 1e-16


def test_one_bin_resolves_nothing():
    labels, probs = sample(300, 5)
    parts = ck.binned_decomposition(labels, probs, n_bins=1)
    assert parts.resolution == 0
    assert parts.reliability == pytest.approx((probs.mean() - labels.mean()) ** 2, rel=1e-12)
    assert parts.within_bin_variance == pytest.approx(probs.var(), rel=1e-12)


def test_row_order_moves_no_bit():
    labels, probs = sample(500, 6)
    probs = probs.round(2)
    order = np.random.default_rng(7).permutation(500)
    assert ck.binned_decomposition(labels, probs) == ck.binned_decomposition(labels[order], probs[order])


def test_degenerate_samples():
    empty = ck.binned_decomposition(np.empty(0, dtype=int), np.empty(0))
    assert all(math.isnan(getattr(empty, name)) for name in ("score", *TERMS))
    perfect = ck.binned_decomposition([0, 1, 1], [0.0, 1.0, 1.0])
    assert (perfect.score, perfect.reliability) == (0.0, 0.0)
    assert perfect.resolution == pytest.approx(perfect.uncertainty)
    constant = ck.binned_decomposition([1, 1], [0.4, 0.4])
    assert (constant.uncertainty, constant.resolution) == (0.0, 0.0)


def test_the_dictionary_holds_every_part():
    parts = ck.binned_decomposition([0, 1], [0.2, 0.7])
    plain = parts.to_dict()
    assert plain["generalized_resolution"] == parts.generalized_resolution
    assert {"view", "n", "score", *TERMS} < plain.keys()


@pytest.mark.parametrize("wrong", [{"n_bins": 0}, {"binning": "kmeans"}, {"edges": "both"}, {"view": "classwise"}])
def test_options_are_checked(wrong):
    with pytest.raises(ck.OptionError):
        ck.binned_decomposition([0, 1], [0.2, 0.7], **wrong)
