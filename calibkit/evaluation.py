"""How calibrated is one model: every metric with its interval, the settings that made it, and what to know. Floor 3."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from calibkit._checks import check_choice
from calibkit.bracket import Chance
from calibkit.calibration_error import ReliabilityCurve, curve_of
from calibkit.estimates import standard_estimates
from calibkit.evidence import About, Evidence
from calibkit.further import Further, further
from calibkit.goodness_of_fit import TestResult
from calibkit.metrics import METRICS
from calibkit.one_pass import (
    Rng,
    Scored,
    Settings,
    Which,
    check_predictions,
    make_settings,
    score,
    what_the_pass_saw,
    why_no_ece_interval,
)
from calibkit.predictions import Predictions
from calibkit.recalibration import Temperature
from calibkit.render import evaluation_text, format_number, format_p, plain_number
from calibkit.resampling import chance, chance_of_groups, chance_of_pairs, few_expected
from calibkit.results import Estimate
from calibkit.verdict import model_sentence
from calibkit.views import View


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """One model's metrics with intervals, its reliability curve, the settings, a sentence, and notes.

    Attributes
    ----------
    name : str
        The model.
    n : int
        Rows.
    n_classes : int or None
        Classes, where known.
    view : str
        Which binary question the calibration metrics answer.
    settings : Mapping
        The conventions that made the numbers.
    metrics : Mapping of str to Estimate
        By name; also ``evaluation["ece"]``.
    absent : Mapping of str to str
        Metrics that the input cannot define, and why.
    reliability : ReliabilityCurve
        Per bin: count, mean confidence, accuracy, interval.
    chance : Chance or None
        The ECE that a calibrated model with these confidences would show.
    verdict : str or None
        One sentence by written rules; None without intervals.
    notes : tuple of str
        What a careful reader should know.
    by_chance : Mapping of str to Chance
        What a calibrated model would show of metrics on request that chance alone makes large.
    tests : Mapping of str to TestResult
        Tests of calibration, on request.
    """

    name: str
    n: int
    n_classes: int | None
    view: str
    settings: Mapping[str, object]
    metrics: Mapping[str, Estimate]
    absent: Mapping[str, str]
    reliability: ReliabilityCurve
    chance: Chance | None
    verdict: str | None
    notes: tuple[str, ...]
    by_chance: Mapping[str, Chance] = field(default_factory=dict)
    tests: Mapping[str, TestResult] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> Estimate:
        """The estimate of one metric; a KeyError says why an absent one is absent."""
        if metric in self.metrics:
            return self.metrics[metric]
        reason = f"there is no such metric; there are {', '.join(self.metrics)}"
        if metric in METRICS and METRICS[metric].on_request:
            reason = 'it is computed on request: evaluate(..., metrics="all")'
        raise KeyError(f"{metric}: {self.absent.get(metric, reason)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of schema ``calibkit.evaluation/1``; non-finite numbers are strings."""
        return {
            "schema": "calibkit.evaluation/1",
            "name": self.name,
            "n": self.n,
            "n_classes": self.n_classes,
            "view": self.view,
            "settings": dict(self.settings),
            "metrics": {name: estimate_dict(estimate) for name, estimate in self.metrics.items()},
            "absent": dict(self.absent),
            "reliability": self.reliability.to_dict(),
            "chance": None if self.chance is None else _plain(self.chance, CHANCE),
            "by_chance": {name: _plain(chance, CHANCE) for name, chance in self.by_chance.items()},
            "tests": {name: _plain(test, TEST) for name, test in self.tests.items()},
            "verdict": self.verdict,
            "notes": list(self.notes),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evaluation) and self.to_dict() == other.to_dict()

    def __str__(self) -> str:
        return evaluation_text(self.to_dict())


CHANCE = ("mean", "p95", "p_value")
TEST = ("statistic", "statistic_over_sigma", "p_value", "degrees_of_freedom")


def _curve(scored: Scored, settings: Settings) -> ReliabilityCurve:
    """The reliability curve; grouped rows have whiskers only where each row's bin is known."""
    binned, predictions = scored.binned, scored.predictions
    known = predictions.groups is None or binned.rows is not None
    return curve_of(
        binned.reliability,
        binned.reliability_view,
        level=settings.confidence_level if known else None,
        rows=binned.rows,
        weights=predictions.weights,
    )


