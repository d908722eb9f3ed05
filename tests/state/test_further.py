"""Metrics on request and tests from cells, against the rows: within the stated bound, and the bound is small."""

import itertools

import numpy as np
import pytest

import calibkit as ck
from calibkit.decomposition import parts_of
from calibkit.goodness_of_fit import cumulative
from calibkit.metrics import METRICS, TESTS
from calibkit.pairs import pairs_of, pool_ties
from calibkit.scores import score_rows
from calibkit.selective import aurc_of, auroc_of, blocks_of
from calibkit.smooth_calibration import smooth_error
from calibkit.state.bounds import ROUNDING, excursion_bound, isotonic_bounds, ranking_bound, score_bounds, smooth_bound
from calibkit.tally import histogram_of
from tests.state.samples import KINDS, predictions, state_of

GOAL = 1e-4
N = 20_000


def confidences(name, n, rng):
    """Forecasts that are spread out, crowd at an end, tie, or saturate."""
    return {
        "uniform": lambda: rng.random(n),
        "high": lambda: rng.beta(8, 2, n),
        "near 1": lambda: 1 - np.exp(-rng.exponential(6, n)) / 2,
        "near 0": lambda: np.exp(-rng.exponential(5, n)),
        "ties": lambda: rng.integers(0, 21, n) / 20,
        "decimals": lambda: np.round(rng.beta(8, 2, n), 3),
        "float32 at 1": lambda: (1 / (1 + np.exp(-np.abs(15 * rng.normal(size=n)).astype(np.float32)))).astype(float),
        "float16": lambda: rng.beta(3, 1, n).astype(np.float16).astype(float),
    }[name]()


NAMES = ("uniform", "high", "near 1", "near 0", "ties", "decimals", "float32 at 1", "float16")


def rows_of(name, n=N, shift=0.0):
    rng = np.random.default_rng(sum(map(ord, name)))
    confidence = confidences(name, n, rng)
    return ck.Predictions.from_correct(rng.random(n) < confidence - shift, confidence)


def both(rows):
    return state_of(rows).evaluation(metrics="all"), ck.evaluate(rows, metrics="all")


def assert_within_bounds(rows, goal=np.inf):
    """Each metric and test against the kernel of the rows; no draws."""
    got = state_of(rows).evaluation(metrics="all")
    view = "positive" if rows.is_binary else "top-label"
    scores = score_rows(rows)
    limits = got.settings.get("error_bounds", {})
    for name, estimate in got.metrics.items():
        metric = METRICS[name]
        if metric.kernel is not None:
            wanted = metric.kernel(pairs_of(rows, scores, view=metric.pair_view or view))
            limit = min(float(limits.get(name, ROUNDING)), goal)
            assert estimate.value == pytest.approx(wanted, rel=0, abs=limit, nan_ok=True), name
    for name, test in got.tests.items():
        wanted = TESTS[name].kernel(pairs_of(rows, scores, view=view))
        assert test.statistic == pytest.approx(wanted.statistic, rel=0, abs=min(float(limits[name]), goal)), name
        assert test.p_value == pytest.approx(wanted.p_value, rel=0.05, abs=1e-3)
    return limits


@pytest.mark.parametrize("shift", [0.0, 0.04])
@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_within_their_bounds_and_the_goal(name, shift):
    limits = assert_within_bounds(rows_of(name, shift=shift), GOAL)
    assert max(limits.values()) < 5e-4
    assert {"smooth_ece", "brier_miscalibration", "log_discrimination", "aurc", "confidence_auroc"} <= limits.keys()
    if name in ("ties", "decimals"):
        assert max(limits.values()) <= 2e-6


