"""Proper scores in parts: miscalibration, discrimination, uncertainty, with and without bins. Floor 2."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_choice, check_int, check_rng
from calibkit._numerics import Floats
from calibkit.bracket import Chance, chance_from, p_values_of
from calibkit.isotonic import isotonic_rates
from calibkit.pairs import Pairs, PairView, TiedPairs, pool_ties, read_pairs
from calibkit.resampling import calibrated_outcomes, merge_neighbours

Score = Literal["brier", "log"]

# Each draw is also read in cells four times as wide, to see what width costs.
_WIDER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """A mean score of binary forecasts in three parts: score = miscalibration - discrimination + uncertainty.

    Attributes
    ----------
    kind : {"brier", "log"}
        Which score.
    view : {"top-label", "positive"}
        Which event is forecast: the predicted class is right, or y = 1.
    n : int
        Rows.
    score : float
        The mean score of the forecasts; inf where the log score meets a certainty that was wrong.
    miscalibration : float
        What recalibration would save, at least 0; smaller is better.
    discrimination : float
        What recalibrated forecasts save against the base rate, at least 0; larger is better.
    uncertainty : float
        Score of the base rate: of the outcomes alone.
    chance : Chance or None
        The miscalibration that a calibrated model with these forecasts would show; None where no draws were asked for.

    Examples
    --------
    >>> from calibkit import decompose
    >>> parts = decompose([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9])
    >>> round(parts.score, 4), round(parts.miscalibration - parts.discrimination + parts.uncertainty, 4)
    (0.225, 0.225)
    """

    kind: Score
    view: PairView
    n: int
    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float
    chance: Chance | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name; non-finite numbers stay floats."""
        return asdict(self)


