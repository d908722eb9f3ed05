"""What was asked for, and what the one pass over a model's rows gave: ready for any judgement. Floor 3."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibkit import _checks
from calibkit._numerics import Floats, effective_size
from calibkit.binning import Binning
from calibkit.bracket import too_rare
from calibkit.errors import CalibkitError, InputFormatError
from calibkit.intervals import PairedEstimate, paired_t
from calibkit.metrics import METRICS
from calibkit.pairs import Pairs, PairView, pairs_of
from calibkit.predictions import Predictions
from calibkit.pseudo_values import too_few_answers, why_no_difference
from calibkit.scores import RowScores
from calibkit.units import Units, units_of
from calibkit.views import Binned, View, score_and_bin

Rng = int | np.random.Generator
Which = Literal["standard", "all"]
# What a comparison asks for: the standard table, and the metrics on request that it holds.
Asked = Literal["standard", "all", "compared"]

FEW_ROWS = 100
LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an evaluation or comparison was asked for, checked once."""

    view: View | None = None
    binning: Binning
    confidence_level: float | None = 0.95
    seed: int = 0
    threads: int | None = None
    metrics: Asked = "standard"

    @property
    def level_or_default(self) -> float:
        """The level of an interval that is computed on the way to something else."""
        return 0.95 if self.confidence_level is None else self.confidence_level


def make_settings(
    *,
    view: View | None,
    n_bins: int,
    binning: Literal["uniform", "quantile"],
    edges: Literal["right", "left"],
    confidence_level: float | None,
    rng: Rng,
    threads: int | None,
    metrics: Asked = "standard",
) -> Settings:
    """Check the options of `evaluate` and `compare`, once."""
    generator = _checks.check_rng(rng)
    seed = int(generator.integers(2**32)) if isinstance(rng, np.random.Generator) else int(rng)
    return Settings(
        view=view,
        binning=Binning(n_bins=n_bins, strategy=binning, edges=edges),
        confidence_level=_checks.check_level(confidence_level),
        seed=seed,
        threads=threads,
        metrics=metrics,
    )


