"""Calibration of each class alone: one-versus-rest, or among the rows that are predicted as the class. Floor 2."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._numerics import Floats, Integers
from calibkit.binning import SUMS, Binning, BinTable, bin_table
from calibkit.bracket import Chance
from calibkit.calibration_error import Norm, calibration_error, expected_calibration_error, table_errors
from calibkit.class_tables import stacked
from calibkit.errors import ShapeError
from calibkit.predictions import Predictions
from calibkit.resampling import chance
from calibkit.scores import RowScores, score_rows
from calibkit.views import score_and_bin

# Values that are read at a time.
_STEP = 1 << 18

# Calibrated models drawn for k times as many cells as ECE has.
_DRAWS = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassCalibration:
    """Calibration of every class against the rest; vectors of shape (k,).

    Attributes
    ----------
    class_names : tuple of str or None
        Names of the classes, in their order.
    count : ndarray of int64
        Rows whose label is the class.
    frequency, mean_probability : ndarray
        Share of the rows (of their weight) that are of the class, and its mean probability, in [0, 1].
    gap : ndarray
        Mean probability minus frequency: positive for a class that is forecast too often.
    error : ndarray
        Calibration error of P(class) against label = class, in [0, 1].

    Examples
    --------
    >>> table = class_calibration([0, 1, 1], [[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.1, 0.7, 0.2]])
    >>> table.count, table.gap.round(3), table.error.round(3)
    (array([1, 2, 0]), array([ 0.067, -0.133,  0.067]), array([0.267, 0.333, 0.067]))
    """

    class_names: tuple[str, ...] | None
    count: Integers
    frequency: Floats
    mean_probability: Floats
    gap: Floats
    error: Floats

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: a list for each column; NaN, without rows, is null."""
        names = ("count", "frequency", "mean_probability", "gap", "error")
        columns = {name: [None if np.isnan(v) else v for v in getattr(self, name).tolist()] for name in names}
        return {"class_names": None if self.class_names is None else list(self.class_names), **columns}


def classwise_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    norm: Norm = "l1",
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> float:
    """Classwise calibration error: the mean over classes of the error of P(class) against label = class.

    In [0, 1], smaller is better; with many classes it is small for any model, since most probabilities are close to 0
    and right: about 2 / k at most, so compare it only for the same k.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1), of which both classes have the same error.
    norm : {"l1", "l2", "max"}, default "l1"
        Mean absolute, root mean square or largest gap, of each class.
    n_bins : int, default 15
        Number of bins of each class.
    binning : {"uniform", "quantile"}, default "uniform"
        Bins of equal width: the static calibration error (SCE). Of equal count: the adaptive one (ACE).
    edges, weights
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
    ``1/k sum_c sum_b N_bc / n |mean p_c - share of c|``. Classes that never occur count, with frequency 0; see
    `class_calibration` for the classes one by one. Nixon et al. divide by the number of bins where bins are of equal
    count, which is the same; their ACE and SCE are not top-label errors. It is `expected_calibration_error` in view
    "classwise".

    References
    ----------
    Nixon, Dusenberry, Zhang, Jerfel, Tran 2019, "Measuring calibration in deep learning", sections 3.2 and 4.
    Kull et al. 2019, "Beyond temperature scaling", section 3 (classwise-ECE).

    Examples
    --------
    >>> from calibkit import classwise_calibration_error
    >>> probs = [[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.1, 0.7, 0.2]]
    >>> round(classwise_calibration_error([0, 1, 1], probs), 4)
    0.2222
    """
    return expected_calibration_error(
        labels, probs, view="classwise", norm=norm, n_bins=n_bins, binning=binning, edges=edges, weights=weights
    )


def classwise_error(predictions: Predictions, _scores: RowScores, binning: Binning) -> float:
    """Mean over classes of the l1 error of P(class) against label = class, from one more reading of the array."""
    _, binned = score_and_bin(predictions, view="classwise", binning=binning, keep_rows=False)
    return mean_of_classes(binned.tables)


def mean_of_classes(tables: Sequence[BinTable]) -> float:
    """Mean over classes of the l1 error of P(class) against label = class, from the table of each class."""
    return calibration_error(tables, norm="l1")


