"""Tests of calibration: plain loops over rows, the series of the limit distributions in mpmath, and simulated size."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy.stats import chi2, norm

import calibkit as ck
from calibkit.errors import LabelError, OptionError, ShapeError
from calibkit.goodness_of_fit import hosmer_lemeshow
from calibkit.goodness_of_fit.cumulative import cumulative_calibration_error, maximum_tail, range_tail
from calibkit.pairs import read_pairs

TESTS = tuple(test.function for test in ck.TESTS.values())
NAMES = tuple(ck.TESTS)
every_test = pytest.mark.parametrize("test", TESTS, ids=NAMES)


def sample(n, seed, *, power=1.0, decimals=None):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    p = p if decimals is None else np.round(p, decimals)
    return (rng.random(n) < p**power).astype(int), p, rng.gamma(2.0, size=n)


def by_loop(labels, p, weights):
    """Cumulative differences at the last of tied rows, and sigma, row by row."""
    rows = sorted(zip(p, labels, weights, strict=True))
    total = math.fsum(weights)
    path, c = [0.0], 0.0
    for i, (forecast, outcome, w) in enumerate(rows):
        c += w * (outcome - forecast) / total
        if i + 1 == len(rows) or rows[i + 1][0] > forecast:
            path.append(c)
    sigma = math.sqrt(math.fsum((w / total) ** 2 * q * (1 - q) for q, _, w in rows))
    return max(path) - min(path), max(map(abs, path)), sigma


def range_series(x):
    """Feller 1951: 8 sum (-1)^(k-1) k Phi(-k x)."""
    return 8 * mp.fsum((-1) ** (k - 1) * k * mp.ncdf(-k * mp.mpf(x)) for k in range(1, int(60 / x) + 2))


def maximum_series(x):
    """The other series of the same law: 1 - 4/pi sum (-1)^k / (2k + 1) exp(-(2k + 1)^2 pi^2 / (8 x^2))."""
    terms = (
        (-1) ** k / mp.mpf(2 * k + 1) * mp.exp(-((2 * k + 1) ** 2) * mp.pi**2 / (8 * mp.mpf(x) ** 2))
        for k in range(200)
    )
    return 1 - 4 / mp.pi * mp.fsum(terms)


@pytest.mark.parametrize("x", [0.1, 0.13, 0.2, 0.35, 0.5, 0.8, 1.0, 1.7, 2.2414, 2.4977, 4.0, 8.0, 12.9])
def test_tails_are_those_of_the_series(x):
    with mp.workdps(60):
        assert range_tail(x) == pytest.approx(float(range_series(x)), rel=1e-12)
        assert maximum_tail(x) == pytest.approx(float(maximum_series(x)), rel=1e-12)


def test_five_per_cent_points_and_the_ends():
    assert range_tail(2.50) == pytest.approx(0.05, abs=5e-4)
    assert maximum_tail(2.24) == pytest.approx(0.05, abs=5e-4)
    for tail in (range_tail, maximum_tail):
        assert tail(0.0) == 1
        assert tail(math.inf) == 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [None, 2, 1])
def test_cumulative_differences_are_those_of_a_loop(decimals, weighted):
    labels, p, weights = sample(300, 1, power=1.3, decimals=decimals)
    spread, largest, sigma = by_loop(labels, p, weights if weighted else np.ones(300))
    given = {"weights": weights} if weighted else {}
    for statistic, value, tail in (("ecce_r", spread, range_series), ("ecce_mad", largest, maximum_series)):
        result = ck.cumulative_difference_test(labels, p, statistic=statistic, **given)
        assert result.statistic == pytest.approx(value, rel=1e-12)
        assert result.statistic_over_sigma == pytest.approx(value / sigma, rel=1e-12)
        assert result.p_value == pytest.approx(float(tail(value / sigma)), rel=1e-9)
        assert cumulative_calibration_error(labels, p, statistic=statistic, **given) == result.statistic


@pytest.mark.parametrize("weighted", [False, True])
def test_spiegelhalter_is_his_formula(weighted):
    labels, p, weights = sample(400, 2, power=1.2)
    w = weights if weighted else np.ones(400)
    z = np.sum(w * (labels - p) * (1 - 2 * p)) / np.sqrt(np.sum(w**2 * (1 - 2 * p) ** 2 * p * (1 - p)))
    result = ck.spiegelhalter_test(labels, p, weights=weights if weighted else None)
    assert result.statistic_over_sigma == pytest.approx(z, rel=1e-11)
    assert result.p_value == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)
    excess = np.average((p - labels) ** 2 - p * (1 - p), weights=w)
    assert result.statistic == pytest.approx(excess, rel=1e-10)


def test_hosmer_lemeshow_is_its_formula_over_tenths_of_the_rows():
    labels, p, _ = sample(200, 3)
    order = np.argsort(p)
    value = 0.0
    for rows in np.split(order, 10):
        expected, seen = p[rows].sum(), labels[rows].sum()
        value += (seen - expected) ** 2 / (expected * (1 - expected / 20))
    result = ck.hosmer_lemeshow_test(labels, p, min_expected=0)
    assert result.statistic == pytest.approx(value, rel=1e-11)
    assert result.degrees_of_freedom == 10  # not 8: nothing was fitted on these rows
    assert result.p_value == pytest.approx(chi2.sf(value, 10), rel=1e-11)
    assert result.statistic_over_sigma is None


def test_hosmer_lemeshow_keeps_tied_rows_together_and_counts_what_is_left():
    labels, p, _ = sample(500, 4)
    p = np.ceil(p * 3) / 4
    result = ck.hosmer_lemeshow_test(labels, p)
    assert result.degrees_of_freedom == 3
    groups = [(labels[p == q].sum(), (p == q).sum(), q) for q in (0.25, 0.5, 0.75)]
    assert result.statistic == pytest.approx(sum((y - m * q) ** 2 / (m * q * (1 - q)) for y, m, q in groups))


def test_hosmer_lemeshow_merges_groups_that_expect_too_little():
    """Tenths of 20 rows; the last three expect .4, .4 and 1 misses, the fourth last 4: they are read together."""
    p = np.repeat([0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95, 0.98, 0.98], 20) + np.arange(200) * 1e-6
    labels = np.random.default_rng(0).random(200) < p
    pairs = read_pairs(labels.astype(int), p)
    tenths = [
        (np.sum(y - q), 20 * np.mean(q) * (1 - np.mean(q)))
        for y, q in zip(np.split(labels, 10), np.split(p, 10), strict=True)
    ]
    # .1 expects 2 events: with .3 it has 8. The misses of .8 and above are 4 + 1 + .4 + .4.
    merged = [tenths[:2], *([tenth] for tenth in tenths[2:6]), tenths[6:]]
    value = sum(sum(d for d, _ in group) ** 2 / sum(v for _, v in group) for group in merged)
    result = hosmer_lemeshow(pairs)
    assert result.degrees_of_freedom == len(merged)
    assert result.statistic == pytest.approx(value, rel=1e-11)
    assert result.p_value == pytest.approx(chi2.sf(value, len(merged)), rel=1e-11)
    doubled = ck.hosmer_lemeshow_test(labels.astype(int), p, weights=np.full(200, 3.0))
    assert doubled.degrees_of_freedom == result.degrees_of_freedom  # equal weights are no more rows
    assert ck.hosmer_lemeshow_test(labels.astype(int), p, min_expected=50).degrees_of_freedom == 1


@pytest.mark.parametrize("test", TESTS, ids=NAMES)
def test_a_confident_network_is_not_rejected_for_its_few_misses(test):
    """Without merging, Hosmer-Lemeshow rejects 9 % of calibrated models with such forecasts."""
    rng = np.random.default_rng(3)
    rejected = 0
    for _ in range(500):
        p = 0.1 + 0.9 * np.where(rng.random(400) < 0.75, rng.beta(20, 0.6, 400), rng.beta(2, 1.5, 400))
        rejected += test((rng.random(400) < p).astype(int), p).p_value < 0.05
    assert 0.01 < rejected / 500 < 0.08  # three standard errors are 2.9 points


@pytest.mark.parametrize(("seed", "n"), [(0, 400), (1, 2000)])
def test_calibrated_models_are_rejected_as_often_as_said(seed, n):
    """Type I error at 5 %: four standard errors of 300 repetitions are 5 points; benchmarks/size.py tells more."""
    rng = np.random.default_rng(seed)
    rejected = np.zeros(len(TESTS))
    for _ in range(300):
        p = rng.beta(2.0, 1.0, n)
        labels = (rng.random(n) < p).astype(int)
        rejected += [test(labels, p).p_value < 0.05 for test in TESTS]
    rate = dict(zip(NAMES, rejected / 300, strict=True))
    assert all(0.01 < rate[name] < 0.1 for name in NAMES), rate


@pytest.mark.parametrize(("tail", "of"), [(range_tail, np.ptp), (maximum_tail, lambda w, axis: np.abs(w).max(axis))])
def test_tails_are_those_of_brownian_motion_by_brute_force(tail, of):
    rng, reached = np.random.default_rng(5), []
    for _ in range(20):
        walk = np.cumsum(rng.standard_normal((400, 2000)) / np.sqrt(2000), axis=1)
        reached += list(of(np.column_stack([np.zeros(400), walk]), axis=1))
    for x in (1.4, 2.0, 2.5):
        share = np.mean(np.array(reached) + 0.026 * (1 if tail is range_tail else 0.5) > x)  # 2 * .5826 / sqrt(2000)
        assert share == pytest.approx(tail(x), abs=4 * np.sqrt(tail(x) * (1 - tail(x)) / 8000))


def test_what_spiegelhalter_does_not_see():
    """Peers print it alone: p = .87 on data that ECCE rejects at 12.9 sigma (p uniform, true with probability p^2)."""
    sigmas, missed = [], 0
    for seed in range(40):
        labels, p, _ = sample(1000, seed, power=2.0)
        missed += ck.spiegelhalter_test(labels, p).p_value > 0.05
        sigmas.append(ck.cumulative_difference_test(labels, p).statistic_over_sigma)
        assert ck.cumulative_difference_test(labels, p, statistic="ecce_mad").p_value < 1e-20
        assert ck.hosmer_lemeshow_test(labels, p).p_value < 1e-20
    assert missed > 30  # its z has mean 0 there
    assert np.mean(sigmas) == pytest.approx(12.9, abs=0.5)


def test_spiegelhalter_is_never_shown_alone():
    labels, p, _ = sample(300, 6)
    text = str(ck.evaluate(ck.Predictions.from_probs(labels, p), metrics="all"))
    assert text.index("ECCE-R") < text.index("ECCE-MAD") < text.index("Spiegelhalter")
    assert "Spiegelhalter" not in str(ck.evaluate(ck.Predictions.from_probs(labels, p)))


def test_spiegelhalter_is_two_sided():
    """Timid forecasts are rejected as extreme ones are. MAPIE tests the upper side: .775 where .449 is right."""
    labels, p, _ = sample(2000, 6)
    odds = p / (1 - p)
    timid, extreme = (odds**power / (1 + odds**power) for power in (0.5, 2.0))
    low, high = (ck.spiegelhalter_test(labels, q) for q in (timid, extreme))
    assert low.statistic_over_sigma < -4
    assert high.statistic_over_sigma > 4
    assert max(low.p_value, high.p_value) < 1e-4
    assert norm.sf(low.statistic_over_sigma) > 0.99  # what the upper side alone would say
    assert 2 * norm.cdf(norm.isf(0.775)) == pytest.approx(0.449, abs=2e-3)


def test_the_path_starts_at_0():
    """MAPIE leaves C_0 = 0 out of the range: of one value of the forecast it would find no error at all."""
    result = ck.cumulative_difference_test([1, 1, 1, 0], [0.25] * 4)
    assert result.statistic == pytest.approx(0.5)
    assert ck.cumulative_difference_test([1] * 3, [0.2, 0.4, 0.6]).statistic == pytest.approx((0.8 + 0.6 + 0.4) / 3)


def test_ties_need_no_jitter():
    """MAPIE moves tied forecasts apart at random, MCGrad takes them as the file has them: the path depends on it."""
    labels = np.array([0] * 10 + [1] * 10)
    for order in (labels, labels[::-1]):
        assert ck.cumulative_difference_test(order, np.full(20, 0.5)).statistic == 0


@every_test
def test_row_order_is_irrelevant(test):
    labels, p, weights = sample(300, 7, decimals=2)
    order = np.random.default_rng(0).permutation(300)
    one, other = test(labels, p, weights=weights), test(labels[order], p[order], weights=weights[order])
    assert one.statistic == pytest.approx(other.statistic, rel=1e-11)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-9)


@every_test
def test_the_scale_of_weights_is_irrelevant_and_they_add_no_rows(test):
    labels, p, weights = sample(300, 8, power=1.1)
    assert test(labels, p, weights=7 * weights).p_value == pytest.approx(test(labels, p, weights=weights).p_value)
    assert test(labels, p, weights=np.full(300, 5)).p_value == pytest.approx(test(labels, p).p_value)
    repeated = test(np.repeat(labels, 5), np.repeat(p, 5))  # as rows of their own they count five times
    assert repeated.p_value < test(labels, p).p_value


@pytest.mark.parametrize("statistic", ["ecce_r", "ecce_mad"])
def test_whole_weights_repeat_in_the_error(statistic):
    labels, p, _ = sample(200, 9, power=1.3)
    times = np.random.default_rng(1).integers(0, 4, 200)
    repeated = cumulative_calibration_error(np.repeat(labels, times), np.repeat(p, times), statistic=statistic)
    assert cumulative_calibration_error(labels, p, statistic=statistic, weights=times) == pytest.approx(repeated)


def test_views():
    labels, p, _ = sample(300, 10, power=1.4)
    two = np.stack([1 - p, p], axis=1)
    confidence, correct = two.max(axis=1), (two.argmax(axis=1) == labels).astype(int)
    for test in TESTS:
        assert test(labels, two).statistic == pytest.approx(test(correct, confidence).statistic, rel=1e-9)
        assert test(labels, p, view="top-label").statistic == pytest.approx(test(labels, two).statistic, rel=1e-9)
        assert test(labels, two, view="positive").statistic == pytest.approx(test(labels, p).statistic, rel=1e-9)
        with pytest.raises(OptionError, match="view='classwise'"):
            test(labels, two, view="classwise")
    with pytest.raises(ShapeError, match="one event"):
        ck.spiegelhalter_test([0, 2], [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], view="positive")


@every_test
def test_without_chance_forecasts_come_true_or_not(test):
    labels = np.array([0, 1, 1, 0])
    true = test(labels, labels.astype(float))
    assert (true.statistic, true.p_value) == (0, 1)
    wrong = test(labels, np.array([0.0, 1.0, 1.0, 1.0]))
    assert wrong.p_value == 0
    assert wrong.statistic > 0


@every_test
def test_without_rows_nothing_is_said(test):
    result = test(np.empty(0, int), np.empty(0))
    assert math.isnan(result.statistic)
    assert math.isnan(result.p_value)


@every_test
def test_a_single_row_and_bad_input(test):
    assert 0 < test([1], [0.8]).p_value <= 1
    with pytest.raises(LabelError):
        test([0, 3], [0.2, 0.3])


def test_bad_options_are_refused():
    with pytest.raises(OptionError, match="statistic='ks'"):
        ck.cumulative_difference_test([0, 1], [0.2, 0.3], statistic="ks")
    with pytest.raises(OptionError, match="n_bins=0"):
        ck.hosmer_lemeshow_test([0, 1], [0.2, 0.3], n_bins=0)


def test_a_lone_spiegelhalter_says_what_to_read_beside_it():
    rng = np.random.default_rng(0)
    p = rng.random(1000)
    labels = (rng.random(1000) < p**2).astype(int)
    text = str(ck.spiegelhalter_test(labels, p))
    assert text.endswith("errors that cancel in the Brier score are not seen: read it beside ECCE")
    assert "p = 0.7" in text
    assert "(chi-square, 10 df), p = " in str(ck.hosmer_lemeshow_test(labels, p))