def estimate_dict(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain JSON."""
    return _plain(estimate, ("value", "low", "high"))


def _plain(result: object, keys: tuple[str, ...]) -> dict[str, Any]:
    """Some numbers of a small result as plain JSON."""
    return {key: plain_number(getattr(result, key)) for key in keys}


@np.errstate(under="ignore")  # a probability too small for a float is 0, whatever the caller's error state
def evaluate_predictions(
    predictions: Predictions,
    *,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    confidence_level: float | None = 0.95,
    rng: Rng = 0,
    threads: int | None = None,
    metrics: Which = "standard",
) -> Evaluation:
    """The evaluation of predictions in memory: `calibkit.evaluate`, which says what the options are.

    Raises
    ------
    DataError, InputFormatError, OptionError
        As said there.

    Examples
    --------
    >>> rain = Predictions.from_probs([0, 1, 1], [0.2, 0.7, 0.6])
    >>> evaluate_predictions(rain).settings["rows"]
    'in memory'
    """
    settings = make_settings(
        view=view,
        n_bins=n_bins,
        binning=binning,
        edges=edges,
        confidence_level=confidence_level,
        rng=rng,
        threads=threads,
        metrics=check_choice(metrics, ("standard", "all"), option="metrics"),
    )
    check_predictions(predictions)
    return judge(score(predictions, settings), settings)


def judge(scored: Scored, settings: Settings, *, temperature: Temperature | None = None) -> Evaluation:
    """An evaluation from a model's one pass; a temperature fitted elsewhere sharpens the verdict's direction."""
    return judge_evidence(
        scored,
        settings,
        curve=_curve(scored, settings),
        more=further(scored, settings),
        notes=(*scored.predictions.notes, *what_the_pass_saw(scored), *scored.binned.notes),
        null=_null(scored, settings),
        unshown=_why_no_chance_level(scored),
        temperature=temperature,
    )


def judge_evidence(
    evidence: Evidence,
    settings: Settings,
    *,
    curve: ReliabilityCurve,
    more: Further,
    notes: tuple[str, ...],
    null: Chance | None,
    unshown: str | None = None,
    temperature: Temperature | None = None,
    told: Mapping[str, object] = MappingProxyType({"rows": "in memory"}),
) -> Evaluation:
    """An evaluation from rows or from sums over them, as `told` says; `unshown` is why `null` is not printed."""
    about, level = evidence.about, settings.confidence_level
    offered = None if level is None else why_no_ece_interval(about, settings)
    metrics, reasons = standard_estimates(evidence, settings, null)
    unshown = None if level is None else unshown
    null = null if unshown is None else None
    verdict = None
    if level is not None and offered is None:
        # The temperature of an event forecast is about its log-odds, not about its mean: the gap alone speaks there.
        known = None if about.view == "positive" else temperature
        verdict = model_sentence(metrics["ece"], metrics["gap"], view=about.view, chance=null, temperature=known)
    notes = (*notes, *reasons, *_chance_notes(metrics["ece"], null, grouped=about.grouped), *more.notes)
    notes = (*notes, *(note for note in (unshown, offered) if note is not None))
    absent, found = _absent(about), {**metrics, **more.metrics}
    return Evaluation(
        name=about.name,
        n=about.n,
        n_classes=about.n_classes,
        view=about.view,
        settings={**_settings_dict(about, settings), **told},
        metrics={name: found[name] for name in (*METRICS, *found) if name in found},
        absent={**absent, **more.absent},
        reliability=curve,
        chance=null,
        by_chance=more.by_chance,
        tests=more.tests,
        verdict=verdict,
        notes=tuple(dict.fromkeys((*notes, *_absent_note(absent)))),
    )


def _settings_dict(about: About, settings: Settings) -> dict[str, object]:
    level = settings.confidence_level
    intervals = ["group jackknife t" if about.grouped else "t for means, Wilson for fractions", "bracket for ECE"]
    if not (about.grouped or about.many_pairs):
        intervals.append("unbiased square for RMSCE")
    each = "classes" if about.choices is None else "the row's choices"
    return {
        "n_bins": settings.binning.n_bins,
        "binning": settings.binning.strategy,
        "edges": settings.binning.edges,
        "confidence_level": level,
        "seed": settings.seed,
        "interval": None if level is None else ", ".join(intervals),
        "brier_scale": "(p - y)^2, 0 to 1" if about.is_binary else f"sum over {each}, 0 to 2",
        "input": about.kind,
        **({} if about.choices is None else {"choices": [*about.choices]}),
    }


_NO_VECTOR = {
    "top1": "top-1 predictions hold no probability of a wrong row's true class",
    "correct": "correctness and confidence hold no probability of the true class",
}


def _absent(about: About) -> dict[str, str]:
    reason = _NO_VECTOR.get(about.kind)
    return {} if reason is None else {"nll": reason, "brier": reason}


def _absent_note(absent: Mapping[str, str]) -> Iterator[str]:
    if absent:
        yield f"No NLL and no Brier score: {next(iter(absent.values()))}."


def _null(scored: Scored, settings: Settings) -> Chance | None:
    """What a calibrated model would show of the ECE; None where nothing tells."""
    rng, rows, sample = np.random.default_rng(settings.seed), scored.binned.rows, scored.binned.sample
    if settings.confidence_level is None or len(scored.predictions) == 0:
        return None
    if scored.many_pairs:
        if scored.predictions.groups is not None:  # why there is none is noted
            return None
        assert sample is not None  # kept wherever there is a level
        return chance_of_pairs(sample, scored.binned.tables, settings.binning, rng=rng)
    assert rows is not None  # kept wherever there is a level
    return chance(rows.table, rng=rng) if rows.groups is None else chance_of_groups(rows.present(), rng=rng)


def _why_no_chance_level(scored: Scored) -> str | None:
    """Dependent rows show what chance does only where their groups are many: where the test keeps its size."""
    rows, reason = scored.binned.rows, None
    if len(scored.predictions) == 0:
        return None
    if scored.many_pairs and scored.predictions.groups is not None:
        reason = f"rows of a group are dependent, and so are the {scored.predictions.n_classes} outcomes of a row"
    elif rows is not None and rows.groups is not None:
        reason = few_expected(rows.present())
    return None if reason is None else f"No chance level of ECE: {reason}."


def _chance_notes(ece: Estimate, null: Chance | None, *, grouped: bool) -> Iterator[str]:
    if null is not None:
        these = "these confidences and groups" if grouped else "these confidences"
        yield (
            f"ECE {format_number(ece.value)}; a calibrated model with {these} would show "
            f"{format_number(null.mean)} on average, {format_number(null.p95)} at its 95th percentile "
            f"(p {format_p(null.p_value)})."
        )
