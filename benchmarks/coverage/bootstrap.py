"""What calibkit does not print: percentile intervals of an ECE from resampled rows, whose coverage says why.

Resampling the rows of a bin table is exactly a multinomial draw over the cells (bin, outcome), then sums of the drawn
confidences within each cell; those are taken as normal, which is an error of at most 2/n in ECE. So a bootstrap costs
no rows.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.coverage.batches import forecast_counts, sums_by_bin
from benchmarks.coverage.cells import LEVEL, Drawn, entry
from benchmarks.coverage.tables import ERRORS, SIZES, Line, Plan, Table
from benchmarks.coverage.worlds import TOP_LABEL, Floats, World, forecasts, make_world

RESAMPLES = 400


def resampled_errors(count: Floats, mean: Floats, variance: Floats, rng: np.random.Generator) -> Floats:
    """ECE of resampled rows, (draws,), from the count, mean and variance of confidence of cells, (2, b): miss, hit."""
    n = int(count.sum())
    drawn = rng.multinomial(n, count.ravel() / n, size=RESAMPLES).reshape(RESAMPLES, *count.shape)
    confidence = drawn * mean + np.sqrt(drawn * variance) * rng.normal(size=drawn.shape)
    gaps = confidence.sum(axis=1) - drawn[:, 1]  # (draws, b)
    return np.asarray(np.abs(gaps).sum(axis=1) / n)


def percentile(world: World, n: int, rng: np.random.Generator, repetitions: int) -> Drawn:
    """The percentile interval of samples."""
    counts = forecast_counts(n, rng, repetitions)
    hits = rng.binomial(counts, world.accuracy)
    outcomes, said = np.stack([counts - hits, hits]), world.confidence
    sums = [
        np.stack([sums_by_bin(kind * said**power, world.index, len(world.edges) - 1) for kind in outcomes], axis=1)
        for power in (0, 1, 2)
    ]
    count, first, second = sums  # (repetitions, 2, b) each
    mean = first / np.maximum(count, 1)
    variance = np.maximum(second / np.maximum(count, 1) - mean**2, 0.0)
    tail = (1 - LEVEL) / 2
    errors = (resampled_errors(*cells, rng) for cells in zip(count, mean, variance, strict=True))
    ends = np.array([np.quantile(found, (tail, 1 - tail)) for found in errors])
    return Drawn(low=ends[:, 0], high=ends[:, 1], truth=world.error)


def percentile_line(shape: str, plan: Plan) -> Line:
    """ECE over 15 bins of equal width."""
    entries, cells = [], []
    for error in ERRORS:
        world = make_world(forecasts(TOP_LABEL[0]), shape, error)
        assert world is not None
        found = [
            plan.cell(f"{shape}, {error:g}, n = {n:,}", "ECE, percentile bootstrap", partial(percentile, world, n))
            for n in SIZES
        ]
        entries.append(entry(found))
        cells += found
    return (shape, *entries), cells


def tables() -> Iterator[Table]:
    """Percentile intervals of an ECE."""
    yield Table(
        title="Percentile bootstrap of ECE: top-label, k = 10, 15 bins",
        columns=("gaps", *(f"ECE {error:g}" for error in ERRORS)),
        tasks=tuple(partial(percentile_line, shape) for shape in ("one sign", "alternating", "one bin")),
    )
