"""What a change does to a measure, seed by seed: paired differences and their t interval. Annex: training."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibkit.intervals import mean_interval

LEVEL = 0.95

Series = Mapping[int, float]
Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A mean over seeds with its t interval; ``n`` seeds that define it. No interval with fewer than two."""

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and 0 is outside it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def series(rows: Rows, measure: str, **conditions: object) -> dict[int, float]:
    """Value of a measure at each seed; several rows of a seed (class pairs) are averaged, undefined ones left out.

    Examples
    --------
    >>> rows = [{"seed": 0, "noise": 0.0, "ece": 0.02}, {"seed": 1, "noise": 0.0, "ece": None}]
    >>> series(rows, "ece", noise=0.0)
    {0: 0.02}
    """
    found: dict[int, list[float]] = {}
    for row in rows:
        if all(row[name] == wanted for name, wanted in conditions.items()) and row[measure] is not None:
            found.setdefault(row["seed"], []).append(float(row[measure]))
    return {seed: math.fsum(values) / len(values) for seed, values in found.items()}


def level_of(values: Series) -> Effect:
    """Mean over seeds.

    Examples
    --------
    >>> level_of({0: 0.1, 1: 0.3}).value
    0.2
    """
    array = np.array([values[seed] for seed in sorted(values)], dtype=np.float64)
    array = array[np.isfinite(array)]
    if len(array) == 0:
        return Effect(value=math.nan, low=None, high=None, n=0)
    interval = mean_interval(array, level=LEVEL)
    return Effect(value=interval.value, low=interval.low, high=interval.high, n=len(array))


def change(after: Series, before: Series) -> dict[int, float]:
    """Difference at each seed that both have."""
    return {seed: after[seed] - before[seed] for seed in after if seed in before}


def mean_of(several: Iterable[Series]) -> dict[int, float]:
    """Mean over several series at each seed that all have."""
    every = list(several)
    seeds = set.intersection(*(set(one) for one in every)) if every else set()
    return {seed: math.fsum(one[seed] for one in every) / len(every) for seed in sorted(seeds)}


def effect(after: Series, before: Series) -> Effect:
    """Mean paired difference over seeds.

    Examples
    --------
    >>> found = effect({0: 0.5, 1: 0.7, 2: 0.6}, {0: 0.4, 1: 0.5, 2: 0.3})
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4), found.n
    (0.2, -0.0484, 0.4484, 3)
    """
    found = level_of(change(after, before))
    # Seeds that agree on a change to the last digit (of accuracy, on few rows) show no spread, not that there is none.
    return replace(found, low=None, high=None) if found.low == found.high and found.value != 0 else found
