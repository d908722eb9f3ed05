"""What was asked for, and what the one pass over a model's rows gave: ready for any judgement. Floor 3."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from calibkit import _checks
from calibkit._numerics import Floats, effective_size, weighted_mean
from calibkit.binning import Binning, BinTable
from calibkit.bracket import BinnedRows, too_rare
from calibkit.errors import CalibkitError, InputFormatError
from calibkit.evidence import About, what_was_seen
from calibkit.intervals import MeanInterval, PairedEstimate, mean_interval, paired_t
from calibkit.metrics import METRICS
from calibkit.pairs import Pairs, PairView, pairs_of
from calibkit.predictions import Predictions
from calibkit.pseudo_values import MIN_ANSWERS, too_few_answers, why_no_difference
from calibkit.scores import RowScores
from calibkit.tally import facts_of
from calibkit.units import Units, units_of
from calibkit.views import Binned, View, score_and_bin

Rng = int | np.random.Generator
Which = Literal["standard", "all"]
# What a comparison asks for: the standard table, and the metrics on request that it holds.
Asked = Literal["standard", "all", "compared"]

# Of dependent rows: outcomes worth fewer whole groups than this show too little of what can happen.
FEW_UNITS = 2


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


def stream(settings: Settings, metric: str) -> np.random.Generator:
    """A source of random numbers of a metric's own: what it shows does not depend on which others there are."""
    return np.random.default_rng([settings.seed, crc32(metric.encode())])


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
    def about(self) -> About:
        """What the rows are."""
        predictions = self.predictions
        return About(
            name=predictions.name or "predictions",
            n=len(predictions),
            n_classes=predictions.n_classes,
            kind=predictions.kind,
            is_binary=predictions.is_binary,
            weighted=predictions.weights is not None,
            grouped=predictions.groups is not None,
            view=self.view,
            choices=_choices(predictions),
        )

    @property
    def view(self) -> View:
        """The view of its calibration metrics."""
        return self.binned.view

    @property
    def many_pairs(self) -> bool:
        """Whether its view has k pairs a row."""
        return self.about.many_pairs

    @property
    def tables(self) -> Sequence[BinTable]:
        """The bin tables of the view."""
        return self.binned.tables

    @property
    def bracketed(self) -> BinnedRows | BinTable:
        """Bin and gap of each row, which intervals need."""
        assert self.binned.rows is not None  # kept wherever there is a level
        return self.binned.rows

    @property
    def means(self) -> tuple[str, ...]:
        """Names of the metrics that are means."""
        return tuple(self.rows)

    @property
    def effective(self) -> float:
        """Rows of equal weight that the rows are worth."""
        return effective_size(self.predictions.weights, len(self.predictions))

    def mean(self, name: str) -> float:
        """Mean of a score."""
        return weighted_mean(self._vector(name), self.predictions.weights)

    def _unseen(self, name: str) -> str | None:
        """Why too little was seen for an interval of a score, or None."""
        if name in self.rankings:
            return why_no_ranking_interval(self)
        return why_no_score_interval(self) if name in ("nll", "brier") else None

    def interval(self, name: str, *, level: float) -> MeanInterval:
        """The t interval of a mean, or of the gap: of a binary outcome it allows for outcomes not seen."""
        unseen = self._unseen(name)
        if unseen is not None:
            return MeanInterval(value=self.mean(name), reason=unseen)
        outcome = self.binned.outcome if name == "gap" else self._vector(name)
        return mean_interval(
            self.gap if name == "gap" else outcome,
            level=level,
            weights=self.predictions.weights,
            groups=self.predictions.groups,
            binary=outcome.dtype == np.bool_ and self._few_outcomes(outcome),
        )

    def _vector(self, name: str) -> NDArray[Any]:
        return self.rankings[name] if name in self.rankings else self.rows[name]

    def _few_outcomes(self, outcome: NDArray[Any]) -> bool:
        """Whether outcomes may be unseen; of grouped rows only where the rarer one is rare indeed."""
        if self.predictions.groups is None:
            return True
        rate = weighted_mean(outcome, self.predictions.weights)
        return min(rate, 1 - rate) * self.units.effective < FEW_UNITS

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


def _choices(predictions: Predictions) -> tuple[int, int] | None:
    """Smallest and largest number of choices of ragged rows."""
    counts = predictions.n_choices
    if counts is None:
        return None
    return (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)


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


def why_no_ece_interval(about: About, settings: Settings) -> str | None:
    """Why the bracket interval is not offered: it is printed only where its coverage was shown."""
    if not about.many_pairs:
        return None
    causes = {
        "quantile bins": settings.binning.strategy != "uniform",
        "weighted rows": about.weighted,
        "dependent rows": about.grouped,
    }
    cause = next((name for name, holds in causes.items() if holds), None)
    where = f"in the {about.view} view"
    return None if cause is None else f"No interval for ECE: its coverage has not been shown for {cause} {where}."


def why_no_score_interval(scored: Scored) -> str | None:
    """Why dependent rows have no interval of a score: too few whole groups show what can go wrong."""
    rows = scored.binned.rows
    if rows is None or rows.groups is None:
        return None
    return too_rare(rows.table, rows.present().units())


def why_no_ranking_interval(scored: Scored, *, least: int = MIN_ANSWERS) -> str | None:
    """Why a ranking has no interval: too few answers of either kind, or too few whole groups of them."""
    return too_few_answers(scored.scores.correct, scored.units, least=least) or why_no_score_interval(scored)


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


def what_the_pass_saw(scored: Scored) -> Iterator[str]:
    """What the pass saw that a reader should know."""
    yield from what_was_seen(scored.about, facts_of(scored.predictions, scored.scores), effective=scored.effective)
    if scored.predictions.groups is not None:
        units = scored.units
        yield f"Dependent rows: intervals use G = {units.count:,} groups, G_eff = {units.effective:,.1f}."
