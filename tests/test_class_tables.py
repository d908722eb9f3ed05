"""A bin table a class without work on every pair: against loops over classes and exact sums, in any order."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from calibkit.binning import SUMS, Binning, bin_table
from calibkit.bracket.many import many_pairs_parts
from calibkit.calibration_error import NORMS, calibration_error
from calibkit.class_sums import ColumnSums, units_to_exact, units_to_float
from calibkit.class_tables import ClassBins, ClassTables
from calibkit.predictions import Predictions
from calibkit.scores import blocks
from calibkit.views import score_and_bin

BINNINGS = [
    Binning(),
    Binning(edges="left"),
    Binning(n_bins=1),
    Binning(n_bins=1, edges="left"),
    Binning(n_bins=2),
    Binning(n_bins=300, edges="left"),
]


def sample(n=230, k=7, seed=0):
    """Forecasts with zeros, ones and values on edges among them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, 0.3), n)
    probs[::11] = np.eye(k)[rng.integers(0, k, len(probs[::11]))]
    probs[1::11] = 0.0
    probs[1::11, rng.permutation(k)[:5]] = 0.2
    return rng.integers(0, k - 1, n), probs, rng.gamma(1.0, size=n)


def filled(labels, probs, binning, weights=None, *, cuts=(), order=None):
    """Bins after the blocks between the cuts came in some order."""
    bins = ClassBins(labels, probs.shape[1], binning, weights)
    ends = [0, *cuts, len(labels)]
    pieces = list(pairwise(ends))
    for i in range(len(pieces)) if order is None else order:
        start, stop = pieces[i]
        # Blocks come with their classes along either axis.
        bins.visit(start, probs[start:stop].copy() if i % 2 else probs[start:stop].T.copy().T)
    return bins


def assert_same_bits(one, other):
    for name in SUMS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("binning", BINNINGS)
def test_each_class_has_the_table_of_its_pairs(binning, weighted):
    labels, probs, weights = sample()
    weights = weights if weighted else None
    bins = filled(labels, probs, binning, weights, cuts=(1, 90))
    tables = bins.tables()
    assert len(tables) == 7
    for c, table in enumerate(tables):
        expected = bin_table(probs[:, c].copy(), labels == c, binning, weights=weights)
        np.testing.assert_array_equal(table.count, expected.count)
        assert table.weighted is weighted
        for name in SUMS[1:]:
            np.testing.assert_allclose(getattr(table, name), getattr(expected, name), rtol=1e-12, atol=1e-13)
    merged, every = bins.merged(), [getattr(tables.stacked, name).sum(axis=0) for name in SUMS]
    for name, total in zip(SUMS, every, strict=True):
        np.testing.assert_allclose(getattr(merged, name), total, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("binning", BINNINGS[:2])
def test_bits_do_not_depend_on_blocks_or_their_order(binning, weighted):
    labels, probs, weights = sample(n=2_600, seed=1)
    weights = weights if weighted else None
    expected = filled(labels, probs, binning, weights)
    rng = np.random.default_rng(2)
    for n_cuts in (1, 7, 60):
        cuts = np.unique(rng.integers(1, len(labels), n_cuts)).tolist()
        order = rng.permutation(len(cuts) + 1)
        found = filled(labels, probs, binning, weights, cuts=cuts, order=order)
        assert_same_bits(found.tables().stacked, expected.tables().stacked)
        assert_same_bits(found.merged(), expected.merged())
    rows = rng.permutation(len(labels))
    shuffled = filled(labels[rows], probs[rows], binning, None if weights is None else weights[rows])
    assert_same_bits(shuffled.merged(), expected.merged())


def test_threads_add_side_by_side():
    labels, probs, _ = sample(n=3_000, seed=3)
    bins, starts = ClassBins(labels, 7, Binning()), range(0, 3_000, 50)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda start: bins.visit(start, probs[start : start + 50].copy()), starts))
    assert_same_bits(bins.tables().stacked, filled(labels, probs, Binning()).tables().stacked)


@pytest.mark.parametrize("view", ["classwise", "flattened"])
@pytest.mark.parametrize("k", [5, 90])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_pass_gives_the_same_bits_in_any_blocks_and_threads(monkeypatch, view, k, weighted):
    rng = np.random.default_rng(k)
    logits, labels = rng.normal(size=(403, k)).astype(np.float32) * 3, rng.integers(0, k, 403)
    predictions = Predictions.from_logits(labels, logits, weights=rng.gamma(2.0, size=403) if weighted else None)

    def tables(threads):
        binned = score_and_bin(predictions, view=view, binning=Binning(), threads=threads, by_class=True)[1]
        return binned.by_class.stacked

    expected = tables(1)
    for rows in (1, 7, 100):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", rows * k * 4)
        for threads in (1, 3):
            assert_same_bits(tables(threads), expected)


def test_columns_are_added_as_whole_units():
    numbers = np.random.default_rng(4).random((2_500, 3)) ** 9
    numbers[:40] = 1.0
    numbers[40:60] = 0.0
    exact = [sum(Fraction(round(Fraction(x) * 2**52), 2**52) for x in column) for column in numbers.T.tolist()]
    for class_axis, block in ((1, numbers.copy()), (0, numbers.T.copy())):
        sums = ColumnSums(3)
        sums.add(block, class_axis)
        assert sums.exact().fractions() == exact
        np.testing.assert_array_equal(sums.to_float(), [float(x) for x in exact])
    high, low = np.array([5]), np.array([7 << 30])
    assert units_to_exact(high, low).to_float() == units_to_float(high, low)


def test_rows_far_lighter_than_others_keep_their_bin():
    labels, probs = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.3, 0.7], [0.55, 0.45]])
    tables = filled(labels, probs, Binning(n_bins=3), np.array([1e100, 3.0, 1e-100])).tables()
    for table in tables:
        assert (table.weight[table.count > 0] > 0).all()
        assert np.isfinite(table.gap[table.count > 0]).all()
    assert tables[0].weight.sum() == 1e100


@pytest.mark.parametrize("norm", NORMS)
def test_stacked_tables_are_read_like_those_of_each_class(norm):
    labels, probs, _ = sample(k=6)
    stacked = filled(labels, probs, Binning()).tables()
    alone = tuple(stacked)
    assert len(stacked[1:3]) == 2
    assert calibration_error(stacked, norm=norm) == pytest.approx(calibration_error(alone, norm=norm), rel=1e-14)
    one, other = (many_pairs_parts(tables, pairs_per_row=1) for tables in (stacked, alone))
    assert one.theta == pytest.approx(other.theta, rel=1e-14)
    assert one.se == pytest.approx(other.se, rel=1e-12)
    np.testing.assert_array_equal(one.filled, other.filled)


def test_no_rows():
    for weights in (None, np.empty(0)):
        tables = ClassBins(np.empty(0, np.int64), 3, Binning(), weights).tables()
        assert isinstance(tables, ClassTables)
        assert tables.stacked.count.shape == (3, 15)
        assert not tables.stacked.count.any()
        assert np.isnan(calibration_error(tables, norm="l1"))
