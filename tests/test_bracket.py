"""The interval of an ECE: against its formula in plain loops, published files, and simulated worlds of known error."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from calibkit.binning import Binning, bin_table, row_bins
from calibkit.bracket import BinnedRows, Chance, bracket_interval, many_pairs_ends, paired_bracket
from calibkit.resampling import chance
from tests.real_data import real_data

REJECTED, ACCEPTED = (Chance(mean=0.0, p95=0.0, p_value=p) for p in (0.0005, 0.4))
NORMAL = NormalDist()


def rows_of(confidence, correct, n_bins=15, groups=None, weights=None):
    table = bin_table(confidence, correct, Binning(n_bins=n_bins), weights=weights)
    index = row_bins(confidence, table.edges)
    return BinnedRows(table=table, index=index, gap=confidence - correct, groups=groups, weights=weights)


def over_confident(n, seed=0, gap=0.05):
    rng = np.random.default_rng(seed)
    confidence = 0.3 + 0.7 * rng.beta(4, 1, n)
    return confidence, rng.random(n) < confidence - gap


# The formula ----------------------------------------------------------------------------------------------------------


def folded(d, s):
    """E|d + sZ| - d."""
    return 2 * s * NORMAL.pdf(d / s) - 2 * d * NORMAL.cdf(-d / s)


def loop_parts(confidence, correct, n_bins, errors=None, further=0.0):
    """ECE, its standard error, and the bounds of its bias, one bin at a time."""
    index, n = np.ceil(confidence * n_bins).astype(int) - 1, len(confidence)
    filled = sorted(set(index))
    d, s, null, within, between = [], [], [], 0.0, 0.0
    for b in filled:
        c, y = confidence[index == b].sum(), correct[index == b].sum()
        size = np.count_nonzero(index == b)
        d.append(abs(c - y) / n)
        p = (y + 2 * c / size) / (size + 2)
        s.append(math.sqrt(size * p * (1 - p)) / n)
        draws = np.arange(size + 1)
        null.append(float(stats.binom.pmf(draws, size, c / size) @ np.abs(draws - c)) / n)
        within += s[-1] ** 2
        between += n * d[-1] ** 2 / size
    theta = sum(d)
    se = math.sqrt(within + max(0, between - theta**2) / n)
    if errors is not None:
        s = [max(ours, errors[b]) for ours, b in zip(s, filled, strict=True)]
    tau = max(1.0, math.sqrt(max(0.0, math.log(len(d) / 5.5))))
    kappa = further + 0.16 * max(0.0, math.log(len(d) / 9))
    low = sum(folded(gap + kappa * error, error) for gap, error in zip(d, s, strict=True))
    high = sum(
        folded(gap - tau * error, error) if gap > tau * error else max(folded(0, error), mean)
        for gap, error, mean in zip(d, s, null, strict=True)
    )
    return theta, se, low, high


def unseen(se, n):
    """The standard error that allows for misses not seen: 4 pseudo-rows, fading as the variance outgrows 30 misses."""
    return math.sqrt(se**2 + 4 / (n + 4) ** 2 / (1 + n**2 * se**2 / 30))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("n", "n_bins"), [(2, 15), (40, 5), (300, 15), (300, 60), (4_000, 15)])
def test_the_interval_is_its_formula(n, n_bins, level):
    confidence, correct = over_confident(n, seed=n)
    theta, se, bias_low, bias_high = loop_parts(confidence, correct, n_bins)
    z, se = NORMAL.inv_cdf((1 + level) / 2), unseen(se, n)
    rows = rows_of(confidence, correct, n_bins)
    expected = max(0.0, theta - bias_high - z * se), min(1.0, max(0.0, theta - bias_low + z * se))
    low, high, reason = bracket_interval(rows.table, level=level, chance=REJECTED)
    assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert reason is None
    assert bracket_interval(rows, level=level, chance=REJECTED) == (low, high, None)


def test_the_lower_end_is_zero_where_chance_explains_the_error():
    confidence, correct = over_confident(4_000)
    table = rows_of(confidence, correct).table
    low, high, _ = bracket_interval(table, level=0.95, chance=REJECTED)
    assert low > 0.02
    assert bracket_interval(table, level=0.95, chance=ACCEPTED) == (0.0, high, None)
    # One-sided 2.5 % for a level of 95 %, 0.5 % for 99 %.
    unsure = Chance(mean=0.0, p95=0.0, p_value=0.01)
    assert bracket_interval(table, level=0.95, chance=unsure)[0] == low
    assert bracket_interval(table, level=0.99, chance=unsure)[0] == 0


def test_higher_levels_are_wider():
    table = rows_of(*over_confident(2_000)).table
    ends = [bracket_interval(table, level=level, chance=REJECTED)[:2] for level in (0.5, 0.9, 0.95, 0.99)]
    assert ends == sorted(ends, key=lambda end: end[1] - end[0])
    assert [end[0] for end in ends] == sorted((end[0] for end in ends), reverse=True)


def test_ends_are_ordered_and_within_bounds_for_any_rows():
    rng = np.random.default_rng(5)
    for n in (2, 3, 7, 30, 500):
        for n_bins in (1, 5, 50, 1_000):
            confidence = rng.choice([0.0, 1.0, rng.random(), 0.5], n)
            for correct in (np.ones(n, bool), np.zeros(n, bool), rng.random(n) < 0.5):
                table = rows_of(confidence, correct, n_bins).table
                null = chance(table, rng=np.random.default_rng(0), n_draws=50)
                low, high, _ = bracket_interval(table, level=0.95, chance=null)
                assert 0 <= low <= high <= 1


@pytest.mark.parametrize("n", [20, 50, 300, 5_000])
def test_a_model_that_is_certain_and_right_may_yet_miss(n):
    table = rows_of(np.ones(n), np.ones(n, bool)).table
    null = chance(table, rng=np.random.default_rng(0))
    assert (null.mean, null.p95, null.p_value) == (0.0, 0.0, 1.0)
    low, high, reason = bracket_interval(table, level=0.95, chance=null)
    assert (low, reason) == (0.0, None)
    # The exact bound of a rate of which no case was seen in n rows: 1 - .025^(1/n), 3.7/n.
    exact = stats.binomtest(0, n).proportion_ci(0.95, method="exact").high
    assert high == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
def test_what_was_not_seen_is_within_reach_at_every_level(level):
    # A true rate just beyond the upper end would show no miss in less than 1 - level of the samples.
    table = rows_of(np.ones(200), np.ones(200, bool)).table
    _, high, _ = bracket_interval(table, level=level)
    assert (1 - high) ** 200 < 1 - level


def test_many_misses_leave_nothing_unseen():
    confidence, correct = over_confident(20_000)
    theta, se, _, bias_high = loop_parts(confidence, correct, 15)
    low, _, _ = bracket_interval(rows_of(confidence, correct), level=0.95)
    assert low == pytest.approx(theta - bias_high - NORMAL.inv_cdf(0.975) * se, abs=1e-6)


def test_too_little_data_has_no_interval_but_a_reason():
    one = rows_of(np.array([0.7]), np.array([True]))
    assert bracket_interval(one, level=0.95, chance=REJECTED) == (None, None, "a single row")
    none = rows_of(np.empty(0), np.empty(0, bool))
    assert bracket_interval(none, level=0.95, chance=REJECTED) == (None, None, "no rows")
    four = rows_of(*over_confident(40), groups=np.arange(40) % 4)
    assert "4 groups" in bracket_interval(four, level=0.95, chance=REJECTED)[2]


def test_equal_weights_change_nothing():
    confidence, correct = over_confident(300)
    plain, weighted = rows_of(confidence, correct), rows_of(confidence, correct, weights=np.full(300, 2.5))
    for chance_ in (REJECTED, ACCEPTED):
        expected = bracket_interval(plain, level=0.95, chance=chance_)
        assert bracket_interval(weighted, level=0.95, chance=chance_)[:2] == pytest.approx(expected[:2], rel=1e-9)
    nulls = [chance(rows.table, rng=np.random.default_rng(0)) for rows in (plain, weighted)]
    assert (nulls[0].mean, nulls[0].p95) == pytest.approx((nulls[1].mean, nulls[1].p95))
    assert nulls[0].p_value == nulls[1].p_value


def test_the_interval_of_weighted_rows_is_its_formula():
    confidence, correct = over_confident(500, seed=3)
    w = np.random.default_rng(5).exponential(size=500)
    index, d, s, between = np.ceil(confidence * 15).astype(int) - 1, [], [], []
    for b in sorted(set(index)):
        mine, kept = w[index == b], index == b
        size = mine.sum() ** 2 / (mine**2).sum()
        c, y = np.average(confidence[kept], weights=mine), np.average(correct[kept], weights=mine)
        p = (size * y + 2 * c) / (size + 2)
        d.append(abs(c - y) * mine.sum() / w.sum())
        s.append(math.sqrt((mine**2).sum() * p * (1 - p)) / w.sum())
        between.append(((mine**2).sum() / w.sum() ** 2, abs(c - y)))
    theta = sum(d)
    variance = sum(error**2 for error in s) + sum(share * (gap - theta) ** 2 for share, gap in between)
    kappa = 0.16 * max(0.0, math.log(len(d) / 9))
    bias = sum(folded(gap + kappa * error, error) for gap, error in zip(d, s, strict=True))
    reach = NORMAL.inv_cdf(0.975) * unseen(math.sqrt(variance), w.sum() ** 2 / (w**2).sum())
    _, high, _ = bracket_interval(rows_of(confidence, correct, weights=w), level=0.95)
    assert high == pytest.approx(theta - bias + reach, rel=1e-9)


def test_rows_of_weight_zero_are_absent():
    confidence, correct = over_confident(400)
    weights, groups = np.where(np.arange(400) % 4 == 0, 0.0, 1.5), np.arange(400) % 50
    kept = weights > 0
    for options in ({}, {"groups": groups}):
        some = {name: values[kept] for name, values in options.items()}
        pairs = [
            (rows_of(confidence, correct, weights=weights, **options), rows_of(confidence - 0.1, correct, **options)),
            (
                rows_of(confidence[kept], correct[kept], weights=weights[kept], **some),
                rows_of(confidence[kept] - 0.1, correct[kept], **some),
            ),
        ]
        ends = [bracket_interval(pair[0], level=0.95)[:2] for pair in pairs]
        assert ends[0] == pytest.approx(ends[1])


# Many pairs a row -----------------------------------------------------------------------------------------------------


def class_tables(n, k, seed=0, temperature=1.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, k))
    probs = np.exp(logits / temperature)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = (np.cumsum(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1) < rng.random((n, 1))).sum(1)
    return probs, np.minimum(labels, k - 1)[:, None] == np.arange(k)


def test_the_interval_of_classes_is_its_formula():
    n, k = 800, 3
    probs, hit = class_tables(n, k, temperature=0.5)
    tables = tuple(bin_table(probs[:, c], hit[:, c], Binning(n_bins=10)) for c in range(k))
    d, s, null, between, thetas = [], [], [], [], []
    for c in range(k):
        theta, se, _, _ = loop_parts(probs[:, c], hit[:, c], 10)
        index = np.ceil(probs[:, c] * 10).astype(int) - 1
        errors = []
        for b in sorted(set(index)):
            size, total, hits = (np.sum(x[index == b]) for x in (np.ones(n), probs[:, c], hit[:, c]))
            p = (hits + 2 * total / size) / (size + 2)
            errors.append(math.sqrt(size * p * (1 - p)) / n)
            d.append(abs(total - hits) / n / k)
            draws = np.arange(size + 1)
            null.append(stats.binom.pmf(draws, size, total / size) @ np.abs(draws - total) / n / k)
        s += [error / k for error in errors]
        between.append(se**2 - np.sum(np.square(errors)))
        thetas.append(theta)
    theta, b = np.mean(thetas), len(d)
    reach = NORMAL.inv_cdf(0.975) * unseen(math.sqrt(2 * np.sum(np.square(s)) + np.mean(between)), n)
    tau, kappa = max(1.0, math.sqrt(math.log(b / 5.5))), 0.16 * max(0.0, math.log(b / 9))
    bias_low = sum(folded(gap + kappa * error, error) for gap, error in zip(d, s, strict=True))
    bias_high = sum(
        folded(gap - tau * error, error) if gap > tau * error else max(folded(0, error), size)
        for gap, error, size in zip(d, s, null, strict=True)
    )
    low, high, reason = many_pairs_ends(tables, n, pairs_per_row=1, level=0.95)
    assert (low, high) == pytest.approx((theta - bias_high - reach, theta - bias_low + reach), rel=1e-9)
    assert low > 0
    assert reason is None


@pytest.mark.parametrize("view", ["classwise", "flattened"])
@pytest.mark.parametrize(("k", "temperature"), [(2, 1.0), (2, 0.6), (5, 1.0), (5, 0.6)])
def test_the_interval_of_many_pairs_covers(view, k, temperature):
    # The truth of a sharpened model, from many rows.
    def tables_of(probs, hit):
        if view == "flattened":
            return (bin_table(probs.ravel(), hit.ravel(), Binning(n_bins=10)),)
        return tuple(bin_table(probs[:, c], hit[:, c], Binning(n_bins=10)) for c in range(k))

    probs, hit = class_tables(400_000, k, seed=1, temperature=temperature)
    truth = (
        0.0
        if temperature == 1
        else np.mean([np.nansum(t.weight * abs(t.gap)) / t.weight.sum() for t in tables_of(probs, hit)])
    )
    hits = 0
    for seed in range(100):
        tables = tables_of(*class_tables(600, k, seed=seed + 2, temperature=temperature))
        low, high, _ = many_pairs_ends(tables, 600, pairs_per_row=k // len(tables), level=0.95)
        hits += low <= truth <= high
    assert hits >= 93


@pytest.mark.parametrize("rank", [2, 3, 7])
def test_outcomes_of_a_row_vary_at_most_twice_as_much_as_independent_ones(rank):
    rng = np.random.default_rng(rank)
    for _ in range(300):
        p = rng.dirichlet(np.full(rank, rng.choice([0.1, 1, 5])))
        signs = rng.choice([-1, 1], size=rank)
        assert np.sum(p) - np.sum(signs * p) ** 2 <= 2 * np.sum(p * (1 - p)) + 1e-12
    certain = np.array([0.9, 0.1])
    assert 1 - (certain @ [1, -1]) ** 2 == pytest.approx(2 * np.sum(certain * (1 - certain)))  # the bound is reached


# Chance ---------------------------------------------------------------------------------------------------------------


def test_chance_agrees_with_the_exact_mean_of_a_binomial():
    confidence, correct = over_confident(500)
    table = rows_of(confidence, correct, 10).table
    exact = 0.0
    for count, total in zip(table.count, table.confidence_sum, strict=True):
        draws = np.arange(count + 1)
        exact += stats.binom.pmf(draws, count, total / max(count, 1)) @ np.abs(draws - total) / 500
    null = chance(table, rng=np.random.default_rng(3), n_draws=20_000)
    assert null.mean == pytest.approx(exact, rel=0.01)
    assert null.mean < null.p95


@pytest.mark.parametrize("right", [42, 54])
def test_chance_of_one_bin_is_that_of_a_binomial_test(right):
    confidence, correct = np.full(60, 0.8), np.arange(60) < right
    table = bin_table(confidence, correct, Binning(n_bins=1))
    assert table.confidence_sum[0] != 48  # so that 42 and 54 are as far from it in the eyes of the test alone
    null = chance(table, rng=np.random.default_rng(1), n_draws=50_000)
    exact = stats.binom.cdf(42, 60, 0.8) + stats.binom.sf(53, 60, 0.8)
    assert null.p_value == pytest.approx(exact, abs=0.004)


def test_the_p_value_of_chance_is_never_zero():
    table = rows_of(np.full(200, 0.99), np.zeros(200, bool)).table
    assert chance(table, rng=np.random.default_rng(2)).p_value == 1 / 2001


def test_the_same_seed_gives_the_same_chance():
    table = rows_of(*over_confident(300)).table
    assert chance(table, rng=np.random.default_rng(4)) == chance(table, rng=np.random.default_rng(4))
    assert chance(table, rng=np.random.default_rng(4)) != chance(table, rng=np.random.default_rng(5))


def test_chance_of_nothing_is_nan():
    null = chance(rows_of(np.empty(0), np.empty(0, bool)).table, rng=np.random.default_rng(0))
    assert np.isnan([null.mean, null.p95, null.p_value]).all()


def test_the_test_of_chance_has_its_size():
    rng = np.random.default_rng(17)
    p_values = []
    for _ in range(600):
        confidence = rng.beta(3, 1, 400)
        table = rows_of(confidence, rng.random(400) < confidence).table
        p_values.append(chance(table, rng=rng, n_draws=199).p_value)
    assert 0.025 <= np.mean(np.array(p_values) <= 0.05) <= 0.08
    assert 0.42 <= np.mean(np.array(p_values) <= 0.5) <= 0.58


# Groups ---------------------------------------------------------------------------------------------------------------


def dependent(rng, n_groups=20, size=25):
    """Rows of a calibrated model whose groups share a confidence and their luck."""
    groups = np.repeat(np.arange(n_groups), size)
    confidence = rng.uniform(0.3, 0.7, n_groups)[groups] + rng.uniform(0, 0.05, len(groups))
    luck = rng.choice([-0.25, 0.25], n_groups)[groups]
    return confidence, rng.random(len(groups)) < confidence + luck, groups


def test_dependent_rows_are_jackknifed_by_group():
    confidence, correct, groups = dependent(np.random.default_rng(2))
    groups = np.where(groups < 3, 0, groups)  # one group is larger
    rows = rows_of(confidence, correct, 10, groups=groups)
    gap, index, n, names = rows.gap, rows.index, len(confidence), np.unique(groups)
    full = np.bincount(index, gap, 10) / n
    moved, signed = [], np.sign(full)[index] * gap
    for g in names:
        kept = groups != g
        left = np.bincount(index[kept], gap[kept], 10) / kept.sum()
        moved.append([*(full - left), np.mean(signed) - np.mean(signed[kept])])
    errors = np.sqrt((len(names) - 1) / len(names) * np.sum(np.square(moved), axis=0))
    theta, se, bias_low, bias_high = loop_parts(
        confidence, correct, 10, errors=dict(enumerate(errors[:-1])), further=0.3
    )
    sizes = np.bincount(groups)[names]
    # Satterthwaite's degrees of freedom for rows of a group that are independent, and that are alike.
    apart, alike = (np.sum(v) ** 2 / np.sum(v**2) - 1 for v in (sizes, sizes.astype(float) ** 2))
    t = stats.t.ppf(0.975, math.sqrt(apart * alike))
    assert errors[-1] > 2 * se  # the groups matter
    effective = max(n**2 / np.sum(sizes**2), n * (se / errors[-1]) ** 2)
    changes = np.array(moved)[:, -1]
    tilt = np.sum(changes**3) / np.sum(changes**2) ** 1.5
    assert tilt < -0.2  # moves the lower end
    error = unseen(errors[-1], effective)
    low, high, _ = bracket_interval(rows, level=0.95, chance=REJECTED)
    assert high == pytest.approx(theta - bias_low + t * error, rel=1e-9)
    below = t - tilt * (1 + 2 * t**2) / 6
    assert low == pytest.approx(max(0, theta - bias_high - below * error), abs=1e-9)
    shifted = rows_of(np.clip(confidence + 0.3, 0, 1), correct, 10, groups=groups)
    assert bracket_interval(shifted, level=0.95)[0] > 0
    assert bracket_interval(shifted, level=0.95, chance=ACCEPTED)[0] == 0


def test_groups_with_too_few_misses_have_no_interval():
    groups, confidence = np.repeat(np.arange(40), 10), np.full(400, 0.95)
    for missed, given in ((1, False), (2, True)):
        low, _, reason = bracket_interval(rows_of(confidence, groups >= missed, groups=groups), level=0.95)
        assert (low is not None) is given
    one = rows_of(confidence, groups >= 1, groups=groups)
    reason = bracket_interval(one, level=0.95)[2]
    assert reason.startswith("2.5% rarer outcomes (misses, say) are worth 1.0 of 40.0 effective groups")
    # By rows ten misses are enough.
    assert bracket_interval(one.table, level=0.95)[2] is None


def test_groups_of_one_row_widen_only_by_t():
    confidence, correct = over_confident(2_000)
    by_rows = bracket_interval(rows_of(confidence, correct), level=0.95)
    by_groups = bracket_interval(rows_of(confidence, correct, groups=np.arange(2_000)), level=0.95)
    assert by_groups[0] == pytest.approx(by_rows[0], abs=3e-4)
    # The errors of the bins could be noisy, for all that the formula knows.
    assert by_rows[1] < by_groups[1] < by_rows[1] + 0.004


# Two models -----------------------------------------------------------------------------------------------------------


def two_models(n=1_500, seed=0):
    rng = np.random.default_rng(seed)
    confidence, luck = 0.3 + 0.7 * rng.beta(4, 1, n), rng.random(n)
    other = np.clip(confidence + rng.normal(scale=0.05, size=n), 0.01, 1)
    return rows_of(confidence, luck < confidence - 0.06), rows_of(other, luck < other - 0.02)


def test_the_paired_interval_is_its_formula():
    model, reference = two_models()
    theta, se, low, high = np.transpose(
        [
            loop_parts(rows.gap + correct, correct, 15)
            for rows, correct in ((r, (r.gap <= 0).astype(float)) for r in (model, reference))
        ]
    )
    signed, signs, sure = [], [], []
    for rows in (model, reference):
        d = np.bincount(rows.index, rows.gap, 15)
        count, hits = np.bincount(rows.index, minlength=15), np.bincount(rows.index, rows.gap <= 0, 15)
        said = (d + hits) / np.maximum(count, 1)
        p = (hits + 2 * said) / (count + 2)
        error = np.sqrt(count * p * (1 - p))
        sizes = zip(np.abs(d), error, strict=True)
        omega = np.array([2 * NORMAL.cdf(max(size / s - 1, 0)) - 1 if s else 0 for size, s in sizes])
        signs.append(np.sign(d)[rows.index])
        signed.append(np.sign(d)[rows.index] * rows.gap)
        sure.append(omega[rows.index])
    one, two = (values - values.mean() for values in signed)
    # Rows whose signs agree count as far as both are sure, the others in full.
    agree = signs[0] == signs[1]
    assert np.any(~agree & (sure[0] * sure[1] == 0))
    shared = one * two * np.where(agree, sure[0] * sure[1], 1)
    rho = np.sum(shared) / math.sqrt(np.sum(one**2) * np.sum(two**2))
    middle, half = theta - (low + high) / 2, (high - low) / 2
    m = middle[0] - middle[1]
    error = unseen(math.sqrt(se @ se - 2 * rho * se[0] * se[1]), len(model.gap))
    assert rho > 0
    slack = half[0] + half[1]
    found = paired_bracket(model, reference, level=0.9)
    z = NORMAL.inv_cdf(0.95)
    assert found.value == pytest.approx(theta[0] - theta[1], rel=1e-12)
    assert (found.low, found.high) == pytest.approx((m - slack - z * error, m + slack + z * error), rel=1e-9)
    assert found.p_value == pytest.approx(min(1, 2 * NORMAL.cdf(-max(0, abs(m) - slack) / error)), rel=1e-6)


@pytest.mark.parametrize("shift", [0.01, 0.03, 0.1])
def test_a_model_and_its_recalibration_on_the_same_rows(shift):
    # Their outcomes are one, and the signs of the gaps of the better one are luck.
    rng, hits = np.random.default_rng(4), 0
    for _ in range(200):
        confidence = rng.uniform(0.5, 0.85, 1_000)
        right = rng.random(1_000) < confidence
        found = paired_bracket(rows_of(confidence + shift, right, 5), rows_of(confidence, right, 5), level=0.95)
        hits += found.low <= shift <= found.high
    assert hits / 200 >= 0.92


def test_a_model_against_itself_differs_by_exactly_nothing():
    model, _ = two_models()
    found = paired_bracket(model, model, level=0.95)
    assert (found.value, found.low, found.high, found.p_value, found.reason) == (0.0, 0.0, 0.0, 1.0, None)


@pytest.mark.parametrize("options", [{"groups": np.arange(50) % 3}, {"weights": np.eye(50)[0] + 1e-9}])
def test_identical_rows_differ_by_nothing_whatever_else_they_have(options):
    confidence, correct = over_confident(50)
    one, two = rows_of(confidence, correct, **options), rows_of(confidence.copy(), correct.copy(), **options)
    found = paired_bracket(one, two, level=0.95)
    assert (found.value, found.low, found.high, found.p_value, found.reason) == (0.0, 0.0, 0.0, 1.0, None)
    other = rows_of(confidence - 1e-9, correct, **options)
    assert paired_bracket(one, other, level=0.95).reason is not None


def test_two_models_without_a_miss_may_yet_differ():
    right = np.ones(100, bool)
    found = paired_bracket(rows_of(np.full(100, 0.999), right), rows_of(np.ones(100), right), level=0.95)
    assert found.low < -0.03
    assert found.high > 0.03
    assert found.p_value > 0.5


def test_the_difference_changes_sign_with_the_reference():
    model, reference = two_models()
    one, two = paired_bracket(model, reference, level=0.95), paired_bracket(reference, model, level=0.95)
    assert (one.value, one.low, one.high, one.p_value) == pytest.approx((-two.value, -two.high, -two.low, two.p_value))


def test_the_interval_excludes_zero_exactly_when_the_p_value_is_small():
    for seed in range(60):
        model, reference = two_models(n=400, seed=seed)
        found = paired_bracket(model, reference, level=0.95)
        assert (found.low > 0 or found.high < 0) is (found.p_value < 0.05)


def test_certain_models_that_differ_by_a_constant():
    right = np.ones(20, bool)
    found = paired_bracket(rows_of(np.ones(20), right), rows_of(np.ones(20), ~right), level=0.95)
    assert found.value == -1
    assert found.low <= -0.9
    assert found.p_value < 1e-3


def test_single_rows_and_few_groups_have_no_paired_interval():
    one = [rows_of(np.array([p]), np.array([True])) for p in (0.6, 0.7)]
    assert paired_bracket(*one, level=0.95).reason == "a single row"
    confidence, correct = over_confident(200)
    pair = [rows_of(c, correct, groups=np.arange(200) % 4) for c in (confidence, confidence - 0.1)]
    found = paired_bracket(*pair, level=0.95)
    assert found.reason.startswith("4 groups")
    assert found.low is found.high is found.p_value is None
    assert np.isfinite(found.value)
    # Where one of the models never fails, the groups cannot tell.
    groups, sure = np.arange(200) % 40, np.full(200, 0.99)
    pair = [rows_of(confidence, correct, groups=groups), rows_of(sure, sure > 0, groups=groups)]
    assert "rarer outcomes" in paired_bracket(*pair, level=0.95).reason


def two_grouped_models(seed):
    """80 groups of 10 rows whose luck is shared, and two models of them."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(80), 10)
    confidence, luck = rng.uniform(0.4, 0.95, 80)[groups], rng.random(80)[groups]
    luck = np.where(rng.random(800) < 0.6, luck, rng.random(800))
    other = np.clip(confidence + 0.05, 0, 1)
    return tuple(rows_of(c, luck < confidence, 5, groups=groups) for c in (confidence, other))


