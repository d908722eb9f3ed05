"""What is said of values that cannot be what they are said to be. Floor 0."""

from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.arrays import AnyArray, BoolArray, Source, show, some_of
from calibkit.errors import DataError

Problem = Literal["nan", "inf", "all -inf", "negative", "above one", "row sum"]

SNAP = 4  # multiples of the dtype's epsilon by which a probability may lie outside [0, 1]
_SMALLEST = np.ones(1, dtype=np.uint64).view(np.float64)  # by its bits: 5e-324
_ROWS = 1 << 10
_DROP = 'Drop them with invalid="drop" or fix the model output.'
_RENORMALIZE = "Pass renormalize=True to divide each row by its sum"
_PERCENT = "percentages? Divide by 100."


def bad_values(
    kind: str,
    *,
    array_name: str,
    row: int,
    column: int | None,
    value: float,
    count: int,
    n_rows: int,
    problem: Problem,
    name: str | None = None,
    row_values: NDArray[Any] | None = None,
) -> NoReturn:
    """Raise the `DataError` for values of an (n, k) array that are not logits or probabilities.

    ``row``, ``column`` and ``value`` are those of the first bad value (for a row sum: the worst row, no column,
    the sum); ``count`` rows of ``n_rows`` have the problem. ``row_values``, the bad row, sharpens the hint.
    """
    where = Source(name=name, first_row=0).at(array_name, row, column)
    rows = some_of(count, n_rows)
    if problem in ("nan", "inf"):
        softmax = ", for which softmax is undefined" if kind == "logits" and value == np.inf else ""
        text = f"value is {show(value)}{softmax} ({rows} have NaN or inf). {_DROP}"
    elif problem == "all -inf":
        text = f"every logit is -inf, which leaves no class ({rows}). {_DROP}"
    elif problem == "row sum":
        text = f"the row sums to {show(value)}, not 1 ({rows} are off). {_sum_hint(kind, value)}"
    else:
        side = "below 0" if problem == "negative" else "above 1"
        text = f"value is {show(value)}, {side} ({rows} have such values). {_range_hint(value, row_values)}"
    raise DataError(f"{where}: {text}")


def _sum_hint(kind: str, total: float) -> str:
    """Say what a wrong row sum may mean."""
    if kind == "log_probs":
        return (
            "log_probs=True takes logarithms of probabilities that sum to 1. Scores that do not, such as sums of token "
            "log-likelihoods, are logits: pass it as logits without log_probs=True, and softmax normalises them."
        )
    if 99 < total < 101:
        return f"Rows sum to 100: {_PERCENT}"
    return f"{_RENORMALIZE}, or pass logits as logits."


def _range_hint(value: float, row_values: AnyArray | None) -> str:
    """Say what a row with values outside [0, 1] may be."""
    if row_values is None or row_values.size < 2:
        other = "log-probabilities: log_probs=True" if value < 0 else "rows that sum to 100: divide by 100"
        return f"It looks like logits: pass it as logits ({other})."
    wide = row_values.astype(np.float64)
    # A logarithm of 0 stands beside -inf alone, which is a fault of its own: other zeros fill a ragged row up.
    if wide.max() <= 0 and abs(np.exp(wide[wide < 0]).sum() - 1) < 0.01:
        return "The row looks like log-probabilities: pass log_probs=True."
    if wide.min() >= 0 and abs(wide.sum() - 100) < 1:
        return f"Rows sum to 100: {_PERCENT}"
    if abs(wide.sum() - 1) < 0.1 and wide.min() > -0.1:
        return f"{_RENORMALIZE}." if wide.min() >= 0 else "Fix the model output."
    if wide.max() <= 0:
        return "It looks like logits: pass it as logits; logs of probabilities that sum to 1 need log_probs=True."
    return "It looks like logits: pass it as logits."


