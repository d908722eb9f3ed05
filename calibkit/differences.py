"""Differences between pairs of models, metric by metric: on the same rows, or on different ones. Floor 3."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from calibkit._numerics import equal_rows
from calibkit.bracket import paired_bracket
from calibkit.calibration_error import calibration_error
from calibkit.intervals import PairedEstimate, holm
from calibkit.metrics import METRICS
from calibkit.one_pass import (
    Scored,
    Settings,
    paired_mean,
    paired_ranking,
    why_no_ranking_interval,
    why_no_score_interval,
)
from calibkit.results import Difference
from calibkit.unpaired import unpaired_bracket, unpaired_t

# A model and what it is compared with.
Pair = tuple[str, str]
_NOT_SHOWN = "No interval for the difference of ece: its coverage has not been shown for the {} view."

Differences = Mapping[str, Mapping[str, Difference]]


def pairs_among(names: Sequence[str], reference: str, *, every: bool) -> list[Pair]:
    """Each model with the reference, and, if every pair is asked for, with each model before it.

    Examples
    --------
    >>> pairs_among(["a", "b", "c"], "b", every=True)
    [('a', 'b'), ('c', 'b'), ('c', 'a')]
    """
    others = [name for name in names if name != reference]
    found = [(name, reference) for name in others]
    if every:
        found += [(later, earlier) for i, earlier in enumerate(others) for later in others[i + 1 :]]
    return found


def differences_of(
    scored: Mapping[str, Scored], pairs: Sequence[Pair], settings: Settings, *, paired: bool
) -> tuple[dict[Pair, dict[str, Difference]], list[str]]:
    """Model minus reference for every metric that both have, and why an interval is missing."""
    reasons: list[str] = []
    of_pair = _paired if paired else _unpaired
    found = {pair: of_pair(scored[pair[0]], scored[pair[1]], settings, reasons) for pair in pairs}
    if len(pairs) < 2:
        return found, reasons
    for metric in METRICS:
        tested = [pair for pair in pairs if metric in found[pair] and found[pair][metric].p_value is not None]
        adjusted = holm(np.array([found[pair][metric].p_value for pair in tested], dtype=np.float64))
        for pair, p_value in zip(tested, adjusted, strict=True):
            found[pair][metric] = replace(found[pair][metric], adjusted_p_value=float(p_value))
    return found, reasons


def by_reference(found: Mapping[Pair, Mapping[str, Difference]]) -> dict[str, Differences]:
    """The same by reference and then by model."""
    nested: dict[str, dict[str, Mapping[str, Difference]]] = {}
    for (name, reference), differences in found.items():
        nested.setdefault(reference, {})[name] = differences
    return dict(nested)


def _paired(model: Scored, reference: Scored, settings: Settings, reasons: list[str]) -> dict[str, Difference]:
    level = settings.confidence_level
    ours, theirs = model.rows, reference.rows
    shared = {name: (ours[name], theirs[name]) for name in ours if name in theirs and name != "base_rate"}
    shared["gap"] = (model.gap, reference.gap)
    found: dict[str, Difference] = {}
    for name, (a, b) in shared.items():
        paired = paired_mean(model, reference, (a, b), level=settings.level_or_default)
        found[name] = difference_of(name, paired, level, reasons)
    for name in model.rankings.keys() & reference.rankings.keys():
        found[name] = difference_of(
            name, paired_ranking(model, reference, name, level=settings.level_or_default), level, reasons
        )
    found |= _binned_differences(model, reference, settings, reasons)
    return {name: found[name] for name in METRICS if name in found}


def difference_of(name: str, paired: PairedEstimate, level: float | None, reasons: list[str]) -> Difference:
    """A paired estimate as a difference; why it has no interval, and what to know of one, joins the reasons."""
    if level is None:
        return Difference(value=paired.value)
    if paired.reason is not None:
        reasons.append(f"No interval for the difference of {name}: {paired.reason}.")
    if paired.note is not None:
        reasons.append(f"Difference of {name}: {paired.note}.")
    return Difference(value=paired.value, low=paired.low, high=paired.high, p_value=paired.p_value)


def _binned_differences(
    model: Scored, reference: Scored, settings: Settings, reasons: list[str]
) -> dict[str, Difference]:
    """ECE with the paired bracket, in views that have one pair a row; RMS error and MCE without interval."""
    found = _errors(model, reference)
    level, rows, reference_rows = settings.confidence_level, model.binned.rows, reference.binned.rows
    if level is None:
        return found
    if _identical(model, reference):
        found["ece"] = Difference(value=0.0, low=0.0, high=0.0, p_value=1.0)
    elif rows is not None and reference_rows is not None:
        found["ece"] = difference_of("ece", paired_bracket(rows, reference_rows, level=level), level, reasons)
    else:
        reasons.append(_NOT_SHOWN.format(model.view))
    return found


def _identical(model: Scored, reference: Scored) -> bool:
    """Whether two models say the same of every row: a file against itself."""
    ours, theirs = model.rows, reference.rows
    if len(model.predictions) == 0 or ours.keys() != theirs.keys():
        return False
    if not all(np.array_equal(ours[name], theirs[name]) for name in ours):
        return False
    return equal_rows(model.predictions.values, reference.predictions.values)


def _unpaired(model: Scored, reference: Scored, settings: Settings, reasons: list[str]) -> dict[str, Difference]:
    """Differences between the means, and the errors, of two samples that share no row."""
    level = settings.confidence_level
    ours, theirs = ({**scored.rows, "gap": scored.gap, **scored.rankings} for scored in (model, reference))
    unseen = why_no_score_interval(model) or why_no_score_interval(reference)
    unranked = why_no_ranking_interval(model) or why_no_ranking_interval(reference)
    found: dict[str, Difference] = {}
    for name in ours:
        if name not in theirs or name == "base_rate":
            continue
        samples = [(scored, scored_rows[name]) for scored, scored_rows in ((model, ours), (reference, theirs))]
        estimate = unpaired_t(
            *(values for _, values in samples),
            level=settings.level_or_default,
            weights=(model.predictions.weights, reference.predictions.weights),
            groups=(model.predictions.groups, reference.predictions.groups),
        )
        reason = unranked if name in model.rankings else unseen if name != "mean_confidence" else None
        if reason is not None:
            estimate = PairedEstimate(value=estimate.value, reason=reason)
        found[name] = difference_of(name, estimate, level, reasons)
    found |= _errors(model, reference)
    rows, others = model.binned.rows, reference.binned.rows
    if rows is not None and others is not None:
        found["ece"] = difference_of(
            "ece", unpaired_bracket(rows, others, level=settings.level_or_default), level, reasons
        )
    elif level is not None:
        reasons.append(_NOT_SHOWN.format(model.view))
    return {name: found[name] for name in METRICS if name in found}


def _errors(model: Scored, reference: Scored) -> dict[str, Difference]:
    """Differences of every error over bins, without interval."""
    ours, theirs = model.binned.tables, reference.binned.tables
    return {
        name: Difference(value=calibration_error(ours, norm=m.norm) - calibration_error(theirs, norm=m.norm))
        for name, m in METRICS.items()
        if m.norm is not None
    }
