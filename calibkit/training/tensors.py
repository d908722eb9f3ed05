"""Logits, labels and class vectors as the losses take them, or a clear error. Annex: training."""

import math
from numbers import Real

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from calibkit._numerics import sum_slack
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError


def check_smoothing(smoothing: object) -> float:
    """Return a smoothing in [0, 1)."""
    number = isinstance(smoothing, Real) and not isinstance(smoothing, bool)
    if number and 0 <= float(smoothing) < 1:  # type: ignore[arg-type]
        return float(smoothing)  # type: ignore[arg-type]
    hint = " A percentage? 10 % is 0.1." if number and float(smoothing) >= 1 else ""  # type: ignore[arg-type]
    raise OptionError(f"smoothing={smoothing!r}: expected a number from 0 up to, but not including, 1.{hint}")


def check_logits(logits: Tensor) -> Tensor:
    """Return logits (n, k) as float32, or as float64 if they are."""
    if not isinstance(logits, Tensor):
        raise InputFormatError(f"logits: expected a torch.Tensor, got {type(logits).__name__}.")
    if not logits.is_floating_point():
        raise InputFormatError(f"logits has dtype {_dtype(logits)}; expected floats, the network's output.")
    shape = tuple(logits.shape)
    if logits.ndim > 2:
        raise ShapeError(
            f"logits has shape {shape}; expected (n, k). For classes in axis 1, pass "
            "logits.movedim(1, -1).flatten(0, -2) and labels.flatten()."
        )
    if logits.ndim < 2 or shape[1] < 2:
        raise ShapeError(f"logits has shape {shape}; expected (n, k) with one column for each of k >= 2 classes.")
    return logits if logits.dtype == torch.float64 else logits.float()


def check_labels(labels: Tensor, *, n_classes: int, n_rows: int, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """Return int64 labels (n,) with class 0 in ignored rows, and which rows count.

    Values are compared with k before they index anything: on CUDA a label out of range would otherwise abort the
    process's context. That comparison waits for the device, and under torch.compile, where it would break the
    graph, it is left out.
    """
    codes = _check_label_form(labels, n_rows)
    kept = torch.ones_like(codes, dtype=torch.bool) if ignore_index is None else codes != ignore_index
    codes = codes.masked_fill(~kept, 0)
    if not torch.compiler.is_compiling() and n_rows:
        low, high = torch.stack(torch.aminmax(codes)).tolist()
        if low < 0 or high >= n_classes:
            _refuse_label(codes, n_classes)
    return codes, kept


def _check_label_form(labels: Tensor, n_rows: int) -> Tensor:
    """Return whole-number labels of shape (n,) as int64."""
    if not isinstance(labels, Tensor):
        raise InputFormatError(f"labels: expected a torch.Tensor, got {type(labels).__name__}.")
    if labels.is_floating_point() and labels.ndim == 2:
        raise LabelError(
            f"labels has dtype {_dtype(labels)} and shape {tuple(labels.shape)}: class probabilities are not "
            "targets here; pass one class number per row."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise LabelError(f"labels has dtype {_dtype(labels)}; expected class numbers (whole). Pass labels.long().")
    if labels.ndim != 1 or labels.shape[0] != n_rows:
        raise ShapeError(f"labels has shape {tuple(labels.shape)} but logits has {n_rows} rows; expected ({n_rows},).")
    return labels.long()


def _refuse_label(labels: Tensor, n_classes: int) -> None:
    """Raise for the first label outside 0..k-1."""
    bad = (labels < 0) | (labels >= n_classes)
    row = int(bad.int().argmax())
    value = int(labels[row])
    hint = f" To leave such rows out, pass ignore_index={value}." if value in (-1, -100) else ""
    hint = " Labels that count from 1? Pass labels - 1." if value == n_classes else hint
    raise LabelError(
        f"labels row {row}: value is {value} ({int(bad.sum()):,} of {len(labels):,} rows); expected 0 to "
        f"{n_classes - 1} for {n_classes} classes.{hint}"
    )


def check_prior(prior: Tensor | ArrayLike) -> Tensor:
    """Return a distribution over classes (k,): non-negative, summing to 1 within rounding."""
    vector = _class_vector(prior, "prior")
    total = float(vector.double().sum())
    if abs(total - 1) > sum_slack(len(vector), torch.finfo(vector.dtype).eps):
        raise DataError(f"prior sums to {total:.9g}, not 1; divide it by its sum.")
    return vector


def check_weight(weight: Tensor | ArrayLike) -> Tensor:
    """Return class weights (k,): non-negative, not all 0."""
    vector = _class_vector(weight, "weight")
    if not vector.any():
        raise DataError("weight is 0 for every class; at least one class must count.")
    return vector


def _class_vector(values: Tensor | ArrayLike, name: str) -> Tensor:
    """Return one non-negative, finite number per class; float32 unless it came as another float tensor."""
    vector = values.detach() if isinstance(values, Tensor) else torch.as_tensor(values)
    if not isinstance(values, Tensor) or not vector.is_floating_point():
        vector = vector.to(torch.get_default_dtype())
    if vector.ndim != 1 or len(vector) < 2:
        raise ShapeError(f"{name} has shape {tuple(vector.shape)}; expected (k,), one number per class.")
    for index, value in enumerate(vector.tolist()):
        if not (math.isfinite(value) and value >= 0):
            raise DataError(f"{name} class {index}: value is {value}; expected a finite number of at least 0.")
    return vector


def check_class_count(vector: Tensor | None, n_classes: int, name: str) -> None:
    """Raise unless a class vector has one entry per logit."""
    if vector is not None and len(vector) != n_classes:
        raise ShapeError(f"{name} has {len(vector)} entries but there are {n_classes} classes.")


def check_mean(kept: Tensor, total: Tensor, ignore_index: int) -> None:
    """Raise for a batch with nothing to average: no rows, all ignored, or all of weight 0."""
    if torch.compiler.is_compiling():
        return
    n_rows = len(kept)
    if n_rows == 0:
        raise DataError('The batch is empty (0 rows): its mean loss is undefined; reduction="sum" gives 0.')
    if float(total) > 0:
        return
    if not kept.any():
        raise DataError(
            f"Every label of the batch ({n_rows:,} rows) is ignore_index={ignore_index}: the mean loss is "
            'undefined; leave the batch out, or use reduction="sum", which gives 0.'
        )
    raise DataError("Every row of the batch has a class of weight 0: the mean loss is undefined.")


def _dtype(tensor: Tensor) -> str:
    """Name a dtype as NumPy does."""
    return str(tensor.dtype).removeprefix("torch.")
