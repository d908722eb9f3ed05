"""How sure a fitted log T is: the sandwich of independent rows, and of groups of dependent ones. Floor 2."""

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, effective_size, group_codes, sums_by
from calibkit.intervals import t_reach
from calibkit.units import MIN_GROUPS, dof_of_groups

# Wrong (or right) answers of dependent rows, in whole groups: with fewer, those that move T were not seen.
_MIN_ANSWERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LogError:
    """Standard error of log T, the degrees of freedom of its t quantile, and the skewness that an end allows for.

    Examples
    --------
    >>> below, above = LogError(se=0.1, dof=1000.0).reach(0.95)
    >>> round(below, 3), round(above, 3)
    (0.196, 0.196)
    """

    se: float
    dof: float
    tilt: float = 0.0

    def reach(self, level: float) -> tuple[float, float]:
        """How far below and above log T its interval reaches."""
        below, above = t_reach(self.dof, level, self.tilt)
        return below * self.se, above * self.se


def error_of_rows(slopes: Floats, curvatures: Floats, weights: Floats | None) -> LogError | None:
    """The sandwich of independent rows, from each row's weighted derivatives of the loss; None where undetermined.

    Notes
    -----
    ``se^2 = n/(n - 1) sum (w_i s_i)^2 / (sum w_i h_i)^2``.

    Examples
    --------
    >>> round(error_of_rows(np.array([1.0, -1.0, 1.0, -1.0]), np.full(4, 2.0), None).se, 4)  # sqrt(4/3 4) / 8
    0.2887
    """
    n, curvature = len(slopes), float(curvatures.sum())
    size = effective_size(weights, n)
    if curvature <= 0 or size <= 1:
        return None
    return _finite(LogError(se=sqrt(n / (n - 1) * float(slopes @ slopes)) / curvature, dof=size - 1))


def error_of_groups(
    slopes: Floats, curvatures: Floats, weights: Floats | None, groups: NDArray[Any], correct: NDArray[np.bool_]
) -> LogError | None:
    """The same of groups of dependent rows; None for too few of them, or with too few answers of either kind.

    Notes
    -----
    With the sums S_g and H_g of a group's weighted derivatives, leaving it out moves log T by d_g = S_g / (H - H_g):
    ``se^2 = (G - 1)/G sum d_g^2`` (CR3). The degrees of freedom are Satterthwaite's, between those for the variances
    H_g of groups of independent rows and (sum sqrt(h_i))^2 of rows that are alike, as for a mean. A rare failure of a
    whole group moves T up, so that log T is skewed: -sum d_g^3 / (sum d_g^2)^1.5 of it, as in `mean_interval`.
    Without an interval for fewer than 5 groups, or fewer wrong (or right) answers than 5 effective groups.

    References
    ----------
    MacKinnon, Nielsen, Webb 2023, "Cluster-robust inference: a guide to empirical practice", section 3 (CV3).
    """
    codes, n_groups = group_codes(groups)
    weight = np.ones(len(slopes)) if weights is None else weights
    size = effective_size(sums_by(codes, weight, n_groups), n_groups)
    wrong = float(np.average(~correct, weights=weight)) if weight.any() else 0.0
    slope, curvature = sums_by(codes, slopes, n_groups), sums_by(codes, curvatures, n_groups)
    rest = curvature.sum() - curvature
    if n_groups < MIN_GROUPS or min(wrong, 1 - wrong) * size < _MIN_ANSWERS or not (rest > 0).all():
        return None
    moved = slope / rest
    squares = float(moved @ moved)
    alike = sums_by(codes, np.sqrt(weight * np.maximum(curvatures, 0.0)), n_groups) ** 2
    return _finite(
        LogError(
            se=sqrt((n_groups - 1) / n_groups * squares),
            dof=dof_of_groups(np.maximum(curvature, 0.0), alike),
            tilt=-float((moved**3).sum()) / squares**1.5 if squares > 0 else 0.0,
        )
    )


def _finite(error: LogError) -> LogError | None:
    return error if isfinite(error.se) else None
