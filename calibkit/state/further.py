"""What is asked for beyond the standard table, from the cells of a state, with how far it can be off. Floor 3."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil, floor, inf, isfinite, log10
from types import MappingProxyType
from typing import Literal

from calibkit.bracket import Chance
from calibkit.by_chance import table_chance
from calibkit.decomposition import Score, miscalibration_by_chance, uncertainty_of
from calibkit.further import Further, chances_of_table
from calibkit.goodness_of_fit import TestResult, cumulative, spiegelhalter
from calibkit.information import skill_over
from calibkit.metrics import METRICS, TESTS
from calibkit.one_pass import Settings, stream
from calibkit.results import Estimate
from calibkit.selective import TiedBlocks, augrc_of, aurc_of, auroc_of, blocks_of, excess_aurc_of
from calibkit.smooth_calibration import smooth_error
from calibkit.state import bounds
from calibkit.state.evidence import Tallied
from calibkit.state.quantiles import Cut
from calibkit.tally import Histogram
from calibkit.views import NOT_CLASSES

_NEEDS_ROWS: Mapping[str, str] = MappingProxyType(
    {
        "sweep_ece": "its number of bins can jump with a single row",
        "class_conditional_ece": "it needs the predicted class of each row",
        "classwise_ece": "only a state of view classwise counts each class",
        "cox_slope": "it needs the log-odds of the rows",
        "calibration_in_the_large": "it needs the log-odds of the rows",
        "predictive_entropy": "it needs whole probability vectors",
    }
)
_NEEDS_COUNTS = ("debiased_rmsce", "aurc", "excess_aurc")
_RANKINGS: Mapping[str, Callable[[TiedBlocks], float]] = MappingProxyType(
    {"aurc": aurc_of, "excess_aurc": excess_aurc_of, "augrc": augrc_of, "confidence_auroc": auroc_of}
)
_PARTS: Mapping[str, tuple[Score, str]] = MappingProxyType(
    {f"{score}_{part}": (score, part) for score in ("brier", "log") for part in ("miscalibration", "discrimination")}
)
_DRAWS = 1000
_TESTS = ("ecce_r", "ecce_mad", "spiegelhalter")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCells:
    """Metrics and tests from the cells of a state, and how far each can be from that of the rows."""

    further: Further = field(default_factory=Further)
    bounds: Mapping[str, float] = field(default_factory=dict)


def further_of_state(evidence: Tallied, settings: Settings, *, cut: Cut) -> FromCells:
    """Every metric on request that cells can give, with a bound for its error; and why the others are absent."""
    found = dict(_found(evidence, cut)) if evidence.about.n else {}
    values = {name: Estimate(value=value) for name, (value, _) in found.items()}
    tests = dict(_tests(evidence.event)) if evidence.about.n else {}
    limits = {**cut.bounds, **{name: bound for name, (_, bound) in found.items() if bound > 0}}
    limits |= _bounds_of_rankings(evidence)
    limits |= {name: bound for name, (_, bound) in tests.items()}
    absent = {name: reason for name, reason in _absent(evidence) if name not in values}
    return FromCells(
        further=Further(
            metrics=values,
            by_chance=dict(_chances(evidence, values, settings)),
            tests={name: test for name, (test, _) in tests.items()},
            absent=absent,
            notes=tuple(_notes(absent, evidence)),
        ),
        bounds=limits,
    )


def _found(evidence: Tallied, cut: Cut) -> Iterator[tuple[str, tuple[float, float]]]:
    """Values, and how far they can be off: 0 where they are exact."""
    for metric in METRICS.values():
        whole = metric.name != "debiased_rmsce" or not cut.bounds
        if metric.table_kernel is not None and whole and not _not_counts(metric.name, evidence):
            yield metric.name, (float(metric.table_kernel(evidence.table, None)), cut.bounds.get("ece", 0.0))
    if evidence.about.view == "classwise":
        kernel = METRICS["classwise_ece"].class_kernel
        assert kernel is not None
        yield "classwise_ece", (kernel(evidence.tables), 0.0)
    smooth = smooth_error(evidence.event.pairs(evidence.pair_view, by_outcome=True))
    yield "smooth_ece", (smooth, bounds.smooth_bound(evidence.event, smooth))
    for name, (score, part) in _PARTS.items():
        yield name, _part(evidence, score, part)
    for name, ranking in _RANKINGS.items():
        if name not in evidence.rankings and not _not_counts(name, evidence):
            yield name, _ranked(evidence.top_label, ranking)
    classes = evidence.tally.classes
    if classes is not None and "nll" in evidence.means and not evidence.about.weighted:
        yield "log_skill", (skill_over(classes, evidence.mean("nll")), 0.0)


def _ranked(cells: Histogram, ranking: Callable[[TiedBlocks], float]) -> tuple[float, float]:
    value = ranking(blocks_of(cells.tied()))
    return value, bounds.ranking_bound(cells, ranking, value) if isfinite(value) else 0.0


def _bounds_of_rankings(evidence: Tallied) -> dict[str, float]:
    """Those of the rankings that have intervals, and so stand in the table already."""
    return {name: _ranked(evidence.top_label, _RANKINGS[name])[1] for name in evidence.rankings}


def _part(evidence: Tallied, score: Score, part: str) -> tuple[float, float]:
    """Miscalibration or discrimination, with whole blocks recalibrated, and how far that can be off."""
    cells = evidence.event
    least, whole = bounds.isotonic_bounds(cells, score)
    if part == "discrimination":
        base = cells.weight[1].sum() / cells.weight.sum()
        return max(uncertainty_of(score, float(base)) - whole, 0.0), whole - least + bounds.ROUNDING
    mean, most = bounds.score_bounds(cells, score)
    if not isfinite(mean):
        return mean, 0.0
    return max(mean - whole, 0.0), whole - least + most - mean + bounds.ROUNDING


def _tests(cells: Histogram) -> Iterator[tuple[str, tuple[TestResult, float]]]:
    """Tests of calibration, and how far their statistics can be off."""
    pairs = cells.pairs("top-label")  # the view does not matter here
    names: tuple[Literal["ecce_r", "ecce_mad"], ...] = ("ecce_r", "ecce_mad")
    for name in names:
        result = cumulative(pairs, name)
        yield name, (result, bounds.excursion_bound(cells, name, result.statistic))
    apart = spiegelhalter(cells.pairs("top-label", by_outcome=True))
    spread = 2 * (cells.weight * bounds.spread_within(cells)).sum() / cells.weight.sum()
    yield "spiegelhalter", (apart, float(spread) + bounds.ROUNDING)


def _not_counts(name: str, evidence: Tallied) -> bool:
    return evidence.about.weighted and name in _NEEDS_COUNTS


def _absent(evidence: Tallied) -> Iterator[tuple[str, str]]:
    for metric in METRICS.values():
        if not metric.on_request or metric.name in evidence.rankings:
            continue
        if metric.of_classes and evidence.about.choices is not None:
            yield metric.name, f"it is about classes, and {NOT_CLASSES}"
        elif metric.name == "debiased_rmsce" and not evidence.about.weighted:
            yield metric.name, "a state has no bound for it in bins of equal count"
        elif _not_counts(metric.name, evidence):
            yield metric.name, "it needs weights that are counts, and a state does not know whether its weights are"
        elif metric.name in _NEEDS_ROWS:
            yield metric.name, f"a state does not hold it: {_NEEDS_ROWS[metric.name]}"
        elif metric.name == "log_skill":
            what = "of unweighted rows" if evidence.about.weighted else "of rows that hold every class's probability"
            yield metric.name, f"a state holds it {what}"


def _chances(evidence: Tallied, values: Mapping[str, Estimate], settings: Settings) -> Iterator[tuple[str, Chance]]:
    """What a calibrated model would show, drawn cell by cell."""
    if evidence.about.n == 0:
        return
    if not evidence.about.many_pairs:
        yield from chances_of_table(evidence.table, settings)
    cells = evidence.event
    pairs = cells.pairs(evidence.pair_view)
    for name in values:
        metric = METRICS[name]
        if metric.class_kernel is not None:
            of_classes = evidence.chance_of_pairs(stream(settings, name))
            if of_classes is not None:
                yield name, of_classes
        elif name in _PARTS and metric.by_chance:
            yield (
                name,
                miscalibration_by_chance(
                    cells.tied(), _PARTS[name][0], n_draws=_DRAWS, rng=stream(settings, name), distinct=cells.distinct
                ),
            )
        elif metric.by_chance and metric.table_kernel is not None:
            yield name, table_chance(metric.table_kernel, evidence.table, rng=stream(settings, name))
        elif metric.by_chance and metric.chance_kernel is not None:
            yield name, metric.chance_kernel(pairs, rng=stream(settings, name))


def _notes(absent: Mapping[str, str], evidence: Tallied) -> Iterator[str]:
    for name, reason in absent.items():
        yield f"No {METRICS[name].title}: {reason}."
    if evidence.about.weighted and evidence.about.n:
        yield "No interval for augrc: of weighted rows it needs each row."
    left_out = [test.title for name, test in TESTS.items() if name not in _TESTS]
    yield f"No {' and no '.join(left_out)}: a state does not hold what they need of each row."


def distances(limits: Mapping[str, float]) -> Iterator[str]:
    """A note on how far numbers from cells can be off.

    Examples
    --------
    >>> next(distances({"smooth_ece": 1.234e-6}))
    'From cells of forecasts; the rows themselves would differ by at most: smooth ECE 1.3e-06.'
    """
    if limits:
        titles = {name: one.title for registry in (METRICS, TESTS) for name, one in registry.items()}
        within = "; ".join(f"{titles[name]} {_rounded_up(bound):.1e}" for name, bound in limits.items())
        yield f"From cells of forecasts; the rows themselves would differ by at most: {within}."


def _rounded_up(bound: float) -> float:
    """With two digits, and not below."""
    unit = 10.0 ** (floor(log10(bound)) - 1) if 0 < bound < inf else 1.0
    return ceil(bound / unit) * unit if isfinite(bound) else bound
