"""Is the label among the k most probable classes as often as their probabilities say? Floor 2."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibkit._checks import check_int
from calibkit._numerics import Floats, Integers
from calibkit.binning import Binning, bin_table
from calibkit.calibration_error import Norm, calibration_error
from calibkit.predictions import Predictions
from calibkit.scores import score_rows


def top_k_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    k: int,
    norm: Norm = "l1",
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> float:
    """Within-top-k calibration error: the k largest probabilities together against "the label is among them".

    In [0, 1], smaller is better. With k = 1 it is ECE; with k the number of classes it is 0 for any model.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes.
    probs : array_like of shape (n, n_classes) or (n,)
        Probabilities; 1-D is P(y = 1), of two classes.
    k : int
        From 1 to the number of classes.
    norm : {"l1", "l2", "max"}, default "l1"
        Mean absolute, root mean square or largest gap.
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
    A row's forecast is the sum of its k largest probabilities, its outcome whether the label is one of those classes;
    of equal probabilities the lower class comes first. Forecasts crowd near 1 as k grows, where most bins are empty:
    take quantile bins then. The k-th largest probability alone (top-r calibration) is another question.

    References
    ----------
    Gupta, Rahimi, Ajanthan, Mensink, Sminchisescu, Hartley 2021, "Calibration of neural networks using splines",
    section 2 (within-top-r).

    Examples
    --------
    >>> from calibkit import top_k_calibration_error
    >>> probs = [[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.4, 0.35, 0.25]]
    >>> round(top_k_calibration_error([1, 0, 2], probs, k=2, n_bins=1), 4)  # (.8 + .9 + .75) / 3 against 1/3
    0.4833
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    assert predictions.labels is not None
    assert predictions.n_classes is not None
    check_int(k, option="k", low=1, high=predictions.n_classes)
    how = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    best = _Best(predictions.labels, k)
    scores = score_rows(predictions, visit=best.visit)
    if predictions.is_binary and scores.positive is not None:
        best.visit(0, np.stack([1 - scores.positive, scores.positive], axis=1))
    table = bin_table(best.forecast, best.outcome, how, weights=predictions.weights)
    return calibration_error((table,), norm=norm)


class _Best:
    """The k largest probabilities of each row, taken while the scoring pass hands over its blocks."""

    def __init__(self, labels: Integers, k: int) -> None:
        self.labels = labels
        self.k = k
        self.forecast: Floats = np.empty(len(labels))
        self.outcome: NDArray[np.bool_] = np.empty(len(labels), dtype=np.bool_)

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, n_classes) of the rows from `start` on; rows of their own in each call."""
        rows = slice(start, start + len(block))
        n_classes, labels = block.shape[1], self.labels[rows, None]
        largest = np.partition(block, n_classes - self.k, axis=1)[:, n_classes - self.k :]
        self.forecast[rows] = np.clip(largest.sum(axis=1, dtype=np.float64), 0.0, 1.0)
        of_label = np.take_along_axis(block, labels, axis=1)  # (r, 1)
        before = (block > of_label) | ((block == of_label) & (np.arange(n_classes) < labels))
        self.outcome[rows] = before.sum(axis=1) < self.k
