"""The rows that a calibrator is fitted on or applied to: checked, with columns that are classes. Floor 2."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import SNAP, Source, check_matrix, check_weights, read_column
from calibkit._checks.arrays import check_rows, check_vector
from calibkit._numerics import Floats, Integers
from calibkit.errors import DataError, LabelError, ShapeError
from calibkit.predictions import Predictions
from calibkit.scores.row_scores import sigmoid

Input = Literal["logits", "probs"]
INPUTS: tuple[Input, ...] = ("logits", "probs")
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRows:
    """Rows to fit on: predictions that were checked, and the weight of each row."""

    predictions: Predictions
    weights: Floats

    @property
    def labels(self) -> Integers:
        """Class numbers, shape (n,)."""
        assert self.predictions.labels is not None
        return self.predictions.labels

    @property
    def n_classes(self) -> int:
        """Number k of classes."""
        assert self.predictions.n_classes is not None
        return self.predictions.n_classes

    def blocks(self) -> Iterator[slice]:
        """The rows, a cache-sized block of (n, k) values at a time."""
        step = max(1, _BLOCK // self.n_classes)
        return (slice(start, start + step) for start in range(0, len(self.labels), step))


def forecast(values: NDArray[Any], kind: Input, *, labels: NDArray[Any] | None = None, **options: Any) -> Predictions:
    """Predictions of a stated kind; without labels, such that only the forecast can be wrong."""
    codes = np.zeros(len(values), np.int64) if labels is None else labels
    make = Predictions.from_logits if kind == "logits" else Predictions.from_probs
    return make(codes, values, **options)


def check_values(predictions: Predictions) -> None:
    """Raise for the first value of an (n, k) forecast that is not what it is said to be."""
    if predictions.is_binary:
        return
    epsilon = float(np.finfo(predictions.values.dtype).eps)
    check_matrix(
        predictions.kind,
        predictions.values,
        array_name=predictions.kind,
        source=Source(name=predictions.name),
        tolerance=np.inf if predictions.sum_tolerance is None else predictions.sum_tolerance,
        slack=SNAP * epsilon,
    )


def log_scores(predictions: Predictions) -> Floats:
    """Logits as they are, probabilities as logarithms; (n, k) in float64, a 1-D forecast as that of two classes."""
    values = np.ascontiguousarray(predictions.values, dtype=np.float64)
    if predictions.kind == "probs":
        values = np.clip(values, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            if values.ndim == 1:
                return np.stack([np.log1p(-values), np.log(values)], axis=1)
            return np.log(values)
    return np.stack([np.zeros(len(values)), values], axis=1) if values.ndim == 1 else values


def finite_log_scores(predictions: Predictions, what: str) -> Floats:
    """`log_scores`, refused where a class has p = 0: no factor and no sum can scale its logarithm."""
    scores = log_scores(predictions)
    _refuse_certainty(~np.isfinite(scores), predictions, what)
    return scores


def _refuse_certainty(bad: NDArray[np.bool_], predictions: Predictions, what: str) -> None:
    """Raise for the first class that a row excludes."""
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        count = int(bad.any(axis=1).sum())
        fix = "pass clip=1e-6" if predictions.kind == "probs" else "raise it, or leave the class out"
        raise DataError(
            f"{Source(name=predictions.name).at(predictions.kind, row, column)}: p = 0 ({count:,} of {len(bad):,} rows "
            f"hold such values), which {what} cannot scale, for its logarithm is -inf; {fix}."
        )


def probabilities(predictions: Predictions) -> Floats:
    """Probabilities (n, k) in float64; a 1-D forecast as that of two classes."""
    values = np.ascontiguousarray(predictions.values, dtype=np.float64)
    if predictions.kind == "probs":
        values = np.clip(values, 0.0, 1.0)
        return np.stack([1.0 - values, values], axis=1) if values.ndim == 1 else values
    if values.ndim == 1:
        with np.errstate(over="ignore"):
            return np.stack([sigmoid(-values), sigmoid(values)], axis=1)
    return softmax(values)


def log_softmax(scores: Floats) -> Floats:
    """Logarithm of the softmax of each row."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def softmax(scores: Floats) -> Floats:
    """Softmax of each row."""
    terms = np.asarray(scores - scores.max(axis=1, keepdims=True))
    np.exp(terms, out=terms)
    terms /= terms.sum(axis=1, keepdims=True)
    return terms


