"""ECE in two parts: bins that are over-confident, and bins that are under-confident. Floor 2."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._numerics import Floats
from calibkit.binning import Binning, BinTable, bin_table
from calibkit.pairs import PairView, read_pairs


def over_confidence(table: BinTable, _weights: Floats | None = None) -> Floats:
    """Sum of the gaps of bins whose forecasts are too high, (...) of a table (..., b)."""
    return _total(table.confidence_sum - table.outcome_sum, table)


def under_confidence(table: BinTable, _weights: Floats | None = None) -> Floats:
    """Sum of the gaps of bins whose forecasts are too low, (...) of a table (..., b)."""
    return _total(table.outcome_sum - table.confidence_sum, table)


def over_confidence_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> float:
    """Over-confident part of ECE: the gaps of bins whose confidence is above their accuracy.

    In [0, 1], smaller is better. With `under_confidence_error` it adds up to ECE, and less it to mean confidence minus
    accuracy: an ECE whose parts are both large comes from gaps that cancel in the mean.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive"}, optional
        By default "positive" for 1-D input, else "top-label".
    n_bins, binning, edges, weights
        As in `expected_calibration_error`.

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
    ``sum_b N_b / n max(c_b - a_b, 0)``. Like ECE it is biased upward: a calibrated model shows about half of its ECE
    by chance in each part. In view positive it is about forecasts that are too high.

    References
    ----------
    Thulasidasan et al. 2019, "On mixup training: improved calibration and predictive uncertainty for deep neural
    networks", equation 3 (an over-confidence error, there weighted by confidence).

    Examples
    --------
    >>> from calibkit import over_confidence_error, under_confidence_error
    >>> labels, probs = [1, 0, 1, 1], [0.9, 0.8, 0.3, 0.4]
    >>> round(over_confidence_error(labels, probs, n_bins=2), 3)
    0.175
    >>> round(under_confidence_error(labels, probs, n_bins=2), 3)
    0.325
    """
    how = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    return float(over_confidence(_table(labels, probs, how, view, weights)))


def under_confidence_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> float:
    """Under-confident part of ECE: the gaps of bins whose confidence is below their accuracy.

    In [0, 1], smaller is better; see `over_confidence_error`.

    Parameters
    ----------
    labels, probs, view, n_bins, binning, edges, weights
        As in `over_confidence_error`.

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
    ``sum_b N_b / n max(a_b - c_b, 0)``.

    References
    ----------
    Thulasidasan et al. 2019, "On mixup training: improved calibration and predictive uncertainty for deep neural
    networks", equation 3.

    Examples
    --------
    >>> from calibkit import under_confidence_error
    >>> round(under_confidence_error([1, 0, 1, 1], [0.9, 0.8, 0.3, 0.4], n_bins=2), 3)
    0.325
    """
    how = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    return float(under_confidence(_table(labels, probs, how, view, weights)))


def _total(gaps: Floats, table: BinTable) -> Floats:
    """Sum of what is positive of weight times gap, over the weight of all rows; NaN without rows."""
    weight = table.weight.sum()
    return np.asarray(np.maximum(gaps, 0.0).sum(axis=-1) / weight if weight > 0 else np.nan)


def _table(
    labels: ArrayLike, probs: ArrayLike, binning: Binning, view: PairView | None, weights: ArrayLike | None
) -> BinTable:
    pairs = read_pairs(labels, probs, view=view, weights=weights)
    return bin_table(pairs.forecast, pairs.outcome, binning, weights=pairs.weights)
