"""ECE as other packages bin it: their number on the same data, defects included. Floor 2."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import check_choice, check_n_bins
from calibkit._numerics import Floats
from calibkit.predictions import Predictions
from calibkit.scores import score_rows
from calibkit.views import View, resolve_view

Convention = Literal["torchmetrics", "netcal", "sklearn", "guo"]
Cells = NDArray[np.intp]


def peer_error(predictions: Predictions, *, n_bins: int, convention: Convention) -> float:
    """Expected calibration error by a peer's convention.

    Parameters
    ----------
    predictions : Predictions
        Probabilities, in the precision in which the peer would get them.
    n_bins : int
        Number of bins; the peers' own defaults are 15 (torchmetrics, Guo), 10 (netcal) and 5 (scikit-learn).
    convention : {"torchmetrics", "netcal", "sklearn", "guo"}
        Whose number.

    Returns
    -------
    float
        In [0, 1]; NaN without rows.

    Notes
    -----
    ``sum_b |sum of (confidence - outcome) over the rows of bin b| / n``, where rows that a peer loses count in n alone.
    The peers differ in edges, in their rounding, and in the view: see docs/conventions.md.

    Examples
    --------
    A confidence of exactly 1 has a bin of its own in torchmetrics; with ten bins the other rule gives 0.475.

    >>> said = Predictions.from_probs([0, 1], [[0.95, 0.05], [1.0, 0.0]])
    >>> [round(peer_error(said, n_bins=10, convention=c), 3) for c in ("torchmetrics", "guo")]
    [0.525, 0.475]
    """
    peer = _PEERS[check_choice(convention, tuple(_PEERS), option="convention")]
    check_n_bins(n_bins)
    view = resolve_view(predictions, peer.view(predictions))
    forecast, outcome = _pairs(predictions, view)
    if len(forecast) == 0:
        return float("nan")
    given = predictions.values.dtype
    dtype = np.dtype(np.float32) if peer.in_float32(view) else given
    forecast = forecast.astype(dtype).astype(np.float64)
    if peer.clips:
        smallest = float(np.finfo(given).eps)
        forecast = np.clip(forecast, smallest, 1 - smallest)
    averaged = peer.cells(forecast, n_bins, dtype)
    counted = averaged if peer.counted is None else peer.counted(forecast, n_bins, dtype)
    return _error(forecast - outcome, counted=counted, averaged=averaged)


def _error(gaps: Floats, *, counted: Cells, averaged: Cells) -> float:
    """``sum_b n_b / n |mean gap of bin b|``, for rows whose bin is -1 in n alone.

    A peer may count the rows of a bin by one rule and average over them by another.
    """
    n_cells = int(max(counted.max(), averaged.max())) + 1
    sizes = np.bincount(counted[counted >= 0], minlength=n_cells)
    kept = averaged >= 0
    held = np.bincount(averaged[kept], minlength=n_cells)
    sums = np.bincount(averaged[kept], gaps[kept], minlength=n_cells)
    return float(np.sum(sizes * np.abs(sums) / np.maximum(held, 1)) / len(gaps))


def _pairs(predictions: Predictions, view: View) -> tuple[Floats, NDArray[np.bool_]]:
    """Forecast and outcome of each row, (n,)."""
    scores = score_rows(predictions)
    if view == "top-label":
        return scores.confidence, scores.correct
    assert scores.positive is not None  # resolve_view refuses predictions without it
    assert predictions.labels is not None
    return scores.positive, predictions.labels == 1


def _even(n_bins: int, dtype: np.dtype[Any]) -> Floats:
    """Edges as ``torch.linspace(0, 1, n_bins + 1)`` rounds them, widened.

    torch counts from both ends and rounds each product and sum once (fused), which exact fractions imitate anywhere.
    """
    step = Fraction(float(dtype.type(1) / dtype.type(n_bins)))
    exact = (step * j if j < (n_bins + 1) // 2 else 1 - step * (n_bins - j) for j in range(n_bins + 1))
    return np.array([float(edge) for edge in exact]).astype(dtype).astype(np.float64)


def _torchmetrics(forecast: Floats, n_bins: int, dtype: np.dtype[Any]) -> Cells:
    """[lo, hi), and a bin more for a confidence of exactly 1."""
    return np.searchsorted(_even(n_bins, dtype), forecast, side="right") - 1


def _netcal_counted(forecast: Floats, n_bins: int, _dtype: np.dtype[Any]) -> Cells:
    """[lo, hi), by NumPy's edges: the rows that netcal's ``histogramdd`` counts."""
    return np.searchsorted(np.linspace(0, 1, n_bins + 1), forecast, side="right") - 1


def _netcal(forecast: Floats, n_bins: int, dtype: np.dtype[Any]) -> Cells:
    """The same by edges in the type of the probabilities: the rows that its ``binned_statistic_dd`` averages over."""
    edges = np.linspace(0, 1, n_bins + 1).astype(dtype).astype(np.float64)
    return np.searchsorted(edges, forecast, side="right") - 1


def _sklearn(forecast: Floats, n_bins: int, _dtype: np.dtype[Any]) -> Cells:
    """(lo, hi], by NumPy's edges; 0 in the first bin."""
    return np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], forecast, side="left")


def _guo(forecast: Floats, n_bins: int, _dtype: np.dtype[Any]) -> Cells:
    """(lo, hi], by float32 edges; a confidence of 0 is in no bin (-1)."""
    return np.searchsorted(_even(n_bins, np.dtype(np.float32)), forecast, side="left") - 1


def _by_shape(predictions: Predictions) -> View:
    return "positive" if predictions.is_binary else "top-label"


def _two_columns_are_positive(predictions: Predictions) -> View:
    return "positive" if predictions.n_classes == 2 else "top-label"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """How a peer bins: the view that it takes, the bin of each forecast, and what it does to forecasts first.

    ``counted`` is the bin in which a forecast is counted where that is another; ``in_float32`` tells in which view
    forecasts are rounded.
    """

    view: Callable[[Predictions], View]
    cells: Callable[[Floats, int, np.dtype[Any]], Cells]
    counted: Callable[[Floats, int, np.dtype[Any]], Cells] | None = None
    clips: bool = False
    in_float32: Callable[[View], bool] = lambda _: False


_PEERS = MappingProxyType(
    {
        "torchmetrics": _Peer(view=_by_shape, cells=_torchmetrics, in_float32=lambda view: view == "top-label"),
        "netcal": _Peer(view=_two_columns_are_positive, cells=_netcal, counted=_netcal_counted, clips=True),
        "sklearn": _Peer(view=lambda _: "positive", cells=_sklearn),
        "guo": _Peer(view=lambda _: "top-label", cells=_guo),
    }
)
