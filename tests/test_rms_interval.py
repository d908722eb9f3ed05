"""The interval of the RMS calibration error: against its formula in plain loops, its edges, and simulated worlds."""

import math

import numpy as np
import pytest
from scipy import stats

import calibkit as ck
from calibkit.binning import Binning, bin_table
from calibkit.bracket import Chance, rms_interval
from calibkit.by_chance import error_by_chance

REJECTED, ACCEPTED = (Chance(mean=0.0, p95=0.0, p_value=p) for p in (0.0005, 0.4))


def sample(n, seed=0, gap=0.1):
    rng = np.random.default_rng(seed)
    confidence = 0.3 + 0.7 * rng.beta(4, 1, n)
    return confidence, rng.random(n) < confidence - gap


def loop_ends(confidence, correct, n_bins, level, weights=None):
    """The roots of (T - x)^2 = z^2 V(x), found by bisection, one bin at a time."""
    weights = np.ones(len(confidence)) if weights is None else weights
    index, total = np.ceil(confidence * n_bins).astype(int) - 1, weights.sum()
    n = total**2 / np.sum(weights**2)
    share, gap, noise, error = [], [], [], 0.0
    for b in sorted(set(index)):
        w, c, y = weights[index == b], confidence[index == b], correct[index == b]
        size = w.sum() ** 2 / np.sum(w**2)
        c, y = np.average(c, weights=w), np.average(y, weights=w)
        p = (size * y + 2 * c) / (size + 2)
        share.append(w.sum() / total)
        gap.append(c - y)
        noise.append(share[-1] * p * (1 - p) / size)
        error += share[-1] * noise[-1]
    share, gap, noise = map(np.array, (share, gap, noise))
    plug = np.sum(share * gap**2)
    t = plug - noise.sum()
    r = np.average(noise, weights=share * gap**2) + 4 / (n + 4) ** 2 / (1 + n**2 * error / 30)
    c = np.sum(share * gap**4) / plug**2 - 1

    def variance(x):
        return 4 * r * x + 2 * np.sum(noise**2) + c * x**2 / n

    x = max(t, 0)
    skew = np.sum(8 * noise**3 + share * (gap**2 - x) ** 3 / n**2) + 24 * r**2 * x
    z = stats.norm.ppf((1 + level) / 2)
    wide = z + np.clip(skew / variance(x) ** 1.5, 0, 1) * (1 + 2 * z**2) / 6

    def bisect(sign, z, inner, outer):
        for _ in range(200):
            middle = (inner + outer) / 2
            inside = sign * (middle - t) <= z * math.sqrt(max(variance(middle), 0.0))
            inner, outer = (middle, outer) if inside else (inner, middle)
        return inner

    low = bisect(-1, wide, t, 0.0) if t > wide * math.sqrt(variance(0)) else 0.0
    return math.sqrt(low), math.sqrt(max(bisect(1, z, t, 10.0), 0.0))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("n", "n_bins", "weighted"), [(60, 5, False), (300, 15, False), (4_000, 15, True)])
def test_the_interval_is_its_formula(n, n_bins, weighted, level):
    confidence, correct = sample(n, seed=n)
    weights = np.random.default_rng(n).exponential(size=n) if weighted else None
    table = bin_table(confidence, correct, Binning(n_bins=n_bins), weights=weights)
    low, high, reason = rms_interval(table, level=level, chance=REJECTED)
    assert (low, high) == pytest.approx(loop_ends(confidence, correct, n_bins, level, weights), abs=1e-9)
    assert low < high
    assert reason is None


def test_a_large_gap_in_one_bin_has_the_interval_of_its_size():
    correct = np.arange(100_000) % 5 > 0
    low, high, _ = rms_interval(bin_table(np.full(100_000, 0.9), correct, Binning()), level=0.95)
    error = 1.96 * math.sqrt(0.8 * 0.2 / 100_000)
    assert (low, high) == pytest.approx((0.1 - error, 0.1 + error), abs=1e-4)


def test_where_gaps_are_large_it_is_the_normal_interval_of_sun_et_al():
    # Sun et al. 2024: the mean of the products of the residuals of two rows of a bin, normal where gaps are not 0; its
    # variance from the rows, each with its mean product with the others.
    rng = np.random.default_rng(8)
    index = rng.integers(5, size=60_000)
    confidence = (index + 0.5) / 5
    correct = rng.random(60_000) < np.abs(confidence - 0.25)
    residual, square, influence = confidence - correct, 0.0, np.zeros(60_000)
    for b in range(5):
        u = residual[index == b]
        square += (u.sum() ** 2 - np.sum(u**2)) / (len(u) - 1) / 60_000
        others = (u.sum() - u) / (len(u) - 1)
        influence[index == b] = 2 * u * others - others**2  # of the sum over bins, whose sizes are random too
    error = influence.std() / math.sqrt(60_000)
    normal = np.sqrt([square - 1.96 * error, square + 1.96 * error])
    low, high, _ = rms_interval(bin_table(confidence, correct, Binning(n_bins=5)), level=0.95)
    assert (low, high) == pytest.approx(tuple(normal), abs=0.05 * (normal[1] - normal[0]))


