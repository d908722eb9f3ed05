"""Means over runs and rows that are crossed: every run of a recipe predicts every test row. Floor 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, present_rows, weighted_mean
from calibkit.intervals import mean_interval, t_quantile, t_reach
from calibkit.units import Units, units_of

# The scores of one recipe: of each run, one number a row.
Runs = Sequence[NDArray[Any]]
# Two runs say too little of training luck: an interval from them did not cover (docs/coverage.md).
MIN_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeEstimate:
    """A mean over runs and rows, or a difference of two, with what each of the two kinds of luck does to it.

    Attributes
    ----------
    value : float
        The mean over runs of their means over rows; of two recipes, the difference.
    low, high : float or None
        Its interval for this recipe on this population: new runs, new rows.
    p_value : float or None
        Two-sided, of the hypothesis that a difference is 0.
    adjusted_p_value : float or None
        Holm's adjustment over the recipes of one comparison; None with two.
    between_seeds, within_test_set : float or None
        Its standard errors from training luck, of so many runs, and from test rows, of so many rows.
    reason, note : str or None
        Why there is no interval; what to know about one.

    Examples
    --------
    >>> RecipeEstimate(value=0.02, between_seeds=0.01, within_test_set=0.002).rests_on
    'training luck'
    """

    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    between_seeds: float | None = None
    within_test_set: float | None = None
    reason: str | None = None
    note: str | None = None

    @property
    def rests_on(self) -> str | None:
        """Which luck its uncertainty rests on: 'training luck', which more runs reduce, or 'test rows'."""
        if self.between_seeds is None or self.within_test_set is None:
            return None
        return "training luck" if self.between_seeds > self.within_test_set else "test rows"


def crossed_mean(
    runs: Runs,
    reference: Runs = (),
    *,
    level: float,
    weights: Floats | None = None,
    groups: NDArray[Any] | None = None,
) -> RecipeEstimate:
    """Mean of a recipe's scores over its runs and the rows, minus that of a reference, with its interval.

    Parameters
    ----------
    runs, reference : sequence of ndarray of shape (n,)
        Scores of the same rows, one vector a run; at least two runs each, and three for an interval. Without a
        reference, the mean itself.
    level : float
        Coverage to aim at, such as 0.95.
    weights, groups : ndarray of shape (n,), optional
        As in `mean_interval`.

    Returns
    -------
    RecipeEstimate
        Without an interval, and with the reason, where runs, rows or groups are too few, or a score is infinite.

    Notes
    -----
    Runs and rows are crossed, as readers and cases are in studies of radiologists. With m_s the mean of run s of S and
    x_i the mean over runs of row i,

    - training luck: V_S = var(m_s) / S of each recipe, of two their sum, which also counts what luck each run has with
      these rows alone, V_I = sum_s u_s / (S (S - 1)), u_s the jackknife variance of the mean of run s less x_i;
    - test rows: V_R, the jackknife variance of the mean of x_i (model minus reference, row by row), which holds V_I and
      which more runs do not bring to 0.

    The interval reaches sqrt(t_S^2 max(V_S - V_I, 0) + t_R^2 V_R) to either side: Banerjee's, exact where one of the
    two dominates and cautious between. t_S has S - 1 degrees of freedom, of two recipes Satterthwaite's; t_R those of
    the rows, with their skewness as in `mean_interval`. The p-value is the level at which the interval reaches 0.

    References
    ----------
    Dorfman, Berbaum, Metz 1992, "Receiver operating characteristic rating analysis: generalization to the population of
    readers and patients with the jackknife method".
    Banerjee 1960, "Approximate confidence interval for linear functions of means of k populations when the population
    variances are not equal".
    Satterthwaite 1946, "An approximate distribution of estimates of variance components".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=400)
    >>> runs = [1.0 + rows + seed for seed in rng.normal(scale=0.1, size=5)]
    >>> found = crossed_mean(runs, level=0.95)
    >>> found.low < 1.0 < found.high
    True
    """
    present = present_rows(weights)
    if present is not None and weights is not None:
        runs, reference = ([run[present] for run in arm] for arm in (runs, reference))
        weights, groups = weights[present], None if groups is None else groups[present]
    arms = [_arm(arm, weights, groups) for arm in (runs, reference) if len(arm)]
    with np.errstate(invalid="ignore"):  # of two infinite scores
        difference = arms[0].rows - arms[1].rows if len(arms) > 1 else arms[0].rows
        value = arms[0].value - arms[1].value if len(arms) > 1 else arms[0].value
    rows = mean_interval(difference, level=level, weights=weights, groups=groups)
    few = min(arm.runs for arm in arms)
    if few < MIN_RUNS:
        return RecipeEstimate(value=value, reason=f"{few} runs of a recipe, fewer than {MIN_RUNS}")
    if rows.se is None or rows.dof is None or rows.reason is not None:
        return RecipeEstimate(value=value, reason=rows.reason)
    seeds, shared = sum(arm.seeds for arm in arms), sum(arm.shared for arm in arms)
    own = max(seeds - shared, 0.0)
    dof = seeds**2 / sum(arm.seeds**2 / (arm.runs - 1) for arm in arms) if seeds > 0 else 1.0
    luck = _Luck(seeds=float(np.sqrt(own)), seeds_dof=float(dof), rows=rows.se, rows_dof=rows.dof, tilt=rows.tilt)
    below, above = luck.reach(level)
    return RecipeEstimate(
        value=value,
        low=value - below,
        high=value + above,
        p_value=luck.p_value(value) if len(arms) > 1 else None,
        between_seeds=luck.seeds,
        within_test_set=rows.se,
        note="; ".join(note for note in (rows.note, rows.skewed) if note) or None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Luck:
    """Standard errors from training and from test rows, with their degrees of freedom and the rows' skewness."""

    seeds: float
    seeds_dof: float
    rows: float
    rows_dof: float
    tilt: float

    def reach(self, level: float) -> tuple[float, float]:
        """How far the interval reaches below and above."""
        below, above = t_reach(self.rows_dof, level, self.tilt)
        training = t_quantile(self.seeds_dof, level) * self.seeds
        return float(np.hypot(training, below * self.rows)), float(np.hypot(training, above * self.rows))

    def p_value(self, value: float) -> float:
        """The level at which the interval around the value just holds 0, at least 1e-15."""
        if self.seeds == self.rows == 0 or value == 0:
            return 1.0 if value == 0 else 0.0
        low, high = np.log(1e-15), 0.0
        for _ in range(50):
            middle = (low + high) / 2
            inside = abs(value) <= self.reach(1 - float(np.exp(middle)))[0 if value > 0 else 1]
            low, high = (middle, high) if inside else (low, middle)
        return float(np.exp(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arm:
    """A recipe: its mean, its rows' means over runs, variance from seeds, and what of that rows share."""

    value: float
    rows: Floats
    seeds: float
    shared: float
    runs: int


def _arm(runs: Runs, weights: Floats | None, groups: NDArray[Any] | None) -> _Arm:
    n_runs, units = len(runs), units_of(len(runs[0]), weights=weights, groups=groups)
    means = np.array([weighted_mean(run, weights) for run in runs])
    with np.errstate(invalid="ignore"):  # infinite scores leave no interval
        rows = sum(run.astype(np.float64) for run in runs[1:]) + runs[0].astype(np.float64)
        rows = np.asarray(rows / n_runs)
        return _Arm(
            value=float(means.mean()),
            rows=rows,
            seeds=float(means.var(ddof=1) / n_runs),
            shared=sum(_own(run - rows, weights, units) for run in runs) / (n_runs * (n_runs - 1)),
            runs=n_runs,
        )


def _own(deviations: Floats, weights: Floats | None, units: Units) -> float:
    """Variance of the mean of what a run has of its own, row by row."""
    return 0.0 if units.reason is not None else units.spread(deviations, weighted_mean(deviations, weights)).se ** 2