def test_the_paired_interval_of_groups_is_wider_and_covers():
    hits = rejected = wider = 0
    for seed in range(100):
        model, reference = two_grouped_models(seed)
        found = paired_bracket(reference, model, level=0.95)
        rows = [rows_of(r.gap + (r.gap < 0), r.gap < 0, 5) for r in (reference, model)]
        by_rows = paired_bracket(*rows, level=0.95)
        hits += found.low <= 0.05 <= found.high
        wider += found.high - found.low > by_rows.high - by_rows.low
        assert (found.low > 0 or found.high < 0) is (found.p_value < 0.05)
        twin = paired_bracket(model, two_grouped_models(seed)[0], level=0.95)
        assert (twin.value, twin.p_value) == (0.0, 1.0)
        rejected += found.p_value < 0.05
    assert hits >= 93
    assert wider == 100


def test_the_paired_interval_of_groups_changes_sign_with_the_reference():
    model, reference = two_grouped_models(4)
    one, two = paired_bracket(model, reference, level=0.95), paired_bracket(reference, model, level=0.95)
    assert (one.value, one.low, one.high, one.p_value) == pytest.approx((-two.value, -two.high, -two.low, two.p_value))


def test_equal_weights_change_no_difference():
    model, reference = two_models()
    weighted = [
        rows_of(rows.gap + (rows.gap <= 0), rows.gap <= 0, weights=np.full(len(rows.gap), 0.7))
        for rows in (model, reference)
    ]
    plain, found = paired_bracket(model, reference, level=0.95), paired_bracket(*weighted, level=0.95)
    assert (found.low, found.high, found.p_value) == pytest.approx((plain.low, plain.high, plain.p_value), rel=1e-9)


