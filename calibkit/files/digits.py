"""How many digits were printed, and so how far a printed row of probabilities may be from summing to 1. Floor 2."""

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import sum_slack

Floats = NDArray[np.float64]

MOST_DECIMALS = 15  # digits that every float64 keeps
MOST_DIGITS = 14  # one less: with 15, the rounding of the shift can look like a digit
SINGLE = 9  # digits that tell any two float32 apart
BLOCK_ROWS = 4096


def printed_tolerance(probs: Floats, *, logarithms: bool = False) -> float:
    """Accepted deviation of the row sums of probabilities that were read from text.

    Parameters
    ----------
    probs : ndarray of shape (n, k)
        Values as parsed.
    logarithms : bool
        The values are logarithms of probabilities.

    Returns
    -------
    float
        The largest of:

        - ``.5 k 10^-d`` where ``d <= 15`` decimals hold every value: each is off by at most half a unit of the last;
        - ``5 10^-s`` where ``s <= 14`` significant digits, fewer than the decimals, hold every value: ``%.4g``;
        - what rounding explains (`sum_slack`) in the shortest type that can have been printed: float16 or float32 if
          every value is such a number, float32 also if ``s <= 9``, else float64.

        Half a unit in every logarithm changes the sum by a factor of ``exp(.5 10^-d)``: for logarithms k is 1.

    Examples
    --------
    >>> printed_tolerance(np.array([[0.123, 0.345, 0.531], [0.5, 0.25, 0.25]]))
    0.0015
    """
    k = 1 if logarithms else probs.shape[1]
    with np.errstate(all="ignore"):  # values that are no probabilities are judged later
        decimals, significant = _decimals(probs), _significant(probs)
        epsilon = _epsilon(probs, significant)
    tolerance = sum_slack(probs.shape[1], epsilon)
    if decimals <= MOST_DECIMALS:
        tolerance = max(tolerance, 0.5 * k * 10.0**-decimals)
    if significant <= MOST_DIGITS and significant < decimals and not logarithms:
        tolerance = max(tolerance, 5 * 10.0**-significant)
    return float(tolerance)


def _epsilon(values: Floats, significant: int) -> float:
    """Epsilon of the shortest type that the values can have had before they were printed."""
    for kind in (np.float16, np.float32):
        if np.array_equal(values, values.astype(kind)):
            return float(np.finfo(kind).eps)
    return float(np.finfo(np.float32 if significant <= SINGLE else np.float64).eps)


def _decimals(values: Floats) -> int:
    """Fewest decimals that hold every value; 16 if 15 do not."""
    decimals = 0
    for start in range(0, len(values), BLOCK_ROWS):
        block = values[start : start + BLOCK_ROWS]
        while decimals <= MOST_DECIMALS and not np.array_equal(np.round(block, decimals), block):
            decimals += 1
    return decimals


def _significant(values: Floats) -> int:
    """Fewest significant digits that hold every value; 15 if 14 do not."""
    digits = 1
    for start in range(0, len(values), BLOCK_ROWS):
        if digits > MOST_DIGITS:
            break
        block = values[start : start + BLOCK_ROWS]
        block = np.abs(block[np.isfinite(block) & (block != 0)])
        exponent = np.floor(np.log10(block))
        while digits <= MOST_DIGITS and not _holds(block, digits - 1 - exponent):
            digits += 1
    return digits


def _holds(values: Floats, shift: Floats) -> bool:
    """Whether every value is a whole number once shifted by so many digits, up to the rounding of the shift."""
    # Two factors, since 10^shift alone overflows for subnormal values.
    scaled = values * 10.0 ** np.floor(shift / 2) * 10.0 ** np.ceil(shift / 2)
    slack = np.minimum(8 * np.finfo(np.float64).eps * scaled, 0.05)
    return bool(np.all(np.abs(scaled - np.rint(scaled)) <= slack))
