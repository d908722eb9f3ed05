"""The standard metrics of one model, each with its interval or the reason why it has none. Floor 3."""

from collections.abc import Mapping
from dataclasses import replace

from calibkit.bracket import Chance, bracket_interval, many_pairs_ends, rms_interval
from calibkit.by_chance import error_by_chance
from calibkit.calibration_error import calibration_error
from calibkit.evidence import FEW_ROWS, Evidence
from calibkit.intervals import MeanInterval
from calibkit.metrics import METRICS
from calibkit.one_pass import Settings, stream, why_no_ece_interval
from calibkit.proportions import wilson_interval
from calibkit.results import Estimate


def standard_estimates(
    evidence: Evidence, settings: Settings, null: Chance | None
) -> tuple[dict[str, Estimate], list[str]]:
    """Every metric in the registry's order, and the reasons why an interval is missing."""
    reasons: list[str] = []
    means = {name: _mean(name, evidence, settings, reasons) for name in evidence.means}
    metrics: dict[str, Estimate] = {
        name: means[name] for name in ("accuracy", "base_rate", "mean_confidence") if name in means
    }
    metrics["gap"] = _gap(evidence, settings, metrics)
    metrics |= {
        name: Estimate(value=calibration_error(evidence.tables, norm=metric.norm))
        for name, metric in METRICS.items()
        if metric.norm is not None
    }
    metrics["ece"] = _ece(metrics["ece"].value, evidence, settings, null, reasons)
    metrics["rmsce"] = _rmsce(metrics["rmsce"].value, evidence, settings)
    metrics |= {name: means[name] for name in ("nll", "brier") if name in means}
    metrics |= {name: _with_t(name, evidence, settings, reasons) for name in evidence.rankings}
    return metrics, reasons


def _mean(name: str, evidence: Evidence, settings: Settings, reasons: list[str]) -> Estimate:
    """A mean with its interval: Wilson for fractions of independent rows, else t."""
    about, level = evidence.about, settings.confidence_level
    if level is None or about.n == 0:
        return Estimate(value=evidence.mean(name))
    if name in ("accuracy", "base_rate") and not about.grouped:
        value = evidence.mean(name)
        low, high = wilson_interval(value, evidence.effective, level=level)
        return Estimate(value=value, low=float(low), high=float(high))
    return _with_t(name, evidence, settings, reasons)


def _with_t(name: str, evidence: Evidence, settings: Settings, reasons: list[str]) -> Estimate:
    """A mean with its t interval, or the reason why it has none."""
    about, level = evidence.about, settings.confidence_level
    if level is None or about.n == 0:
        return Estimate(value=evidence.mean(name))
    interval = evidence.interval(name, level=level)
    if interval.reason is not None:
        reasons.append(f"No interval for {name}: {interval.reason}.")
    if interval.note is not None:
        reasons.append(f"Intervals rest on {interval.note}.")
    if interval.skewed is not None and about.n >= FEW_ROWS:
        reasons.append(f"The interval of {name} may cover less than it says: {interval.skewed}.")
    return _within_bounds(name, interval)


def _within_bounds(name: str, interval: MeanInterval) -> Estimate:
    """An estimate whose interval does not leave what the metric can be."""
    if interval.low is None or interval.high is None:
        return Estimate(value=interval.value)
    low, high = METRICS[name].bounds
    return Estimate(value=interval.value, low=max(interval.low, low), high=min(interval.high, high))


def _gap(evidence: Evidence, settings: Settings, metrics: Mapping[str, Estimate]) -> Estimate:
    """Mean confidence minus accuracy (or base rate), with the t interval of the row differences."""
    truth = metrics["base_rate" if evidence.about.view == "positive" else "accuracy"]
    value = metrics["mean_confidence"].value - truth.value
    if settings.confidence_level is None or evidence.about.n == 0:
        return Estimate(value=value)
    return replace(_within_bounds("gap", evidence.interval("gap", level=settings.confidence_level)), value=value)


def _ece(value: float, evidence: Evidence, settings: Settings, null: Chance | None, reasons: list[str]) -> Estimate:
    about, level = evidence.about, settings.confidence_level
    if level is None or why_no_ece_interval(about, settings) is not None:
        return Estimate(value=value)
    if about.many_pairs:
        tables = evidence.tables
        per_row = (about.n_classes or 2) // len(tables)
        low, high, reason = many_pairs_ends(tables, about.n, pairs_per_row=per_row, level=level, chance=null)
    else:
        low, high, reason = bracket_interval(evidence.bracketed, level=level, chance=null)
    if reason is not None:
        reasons.append(f"No interval for ECE: {reason}.")
    return Estimate(value=value, low=low, high=high)


def _rmsce(value: float, evidence: Evidence, settings: Settings) -> Estimate:
    """RMSCE; of dependent rows and of k pairs a row no interval was shown to cover."""
    about, level = evidence.about, settings.confidence_level
    if level is None or about.many_pairs or about.grouped or about.n == 0:
        return Estimate(value=value)
    table = evidence.tables[0]
    chance = error_by_chance(table, norm="l2", rng=stream(settings, "rmsce"))
    low, high, _ = rms_interval(table, level=level, chance=chance)  # why there is none is said of ECE
    return Estimate(value=value, low=low, high=high)
