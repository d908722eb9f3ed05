"""What is asked for beyond the standard table: metrics from the pairs or the scores that the one pass gave. Floor 3."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from calibkit.binning import BinTable
from calibkit.bracket import Chance
from calibkit.by_chance import chance_of, error_by_chance, table_chance
from calibkit.errors import CalibkitError
from calibkit.goodness_of_fit import TestResult
from calibkit.intervals import normal_quantile
from calibkit.metrics import METRICS, TESTS, Metric
from calibkit.one_pass import Scored, Settings, stream
from calibkit.pairs import Pairs
from calibkit.resampling import chance_of_pairs
from calibkit.results import Estimate
from calibkit.views import NOT_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """Metrics beyond the standard table, their chance levels, tests, why some are absent, and what to know."""

    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    by_chance: Mapping[str, Chance] = field(default_factory=dict)
    tests: Mapping[str, TestResult] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def further(scored: Scored, settings: Settings) -> Further:
    """Every metric that is computed on request, if all were asked for."""
    asked = [metric for metric in METRICS.values() if metric.on_request and metric.row_kernel is None]
    values: dict[str, Estimate] = {}
    absent: dict[str, str] = dict(scored.unranked)
    if settings.metrics != "all":
        return Further(absent=absent, notes=tuple(_notes([], values, absent, scored)))
    for metric in asked:
        if metric.of_classes and scored.about.choices is not None:
            absent[metric.name] = f"it is about classes, and {NOT_CLASSES}."
            continue
        try:
            values[metric.name] = _estimate(metric, scored, settings)
        except CalibkitError as undefined:  # the rows were checked by the pass: these cannot give this metric
            absent[metric.name] = str(undefined)
    there = [metric for metric in asked if metric.name in values]
    independent = scored.predictions.groups is None
    return Further(
        metrics=values,
        by_chance=dict(_chances(there, scored, settings)) if independent else {},
        tests={name: test.kernel(scored.pairs) for name, test in TESTS.items()} if independent else {},
        absent=absent,
        notes=tuple(_notes(there, values, absent, scored)),
    )


def _estimate(metric: Metric, scored: Scored, settings: Settings) -> Estimate:
    """A metric, with the normal interval of those that have a standard error."""
    level = settings.confidence_level
    if metric.error_kernel is None or level is None or scored.predictions.groups is not None:
        return Estimate(value=_value(metric, scored, settings))
    value, error = metric.error_kernel(_pairs(metric, scored))
    if not np.isfinite(value) or not np.isfinite(error):
        return Estimate(value=value)
    reach = normal_quantile(level) * error
    return Estimate(value=value, low=value - reach, high=value + reach)


def _value(metric: Metric, scored: Scored, settings: Settings) -> float:
    bins, classes = (settings.binning,) if metric.takes_binning else (), scored.binned.by_class
    if metric.table_kernel is not None:
        return float(metric.table_kernel(scored.binned.of_pairs, scored.predictions.weights))
    if metric.class_kernel is not None and classes is not None:
        return metric.class_kernel(classes)
    if metric.kernel is not None:
        return metric.kernel(_pairs(metric, scored), *bins)
    assert metric.whole_kernel is not None
    return metric.whole_kernel(scored.predictions, scored.scores, *bins)


def _pairs(metric: Metric, scored: Scored) -> Pairs:
    return scored.pairs if metric.pair_view is None else scored.pairs_in(metric.pair_view)


def _chances(there: list[Metric], scored: Scored, settings: Settings) -> Iterator[tuple[str, Chance]]:
    """What a calibrated model would show: of RMSCE and MCE, where a row has one pair, and of metrics on request."""
    if not scored.many_pairs:
        yield from chances_of_table(scored.tables[0], settings)
    for metric in there:
        chance = _chance(metric, scored, settings, stream(settings, metric.name)) if metric.by_chance else None
        if chance is not None:
            yield metric.name, chance


def chances_of_table(table: BinTable, settings: Settings) -> Iterator[tuple[str, Chance]]:
    """What a calibrated model would show of the errors over bins that stand beside the ECE."""
    for name in ("rmsce", "mce"):
        norm = METRICS[name].norm
        assert norm is not None
        yield name, error_by_chance(table, norm=norm, rng=stream(settings, name))


def _chance(metric: Metric, scored: Scored, settings: Settings, rng: np.random.Generator) -> Chance | None:
    """What a calibrated model would show of a metric on request; None where whole rows were not kept."""
    if metric.table_kernel is not None:
        return table_chance(metric.table_kernel, scored.binned.of_pairs, rng=rng)
    if metric.class_kernel is not None:
        sample, tables = scored.binned.sample, scored.binned.by_class
        if sample is None or tables is None:
            return None
        return chance_of_pairs(sample, tables, settings.binning, rng=rng)
    if metric.whole_chance is not None:
        bins = (settings.binning,) if metric.takes_binning else ()
        return metric.whole_chance(scored.predictions, scored.scores, *bins, rng=rng)
    kernel = metric.kernel
    assert kernel is not None  # pairs alone can be drawn anew
    return (metric.chance_kernel or partial(chance_of, kernel))(_pairs(metric, scored), rng=rng)


def _notes(
    there: list[Metric], values: Mapping[str, Estimate], absent: Mapping[str, str], scored: Scored
) -> Iterator[str]:
    for name, reason in absent.items():
        yield f"No {METRICS[name].title}: {reason}"
    for metric in there:
        if metric.undefined is not None and len(scored.predictions) and np.isnan(values[metric.name].value):
            yield f"{metric.title} is nan: {metric.undefined}."
    by_class = scored.binned.by_class is not None
    again = [m.title for m in there if m.another_pass and not (by_class and m.class_kernel is not None)]
    if again:
        yield f"Read the array once more: {', '.join(again)}."
    if scored.predictions.groups is not None:
        yield "No tests of calibration, and no chance levels but that of ECE: rows of a group are dependent."
