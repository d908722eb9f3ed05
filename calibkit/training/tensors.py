"""Logits, labels and class vectors as the losses take them, or a clear error. Annex: training."""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from calibkit._numerics import sum_slack
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """What the rows of logits are compared with; a row is one position outside the class axis.

    Either ``labels`` (n, d1, ...), int64 with 0 where ignored, or ``soft``, distributions (n, k, d1, ...). ``kept``
    (n, d1, ...) says which rows count; ``some_ignored`` is False only where all are known to.
    """

    labels: Tensor | None
    soft: Tensor | None
    kept: Tensor
    some_ignored: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """A batch as rows, one after the other, with the class axis last.

    ``x`` (rows, k) holds the logits in float32, or float64 if they came so, and 0 in ignored rows; ``labels`` (rows,)
    int64 with 0 where ignored; ``kept`` (rows,) which rows count. ``shape`` is what a vector over rows is to be
    reshaped to: (n,) or (n, d1, ...).
    """

    x: Tensor
    labels: Tensor
    kept: Tensor
    shape: Shape


def check_batch(logits: Tensor, labels: Tensor, *, ignore_index: int) -> Batch:
    """Rows of logits (n, k) or (n, k, d1, ...), and their class numbers (n,) or (n, d1, ...)."""
    check_logit_form(logits)
    checked = check_targets(logits, labels, ignore_index=ignore_index, soft=False)
    assert checked.labels is not None
    kept = checked.kept.flatten()
    x = widen(_class_last(logits))
    return Batch(
        # An ignored row adds nothing, whatever stands in it: 0 times NaN would be NaN.
        x=x.masked_fill(~kept.unsqueeze(1), 0.0) if checked.some_ignored else x,
        labels=checked.labels.flatten(),
        kept=kept,
        shape=_row_shape(logits),
    )


def check_logit_form(logits: Tensor) -> None:
    """Raise unless logits are floats (n, k) or (n, k, d1, ...) with k >= 2."""
    check_float_logits(logits)
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise ShapeError(
            f"logits has shape {tuple(logits.shape)}; expected (n, k), or (n, k, d1, ...), with one column for each "
            "of k >= 2 classes."
        )


def check_float_logits(logits: Tensor) -> None:
    """Raise unless logits are a tensor of floats."""
    if not isinstance(logits, Tensor):
        raise InputFormatError(f"logits: expected a torch.Tensor, got {type(logits).__name__}.")
    if not logits.is_floating_point():
        raise InputFormatError(f"logits has dtype {_dtype(logits)}; expected floats, the network's output.")


def widen(x: Tensor) -> Tensor:
    """Float32 for half precisions; float32 and float64 as they are."""
    return x.to(loss_dtype(x))


def loss_dtype(logits: Tensor) -> torch.dtype:
    """Float32, or float64 for float64: what the loss of these logits is computed in."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _class_last(x: Tensor) -> Tensor:
    """(n, k, d1, ...) as (rows, k)."""
    return x if x.ndim == 2 else x.movedim(1, -1).flatten(0, -2)


def _row_shape(logits: Tensor) -> Shape:
    """Shape of one number per row: that of the logits without the class axis."""
    return (logits.shape[0], *logits.shape[2:])


def check_targets(logits: Tensor, targets: Tensor, *, ignore_index: int | None, soft: bool) -> Targets:
    """Class numbers, or with ``soft`` also distributions, checked against logits (n, k) or (n, k, d1, ...).

    They may stay on the CPU: there they are checked without waiting for the device, and then moved to it.
    """
    _check_tensor(targets)
    shape = _row_shape(logits)
    if soft and targets.is_floating_point() and targets.shape == logits.shape:
        _check_distributions(targets, ignore_index)
        kept = torch.ones(shape, dtype=torch.bool, device=logits.device)
        return Targets(labels=None, soft=_beside(targets, logits), kept=kept, some_ignored=False)
    _check_whole(targets, logits.shape, soft=soft)
    _check_shape(targets, logits.shape)
    codes, kept, some_ignored = _codes(targets, n_classes=logits.shape[1], ignore_index=ignore_index)
    return Targets(labels=_beside(codes, logits), soft=None, kept=_beside(kept, logits), some_ignored=some_ignored)


def check_binary_targets(logits: Tensor, targets: Tensor, *, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Answers to yes-or-no questions, 0, 1 or a probability, and which count; both of the shape of the logits."""
    _check_tensor(targets)
    if targets.shape != logits.shape or logits.ndim == 0:
        squeezed = logits.shape == (*targets.shape, 1)
        hint = " Pass logits.squeeze(-1)." if squeezed else " For one logit a class use the loss of classes."
        raise ShapeError(
            f"targets has shape {tuple(targets.shape)} but logits has shape {tuple(logits.shape)}; expected one logit "
            f"and one target a question.{hint}"
        )
    if targets.is_floating_point():
        _check_probabilities(targets)
        yes, kept = targets, torch.ones_like(targets, dtype=torch.bool)
    else:
        whole = targets.long() if targets.dtype == torch.bool else targets
        _check_whole(whole, logits.shape, soft=False)
        yes, kept, _ = _codes(whole, n_classes=2, ignore_index=ignore_index)
    return _beside(yes, logits), _beside(kept, logits)


