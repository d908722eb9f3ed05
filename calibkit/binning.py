"""What a bin is: edges, which bin a forecast falls in, and the sums of each bin. Floor 1.

Everything that speaks of bins (calibration error, intervals, diagrams) receives its table from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.options import check_choice, check_n_bins
from calibkit._numerics import Floats, Integers, present_rows
from calibkit.errors import ShapeError

Strategy = Literal["uniform", "quantile"]
Closed = Literal["right", "left"]

# The sums of a table, in the order in which `cell_sums` stacks them.
SUMS = ("count", "weight", "weight_squared", "confidence_sum", "outcome_sum")

# Rows per step: small enough that the temporaries of a step stay in cache.
_CHUNK = 1 << 15

# Values per cell from which on they are summed in lanes, and how many lanes.
_CROWDED, _LANES = 64, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Binning:
    """How forecasts in [0, 1] are put into bins.

    Parameters
    ----------
    n_bins : int, default 15
        Number of bins, 1 to 100,000 (15 in Guo et al. 2017).
    strategy : {"uniform", "quantile"}, default "uniform"
        Bins of equal width, or of equal count.
    edges : {"right", "left"}, default "right"
        Which end of a bin is closed: ``(lo, hi]`` or ``[lo, hi)``. Either way 0 is in the first bin and 1 in the last.

    Raises
    ------
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Uniform edges are ``j / n_bins`` in float64. Quantile bins: the upper edges are the order statistics of rank
    ``ceil(j n / n_bins)``, the last one replaced by 1 (with ``edges="left"`` the next larger forecast is the edge,
    so that the same rows share a bin). Equal edges are merged and inner edges at 0 or 1 dropped: ties are never
    split, and fewer bins may remain. With weights the ranks are ranks of cumulative weight.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 2.
    Nguyen, O'Connor 2015, "Posterior calibration and exploratory analysis for NLP models", section 3 (equal counts).

    Examples
    --------
    >>> Binning(n_bins=10)
    Binning(n_bins=10, strategy='uniform', edges='right')
    """

    n_bins: int = 15
    strategy: Strategy = "uniform"
    edges: Closed = "right"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_bins", check_n_bins(self.n_bins))
        check_choice(self.strategy, ("uniform", "quantile"), option="binning")
        check_choice(self.edges, ("right", "left"), option="edges")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinTable:
    """Sums per bin, from which every binned number follows; b bins, empty ones included.

    Tables with the same edges may share one, with sums of shape (..., b).

    Attributes
    ----------
    edges : ndarray of shape (b + 1,)
        From 0 to 1.
    count : ndarray of shape (b,), int64
        Rows (those of weight 0 are absent).
    weight, weight_squared : ndarray of shape (b,)
        Sum of the weights and of their squares; both equal `count` without weights.
    confidence_sum, outcome_sum : ndarray of shape (b,)
        Weighted sums of the forecasts and of the outcomes (1 where correct, or where the event happened).
    weighted : bool
        Whether the rows had weights.

    Examples
    --------
    >>> table = bin_table(np.array([0.55, 0.85, 0.95]), np.array([True, False, True]), Binning(n_bins=2))
    >>> table.count, table.gap.round(4)
    (array([0, 3]), array([   nan, 0.1167]))
    """

    edges: Floats
    count: Integers
    weight: Floats
    weight_squared: Floats
    confidence_sum: Floats
    outcome_sum: Floats
    weighted: bool = False

    @property
    def confidence(self) -> Floats:
        """Mean forecast of each bin; NaN where it is empty."""
        return _ratio(self.confidence_sum, self.weight)

    @property
    def accuracy(self) -> Floats:
        """Mean outcome of each bin; NaN where it is empty."""
        return _ratio(self.outcome_sum, self.weight)

    @property
    def gap(self) -> Floats:
        """Confidence minus accuracy of each bin, positive when over-confident; NaN where it is empty."""
        return _ratio(self.confidence_sum - self.outcome_sum, self.weight)


def bin_edges(forecast: NDArray[Any], binning: Binning, weights: Floats | None = None) -> Floats:
    """Edges of the bins, (b + 1,) from 0 to 1; only quantile bins look at the forecasts.

    See `Binning` for the definition. With weights the ranks are ranks of cumulative weight.

    Examples
    --------
    >>> bin_edges(np.array([0.6, 0.7, 0.7, 0.9]), Binning(n_bins=2, strategy="quantile"))
    array([0. , 0.7, 1. ])
    """
    if binning.strategy == "uniform":
        return np.arange(binning.n_bins + 1) / binning.n_bins
    present = present_rows(weights)
    if present is not None and weights is not None:
        forecast, weights = forecast[present], weights[present]
    if len(forecast) == 0:
        return np.array([0.0, 1.0])
    # The outermost of the upper ends is the largest forecast: 1 takes its place.
    inner = np.unique(_upper_ends(forecast, binning.n_bins, weights))[:-1]
    if binning.edges == "left":
        values = np.unique(forecast).astype(np.float64)
        inner = values[np.searchsorted(values, inner, side="right")]
    return np.concatenate([[0.0], inner[(inner > 0) & (inner < 1)], [1.0]])


def assign_bins(forecast: NDArray[Any], edges: Floats, closed: Closed = "right") -> NDArray[np.intp]:
    """Index of each forecast's bin: 0 goes to the first bin, 1 to the last, an edge to the side that is closed.

    Forecasts are widened to float64 before they are compared; the result has their shape.

    Examples
    --------
    >>> edges = np.arange(6) / 5
    >>> assign_bins(np.array([0.0, 0.2, 0.4, 0.5, 1.0]), edges)
    array([0, 0, 1, 2, 4])
    >>> assign_bins(np.array([0.0, 0.2, 0.4, 0.5, 1.0]), edges, "left")
    array([0, 1, 2, 2, 4])
    """
    n_bins = len(edges) - 1
    value = np.asarray(forecast, dtype=np.float64)
    if not np.array_equal(edges, np.arange(n_bins + 1) / n_bins):
        return _search(value, edges, closed)
    scaled = value * n_bins
    index = (np.ceil(scaled) - 1 if closed == "right" else np.floor(scaled)).astype(np.intp)
    np.clip(index, 0, n_bins - 1, out=index)
    # Both the product and the edge are rounded: near an edge only a comparison with the edge itself is right.
    scaled -= np.rint(scaled)
    near = np.abs(scaled, out=scaled) < 1e-9
    if near.any():
        index[near] = _search(value[near], edges, closed)
    return index


def bin_table(
    forecast: NDArray[Any],
    outcome: NDArray[Any],
    binning: Binning,
    *,
    weights: Floats | None = None,
    edges: Floats | None = None,
    index: NDArray[Any] | None = None,
) -> BinTable:
    """Sums per bin of (n,) forecasts and outcomes (0/1 or bool), in one pass of small steps.

    Parameters
    ----------
    forecast : ndarray of shape (n,)
        Probabilities in [0, 1].
    outcome : ndarray of shape (n,)
        1 where the forecast event happened.
    binning : Binning
        Number and kind of bins.
    weights : ndarray of shape (n,), optional
        Non-negative; equal integers act as repetition.
    edges : ndarray of shape (b + 1,), optional
        Edges to use instead of those that `binning` asks for.
    index : ndarray of shape (n,), optional
        Each row's bin between these edges, where it is known (`row_bins`).

    Returns
    -------
    BinTable

    Examples
    --------
    >>> table = bin_table(np.array([0.6, 0.7, 0.9]), np.array([1, 0, 1]), Binning(n_bins=4))
    >>> table.count, table.outcome_sum
    (array([0, 0, 2, 1]), array([0., 0., 1., 1.]))
    """
    if edges is None:
        edges = bin_edges(forecast, binning, weights)
    sums = np.zeros((len(SUMS), len(edges) - 1))
    for start in range(0, len(forecast), _CHUNK):
        rows = slice(start, start + _CHUNK)
        sums += cell_sums(
            assign_bins(forecast[rows], edges, binning.edges) if index is None else index[rows].astype(np.intp),
            forecast[rows],
            outcome[rows],
            n_cells=len(edges) - 1,
            weights=None if weights is None else weights[rows],
        )
    return table_of(edges, sums, weighted=weights is not None)


def row_bins(forecast: NDArray[Any], edges: Floats, closed: Closed = "right") -> NDArray[np.unsignedinteger[Any]]:
    """`assign_bins` for many rows: in small steps, and kept in the smallest integers that hold the bins.

    Examples
    --------
    >>> row_bins(np.array([0.3, 0.9]), np.array([0.0, 0.5, 1.0]))
    array([0, 1], dtype=uint8)
    """
    index = np.empty(len(forecast), dtype=np.min_scalar_type(max(len(edges) - 2, 0)))
    for start in range(0, len(forecast), _CHUNK):
        rows = slice(start, start + _CHUNK)
        index[rows] = assign_bins(forecast[rows], edges, closed)
    return index


def merge_tables(tables: Sequence[BinTable]) -> BinTable:
    """One table for the rows of several, which must have the same edges.

    Examples
    --------
    >>> tables = [bin_table(np.array([p]), np.array([1]), Binning(n_bins=2)) for p in (0.2, 0.7, 0.9)]
    >>> merge_tables(tables).count
    array([1, 2])
    """
    first = tables[0]
    if any(not np.array_equal(table.edges, first.edges) for table in tables):
        raise ShapeError("bin tables with different edges cannot be merged: bin the rows of all with the same edges")
    return BinTable(
        edges=first.edges,
        weighted=any(table.weighted for table in tables),
        **{name: np.sum([getattr(table, name) for table in tables], axis=0) for name in SUMS},
    )


def cell_sums(
    cells: NDArray[np.intp],
    forecast: NDArray[Any],
    outcome: NDArray[Any],
    *,
    n_cells: int,
    weights: Floats | None = None,
) -> Floats:
    """The five sums of a table over (n,) values that fall in cells 0..n_cells-1: (5, n_cells), in the order `SUMS`."""
    if weights is None and outcome.dtype == np.bool_ and len(cells) >= _CROWDED * n_cells:
        return _lane_sums(cells, forecast, outcome, n_cells)
    if weights is None:
        count = np.bincount(cells, minlength=n_cells)
        sums = [count, count, count]
    else:
        sums = [np.bincount(cells, w, n_cells) for w in (weights > 0, weights, weights**2)]
        forecast, outcome = weights * forecast, weights * outcome
    return np.stack([*sums, np.bincount(cells, forecast, n_cells), np.bincount(cells, outcome, n_cells)])


def _lane_sums(cells: NDArray[np.intp], forecast: NDArray[Any], outcome: NDArray[Any], n_cells: int) -> Floats:
    """The sums of crowded cells: an addition to a cell waits for the one before it, so neighbours go to other lanes."""
    size = _LANES * n_cells
    lanes = cells + np.tile(np.arange(0, size, n_cells), -(-len(cells) // _LANES))[: len(cells)]
    confidence = np.bincount(lanes, forecast, size).reshape(_LANES, n_cells).sum(axis=0)
    lanes += size * outcome
    misses, hits = np.bincount(lanes, minlength=2 * size).reshape(2, _LANES, n_cells).sum(axis=1)
    count = misses + hits
    return np.stack([count, count, count, confidence, hits])


def table_of(edges: Floats, sums: Floats, *, weighted: bool) -> BinTable:
    """A table from its five sums, (5, b)."""
    values = dict(zip(SUMS, sums, strict=True))
    # A float64 counts exactly up to 2^53 rows.
    count = values.pop("count").astype(np.int64)
    return BinTable(edges=edges, count=count, weighted=weighted, **values)


def _search(value: Floats, edges: Floats, closed: Closed) -> NDArray[np.intp]:
    """Bins by bisection: as many as there are inner edges below the value (or, closed on the left, not above it)."""
    return np.searchsorted(edges[1:-1], value, side="left" if closed == "right" else "right")


def _upper_ends(forecast: NDArray[Any], n_bins: int, weights: Floats | None) -> Floats:
    """Forecasts of rank ceil(j n / b), j = 1..b, or the first whose cumulative weight reaches j W / b."""
    steps = np.arange(1, n_bins + 1)
    if weights is None or np.all(weights == weights[0]):
        rank = -(-steps * len(forecast) // n_bins) - 1  # counted from 0
        return np.asarray(np.partition(forecast, np.unique(rank))[rank], dtype=np.float64)
    order = np.argsort(forecast)
    reached = np.cumsum(weights[order])
    # Multiplied before it is divided: exact for integer weights, which are ranks then.
    position = np.searchsorted(reached, steps * reached[-1] / n_bins)
    return np.asarray(forecast[order[np.minimum(position, len(order) - 1)]], dtype=np.float64)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient that is NaN, without a warning, where a bin is empty."""
    quotient = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
