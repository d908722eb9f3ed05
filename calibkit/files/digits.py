"""How many digits were printed, and so how far a printed row of probabilities may be from summing to 1. Floor 2."""

from typing import Any

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
    digits = PrintedDigits()
    digits.add(probs)
    return digits.tolerance(probs.shape[1], logarithms=logarithms)


class PrintedDigits:
    """How many decimals and significant digits hold all values that were added."""

    def __init__(self) -> None:
        self.decimals, self.significant = 0, 1
        self.most_choices = 0  # of ragged rows, by whose lengths the tolerance is that of the longest
        self.short: dict[type[np.floating[Any]], bool] = {np.float16: True, np.float32: True}

    def add(self, values: Floats) -> None:
        """Look at more values, of shape (n, k) or (n,)."""
        with np.errstate(all="ignore"):  # values that are no probabilities are judged later
            for start in range(0, len(values), BLOCK_ROWS):
                self._add(values[start : start + BLOCK_ROWS])

    def tolerance(self, n_classes: int, *, logarithms: bool) -> float:
        """Accepted deviation of a row sum, as `printed_tolerance` says it."""
        k = 1 if logarithms else n_classes
        tolerance = sum_slack(n_classes, self._epsilon())
        if self.decimals <= MOST_DECIMALS:
            tolerance = max(tolerance, 0.5 * k * 10.0**-self.decimals)
        if self.significant <= MOST_DIGITS and self.significant < self.decimals and not logarithms:
            tolerance = max(tolerance, 5 * 10.0**-self.significant)
        return float(tolerance)

    def _add(self, block: Floats) -> None:
        """Raise the counts until they hold the values of a block."""
        for kind in [kind for kind, short in self.short.items() if short]:
            self.short[kind] = np.array_equal(block, block.astype(kind))
        while self.decimals <= MOST_DECIMALS and not np.array_equal(np.round(block, self.decimals), block):
            self.decimals += 1
        if self.significant > MOST_DIGITS:
            return
        block = np.abs(block[np.isfinite(block) & (block != 0)])
        exponent = np.floor(np.log10(block))
        while self.significant <= MOST_DIGITS and not _holds(block, self.significant - 1 - exponent):
            self.significant += 1

    def _epsilon(self) -> float:
        """Epsilon of the shortest type that the values can have had before they were printed."""
        for kind, short in self.short.items():
            if short:
                return float(np.finfo(kind).eps)
        return float(np.finfo(np.float32 if self.significant <= SINGLE else np.float64).eps)


def _holds(values: Floats, shift: Floats) -> bool:
    """Whether every value is a whole number once shifted by so many digits, up to the rounding of the shift."""
    # Two factors, since 10^shift alone overflows for subnormal values.
    scaled = values * 10.0 ** np.floor(shift / 2) * 10.0 ** np.ceil(shift / 2)
    slack = np.minimum(8 * np.finfo(np.float64).eps * scaled, 0.05)
    return bool(np.all(np.abs(scaled - np.rint(scaled)) <= slack))
