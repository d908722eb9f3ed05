"""Passes over (n, k) values that an opt-in needs: which rows are unusable, and the first bad value. Floor 0."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.arrays import AnyArray, BoolArray, Source
from calibkit._checks.values import Problem, bad_values

_BLOCK = 1 << 18  # elements widened to float64 at a time
_GRAVITY: tuple[Problem, ...] = ("nan", "inf", "all -inf", "negative", "above one", "row sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One kind of bad value: where it first stands, and in how many rows it stands."""

    problem: Problem
    count: int
    row: int
    column: int | None
    value: float

    def joined(self, later: "_Fault") -> "_Fault":
        """Add the rows of a later block; a row sum is named where it is worst, else the first stays."""
        worse = self.problem == "row sum" and abs(later.value - 1) > abs(self.value - 1)
        return replace(later if worse else self, count=self.count + later.count)


def row_blocks(values: AnyArray) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Rows of an (n, k) array, widened to float64, a cache-sized block at a time, with the first row's number."""
    step = max(1, _BLOCK // values.shape[1])
    for start in range(0, len(values), step):
        with np.errstate(invalid="ignore"):  # a signalling NaN, which damage can make, warns when it is widened
            block = values[start : start + step].astype(np.float64)
        yield start, block


def _not_numbers(kind: str, block: NDArray[np.float64]) -> BoolArray:
    """Entries that are NaN or an infinity with no meaning: any in probs, +inf elsewhere."""
    return ~np.isfinite(block) if kind == "probs" else np.isnan(block) | (block == np.inf)


def _classless(kind: str, block: NDArray[np.float64]) -> BoolArray:
    """Rows in which every class has p = 0."""
    return (block == -np.inf).all(axis=1) if kind != "probs" else np.zeros(len(block), dtype=np.bool_)


def unusable_rows(kind: str, values: AnyArray) -> BoolArray:
    """Rows that ``invalid="drop"`` leaves out: NaN or inf, but a logit may be -inf while its row has another."""
    if values.ndim == 1:
        return ~np.isfinite(values)
    bad = np.zeros(len(values), dtype=np.bool_)
    for start, block in row_blocks(values):
        bad[start : start + len(block)] = _not_numbers(kind, block).any(axis=1) | _classless(kind, block)
    return bad


def check_matrix(
    kind: str,
    values: AnyArray,
    *,
    array_name: str,
    source: Source,
    tolerance: float | NDArray[np.float64],
    slack: float,
) -> None:
    """Raise for the gravest fault of an (n, k) array of logits, probs or log_probs.

    ``tolerance`` bounds the deviation of a row sum from 1, or that of each row, ``slack`` that of a probability from
    [0, 1]; infinite ones leave that check to the caller.
    """
    found: dict[Problem, _Fault] = {}
    allowed = np.broadcast_to(tolerance, len(values))
    for start, block in row_blocks(values):
        for fault in _faults(kind, block, start, allowed[start : start + len(block)], slack):
            earlier = found.get(fault.problem)
            found[fault.problem] = earlier.joined(fault) if earlier else fault
    if found:
        fault = found[min(found, key=_GRAVITY.index)]
        bad_values(
            kind,
            array_name=array_name,
            row=source.row(fault.row),
            column=fault.column,
            value=fault.value,
            count=fault.count,
            n_rows=len(values),
            problem=fault.problem,
            name=source.name,
            row_values=values[fault.row],
        )


def _faults(
    kind: str, block: NDArray[np.float64], start: int, tolerance: NDArray[np.float64], slack: float
) -> Iterator[_Fault]:
    """Every kind of fault in one block."""
    yield from _entry_faults("inf", _not_numbers(kind, block), block, start)
    yield from _row_faults("all -inf", _classless(kind, block), block[:, 0], start)
    if kind == "probs":
        yield from _entry_faults("negative", (block < 0) & (block < -slack), block, start)
        yield from _entry_faults("above one", block > 1 + slack, block, start)
    if kind != "logits":
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf: the infinities are a fault of their own
            sums = (np.exp(block) if kind == "log_probs" else block).sum(axis=1)  # (rows,)
        off = abs(sums - 1)
        worst = int(np.argmax(np.where(off > tolerance, off, 0.0)))
        yield from _row_faults("row sum", off > tolerance, sums, start, first=worst)


def _entry_faults(problem: Problem, mask: BoolArray, block: NDArray[np.float64], start: int) -> Iterator[_Fault]:
    """The fault of the first marked entry, if there is one."""
    rows = mask.any(axis=1)
    if rows.any():
        row = int(np.argmax(rows))
        column = int(np.argmax(mask[row]))
        value = float(block[row, column])
        problem = "nan" if np.isnan(value) else problem
        yield _Fault(problem=problem, count=int(rows.sum()), row=start + row, column=column, value=value)


def _row_faults(
    problem: Problem, rows: BoolArray, values: NDArray[np.float64], start: int, first: int | None = None
) -> Iterator[_Fault]:
    """The fault of the first marked row, or of the row given as first."""
    if rows.any():
        row = int(np.argmax(rows)) if first is None else first
        yield _Fault(problem=problem, count=int(rows.sum()), row=start + row, column=None, value=float(values[row]))
