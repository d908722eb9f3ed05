"""Tensors in the host's memory: the one pass over arrays reads them there, without a copy. Annex: integrations."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibkit._checks import row_blocks
from calibkit._numerics import Floats
from calibkit.integrations.torch.batches import Batch
from calibkit.integrations.torch.scoring import ScoredBatch
from calibkit.predictions import Predictions
from calibkit.scores import score_rows
from calibkit.scores.blocks import MAX_TRANSPOSED
from calibkit.tally import facts_of

_SCORES = ("confidence", "correct", "log_score", "brier", "positive")


def is_read_on_host(batch: Batch) -> bool:
    """Whether a batch is in the host's memory, or on a device that has no float64."""
    return batch.forecast.device.type in ("cpu", "mps")


def as_predictions(batch: Batch, *, n_classes: int | None, **reading: Any) -> Predictions:
    """The rows as predictions that share the memory of the tensors."""
    arrays: dict[str, Any] = {role: tensor for role, tensor in batch.given.items() if role != "ids"}
    if batch.kind == "top1":
        arrays["n_classes"] = n_classes
    if batch.kind == "correct":
        reading.pop("ignore_index", None)
    made: Predictions = getattr(Predictions, f"from_{batch.kind}")(**arrays, **reading)
    return made


def score_on_host(
    batch: Batch, *, n_classes: int | None = None, name: str | None = None, ignore_index: int | None = None
) -> ScoredBatch:
    """Scores of a batch by the one pass over arrays, with all that a tally counts row by row.

    Examples
    --------
    >>> batch = Batch(labels=torch.tensor([1, -1]), probs=torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    >>> found = score_on_host(batch, ignore_index=-1)
    >>> found.scores.confidence, found.kept
    (tensor([0.7500, 0.0000], dtype=torch.float64), tensor([ True, False]))
    """
    ignored, weightless, kept = None, None, torch.ones(len(batch), dtype=torch.bool)
    if "weights" in batch.given:
        weightless = batch.given["weights"].cpu() == 0
        kept = ~weightless
    if "labels" in batch.given and ignore_index is not None:
        ignored = kept & (batch.given["labels"].cpu() == ignore_index)
        kept = kept & ~ignored
    there = Batch(**{role: tensor[kept.to(tensor.device)] for role, tensor in batch.given.items()}).on_host()
    vectors = _vectors(there, as_predictions(there, n_classes=n_classes, name=name))
    found = {role: _spread(vector, kept) for role, vector in vectors.items()}
    masks = {"kept": kept, "ignored": ignored, "weightless": weightless}
    return ScoredBatch.of_vectors(found | {role: mask for role, mask in masks.items() if mask is not None})


def _spread(vector: Tensor, kept: Tensor) -> Tensor:
    """A vector of the rows that are kept as one of all rows; what is said of all of them stays so."""
    if vector.ndim == 0:
        return vector
    full = torch.zeros(len(kept), dtype=vector.dtype)
    full[kept] = vector
    return full


def _vectors(batch: Batch, predictions: Predictions) -> dict[str, Tensor]:
    """Scores, labels and weights of the rows, and what notes tell of each."""
    scores = score_rows(predictions)
    found: dict[str, NDArray[Any] | None] = {role: getattr(scores, role) for role in _SCORES}
    found |= {"labels": predictions.labels, "weights": predictions.weights}
    there = {role: torch.from_numpy(np.array(vector)) for role, vector in found.items() if vector is not None}
    if batch.forecast.ndim == 1:
        return there | _seen_in_vector(batch)
    return there | _seen_in_matrix(batch, predictions, like_probs=facts_of(predictions, scores).like_probs)


def _seen_in_vector(batch: Batch) -> dict[str, Tensor]:
    """What notes tell of one value a row."""
    values, seen = batch.forecast, {}
    if batch.kind in ("logits", "probs"):
        seen["tied"] = values == (0.5 if batch.kind == "probs" else 0.0)
    if batch.kind != "logits":
        seen["moved"] = (values < 0) | (values > 1)
    return seen


def _seen_in_matrix(batch: Batch, predictions: Predictions, *, like_probs: bool) -> dict[str, Tensor]:
    """What notes tell of (n, k) values."""
    values = batch.forecast
    top, second = values.topk(2, dim=1).values.unbind(dim=1)
    if batch.kind == "logits":
        return {"tied": top == second, "like_probs": torch.tensor(like_probs)}
    deviation = np.abs(_row_sums(predictions.values) - 1.0)
    return {
        "tied": top == second,
        "outside": ((values < 0) | (values > 1)).sum(dim=1),
        "deviation": torch.from_numpy(deviation),
    }


def _row_sums(values: NDArray[Any]) -> Floats:
    """Row sums with the bits of the one pass: class after class where there are few."""
    if values.shape[1] > MAX_TRANSPOSED:
        return np.concatenate([np.add.reduce(block, axis=1) for _, block in row_blocks(values)] or [np.zeros(0)])
    total = values[:, 0].astype(np.float64)
    for column in values.T[1:]:
        total += column
    return total