def log_odds_of_classes(predictions: Predictions, what: str) -> tuple[Floats, Floats]:
    """Log p and log(1 - p) of every class, (n, k) each, with no cancellation where p is close to 1."""
    log_p = log_softmax(finite_log_scores(predictions, what))
    with np.errstate(divide="ignore"):
        rest = np.log1p(-np.exp(log_p))
    rows, top = np.arange(len(log_p)), log_p.argmax(axis=1)
    others = log_p.copy()
    others[rows, top] = -np.inf
    peak = others.max(axis=1)
    rest[rows, top] = peak + np.log(np.exp(others - peak[:, None]).sum(axis=1))
    return log_p, rest


def with_baseline(logits: NDArray[Any]) -> NDArray[Any]:
    """Logits (n, k) from log-odds (n, k - 1) against the first class."""
    return np.concatenate([np.zeros((len(logits), 1), logits.dtype), logits], axis=1)


def label_codes(y: NDArray[Any], columns: tuple[int, ...], kind: Input) -> tuple[NDArray[Any], NDArray[Any]]:
    """Class numbers and the label of each column: 0..k-1, or k distinct labels in their sorted order.

    Of logits, the first of k + 1 labels may have no column: the others are log-odds against it, as 1-D logits are.
    """
    n_classes = columns[0] if columns else 2
    if y.dtype.kind in "biuf" and ((y >= 0) & (y < n_classes)).all():
        return y.astype(np.int64), np.arange(n_classes, dtype=y.dtype if y.dtype.kind != "b" else np.int64)
    classes, codes = np.unique(y, return_inverse=True)
    extra = len(classes) - n_classes
    negative = y.dtype.kind in "if" and bool((y < 0).any())  # -100 marks rows to ignore, elsewhere
    if extra != 0 and not (extra == 1 and columns and kind == "logits" and not negative):
        shown = ", ".join(repr(label.item() if isinstance(label, np.generic) else label) for label in classes[:5])
        raise LabelError(
            f"labels: {len(classes)} distinct ones ({shown}{', ...' if len(classes) > 5 else ''}) for {n_classes} "
            f"columns. Columns are classes: labels are 0 to {n_classes - 1}, or {n_classes} distinct ones in the "
            "sorted order of the columns."
        )
    return codes.astype(np.int64), classes


def row_weights(sample_weight: object, n_rows: int) -> Floats | None:
    """Weights of the rows, if there are any: finite, none below 0, not all 0."""
    if sample_weight is None:
        return None
    column = read_column(sample_weight, "sample_weight", Source())
    check_vector(column, Source())
    check_rows(column, n_rows, "the forecast", Source())
    if n_rows and column.values.dtype.kind in "iuf" and not column.values.any():
        raise DataError("sample_weight: every weight is zero; no row would count.")
    return check_weights(column, Source())


def refuse_few(rows: CalibrationRows) -> None:
    """Raise for rows that no calibrator can be fitted on: fewer than two, or all of one class."""
    n_rows = len(rows.labels)
    if n_rows < 2:
        raise DataError(f"labels: {n_rows} row (n_samples = {n_rows}) is too few to fit a calibrator; give at least 2.")
    if (rows.labels == rows.labels[0]).all():
        raise DataError(
            f"labels: all {n_rows:,} rows are of class {rows.labels[0]}; a calibrator needs at least two classes."
        )


def refuse_column(n_columns: int, kind: Input) -> None:
    """Raise for a forecast of one column, whose meaning is said by its shape."""
    if n_columns == 1:
        one = "log-odds of class 1" if kind == "logits" else "P(y = 1)"
        raise ShapeError(
            f"{kind} has 1 column (n_features = 1); expected one for each of at least two classes. Binary? Pass the "
            f"{one} as 1-D, {kind}[:, 0]."
        )
