"""The standard metrics of one model, each with its interval or the reason why it has none. Floor 3."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import effective_size, weighted_mean
from calibkit.bracket import Chance, bracket_interval, many_pairs_ends
from calibkit.calibration_error import calibration_error
from calibkit.intervals import MeanInterval, mean_interval
from calibkit.metrics import METRICS
from calibkit.one_pass import (
    FEW_ROWS,
    Scored,
    Settings,
    why_no_ece_interval,
    why_no_ranking_interval,
    why_no_score_interval,
)
from calibkit.proportions import wilson_interval
from calibkit.results import Estimate

# Of dependent rows: outcomes worth fewer whole groups than this show too little of what can happen.
FEW_UNITS = 2


def standard_estimates(
    scored: Scored, settings: Settings, null: Chance | None
) -> tuple[dict[str, Estimate], list[str]]:
    """Every metric in the registry's order, and the reasons why an interval is missing."""
    reasons: list[str] = []
    means = {name: _mean(name, rows, scored, settings, reasons) for name, rows in scored.rows.items()}
    metrics: dict[str, Estimate] = {
        name: means[name] for name in ("accuracy", "base_rate", "mean_confidence") if name in means
    }
    metrics["gap"] = _gap(scored, settings, metrics)
    tables = scored.binned.tables
    metrics |= {
        name: Estimate(value=calibration_error(tables, norm=metric.norm))
        for name, metric in METRICS.items()
        if metric.norm is not None
    }
    metrics["ece"] = _ece(metrics["ece"].value, scored, settings, null, reasons)
    metrics |= {name: means[name] for name in ("nll", "brier") if name in means}
    unseen = why_no_ranking_interval(scored)
    for name, rows in scored.rankings.items():
        metrics[name] = _of_rows(name, rows, scored, settings, reasons, unseen=unseen)
    return metrics, reasons


def _mean(name: str, rows: np.ndarray[Any, Any], scored: Scored, settings: Settings, reasons: list[str]) -> Estimate:
    """A mean with its interval: Wilson for fractions of independent rows, else t."""
    predictions, level = scored.predictions, settings.confidence_level
    weights, groups = predictions.weights, predictions.groups
    if level is None or len(rows) == 0:
        return Estimate(value=weighted_mean(rows, weights))
    if name in ("accuracy", "base_rate") and groups is None:
        value = weighted_mean(rows, weights)
        low, high = wilson_interval(value, effective_size(weights, len(rows)), level=level)
        return Estimate(value=value, low=float(low), high=float(high))
    unseen = why_no_score_interval(scored) if name in ("nll", "brier") else None
    return _of_rows(name, rows, scored, settings, reasons, unseen=unseen)


def _of_rows(
    name: str, rows: NDArray[Any], scored: Scored, settings: Settings, reasons: list[str], *, unseen: str | None
) -> Estimate:
    """A mean with its t interval, unless too little was seen for one."""
    predictions, level = scored.predictions, settings.confidence_level
    weights, groups = predictions.weights, predictions.groups
    if level is None or len(rows) == 0 or unseen is not None:
        if level is not None and unseen is not None:
            reasons.append(f"No interval for {name}: {unseen}.")
        return Estimate(value=weighted_mean(rows, weights))
    interval = mean_interval(rows, level=level, weights=weights, groups=groups, binary=_few_outcomes(scored, rows))
    if interval.reason is not None:
        reasons.append(f"No interval for {name}: {interval.reason}.")
    if interval.note is not None:
        reasons.append(f"Intervals rest on {interval.note}.")
    if interval.skewed is not None and len(rows) >= FEW_ROWS:
        reasons.append(f"The interval of {name} may cover less than it says: {interval.skewed}.")
    return _within_bounds(name, interval)


def _few_outcomes(scored: Scored, outcome: np.ndarray[Any, Any]) -> bool:
    """Whether an interval must allow for outcomes not seen; of grouped rows only where the rarer one is rare indeed."""
    if outcome.dtype != np.bool_:
        return False
    predictions = scored.predictions
    if predictions.groups is None:
        return True
    rate = weighted_mean(outcome, predictions.weights)
    return min(rate, 1 - rate) * scored.units.effective < FEW_UNITS


def _within_bounds(name: str, interval: MeanInterval) -> Estimate:
    """An estimate whose interval does not leave what the metric can be."""
    if interval.low is None or interval.high is None:
        return Estimate(value=interval.value)
    low, high = METRICS[name].bounds
    return Estimate(value=interval.value, low=max(interval.low, low), high=min(interval.high, high))


def _gap(scored: Scored, settings: Settings, metrics: Mapping[str, Estimate]) -> Estimate:
    """Mean confidence minus accuracy (or base rate), with the t interval of the row differences."""
    truth = metrics["base_rate" if scored.view == "positive" else "accuracy"]
    value = metrics["mean_confidence"].value - truth.value
    predictions = scored.predictions
    if settings.confidence_level is None or len(predictions) == 0:
        return Estimate(value=value)
    interval = mean_interval(
        scored.gap,
        level=settings.confidence_level,
        weights=predictions.weights,
        groups=predictions.groups,
        binary=_few_outcomes(scored, scored.binned.outcome),
    )
    return replace(_within_bounds("gap", interval), value=value)


def _ece(value: float, scored: Scored, settings: Settings, null: Chance | None, reasons: list[str]) -> Estimate:
    rows, level = scored.binned.rows, settings.confidence_level
    if level is None or why_no_ece_interval(scored, settings) is not None:
        return Estimate(value=value)
    if scored.many_pairs:
        tables, n, k = scored.binned.tables, len(scored.predictions), scored.predictions.n_classes or 2
        low, high, reason = many_pairs_ends(tables, n, pairs_per_row=k // len(tables), level=level)
    else:
        assert rows is not None  # kept wherever there is a level
        low, high, reason = bracket_interval(rows, level=level, chance=null)
    if reason is not None:
        reasons.append(f"No interval for ECE: {reason}.")
    return Estimate(value=value, low=low, high=high)
