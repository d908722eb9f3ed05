"""Binned calibration error and the reliability curve: one number and one curve from the same bin tables. Floor 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibkit._checks import check_choice, check_level
from calibkit._numerics import Floats, Integers, group_codes, sums_by
from calibkit.binning import Binning, BinTable
from calibkit.bracket import BinnedRows
from calibkit.class_tables import stacked
from calibkit.errors import OptionError
from calibkit.peer_conventions import Convention, peer_error
from calibkit.predictions import Predictions
from calibkit.proportions import exact_interval, wilson_interval
from calibkit.views import View, score_and_bin

Norm = Literal["l1", "l2", "max"]
NORMS: tuple[Norm, ...] = ("l1", "l2", "max")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReliabilityCurve:
    """Mean confidence and accuracy of each bin, with the accuracy's interval: what a reliability diagram draws.

    Attributes
    ----------
    view : str
        Which forecast and outcome were binned.
    edges : ndarray of shape (b + 1,)
        From 0 to 1.
    count : ndarray of shape (b,), int64
        Rows of each bin; empty bins are kept.
    confidence, accuracy : ndarray of shape (b,)
        Means over the rows of each bin, in [0, 1]; NaN where it is empty. Calibrated: equal.
    low, high : ndarray of shape (b,) or None
        Wilson interval of the accuracy (of grouped rows the exact one), NaN where the bin is empty; None where no
        intervals were asked for.

    Examples
    --------
    >>> from calibkit import reliability_curve
    >>> reliability_curve([1, 0, 1, 1], [0.6, 0.7, 0.8, 0.9], n_bins=2).accuracy
    array([ nan, 0.75])
    """

    view: str
    edges: Floats
    count: Integers
    confidence: Floats
    accuracy: Floats
    low: Floats | None
    high: Floats | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; what an empty bin does not have is null."""
        vectors = {name: _plain(getattr(self, name)) for name in ("confidence", "accuracy", "low", "high")}
        return {"view": self.view, "edges": self.edges.tolist(), "count": self.count.tolist(), **vectors}


def calibration_error(tables: Sequence[BinTable], *, norm: Norm) -> float:
    """Calibration error of a view: the mean over its bin tables (one a class in view classwise, else one).

    Examples
    --------
    >>> from calibkit.binning import bin_table
    >>> table = bin_table(np.array([0.6, 0.7, 0.9]), np.array([1, 0, 1]), Binning(n_bins=4))
    >>> round(calibration_error((table,), norm="l1"), 4), round(calibration_error((table,), norm="max"), 4)
    (0.1333, 0.15)
    """
    return float(np.mean(table_errors(tables, norm=norm)))


def table_errors(tables: Sequence[BinTable], *, norm: Norm) -> Floats:
    """Calibration error of each table, (k,); NaN without rows.

    Examples
    --------
    >>> from calibkit.binning import bin_table
    >>> tables = [bin_table(np.array([p]), np.array([1]), Binning()) for p in (0.5, 0.75)]
    >>> table_errors(tables, norm="l1")
    array([0.5 , 0.25])
    """
    return np.concatenate([np.atleast_1d(_ERRORS[norm](table)) for table in stacked(tables)])


def curve_of(
    table: BinTable, view: str, *, level: float | None, rows: BinnedRows | None = None, weights: Floats | None = None
) -> ReliabilityCurve:
    """The reliability curve of a bin table, with Wilson intervals at a level.

    Intervals are those of the effective count ``(sum w)^2 / sum w^2`` of a bin. With `rows` that have groups (and with
    their `weights`, if any), w is the total of a group in the bin: its rows count as one, however dependent they are.
    These few units have the exact interval of Clopper and Pearson: where most samples show no miss, Wilson's covers
    less than it says.

    Examples
    --------
    >>> from calibkit.binning import bin_table
    >>> table = bin_table(np.array([0.6, 0.7, 0.9]), np.array([1, 0, 1]), Binning(n_bins=2))
    >>> curve_of(table, "positive", level=0.95).low.round(3)
    array([ nan, 0.208])
    """
    low = high = None
    if level is not None:
        size = np.zeros(len(table.count))
        squares = table.weight_squared if rows is None else _squares_of_units(rows, weights)
        np.divide(table.weight**2, squares, out=size, where=table.count > 0)
        interval = wilson_interval if rows is None or rows.groups is None else exact_interval
        low, high = interval(np.clip(table.accuracy, 0, 1), size, level=level)
    return ReliabilityCurve(
        view=view,
        edges=table.edges,
        count=table.count,
        confidence=table.confidence,
        accuracy=table.accuracy,
        low=low,
        high=high,
    )


