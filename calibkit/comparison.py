"""Whether a change made the probabilities better: paired differences on the same rows, before and after scaling."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from calibkit import _checks
from calibkit.alignment import align, align_classes
from calibkit.differences import Differences, Pair, by_reference, difference_of, differences_of, pairs_among
from calibkit.errors import InputFormatError, OptionError
from calibkit.evaluation import Evaluation, judge
from calibkit.one_pass import (
    Rng,
    Scored,
    Settings,
    check_predictions,
    make_settings,
    score,
)
from calibkit.predictions import Predictions
from calibkit.recalibration import Temperature
from calibkit.render import comparison_text, plain_number
from calibkit.results import Difference
from calibkit.scaling import Scaling, cross_fitted, fitted_on
from calibkit.score_split import ScoreSplit, removed_by_temperature
from calibkit.verdict import ONE_SEED, UNPAIRED, pair_sentences
from calibkit.views import View


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
        infinite, and of different rows.
    between : Mapping of str to Mapping
        With ``pairs="all"``, the differences between models that are not the reference, by the model that is
        subtracted, model and metric.
    """

    models: Mapping[str, Evaluation]
    differences: Differences
    between: Mapping[str, Differences] = field(default_factory=dict)
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
    between : Mapping of str to Mapping
        With ``pairs="all"``, the differences between models that are not the reference, by the model that is
        subtracted, model and metric.
    paired : bool
        Whether the models hold the same rows; else each difference is one between independent samples.
    """

    reference: str
    models: Mapping[str, Evaluation]
    differences: Differences
    temperature: Mapping[str, Temperature]
    scaled: Scaled | None
    verdict: tuple[str, ...]
    notes: tuple[str, ...]
    between: Mapping[str, Differences] = field(default_factory=dict)
    paired: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of schema ``calibkit.comparison/1``; non-finite numbers are strings."""
        scaled = self.scaled
        return {
            "schema": "calibkit.comparison/1",
            "reference": self.reference,
            "paired": self.paired,
            "models": {name: model.to_dict() for name, model in self.models.items()},
            "differences": _differences_dict(self.differences),
            "between": {name: _differences_dict(others) for name, others in self.between.items()},
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
                "between": {name: _differences_dict(others) for name, others in scaled.between.items()},
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
    pairs: Literal["reference", "all"] = "reference",
    paired: bool = True,
    margin: float | None = None,
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
    pairs : {"reference", "all"}, default "reference"
        Whether to compare every pair of models as well. With more than one pair, p-values are adjusted by Holm's
        method.
    paired : bool, default True
        Whether the models hold the same rows. Only if False may they hold different test sets: the differences are
        then those of independent samples, far less certain, and marked so.
    margin : float, optional
        A difference whose interval lies inside ±margin is called equivalent within it, in the metric's own unit;
        without a margin no difference ever is.
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
    Differences of means have paired t intervals, of ECE the paired bracket; unpaired ones Welch's, and the bracket of
    two samples that share nothing. A difference after scaling is one of the models *with these temperatures*: T is held
    fixed and the test rows vary.

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
        metrics="compared",
    )
    _checks.check_choice(pairs, ("reference", "all"), option="pairs")
    margin = _checks.check_margin(margin)
    check_models(models, "models")
    reference = _reference(models, reference)
    named = {name: model.with_name(name) for name, model in models.items()}
    aligned, notes = align(named, reference) if paired else align_classes(named, reference)
    check_one_view(aligned, settings)
    if calibrate_on is None:
        scaling = cross_fitted(aligned, settings)
    else:
        check_models(calibrate_on, "calibrate_on")
        scaling = fitted_on(calibrate_on, aligned, settings)
    asked = _Asked(
        pairs=tuple(pairs_among(list(models), reference, every=pairs == "all")),
        reference=reference,
        paired=paired,
        margin=margin,
        settings=settings,
    )
    return _judged(aligned, asked, scaling, notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a comparison was asked for."""

    pairs: tuple[Pair, ...]
    reference: str
    paired: bool
    margin: float | None
    settings: Settings


def _judged(models: Mapping[str, Predictions], asked: _Asked, scaling: Scaling, notes: list[str]) -> Comparison:
    """The comparison of models that may be compared, at temperatures that are fitted."""
    settings = asked.settings
    saved = {name: score(model, settings) for name, model in models.items()}
    before, why = differences_of(saved, asked.pairs, settings, paired=asked.paired)
    evaluations = {name: judge(s, settings, temperature=scaling.temperatures.get(name)) for name, s in saved.items()}
    scaled, after, why_after = _scaled(models, saved, before, asked, scaling)
    why += [f"After scaling: {reason}" for reason in why_after if reason not in why]
    every = by_reference(before)
    return Comparison(
        reference=asked.reference,
        models=evaluations,
        differences=every.pop(asked.reference, {}),
        between=every,
        paired=asked.paired,
        temperature=scaling.temperatures,
        scaled=scaled,
        verdict=tuple(_verdict(evaluations, before, after, asked)),
        notes=tuple(dict.fromkeys((*notes, *scaling.notes, *why, *_holm_note(asked)))),
    )


def check_models(models: object, option: str) -> None:
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


def check_one_view(models: Mapping[str, Predictions], settings: Settings) -> None:
    """Raise where models have different views and none was said."""
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
    before: Mapping[Pair, Mapping[str, Difference]],
    asked: _Asked,
    scaling: Scaling,
) -> tuple[Scaled | None, Mapping[Pair, Mapping[str, Difference]], list[str]]:
    """The models at their temperatures, their differences, and why an interval is missing; None without temperature."""
    if not scaling.temperatures:
        return None, {}, []
    settings, reference = asked.settings, asked.reference
    after = {name: score(model, settings, temperature=scaling.of_rows[name]) for name, model in models.items()}
    found, why = differences_of(after, asked.pairs, settings, paired=asked.paired)
    splits: dict[str, ScoreSplit] = {}
    for name in (name for name, other in asked.pairs if asked.paired and other == reference):
        removed = removed_by_temperature(
            (saved[name], saved[reference]), (after[name], after[reference]), level=settings.level_or_default
        )
        if removed is not None:
            part = difference_of("NLL removed by temperature", removed, settings.confidence_level, [])
            pair = name, reference
            splits[name] = ScoreSplit(total=before[pair]["nll"], temperature=part, rest=found[pair]["nll"])
    evaluations = {name: judge(scored, settings) for name, scored in after.items()}
    every = by_reference(found)
    differences = every.pop(reference, {})
    return Scaled(models=evaluations, differences=differences, between=every, nll_split=splits), found, why


def _score_that_speaks(evaluations: Mapping[str, Evaluation]) -> Literal["nll", "brier"]:
    """The log score, or the Brier score where any log score is infinite or absent."""
    finite = all("nll" in e.metrics and np.isfinite(e["nll"].value) for e in evaluations.values())
    return "nll" if finite else "brier"


def _verdict(
    evaluations: Mapping[str, Evaluation],
    before: Mapping[Pair, Mapping[str, Difference]],
    after: Mapping[Pair, Mapping[str, Difference]],
    asked: _Asked,
) -> Iterator[str]:
    level = asked.settings.confidence_level
    if level is None:
        return
    for name, evaluation in evaluations.items():
        if evaluation.verdict is not None:
            yield f"{name}: {evaluation.verdict}"
    speaks = _score_that_speaks(evaluations)
    for (name, reference), differences in before.items():
        prefix = f"{name} against {reference}: " if len(before) > 1 else ""
        for sentence in pair_sentences(
            name,
            reference,
            differences,
            after.get((name, reference)),
            level=level,
            score=speaks,
            margin=asked.margin,
        ):
            yield prefix + sentence
    if before and not asked.paired:
        yield UNPAIRED
    if before:
        yield ONE_SEED


def _holm_note(asked: _Asked) -> Iterator[str]:
    if len(asked.pairs) > 1:
        yield "More than one pair of models: verdicts use Holm-adjusted p-values; intervals are not adjusted."
