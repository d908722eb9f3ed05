"""Bins of equal count from cells: within their bounds of those of the rows, and exact where cells are not split."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, OptionError
from tests.state.samples import KINDS, predictions, state_of
from tests.state.test_further import NAMES, rows_of

ERRORS = ("ece", "rmsce", "mce")


def both(rows, **options):
    state = state_of(rows, binning="quantile", **options)
    return state.evaluation(), ck.evaluate(rows, binning="quantile", **options)


def assert_within_bounds(got, expected, goal=np.inf):
    limits = got.settings.get("error_bounds", {})
    for name in ERRORS:
        limit = float(limits.get(name, 1e-12))
        assert got[name].value == pytest.approx(expected[name].value, rel=0, abs=min(limit, goal), nan_ok=True), name
    return limits


@pytest.mark.parametrize("options", [{}, {"edges": "left"}, {"n_bins": 40}, {"n_bins": 1}])
@pytest.mark.parametrize("name", NAMES)
def test_errors_are_within_their_bounds(name, options):
    got, expected = both(rows_of(name, shift=0.03), **options)
    limits = assert_within_bounds(got, expected)
    assert got["ece"].value == pytest.approx(expected["ece"].value, abs=1e-4)
    assert max(limits.values(), default=0.0) < (0.05 if "n_bins" in options else 0.02)
    if name in ("ties", "decimals"):
        assert not limits
        np.testing.assert_array_equal(got.reliability.edges, expected.reliability.edges)
        np.testing.assert_array_equal(got.reliability.count, expected.reliability.count)
    assert np.abs(got.reliability.count - expected.reliability.count).max(initial=0) < 120


@pytest.mark.parametrize("n", [0, 1, 2, 30, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows(kind, n):
    for edges in ("right", "left"):
        got, expected = both(predictions(kind, n), edges=edges)
        limits = assert_within_bounds(got, expected)
        if not limits:
            np.testing.assert_array_equal(got.reliability.edges, expected.reliability.edges)
            np.testing.assert_array_equal(got.reliability.count, expected.reliability.count)
            assert got["ece"].low == pytest.approx(expected["ece"].low, nan_ok=True)
            assert [note for note in got.notes if "Ties" in note] == [note for note in expected.notes if "Ties" in note]


@pytest.mark.parametrize("kind", ["probs", "event"])
def test_weighted_rows(kind):
    got, expected = both(predictions(kind, 3_000, weighted=True))
    assert_within_bounds(got, expected)
    assert got["ece"].value == pytest.approx(expected["ece"].value, abs=3e-4)


def test_more_bins_than_cells_have_no_bound_for_the_largest_gap():
    rng = np.random.default_rng(0)
    confidence = 0.70001 + 1e-5 * rng.random(500)
    rows = ck.Predictions.from_correct(rng.random(500) < 0.6, confidence)
    got, expected = both(rows)
    limits = assert_within_bounds(got, expected)
    assert (len(got.reliability.count), limits["mce"], limits["rmsce"]) == (1, 1.0, 1.0)
    assert any("1 of 15 quantile bins remain" in note for note in got.notes)


def test_all_metrics_with_bins_of_equal_count():
    rows = rows_of("high", n=3_000)
    got = state_of(rows, binning="quantile").evaluation(metrics="all")
    expected = ck.evaluate(rows, binning="quantile", metrics="all")
    limits = got.settings["error_bounds"]
    for name in ("over_confidence", "under_confidence", "smooth_ece"):
        assert got[name].value == pytest.approx(expected[name].value, abs=limits[name])
    assert "no bound" in got.absent["debiased_rmsce"]


def test_the_same_bits_and_the_file(tmp_path):
    rows = predictions("probs", 400)
    whole = state_of(rows, binning="quantile")
    parts = [state_of(rows.take(part), binning="quantile") for part in np.array_split(np.arange(400)[::-1], 3)]
    assert parts[2] + parts[0] + parts[1] == whole
    whole.save(tmp_path / "a.ckst")
    assert ck.CalibrationState.load(tmp_path / "a.ckst").evaluation() == whole.evaluation()


def test_what_is_refused():
    with pytest.raises(OptionError, match="classwise"):
        ck.CalibrationState(binning="quantile", view="classwise")
    with pytest.raises(DataError, match="binning differs: 'quantile' in the other, 'uniform' in this state"):
        state_of(predictions("probs", 5)).merge(state_of(predictions("probs", 5), binning="quantile"))
