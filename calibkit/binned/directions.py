"""ECE in two parts: bins that are over-confident, and bins that are under-confident. Floor 2."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._numerics import Floats
from calibkit.binning import Binning, bin_table
from calibkit.pairs import Pairs, PairView, read_pairs


def over_confidence(pairs: Pairs, binning: Binning) -> float:
    """Sum of the gaps of bins whose forecasts are too high."""
    return _total(np.maximum(_gaps(pairs, binning), 0.0))


def under_confidence(pairs: Pairs, binning: Binning) -> float:
    """Sum of the gaps of bins whose forecasts are too low."""
    return _total(np.maximum(-_gaps(pairs, binning), 0.0))


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
    return over_confidence(read_pairs(labels, probs, view=view, weights=weights), how)


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
    return under_confidence(read_pairs(labels, probs, view=view, weights=weights), how)


def _gaps(pairs: Pairs, binning: Binning) -> Floats:
    """Share of the rows times gap, of each bin; none without rows."""
    table = bin_table(pairs.forecast, pairs.outcome, binning, weights=pairs.weights)
    if len(pairs) == 0:
        return np.empty(0)
    return np.asarray((table.confidence_sum - table.outcome_sum) / table.weight.sum())


def _total(parts: Floats) -> float:
    return float(parts.sum()) if len(parts) else float("nan")
