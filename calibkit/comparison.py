"""Whether a change made the probabilities better: paired differences on the same rows, before and after scaling."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from calibkit import _checks
from calibkit.alignment import align
from calibkit.bracket import paired_bracket
from calibkit.calibration_error import calibration_error
from calibkit.errors import InputFormatError, OptionError
from calibkit.evaluation import Evaluation, judge
from calibkit.intervals import PairedEstimate, holm
from calibkit.metrics import METRICS
from calibkit.one_pass import (
    Rng,
    Scored,
    Settings,
    check_predictions,
    make_settings,
    paired_mean,
    score,
    why_no_ece_interval,
)
from calibkit.predictions import Predictions
from calibkit.recalibration import Temperature
from calibkit.render import comparison_text, plain_number
from calibkit.results import Difference
from calibkit.scaling import Scaling, cross_fitted, fitted_on
from calibkit.score_split import ScoreSplit, removed_by_temperature
from calibkit.verdict import ONE_SEED, pair_sentences
from calibkit.views import View

Differences = Mapping[str, Mapping[str, Difference]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """The same models after temperature scaling.

    Attributes
    ----------
    models : Mapping of str to Evaluation
        At each model's temperature.
    differences : Mapping of str to Mapping of str to Difference
        Model minus reference, by model and metric.
    nll_split : Mapping of str to ScoreSplit
        By model: its difference of NLL, split into what temperature removes and the rest; empty where a score is
        infinite.
    """

    models: Mapping[str, Evaluation]
    differences: Differences
    nll_split: Mapping[str, ScoreSplit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Models on the same rows: evaluations, paired differences, temperatures, and sentences by written rules.

    Attributes
    ----------
    reference : str
        The model that the others are compared with.
    models : Mapping of str to Evaluation
        As saved.
    differences : Mapping of str to Mapping of str to Difference
        Model minus reference, by model (without the reference) and metric.
    temperature : Mapping of str to Temperature
        Fitted temperature of each model; empty where scaling is not possible.
    scaled : Scaled or None
        Evaluations and differences after temperature scaling.
    verdict : tuple of str
        Sentences by written rules; empty without intervals.
    notes : tuple of str
        What a careful reader should know.
    """

    reference: str
    models: Mapping[str, Evaluation]
    differences: Differences
    temperature: Mapping[str, Temperature]
    scaled: Scaled | None
    verdict: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of schema ``calibkit.comparison/1``; non-finite numbers are strings."""
        scaled = self.scaled
        return {
            "schema": "calibkit.comparison/1",
            "reference": self.reference,
            "models": {name: model.to_dict() for name, model in self.models.items()},
            "differences": _differences_dict(self.differences),
            "temperature": {
                name: {
                    **{key: plain_number(getattr(t, key)) for key in ("value", "low", "high")},
                    "source": t.source,
                }
                for name, t in self.temperature.items()
            },
            "scaled": None
            if scaled is None
            else {
                "models": {name: model.to_dict() for name, model in scaled.models.items()},
                "differences": _differences_dict(scaled.differences),
                "nll_split": {name: s.to_dict(level=self._level) for name, s in scaled.nll_split.items()},
            },
            "verdict": list(self.verdict),
            "notes": list(self.notes),
        }

    @property
    def _level(self) -> float | None:
        """The confidence level of every interval in it."""
        level = self.models[self.reference].settings["confidence_level"]
        return None if level is None else float(str(level))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Comparison) and self.to_dict() == other.to_dict()

    def __str__(self) -> str:
        return comparison_text(self.to_dict())


def _differences_dict(differences: Differences) -> dict[str, dict[str, dict[str, Any]]]:
    def plain(difference: Difference) -> dict[str, Any]:
        keys = ["value", "low", "high", "p_value"]
        if difference.adjusted_p_value is not None:
            keys.append("adjusted_p_value")
        return {key: plain_number(getattr(difference, key)) for key in keys}

    return {name: {metric: plain(d) for metric, d in by_metric.items()} for name, by_metric in differences.items()}


@np.errstate(under="ignore")  # a probability too small for a float is 0, whatever the caller's error state
def compare(
    models: Mapping[str, Predictions],
    *,
    reference: str | None = None,
    calibrate_on: Mapping[str, Predictions] | None = None,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    confidence_level: float | None = 0.95,
    rng: Rng = 0,
    threads: int | None = None,
) -> Comparison:
    """Paired comparison of models on the same rows, before and after temperature scaling.

    Parameters
    ----------
    models : Mapping of str to Predictions
        By name; the same rows, aligned by ids where all have them. One model shows before and after scaling.
    reference : str, optional
        The model that the others are compared with; by default the first.
    calibrate_on : Mapping of str to Predictions, optional
        Validation rows of each model, same names, on which its temperature is fitted. Without them the
        temperature is cross-fitted over 5 folds of the same rows.
    view, n_bins, binning, edges, confidence_level, rng, threads
        As in `evaluate`; ``rng`` also makes the folds.

    Returns
    -------
    Comparison
        ``comparison.differences["smooth"]["nll"].value``, ``.low``, ``.high``, ``.p_value``; `to_dict`; `str`.

    Raises
    ------
    DataError
        If the models do not hold the same rows (the first difference is named), or cannot be scaled as asked.
    InputFormatError
        If a model is no `Predictions`.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Differences of means have paired t intervals, of ECE the paired bracket. A difference after scaling is one of
    the models *with these temperatures*: T is held fixed and the test rows vary.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 4.2 (temperature).

    Examples
    --------
    >>> import numpy as np
    >>> import calibkit as ck
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(500, 3))
    >>> probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    >>> labels = (probs.cumsum(1) < rng.random((500, 1))).sum(1)
    >>> sharp = ck.Predictions.from_logits(labels, 3 * logits)
    >>> true = ck.Predictions.from_logits(labels, logits)
    >>> comparison = ck.compare({"sharp": sharp, "true": true})
    >>> comparison.differences["true"]["nll"].high < 0
    True
    """
    settings = make_settings(
        view=view,
        n_bins=n_bins,
        binning=binning,
        edges=edges,
        confidence_level=confidence_level,
        rng=rng,
        threads=threads,
    )
    _check_models(models, "models")
    reference = _reference(models, reference)
    named = {name: model.with_name(name) for name, model in models.items()}
    aligned, notes = align(named, reference)
    _check_one_view(aligned, settings)
    if calibrate_on is None:
        scaling = cross_fitted(aligned, settings)
    else:
        _check_models(calibrate_on, "calibrate_on")
        scaling = fitted_on(calibrate_on, aligned, settings)
    saved = {name: score(model, settings) for name, model in aligned.items()}
    before, why = _differences(saved, reference, settings)
    evaluations = {name: judge(s, settings, temperature=scaling.temperatures.get(name)) for name, s in saved.items()}
    scaled, why_after = _scaled(aligned, saved, before, reference, scaling, settings)
    why += [f"After scaling: {reason}" for reason in why_after if reason not in why]
    return Comparison(
        reference=reference,
        models=evaluations,
        differences=before,
        temperature=scaling.temperatures,
        scaled=scaled,
        verdict=tuple(_verdict(evaluations, reference, before, scaled, settings)),
        notes=tuple(dict.fromkeys((*notes, *scaling.notes, *why, *_holm_note(models)))),
    )


def _check_models(models: object, option: str) -> None:
    """Raise unless it is Predictions by name."""
    if not isinstance(models, Mapping) or not all(isinstance(name, str) for name in models):
        raise InputFormatError(f"{option}: expected {{name: predictions}}, got {type(models).__name__}.")
    for name, model in models.items():
        check_predictions(model, f"{option}[{_checks.quoted(name)}]")


def _reference(models: Mapping[str, Predictions], reference: str | None) -> str:
    if not models:
        raise OptionError("there is nothing to compare: give at least one model")
    return _checks.check_choice(
        next(iter(models)) if reference is None else reference, tuple(models), option="reference"
    )


def _check_one_view(models: Mapping[str, Predictions], settings: Settings) -> None:
    binary = {name: model.is_binary for name, model in models.items()}
    if settings.view is None and len(set(binary.values())) > 1:
        one, other = (next(name for name in binary if binary[name] is kind) for kind in (True, False))
        raise OptionError(
            f"{one} holds 1-D probabilities (view positive) and {other} does not (view top-label): "
            'say which view both are compared in, view="positive" or view="top-label"'
        )


def _scaled(
    models: Mapping[str, Predictions],
    saved: Mapping[str, Scored],
    before: Differences,
    reference: str,
    scaling: Scaling,
    settings: Settings,
) -> tuple[Scaled | None, list[str]]:
    """The models at their temperatures, and why an interval is missing; None where none was fitted."""
    if not scaling.temperatures:
        return None, []
    after = {name: score(model, settings, temperature=scaling.of_rows[name]) for name, model in models.items()}
    differences, why = _differences(after, reference, settings)
    splits: dict[str, ScoreSplit] = {}
    for name in before:
        removed = removed_by_temperature(
            (saved[name], saved[reference]), (after[name], after[reference]), level=settings.level_or_default
        )
        if removed is not None:
            part = _difference("NLL removed by temperature", removed, settings.confidence_level, [])
            splits[name] = ScoreSplit(total=before[name]["nll"], temperature=part, rest=differences[name]["nll"])
    evaluations = {name: judge(scored, settings) for name, scored in after.items()}
    return Scaled(models=evaluations, differences=differences, nll_split=splits), why


def _differences(
    scored: Mapping[str, Scored], reference: str, settings: Settings
) -> tuple[dict[str, dict[str, Difference]], list[str]]:
    """Model minus reference for every metric that both have, and why an interval is missing."""
    reasons: list[str] = []
    others = [name for name in scored if name != reference]
    found = {name: _pair(scored[name], scored[reference], settings, reasons) for name in others}
    if len(others) < 2:
        return found, reasons
    for metric in METRICS:
        tested = [name for name in others if metric in found[name] and found[name][metric].p_value is not None]
        adjusted = holm(np.array([found[name][metric].p_value for name in tested], dtype=np.float64))
        for name, p_value in zip(tested, adjusted, strict=True):
            found[name][metric] = replace(found[name][metric], adjusted_p_value=float(p_value))
    return found, reasons


def _pair(model: Scored, reference: Scored, settings: Settings, reasons: list[str]) -> dict[str, Difference]:
    level = settings.confidence_level
    ours, theirs = model.rows, reference.rows
    shared = {name: (ours[name], theirs[name]) for name in ours if name in theirs and name != "base_rate"}
    shared["gap"] = (model.gap, reference.gap)
    found: dict[str, Difference] = {}
    for name, (a, b) in shared.items():
        paired = paired_mean(model, reference, (a, b), level=level or 0.95)
        found[name] = _difference(name, paired, level, reasons)
    found |= _binned_differences(model, reference, settings, reasons)
    return {name: found[name] for name in METRICS if name in found}


def _difference(name: str, paired: PairedEstimate, level: float | None, reasons: list[str]) -> Difference:
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
    """ECE with the paired bracket where it is offered; RMS error and MCE without interval."""
    ours, theirs = model.binned.tables, reference.binned.tables
    found = {
        name: Difference(value=calibration_error(ours, norm=m.norm) - calibration_error(theirs, norm=m.norm))
        for name, m in METRICS.items()
        if m.norm is not None
    }
    level, rows, reference_rows = settings.confidence_level, model.binned.rows, reference.binned.rows
    if level is None:
        return found
    if _identical(model, reference):
        found["ece"] = Difference(value=0.0, low=0.0, high=0.0, p_value=1.0)
    elif rows is not None and reference_rows is not None and why_no_ece_interval(model, settings) is None:
        found["ece"] = _difference("ece", paired_bracket(rows, reference_rows, level=level), level, reasons)
    return found


def _identical(model: Scored, reference: Scored) -> bool:
    """Whether two models say the same of every row: a file against itself."""
    ours, theirs = model.rows, reference.rows
    if len(model.predictions) == 0 or ours.keys() != theirs.keys():
        return False
    if not all(np.array_equal(ours[name], theirs[name]) for name in ours):
        return False
    return np.array_equal(model.predictions.values, reference.predictions.values)


def _score_that_speaks(evaluations: Mapping[str, Evaluation]) -> Literal["nll", "brier"]:
    """The log score, or the Brier score where any log score is infinite or absent."""
    finite = all("nll" in e.metrics and np.isfinite(e["nll"].value) for e in evaluations.values())
    return "nll" if finite else "brier"


def _verdict(
    evaluations: Mapping[str, Evaluation],
    reference: str,
    before: Differences,
    scaled: Scaled | None,
    settings: Settings,
) -> Iterator[str]:
    level = settings.confidence_level
    if level is None:
        return
    for name, evaluation in evaluations.items():
        if evaluation.verdict is not None:
            yield f"{name}: {evaluation.verdict}"
    for name, differences in before.items():
        after = None if scaled is None else scaled.differences[name]
        prefix = f"{name} against {reference}: " if len(before) > 1 else ""
        for sentence in pair_sentences(
            name, reference, differences, after, level=level, score=_score_that_speaks(evaluations)
        ):
            yield prefix + sentence
    if before:
        yield ONE_SEED


def _holm_note(models: Mapping[str, Predictions]) -> Iterator[str]:
    if len(models) > 2:
        yield "More than two models: verdicts use Holm-adjusted p-values; intervals are not adjusted."
