"""What one block of an (n, k) array says of each of its rows, so that nothing cancels or underflows. Floor 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.scores.blocks import Layout, Matrix

Temperature = float | Floats | None

# Up to here the few dozen running sums of a plain sum are as good as pairwise ones.
MAX_PLAIN_SUM = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSums:
    """Per row, all (n,): the true and the two largest values, and sums over all classes but these two largest.

    For logits ``rest`` is the sum of exp((z_j - second)/T), ``square`` that of its squares. Next to the 1 that the
    second largest adds, what underflows or rounds in them is nothing, in float32 too. For probabilities
    ``square`` is the sum of p_j^2, and ``rest`` is not used.
    """

    top: Floats
    second: Floats
    true: Floats
    rest: Floats
    square: Floats

    @classmethod
    def empty(cls, n_rows: int) -> "RowSums":
        """Room for the sums of `n_rows` rows."""
        top, second, true, rest, square = np.empty((5, n_rows))
        return cls(top=top, second=second, true=true, rest=rest, square=square)

    def part(self, rows: slice) -> "RowSums":
        """Some of the rows, in the same memory."""
        return RowSums(
            top=self.top[rows],
            second=self.second[rows],
            true=self.true[rows],
            rest=self.rest[rows],
            square=self.square[rows],
        )


def sum_logits(block: Matrix, labels: Integers, sums: RowSums, *, layout: Layout, temperature: Temperature) -> None:
    """Fill the sums from a block of logits, which is used up."""
    rest, second = _take_out_two(block, labels, sums, layout, blank=-np.inf)
    # Where no second logit is finite the others are exp(-inf) = 0, whatever finite number is taken off.
    rest -= layout.across(np.where(np.isneginf(second), block.dtype.type(0), second))
    if temperature is not None:
        rest /= _divisor(temperature, block.dtype, layout)
    np.exp(rest, out=rest)
    sums.rest[:] = sum_classes(rest, layout)[: len(labels)]
    sums.square[:] = _sum_squares(rest, layout)[: len(labels)]


def sum_probs(block: Matrix, labels: Integers, sums: RowSums, *, layout: Layout) -> None:
    """Fill the sums from a block of probabilities, which is used up; `rest` is left alone."""
    rest, _ = _take_out_two(block, labels, sums, layout, blank=0.0)
    # Not by einsum, whose order is that of the processor's registers: a device repeats this one, for the same bits.
    np.multiply(rest, rest, out=rest)
    sums.square[:] = np.add.reduce(rest, axis=layout.class_axis)[: len(labels)]


def class_probs(block: Matrix, top: Floats, confidence: Floats, *, layout: Layout, temperature: Temperature) -> Floats:
    """Probabilities of a block of logits, given the largest logits and their probabilities."""
    probs = block.astype(np.float64)
    probs -= layout.across(top)
    if temperature is not None:
        probs /= _divisor(temperature, probs.dtype, layout)
    np.exp(probs, out=probs)
    probs *= layout.across(confidence)
    return probs


def sum_classes(block: Matrix, layout: Layout) -> NDArray[Any]:
    """Sum of a block over its classes."""
    if layout.class_axis == 0:
        return np.asarray(np.add.reduce(block, axis=0))
    return _sum_pieces("rpk->rp", block)


def _sum_squares(block: Matrix, layout: Layout) -> NDArray[Any]:
    """Sum of the squares of a block over its classes; the block may be used up."""
    if layout.class_axis == 0:
        np.multiply(block, block, out=block)
        return np.asarray(np.add.reduce(block, axis=0))
    return _sum_pieces("rpk,rpk->rp", block)


def _sum_pieces(formula: str, block: Matrix) -> NDArray[Any]:
    """Sums over the rows of a block by einsum: three times as fast as the pairwise sum, but running sums.

    So a long row is summed in pieces, and their sums in float64.
    """
    n_rows, n_classes = block.shape
    whole = n_classes // MAX_PLAIN_SUM * MAX_PLAIN_SUM
    if whole == 0:
        return _einsum(formula, block[:, None, :])[:, 0]
    sums = _einsum(formula, block[:, :whole].reshape(n_rows, -1, MAX_PLAIN_SUM)).sum(axis=1, dtype=np.float64)
    if whole < n_classes:
        sums += _einsum(formula, block[:, None, whole:])[:, 0]
    return np.asarray(sums)


def _einsum(formula: str, block: Matrix) -> NDArray[Any]:
    return np.asarray(np.einsum(formula, *[block] * (1 + formula.count(","))))


def _take_out_two(
    block: Matrix, labels: Integers, sums: RowSums, layout: Layout, *, blank: float
) -> tuple[Matrix, NDArray[Any]]:
    """Note the true and the two largest values; return the block without these two, and the second largest."""
    n_rows = len(labels)
    sums.true[:] = block.reshape(-1)[layout.places(labels, block)]
    if layout.class_axis == 0:
        top, second = _sort_columns(block)
        rest = block[2:]
    else:
        top, second = _blank_largest(block, layout, blank), _blank_largest(block, layout, blank)
        rest = block
    sums.top[:], sums.second[:] = top[:n_rows], second[:n_rows]
    return rest, second


def _blank_largest(block: Matrix, layout: Layout, blank: float) -> NDArray[Any]:
    """Return the largest value of each row of a (rows, k) block, and put `blank` in its place."""
    flat = block.reshape(-1)
    places = layout.places(block.argmax(axis=1), block)
    largest = flat[places]
    flat[places] = blank
    return largest


def _sort_columns(block: Matrix) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the two largest values of each column of a (k, rows) block, and leave the others in block[2:].

    A few operations on long vectors per class are faster than an argmax along axis 0.
    """
    top, second = np.maximum(block[0], block[1]), np.minimum(block[0], block[1])
    lesser = np.empty_like(top)
    for values in block[2:]:
        np.minimum(top, values, out=lesser)
        np.maximum(top, values, out=top)
        np.minimum(second, lesser, out=values)  # the least of the three stays
        np.maximum(second, lesser, out=second)
    return top, second


def _divisor(temperature: float | Floats, dtype: np.dtype[Any], layout: Layout) -> Any:
    """Temperature as something a block is divided by, in the block's dtype and inside its range."""
    limits = np.finfo(dtype)
    divisor = np.clip(temperature, float(limits.tiny), float(limits.max)).astype(dtype)
    return layout.across(divisor) if divisor.ndim else divisor


def temperature_of(temperature: Temperature, rows: slice) -> Temperature:
    """Temperature of some rows."""
    return temperature[rows] if isinstance(temperature, np.ndarray) else temperature