def _check_probabilities(targets: Tensor) -> None:
    """Raise for the first entry that is not in [0, 1]."""
    if torch.compiler.is_compiling():
        return
    bad = ~((targets >= 0) & (targets <= 1))
    if bad.any():
        row = int(bad.flatten().int().argmax())
        raise DataError(
            f"targets row {place(row, bad)}: value is {float(targets.flatten()[row]):.6g} ({int(bad.sum()):,} of "
            f"{bad.numel():,} values); expected the probability of class 1, in [0, 1]."
        )


def _check_tensor(targets: Tensor) -> None:
    """Raise unless targets are a tensor."""
    if not isinstance(targets, Tensor):
        raise InputFormatError(f"labels: expected a torch.Tensor, got {type(targets).__name__}.")


def _check_whole(labels: Tensor, logits_shape: torch.Size, *, soft: bool) -> None:
    """Raise for labels that are not whole numbers: floats are probabilities, never class numbers."""
    if not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool):
        return
    held = f"labels has dtype {_dtype(labels)}"
    if labels.is_floating_point() and labels.ndim == len(logits_shape):
        if soft:
            raise ShapeError(
                f"targets has dtype {_dtype(labels)} and shape {tuple(labels.shape)} but logits has shape "
                f"{tuple(logits_shape)}: class probabilities take the shape of the logits."
            )
        raise LabelError(
            f"{held} and shape {tuple(labels.shape)}: class probabilities are not targets here; pass one class number "
            "per row."
        )
    raise LabelError(f"{held}; expected class numbers (whole). Pass labels.long().")


def _check_shape(labels: Tensor, logits_shape: torch.Size) -> None:
    """Raise unless there is one label per row."""
    expected = (logits_shape[0], *logits_shape[2:])
    if tuple(labels.shape) == expected:
        return
    if len(logits_shape) > 2:
        raise ShapeError(
            f"labels has shape {tuple(labels.shape)} but logits has shape {tuple(logits_shape)}; expected {expected}: "
            "the classes are in axis 1."
        )
    hint = " One-hot? Pass labels.argmax(1)." if labels.shape == logits_shape else ""
    raise ShapeError(
        f"labels has shape {tuple(labels.shape)} but logits has {logits_shape[0]} rows; expected {expected}.{hint}"
    )


def _codes(labels: Tensor, *, n_classes: int, ignore_index: int | None) -> tuple[Tensor, Tensor, bool]:
    """Labels as int64 with 0 where ignored, which rows count, and whether some may not.

    Values are compared with k before they index anything: on CUDA a label out of range would otherwise abort the
    process's context. That comparison waits for the device of the labels, and under torch.compile, where it would
    break the graph, it is left out.
    """
    codes = labels.long()
    checked = codes.numel() > 0 and not torch.compiler.is_compiling()
    if checked and _all_in_range(codes, n_classes) and (ignore_index is None or not 0 <= ignore_index < n_classes):
        return codes, torch.ones_like(codes, dtype=torch.bool), False
    kept = torch.ones_like(codes, dtype=torch.bool) if ignore_index is None else codes != ignore_index
    codes = codes.masked_fill(~kept, 0)
    if checked and not _all_in_range(codes, n_classes):
        _refuse_label(codes, n_classes)
    return codes, kept, True


