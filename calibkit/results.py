"""The two smallest results: a number with its interval, and a paired difference with its p-value. Floor 3."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value : float
        The number.
    low, high : float or None
        Ends of the interval; None where no interval is given. A bracket interval of a biased estimator may lie
        below its value: ``low <= value <= high`` is not a law.

    Examples
    --------
    >>> Estimate(value=0.12, low=0.05, high=0.2).excludes_zero
    True
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and 0 is outside it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A paired difference, model minus reference, on the same rows.

    Attributes
    ----------
    value : float
        Model minus reference.
    low, high : float or None
        Its interval; unadjusted, also with more than two models. None where no interval is given.
    p_value : float or None
        Two-sided, of the hypothesis of no difference; None where no interval is given.
    adjusted_p_value : float or None
        Holm's adjustment over the models of one comparison; None with two models.

    Examples
    --------
    >>> Difference(value=-0.03, low=-0.05, high=-0.01, p_value=0.003).significant(0.95)
    True
    """

    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None

    @property
    def decided(self) -> bool:
        """Whether the data give a p-value at all."""
        return self.p_value is not None

    def significant(self, level: float) -> bool:
        """Whether the difference excludes 0, by the adjusted p-value where there is one."""
        p_value = self.p_value if self.adjusted_p_value is None else self.adjusted_p_value
        return p_value is not None and p_value < 1 - level
