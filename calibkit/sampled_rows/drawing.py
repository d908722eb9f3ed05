"""Labels drawn for a row with its probabilities, which stand for them: as many for any number of classes. Floor 1."""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats

Words = NDArray[np.uint64]

# Labels drawn for a row.
N_LABELS = 32
# Up to here rows are searched class after class.
_FEW_CLASSES = 256
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(words: Words) -> Words:
    """Each word spread over all its bits, one to one (the finaliser of SplitMix64).

    References
    ----------
    Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", section 4.

    Examples
    --------
    >>> hex(int(mixed(np.array([1], dtype=np.uint64))[0]))
    '0x5692161d100b05e5'
    """
    words = words.copy()
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words


def uniforms(keys: Words, count: int) -> Floats:
    """Numbers in [0, 1) by key, (r, count): multiples of 2^-52, so that one times a sum below 2 stays below the sum.

    Examples
    --------
    >>> uniforms(np.array([7, 8], dtype=np.uint64), 2).round(3)
    array([[0.39 , 0.017],
           [0.619, 0.612]])
    """
    words = mixed(keys[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))
    return np.ldexp((words >> np.uint64(12)).astype(np.float64), -52)


class DrawnLabels:
    """`N_LABELS` labels drawn for each of some rows, taken from the blocks of a pass over them.

    Parameters
    ----------
    keys : ndarray of shape (r,), uint64
        What the draws of a row depend on, beside its probabilities: not where it stands, nor in what block it comes.

    Examples
    --------
    >>> drawn = DrawnLabels(np.array([5], dtype=np.uint64))
    >>> drawn.take(slice(0, 1), np.array([[0.25, 0.0, 0.75]]))
    >>> np.unique(drawn.labels), np.unique(drawn.forecast)
    (array([0, 2], dtype=int32), array([0.25, 0.75]))
    """

    def __init__(self, keys: Words) -> None:
        self.keys = keys
        self.labels = np.empty((len(keys), N_LABELS), dtype=np.int32)
        self.forecast = np.empty((len(keys), N_LABELS))

    def take(self, some: slice, probs: Floats) -> None:
        """Draw for some of the rows, whose probabilities (r, k) these are."""
        labels = _labels(probs, self.keys[some])
        self.labels[some] = labels
        self.forecast[some] = np.take_along_axis(probs, labels, axis=1)

    def visit(self, start: int, block: Floats) -> None:
        """Draw for the rows from `start` on, whose probabilities (r, k) these are."""
        self.take(slice(start, start + len(block)), block)


def _labels(probs: Floats, keys: Words) -> NDArray[np.intp]:
    """The class in whose part of the row sum each number falls, (r, N_LABELS)."""
    if probs.shape[1] > _FEW_CLASSES:
        return _labels_of_many(np.ascontiguousarray(probs), keys)
    reached = np.cumsum(probs, axis=1)
    marks = reached[:, -1:] * uniforms(keys, N_LABELS)
    labels = np.zeros(marks.shape, dtype=np.intp)
    for ends in reached.T[:-1]:
        labels += marks >= ends[:, None]
    return labels


def _labels_of_many(probs: Floats, keys: Words) -> NDArray[np.intp]:
    """The same of many classes: first the piece of the row, then the class in it."""
    r, k = probs.shape
    size = isqrt(k) // 2
    whole = k // size * size
    parts = np.empty((r, -(-k // size)))
    np.add.reduce(probs[:, :whole].reshape(r, -1, size), axis=2, out=parts[:, : whole // size])
    if whole < k:
        parts[:, -1] = np.add.reduce(probs[:, whole:], axis=1)
    reached = np.cumsum(parts, axis=1)
    marks = reached[:, -1:] * uniforms(keys, N_LABELS)  # (r, N_LABELS)
    piece = np.sum(marks[:, :, None] >= reached[:, None, :-1], axis=2)
    marks -= np.take_along_axis(reached - parts, piece, axis=1)
    place = np.minimum(piece[:, :, None] * size + np.arange(size), k - 1)
    inside = np.cumsum(probs[np.arange(r)[:, None, None], place], axis=2)  # (r, N_LABELS, size)
    labels = piece * size + np.sum(marks[:, :, None] >= inside[:, :, :-1], axis=2)
    return np.asarray(np.minimum(labels, k - 1), dtype=np.intp)
