"""The scores of a batch's rows, where its forecast is, without waiting for the device. Annex: integrations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from calibkit._checks import SNAP
from calibkit._numerics import sum_slack
from calibkit.integrations.torch.batches import Batch
from calibkit.integrations.torch.faults import Faults, Found
from calibkit.integrations.torch.scores import (
    TensorScores,
    scores_of_log_odds,
    scores_of_logits,
    scores_of_probability,
    scores_of_probs,
)
from calibkit.integrations.torch.sums import sum_logits, sum_probs
from calibkit.state.rows import LARGEST_WEIGHT

# Smaller weights lose their squares; the constructors of Predictions refuse them.
LEAST_WEIGHT = 1e-100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredBatch:
    """Rows (n,) after their pass, on the device.

    Attributes
    ----------
    scores : TensorScores
        What each row is worth; meaningless where it does not count.
    kept : Tensor of bool
        False for rows to ignore, of weight 0, and where a value is wrong.
    labels : Tensor of int64 or None
        True classes, 0 where the row does not count.
    weights : Tensor of float64 or None
        Weights.
    tied : Tensor of bool or None
        Whether several classes share the largest value.
    ignored, weightless : Tensor of bool or None
        Rows that are left out for their label, and for a weight of 0.
    outside : Tensor of int64 or None
        How many values of (n, k) probabilities lay within 4 eps outside [0, 1].
    moved : Tensor of bool or None
        The same of one value a row.
    deviation : Tensor of float64 or None
        ``|row sum - 1|`` of (n, k) probabilities.
    like_probs : Tensor of bool, a scalar, or None
        Whether the first rows of logits (n, k) look like probabilities.
    """

    scores: TensorScores
    kept: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    tied: Tensor | None = None
    ignored: Tensor | None = None
    weightless: Tensor | None = None
    outside: Tensor | None = None
    moved: Tensor | None = None
    deviation: Tensor | None = None
    like_probs: Tensor | None = None

    def vectors(self) -> dict[str, Tensor]:
        """All tensors that are there, by name, those of the scores among them."""
        found = {one.name: getattr(self.scores, one.name) for one in fields(self.scores)}
        found |= {one.name: getattr(self, one.name) for one in fields(self) if one.name != "scores"}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @classmethod
    def of_vectors(cls, vectors: Mapping[str, Tensor]) -> "ScoredBatch":
        """The batch that has these tensors."""
        names = {one.name for one in fields(TensorScores)}
        scores = TensorScores(**{name: tensor for name, tensor in vectors.items() if name in names})
        rest: dict[str, Any] = {name: tensor for name, tensor in vectors.items() if name not in names}
        return cls(scores=scores, **rest)

    def __getitem__(self, rows: slice | Tensor) -> "ScoredBatch":
        """Some of the rows; a scalar is that of all."""
        return self.of_vectors({name: one if one.ndim == 0 else one[rows] for name, one in self.vectors().items()})


def joined(parts: Sequence[ScoredBatch], device: torch.device) -> ScoredBatch:
    """Several batches of one form as one, on a device; what is said of all rows of a batch is said of all."""
    if len(parts) == 1 and parts[0].kept.device == device:
        return parts[0]
    found: dict[str, Tensor] = {}
    for name, first in parts[0].vectors().items():
        tensors = [part.vectors()[name].to(device) for part in parts]
        found[name] = torch.cat(tensors) if first.ndim else torch.stack(tensors).all()
    return ScoredBatch.of_vectors(found)


def score_batch(
    batch: Batch, faults: Faults, *, start: int = 0, n_classes: int | None = None, ignore_index: int | None = None
) -> ScoredBatch:
    """Scores of a batch; its first row is number `start` of those in which faults are counted.

    The forecast tells the number of classes, or, where it is of the predicted class alone, `n_classes` does.

    Examples
    --------
    >>> batch = Batch(labels=torch.tensor([1, 0]), probs=torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    >>> score_batch(batch, Faults(torch.device("cpu"))).scores.confidence
    tensor([0.7500, 0.5000], dtype=torch.float64)
    """
    return _Reading(batch, faults, start, n_classes, ignore_index).scored()


class _Reading:
    """One batch on its way: which of its rows still count, and the faults that have been found."""

    def __init__(
        self, batch: Batch, faults: Faults, start: int, n_classes: int | None, ignore_index: int | None
    ) -> None:
        self.batch, self.faults, self.start = batch, faults, start
        self.n_classes = n_classes if batch.n_classes is None else batch.n_classes
        self.device = batch.forecast.device
        self.found: dict[str, tuple[Tensor, Tensor]] = {}
        self.kept = torch.ones(len(batch), dtype=torch.bool, device=self.device)
        self.labels, self.weights = self._placed("labels"), self._placed("weights")
        self.ignored: Tensor | None = None
        self.weightless: Tensor | None = None
        if self.weights is not None:
            weights = self.weights = self.weights.to(torch.float64)
            fine = (weights == 0) | ((weights >= LEAST_WEIGHT) & (weights < LARGEST_WEIGHT))
            self._refuse({"weight": (~fine, weights)})
            self.weightless = self.kept & (weights == 0)
            self.kept = self.kept & (weights != 0)
        if self.labels is not None:
            self.labels = self.labels.to(torch.int64)
            if ignore_index is not None:
                self.ignored = self.kept & (self.labels == ignore_index)
                self.kept = self.kept & (self.labels != ignore_index)

    def _placed(self, role: str) -> Tensor | None:
        """A tensor beside the forecast."""
        tensor = self.batch.given.get(role)
        return None if tensor is None else tensor.to(self.device, non_blocking=True)

    def _refuse(self, found: Found) -> None:
        """Rows that count and have a fault count no more; faults are counted when all are known."""
        here = {kind: (bad & self.kept, values) for kind, (bad, values) in found.items()}
        for bad, _ in here.values():
            self.kept = self.kept & ~bad
        self.found |= here

    def _codes(self, codes: Tensor, kind: str) -> Tensor:
        """Class numbers; 0 where there is none, for an index out of range would end the device's context."""
        n_classes = self.n_classes
        bad = codes < 0 if n_classes is None else (codes < 0) | (codes >= n_classes)
        self._refuse({kind: (bad, codes)})
        return codes.masked_fill(~self.kept, 0)

    def scored(self) -> ScoredBatch:
        """The scores of the batch."""
        kind, values = self.batch.kind, self.batch.forecast
        if kind == "correct":
            return self._confidence(self._correct())
        assert self.labels is not None
        self.labels = self._codes(self.labels, "label")
        if kind == "top1":
            predicted = self._placed("predicted")
            assert predicted is not None
            return self._confidence(self._codes(predicted.to(torch.int64), "predicted") == self.labels)
        if values.ndim == 1:
            return self._event(values.to(torch.float64), self.labels == 1)
        return self._logits(values, self.labels) if kind == "logits" else self._probs(values, self.labels)

    def _finished(self, scores: TensorScores, **found: Tensor | None) -> ScoredBatch:
        """The scores, with what the pass saw."""
        self.faults.note(self.found, self.start)
        return ScoredBatch(
            scores=scores,
            kept=self.kept,
            labels=self.labels,
            weights=self.weights,
            ignored=self.ignored,
            weightless=self.weightless,
            **found,
        )

    def _correct(self) -> Tensor:
        """Correctness as booleans."""
        correct = self._placed("correct")
        assert correct is not None
        if correct.dtype != torch.bool:
            self._refuse({"correct": ((correct != 0) & (correct != 1), correct)})
        return correct == 1

    def _unit_interval(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n,) in [0, 1], as float64, and which of them lay outside by a rounding error."""
        wide, slack = values.to(torch.float64), SNAP * torch.finfo(values.dtype).eps
        found = {
            "nan": (torch.isnan(wide), wide),
            "inf": (torch.isinf(wide), wide),
            "negative": (wide < -slack, wide),
            "above one": (wide > 1.0 + slack, wide),
        }
        self._refuse(found)
        return wide.clamp(0.0, 1.0) + 0.0, (wide < 0) | (wide > 1)  # -0.0 becomes 0.0

    def _confidence(self, correct: Tensor) -> ScoredBatch:
        """Scores of what was predicted alone."""
        confidence, moved = self._unit_interval(self.batch.forecast)
        return self._finished(TensorScores(confidence=confidence, correct=correct), moved=moved)

    def _event(self, wide: Tensor, positive: Tensor) -> ScoredBatch:
        """Scores of a 1-D forecast of class 1."""
        if self.batch.kind == "logits":
            self._refuse({"nan": (torch.isnan(wide), wide), "inf": (torch.isinf(wide), wide)})
            return self._finished(scores_of_log_odds(wide, positive), tied=wide == 0)
        probs, moved = self._unit_interval(self.batch.forecast)
        return self._finished(scores_of_probability(probs, positive), tied=probs == 0.5, moved=moved)

    def _logits(self, logits: Tensor, labels: Tensor) -> ScoredBatch:
        """Scores of logits (n, k)."""
        seen = sum_logits(logits, labels)
        top, correct = seen.sums.top, seen.predicted == labels
        found = {"nan": torch.isnan(top), "inf": torch.isposinf(top), "all -inf": torch.isneginf(top)}
        self._refuse({kind: (bad, top) for kind, bad in found.items()})
        ones = correct == (labels == 1) if logits.shape[1] == 2 else None
        scores = scores_of_logits(seen.sums, correct, wide=logits.dtype == torch.float64, ones=ones)
        like_probs = ~(seen.unlike_probs & self.kept).any()
        return self._finished(scores, tied=top == seen.sums.second, like_probs=like_probs)

    def _probs(self, probs: Tensor, labels: Tensor) -> ScoredBatch:
        """Scores of probabilities (n, k)."""
        seen, eps = sum_probs(probs, labels), torch.finfo(probs.dtype).eps
        off, correct = (seen.total - 1.0).abs(), seen.predicted == labels
        found = {
            "nan": (torch.isnan(seen.total), seen.total),
            "inf": (torch.isinf(seen.high) | torch.isinf(seen.low), seen.high),
            "negative": (seen.low < -SNAP * eps, seen.low),
            "above one": (seen.high > 1.0 + SNAP * eps, seen.high),
            "row sum": (~(off <= sum_slack(probs.shape[1], eps)), seen.total),
        }
        self._refuse(found)
        ones = correct == (labels == 1) if probs.shape[1] == 2 else None
        scores = scores_of_probs(seen.sums, correct, ones=ones)
        return self._finished(scores, tied=seen.sums.top == seen.sums.second, outside=seen.outside, deviation=off)
