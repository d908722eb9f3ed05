"""Means, sample sizes and sums over groups that every estimator shares. Floor 0."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import Stored

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BLOCK = 1 << 18  # entries


def sum_slack(n_classes: int, epsilon: float) -> float:
    """Deviation of a row sum from 1 that rounding explains, in a type of this epsilon.

    ``exp(z - logsumexp(z))`` is off by up to half a unit in the last place of the row's logsumexp: 45 epsilons for the
    logits of a trained network, so 64 are allowed. Types shorter than float32, where that would be a real deviation,
    get 8.
    """
    return max(64 if epsilon < 1e-6 else 8, n_classes) * epsilon


def present_rows(weights: Floats | None) -> NDArray[np.bool_] | None:
    """Mask of the rows that count: rows of weight 0 are as good as absent. None where all rows count."""
    if weights is None:
        return None
    present = np.asarray(weights) > 0
    return None if present.all() else present


def weighted_mean(values: NDArray[Any], weights: Floats | None = None) -> float:
    """Mean of `values` in float64, NaN of nothing; a row of weight 0 is absent, even if its value is infinite."""
    present = present_rows(weights)
    if present is not None and weights is not None:
        values, weights = values[present], weights[present]
    if len(values) == 0:
        return float("nan")
    if weights is None:
        return _mean(values)
    # Scaled by a power of two, so that weights near the ends of the float range lose nothing.
    scaled = np.ldexp(weights, -_exponent(weights))
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sum(scaled * values) / np.sum(scaled))


def effective_size(weights: Floats | None, n: int) -> float:
    """Kish's number of equally weighted rows, ``(sum w)^2 / sum w^2``; `n` without weights, 0 of nothing."""
    if weights is None:
        return float(n)
    if len(weights) == 0 or not np.any(weights):
        return 0.0
    scaled = np.ldexp(weights, -_exponent(weights))
    return float(np.sum(scaled) ** 2 / np.sum(scaled**2))


def equal_rows(one: Stored, other: Stored) -> bool:
    """Whether two arrays hold the same, by blocks: without an array of their size, and no further than it takes."""
    if one.shape != other.shape:
        return False
    step = max(1, _BLOCK * max(1, len(one)) // max(1, one.size))
    return all(np.array_equal(one[i : i + step], other[i : i + step]) for i in range(0, len(one), step))


def group_codes(groups: NDArray[Any]) -> tuple[Integers, int]:
    """Each row's group as 0..G-1 in the order of their names, and G."""
    if groups.dtype.kind in "iu" and len(groups) and 0 <= int(groups.min()) <= int(groups.max()) < 4 * len(groups):
        # Small integers need no sort.
        present = np.zeros(int(groups.max()) + 1, dtype=bool)
        present[groups] = True
        return (np.cumsum(present, dtype=np.int64) - 1)[groups], int(np.count_nonzero(present))
    names, codes = np.unique(groups, return_inverse=True)
    return codes.astype(np.int64, copy=False), len(names)


def sums_by(codes: Integers, values: NDArray[Any], n_codes: int) -> Floats:
    """Sum of `values` over the rows of each code, as a vector of `n_codes`."""
    return np.bincount(codes, weights=values, minlength=n_codes).astype(np.float64, copy=False)


def _mean(values: NDArray[Any]) -> float:
    """Plain mean; scores near the end of the float range are scaled down where their sum is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):  # inf, and NaN of both infinities, are answers
        mean = float(np.mean(values, dtype=np.float64))
    if np.isinf(mean) and np.all(np.isfinite(values)):
        return float(np.ldexp(np.mean(np.ldexp(values, -64)), 64))
    return mean


def _exponent(weights: Floats) -> int:
    """The power of two that brings the largest weight below 1."""
    return int(np.frexp(np.max(weights))[1])