def check_unit_interval(values: AnyArray, array_name: str, source: Source) -> tuple[AnyArray, int]:
    """Return 1-D probabilities inside [0, 1], and how many lay outside within 4 epsilon and count as 0 or 1."""
    _check_finite(values, array_name, source)
    slack = SNAP * float(np.finfo(values.dtype).eps)
    outside = (values < 0) | (values > 1)
    bad = outside & ((values.astype(np.float64) < -slack) | (values.astype(np.float64) > 1 + slack))
    if bad.any():
        _refuse_outside(values, bad, array_name, source)
    snapped = int(outside.sum())
    if np.signbit(values).any():
        values = values + values.dtype.type(0)  # -0.0 becomes 0.0, so that both print and bin alike
    return (np.clip(values, 0, 1) if snapped else values), snapped


def keeps_subnormals() -> bool:
    """Whether this processor computes with subnormal numbers, and is not set to take them for 0."""
    return bool((_SMALLEST > 0).all())


def check_subnormals(values: AnyArray, array_name: str, source: Source) -> None:
    """Raise for the first subnormal probability if this processor is set to take such numbers for 0."""
    if keeps_subnormals():
        return
    for start in range(0, len(values), _ROWS):
        block = np.ascontiguousarray(values[start : start + _ROWS])
        bits = block.view(f"u{block.itemsize}") << 1  # without the sign
        lost = (block == 0) & (bits != 0)
        if lost.any():
            place = np.unravel_index(int(np.argmax(lost)), lost.shape)
            where = source.at(array_name, start + int(place[0]), int(place[1]) if len(place) == 2 else None)
            raise DataError(
                f"{where}: value is subnormal, and this process flushes such numbers to 0. Switch that off: "
                "torch.set_flush_denormal(False), or leave out the library that was compiled with -ffast-math."
            )


def check_log_odds(values: AnyArray, array_name: str, source: Source) -> None:
    """Raise unless every log-odds is finite; certain forecasts are probabilities 0 and 1."""
    _check_finite(values, array_name, source, " Forecasts that are certain are passed as probs 0 and 1.")


def _check_finite(values: AnyArray, array_name: str, source: Source, hint: str = "") -> None:
    """Raise for the first NaN or inf of a vector."""
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        rows = some_of(int(bad.sum()), len(values))
        where = source.at(array_name, row)
        raise DataError(f"{where}: value is {show(values[row])} ({rows} have NaN or inf). {_DROP}{hint}")


def _refuse_outside(values: AnyArray, bad: BoolArray, array_name: str, source: Source) -> NoReturn:
    """Raise for the first value of a vector outside [0, 1]."""
    row = int(np.argmax(bad))
    where = f"{source.at(array_name, row)}: value is {show(values[row])}, outside [0, 1]"
    raise DataError(f"{where} ({some_of(int(bad.sum()), len(values))}). {_vector_hint(values, array_name)}")


def _vector_hint(values: AnyArray, array_name: str) -> str:
    """Say what a vector with values outside [0, 1] may be."""
    low, high, is_probs = float(values.min()), float(values.max()), array_name == "probs"
    if low >= 0 and 1.5 < high <= 100:
        return f"Values run up to {high:g}: {_PERCENT}"
    if high <= 0:
        fix = "pass log_probs=True" if is_probs else "pass np.exp of them"
        return f"No value is positive: log-probabilities? Then {fix}.{' Log-odds are logits.' if is_probs else ''}"
    if is_probs:
        return "If these are log-odds, pass them as logits; else fix the model output."
    return "A confidence is the probability of the predicted class; fix the model output."


def check_certain_log_probs(values: AnyArray, array_name: str, source: Source) -> None:
    """Raise unless every log P(y = 1) is finite and below 0, for only these have log-odds."""
    _check_finite(values, array_name, source, " Where P(y = 1) is 0 or 1, pass np.exp of them as probs.")
    bad = values >= 0
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{source.at(array_name, row)}: value is {show(values[row])} "
            f"({some_of(int(bad.sum()), len(values))}), but log_probs=True takes logarithms below 0. "
            "Where P(y = 1) is 0 or 1, pass np.exp of them as probs."
        )


def refuse_zero_sum(array_name: str, row: int, source: Source) -> NoReturn:
    """Raise for a row of zeros, which no division makes a distribution."""
    raise DataError(
        f"{source.at(array_name, row)}: the row sums to 0, so renormalize=True cannot divide it. "
        "Leave the row out or fix the model output."
    )
