"""What chance alone does to a metric of pairs: outcomes drawn from the forecasts themselves. Floor 2."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibkit.bracket import Chance
from calibkit.pairs import Pairs


def chance_of(
    kernel: Callable[[Pairs], float], pairs: Pairs, *, rng: np.random.Generator, n_draws: int = 200
) -> Chance:
    """Value of a metric that a calibrated model with these forecasts would show: consistency resampling of the rows.

    For independent rows, and for a metric that is larger where a model is worse.

    Parameters
    ----------
    kernel : callable
        ``kernel(pairs) -> float``.
    pairs : Pairs
        Forecasts, kept as they are, and outcomes, drawn anew.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int, default 200
        Number of calibrated models drawn.

    Returns
    -------
    Chance
        NaN without rows.

    Notes
    -----
    The outcome of row i is drawn as Bernoulli(p_i). The p-value is (1 + number of draws at least as large) /
    (1 + n_draws), so it is at least 1 / (1 + n_draws).

    References
    ----------
    Bröcker, Smith 2007, "Increasing the reliability of reliability diagrams", section 3.
    Vaicenavicius et al. 2019, "Evaluating model calibration in classification", section 5.

    Examples
    --------
    >>> from calibkit.pairs import read_pairs
    >>> def worst(pairs):
    ...     return float(np.abs(pairs.forecast - pairs.outcome).max())
    >>> chance = chance_of(worst, read_pairs([1, 0], [0.6, 0.4]), rng=np.random.default_rng(0))
    >>> 0.4 < chance.mean < 0.6, chance.p95, chance.p_value
    (True, 0.6, 1.0)
    """
    if len(pairs) == 0:
        return Chance(mean=np.nan, p95=np.nan, p_value=np.nan)
    draws = (replace(pairs, outcome=rng.random(len(pairs)) < pairs.forecast) for _ in range(n_draws))
    null = np.array([kernel(drawn) for drawn in draws])
    # Values that are equal as real numbers may differ in the last bits.
    reached = int(np.count_nonzero(null >= kernel(pairs) * (1 - 1e-12)))
    return Chance(mean=float(null.mean()), p95=float(np.quantile(null, 0.95)), p_value=(1 + reached) / (1 + n_draws))
