"""What a test of calibration gives. Floor 2."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calibkit._numerics import Floats
from calibkit.pairs import TiedPairs


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What a test of calibration found.

    Attributes
    ----------
    statistic : float
        How far outcomes are from the forecasts, in the unit of the test.
    statistic_over_sigma : float or None
        The same in standard deviations under calibration; None where the statistic has no such scale. Whether 2 is
        much depends on the test: only of `spiegelhalter_test` is it a normal z.
    p_value : float
        Probability that calibrated forecasts show as much or more, for many independent rows.
    degrees_of_freedom : int or None
        Of a chi-square statistic.
    caution : str or None
        What must be read with it.

    Examples
    --------
    >>> result = TestResult(statistic=0.03, statistic_over_sigma=2.9, p_value=0.015)
    >>> result.p_value
    0.015
    >>> print(result)
    0.03 (2.9 sigma), p = 0.015
    """

    __test__: ClassVar[bool] = False  # pytest takes a class of this name for tests

    statistic: float
    p_value: float
    statistic_over_sigma: float | None = None
    degrees_of_freedom: int | None = None
    caution: str | None = None

    def __str__(self) -> str:
        scales = (
            None if self.statistic_over_sigma is None else f"{self.statistic_over_sigma:.3g} sigma",
            None if self.degrees_of_freedom is None else f"chi-square, {self.degrees_of_freedom} df",
        )
        scale = "".join(f" ({known})" for known in scales if known is not None)
        caution = "" if self.caution is None else f"; {self.caution}"
        return f"{self.statistic:.4g}{scale}, p = {self.p_value:.3g}{caution}"


def nothing() -> TestResult:
    """Return what no rows show."""
    nan = float("nan")
    return TestResult(statistic=nan, statistic_over_sigma=nan, p_value=nan)


def gaps(tied: TiedPairs) -> Floats:
    """Outcomes minus what was expected, of each distinct forecast."""
    return tied.happened - tied.weight * tied.forecast


def variance(forecast: Floats) -> Floats:
    """Return p (1 - p)."""
    return forecast * (1 - forecast)


def in_sigmas(value: float, sigma: float) -> float:
    """Value in standard deviations; without chance, as expected is 0 and anything else is infinitely far."""
    if sigma > 0:
        return float(value / sigma)
    return 0.0 if value == 0 else float(np.copysign(np.inf, value))


def chi_square_tail(value: float, degrees_of_freedom: int) -> float:
    """Probability that a chi-square of so many degrees of freedom is at least this large.

    Examples
    --------
    >>> round(chi_square_tail(18.307, 10), 4)
    0.05
    """
    from scipy.special import gammaincc

    return float(gammaincc(degrees_of_freedom / 2, value / 2))
