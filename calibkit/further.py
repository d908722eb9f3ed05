"""What is asked for beyond the standard table: metrics from the pairs or the scores that the one pass gave. Floor 3."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

import numpy as np

from calibkit.bracket import Chance
from calibkit.by_chance import chance_of
from calibkit.errors import CalibkitError
from calibkit.metrics import METRICS, Metric
from calibkit.one_pass import Scored, Settings
from calibkit.pairs import Pairs
from calibkit.results import Estimate

# Rows up to which a metric is drawn anew for its chance level: above, 200 draws take minutes.
MANY_ROWS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """Metrics beyond the standard table, their chance levels, why some are absent, and what to know."""

    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    by_chance: Mapping[str, Chance] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def further(scored: Scored, settings: Settings) -> Further:
    """Every metric that is computed on request, if all were asked for."""
    if settings.metrics == "standard":
        return Further()
    asked = [metric for metric in METRICS.values() if metric.on_request]
    values: dict[str, Estimate] = {}
    absent: dict[str, str] = {}
    for metric in asked:
        try:
            values[metric.name] = Estimate(value=_value(metric, scored, settings))
        except CalibkitError as undefined:  # the rows were checked by the pass: these cannot give this metric
            absent[metric.name] = str(undefined)
    there = [metric for metric in asked if metric.name in values]
    by_chance = {m.name: _chance(m, scored, settings) for m in there if m.by_chance and _why_no_chance(scored) is None}
    return Further(
        metrics=values, by_chance=by_chance, absent=absent, notes=tuple(_notes(there, values, absent, scored))
    )


def _value(metric: Metric, scored: Scored, settings: Settings) -> float:
    bins = (settings.binning,) if metric.takes_binning else ()
    if metric.kernel is not None:
        return metric.kernel(_pairs(metric, scored), *bins)
    assert metric.whole_kernel is not None
    return metric.whole_kernel(scored.predictions, scored.scores, *bins)


def _pairs(metric: Metric, scored: Scored) -> Pairs:
    return scored.pairs if metric.pair_view is None else scored.pairs_in(metric.pair_view)


def _chance(metric: Metric, scored: Scored, settings: Settings) -> Chance:
    kernel = metric.kernel
    assert kernel is not None  # pairs alone can be drawn anew
    if metric.takes_binning:
        kernel = partial(kernel, binning=settings.binning)
    # A stream of its own: a metric's chance level does not depend on which others there are.
    rng = np.random.default_rng([settings.seed, crc32(metric.name.encode())])
    return chance_of(kernel, _pairs(metric, scored), rng=rng)


def _why_no_chance(scored: Scored) -> str | None:
    """Why no chance level is shown."""
    if scored.predictions.groups is not None:
        return "rows of a group are dependent"
    if len(scored.predictions) > MANY_ROWS:
        return f"drawing more than {MANY_ROWS:,} rows anew takes long"
    return None


def _notes(
    there: list[Metric], values: Mapping[str, Estimate], absent: Mapping[str, str], scored: Scored
) -> Iterator[str]:
    for name, reason in absent.items():
        yield f"No {METRICS[name].title}: {reason}"
    for metric in there:
        if metric.undefined is not None and len(scored.predictions) and np.isnan(values[metric.name].value):
            yield f"{metric.title} is nan: {metric.undefined}."
    again = [metric.title for metric in there if metric.another_pass]
    if again:
        yield f"Read the array once more: {', '.join(again)}."
    why = _why_no_chance(scored)
    drawn = [metric.title for metric in there if metric.by_chance]
    if drawn and why is not None:
        yield f"No chance level of {', '.join(drawn)}: {why}."
