"""Bins of equal count from cells, and how far their errors can be from those of the rows. Floor 3."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from calibkit._numerics import Floats, Integers, sums_by
from calibkit.binning import Binning, BinTable, assign_bins
from calibkit.calibration_error import calibration_error
from calibkit.state.bounds import ROUNDING
from calibkit.tally import Histogram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """A bin table from cells, and bounds for its errors.

    Attributes
    ----------
    table : BinTable
        Whole blocks of rows in bins.
    bounds : Mapping of str to float
        By metric, how far it can be from that of the rows.
    """

    table: BinTable
    bounds: Mapping[str, float] = field(default_factory=dict)


def quantile_table(cells: Histogram, binning: Binning, *, weighted: bool) -> Cut:
    """Put blocks into bins of equal count: an edge is the largest forecast of the block in which its rank falls.

    The rows themselves would split that block. Leave its rows out, and both tables are the same; so by Minkowski's
    inequality an l1 error changes by at most twice the larger of what its hits and its misses add.
    """
    if len(cells.fine) == 0:
        return Cut(table=_table(cells, np.array([0.0, 1.0]), np.empty(0, dtype=np.intp), weighted=weighted))
    weight = cells.weight.sum(axis=0)
    reached = np.cumsum(weight)
    steps = np.arange(1, binning.n_bins) * reached[-1] / binning.n_bins
    place = np.minimum(np.searchsorted(reached, steps), len(weight) - 1)
    low, high = cells.low.min(axis=0), cells.high.max(axis=0)
    inside = place[place < len(weight) - 1]
    inner = np.unique(high[inside] if binning.edges == "right" else low[inside + 1])
    edges = np.concatenate([[0.0], inner[(inner > 0) & (inner < 1)], [1.0]])
    index = assign_bins(high if binning.edges == "right" else low, edges, binning.edges)
    table = _table(cells, edges, index, weighted=weighted)
    # A block whose rows are alike, or that ends at the very rank, is not split.
    ends_there = np.isclose(reached[place], np.ceil(steps), rtol=0, atol=1e-9) if not weighted else np.zeros(len(place))
    split, ranks = np.unique(place[(low[place] < high[place]) & ~ends_there.astype(np.bool_)], return_counts=True)
    as_many = bool(np.all(ranks == 1)) and len(weight) - 1 not in split
    return Cut(table=table, bounds=_bounds(cells, table, split, index, as_many=as_many))


def _table(cells: Histogram, edges: Floats, index: Integers, *, weighted: bool) -> BinTable:
    b = len(edges) - 1
    count, weight, squares, forecast = (
        sums_by(index, values.sum(axis=0), b)
        for values in (cells.count, cells.weight, cells.weight_squared, cells.forecast)
    )
    return BinTable(
        edges=edges,
        count=count.astype(np.int64),
        weight=weight,
        weight_squared=squares,
        confidence_sum=forecast,
        outcome_sum=sums_by(index, cells.weight[1], b),
        weighted=weighted,
    )


def _bounds(
    cells: Histogram, table: BinTable, split: Integers, index: Integers, *, as_many: bool
) -> Mapping[str, float]:
    """Bounds for l1, RMS and largest error; the rows would split some blocks, and may then have more bins."""
    if len(split) == 0:
        return {}
    total, b = table.weight.sum(), len(table.count)
    moved = np.maximum(cells.missing[1], cells.forecast[0])[split]
    limits = {"ece": float(2 * moved.sum() / total) + ROUNDING}
    if not as_many:
        return limits | {"rmsce": 1.0, "mce": 1.0}  # a block may hold bins of its own
    # Of a bin, its own last block and the last of the bin before may be split.
    gap, weight = np.abs(table.confidence_sum - table.outcome_sum), table.weight
    slack_gap, slack_weight = np.zeros(b + 1), np.zeros(b + 1)
    slack_gap[index[split]], slack_weight[index[split]] = moved, cells.weight.sum(axis=0)[split]
    more_gap = slack_gap[:-1] + np.append(0.0, slack_gap[:-2])
    more_weight = slack_weight[:-1] + np.append(0.0, slack_weight[:-2])
    least_weight = weight - more_weight
    most = np.where(least_weight > 0, (gap + more_gap) / np.where(least_weight > 0, least_weight, 1.0), 1.0)
    least = np.maximum(gap - more_gap, 0.0) / (weight + more_weight)
    shown = np.divide(gap, weight, out=np.zeros(b), where=weight > 0)
    limits["mce"] = float(np.maximum(np.minimum(most, 1.0) - shown, shown - least).max()) + ROUNDING
    squares = np.minimum(most, 1.0) * (gap + more_gap), least * np.maximum(gap - more_gap, 0.0)
    value = calibration_error((table,), norm="l2")
    limits["rmsce"] = max(abs(np.sqrt(part.sum() / total) - value) for part in squares) + ROUNDING
    return limits
