"""The least rows, or the least size, at which something is enough. Floor 3."""

from collections.abc import Callable

import numpy as np

MAX_ROWS = 10**9
_FACTOR = 4
# How near a size is looked for, relatively; rows that were simulated are not known better.
_NEAR = 2e-3


def least_rows(enough: Callable[[int], bool], *, low: int, exact: bool) -> int | None:
    """The least number of rows, from `low` on, that is enough; to three digits unless exact. None beyond a billion.

    Examples
    --------
    >>> least_rows(lambda n: n >= 4321, low=2, exact=True), least_rows(lambda n: n >= 4321, low=100, exact=False)
    (4321, 4330)
    """
    if enough(low):
        return low
    high = low
    while not enough(high):
        if high >= MAX_ROWS:
            return None
        low, high = high, min(_FACTOR * high, MAX_ROWS)
    while high - low > (1 if exact else max(1, _NEAR * low)):
        middle = (low + high) // 2 if exact else round(float(np.sqrt(low * float(high))))
        middle = min(max(middle, low + 1), high - 1)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high if exact else _three_digits(high)


def least_size(enough: Callable[[float], bool], *, largest: float) -> float | None:
    """The least size up to `largest` that is enough, or None.

    Examples
    --------
    >>> round(least_size(lambda size: size >= 0.0321, largest=1.0), 3)
    0.032
    """
    if not enough(largest):
        return None
    low, high = 0.0, largest
    while high - low > _NEAR * high and high > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _three_digits(rows: int) -> int:
    """Rounded up."""
    step: int = 10 ** max(len(str(rows)) - 3, 0)
    return -(-rows // step) * step