@pytest.mark.parametrize("gap", [0.0, 0.02, 0.04])
def test_its_chance_level_decides_as_t_cal(gap):
    # Lee et al. 2023: calibrated forecasts are drawn for the same statistic, without bias, over bins of equal width.
    rng, p_values = np.random.default_rng(9), []
    for _ in range(12):
        confidence = rng.uniform(0.3, 0.9, 1_500)
        index = np.ceil(confidence * 15).astype(int) - 1

        def statistic(outcome, index=index, confidence=confidence):
            u = confidence - outcome
            sums, squares, size = (np.bincount(index, v, 15) for v in (u, u**2, np.ones(1_500)))
            return ((sums**2 - squares)[size > 1] / size[size > 1]).sum() / 1_500

        correct = rng.random(1_500) < confidence - gap
        null = [statistic(rng.random(1_500) < confidence) for _ in range(200)]
        table = bin_table(confidence, correct, Binning())
        ours = error_by_chance(table, norm="l2", rng=rng, n_draws=400).p_value
        p_values.append((ours, np.mean(np.array(null) >= statistic(correct))))
    ours, theirs = np.array(p_values).T
    assert np.abs(ours - theirs).max() < 0.2  # T-Cal subtracts the squares that were drawn, not those expected
    assert np.abs(ours - theirs).mean() < 0.05


def test_the_lower_end_is_zero_where_chance_explains_the_error():
    table = bin_table(*sample(2_000), Binning())
    assert rms_interval(table, level=0.95, chance=REJECTED)[0] > 0.05
    assert rms_interval(table, level=0.95, chance=ACCEPTED)[0] == 0


def test_what_was_not_seen_is_within_reach():
    # Twenty right answers of confidence 1: a true miss rate of .16 shows none in 3 % of such samples.
    low, high, _ = rms_interval(bin_table(np.ones(20), np.ones(20), Binning()), level=0.95)
    assert low == 0
    assert 0.16 < high < 0.4


def test_edges():
    assert rms_interval(bin_table(np.array([0.5]), np.array([1]), Binning()), level=0.95)[2] == "a single row"
    assert rms_interval(bin_table(np.array([]), np.array([], dtype=bool), Binning()), level=0.95)[2] == "no rows"
    confidence, correct = sample(200)
    plain = rms_interval(bin_table(confidence, correct, Binning()), level=0.95)
    equal = rms_interval(bin_table(confidence, correct, Binning(), weights=np.full(200, 3.0)), level=0.95)
    assert equal[:2] == pytest.approx(plain[:2])
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 40))
        table = bin_table(rng.random(n).round(1), rng.random(n) < 0.5, Binning(n_bins=int(rng.integers(1, 30))))
        low, high, _ = rms_interval(table, level=0.95)
        assert 0 <= low <= high <= 1


WORLDS = {
    "calibrated": lambda index: np.zeros(len(index)),
    "one sign": lambda index: np.full(len(index), 0.05),
    "alternating": lambda index: np.where(index % 2 == 0, 0.05, -0.05),
    "one bin": lambda index: np.where(index == 12, 0.3, 0.0),
}


@pytest.mark.parametrize("n", [300, 3_000])
@pytest.mark.parametrize("world", WORLDS)
def test_it_covers_the_true_error(world, n):
    rng = np.random.default_rng(n)
    population = 0.1 + 0.9 * np.where(rng.random(20_000) < 0.75, rng.beta(20, 0.6, 20_000), rng.beta(2, 1.5, 20_000))
    index = np.ceil(population * 15).astype(int) - 1
    accuracy = np.clip(population - WORLDS[world](index), 0, 1)
    share = np.bincount(index, minlength=15) / 20_000
    gap = np.bincount(index, population - accuracy, 15) / 20_000
    truth = math.sqrt(np.sum(gap[share > 0] ** 2 / share[share > 0]))
    hits = 0
    for _ in range(200):
        rows = rng.integers(20_000, size=n)
        table = bin_table(population[rows], rng.random(n) < accuracy[rows], Binning())
        null = error_by_chance(table, norm="l2", rng=rng, n_draws=99)
        low, high, _ = rms_interval(table, level=0.95, chance=null)
        hits += low <= truth <= high
    assert hits / 200 >= 0.92


def test_evaluate_prints_it_where_it_was_shown_to_cover():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 900)
    correct = rng.random(900) < confidence - 0.15
    found = ck.evaluate(ck.Predictions.from_correct(correct, confidence))["rmsce"]
    assert 0 < found.low < found.value < found.high
    grouped = ck.evaluate(ck.Predictions.from_correct(correct, confidence, groups=np.arange(900) % 90))["rmsce"]
    assert (grouped.value, grouped.low, grouped.high) == (found.value, None, None)
    both = ck.Predictions.from_probs(correct.astype(int), np.stack([1 - confidence, confidence], axis=1))
    assert ck.evaluate(both, view="classwise")["rmsce"].low is None
    assert ck.evaluate(both, confidence_level=None)["rmsce"].high is None
