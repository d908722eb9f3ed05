"""Samples that a plan draws have the moments of rows, and their correlation is that of `paired_bracket`."""

from math import sqrt

import numpy as np
import pytest

from calibkit.binning import Binning, assign_bins, bin_edges, bin_table
from calibkit.bracket import BinnedRows
from calibkit.bracket import paired as room
from calibkit.bracket.parts import parts_of
from calibkit.errors import OptionError
from calibkit.planning.paired import Pair, _cells, _shared
from calibkit.planning.population import Population, default_population, likely_gaps
from calibkit.planning.samples import Sampler, deviations, model_of

EDGES = bin_edges(np.array([]), Binning(n_bins=6))


def population(seed, gap=0.07, m=500):
    rng = np.random.default_rng(seed)
    confidence = rng.beta(3, 2, m)
    index = assign_bins(confidence, EDGES)
    return Population(confidence=confidence, gap=gap * rng.choice([-1, 1], 6)[index], index=index, edges=EDGES)


def test_gaps_of_drawn_tables_have_the_mean_and_covariance_of_rows():
    world, n = population(1), 900
    model, rng = model_of(world), np.random.default_rng(2)
    rows = rng.integers(len(world.confidence), size=(3_000, n))
    gap = world.confidence[rows] - (rng.random(rows.shape) < world.truth[rows])
    cells = world.index[rows] + 6 * np.arange(3_000)[:, None]
    by_rows = np.bincount(cells.ravel(), gap.ravel(), 18_000).reshape(3_000, 6) / n
    covariance = np.diag(model.square) - np.outer(model.gap, model.gap)
    drawn = parts_of(model.table(n, deviations(covariance, rng.normal(size=(20_000, 6))))).gap
    assert drawn.mean(axis=0) == pytest.approx(by_rows.mean(axis=0), abs=5e-4)
    assert np.cov(drawn.T) == pytest.approx(np.cov(by_rows.T), abs=0.06 * np.cov(by_rows.T).max())


def test_the_true_error_is_the_one_asked_for_with_gaps_of_one_size():
    world = population(3).with_error(0.11)
    assert world.error == pytest.approx(0.11, abs=1e-9)
    free = (world.truth > 0) & (world.truth < 1)
    assert np.ptp(np.abs(world.confidence - world.truth)[free]) < 1e-9
    assert (np.sign(world.gap) == np.sign(population(3).gap)).all()
    with pytest.raises(OptionError, match="cannot be"):
        population(3).with_error(0.9)


def test_the_stated_population_is_the_mixture_that_it_says():
    world, rng = default_population(Binning()), np.random.default_rng(0)
    sure = rng.random(200_000) < 0.75
    drawn = 0.1 + 0.9 * np.where(sure, rng.beta(20, 0.6, 200_000), rng.beta(2, 1.5, 200_000))
    quantiles = np.linspace(0.02, 0.98, 25)
    assert np.quantile(world.confidence, quantiles) == pytest.approx(np.quantile(drawn, quantiles), abs=0.01)
    assert world.error == pytest.approx(0.02)


def test_likely_gaps_are_those_of_dersimonian_and_laird():
    rng = np.random.default_rng(5)
    said = rng.beta(2, 2, 400)
    table = bin_table(said, rng.random(400) < said**2, Binning(n_bins=5))
    parts = parts_of(table)
    gaps, variances = [], []
    for b in range(5):
        count = table.count[b]
        gaps.append((table.confidence_sum[b] - table.outcome_sum[b]) / count)
        variance = (parts.error[b] * 400 / count) ** 2
        # What `with_unseen` adds for outcomes that were not seen.
        variances.append(variance + 4 / (count + 4) ** 2 / (1 + count**2 * variance / 30))
    weights = [1 / v for v in variances]
    mean = sum(w * g for w, g in zip(weights, gaps, strict=True)) / sum(weights)
    q = sum(w * (g - mean) ** 2 for w, g in zip(weights, gaps, strict=True))
    between = (q - 4) / (sum(weights) - sum(w * w for w in weights) / sum(weights))
    assert between > 0
    expected = [mean + between / (between + v) * (g - mean) for g, v in zip(gaps, variances, strict=True)]
    assert likely_gaps(table) == pytest.approx(expected)


def test_likely_gaps_of_noise_are_all_alike_and_of_certainty_are_none():
    said = np.repeat([0.3, 0.5, 0.7], 1_000)
    right = np.tile(np.arange(1_000), 3) < np.repeat([250, 450, 650], 1_000)
    alike = likely_gaps(bin_table(said, right, Binning()))
    assert alike[alike != 0] == pytest.approx(0.05)
    certain = bin_table(np.ones(300), np.ones(300), Binning())
    assert likely_gaps(certain).tolist() == [0.0] * 15


def test_the_correlation_over_cells_is_that_of_paired_bracket_over_rows():
    """With true probabilities of 0 and 1, rows are no matter of luck: the sums must agree to the last digits."""
    rng, m = np.random.default_rng(6), 700
    worlds, rows = [], []
    outcome, missed = rng.random(m) < 0.6, rng.random(m) < 0.2
    for _ in range(2):
        confidence = np.clip(0.3 * rng.random(m) + np.where(outcome, 0.6, 0.1), 0, 1)
        right = outcome & ~missed ^ (rng.random(m) < 0.02)
        index = assign_bins(confidence, EDGES)
        worlds.append(Population(confidence=confidence, gap=confidence - right, index=index, edges=EDGES))
        table = bin_table(confidence, right, Binning(n_bins=6))
        rows.append(BinnedRows(table=table, index=index, gap=confidence - right))
    parts = [parts_of(r.table) for r in rows]
    expected = room._shared(*rows, *parts)
    assert abs(expected) > 0.1
    stacked = [parts_of(model_of(w).table(m, np.zeros((1, 6)))) for w in worlds]
    cells = _cells(Pair(model=worlds[0], reference=worlds[1], correlation=0.3))
    found = _shared(cells, (model_of(worlds[0]), model_of(worlds[1])), tuple(stacked))
    assert found == pytest.approx([expected], abs=1e-9)


def test_paired_gaps_have_the_correlation_of_rows():
    first, second, n, reps = population(7), population(8), 400, 4_000
    pair = Pair(model=first, reference=second, correlation=0.2)
    rng = np.random.default_rng(9)
    rows = rng.integers(len(first.confidence), size=(reps, n))
    a, b = first.truth[rows], second.truth[rows]
    both = np.clip(a * b + 0.2 * np.sqrt(a * (1 - a) * b * (1 - b)), np.maximum(0, a + b - 1), np.minimum(a, b))
    luck = rng.random(rows.shape)
    right = luck < a, (luck < both) | ((luck >= a) & (luck < a + b - both))
    means = [(w.confidence[rows] - r).mean(axis=1) for w, r in zip((first, second), right, strict=True)]
    cells, one, two = _cells(pair), model_of(first), model_of(second)
    covariance = cells.product.sum() - one.gap.sum() * two.gap.sum()
    expected = covariance / sqrt((one.square.sum() - one.gap.sum() ** 2) * (two.square.sum() - two.gap.sum() ** 2))
    assert np.corrcoef(*means)[0, 1] == pytest.approx(expected, abs=0.05)


def test_a_calibrated_population_is_rarely_rejected():
    world = population(10, gap=0.0)
    assert Sampler(level=0.95, seed=0).detects(world, 2_000) <= 0.05
