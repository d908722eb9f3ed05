"""What a calibrated model would show of a number that chance alone makes large. Floor 2."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_choice, check_int, check_rng
from calibkit._numerics import Floats
from calibkit.binning import SUMS, Binning, BinTable, bin_table
from calibkit.bracket import NO_CHANCE, Chance, chance_from
from calibkit.calibration_error import NORMS, Norm, calibration_error
from calibkit.errors import OptionError
from calibkit.pairs import Pairs, TiedPairs, read_pairs
from calibkit.predictions import Predictions
from calibkit.resampling import calibrated_outcomes, calibrated_rows, chance, chance_of_pairs
from calibkit.views import View, score_and_bin


def expected_by_chance(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    norm: Norm = "l1",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
    n_draws: int = 2000,
    rng: int | np.random.Generator = 0,
) -> Chance:
    """What a calibrated model with these forecasts would show of an ECE: consistency resampling, and its test.

    Mean and 95th percentile in [0, 1], to stand beside the ECE; p is small where the forecasts are not calibrated.
    Never subtract the mean: where the model is miscalibrated, the bias of its ECE is far smaller.

    Parameters
    ----------
    labels, probs, n_bins, binning, norm, edges, weights
        As in `expected_calibration_error`.
    view : {"top-label", "positive", "classwise", "flattened"}, optional
        Which forecast and outcome; by default "positive" for 1-D probabilities, else "top-label". In the views
        "classwise" and "flattened" the k outcomes of a row are drawn together, for `norm` "l1" alone.
    n_draws : int, default 2000
        Number of calibrated models drawn.
    rng : int or numpy.random.Generator, default 0
        Seed or source of the draws.

    Returns
    -------
    Chance
        Mean and 95th percentile over calibrated models, and the share of them that show as much as was seen: (1 +
        their number) / (1 + n_draws). NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.
    OptionError
        If an option has a value that is not allowed, or `norm` is not "l1" where a row has k pairs.

    Notes
    -----
    The outcomes of a bin's N_b independent rows are drawn as Binomial(N_b, c_b), c_b their mean forecast; of weighted
    rows N_b is the effective number, (sum w)^2 / sum w^2. Forecasts and bins are kept. Of calibrated models
    the test rejects 5 % at level 5 % (docs/estimators.md). For dependent rows it is not valid: their ECE is larger
    (`evaluate` knows groups).

    In the views "classwise" and "flattened" a draw gives each row one label with its own probabilities. For more than
    8,192 rows (or 4 million probabilities) labels are drawn for a random sample of so many, and of more than about
    4,000 classes for 2,048 rows. Their errors are brought to n rows: what each cell expects is that of all rows, and
    only what cells share comes from the sample.

    References
    ----------
    Bröcker, Smith 2007, "Increasing the reliability of reliability diagrams", section 3.
    Vaicenavicius et al. 2019, "Evaluating model calibration in classification", section 5.

    Examples
    --------
    Of 400 forecasts .9 a calibrated model's hits deviate from 360 by 6 sqrt(2 / pi) on average: .012 of all rows.

    >>> from calibkit import expected_by_chance
    >>> null = expected_by_chance([1] * 300 + [0] * 100, [0.9] * 400)
    >>> round(null.mean, 3), null.p_value < 0.001
    (0.012, True)
    """
    check_choice(norm, NORMS, option="norm")
    check_int(n_draws, option="n_draws", low=1, high=1_000_000)
    generator = check_rng(rng)
    bins = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    if view == "classwise" or view == "flattened":
        predictions = Predictions.from_probs(labels, probs, weights=weights)
        return _of_many_pairs(predictions, view, bins, norm=norm, rng=generator, n_draws=n_draws)
    pairs = read_pairs(labels, probs, view=view, weights=weights)
    table = bin_table(pairs.forecast, pairs.outcome, bins, weights=pairs.weights)
    return error_by_chance(table, norm=norm, rng=generator, n_draws=n_draws)


def _of_many_pairs(
    predictions: Predictions, view: View, binning: Binning, *, norm: Norm, rng: np.random.Generator, n_draws: int
) -> Chance:
    """The chance level of the views that have k pairs a row."""
    if norm != "l1":
        raise OptionError(f'norm="{norm}": in the {view} view a chance level is known for norm="l1" alone.')
    _, binned = score_and_bin(predictions, view=view, binning=binning)
    assert binned.sample is not None  # kept with the tables of these views
    return chance_of_pairs(binned.sample, binned.tables, binning, rng=rng, n_draws=n_draws)


def error_by_chance(table: BinTable, *, norm: Norm, rng: np.random.Generator, n_draws: int = 2000) -> Chance:
    """What a calibrated model would show of a calibration error, from its bin table.

    Examples
    --------
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 2, Binning())
    >>> null = error_by_chance(table, norm="max", rng=np.random.default_rng(0))
    >>> 0.01 < null.mean < 0.015, null.p_value < 0.001
    (True, True)
    """
    if norm == "l1" and not table.weighted:
        return chance(table, rng=rng, n_draws=n_draws)
    if not table.count.any():
        return NO_CHANCE
    bins = _tied_bins(table)
    null = [_errors(bins, drawn, norm) for drawn in calibrated_outcomes(bins, n_draws=n_draws, rng=rng)]
    return chance_from(calibration_error((table,), norm=norm), np.concatenate(null))


def table_chance(
    kernel: Callable[[BinTable], Floats], table: BinTable, *, rng: np.random.Generator, n_draws: int = 2000
) -> Chance:
    """What a calibrated model would show of any metric of bin tables that is larger where a model is worse.

    The outcomes of a bin are drawn as in `expected_by_chance`. The kernel takes tables (draws, b) at once.

    Examples
    --------
    >>> def shortfall(table):
    ...     return np.maximum(table.confidence_sum - table.outcome_sum, 0).sum(axis=-1) / table.weight.sum()
    >>> table = bin_table(np.full(400, 0.9), np.arange(400) % 2, Binning())
    >>> null = table_chance(shortfall, table, rng=np.random.default_rng(0))
    >>> 0.005 < null.mean < 0.007, null.p_value < 0.001
    (True, True)
    """
    filled = table.count > 0
    if not filled.any():
        return NO_CHANCE
    there = replace(table, **{name: getattr(table, name)[filled] for name in SUMS})
    draws = calibrated_outcomes(_tied_bins(table), n_draws=n_draws, rng=rng)
    null = [kernel(replace(there, outcome_sum=drawn)) for drawn in draws]
    return chance_from(float(kernel(table)), np.concatenate(null))


def _tied_bins(table: BinTable) -> TiedPairs:
    """Each bin that is not empty, with all its rows at their mean forecast."""
    filled = table.count > 0
    return TiedPairs(
        forecast=np.clip(table.confidence[filled], 0.0, 1.0),
        weight=table.weight[filled],
        weight_squared=table.weight_squared[filled],
        happened=table.outcome_sum[filled],
    )


def _errors(bins: TiedPairs, drawn: Floats, norm: Norm) -> Floats:
    """The calibration error of each draw, (draws,), from what happened in each bin, (draws, bins)."""
    share, gap = bins.weight / bins.weight.sum(), np.abs(drawn / bins.weight - bins.forecast)
    if norm == "max":
        return np.asarray(gap.max(axis=1))
    return np.asarray(gap @ share if norm == "l1" else np.sqrt(gap**2 @ share))


def chance_of(
    kernel: Callable[[Pairs], float], pairs: Pairs, *, rng: np.random.Generator, n_draws: int = 200
) -> Chance:
    """What a calibrated model would show of any metric of pairs that is larger where a model is worse.

    The outcome of row i is drawn as Bernoulli(p_i), n_draws times, and the kernel runs on each: where it has a faster
    way, use that.

    Examples
    --------
    >>> def worst(pairs):
    ...     return float(np.abs(pairs.forecast - pairs.outcome).max())
    >>> null = chance_of(worst, read_pairs([1, 0], [0.6, 0.4]), rng=np.random.default_rng(0))
    >>> 0.4 < null.mean < 0.6, null.p95, null.p_value
    (True, 0.6, 1.0)
    """
    if len(pairs) == 0:
        return NO_CHANCE
    draws = calibrated_rows(pairs, n_draws=n_draws, rng=rng)
    return chance_from(kernel(pairs), np.array([kernel(drawn) for drawn in draws]))
