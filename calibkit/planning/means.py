"""Rows that a mean needs: power and width of its t interval, from how its rows vary. Floor 3."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.intervals import t_reach, tilt_that_counts
from calibkit.proportions import wilson_interval

# Beyond this many rows Student's t is the normal distribution to all digits that matter.
_MANY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSpread:
    """How the rows of a score, or of a difference, vary.

    Attributes
    ----------
    mean, sd : float
        Of a row.
    skewness : float
        Third central moment over sd^3.
    error : float or None
        Relative standard error of the variance, and so of the rows that are planned with it; None where it is assumed.

    Examples
    --------
    >>> spread = spread_of(np.array([0.0, 0.0, 0.0, 1.0]))
    >>> round(spread.sd, 4), round(spread.skewness, 4), round(spread.error, 4)
    (0.433, 1.1547, 0.5774)
    """

    mean: float
    sd: float
    skewness: float = 0.0
    error: float | None = None

    def power(self, size: float, n: int, level: float) -> float:
        """How often the t interval of n rows excludes 0, where the mean is `size`."""
        from scipy.special import nctdtr, ndtr

        # Johnson's term moves one end out; on which side 0 lies is not known yet.
        reach = max(t_reach(n - 1, level, self._tilt(n)))
        shift = size * np.sqrt(n) / self.sd if self.sd > 0 else np.inf
        if n > _MANY or shift > reach + 10:
            return float(ndtr(shift - reach) + ndtr(-shift - reach))
        return float(1 - nctdtr(n - 1, shift, reach) + nctdtr(n - 1, shift, -reach))

    def half_width(self, n: int, level: float, *, fraction: bool = False) -> float:
        """Half the width of the interval of n rows: t, or Wilson's of a fraction."""
        if fraction:
            low, high = wilson_interval(self.mean, n, level=level)
            return float(high - low) / 2
        return sum(t_reach(n - 1, level, self._tilt(n))) / 2 * self.sd / float(np.sqrt(n))

    def _tilt(self, n: int) -> float:
        return tilt_that_counts(self.skewness / float(np.sqrt(n)))

    def of_difference(self, other: "RowSpread", correlation: float) -> "RowSpread":
        """What the rows of a difference would show, if the two scores had this correlation."""
        variance = self.sd**2 + other.sd**2 - 2 * correlation * self.sd * other.sd
        return RowSpread(mean=self.mean - other.mean, sd=float(np.sqrt(max(variance, 0.0))), error=self.error)


def spread_of(values: NDArray[Any], share: Floats | None = None) -> RowSpread:
    """The spread of rows; with shares, of values that come so often (and no error)."""
    values = np.asarray(values, dtype=np.float64)
    weight = np.full(len(values), 1 / len(values)) if share is None else share
    mean = float(weight @ values)
    deviation = values - mean
    second, third, fourth = (float(weight @ deviation**power) for power in (2, 3, 4))
    if second == 0:
        return RowSpread(mean=mean, sd=0.0)
    error = None if share is not None else float(np.sqrt(max(fourth / second**2 - 1, 0.0) / len(values)))
    return RowSpread(mean=mean, sd=float(np.sqrt(second)), skewness=third / second**1.5, error=error)
