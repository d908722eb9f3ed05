"""Pool-adjacent-violators on tied rows: the recalibration that no bins were chosen for (CORP). Floor 2."""

import numpy as np

from calibkit._numerics import Floats, Integers
from calibkit.pairs import TiedPairs


def isotonic_blocks(happened: Floats, weight: Floats) -> Integers:
    """First index of each block that pool-adjacent-violators leaves: event rates increase strictly from block to block.

    Parameters
    ----------
    happened, weight : ndarray of shape (m,) or (draws, m)
        Weight of the rows that happened, and of all rows, at increasing forecasts; `weight` is positive, and the same
        for all draws. Each draw is a regression of its own; the indices count through all of them.

    Notes
    -----
    SciPy's compiled pass finds the blocks from rates. Blocks are then told apart by their sums: neighbours whose exact
    rates do not increase are pooled until none are left, which merges equal rates too, so that blocks are unique.

    Examples
    --------
    >>> isotonic_blocks(np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4))
    array([0, 1, 3])
    """
    from scipy.optimize import isotonic_regression

    size = happened.shape[-1]
    if size == 0:
        return np.empty(0, dtype=np.int64)
    # Rates of one draw lie in [0, 1]: two apart, no draw is pooled with the next, and one pass serves all.
    rates = np.atleast_2d(happened) / weight
    rates += 2.0 * np.arange(len(rates))[:, None]
    fit = isotonic_regression(rates.ravel(), weights=np.tile(weight, len(rates)))
    starts: Integers = fit.blocks[:-1].astype(np.int64)
    every = np.broadcast_to(weight, rates.shape).ravel()
    while True:
        hits, total = np.add.reduceat(happened.ravel(), starts), np.add.reduceat(every, starts)
        same_draw = starts[1:] // size == starts[:-1] // size
        pooled = same_draw & (hits[1:] * total[:-1] <= hits[:-1] * total[1:])
        if not pooled.any():
            return starts
        starts = starts[np.concatenate(([True], ~pooled))]


def isotonic_rates(happened: Floats, weight: Floats) -> Floats:
    """Event rate of each forecast's block: the increasing function of the forecast that is best by any proper score.

    Parameters
    ----------
    happened, weight : ndarray of shape (m,) or (draws, m)
        As in `isotonic_blocks`.

    Returns
    -------
    ndarray of the shape of `happened`
        Each the quotient of two sums, rounded once.

    References
    ----------
    Ayer, Brunk, Ewing, Reid, Silverman 1955, "An empirical distribution function for sampling with incomplete
    information". Dimitriadis, Gneiting, Jordan 2021, "Stable reliability diagrams for probabilistic classifiers",
    theorem 1.

    Examples
    --------
    >>> isotonic_rates(np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4))
    array([0. , 0.5, 0.5, 1. ])
    """
    starts = isotonic_blocks(happened, weight)
    if len(starts) == 0:
        return np.zeros_like(happened)
    every = np.broadcast_to(weight, happened.shape).ravel()
    rates = np.add.reduceat(happened.ravel(), starts) / np.add.reduceat(every, starts)
    return np.repeat(rates, np.diff(starts, append=happened.size)).reshape(happened.shape)


def recalibrated(tied: TiedPairs) -> Floats:
    """The CORP recalibration of each distinct forecast."""
    return isotonic_rates(tied.happened, tied.weight)