def decompose(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    score: Score = "brier",
    view: PairView | None = None,
    weights: ArrayLike | None = None,
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> Decomposition:
    """Decompose the mean Brier or log score into miscalibration, discrimination and uncertainty, without bins (CORP).

    All parts are at least 0, in the unit of the score; score = miscalibration - discrimination + uncertainty, exactly.
    Miscalibration is biased upward: read it beside `Decomposition.chance`, and never subtract that.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    score : {"brier", "log"}, default "brier"
        (f - y)^2 in [0, 1], or -log of the probability given to what happened, in nats.
    view : {"top-label", "positive"}, optional
        Which event is forecast: by default "positive" for 1-D probabilities, else "top-label".
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.
    n_draws : int, default 1000
        Calibrated models drawn for the chance level; 0 for none.
    rng : int or numpy.random.Generator, default 0
        Seed or source of the draws.

    Returns
    -------
    Decomposition
        NaN without rows. With a probability of 0 for what happened, the log score and its miscalibration are inf.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    With mean score S, forecasts f, their isotonic recalibration g (`corp_curve`) and base rate b:
    miscalibration = S(f) - S(g), discrimination = S(b) - S(g), uncertainty = S(b). Rows of equal forecast are pooled
    first, so their order is irrelevant. In view "top-label" the score is that of (confidence, right or wrong), not the
    multi-class NLL or Brier score.

    The chance level draws outcomes for each forecast as if it were calibrated. It is for independent rows. More than
    4,096 distinct forecasts are drawn in about 2,048 cells, and mean and percentile extrapolated from there: to 1 % for
    20,000 forecasts (``python -m benchmarks.resampling --accuracy``). The p-value compares like with like.

    References
    ----------
    Dimitriadis, Gneiting, Jordan 2021, "Stable reliability diagrams for probabilistic classifiers", eq. 4 and 5.
    Bröcker, Smith 2007, "Increasing the reliability of reliability diagrams", section 3.

    Examples
    --------
    Recalibrated, the forecasts are 0, 1/2, 1/2, 1; their Brier score is 1/8, that of the base rate 1/4.

    >>> from calibkit import decompose
    >>> parts = decompose([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9])
    >>> round(parts.miscalibration, 4), parts.discrimination, parts.uncertainty
    (0.1, 0.125, 0.25)
    """
    check_choice(score, tuple(_SAVINGS), option="score")
    check_int(n_draws, option="n_draws", low=0, high=1_000_000)
    generator = check_rng(rng)
    pairs = read_pairs(labels, probs, view=view, weights=weights)
    tied = pool_ties(pairs)
    miscalibration, discrimination, uncertainty = parts_of(tied, score)
    return Decomposition(
        kind=score,
        view=pairs.view,
        n=len(pairs),
        score=miscalibration - discrimination + uncertainty,
        miscalibration=miscalibration,
        discrimination=discrimination,
        uncertainty=uncertainty,
        chance=miscalibration_by_chance(tied, score, n_draws=n_draws, rng=generator) if n_draws else None,
    )


def parts_of(tied: TiedPairs, score: Score) -> tuple[float, float, float]:
    """Miscalibration, discrimination and uncertainty; NaN without rows.

    Examples
    --------
    >>> parts_of(pool_ties(read_pairs([0, 1], [0.5, 0.5])), "brier")
    (0.0, 0.0, 0.25)
    """
    if len(tied.forecast) == 0:
        return np.nan, np.nan, np.nan
    rates = isotonic_rates(tied.happened, tied.weight)
    base = tied.happened.sum() / tied.weight.sum()
    constant = np.full_like(rates, base)
    return (
        float(_saved(score, tied.forecast, rates, tied)),
        float(_saved(score, constant, rates, tied)),
        uncertainty_of(score, float(base)),
    )


def miscalibration_of(pairs: Pairs, score: Score = "brier") -> float:
    """The miscalibration alone.

    Examples
    --------
    >>> round(miscalibration_of(read_pairs([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9])), 4)
    0.1
    """
    return parts_of(pool_ties(pairs), score)[0]


def discrimination_of(pairs: Pairs, score: Score = "brier") -> float:
    """The discrimination alone.

    Examples
    --------
    >>> discrimination_of(read_pairs([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9]))
    0.125
    """
    return parts_of(pool_ties(pairs), score)[1]


def chance_of_miscalibration(
    pairs: Pairs, *, score: Score = "brier", n_draws: int = 1000, rng: np.random.Generator
) -> Chance:
    """The miscalibration that calibrated forecasts show, of pairs.

    Examples
    --------
    >>> pairs = read_pairs([0, 1], [0.0, 1.0])
    >>> chance_of_miscalibration(pairs, rng=np.random.default_rng(0)).p95
    0.0
    """
    return miscalibration_by_chance(pool_ties(pairs), score, n_draws=n_draws, rng=rng)


def miscalibration_by_chance(
    tied: TiedPairs, score: Score, *, n_draws: int, rng: np.random.Generator, distinct: int | None = None
) -> Chance:
    """The miscalibration that calibrated forecasts show, with the p-value of the one observed.

    `distinct` is the number of distinct forecasts of the rows where several are together in each of `tied`.

    Notes
    -----
    Isotonic regression follows the extremes of a random walk. Where it can turn at k cells only instead of at m
    forecasts, what it saves falls short by a k^(-1/2) + b / k minus the same at m, as for Brownian motion seen at k
    times. Each draw is also read at k/4 and at k/16 cells, which gives a and b.
    """
    if len(tied.forecast) == 0:
        return chance_from(np.nan, np.empty(0))
    distinct = len(tied.forecast) if distinct is None else distinct
    fine = merge_neighbours(tied)
    observed = float(_miscalibration(score, fine))
    draws = (replace(fine, happened=happened) for happened in calibrated_outcomes(fine, n_draws=n_draws, rng=rng))
    if len(fine.forecast) >= distinct:
        return chance_from(observed, np.concatenate([_miscalibration(score, draw) for draw in draws]))
    read = [[_miscalibration(score, draw) for draw in (fine, _wider(fine), _wider(_wider(fine)))] for fine in draws]
    null, wide, wider = np.concatenate(read, axis=1)
    one, four = np.mean(null - wide), np.mean(wide - wider)  # a + 3 b and 2 a + 12 b, in units of k cells
    quadratic = (four - 2 * one) / 6
    width = np.sqrt(len(fine.forecast) / distinct)
    shortfall = (one - 3 * quadratic) * (1 - width) + quadratic * (1 - width**2)
    # The p-value compares like with like: observed and drawn, both in cells.
    return replace(chance_from(observed, null + shortfall), p_value=float(p_values_of(observed, null)))


def _wider(tied: TiedPairs) -> TiedPairs:
    """Forecasts four at a time."""
    first = np.arange(0, len(tied.forecast), _WIDER)
    weight = np.add.reduceat(tied.weight, first)
    return TiedPairs(
        forecast=np.add.reduceat(tied.weight * tied.forecast, first) / weight,
        weight=weight,
        weight_squared=np.add.reduceat(tied.weight_squared, first),
        happened=np.add.reduceat(tied.happened, first, axis=-1),
    )


def _miscalibration(score: Score, tied: TiedPairs) -> Any:
    return _saved(score, tied.forecast, isotonic_rates(tied.happened, tied.weight), tied)


def _saved(score: Score, forecast: Floats, rates: Floats, tied: TiedPairs) -> Any:
    """Mean score of forecasts minus that of the best increasing function of them, so at least 0; of each draw."""
    saved = _SAVINGS[score](forecast, rates, tied.happened, tied.weight).sum(axis=-1)
    return np.maximum(saved / tied.weight.sum(), 0.0)


def _brier_saved(forecast: Floats, rates: Floats, happened: Floats, weight: Floats) -> Floats:
    """Sum of w (f - y)^2 - w (g - y)^2 over the rows of a forecast."""
    return (forecast - rates) * (weight * (forecast + rates) - 2 * happened)


def _log_saved(forecast: Floats, rates: Floats, happened: Floats, weight: Floats) -> Floats:
    """Sum of -w log f(y) + w log g(y) over the rows of a forecast; what did not happen costs nothing."""
    missed = weight - happened
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(happened > 0, happened * (np.log(rates) - np.log(forecast)), 0.0)
        other = np.where(missed > 0, missed * (np.log1p(-rates) - np.log1p(-forecast)), 0.0)
    return one + other


def uncertainty_of(score: Score, rate: float) -> float:
    """Score of an event of this rate, forecast with it.

    Examples
    --------
    >>> uncertainty_of("brier", 0.5)
    0.25
    """
    return _UNCERTAINTY[score](rate)


def _entropy(rate: float) -> float:
    """Entropy of an event of this rate in nats."""
    return -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)


_SAVINGS: Mapping[Score, Callable[[Floats, Floats, Floats, Floats], Floats]] = MappingProxyType(
    {"brier": _brier_saved, "log": _log_saved}
)
_UNCERTAINTY: Mapping[Score, Callable[[float], float]] = MappingProxyType(
    {"brier": lambda rate: rate * (1 - rate), "log": _entropy}
)