def class_calibration(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    norm: Norm = "l1",
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
    class_names: tuple[str, ...] | None = None,
) -> ClassCalibration:
    """Calibration of each class against the rest: which classes a model forecasts too often, and how far it is off.

    Parameters
    ----------
    labels, probs, norm, n_bins, binning, edges, weights
        As in `classwise_calibration_error`, which is the mean of the column ``error``.
    class_names : tuple of str, optional
        Names of the classes; labels may then be names.

    Returns
    -------
    ClassCalibration
        A row for each class.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    A class of few rows has a noisy error: with its count m the error of a calibrated model is of the order
    ``sqrt(m) / n`` in each bin.

    References
    ----------
    Nixon, Dusenberry, Zhang, Jerfel, Tran 2019, "Measuring calibration in deep learning", section 3.2.

    Examples
    --------
    >>> from calibkit import class_calibration
    >>> class_calibration([0, 1, 1], [[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]]).error.round(3)
    array([0.267, 0.267])
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights, class_names=class_names)
    how = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    _, binned = score_and_bin(predictions, view="classwise", binning=how, keep_rows=False)
    tables = binned.tables
    assert predictions.labels is not None  # from_probs has them
    total = tables[0].weight.sum()
    with np.errstate(invalid="ignore"):
        frequency, mean_probability = (
            np.concatenate([np.atleast_1d(getattr(table, name).sum(axis=-1)) for table in stacked(tables)]) / total
            for name in ("outcome_sum", "confidence_sum")
        )
    return ClassCalibration(
        class_names=predictions.class_names,
        count=np.bincount(predictions.labels, minlength=len(tables)),
        frequency=frequency,
        mean_probability=mean_probability,
        gap=mean_probability - frequency,
        error=table_errors(tables, norm=norm),
    )


def conditional_error(predictions: Predictions, scores: RowScores, binning: Binning) -> float:
    """Mean absolute gap over bins of confidence within each predicted class."""
    return calibration_error((_conditional_table(predictions, scores, binning),), norm="l1")


def conditional_chance(
    predictions: Predictions, scores: RowScores, binning: Binning, *, rng: np.random.Generator
) -> Chance:
    """What a calibrated model would show of it: each row has one outcome, and a place among k times the bins."""
    return chance(_conditional_table(predictions, scores, binning), rng=rng, n_draws=_DRAWS)


def _conditional_table(predictions: Predictions, scores: RowScores, binning: Binning) -> BinTable:
    """The bins of all predicted classes, one class after the other, as one long table."""
    predicted, weights = _predicted(predictions, scores), predictions.weights
    order = np.argsort(predicted, kind="stable")
    tables = [
        bin_table(
            scores.confidence[rows], scores.correct[rows], binning, weights=None if weights is None else weights[rows]
        )
        for rows in np.split(order, np.flatnonzero(np.diff(predicted[order])) + 1)
    ]
    joined: dict[str, Any] = {name: np.concatenate([getattr(table, name) for table in tables]) for name in SUMS}
    return replace(tables[0], **joined)


def class_conditional_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> float:
    """Top-label calibration error within each predicted class: an 80 % "cat" is to be right in 80 %, a "dog" too.

    In [0, 1], smaller is better; at least ECE over the same bins, which lets classes that are over-confident make up
    for classes that are under-confident.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1), and the folded forecast of class 0 or 1 is taken.
    n_bins, binning, edges, weights
        As in `expected_calibration_error`; each predicted class has its own bins.

    Returns
    -------
    float
        NaN without rows. Classes that are never predicted have no rows and no part in it.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    ``sum_l sum_b N_lb / n |c_lb - a_lb|`` over predicted classes l and bins b of confidence. There are k times as many
    cells as in ECE, so it is biased upward more: with 10,000 rows and 100 classes, mostly by noise. Rows
    that are wrong are read once more for the predicted class.

    References
    ----------
    Gupta, Ramdas 2022, "Top-label calibration and multiclass-to-binary reductions", equation 3 (conf-ECE: 2).

    Examples
    --------
    Predictions of class 0 are too sure by .3, those of class 1 too unsure by .3; confidence alone shows neither.

    >>> from calibkit import class_conditional_calibration_error, expected_calibration_error
    >>> labels, probs = [0, 1, 1, 1], [[0.7, 0.3], [0.9, 0.1], [0.3, 0.7], [0.1, 0.9]]
    >>> round(class_conditional_calibration_error(labels, probs, n_bins=1), 2)
    0.25
    >>> round(expected_calibration_error(labels, probs, n_bins=1), 2)
    0.05
    """
    predictions = Predictions.from_probs(labels, probs, weights=weights)
    return conditional_error(
        predictions, score_rows(predictions), Binning(n_bins=n_bins, strategy=binning, edges=edges)
    )


def _predicted(predictions: Predictions, scores: RowScores) -> Integers:
    """Predicted class of each row, the lowest of tied ones."""
    if predictions.predicted is not None:
        return predictions.predicted
    if predictions.kind == "correct":
        raise ShapeError("correctness and confidence do not tell which class was predicted.")
    values = predictions.values
    if predictions.is_binary:
        middle = 0.0 if predictions.kind == "logits" else 0.5
        return np.asarray(values > middle).astype(np.int64)
    assert predictions.labels is not None  # (n, k) values have them
    predicted = predictions.labels.copy()
    wrong = np.flatnonzero(~scores.correct)
    step = max(1, _STEP // values.shape[1])
    for start in range(0, len(wrong), step):
        rows = wrong[start : start + step]
        predicted[rows] = values[rows].argmax(axis=1)
    return predicted
