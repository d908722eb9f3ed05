"""Exact sums and cells of tensors have the integers of those of arrays."""

import numpy as np
import pytest
import torch

from calibkit.binning import Binning
from calibkit.exact import exact_sums
from calibkit.integrations.torch import exact
from calibkit.integrations.torch.exact import TensorSums
from calibkit.integrations.torch.scores import TensorScores
from calibkit.integrations.torch.scoring import ScoredBatch
from calibkit.integrations.torch.tally import TensorTally
from calibkit.tally import Cells, empty_tally, fine_ends

CPU = torch.device("cpu")


def numbers(n=5000, seed=1):
    """Of every size, beyond range among them."""
    rng = np.random.default_rng(seed)
    spread = rng.random(n) * 10.0 ** rng.uniform(-40, 13, n)
    special = [0.0, 5e-324, 2.0**-96, 2.0**-97, 1.5 * 2.0**-96, 2.5 * 2.0**-96, 2.0**40, np.nextafter(2.0**40, 0)]
    return np.concatenate([spread, special, [np.inf, np.nan, 1e300, 1.0, 0.1]])


def test_sums_by_cell_are_those_of_arrays():
    values = numbers()
    cells = np.random.default_rng(2).integers(7, size=len(values))
    sums = TensorSums(7, CPU)
    for part in np.array_split(np.arange(len(values)), 6):
        sums.add_by_cell(torch.from_numpy(values[part]), torch.from_numpy(cells[part]))
    assert sums.on_host() == exact_sums(values, cells, 7)


def test_sums_of_several_vectors_are_those_of_arrays():
    values = np.stack([numbers(seed=seed) for seed in (3, 4)])
    sums = TensorSums(2, CPU)
    sums.add(torch.from_numpy(values))
    cells = np.repeat([0, 1], values.shape[1])
    assert sums.on_host() == exact_sums(values.ravel(), cells, 2)


def test_limbs_are_carried_before_they_overflow(monkeypatch):
    values = np.full(64, np.nextafter(2.0**40, 0))
    monkeypatch.setattr(exact, "_ROWS_TO_CARRY", 10)
    sums = TensorSums(1, CPU)
    for part in np.split(values, 16):
        sums.add(torch.from_numpy(part)[None])
        assert int(sums.limbs[1:].max()) <= 10 * 2**34
    assert sums.on_host() == exact_sums(values)


@pytest.mark.parametrize("edges", ["right", "left"])
@pytest.mark.parametrize("n_bins", [1, 7, 15, 1000])
def test_cells_are_those_of_arrays(n_bins, edges):
    cells = Cells(binning=Binning(n_bins=n_bins, edges=edges))
    ends = np.concatenate([*fine_ends(), cells.edges, np.random.default_rng(5).random(1000)])
    values = np.concatenate([ends, np.nextafter(ends, 0), np.nextafter(ends, 1)])
    like = empty_tally(cells, n_classes=None, proper=False, labelled=False)
    tally = TensorTally(like, view="top-label", device=CPU)
    right = np.arange(len(values)) % 3 == 0
    scores = TensorScores(confidence=torch.from_numpy(values), correct=torch.from_numpy(right))
    tally.take(ScoredBatch(scores=scores, kept=torch.ones(len(values), dtype=torch.bool)))
    expected = np.bincount(cells.of(values) + cells.count * right, minlength=2 * cells.count)
    assert np.array_equal(tally.on_host()[0].count, expected)