def check_predictions(given: object, what: str = "predictions") -> None:
    """Raise for what is not yet Predictions: an array cannot tell what its numbers mean."""
    if not isinstance(given, Predictions):
        raise InputFormatError(
            f"{what}: expected Predictions, got {type(given).__name__}. Make them with Predictions.from_probs(labels, "
            "probs) or from_logits(labels, logits), or read a file with load(path)."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One model after the one pass: row scores and bin tables; row scores of rankings, and why some have none."""

    predictions: Predictions
    scores: RowScores
    binned: Binned
    rankings: Mapping[str, Floats] = field(default_factory=dict)
    unranked: Mapping[str, str] = field(default_factory=dict)

    @property
    def view(self) -> View:
        """The view of its calibration metrics."""
        return self.binned.view

    @property
    def many_pairs(self) -> bool:
        """Whether its view has k pairs a row."""
        return self.view in ("classwise", "flattened")

    @property
    def units(self) -> Units:
        """Its rows, or its groups of dependent rows."""
        predictions = self.predictions
        return units_of(len(predictions), weights=predictions.weights, groups=predictions.groups)

    @property
    def gap(self) -> Floats:
        """Forecast minus outcome of each row."""
        rows = self.binned.rows
        return self.binned.forecast - self.binned.outcome if rows is None else rows.gap

    @property
    def pairs(self) -> Pairs:
        """One forecast and one outcome a row; top-label in the views that have many a row."""
        return self.pairs_in("positive" if self.view == "positive" else "top-label")

    def pairs_in(self, view: PairView) -> Pairs:
        """The same in a view of one's choice."""
        return pairs_of(self.predictions, self.scores, view=view)

    @property
    def rows(self) -> dict[str, NDArray[Any]]:
        """The vectors whose means are metrics, in the order of the registry."""
        scores = self.scores
        vectors: dict[str, NDArray[Any]] = {"accuracy": scores.correct}
        if self.view == "positive":
            vectors["base_rate"] = self.binned.outcome
        vectors["mean_confidence"] = self.binned.forecast
        if scores.log_score is not None:
            vectors["nll"] = scores.log_score
        if scores.brier is not None:
            vectors["brier"] = scores.brier
        return vectors


def score(predictions: Predictions, settings: Settings, *, temperature: float | Floats | None = None) -> Scored:
    """The one pass over a model's rows."""
    scores, binned = score_and_bin(
        predictions,
        view=settings.view,
        binning=settings.binning,
        threads=settings.threads,
        temperature=temperature,
        keep_rows=settings.confidence_level is not None,
        by_class=settings.metrics == "all",
    )
    rankings, unranked = _rankings(predictions, scores, settings.metrics)
    return Scored(predictions=predictions, scores=scores, binned=binned, rankings=rankings, unranked=unranked)


def _rankings(
    predictions: Predictions, scores: RowScores, asked: Asked
) -> tuple[Mapping[str, Floats], Mapping[str, str]]:
    """Row scores of the rankings that were asked for; and why these rows cannot give one."""
    found: dict[str, Floats] = {}
    absent: dict[str, str] = {}
    for metric in METRICS.values():
        if metric.row_kernel is None or not (asked == "all" or (asked == "compared" and metric.compared)):
            continue
        try:
            found[metric.name] = metric.row_kernel(pairs_of(predictions, scores, view="top-label"))
        except CalibkitError as undefined:
            absent[metric.name] = str(undefined)
    return found, absent


def why_no_ece_interval(scored: Scored, settings: Settings) -> str | None:
    """Why the bracket interval is not offered: it is printed only where its coverage was shown."""
    if not scored.many_pairs:
        return None
    causes = {
        "quantile bins": settings.binning.strategy != "uniform",
        "weighted rows": scored.predictions.weights is not None,
        "dependent rows": scored.predictions.groups is not None,
    }
    cause = next((name for name, holds in causes.items() if holds), None)
    where = f"in the {scored.view} view"
    return None if cause is None else f"No interval for ECE: its coverage has not been shown for {cause} {where}."


def why_no_score_interval(scored: Scored) -> str | None:
    """Why dependent rows have no interval of a score: too few whole groups show what can go wrong."""
    rows = scored.binned.rows
    if rows is None or rows.groups is None:
        return None
    return too_rare(rows.table, rows.present().units())


def why_no_ranking_interval(scored: Scored) -> str | None:
    """Why a ranking has no interval: too few answers of either kind, or too few whole groups of them."""
    return too_few_answers(scored.scores.correct, scored.units) or why_no_score_interval(scored)


def paired_mean(
    model: Scored, reference: Scored, values: tuple[NDArray[Any], NDArray[Any]], *, level: float
) -> PairedEstimate:
    """Paired difference of the means of one vector of each model; without interval where groups show too little."""
    ours, theirs = values
    predictions = model.predictions
    found = paired_t(ours, theirs, level=level, weights=predictions.weights, groups=predictions.groups)
    if found.reason is not None or np.array_equal(ours, theirs):
        return found
    unseen = why_no_score_interval(model) or why_no_score_interval(reference)
    return found if unseen is None else PairedEstimate(value=found.value, reason=unseen)


def paired_ranking(model: Scored, reference: Scored, name: str, *, level: float) -> PairedEstimate:
    """Paired difference of a ranking; without interval where too few answers, or no unlike ones, decide it."""
    ours, theirs = model.rankings[name], reference.rankings[name]
    found = paired_mean(model, reference, (ours, theirs), level=level)
    if found.reason is not None or np.array_equal(ours, theirs):
        return found
    reason = why_no_difference(found.value, model.scores.correct, reference.scores.correct, model.units)
    return found if reason is None else PairedEstimate(value=found.value, reason=reason)


def _what_may_be_a_mistake(scored: Scored) -> Iterator[str]:
    """Input that is allowed and rarely meant: said first, and only from what no honest model shows."""
    predictions, scores = scored.predictions, scored.scores
    if predictions.logits is not None and predictions.logits.ndim == 2:
        first = np.asarray(predictions.logits[:LOOKED_AT], dtype=np.float64)
        if len(first) and first.min() >= 0 and np.allclose(first.sum(axis=1), 1, atol=1e-3):
            yield "These logits are rows in [0, 1] that sum to 1: if they are probabilities, read them as probs."
    labels, k = predictions.labels, predictions.n_classes
    if labels is None or k is None or k < 3 or len(labels) < k:
        return
    if labels.min() > 0 and scores.correct.mean() < 1 / k:
        yield "Label 0 never occurs and accuracy is below chance: do the labels count from 1 (label_base=1)?"


def what_the_pass_saw(scored: Scored) -> Iterator[str]:
    """What the pass saw that a reader should know."""
    predictions, scores = scored.predictions, scored.scores
    yield from _what_may_be_a_mistake(scored)
    labels = predictions.labels
    if len(predictions) == 0:
        yield "No rows: no metric is defined, each is nan."
    elif labels is not None and len(labels) > 1 and (labels == labels[0]).all():
        yield f"Every label is class {labels[0]}: the other classes never occur."
    if 0 < len(predictions) < FEW_ROWS:
        yield f"Fewer than {FEW_ROWS} rows: intervals of skewed scores cover less than they say."
    if scores.n_ties:
        chosen = "class 0" if predictions.is_binary else "the lowest class index"
        yield f"{scores.n_ties:,} rows tie for the most probable class; {chosen} counts as predicted."
    if scores.n_zero:
        yield f"{scores.n_zero:,} rows give their true class p = 0: NLL is inf."
    if scores.max_sum_deviation:
        yield f"Row sums deviate from 1 by at most {scores.max_sum_deviation:.1e}; nothing was renormalised."
    if scores.n_snapped:
        yield f"{scores.n_snapped:,} values within 4 eps outside [0, 1] count as 0 or 1."
    if predictions.is_binary and scored.view == "top-label":
        yield "Folded view: confidence is max(p, 1 - p) of a 1-D forecast."
    if predictions.weights is not None:
        size = effective_size(predictions.weights, len(predictions))
        yield f"Weighted rows: intervals use n_eff = {size:,.1f}."
    if predictions.groups is not None:
        units = scored.units
        yield f"Dependent rows: intervals use G = {units.count:,} groups, G_eff = {units.effective:,.1f}."
