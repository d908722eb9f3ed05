"""Isotonic regression against every partition into blocks in rational arithmetic, scikit-learn, and peers' defects."""

from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from calibkit.isotonic import isotonic_blocks, isotonic_rates, recalibrated
from calibkit.pairs import Pairs, pool_ties


def tie(forecast, outcome, weights=None):
    return pool_ties(
        Pairs(
            view="positive",
            forecast=np.asarray(forecast, dtype=float),
            outcome=np.asarray(outcome, dtype=bool),
            weights=None if weights is None else np.asarray(weights, dtype=float),
        )
    )


def best_of_all_partitions(happened, weight):
    """Least squares over every partition whose rates increase, in rational arithmetic."""
    m = len(weight)
    best, fitted = None, None
    for n_cuts in range(m):
        for cuts in combinations(range(1, m), n_cuts):
            blocks = list(pairwise((0, *cuts, m)))
            rates = [Fraction(sum(happened[a:b]), sum(weight[a:b])) for a, b in blocks]
            if any(left > right for left, right in pairwise(rates)):
                continue
            # sum w (y - g)^2 = const - 2 g h + w g^2, and h = g w within a block
            loss = -sum(rate**2 * sum(weight[a:b]) for rate, (a, b) in zip(rates, blocks, strict=True))
            if best is None or loss < best:
                best = loss
                fitted = [rate for rate, (a, b) in zip(rates, blocks, strict=True) for _ in range(a, b)]
    return fitted


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=8))
def test_rates_are_those_of_the_best_of_all_partitions(counts):
    happened = [hit for hit, _ in counts]
    weight = [hit + miss or 1 for hit, miss in counts]
    rates = isotonic_rates(np.array(happened, dtype=float), np.array(weight, dtype=float))
    assert rates.tolist() == [float(rate) for rate in best_of_all_partitions(happened, weight)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [2, 4, 17])
@pytest.mark.parametrize("seed", range(3))
def test_rates_equal_those_of_scikit_learn(seed, digits, weighted):
    rng = np.random.default_rng(seed)
    forecast = rng.beta(2, 1, 700).round(digits)
    outcome = rng.random(700) < forecast**1.4
    weights = rng.exponential(size=700) if weighted else None
    peer = IsotonicRegression().fit(forecast, outcome.astype(float), sample_weight=weights)
    tied = tie(forecast, outcome, weights)
    np.testing.assert_allclose(recalibrated(tied), peer.predict(tied.forecast), atol=1e-13)


def test_scoringrules_isotonic_without_pooling_ties_depends_on_row_order():
    """Four forecasts of .5: scoringrules 0.10.0 gives [0, 0, 1, 1] or [.5, .5, .5, .5] as the rows happen to lie."""
    for outcome in ([0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]):
        tied = tie([0.5] * 4, outcome)
        assert tied.forecast.tolist() == [0.5]
        assert recalibrated(tied).tolist() == [0.5]


def test_row_order_moves_no_bit():
    rng = np.random.default_rng(3)
    forecast = rng.random(5000).round(3)
    outcome = rng.random(5000) < forecast
    rates = recalibrated(tie(forecast, outcome))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5000)
        assert recalibrated(tie(forecast[order], outcome[order])).tobytes() == rates.tobytes()


def test_integer_weights_are_repetition():
    rng = np.random.default_rng(4)
    forecast, weights = rng.random(300).round(2), rng.integers(1, 5, 300)
    outcome = rng.random(300) < forecast
    repeated = tie(np.repeat(forecast, weights), np.repeat(outcome, weights))
    assert recalibrated(tie(forecast, outcome, weights)).tobytes() == recalibrated(repeated).tobytes()


def test_blocks_increase_strictly_and_hold_their_own_rates():
    rng = np.random.default_rng(5)
    forecast = rng.random(200_000)
    tied = tie(forecast, rng.random(200_000) < forecast)
    starts = isotonic_blocks(tied.happened, tied.weight)
    hits, total = np.add.reduceat(tied.happened, starts), np.add.reduceat(tied.weight, starts)
    assert np.all(hits[:-1] * total[1:] < hits[1:] * total[:-1])  # whole numbers below 2^53: exact
    # A block cannot be cut: none of its beginnings has a smaller rate than the whole.
    block = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(forecast)))
    before = np.cumsum(tied.happened) - (np.cumsum(hits) - hits)[block]
    size = np.cumsum(tied.weight) - (np.cumsum(total) - total)[block]
    assert np.all(before * total[block] >= hits[block] * size)


def test_equal_rates_are_one_block():
    assert isotonic_blocks(np.array([1.0, 2.0, 3.0]), np.array([3.0, 6.0, 9.0])).tolist() == [0]
    # 1/10 + ... as rounded means would differ in the last bit
    assert len(isotonic_blocks(np.full(50, 1.0), np.full(50, 10.0))) == 1


def test_several_draws_are_regressions_of_their_own():
    rng = np.random.default_rng(6)
    weight = rng.integers(1, 9, 40).astype(float)
    happened = rng.binomial(weight.astype(int), 0.4, size=(30, 40)).astype(float)
    together = isotonic_rates(happened, weight)
    for draw in range(30):
        np.testing.assert_array_equal(together[draw], isotonic_rates(happened[draw], weight))


@pytest.mark.parametrize(("happened", "rates"), [([], []), ([0], [0.0]), ([1], [1.0]), ([1, 0], [0.5, 0.5])])
def test_short_samples(happened, rates):
    assert isotonic_rates(np.array(happened, dtype=float), np.ones(len(happened))).tolist() == rates