def _all_in_range(codes: Tensor, n_classes: int) -> bool:
    """Whether every label is a class number."""
    low, high = torch.stack(torch.aminmax(codes)).tolist()
    return bool(low >= 0 and high < n_classes)


def _refuse_label(labels: Tensor, n_classes: int) -> None:
    """Raise for the first label outside 0..k-1."""
    bad = (labels < 0) | (labels >= n_classes)
    row = int(bad.flatten().int().argmax())
    value = int(labels.flatten()[row])
    hint = f" To leave such rows out, pass ignore_index={value}." if value in (-1, -100, 255) else ""
    hint = " Labels that count from 1? Pass labels - 1." if value == n_classes else hint
    raise LabelError(
        f"labels row {place(row, labels)}: value is {value} ({int(bad.sum()):,} of {labels.numel():,} rows); expected "
        f"0 to {n_classes - 1} for {n_classes} classes.{hint}"
    )


def _check_distributions(targets: Tensor, ignore_index: int | None) -> None:
    """Raise for the first row of soft targets that is not a distribution over the classes."""
    if ignore_index is not None and ignore_index >= 0:
        raise OptionError(
            f"ignore_index={ignore_index}: soft targets have no label to ignore. Leave those rows out, or use "
            'reduction="none" and multiply.'
        )
    if torch.compiler.is_compiling() or not targets.numel():
        return
    values = targets.detach()
    sums = values.sum(dim=1, dtype=torch.promote_types(values.dtype, torch.float32))  # (n, d1, ...)
    # Half precisions are summed in float32, so their own rounding is all that a sum can be off by.
    half = values.dtype not in (torch.float32, torch.float64)
    slack = sum_slack(1 if half else values.shape[1], torch.finfo(values.dtype).eps)
    lowest, furthest = torch.stack((values.amin().to(sums), (sums - 1).abs().amax())).tolist()
    if lowest >= 0 and furthest <= slack:
        return
    low = values.amin(dim=1)
    bad = ~((low >= 0) & ((sums - 1).abs() <= slack))
    row = int(bad.flatten().int().argmax())
    start = f"targets row {place(row, bad)}: "
    count = f" ({int(bad.sum()):,} of {bad.numel():,} rows)"
    if not float(low.flatten()[row]) >= 0:
        raise DataError(f"{start}lowest value is {float(low.flatten()[row]):.6g}{count}; expected probabilities.")
    raise DataError(f"{start}sums to {float(sums.flatten()[row]):.6g}{count}, not 1; divide it by its sum.")


def place(row: int, rows: Tensor) -> str:
    """Number of a row as its user counts it: 7, or (0, 3, 1) where rows have more than one axis."""
    if rows.ndim < 2:
        return str(row)
    index = []
    for size in reversed(rows.shape):
        row, here = divmod(row, size)
        index.append(here)
    return str(tuple(reversed(index)))


def _beside(values: Tensor, logits: Tensor) -> Tensor:
    """Put values on the device of the logits, if they are there or on the CPU."""
    if values.device != logits.device and values.device.type != "cpu":
        raise DataError(f"labels is on {values.device} but logits is on {logits.device}; move one to the other.")
    return values.to(logits.device, non_blocking=True)


def check_smoothing(smoothing: object) -> float:
    """Return a smoothing in [0, 1)."""
    number = isinstance(smoothing, Real) and not isinstance(smoothing, bool)
    if number and 0 <= float(smoothing) < 1:  # type: ignore[arg-type]
        return float(smoothing)  # type: ignore[arg-type]
    hint = " A percentage? 10 % is 0.1." if number and float(smoothing) >= 1 else ""  # type: ignore[arg-type]
    raise OptionError(f"smoothing={smoothing!r}: expected a number from 0 up to, but not including, 1.{hint}")


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


def _dtype(tensor: Tensor) -> str:
    """Name a dtype as NumPy does."""
    return str(tensor.dtype).removeprefix("torch.")