@pytest.mark.parametrize("n", [1, 2, 30, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_are_nearly_exact(kind, n):
    limits = assert_within_bounds(predictions(kind, n))
    assert all(limit < 2e-6 for limit in limits.values())


def test_rankings_have_the_intervals_of_the_rows():
    got, expected = both(predictions("probs", 3_000))
    for name in ("aurc", "augrc"):
        assert got[name].low == pytest.approx(expected[name].low, abs=1e-5)
        assert got[name].high == pytest.approx(expected[name].high, abs=1e-5)
    few = ck.Predictions.from_correct(np.arange(200) % 100 > 0, 0.5 + np.arange(200) / 500)
    got, expected = both(few)
    assert got["aurc"].low is expected["aurc"].low is None
    assert "No interval for aurc: 2 wrong answers, fewer than 30." in {*got.notes} & {*expected.notes}


@pytest.mark.parametrize("kind", ["probs", "event", "two"])
def test_weighted_rows(kind):
    got, expected = both(predictions(kind, 5_000, weighted=True))
    limits = got.settings["error_bounds"]
    for name, estimate in got.metrics.items():
        limit = float(limits.get(name, 1e-12))
        assert estimate.value == pytest.approx(expected[name].value, rel=1e-12, abs=limit), name
    assert {"aurc", "excess_aurc", "debiased_rmsce"} & got.metrics.keys() == set()
    assert "counts" in got.absent["aurc"]


def test_chance_levels_are_drawn_by_cell():
    rows = rows_of("high")
    got, expected = both(rows)
    assert got.by_chance.keys() == expected.by_chance.keys() - {"sweep_ece"}
    for name, chance in got.by_chance.items():
        wanted = expected.by_chance[name]
        assert chance.mean == pytest.approx(wanted.mean, rel=0.05), name
        assert chance.p95 == pytest.approx(wanted.p95, rel=0.08), name
        assert chance.p_value == pytest.approx(wanted.p_value, abs=0.1), name


def test_what_a_state_cannot_give_is_absent_with_a_reason():
    got, expected = both(predictions("logits", 200))
    missing = expected.metrics.keys() - got.metrics.keys()
    assert missing == got.absent.keys() - expected.absent.keys()
    for name in missing:
        assert "a state" in got.absent[name]
        with pytest.raises(KeyError, match="a state"):
            got[name]
    assert any(note.startswith("No Hosmer-Lemeshow and no Cox score test: a state") for note in got.notes)
    assert any("would differ by at most" in note for note in got.notes)
    assert "error_bounds" not in state_of(predictions("logits", 200)).evaluation().settings


def blocks(confidence, correct):
    return histogram_of(state_of(ck.Predictions.from_correct(correct, confidence)).tally).told_apart()


def test_bounds_hold_for_every_arrangement_in_a_cell():
    """Five rows of one cell, in all orders of their outcomes, beside rows elsewhere: no bound is crossed."""
    inside = 0.7001 + 2e-5 * np.arange(5)
    elsewhere, right = np.array([0.3, 0.55, 0.9, 0.95]), np.array([False, True, True, False])
    for outcomes in itertools.product([False, True], repeat=5):
        confidence, correct = np.append(inside, elsewhere), np.append(outcomes, right)
        cells = blocks(confidence, correct)
        rows = ck.Predictions.from_correct(correct, confidence)
        pairs = pairs_of(rows, score_rows(rows), view="top-label")
        tied = pool_ties(pairs)
        smooth = smooth_error(cells.pairs("top-label", by_outcome=True))
        assert abs(smooth - smooth_error(pairs)) <= smooth_bound(cells, smooth)
        for score in ("brier", "log"):
            miscalibration, _, _ = parts_of(tied, score)
            least, whole = isotonic_bounds(cells, score)
            mean, most = score_bounds(cells, score)
            assert mean - whole - ROUNDING <= miscalibration <= most - least + ROUNDING
        for statistic in ("ecce_r", "ecce_mad"):
            value = cumulative(cells.pairs("top-label"), statistic).statistic
            off = abs(value - cumulative(pairs, statistic).statistic)
            assert off <= excursion_bound(cells, statistic, value)
        for kernel in (aurc_of, auroc_of):
            value = kernel(blocks_of(cells.tied()))
            assert abs(value - kernel(blocks_of(tied))) <= ranking_bound(cells, kernel, value)


def test_bounds_are_reached():
    """Where the hits of a cell do lie above its misses, or below, the bounds of order are what the rows give."""
    confidence = 0.7001 + 1e-7 * np.arange(100)
    correct = np.arange(100) >= 50
    correct[[0, 99]] = True, False  # so that the outcomes overlap
    cells = blocks(confidence, correct)
    pooled = auroc_of(blocks_of(cells.tied()))
    assert (pooled, cells.free.tolist()) == (0.5, [True])
    assert ranking_bound(cells, auroc_of, pooled) == pytest.approx(0.5)


def test_blocks_told_apart_keep_all_rows():
    rng = np.random.default_rng(5)
    confidence = np.round(rng.beta(8, 2, 3_000), 4)
    cells = histogram_of(state_of(ck.Predictions.from_correct(rng.random(3_000) < confidence, confidence)).tally)
    apart = cells.told_apart()
    assert len(apart.fine) > len(cells.fine)
    for name in ("count", "weight", "forecast", "missing"):
        np.testing.assert_allclose(getattr(apart, name).sum(axis=1), getattr(cells, name).sum(axis=1), rtol=1e-12)
    assert np.all(np.diff(apart.centre) > 0)
    assert apart.distinct >= len(np.unique(confidence))


def test_folded_cells_are_those_of_the_predicted_class():
    rows = predictions("event", 4_000)
    folded = histogram_of(state_of(rows).tally).folded()
    p, event = np.asarray(rows.probs), np.asarray(rows.labels) == 1
    confidence, right = np.maximum(p, 1 - p), (p > 0.5) == event
    direct = histogram_of(state_of(ck.Predictions.from_correct(right, confidence), n_bins=1).tally)
    np.testing.assert_array_equal(folded.fine, direct.fine)
    np.testing.assert_array_equal(folded.count, direct.count)
    for name in ("forecast", "missing", "weight", "weight_squared"):
        np.testing.assert_allclose(getattr(folded, name), getattr(direct, name), rtol=1e-12, atol=1e-15)
    for name in ("low", "high"):
        np.testing.assert_allclose(getattr(folded, name), getattr(direct, name), rtol=1e-15)
