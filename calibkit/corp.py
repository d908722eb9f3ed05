"""The reliability curve without bins (CORP), with the band of calibrated models or of the true curve. Floor 2."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_choice, check_int, check_level, check_rng
from calibkit._numerics import Floats, Integers
from calibkit.errors import OptionError
from calibkit.honest_band import CalibrationBand, band_of_pairs
from calibkit.isotonic import isotonic_blocks, isotonic_rates
from calibkit.pairs import Pairs, PairView, TiedPairs, pairs_of, pool_ties, read_pairs
from calibkit.predictions import Predictions
from calibkit.resampling import calibrated_outcomes, merge_neighbours
from calibkit.scores import score_rows
from calibkit.views import View, resolve_view

BandKind = Literal["consistency", "confidence"]

# A band is told at up to so many forecasts along the axis, and as many along the rows.
_POINTS = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConsistencyBand:
    """Where the CORP curve of a calibrated model with the same forecasts lies: a hypothesis, not an interval.

    Attributes
    ----------
    level : float
        The share of calibrated models whose curve is inside, at each forecast by itself.
    forecast : ndarray of shape (p,)
        Increasing.
    low, high : ndarray of shape (p,)
        Ends of the band, in [0, 1].

    Examples
    --------
    >>> from calibkit import corp_curve
    >>> band = corp_curve([0, 1] * 50, [0.5] * 100).band
    >>> band.level, bool(band.low[0] < 0.5 < band.high[0])
    (0.95, True)
    """

    level: float
    forecast: Floats
    low: Floats
    high: Floats

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"level": self.level} | {name: getattr(self, name).tolist() for name in ("forecast", "low", "high")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorpCurve:
    """Event rates that increase with the forecast, in the blocks that the data choose: the CORP reliability curve.

    Attributes
    ----------
    view : {"top-label", "positive"}
        Which event is forecast: the predicted class is right, or y = 1.
    n : int
        Rows.
    first, last : ndarray of shape (b,)
        The smallest and the largest forecast of each block, in [0, 1]; between blocks the curve is a straight line.
    rate : ndarray of shape (b,)
        How often the event happened in the block, in [0, 1], increasing.
    weight : ndarray of shape (b,)
        Weight of its rows.
    band : ConsistencyBand, CalibrationBand or None
        What a calibrated model would show, or where the true curve is; None where it was not asked for, or without
        rows.

    Examples
    --------
    >>> from calibkit import corp_curve
    >>> curve = corp_curve([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9], confidence_level=None)
    >>> curve.first, curve.last, curve.rate
    (array([0.2, 0.3, 0.9]), array([0.2, 0.6, 0.9]), array([0. , 0.5, 1. ]))
    """

    view: PairView
    n: int
    first: Floats
    last: Floats
    rate: Floats
    weight: Floats
    band: ConsistencyBand | CalibrationBand | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        vectors = {name: getattr(self, name).tolist() for name in ("first", "last", "rate", "weight")}
        return {"view": self.view, "n": self.n, **vectors, "band": self.band and self.band.to_dict()}


def corp_curve(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
    confidence_level: float | None = 0.95,
    band: BandKind = "consistency",
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> CorpCurve:
    """Reliability curve without bins: event rates by isotonic regression, equal forecasts pooled.

    Calibrated forecasts lie near the diagonal, inside the band; both axes are in [0, 1].

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive"}, optional
        Which event is forecast: by default "positive" for 1-D probabilities, else "top-label".
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.
    confidence_level : float or None, default 0.95
        Share of calibrated models inside the band at each forecast, or how often a confidence band holds the whole true
        curve; None for no band.
    band : {"consistency", "confidence"}, default "consistency"
        Around the diagonal, where the curves of calibrated models lie; or where the true curve is, by
        `calibration_band`, which is not drawn and takes whole weights only.
    n_draws : int, default 1000
        Calibrated models drawn for the band of consistency.
    rng : int or numpy.random.Generator, default 0
        Seed or source of the draws.

    Returns
    -------
    CorpCurve
        Without rows it has no blocks and no band.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Pool-adjacent-violators: the increasing function of the forecast with the least Brier score, and at once the least
    log score. A block's rate is the quotient of its sums, so no order of the rows and no rounding moves it.

    The band of consistency: quantiles, at each forecast by itself, of the curves of models that are calibrated
    and have these forecasts. A curve that leaves it somewhere is no proof: 5 % of each forecast's curves do. It assumes
    independent rows. More than 4,096 distinct forecasts are drawn in about 2,048 cells, and the band is told at up to
    512 forecasts.

    Not for forecasts whose order is wrong: a model that is right *less* often where it says more gets one flat block.

    References
    ----------
    Dimitriadis, Gneiting, Jordan 2021, "Stable reliability diagrams for probabilistic classifiers".
    Ayer, Brunk, Ewing, Reid, Silverman 1955, "An empirical distribution function for sampling with incomplete
    information".

    Examples
    --------
    The second and third forecast are in the wrong order, so they share a rate.

    >>> from calibkit import corp_curve
    >>> corp_curve([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9]).rate
    array([0. , 0.5, 1. ])
    """
    level = check_level(confidence_level)
    check_choice(band, ("consistency", "confidence"), option="band")
    check_int(n_draws, option="n_draws", low=1, high=1_000_000)
    generator = check_rng(rng)
    pairs = read_pairs(labels, probs, view=view, weights=weights)
    return curve_of_pairs(pairs, level=level, band=band, n_draws=n_draws, rng=generator)


def curve_of_predictions(
    predictions: Predictions,
    *,
    view: View | None,
    level: float | None = 0.95,
    band: BandKind = "consistency",
    rng: int | np.random.Generator = 0,
) -> CorpCurve:
    """The CORP curve of predictions of any kind, read once more; what view classwise draws is the top label.

    Where rows of a group are dependent there is no band: it would be too narrow.

    Raises
    ------
    DataError
        If a confidence band is asked for and a weight is not a whole number.
    OptionError
        In view flattened, which has many pairs a row.

    Examples
    --------
    >>> predictions = Predictions.from_correct([True, False, True], [0.6, 0.7, 0.8])
    >>> curve_of_predictions(predictions, view=None).rate
    array([0.5, 1. ])
    """
    resolved = resolve_view(predictions, view)
    if resolved == "flattened":
        raise OptionError('a curve without bins has one pair a row: use view="top-label" or view="positive"')
    one: PairView = "positive" if resolved == "positive" else "top-label"
    pairs = pairs_of(predictions, score_rows(predictions), view=one)
    level = None if predictions.groups is not None else level
    return curve_of_pairs(pairs, level=level, band=band, rng=check_rng(rng))


def curve_of_pairs(
    pairs: Pairs,
    *,
    level: float | None = 0.95,
    band: BandKind = "consistency",
    n_draws: int = 1000,
    rng: np.random.Generator,
) -> CorpCurve:
    """The CORP curve of pairs, with a band at a level.

    Examples
    --------
    >>> pairs = read_pairs([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9])
    >>> curve_of_pairs(pairs, rng=np.random.default_rng(0)).weight
    array([1., 2., 1.])
    """
    tied = pool_ties(pairs)
    starts = isotonic_blocks(tied.happened, tied.weight)
    last = np.append(starts[1:], len(tied.forecast))[: len(starts)] - 1
    weight = np.add.reduceat(tied.weight, starts) if len(starts) else np.empty(0)
    hits = np.add.reduceat(tied.happened, starts) if len(starts) else np.empty(0)
    return CorpCurve(
        view=pairs.view,
        n=len(pairs),
        first=tied.forecast[starts],
        last=tied.forecast[last],
        rate=hits / weight,
        weight=weight,
        band=_band(pairs, tied, band, level=level, n_draws=n_draws, rng=rng) if level and len(starts) else None,
    )


def _band(
    pairs: Pairs, tied: TiedPairs, kind: BandKind, *, level: float, n_draws: int, rng: np.random.Generator
) -> ConsistencyBand | CalibrationBand:
    if kind == "confidence":
        return band_of_pairs(pairs, level=level)
    return consistency_band(tied, level=level, n_draws=n_draws, rng=rng)


def consistency_band(tied: TiedPairs, *, level: float, n_draws: int, rng: np.random.Generator) -> ConsistencyBand:
    """Quantiles of the CORP curves of calibrated models, at up to 512 of the forecasts.

    Examples
    --------
    >>> tied = pool_ties(read_pairs([0, 1, 1], [0.0, 0.5, 1.0]))
    >>> band = consistency_band(tied, level=0.9, n_draws=100, rng=np.random.default_rng(0))
    >>> band.low, band.high
    (array([0., 0., 1.]), array([0., 1., 1.]))
    """
    cells = merge_neighbours(tied)
    shown = _spread(cells.forecast)
    curves = np.concatenate(
        [
            isotonic_rates(happened, cells.weight)[:, shown]
            for happened in calibrated_outcomes(cells, n_draws=n_draws, rng=rng)
        ]
    )
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ConsistencyBand(level=level, forecast=cells.forecast[shown], low=low, high=high)


def _spread(forecast: Floats) -> Integers:
    """Indices of forecasts that are spread over the axis and over the rows."""
    top = len(forecast) - 1
    along_rows = np.linspace(0, top, _POINTS).round().astype(np.int64)
    along_axis = np.searchsorted(forecast, np.linspace(forecast[0], forecast[-1], _POINTS))
    return np.unique(np.concatenate((along_rows, np.minimum(along_axis, top))))
