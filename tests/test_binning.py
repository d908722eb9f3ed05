"""Which bin a forecast falls in, and the sums of each bin: against loops, scikit-learn, and on the edges."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibkit.binning import Binning, BinTable, assign_bins, bin_edges, bin_table, merge_tables, row_bins
from calibkit.errors import OptionError, ShapeError

BIN_COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 49, 100, 997, 100_000)


def uniform(n_bins: int) -> np.ndarray:
    return bin_edges(np.empty(0), Binning(n_bins=n_bins))


def bin_of(value: float, edges: np.ndarray, closed: str) -> int:
    """The definition, one forecast at a time."""
    value = float(value)
    for index, (low, high) in enumerate(pairwise(edges)):
        if closed == "right" and (low < value <= high or (index == 0 and value == 0)):
            return index
        if closed == "left" and (low <= value < high or (index == len(edges) - 2 and value == 1)):
            return index
    raise AssertionError(f"{value} is in no bin")


def loop_table(forecast, outcome, edges, closed="right", weights=None):
    """Count, weight, confidence and outcome sums, one row at a time."""
    weights = np.ones(len(forecast)) if weights is None else weights
    sums = np.zeros((4, len(edges) - 1))
    for p, y, w in zip(forecast, outcome, weights, strict=True):
        sums[:, bin_of(p, edges, closed)] += (w > 0, w, w * p, w * y)
    return sums


def assert_table(table: BinTable, sums: np.ndarray) -> None:
    np.testing.assert_array_equal(table.count, sums[0])
    np.testing.assert_allclose(table.weight, sums[1], rtol=1e-13)
    np.testing.assert_allclose(table.confidence_sum, sums[2], rtol=1e-13)
    np.testing.assert_allclose(table.outcome_sum, sums[3], rtol=1e-13)


# The one convention ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["right", "left"])
@pytest.mark.parametrize("n_bins", BIN_COUNTS)
def test_every_edge_and_its_neighbours_fall_where_the_definition_says(n_bins, closed):
    edges = uniform(n_bins)
    inner = edges[1:-1]
    inner = inner if len(inner) < 2_000 else np.random.default_rng(3).choice(inner, 2_000)
    side = "left" if closed == "right" else "right"
    for value in (inner, np.nextafter(inner, 0), np.nextafter(inner, 1)):
        np.testing.assert_array_equal(assign_bins(value, edges, closed), np.searchsorted(edges[1:-1], value, side=side))


@given(st.floats(0, 1), st.sampled_from([1, 3, 10, 15, 31]), st.sampled_from(["right", "left"]))
def test_any_forecast_falls_where_the_definition_says(value, n_bins, closed):
    edges = uniform(n_bins)
    assert assign_bins(np.array([value]), edges, closed)[0] == bin_of(value, edges, closed)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.lists(st.floats(0.01, 0.99), unique=True, max_size=6),
    st.sampled_from(["right", "left"]),
)
def test_any_forecast_falls_into_any_given_edges(values, inner, closed):
    edges = np.array([0.0, *sorted(inner), 1.0])
    expected = [bin_of(value, edges, closed) for value in values]
    np.testing.assert_array_equal(assign_bins(np.array(values), edges, closed), expected)


@pytest.mark.parametrize("closed", ["right", "left"])
@pytest.mark.parametrize("n_bins", BIN_COUNTS)
def test_zero_is_in_the_first_bin_and_one_in_the_last(n_bins, closed):
    tiny = np.array([0.0, -0.0, 5e-324, 1e-310])
    np.testing.assert_array_equal(assign_bins(tiny, uniform(n_bins), closed), 0)
    assert assign_bins(np.array([1.0]), uniform(n_bins), closed)[0] == n_bins - 1


def test_sixths_and_twelfths_of_fifteen_are_kept():
    # 6/15 and 12/15: peers that compare with both ends of a bin lose these rows.
    np.testing.assert_array_equal(assign_bins(np.array([0.4, 0.8]), uniform(15)), [5, 11])
    np.testing.assert_array_equal(assign_bins(np.array([0.4, 0.8]), uniform(15), "left"), [6, 12])


def test_tenths_are_not_truncated_products():
    # int(p / 0.1) would say 2, 5, 6 for the left-closed bins.
    np.testing.assert_array_equal(assign_bins(np.array([0.3, 0.6, 0.7]), uniform(10), "left"), [3, 6, 7])
    np.testing.assert_array_equal(assign_bins(np.array([0.3, 0.6, 0.7]), uniform(10)), [2, 5, 6])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_value_falls_where_its_float64_does(dtype):
    values = np.linspace(0, 1, 16).astype(dtype)  # rounded to either side of j/15
    expected = assign_bins(values.astype(np.float64), uniform(15))
    np.testing.assert_array_equal(assign_bins(values, uniform(15)), expected)
    table = bin_table(values, np.ones(16), Binning())
    assert table.confidence_sum.sum() == pytest.approx(values.astype(np.float64).sum(), rel=1e-15)
    assert table.confidence_sum.dtype == np.float64


def test_forecasts_keep_their_shape():
    values = np.random.default_rng(0).random((5, 3))
    index = assign_bins(values, uniform(7))
    np.testing.assert_array_equal(index, assign_bins(values.ravel(), uniform(7)).reshape(5, 3))


def test_row_bins_are_the_same_bins_in_smaller_integers():
    values = np.random.default_rng(1).random(100_000)
    for n_bins, dtype in ((1, np.uint8), (256, np.uint8), (257, np.uint16), (70_000, np.uint32)):
        index = row_bins(values, uniform(n_bins), "left")
        assert index.dtype == dtype
        np.testing.assert_array_equal(index, assign_bins(values, uniform(n_bins), "left"))


# The table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["right", "left"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_a_table_holds_the_sums_of_a_loop(strategy, weighted, closed):
    rng = np.random.default_rng(5)
    forecast = np.concatenate([rng.random(150), np.arange(11) / 10, rng.choice([0.4, 0.6, 1.0], 40)])
    outcome = rng.random(len(forecast)) < 0.6
    weights = rng.choice([0.0, 0.5, 1.7, 3.0], len(forecast)) if weighted else None
    binning = Binning(n_bins=10, strategy=strategy, edges=closed)
    table = bin_table(forecast, outcome, binning, weights=weights)
    assert_table(table, loop_table(forecast, outcome, table.edges, closed, weights))
    assert table.weighted is weighted
    squares = np.ones(len(forecast)) if weights is None else weights**2
    assert table.weight_squared.sum() == pytest.approx(squares.sum())


def test_means_and_gaps_are_those_of_the_rows_and_nan_in_empty_bins():
    table = bin_table(np.array([0.21, 0.29, 0.87]), np.array([1, 0, 1]), Binning(n_bins=4))
    np.testing.assert_array_equal(table.count, [1, 1, 0, 1])
    np.testing.assert_allclose(table.confidence, [0.21, 0.29, np.nan, 0.87])
    np.testing.assert_allclose(table.accuracy, [1, 0, np.nan, 1])
    np.testing.assert_allclose(table.gap, [-0.79, 0.29, np.nan, -0.13])


def test_many_rows_are_summed_in_steps_that_lose_none():
    rng = np.random.default_rng(8)
    forecast, outcome = rng.beta(4, 1, 200_001), rng.random(200_001) < 0.8
    table = bin_table(forecast, outcome, Binning())
    index = np.clip(np.searchsorted(np.arange(16) / 15, forecast, side="left") - 1, 0, 14)
    np.testing.assert_array_equal(table.count, np.bincount(index, minlength=15))
    np.testing.assert_allclose(table.confidence_sum, np.bincount(index, forecast, 15), rtol=1e-12)
    np.testing.assert_array_equal(table.outcome_sum, np.bincount(index, outcome, 15))


def test_a_table_needs_little_memory_beside_its_rows():
    forecast, outcome = np.linspace(0, 1, 1_000_000), np.ones(1_000_000, dtype=bool)
    bin_table(forecast[:10], outcome[:10], Binning())
    tracemalloc.start()
    bin_table(forecast, outcome, Binning())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


def test_no_rows_make_a_table_of_empty_bins():
    table = bin_table(np.empty(0), np.empty(0), Binning(n_bins=3))
    np.testing.assert_array_equal(table.count, [0, 0, 0])
    assert np.isnan(table.gap).all()


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_scikit_learn_draws_the_same_points(strategy):
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(2)
    forecast = rng.random(997)  # without ties
    outcome = rng.random(997) < forecast**2
    accuracy, confidence = calibration_curve(outcome, forecast, n_bins=10, strategy=strategy)
    table = bin_table(forecast, outcome, Binning(n_bins=10, strategy=strategy))
    if strategy == "uniform":
        np.testing.assert_allclose(table.accuracy, accuracy, rtol=1e-12)
        np.testing.assert_allclose(table.confidence, confidence, rtol=1e-12)
    else:
        # It interpolates its edges, so a row beside an edge may change sides.
        np.testing.assert_allclose(table.confidence, confidence, atol=2e-3)
        np.testing.assert_allclose(table.accuracy, accuracy, atol=2e-2)


def test_equal_weights_act_as_repetition():
    rng = np.random.default_rng(4)
    forecast, outcome, times = rng.random(60).round(2), rng.random(60) < 0.5, rng.integers(0, 4, 60)
    for strategy, closed in (("uniform", "right"), ("quantile", "right"), ("quantile", "left")):
        binning = Binning(n_bins=6, strategy=strategy, edges=closed)
        weighted = bin_table(forecast, outcome, binning, weights=times.astype(float))
        repeated = bin_table(np.repeat(forecast, times), np.repeat(outcome, times), binning)
        np.testing.assert_array_equal(weighted.edges, repeated.edges)
        np.testing.assert_allclose(weighted.weight, repeated.weight)
        np.testing.assert_allclose(weighted.gap, repeated.gap)


def test_weighted_ranks_are_not_moved_by_rounding():
    # 7/25 of a weight of 100 is rank 28, but 7/25 * 100 is above 28 in floats.
    forecast, times = np.arange(1, 100) / 101, np.array([1] * 98 + [2])
    for n_bins in range(1, 100):
        binning = Binning(n_bins=n_bins, strategy="quantile")
        repeated = bin_edges(np.repeat(forecast, times), binning)
        np.testing.assert_array_equal(bin_edges(forecast, binning, times.astype(float)), repeated)


def test_a_common_weight_does_not_move_quantiles():
    forecast = np.random.default_rng(7).random(10)
    for n_bins in (2, 4, 5, 12):
        binning = Binning(n_bins=n_bins, strategy="quantile")
        np.testing.assert_array_equal(bin_edges(forecast, binning, np.full(10, 0.7)), bin_edges(forecast, binning))


def test_tables_of_the_same_edges_merge_into_the_table_of_all_rows():
    rng = np.random.default_rng(6)
    forecast, outcome, weights = rng.random(90), rng.random(90) < 0.5, rng.random(90)
    parts = [slice(0, 30), slice(30, 30), slice(30, 90)]
    whole = bin_table(forecast, outcome, Binning(n_bins=6), weights=weights)
    merged = merge_tables([bin_table(forecast[s], outcome[s], Binning(n_bins=6), weights=weights[s]) for s in parts])
    for name in ("count", "weight", "weight_squared", "confidence_sum", "outcome_sum"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-13)
    assert merged.weighted
    assert merged.count.dtype == np.int64


def test_ten_thousand_million_rows_are_counted_exactly():
    table = bin_table(np.full(3, 0.7), np.array([1, 1, 0]), Binning(n_bins=2))
    large = replace(table, count=table.count * 3_333_333_333)
    assert merge_tables([large, table]).count[1] == 10_000_000_002


def test_tables_of_different_edges_do_not_merge():
    tables = [bin_table(np.array([0.4]), np.array([1]), Binning(n_bins=b)) for b in (5, 6)]
    with pytest.raises(ShapeError, match="different edges"):
        merge_tables(tables)


# Quantile bins --------------------------------------------------------------------------------------------------------


def quantile_edges(forecast, n_bins, closed="right"):
    """The definition, by sorting: rank ceil(j n / b) counted from 1."""
    ordered = np.sort(forecast)
    ends = sorted({ordered[-(-j * len(ordered) // n_bins) - 1] for j in range(1, n_bins + 1)})[:-1]
    if closed == "left":
        ends = [ordered[ordered > end][0] for end in ends]
    return [0.0, *(end for end in ends if 0 < end < 1), 1.0]


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 0.9, 1.0]) | st.floats(0, 1), min_size=1, max_size=30),
    st.integers(1, 12),
    st.sampled_from(["right", "left"]),
)
def test_quantile_edges_are_order_statistics(values, n_bins, closed):
    binning = Binning(n_bins=n_bins, strategy="quantile", edges=closed)
    edges = bin_edges(np.array(values), binning)
    np.testing.assert_array_equal(edges, quantile_edges(np.array(values), n_bins, closed))
    assert np.all(np.diff(edges) > 0)


def test_distinct_forecasts_are_cut_into_equal_counts():
    forecast = np.random.default_rng(9).permutation(np.arange(1, 101) / 101)
    for closed in ("right", "left"):
        table = bin_table(forecast, forecast > 0.5, Binning(n_bins=10, strategy="quantile", edges=closed))
        np.testing.assert_array_equal(table.count, 10)


def test_ties_are_never_split_and_their_order_does_not_matter():
    rng = np.random.default_rng(10)
    forecast, outcome = rng.choice([0.2, 0.5, 0.5, 0.9], 80), rng.random(80) < 0.5
    shuffled = rng.permutation(80)
    for closed in ("right", "left"):
        binning = Binning(n_bins=7, strategy="quantile", edges=closed)
        table = bin_table(forecast, outcome, binning)
        again = bin_table(forecast[shuffled], outcome[shuffled], binning)
        counts = [np.count_nonzero(forecast == value) for value in (0.2, 0.5, 0.9)]
        np.testing.assert_array_equal(table.count, counts)
        np.testing.assert_array_equal(again.count, counts)
        np.testing.assert_allclose(again.gap, table.gap, rtol=1e-13)


def test_equal_forecasts_make_one_bin():
    for value in (0.0, 0.37, 1.0):
        table = bin_table(np.full(20, value), np.ones(20), Binning(strategy="quantile"))
        np.testing.assert_array_equal(table.edges, [0, 1])
        np.testing.assert_array_equal(table.count, [20])


def test_more_quantile_bins_than_rows():
    table = bin_table(np.array([0.3, 0.8, 0.6]), np.array([1, 0, 1]), Binning(n_bins=50, strategy="quantile"))
    np.testing.assert_array_equal(table.edges, [0, 0.3, 0.6, 1])
    np.testing.assert_array_equal(table.count, [1, 1, 1])


def test_quantile_edges_of_half_precision_are_the_forecasts_themselves():
    forecast = np.array([0.1, 0.2, 0.3, 0.7], dtype=np.float16)
    np.testing.assert_array_equal(bin_edges(forecast, Binning(n_bins=2, strategy="quantile")), [0, forecast[1], 1])


def test_rows_of_weight_zero_do_not_move_quantiles():
    forecast, weights = np.array([0.1, 0.2, 0.3, 0.4, 0.9]), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    binning = Binning(n_bins=2, strategy="quantile")
    np.testing.assert_array_equal(bin_edges(forecast, binning, weights), [0, 0.2, 1])
    np.testing.assert_array_equal(bin_edges(forecast[:0], binning, weights[:0]), [0, 1])


def test_quantiles_of_unequal_weights_are_those_of_cumulative_weight():
    forecast, weights = np.array([0.6, 0.1, 0.9, 0.3]), np.array([0.5, 2.0, 0.25, 1.25])
    # Cumulative over .1 .3 .6 .9: 2, 3.25, 3.75, 4; thirds of 4 are reached at .1 and .3.
    edges = bin_edges(forecast, Binning(n_bins=3, strategy="quantile"), weights)
    np.testing.assert_array_equal(edges, [0, 0.1, 0.3, 1])


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", [0, -1, 10**9, 2.5, "ten", True, None])
def test_a_senseless_number_of_bins_is_refused(n_bins):
    with pytest.raises(OptionError, match="n_bins"):
        Binning(n_bins=n_bins)


def test_unknown_strategies_and_edges_are_refused_by_name():
    with pytest.raises(OptionError, match="binning='quantiles'"):
        Binning(strategy="quantiles")
    with pytest.raises(OptionError, match="edges='both'"):
        Binning(edges="both")
