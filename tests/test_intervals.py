"""Intervals of means, fractions and paired differences: against SciPy, leave-one-out loops, and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from calibkit._numerics import effective_size, group_codes
from calibkit.intervals import (
    holm,
    mean_interval,
    normal_quantile,
    paired_t,
    t_quantile,
    tilt_that_counts,
)
from calibkit.units import units_of
from tests.real_data import real_data

VALUES = np.array([0.31, 2.7, 0.013, 1.9, 0.77, 0.42, 1.13])
WEIGHTS = np.array([2.0, 0.5, 3.0, 1.0, 0.25, 1.5, 0.9])
# As good as symmetric: of such scores the interval is Student's.
EVEN = np.array([0.31, 2.7, 0.013, 1.9, 0.77, 0.42, 2.24, 1.13, 2.5, 1.62])
GROUPS = np.array(["e", "a", "b", "a", "c", "d", "e"])


def jackknife(values, weights, units):
    """Standard error of a weighted mean by leaving out one unit at a time."""
    mean = np.average(values, weights=weights)
    names = np.unique(units)
    left = [np.average(values[units != u], weights=weights[units != u]) for u in names]
    return np.sqrt((len(names) - 1) / len(names) * sum((mean - one) ** 2 for one in left))


# Means ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_independent_rows_have_the_t_interval(level):
    found = mean_interval(EVEN, level=level)
    expected = stats.ttest_1samp(EVEN, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert found.se == pytest.approx(stats.sem(EVEN), rel=1e-13)
    assert (found.value, found.dof, found.reason, found.note) == (pytest.approx(EVEN.mean()), 9, None, None)
    assert (found.tilt, found.skewed) == (0.0, None)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_end_on_the_side_of_the_tail_moves_out(level, sign):
    scores = sign * np.exp(np.linspace(-2, 3, 40))
    skewness = stats.skew(scores)
    mean = skewness / np.sqrt(40)  # of the mean
    assert abs(mean) > 0.2
    found, t = mean_interval(scores, level=level), stats.t.ppf((1 + level) / 2, 39)
    moved = abs(mean) * (1 + 2 * t**2) / 6
    below, above = (t, t + moved) if sign > 0 else (t + moved, t)
    assert found.low == pytest.approx(found.value - below * found.se, rel=1e-9)
    assert found.high == pytest.approx(found.value + above * found.se, rel=1e-9)
    assert (
        found.skewed
        == f"skewed scores ask for {25 * skewness**2:,.0f} rows (25 times squared skewness) and there are 40"
    )


def test_skewness_that_rows_outweigh_moves_nothing():
    # None below .1, all from .2 on, and no jump between.
    moved = [tilt_that_counts(tilt) for tilt in (0.0, 0.05, 0.1, 0.15, 0.2, 0.4, -0.15, -0.3, np.nan)]
    assert moved == pytest.approx([0, 0, 0, 0.1, 0.2, 0.4, -0.1, -0.3, 0])


def test_a_skewed_difference_excludes_zero_exactly_when_its_p_value_is_small():
    rng = np.random.default_rng(12)
    decided = []
    for _ in range(200):
        difference = rng.choice([-1, 1]) * (rng.exponential(size=25) - 0.62)
        found = paired_t(difference, np.zeros(25), level=0.95)
        decided.append(found.p_value < 0.05)
        assert (found.low > 0 or found.high < 0) is decided[-1]
    assert 20 < sum(decided) < 180


@pytest.mark.parametrize("units", [{}, {"weights": WEIGHTS}, {"groups": GROUPS}])
def test_the_skewness_of_a_mean_is_that_of_leaving_units_out(units):
    weights, groups = units.get("weights", np.ones(7)), units.get("groups", np.arange(7))
    mean = np.average(VALUES, weights=weights)
    left = [np.average(VALUES[groups != g], weights=weights[groups != g]) for g in np.unique(groups)]
    change = mean - np.array(left)
    spread = units_of(7, **units).spread(VALUES, mean)
    assert spread.tilt == pytest.approx(np.sum(change**3) / np.sum(change**2) ** 1.5, rel=1e-9)
    assert spread.se == pytest.approx(jackknife(VALUES, weights, groups), rel=1e-9)


def test_many_rows_are_summed_in_steps():
    values = np.random.default_rng(3).exponential(size=70_001)
    spread = units_of(len(values)).spread(values, values.mean())
    assert spread.se == pytest.approx(stats.sem(values), rel=1e-10)
    assert spread.tilt == pytest.approx(stats.skew(values) / np.sqrt(len(values)), rel=1e-9)


def test_a_skewed_mean_covers_better_than_student():
    rng, hits = np.random.default_rng(9), np.zeros(2)
    for _ in range(1_000):
        scores = rng.exponential(size=60) ** 2  # mean 2, skewness 6.6
        found = mean_interval(scores, level=0.95)
        student = stats.t.interval(0.95, 59, scores.mean(), stats.sem(scores))
        hits += found.low <= 2 <= found.high, student[0] <= 2 <= student[1]
    assert hits[1] / 1_000 < 0.89 < 0.91 < hits[0] / 1_000


def test_weighted_rows_are_jackknifed_with_effective_degrees_of_freedom():
    found = mean_interval(VALUES, level=0.95, weights=WEIGHTS)
    assert found.value == pytest.approx(np.average(VALUES, weights=WEIGHTS))
    assert found.se == pytest.approx(jackknife(VALUES, WEIGHTS, np.arange(7)), rel=1e-12)
    assert found.dof == pytest.approx(effective_size(WEIGHTS, 7) - 1)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, found.dof) * found.se, rel=1e-12)


def test_equal_weights_change_nothing():
    plain, weighted = mean_interval(VALUES, level=0.95), mean_interval(VALUES, level=0.95, weights=np.full(7, 0.2))
    for name in ("value", "se", "low", "high", "dof"):
        assert getattr(weighted, name) == pytest.approx(getattr(plain, name), rel=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_groups_are_left_out_one_at_a_time(weights):
    found = mean_interval(VALUES, level=0.9, weights=weights, groups=GROUPS)
    row_weights = np.ones(7) if weights is None else weights
    sizes = np.bincount(group_codes(GROUPS)[0], row_weights)
    assert found.se == pytest.approx(jackknife(VALUES, row_weights, GROUPS), rel=1e-12)
    # Satterthwaite's degrees of freedom for rows of a group that are independent, and that are alike.
    apart, alike = (np.sum(v) ** 2 / np.sum(v**2) - 1 for v in (sizes, sizes**2))
    assert found.dof == pytest.approx(np.sqrt(apart * alike))
    assert found.low == pytest.approx(found.value - stats.t.ppf(0.95, found.dof) * found.se)
    assert found.note == "few groups: 4.5 effective groups" if weights is None else "few groups" in found.note


def test_groups_of_one_row_are_rows():
    rows, groups = mean_interval(VALUES, level=0.95), mean_interval(VALUES, level=0.95, groups=np.arange(7) * 3)
    assert (groups.low, groups.high, groups.dof) == pytest.approx((rows.low, rows.high, rows.dof), rel=1e-12)


def test_rows_of_weight_zero_are_absent():
    weights, groups = np.array([1, 0, 1, 1, 1, 1, 0.0]), np.array([0, 9, 1, 2, 3, 4, 9])
    found = mean_interval(VALUES, level=0.95, weights=weights, groups=groups)
    kept = mean_interval(VALUES[weights > 0], level=0.95, groups=groups[weights > 0])
    assert (found.low, found.high) == pytest.approx((kept.low, kept.high))


def test_too_little_data_gives_the_mean_and_a_reason():
    assert mean_interval(np.array([0.4]), level=0.95).reason == "a single row"
    assert mean_interval(np.array([0.4]), level=0.95).value == 0.4
    empty = mean_interval(np.empty(0), level=0.95)
    assert np.isnan(empty.value)
    assert empty.reason == "no rows"
    four = mean_interval(VALUES, level=0.95, groups=np.array([0, 1, 2, 3, 0, 1, 2]))
    assert "4 groups" in four.reason
    assert four.low is four.high is None


def test_one_row_or_group_that_outweighs_all_others_leaves_no_interval():
    heavy = mean_interval(VALUES, level=0.95, weights=np.array([1, 0.1, 0.1, 1e-9, 0, 0, 0]))
    assert heavy.reason == "one row has most of the weight (n_eff = 1.4)"
    assert heavy.low is None
    groups = np.concatenate([np.zeros(500, int), np.arange(1, 6)])
    dominated = mean_interval(np.linspace(0, 1, 505), level=0.95, groups=groups)
    assert dominated.reason == "one group holds most rows (G_eff = 1.0)"
    assert mean_interval(VALUES[:2], level=0.95, weights=np.array([0.1, 0.1])).reason is None


def test_an_infinite_score_has_no_interval_and_is_counted():
    found = mean_interval(np.array([0.3, np.inf, 0.2, np.inf]), level=0.95)
    assert found.value == np.inf
    assert found.low is found.high is None
    assert found.reason == "2 of 4 rows have an infinite score"


def test_scores_whose_squares_overflow_have_no_interval():
    found = mean_interval(np.array([1e200, 2e200, 4e200]), level=0.95)
    assert found.value == pytest.approx(7e200 / 3)
    assert "range of floats" in found.reason


def test_an_interval_is_cut_to_the_bounds_of_its_scores():
    wide = mean_interval(np.array([0.1, 0.9]), level=0.95)
    assert wide.low < 0
    assert wide.high > 1
    cut = mean_interval(np.array([0.1, 0.9]), level=0.95, bounds=(0.0, 1.0))
    assert (cut.low, cut.high, cut.se, cut.value) == (0.0, 1.0, wide.se, wide.value)
    inside = mean_interval(EVEN, level=0.5, bounds=(0.0, 10.0))
    assert (inside.low, inside.high) == pytest.approx(tuple(stats.ttest_1samp(EVEN, 0).confidence_interval(0.5)))


def test_a_gap_without_a_miss_is_not_known_exactly():
    gap = np.full(20, -0.001)  # confidence .999, all correct
    assert mean_interval(gap, level=0.95).high < 0
    found = mean_interval(gap, level=0.95, binary=True)
    assert found.se == pytest.approx(2 / 24)
    assert found.low < 0 < found.high
    # A true accuracy of .97 shows no miss in half of such samples.
    assert found.high > 0.999 - 0.97


def test_many_outcomes_leave_nothing_unseen():
    gap = 0.8 - (np.random.default_rng(0).random(50_000) < 0.7)
    plain, binary = (mean_interval(gap, level=0.95, binary=binary) for binary in (False, True))
    assert (binary.low, binary.high) == pytest.approx((plain.low, plain.high), abs=1e-7)


def test_equal_scores_have_an_interval_of_no_width():
    found = mean_interval(np.full(9, 0.25), level=0.95)
    assert (found.low, found.high, found.se) == (0.25, 0.25, 0.0)


def test_ten_effective_groups_need_no_note():
    values = np.random.default_rng(0).random(50)
    assert mean_interval(values, level=0.95, groups=np.arange(50) % 10).note is None
    assert "few groups" in mean_interval(values, level=0.95, groups=np.arange(50) % 9).note


def test_repeated_election_forecasts_are_not_independent():
    data = np.load(real_data("binary/538_governors_elections.npz"))
    brier = (data["prob"] - data["outcome"]) ** 2
    by_rows, by_groups = mean_interval(brier, level=0.95), mean_interval(brier, level=0.95, groups=data["group"])
    assert by_rows.value == pytest.approx(0.0395413, abs=5e-8)
    assert by_rows.se == pytest.approx(0.0007, abs=5e-5)
    assert by_groups.se == pytest.approx(0.0059, abs=5e-5)
    sizes = np.unique(data["group"], return_counts=True)[1].astype(float)
    assert np.sum(sizes) ** 2 / np.sum(sizes**2) == pytest.approx(180.46, abs=0.01)
    assert by_groups.dof == pytest.approx(147.54, abs=0.01)
    assert len(np.unique(data["group"])) == 253
    assert (by_groups.se / by_rows.se) ** 2 == pytest.approx(65, abs=0.5)


def coverage(intervals, truth):
    """Share of the intervals given that hold the truth."""
    return np.mean([found.low <= truth <= found.high for found in intervals if found.reason is None])


@pytest.mark.parametrize("pareto", [False, True])
def test_the_interval_of_dependent_rows_covers_where_the_naive_one_does_not(pareto):
    rng = np.random.default_rng(12)
    grouped, naive = [], []
    for _ in range(400):
        sizes = np.maximum(1, 10 * (1 + rng.pareto(2.0, 30))).astype(int) if pareto else np.full(30, 20)
        groups = np.repeat(np.arange(30), sizes)
        values = rng.normal(size=30)[groups] + 0.5 * rng.normal(size=len(groups))
        grouped.append(mean_interval(values, level=0.95, groups=groups))
        naive.append(mean_interval(values, level=0.95))
    assert 0.92 <= coverage(grouped, 0.0) <= 0.99
    assert coverage(naive, 0.0) < 0.55


def test_the_interval_of_weighted_rows_covers():
    # Weights that depend on the value: the mean they estimate is that of the tilted distribution, 1/2.
    rng = np.random.default_rng(14)
    intervals = []
    for _ in range(600):
        values = rng.exponential(size=200)
        intervals.append(mean_interval(values, level=0.95, weights=np.exp(-values)))
    assert 0.92 <= coverage(intervals, 0.5) <= 0.98


# Paired differences ---------------------------------------------------------------------------------------------------


def test_paired_rows_have_the_paired_t_test():
    other = EVEN + np.array([0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.25, -0.1, 0.0, 0.15])
    found, expected = paired_t(EVEN, other, level=0.95), stats.ttest_rel(EVEN, other)
    assert found.value == pytest.approx(np.mean(EVEN - other))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize(("weights", "groups"), [(None, None), (WEIGHTS, None), (None, GROUPS), (WEIGHTS, GROUPS)])
def test_a_difference_changes_sign_with_the_reference(weights, groups):
    other = np.array([0.5, 1.9, 0.2, 1.7, 0.9, 0.1, 1.0])
    one = paired_t(VALUES, other, level=0.9, weights=weights, groups=groups)
    two = paired_t(other, VALUES, level=0.9, weights=weights, groups=groups)
    assert (one.value, one.low, one.high, one.p_value) == pytest.approx((-two.value, -two.high, -two.low, two.p_value))


def test_a_score_against_itself_differs_by_exactly_zero():
    scores = np.array([0.3, np.inf, 0.7, 1e-300, np.inf])
    found = paired_t(scores, scores, level=0.95)
    assert (found.value, found.low, found.high, found.p_value, found.reason) == (0.0, 0.0, 0.0, 1.0, None)


def test_a_constant_difference_is_certain():
    found = paired_t(np.array([0.75, 1.5, 2.0]), np.array([0.5, 1.25, 1.75]), level=0.95)
    assert (found.value, found.low, found.high, found.p_value) == (0.25, 0.25, 0.25, 0.0)


def test_an_infinity_on_one_side_is_an_infinite_difference_without_an_interval():
    model, reference = np.array([0.3, np.inf, 0.7, np.inf]), np.array([0.2, 0.4, 0.6, np.inf])
    found = paired_t(model, reference, level=0.95)
    assert found.value == np.inf
    assert found.low is found.high is found.p_value is None
    assert found.reason == "1 of 4 rows have an infinite score"
    assert paired_t(reference, model, level=0.95).value == -np.inf


def test_infinities_of_both_sides_leave_no_difference():
    found = paired_t(np.array([np.inf, 0.2, 0.1]), np.array([0.3, np.inf, 0.1]), level=0.95)
    assert np.isnan(found.value)
    assert found.reason == "2 of 3 rows have an infinite score"


def test_a_row_that_carries_much_of_the_variance_is_named():
    rng = np.random.default_rng(3)
    model, reference = rng.normal(size=400), np.zeros(400)
    assert paired_t(model, reference, level=0.95).note is None
    model[123] = 30.0
    note = paired_t(model, reference, level=0.95).note
    assert note.startswith("skewed scores ask for 3,2")
    assert "; row 123 carries 6" in note
    light = np.ones(400)
    light[123] = 1e-3
    assert paired_t(model, reference, level=0.95, weights=light).note is None


def test_too_few_rows_or_groups_leave_the_difference():
    found = paired_t(np.array([0.4]), np.array([0.1]), level=0.95)
    assert found.value == pytest.approx(0.3)
    assert found.reason == "a single row"
    few = paired_t(VALUES, VALUES[::-1], level=0.95, groups=np.array([0, 1, 2, 0, 1, 2, 0]))
    assert "3 groups" in few.reason


@pytest.mark.parametrize(("level", "low", "high"), [(0.95, 0.93, 0.97), (0.8, 0.76, 0.84)])
def test_the_paired_interval_covers(level, low, high):
    rng = np.random.default_rng(21)
    intervals = []
    for _ in range(800):
        shared = rng.exponential(size=150)
        intervals.append(paired_t(shared + rng.exponential(0.5, 150), shared + rng.exponential(0.3, 150), level=level))
    assert low <= coverage(intervals, 0.2) <= high


def test_the_log_score_difference_of_two_networks_after_temperature_scaling():
    scores = []
    for name, temperature in (("ce", 2.49752), ("flsd53", 1.06262)):
        data = np.load(real_data(f"multiclass/cifar10_resnet50_{name}.npz"))
        logits = data["logits"].astype(float) / temperature
        log_sum = np.logaddexp.reduce(logits, axis=1)
        scores.append(log_sum - logits[np.arange(len(logits)), data["labels"]])
    found = paired_t(*scores, level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.0300, 0.0179, 0.0420), abs=5e-5)


# Holm and quantiles ---------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.005, 0.03, 0.04]), [0.03, 0.02, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.02]), [0.02])
    assert len(holm([])) == 0


def test_holm_is_the_smallest_level_at_which_the_procedure_rejects():
    rng = np.random.default_rng(1)
    for _ in range(20):
        p_values = rng.random(6) ** 3
        for index, adjusted in enumerate(holm(p_values)):
            for level, expected in ((adjusted * 0.999, False), (min(adjusted * 1.001, 1.0), True)):
                order, rejected = np.argsort(p_values), set()
                for step, which in enumerate(order):
                    if p_values[which] > level / (6 - step):
                        break
                    rejected.add(which)
                assert (index in rejected) is expected or adjusted == 1


def test_quantiles_are_those_of_scipy():
    for level in (0.5, 0.9, 0.95, 0.999):
        assert normal_quantile(level) == pytest.approx(stats.norm.ppf((1 + level) / 2), rel=1e-12)
        assert t_quantile(3.7, level) == pytest.approx(stats.t.ppf((1 + level) / 2, 3.7), rel=1e-9)
