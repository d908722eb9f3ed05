"""What chance alone does to an ECE of dependent rows. Floor 2."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.bracket import NO_CHANCE, BinnedRows, Chance, GroupCells, chance_from, group_cells

# Whole groups of the rarer outcome that the forecasts expect: with fewer, the test rejects more often than it says.
_MIN_EXPECTED = 25
# Beyond so many groups sums of signed gaps are normal; beyond so many bins neither is drawn.
_MOST_SIGNED, _MOST_BINS = 1 << 14, 1 << 10
# Floats in memory at once.
_STEP = 1 << 20


def chance_of_groups(rows: BinnedRows, *, rng: np.random.Generator, n_draws: int = 2000) -> Chance:
    """ECE that a calibrated model with these confidences and groups would show: the signs of whole groups drawn anew.

    Parameters
    ----------
    rows : BinnedRows
        With groups, all of positive weight; rows of one group may depend on each other in any way.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int, default 2000
        Number of calibrated models drawn.

    Returns
    -------
    Chance
        NaN without rows, or for more than 1,024 filled bins. A level to show where `few_expected` has no objection.

    Notes
    -----
    With the sums S_gb of w (confidence - outcome) over the rows of group g in bin b, a draw is
    ``sum_b |f_b sum_g v_g S_gb| / W``, v_g = ±1 with probability 1/2 (beyond 16,384 groups the sums are normal, and
    are drawn so, with their covariance). A group keeps its sign in all bins, so that any dependence within it is kept.
    ``f_b^2 = sum w^2 c (1 - c) / sum w^2 (c - y)^2`` over the rows of the bin gives them the variance that outcomes of
    their forecasts c have: how large gaps are is known under calibration, and only how alike they are within a group is
    taken from the sample. Without it, a bin of rare events in which no group failed would expect none to. Where a model
    is miscalibrated its groups seem more alike than they are, and mean and percentile err on the large side.

    Where `few_expected` objects, f_b is 1: too few groups to tell how alike rows are, and a bin in which nothing failed
    would count as one whose groups can only fail as a whole. The test then rejects up to 10 % of calibrated groups at
    5 %. That is good enough for an interval that need not exclude 0, and no level to show.

    References
    ----------
    Liu 1988, "Bootstrap procedures under some non-i.i.d. models" (random signs).
    Cameron, Gelbach, Miller 2008, "Bootstrap-based improvements for inference with clustered errors" (of clusters).

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> forecast, groups = np.full(400, 0.5), np.repeat(np.arange(100), 4)
    >>> outcome = groups % 2 > 0  # the four rows of a group share their luck
    >>> table = bin_table(forecast, outcome, Binning())
    >>> rows = BinnedRows(table=table, index=np.full(400, 7), gap=forecast - outcome, groups=groups)
    >>> null = chance_of_groups(rows, rng=np.random.default_rng(0))
    >>> 0.035 < null.mean < 0.045, null.p_value  # .5 sqrt(2 / (100 pi)) = .04
    (True, 1.0)
    """
    units, filled = rows.units(), np.flatnonzero(rows.table.count > 0)
    if not 0 < len(filled) <= _MOST_BINS:
        return NO_CHANCE
    cells, total = group_cells(rows, units), rows.table.weight.sum()
    observed = np.abs(np.bincount(cells.bin_of, cells.sums, len(rows.table.count))).sum() / total
    factor = _to_known_variance(rows) if few_expected(rows) is None else np.ones(len(rows.table.count))
    scaled = replace(cells, sums=factor[cells.bin_of] * cells.sums)
    sums = list(_blocks(scaled, units.count, filled))
    signed = units.count <= _MOST_SIGNED
    drawn = _with_signs(sums, rng, n_draws) if signed else _normal(sums, rng, n_draws)
    return chance_from(float(observed), np.abs(drawn).sum(axis=1) / total)


def few_expected(rows: BinnedRows) -> str | None:
    """Why groups as few as these have no chance level, from their forecasts alone, or None."""
    table, effective = rows.table, rows.units().effective
    rarer = np.minimum(table.confidence_sum, table.weight - table.confidence_sum).sum() / table.weight.sum()
    if len(np.flatnonzero(table.count)) > _MOST_BINS:
        return f"more than {_MOST_BINS:,} bins of dependent rows"
    if rarer * effective >= _MIN_EXPECTED:
        return None
    return (
        f"the {rarer:.1%} rarer outcomes that these confidences expect are worth {rarer * effective:.1f} of "
        f"{effective:,.1f} effective groups, fewer than {_MIN_EXPECTED}"
    )


def _to_known_variance(rows: BinnedRows) -> Floats:
    """Per bin, what brings its gaps to the size that outcomes of their forecasts would give them, f_b."""
    b, size = len(rows.table.count), np.abs(rows.gap)  # c or 1 - c: both give c (1 - c)
    squared = 1.0 if rows.weights is None else rows.weights**2
    expected = np.bincount(rows.index, squared * size * (1 - size), b)
    seen = np.bincount(rows.index, squared * size**2, b)
    return np.asarray(np.sqrt(np.divide(expected, seen, out=np.zeros(b), where=seen > 0)))


def _blocks(cells: GroupCells, n_groups: int, filled: NDArray[np.intp]) -> Iterator[Floats]:
    """Sums of some groups in the filled bins, (groups, b)."""
    column, step = np.searchsorted(filled, cells.bin_of), max(1, _STEP // len(filled))
    for start in range(0, n_groups, step):
        some = slice(*np.searchsorted(cells.group_of, (start, start + step)))
        block = np.zeros((min(step, n_groups - start), len(filled)))
        block[cells.group_of[some] - start, column[some]] = cells.sums[some]
        yield block


def _with_signs(sums: list[Floats], rng: np.random.Generator, n_draws: int) -> Floats:
    """Gaps of every bin, (n_draws, b), with a random sign for each group."""
    drawn = np.zeros((n_draws, sums[0].shape[1]))
    for block in sums:
        step = max(1, _STEP // n_draws)
        for start in range(0, len(block), step):
            some = block[start : start + step]
            signs = 2.0 * rng.integers(2, size=(n_draws, len(some)), dtype=np.int8) - 1.0
            drawn += signs @ some
    return drawn


def _normal(sums: list[Floats], rng: np.random.Generator, n_draws: int) -> Floats:
    """The same as normal variables of the same covariance."""
    values, vectors = np.linalg.eigh(sum(block.T @ block for block in sums))
    roots: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(rng.normal(size=(n_draws, len(values))) @ roots.T)
