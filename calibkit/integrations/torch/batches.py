"""One batch of tensors: what they mean, and whether they fit each other. Annex: integrations."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from calibkit._checks import Column, Source, check_forecast_shape, check_rows, check_vector
from calibkit.errors import InputFormatError, LabelError, ShapeError

Kind = Literal["logits", "probs", "top1", "correct"]

_MEANING = {"logits": "log-odds of class 1", "probs": "P(y = 1)", "confidence": "probabilities"}
_SETS: Mapping[Kind, frozenset[str]] = {
    "logits": frozenset({"labels", "logits"}),
    "probs": frozenset({"labels", "probs"}),
    "top1": frozenset({"labels", "predicted", "confidence"}),
    "correct": frozenset({"correct", "confidence"}),
}


class Batch:
    """Tensors of n rows, as they were given; which of them are there says what the forecast is.

    Parameters
    ----------
    tensors
        By their roles: labels, logits, probs, predicted, confidence, correct, weights, ids. None is as good as absent.

    Examples
    --------
    >>> batch = Batch(labels=torch.tensor([0, 1]), probs=torch.tensor([[0.75, 0.25], [0.5, 0.5]]), weights=None)
    >>> batch.kind, batch.n_classes, len(batch)
    ('probs', 2, 2)
    """

    def __init__(self, **tensors: Tensor | None) -> None:
        self.given = {role: tensor for role, tensor in tensors.items() if tensor is not None}

    @cached_property
    def kind(self) -> Kind:
        """What the forecast is."""
        roles = frozenset(self.given) - {"weights", "ids"}
        for kind, expected in _SETS.items():
            if roles == expected:
                return kind
        sets = "; ".join(" and ".join(sorted(roles)) for roles in _SETS.values())
        raise InputFormatError(
            f"update got {', '.join(sorted(roles)) or 'nothing'}; expected one of these sets: {sets}."
        )

    @property
    def forecast_name(self) -> str:
        """The tensor that says how probable something is."""
        return self.kind if self.kind in ("logits", "probs") else "confidence"

    @property
    def forecast(self) -> Tensor:
        """Logits, probs or confidence."""
        return self.given[self.forecast_name]

    @property
    def n_classes(self) -> int | None:
        """Classes, where the forecast tells."""
        if self.kind not in ("logits", "probs"):
            return None
        return 2 if self.forecast.ndim == 1 else self.forecast.shape[1]

    def __len__(self) -> int:
        return len(self.forecast)

    def detached(self) -> "Batch":
        """The same without gradients."""
        return Batch(**{name: tensor.detach() for name, tensor in self.given.items()})

    def on_host(self) -> "Batch":
        """The same in the host's memory."""
        return Batch(**{role: tensor.cpu() for role, tensor in self.given.items()})

    def of_no_rows(self) -> "Batch":
        """A batch of this form without rows, on the host."""
        return Batch(**{role: torch.empty((0, *one.shape[1:]), dtype=one.dtype) for role, one in self.given.items()})

    def __getitem__(self, rows: slice) -> "Batch":
        return Batch(**{name: tensor[rows] for name, tensor in self.given.items()})


def read_batch(*, name: str | None, **tensors: Any) -> Batch:
    """Tensors that say what they are and fit each other; their values are not looked at."""
    for role, tensor in tensors.items():
        if tensor is not None and not isinstance(tensor, Tensor):
            raise InputFormatError(f"{role}: expected a torch.Tensor, got {type(tensor).__name__}.")
    batch, source = Batch(**tensors).detached(), Source(name=name)
    forecast = batch.forecast_name
    columns = {role: _stand_in(role, tensor) for role, tensor in batch.given.items()}
    if not batch.forecast.is_floating_point():
        held = str(batch.forecast.dtype).removeprefix("torch.")
        raise InputFormatError(f"{source.of(forecast)} has dtype {held}; expected floats.")
    check_forecast_shape(columns[forecast], _MEANING[forecast], source)
    for role, column in columns.items():
        check_rows(column, len(batch), forecast, source)
        if role not in ("logits", "probs"):
            check_vector(column, source)
    for role in ("labels", "predicted", "ids"):
        if role in batch.given and (batch.given[role].is_floating_point() or batch.given[role].is_complex()):
            held = str(batch.given[role].dtype).removeprefix("torch.")
            raise LabelError(f"{source.of(role)} has dtype {held}; expected whole numbers. Pass {role}.long().")
    return batch


def _stand_in(role: str, tensor: Tensor) -> Column:
    """An array of a tensor's shape and no memory, for the checks that look at shapes alone."""
    shape = tuple(tensor.shape)
    if not shape:
        raise ShapeError(f"{role} is one value; expected one entry per row.")
    return Column(array_name=role, values=np.broadcast_to(np.float32(0), shape))
