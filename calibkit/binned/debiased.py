"""Squared calibration error without the bias that noise in the bins' accuracies gives it. Floor 2."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_choice, check_counts
from calibkit._numerics import Floats
from calibkit.binning import Binning, BinTable, bin_table
from calibkit.pairs import PairView, read_pairs

SquaredNorm = Literal["l2", "l2_squared"]


def debiased_square(table: BinTable, weights: Floats | None = None) -> Floats:
    """Debiased mean squared gap, unclipped, (...) of a table (..., b); its rows' weights are counts.

    Examples
    --------
    Two bins of two rows: gaps .25 and -.15, both accuracies 1/2: ((.0625 - .25) + (.0225 - .25)) / 2.

    >>> table = bin_table(np.array([0.8, 0.7, 0.3, 0.4]), np.array([1, 0, 1, 0]), Binning(n_bins=2))
    >>> float(debiased_square(table).round(4))
    -0.2075
    """
    check_counts(weights, what="debiased errors", other='expected_calibration_error(norm="l2")')
    seen = table.weight > 1
    size = np.where(seen, table.weight, 2.0)
    squares = np.where(seen, table.gap**2 - table.accuracy * (1 - table.accuracy) / (size - 1), 0.0)
    total = table.weight.sum()
    return np.asarray((table.weight * squares).sum(axis=-1) / total if total > 0 else np.nan)


def debiased_rmsce(table: BinTable, weights: Floats | None = None) -> Floats:
    """Root of the debiased square, 0 where that is negative."""
    return np.asarray(np.sqrt(np.maximum(debiased_square(table, weights), 0.0)))


def debiased_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    norm: SquaredNorm = "l2",
    view: PairView | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> float:
    """Debiased l2 calibration error: the root mean square gap less what noise alone adds to it.

    In [0, 1], smaller is better; the square is in [-1/4, 1].

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    norm : {"l2", "l2_squared"}, default "l2"
        The root of the square clipped at 0, or the square itself, unclipped: only that one has no bias, and only its
        mean over files or bins of a study means something. Of calibrated models about half are below 0.
    view : {"top-label", "positive"}, optional
        By default "positive" for 1-D input, else "top-label".
    n_bins, binning, edges
        As in `expected_calibration_error`.
    weights : array_like of shape (n,), optional
        How often each row occurs, in whole numbers.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or a weight is not a whole number.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    ``sum_b N_b / n [(c_b - a_b)^2 - a_b (1 - a_b) / (N_b - 1)]``: the second term is an unbiased estimate of the
    variance of a_b given the forecasts (if those of a bin are equal; else too large by the variance of their true
    rates over N_b - 1). A bin of one row shows no variance and counts as 0, so with very many bins the number is too
    small. The error is that of the binned
    forecast, a lower bound of the error without bins. There is no such correction of l1: halving its bias by
    resampling, as some packages do, leaves a biased number; see the chance level of ECE instead.

    References
    ----------
    Bröcker 2012, "Estimating reliability and resolution of probability forecasts through decomposition of the
    empirical score", section 3. Ferro, Fricker 2012, "A bias-corrected decomposition of the Brier score", equation 6.
    Kumar, Liang, Ma 2019, "Verified uncertainty calibration", definition 4.1.

    Examples
    --------
    >>> from calibkit import debiased_calibration_error
    >>> labels, probs = [1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.9, 0.9, 0.9, 0.4, 0.4, 0.4, 0.4]
    >>> round(debiased_calibration_error(labels, probs, n_bins=2, norm="l2_squared"), 5)
    0.06
    """
    check_choice(norm, ("l2", "l2_squared"), option="norm")
    pairs = read_pairs(labels, probs, view=view, weights=weights)
    how = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    table = bin_table(pairs.forecast, pairs.outcome, how, weights=pairs.weights)
    return float((debiased_rmsce if norm == "l2" else debiased_square)(table, pairs.weights))