def expected_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    norm: Norm = "l1",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
    convention: Convention | None = None,
) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over bins of confidence.

    In [0, 1], smaller is better. Biased upward for few rows or many bins, and different in every view: compare values
    of one convention alone, and see `evaluate` for the interval.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive", "classwise", "flattened"}, optional
        Which forecast and outcome are binned: by default "positive" for 1-D probabilities, else "top-label".
    n_bins : int, default 15
        Number of bins (Guo et al. 2017).
    binning : {"uniform", "quantile"}, default "uniform"
        Bins of equal width or of equal count; ties are never split.
    norm : {"l1", "l2", "max"}, default "l1"
        ECE, root mean square calibration error, or maximum calibration error (MCE).
    edges : {"right", "left"}, default "right"
        The closed end of a bin; 0 and 1 are always inside.
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.
    convention : {"torchmetrics", "netcal", "sklearn", "guo"}, optional
        Give that package's number on the same data, to compare with published ones: its edges, its rounding and its
        view, its lost rows and extra bins included (docs/conventions.md names them). Only n_bins goes with it.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    With weight W_b, mean confidence c_b and accuracy a_b of the rows in bin b, and W = sum W_b:
    "l1" is sum_b W_b / W |c_b - a_b|, "l2" the root of sum_b W_b / W (c_b - a_b)^2, "max" the largest |c_b - a_b| of a
    bin that is not empty. In view "classwise" it is the mean over classes of the one-versus-rest error. Quantile bins
    in the views "classwise" and "flattened" hold all n k probabilities in memory.

    References
    ----------
    Naeini, Cooper, Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning", section 4.
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", eq. 3 and 5.

    Examples
    --------
    Confidences .65 and .75 share a bin and are right once, .95 is right: |.7 - .5| 2/3 + |.95 - 1| 1/3.

    >>> from calibkit import expected_calibration_error
    >>> probs = [[0.65, 0.35], [0.25, 0.75], [0.05, 0.95]]
    >>> round(expected_calibration_error([0, 0, 1], probs, n_bins=5), 4)
    0.15
    """
    check_choice(norm, NORMS, option="norm")
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    if convention is not None:
        _check_alone(view=view, weights=weights, binning=binning, norm=norm, edges=edges)
        return peer_error(predictions, n_bins=n_bins, convention=convention)
    _, binned = score_and_bin(
        predictions, view=view, binning=Binning(n_bins=n_bins, strategy=binning, edges=edges), keep_rows=False
    )
    return calibration_error(binned.tables, norm=norm)


def _check_alone(**options: object) -> None:
    """Raise if an option that a convention decides was given beside it."""
    usual = {"view": None, "weights": None, "binning": "uniform", "norm": "l1", "edges": "right"}
    given = [
        name for name, value in options.items() if not (value is None or isinstance(value, str)) or value != usual[name]
    ]
    if given:
        raise OptionError(f"a convention decides {', '.join(given)} itself: leave that out, or leave out convention.")


def reliability_curve(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
    confidence_level: float | None = 0.95,
) -> ReliabilityCurve:
    """Mean confidence and accuracy in bins of confidence: the points of a reliability diagram.

    Calibrated forecasts lie on the diagonal, accuracy = confidence, both in [0, 1].

    Parameters
    ----------
    labels, probs, view, n_bins, binning, edges, weights
        As in `expected_calibration_error`. View "classwise" has a curve for each class: the one returned is that of
        view "top-label", and says so in its `view`.
    confidence_level : float or None, default 0.95
        Level of the Wilson interval of each bin's accuracy; None for no interval.

    Returns
    -------
    ReliabilityCurve
        Empty bins are kept, with count 0 and NaN.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    References
    ----------
    DeGroot, Fienberg 1983, "The comparison and evaluation of forecasters".
    Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> from calibkit import reliability_curve
    >>> curve = reliability_curve([1, 0, 1, 1], [0.15, 0.7, 0.8, 0.9], n_bins=3)
    >>> curve.count, curve.accuracy.round(3)
    (array([1, 0, 3]), array([1.   , nan, 0.667]))
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    level = check_level(confidence_level)
    _, binned = score_and_bin(
        predictions, view=view, binning=Binning(n_bins=n_bins, strategy=binning, edges=edges), keep_rows=False
    )
    return curve_of(binned.reliability, binned.reliability_view, level=level)


def _squares_of_units(rows: BinnedRows, weights: Floats | None) -> Floats:
    """Per bin, the sum of the squared weights of its independent units: rows, or a group's rows together."""
    if rows.groups is None:
        return rows.table.weight_squared
    codes, _ = group_codes(rows.groups)
    b = len(rows.table.count)
    cells, place = np.unique(codes * b + rows.index, return_inverse=True)
    totals = sums_by(place, np.ones(len(place)) if weights is None else weights, len(cells))
    return sums_by(cells % b, totals**2, b)


def _l1(table: BinTable) -> Floats:
    return _over_weight(np.abs(table.confidence_sum - table.outcome_sum), table)


def _l2(table: BinTable) -> Floats:
    return np.asarray(np.sqrt(_over_weight(table.weight * np.where(table.count > 0, table.gap, 0.0) ** 2, table)))


def _max(table: BinTable) -> Floats:
    gaps = np.where(table.count > 0, np.abs(table.gap), -np.inf).max(axis=-1)
    return np.asarray(np.where(table.count.any(axis=-1), gaps, np.nan))


_ERRORS = {"l1": _l1, "l2": _l2, "max": _max}


def _over_weight(parts: Floats, table: BinTable) -> Floats:
    """Sum over bins of parts (..., b), over the weight of all rows."""
    total, weight = parts.sum(axis=-1), table.weight.sum(axis=-1)
    return np.asarray(np.divide(total, weight, out=np.full(np.shape(total), np.nan), where=weight > 0))


def _plain(vector: NDArray[Any] | None) -> list[float | None] | None:
    return None if vector is None else [None if np.isnan(value) else float(value) for value in vector]
