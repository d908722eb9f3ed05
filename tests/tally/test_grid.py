"""The fine grid against its description, cell by cell, and bins as runs of cells."""

import numpy as np
import pytest

from calibkit.binning import Binning, assign_bins
from calibkit.tally import Cells, fine_cells, fine_ends
from calibkit.tally.grid import MIDDLE, N_FINE


def forecasts(rng, n=20_000):
    ends = np.exp(-rng.exponential(10, n))
    grid = np.arange(4097) / 4096
    edges = np.concatenate([grid, np.ldexp(1.0, -np.arange(1, 70)), 1 - np.ldexp(1.0, -np.arange(1, 54))])
    near = np.concatenate([np.nextafter(edges, 0), np.nextafter(edges, 1)])
    values = np.concatenate([rng.random(n), ends, 1 - ends, edges, near, [0.0, 5e-324, 1e-310, 0.5, 1.0]])
    return np.clip(values, 0, 1)


def level(distance):
    """The level of a distance from the nearer end, from the description in words."""
    if distance == 0:
        return 0
    if distance < 2.0**-54:
        return 1
    if distance < 2.0**-6:
        mantissa, exponent = np.frexp(distance)  # distance = mantissa 2^exponent, mantissa in [.5, 1)
        return 2 + 64 * (exponent - 1 + 54) + int(np.floor((2 * mantissa - 1) * 64))
    return 2 + 64 * 48 + int(np.floor(distance * 4096)) - 64


def test_cells_are_those_of_the_description():
    values = forecasts(np.random.default_rng(0), 500)
    for value, cell in zip(values, fine_cells(values), strict=True):
        there = level(min(value, 1 - value))
        assert cell == (there if value < 0.5 else 2 * MIDDLE - there)


def test_cells_increase_with_the_forecast():
    values = np.sort(forecasts(np.random.default_rng(1)))
    cells = fine_cells(values)
    assert np.all(np.diff(cells) >= 0)
    assert (cells[0], cells[-1], N_FINE) == (0, 2 * MIDDLE, 10_117)


def test_halves_zero_and_one_have_cells_of_their_own():
    around = np.array([0.0, 5e-324, np.nextafter(0.5, 0), 0.5, np.nextafter(0.5, 1), np.nextafter(1, 0), 1.0])
    assert np.all(np.diff(fine_cells(around)) > 0)


def test_a_forecast_and_its_complement_have_mirrored_cells():
    values = np.random.default_rng(2).integers(0, 2**53, 10_000) / 2.0**53
    np.testing.assert_array_equal(fine_cells(values), 2 * MIDDLE - fine_cells(1 - values))


def test_the_ends_of_a_cell_are_its_smallest_and_largest_float():
    low, high = fine_ends()
    held = low <= high
    for ends in (low[held], high[held]):
        np.testing.assert_array_equal(fine_cells(ends), np.flatnonzero(held))
    assert np.all(fine_cells(np.nextafter(low[held][1:], 0)) < np.flatnonzero(held)[1:])
    assert np.all(fine_cells(np.nextafter(high[held][:-1], 2)) > np.flatnonzero(held)[:-1])
    # No cell is wider than 1/4096, or than 1/64 of its distance from the nearer end.
    wide = np.maximum(high - low, 0)
    nearer = np.minimum(low, 1 - high)
    assert wide.max() <= 1 / 4096
    assert np.all(wide[2:-2] <= np.maximum(nearer[2:-2] / 64, 2.0**-54))


@pytest.mark.parametrize("closed", ["right", "left"])
@pytest.mark.parametrize("n_bins", [1, 2, 7, 10, 15, 16, 64, 4096, 5000])
def test_a_bin_is_a_run_of_whole_cells(n_bins, closed):
    cells = Cells(binning=Binning(n_bins=n_bins, edges=closed))
    edges = np.arange(n_bins + 1) / n_bins
    near = np.clip(np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 2)]), 0, 1)
    values = np.concatenate([forecasts(np.random.default_rng(3), 3_000), near])
    found = cells.of(values)
    assert found.min() >= 0
    assert found.max() < cells.count
    np.testing.assert_array_equal(cells.bins()[found], assign_bins(values, cells.edges, closed))
    # Two forecasts share a cell exactly if they share a fine cell and a bin.
    pairs = np.unique(np.stack([fine_cells(values), assign_bins(values, cells.edges, closed), found]), axis=1)
    assert len(np.unique(found)) == pairs.shape[1] == len(np.unique(pairs[:2], axis=1).T)
