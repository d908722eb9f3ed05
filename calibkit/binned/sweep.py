"""ECE with as many bins as keep accuracy rising with confidence: the monotone sweep. Floor 2."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibkit._checks import check_choice
from calibkit._checks.options import MAX_BINS
from calibkit._numerics import Floats, Integers
from calibkit.bracket import Chance, chance_from
from calibkit.pairs import Pairs, PairView, TiedPairs, pool_ties, read_pairs
from calibkit.resampling import calibrated_outcomes, merge_neighbours

SweepNorm = Literal["l1", "l2"]


def sweep_error(pairs: Pairs, norm: SweepNorm = "l1") -> float:
    """Calibration error over the last bins before the first that are not monotone."""
    return _error(pool_ties(pairs), norm) if len(pairs) else float("nan")


def sweep_by_chance(pairs: Pairs, norm: SweepNorm = "l1", *, n_draws: int = 1000, rng: np.random.Generator) -> Chance:
    """What a calibrated model with these forecasts would show of it; many forecasts are drawn in cells of neighbours.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> forecast = rng.random(500)
    >>> labels = rng.random(500) < 0.25 + 0.5 * forecast  # too sure of itself on both sides
    >>> null = sweep_by_chance(read_pairs(labels, forecast), rng=rng)
    >>> 0.01 < null.mean < 0.06, null.p_value < 0.01
    (True, True)
    """
    if len(pairs) == 0:
        return chance_from(np.nan, np.empty(0))
    tied = pool_ties(pairs)
    cells = merge_neighbours(tied)
    draws = calibrated_outcomes(cells, n_draws=n_draws, rng=rng)
    null = np.concatenate([_drawn_errors(cells, happened, norm) for happened in draws])
    return chance_from(_error(tied, norm), null)


def _error(tied: TiedPairs, norm: SweepNorm) -> float:
    return float(_norm_of(*_sums(tied, _last_monotone(tied)), norm))


def _norm_of(weight: Floats, confidence: Floats, happened: Floats, norm: SweepNorm) -> Floats:
    """Error over bins, of one outcome of each, or of many, (draws, b)."""
    gaps, total = np.abs(confidence - happened), weight.sum()
    if norm == "l1":
        return np.asarray(gaps.sum(axis=-1) / total)
    return np.asarray(np.sqrt((gaps**2 / weight).sum(axis=-1) / total))


def _drawn_errors(cells: TiedPairs, happened: Floats, norm: SweepNorm) -> Floats:
    """The error of each draw, (draws,), from what happened in each cell; where bins end is the same for all."""
    reached, below = np.cumsum(cells.weight), np.cumsum(happened, axis=1)
    rising = _rise(happened / cells.weight)
    errors = np.where(rising, _norm_of(cells.weight, cells.weight * cells.forecast, happened, norm), np.nan)
    left, ends = np.flatnonzero(~rising), np.array([len(reached)])
    for n_bins in range(2, MAX_BINS + 2):
        further = _ends(reached, n_bins)
        weight, _, _ = _sums(cells, further)
        drawn = np.diff(below[left][:, further - 1], axis=1, prepend=0.0)
        ended = ~_rise(drawn / weight) if n_bins <= MAX_BINS else np.ones(len(left), dtype=bool)
        weight, confidence, _ = _sums(cells, ends)
        last = np.diff(below[left[ended]][:, ends - 1], axis=1, prepend=0.0)
        errors[left[ended]] = _norm_of(weight, confidence, last, norm)
        left, ends = left[~ended], further
        if len(left) == 0:
            break
    return errors


def sweep_calibration_error(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    norm: SweepNorm = "l1",
    view: PairView | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Calibration error with the number of bins chosen by a monotone sweep: no n_bins to choose.

    In [0, 1], smaller is better.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    norm : {"l1", "l2"}, default "l1"
        Mean absolute or root mean square gap.
    view : {"top-label", "positive"}, optional
        By default "positive" for 1-D input, else "top-label".
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Quantile bins, ties never split, as ``binning="quantile"``: b = 1, 2, ... until the bins' accuracies, in the order
    of their confidence, fall once for the first time; the error is that of the b before. The authors' code stops at
    the same place but splits ties and sizes its bins by rank alone, so it may differ by a bin. Where accuracy never
    falls, each distinct forecast is a bin of its own.

    It is less biased than a fixed number of bins where accuracy rises with confidence, and has no meaning where it
    does not: a forecast that is upside down has one bin. It changes by jumps when a row is added, so no interval is
    given; see what a calibrated model would show.

    References
    ----------
    Roelofs, Cain, Shlens, Mozer 2022, "Mitigating bias in calibration error estimation", algorithm 1.

    Examples
    --------
    Two bins rise from 0 to 1, three would be 0, 1, 1/2: the error is |.2 - 0| / 2 + |.75 - 2/3| / 2 of six rows.

    >>> from calibkit import sweep_calibration_error
    >>> round(sweep_calibration_error([0, 0, 0, 1, 1, 0], [0.1, 0.2, 0.3, 0.7, 0.75, 0.8]), 4)
    0.1417
    """
    check_choice(norm, ("l1", "l2"), option="norm")
    return sweep_error(read_pairs(labels, probs, view=view, weights=weights), norm)


def _last_monotone(tied: TiedPairs) -> Integers:
    """Where the bins end: at which distinct forecasts, counted from 1."""
    reached = np.cumsum(tied.weight)
    rates = tied.happened / tied.weight
    if _rise(rates):
        return np.arange(1, len(rates) + 1)
    ends = np.array([len(reached)])
    for n_bins in range(2, MAX_BINS + 1):
        further = _ends(reached, n_bins)
        weight, _, happened = _sums(tied, further)
        if not _rise(happened / weight):
            break
        ends = further
    return ends


def _sums(tied: TiedPairs, ends: Integers) -> tuple[Floats, Floats, Floats]:
    """Weight, sum of forecasts, and weight of what happened, of each bin."""
    starts = np.concatenate([[0], ends[:-1]]).astype(np.intp)
    parts = (tied.weight, tied.weight * tied.forecast, tied.happened)
    weight, confidence, happened = (np.add.reduceat(part, starts) for part in parts)
    return weight, confidence, happened


def _ends(reached: Floats, n_bins: int) -> Integers:
    """Where so many quantile bins end, at which distinct forecasts, counted from 1; ties are not split."""
    # Multiplied before it is divided: exact for integer weights, which are ranks then.
    found = np.searchsorted(reached, np.arange(1, n_bins + 1) * reached[-1] / n_bins)
    return np.asarray(np.unique(np.minimum(found, len(reached) - 1)) + 1)


def _rise(rates: Floats) -> NDArray[np.bool_]:
    """Whether rates do not fall, (...), from (..., b)."""
    return np.asarray((np.diff(rates) >= 0).all(axis=-1))