# Published files ------------------------------------------------------------------------------------------------------


def network(name, temperature=1.0):
    data = np.load(real_data(f"multiclass/cifar10_resnet50_{name}.npz"))
    logits = data["logits"].astype(float) / temperature
    probs = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    return rows_of(probs.max(axis=1), probs.argmax(axis=1) == data["labels"])


def test_two_networks_as_saved():
    expected = {"ce": (0.0389, 0.0474), "flsd53": (0.0103, 0.0187)}
    rows = {name: network(name) for name in expected}
    for name, ends in expected.items():
        null = chance(rows[name].table, rng=np.random.default_rng(0))
        assert null.p_value < 0.001
        assert bracket_interval(rows[name], level=0.95, chance=null)[:2] == pytest.approx(ends, abs=6e-5)
    found = paired_bracket(rows["ce"], rows["flsd53"], level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.0280, 0.0238, 0.0335), abs=6e-5)
    assert found.p_value < 1e-9


def test_two_networks_after_temperature_scaling():
    found = paired_bracket(network("ce", 2.49752), network("flsd53", 1.06262), level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.0040, -0.0017, 0.0110), abs=6e-5)
    assert found.p_value > 0.05


def test_election_forecasts_by_rows_and_by_groups():
    data = np.load(real_data("binary/538_governors_elections.npz"))
    forecast, outcome = data["prob"], data["outcome"] == 1
    rows = rows_of(forecast, outcome, groups=data["group"])
    null = chance(rows.table, rng=np.random.default_rng(0))
    assert bracket_interval(rows.table, level=0.95, chance=null)[:2] == pytest.approx((0.0312, 0.0371), abs=6e-5)
    assert bracket_interval(rows, level=0.95)[:2] == pytest.approx((0.0110, 0.0471), abs=6e-5)
