"""Whether rows are ones that were seen before: a sketch that knows them again without keeping them. Floor 1."""

from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Integers
from calibkit.predictions import Predictions

SIZE = 256
# By chance at most 1/e of the rows that occur once have exactly one twin among others, however coarse the forecasts.
_CHANCE, _ERRORS = exp(-1), 3
_BITS = 52  # whole numbers that any reader of JSON keeps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowSketch:
    """A few numbers by which rows are known again.

    Attributes
    ----------
    n_rows : int
        How many rows there were.
    total : int
        Sum of their numbers, modulo 2^52: with `n_rows`, it knows exactly these rows, in whatever order.
    rows : ndarray of int64 of shape (m,)
        The 256 smallest numbers of rows that occur once, rising: a random sample of them. Empty where most rows occur
        more than once.
    """

    n_rows: int
    total: int
    rows: Integers


def sketch_rows(labels: NDArray[Any], values: NDArray[Any]) -> RowSketch:
    """Sketch of rows, each known by its label and its first and last forecast value, widened to float64.

    Examples
    --------
    >>> sketch_rows(np.array([0, 1]), np.array([0.2, 0.7])).n_rows
    2
    """
    numbers = _row_numbers(labels, values)
    once = _once(numbers)
    known = once[:SIZE] if 2 * len(once) >= len(numbers) else once[:0]
    return RowSketch(n_rows=len(numbers), total=_total(numbers), rows=known)


def share_seen(sketch: RowSketch, labels: NDArray[Any], values: NDArray[Any]) -> float:
    """Share of the sketched rows that are among others: 1 for the same rows, an estimate for some of them.

    Examples
    --------
    >>> labels, values = np.array([0, 1, 1, 0]), np.array([0.25, 0.7, 0.6, 0.1])
    >>> share_seen(sketch_rows(labels, values), labels[:3], values[:3])
    0.75
    """
    numbers = _row_numbers(labels, values)
    if len(numbers) == 0:
        return 0.0
    if len(numbers) == sketch.n_rows and _total(numbers) == sketch.total:
        return 1.0
    return float(np.isin(sketch.rows, _once(numbers)).mean()) if len(sketch.rows) else 0.0


def is_too_much(share: float, sketch: RowSketch) -> bool:
    """Whether a share of sketched rows is more than chance, which grants coarse forecasts 1/e and 3 standard errors.

    Examples
    --------
    >>> is_too_much(0.47, sketch_rows(np.zeros(300), np.arange(300.0)))
    True
    """
    limit = _CHANCE + _ERRORS * sqrt(_CHANCE * (1 - _CHANCE) / max(len(sketch.rows), 1))
    return share == 1.0 or share > limit


def hold_the_same_rows(one: Predictions, other: Predictions) -> bool:
    """Whether many rows of one, about half or more, are among those of the other."""
    if one.kind != other.kind or one.values.ndim != other.values.ndim:
        return False
    for rows, others in ((one, other), (other, one)):
        sketch = sketch_rows(_outcomes(rows), known_by(rows))
        if is_too_much(share_seen(sketch, _outcomes(others), known_by(others)), sketch):
            return True
    return False


def known_by(predictions: Predictions) -> NDArray[Any]:
    """The values by which rows are known: of ragged rows the first and the last choice, not what fills them up.

    Examples
    --------
    >>> known_by(Predictions.from_probs([0, 1], [[0.7, 0.3], [0.2, 0.5, 0.3]], ragged=True))
    array([[0.7, 0.3],
           [0.2, 0.3]])
    """
    values, n_choices = predictions.values, predictions.n_choices
    if n_choices is None:
        return values
    return np.stack([values[:, 0], values[np.arange(len(values)), n_choices - 1]], axis=1)


def _outcomes(predictions: Predictions) -> NDArray[Any]:
    """The label of each row, or whether it was right."""
    outcomes = predictions.correct if predictions.labels is None else predictions.labels
    assert outcomes is not None  # every kind has one of them
    return outcomes


def _row_numbers(labels: NDArray[Any], values: NDArray[Any]) -> Integers:
    """A number of 52 bits for each row, which looks random."""
    columns = (values,) if values.ndim == 1 else (values[:, 0], values[:, -1])
    numbers = _mixed(labels.astype(np.int64).view(np.uint64))
    for column in columns:
        with np.errstate(invalid="ignore"):
            wide = column.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
        numbers = _mixed(numbers ^ wide.view(np.uint64))
    return (numbers >> np.uint64(64 - _BITS)).astype(np.int64)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all others (splitmix64: Steele, Lea, Flood 2014, figure 16)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def _once(numbers: Integers) -> Integers:
    """Numbers that occur once, rising."""
    distinct, counts = np.unique(numbers, return_counts=True)
    return np.asarray(distinct[counts == 1])


def _total(numbers: Integers) -> int:
    """Sum modulo 2^52."""
    return int(numbers.view(np.uint64).sum()) % (1 << _BITS)
