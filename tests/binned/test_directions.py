"""The two parts of ECE add up to it, and their difference is the gap."""

import numpy as np
import pytest

import calibkit as ck


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_sum_and_difference(binning, k, seed):
    rng = np.random.default_rng(seed)
    if k == 1:
        probs, labels = rng.random(200), rng.integers(0, 2, 200)
    else:
        probs, labels = rng.dirichlet(np.ones(k), 200), rng.integers(0, k, 200)
    weights = rng.random(200)
    options = {"n_bins": 9, "binning": binning, "weights": weights}
    over = ck.over_confidence_error(labels, probs, **options)
    under = ck.under_confidence_error(labels, probs, **options)
    assert over + under == pytest.approx(ck.expected_calibration_error(labels, probs, **options), abs=1e-14)
    confidence = probs if k == 1 else probs.max(1)
    outcome = labels if k == 1 else probs.argmax(1) == labels
    assert over - under == pytest.approx(np.average(confidence - outcome, weights=weights), abs=1e-14)


def test_a_hand_number():
    # Bins (0, 1/2] and (1/2, 1]: gaps .35 - 1 and .85 - 1/2, two rows each.
    labels, probs = [1, 0, 1, 1], [0.9, 0.8, 0.3, 0.4]
    assert ck.under_confidence_error(labels, probs, n_bins=2) == pytest.approx(0.65 / 2, abs=1e-15)
    assert ck.over_confidence_error(labels, probs, n_bins=2) == pytest.approx(0.35 / 2, abs=1e-15)


def test_no_rows_no_number():
    assert np.isnan(ck.over_confidence_error([], []))
    assert np.isnan(ck.under_confidence_error([], []))
