"""Exact sums of powers of a score, from which a mean and its interval follow. Floor 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, inf, nan, sqrt

import numpy as np

from calibkit._numerics import Floats
from calibkit.exact import ExactSums
from calibkit.units import Spread

# Powers (p, q) of weight and value, w^p v^q. Without weights each w is 1, and q alone counts.
UNWEIGHTED = ((1, 1), (2, 2), (3, 3))
WEIGHTED = ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3))
WEIGHTS = ((1, 0), (2, 0), (3, 0))
# From the second power on, what is raised is divided by this: squares and cubes stay in the range of exact sums.
SCALE = 16
# A variance this small beside the mean square may be rounding of the squares: no skewness can be told from it.
_ROUNDING = 2.0**-24


def powers_of(value: Floats, weights: Floats | None) -> list[Floats]:
    """What is summed of each row: in the order of `UNWEIGHTED`, or of `WEIGHTED`.

    Examples
    --------
    >>> powers_of(np.array([8.0]), None)
    [array([8.]), array([0.25]), array([0.125])]
    """
    if weights is None:
        return [value, *(_power(value / SCALE, p) for p, _ in UNWEIGHTED[1:])]
    scaled = weights / SCALE
    return [weights * value, *(_power(scaled * value, q) * _power(scaled, p - q) for p, q in WEIGHTED[1:])]


def powers_of_weights(weights: Floats) -> list[Floats]:
    """The same of the weights alone, in the order of `WEIGHTS`."""
    return [weights, *(_power(weights / SCALE, p) for p, _ in WEIGHTS[1:])]


def _power(value: Floats, exponent: int) -> Floats:
    """By multiplication: the same bits in every library."""
    result = np.ones_like(value) if exponent == 0 else value
    for _ in range(exponent - 1):
        result = result * value
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sums of w^p v^q over n rows, exact.

    Attributes
    ----------
    n : int
        Rows.
    sums : Mapping of (int, int) to Fraction or None
        By powers p and q; None where a term was beyond the range of exact sums.
    far : int
        Rows whose value was beyond it: infinite, or of at least 2^40.
    weighted : bool
        Whether rows have weights; else only q counts.

    Examples
    --------
    >>> moments = Moments(n=3, sums={(1, 1): Fraction(6), (2, 2): Fraction(14), (3, 3): Fraction(36)}, far=0)
    >>> moments.mean, moments.spread().se == (1 / 3) ** 0.5
    (2.0, True)
    """

    n: int
    sums: Mapping[tuple[int, int], Fraction | None]
    far: int
    weighted: bool = False

    def at(self, p: int, q: int) -> Fraction | None:
        """The sum of w^p v^q."""
        if not self.weighted:
            return Fraction(self.n) if q == 0 else self.sums[q, q]
        return self.sums[p, q]

    @property
    def mean(self) -> float:
        """The (weighted) mean, correctly rounded; NaN of nothing, inf where a value was beyond range."""
        if self.n == 0:
            return nan
        total, weight = self.at(1, 1), self.at(1, 0)
        return inf if total is None or not weight else float(total / weight)

    def spread(self) -> Spread:
        """Jackknife standard error and skewness of the mean of at least two independent rows.

        Those of `Units.spread`. With weights, 1 / (1 - x) of a row's share x of the weight is expanded around the
        effective share 1 / n_eff: the part of a row in the variance is right up to 3 (x - 1 / n_eff)^2 of itself.
        """
        powers = WEIGHTS + WEIGHTED if self.weighted else UNWEIGHTED
        found = {power: total for power in powers if (total := self.at(*power)) is not None}
        if len(found) < len(powers):
            return Spread(se=inf, tilt=nan)
        return _weighted_spread(found, self.n) if self.weighted else _spread(found, self.n)


def _spread(sums: Mapping[tuple[int, int], Fraction], n: int) -> Spread:
    """Of rows without weights: around the mean m, squares sum to S2 - n m^2 and cubes to S3 - 3 m S2 + 2 n m^3."""
    total, of_squares, of_cubes = (sums[q, q] for q in (1, 2, 3))
    mean = total / n
    squares = of_squares - mean * total
    cubes = of_cubes - 3 * mean * of_squares + 2 * n * mean**3
    return _spread_of(squares / (n - 1) / n, squares, cubes, of_squares)


def _weighted_spread(sums: Mapping[tuple[int, int], Fraction], n: int) -> Spread:
    """Of rows with weights; a row changes the mean by w (v - m) / (W - w) when it is left out."""
    weight = sums[1, 0]
    mean, share = sums[1, 1] / weight, sums[2, 0] / weight**2
    others = weight * (1 - share)
    second, third = (sums[p, 2] - 2 * mean * sums[p, 1] + mean**2 * sums[p, 0] for p in (2, 3))
    squares = (second + 2 * (third / weight - share * second) / (1 - share)) / others**2
    cubes = (sums[3, 3] - 3 * mean * sums[3, 2] + 3 * mean**2 * sums[3, 1] - mean**3 * sums[3, 0]) / others**3
    return _spread_of(squares * (n - 1) / n, squares, cubes, sums[2, 2] / others**2)


def _spread_of(variance: Fraction, squares: Fraction, cubes: Fraction, of_squares: Fraction) -> Spread:
    skewed = squares > _ROUNDING * of_squares
    return Spread(se=sqrt(max(variance, Fraction(0))), tilt=float(cubes) / float(squares) ** 1.5 if skewed else nan)


def moments_of(sums: ExactSums, n: int, *, weights: ExactSums | None = None) -> Moments:
    """Moments from sums of `powers_of`, one cell each, and with weights from those of `powers_of_weights`."""
    powers = UNWEIGHTED if weights is None else WEIGHTED
    held = dict(zip(powers, _unscaled(sums, powers), strict=True))
    if weights is not None:
        held |= dict(zip(WEIGHTS, _unscaled(weights, WEIGHTS), strict=True))
    return Moments(n=n, sums=held, far=int(sums.beyond[0]), weighted=weights is not None)


def _unscaled(sums: ExactSums, powers: Sequence[tuple[int, int]]) -> list[Fraction | None]:
    return [
        None if beyond else total * SCALE ** (p if p > 1 else 0)
        for total, beyond, (p, _) in zip(sums.fractions(), sums.beyond.tolist(), powers, strict=True)
    ]


def minus_outcome(missed: Moments, happened: Moments) -> Moments:
    """Moments of v - y, from those of v where y = 0 and where y = 1: there (v - 1)^q is multiplied out.

    Examples
    --------
    >>> one = Moments(n=1, sums={(1, 1): Fraction(1, 4), (2, 2): Fraction(1, 16), (3, 3): Fraction(1, 64)}, far=0)
    >>> minus_outcome(one, one).mean
    -0.25
    """
    sums: dict[tuple[int, int], Fraction | None] = {}
    for p, q in WEIGHTS + WEIGHTED if missed.weighted else UNWEIGHTED:
        total = missed.at(p, q) or Fraction(0)
        for j in range(q + 1):
            total += (-1) ** (q - j) * comb(q, j) * (happened.at(p, j) or Fraction(0))
        sums[p, q] = total
    return Moments(n=missed.n + happened.n, sums=sums, far=0, weighted=missed.weighted)
