"""The forecast of one constructor call: checked, and with probabilities what was asked for. Floor 1."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import (
    SNAP,
    Source,
    check_certain_log_probs,
    check_clip,
    check_log_odds,
    check_matrix,
    check_real,
    check_unit_interval,
    refuse_zero_sum,
    row_blocks,
)
from calibkit._intake.ragged import beyond, sum_tolerances
from calibkit._intake.rows import Intake, frozen
from calibkit._numerics import Floats, Integers, sum_slack
from calibkit.errors import OptionError

Array = NDArray[Any]
_NAME = "probs"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIns:
    """The opt-ins of `Predictions.from_probs`."""

    clip: float | None = None
    renormalize: bool = False
    log_probs: bool = False
    sum_tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.sum_tolerance is not None:
            check_real(self.sum_tolerance, option="sum_tolerance", low=0.0, high=np.inf)
        if self.log_probs and self.renormalize:
            raise OptionError(
                "log_probs=True takes logarithms of probabilities that sum to 1, so renormalize=True does not go with "
                "it. Sums of token log-likelihoods are logits: pass it as logits, and softmax normalises them."
            )
        if self.log_probs and self.clip is not None:
            raise OptionError(f"log_probs=True does not go with clip={self.clip!r}; pass np.exp of them as probs.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Fields of a Predictions that hold the forecast, and what was done to it."""

    logits: Array | None = None
    probs: Array | None = None
    confidence: NDArray[np.float64] | None = None
    sum_tolerance: float | None = None
    notes: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Everything but the notes."""
        return {
            "logits": self.logits,
            "probs": self.probs,
            "confidence": self.confidence,
            "sum_tolerance": self.sum_tolerance,
        }


def class_count(values: Array) -> int:
    """Number of classes of logits or probs: their columns, or 2."""
    return 2 if values.ndim == 1 else int(values.shape[1])


def read_logits(rows: Intake) -> Forecast:
    """Logits; (n, k) ones are read only if ragged, or while the numbers of the rows left out are known."""
    values = rows["logits"]
    if values.ndim == 1:
        check_log_odds(values, "logits", rows.source)
    elif rows.source.rows is not None or rows.n_choices is not None:
        check_matrix("logits", values, array_name="logits", source=rows.source, tolerance=np.inf, slack=np.inf)
    return Forecast(logits=frozen(values))


def read_confidence(rows: Intake) -> Forecast:
    """Confidence in [0, 1], as float64."""
    values, snapped = check_unit_interval(rows["confidence"], "confidence", rows.source)
    notes = (snap_note("confidence", snapped, len(values)),) if snapped else ()
    return Forecast(confidence=frozen(values.astype(np.float64, copy=False)), notes=notes)


def read_probs(rows: Intake, opt_ins: OptIns) -> Forecast:
    """Probabilities as they are to be stored, with the opt-ins applied and counted."""
    values, widened = rows[_NAME], rows.columns[_NAME].epsilon
    # Of ragged rows each has the tolerance of its own number of choices; None says so.
    if opt_ins.sum_tolerance is None and (rows.n_choices is None or widened is not None):
        # Of the type that was given: bfloat16 rows are further off than the float32 ones that hold them.
        epsilon = float(np.finfo(values.dtype).eps) if widened is None else widened
        opt_ins = replace(opt_ins, sum_tolerance=sum_slack(class_count(values), epsilon))
    if opt_ins.log_probs:
        return _from_logarithms(values, opt_ins, rows)
    if values.ndim == 1:
        return _vector(values, opt_ins, rows.source)
    return _matrix(values, opt_ins, rows)


def _allowed(values: Array, opt_ins: OptIns, rows: Intake) -> float | Floats:
    """Accepted deviation of the row sums, or of each."""
    if opt_ins.sum_tolerance is not None:
        return opt_ins.sum_tolerance
    assert rows.n_choices is not None  # read_probs sets that of other rows
    return sum_tolerances(rows.n_choices, float(np.finfo(values.dtype).eps))


def _vector(values: Array, opt_ins: OptIns, source: Source) -> Forecast:
    """1-D P(y = 1): checked at once."""
    if opt_ins.renormalize:
        raise OptionError("renormalize=True divides the rows of (n, k) probs by their sums; these are 1-D.")
    values, snapped = check_unit_interval(values, _NAME, source)
    notes = [snap_note(_NAME, snapped, len(values))] if snapped else []
    if opt_ins.clip is not None:
        eps = check_clip(opt_ins.clip, n_classes=2, smallest=float(np.finfo(np.float64).eps) / 2)
        clipped = np.clip(values.astype(np.float64), eps, 1 - eps)
        moved = int((clipped != values).sum())
        notes.append(f"clip={eps:g}: {moved:,} of {len(values):,} values moved into [eps, 1 - eps]")
        values = clipped
    return Forecast(probs=frozen(values), notes=tuple(notes))


def snap_note(array_name: str, count: int, n_rows: int) -> str:
    """Say how many values stood a rounding error outside [0, 1]."""
    return f"{array_name}: {count:,} of {n_rows:,} values within {SNAP} eps outside [0, 1] count as 0 or 1"


def _matrix(values: Array, opt_ins: OptIns, rows: Intake) -> Forecast:
    """(n, k) probabilities: read only if ragged, for an opt-in, or while the numbers of the rows left out are known."""
    source, n_choices, tolerance = rows.source, rows.n_choices, _allowed(values, opt_ins, rows)
    notes = []
    if opt_ins.renormalize or opt_ins.clip is not None or source.rows is not None or n_choices is not None:
        slack = SNAP * float(np.finfo(values.dtype).eps)
        allowed = np.inf if opt_ins.renormalize else tolerance
        check_matrix("probs", values, array_name=_NAME, source=source, tolerance=allowed, slack=slack)
    if opt_ins.renormalize:
        values, note = _renormalized(values, tolerance, n_choices, source)
        notes.append(note)
    if opt_ins.clip is not None:
        smallest, most = float(np.finfo(values.dtype).smallest_subnormal), values.shape[1]
        values, note = _clipped(values, check_clip(opt_ins.clip, n_classes=most, smallest=smallest), n_choices)
        notes.append(note)
    return Forecast(probs=frozen(values), sum_tolerance=opt_ins.sum_tolerance, notes=tuple(notes))


def _renormalized(
    values: Array, tolerance: float | Floats, n_choices: Integers | None, source: Source
) -> tuple[Array, str]:
    """Every row divided by its sum."""
    out, off, worst = np.empty(values.shape, dtype=values.dtype), 0, 0.0
    allowed = np.broadcast_to(tolerance, len(values))
    for start, block in row_blocks(values):
        here = slice(start, start + len(block))
        block = block.clip(min=0.0)
        sums = _row_sums(block, None if n_choices is None else n_choices[here])
        if not sums.all():
            refuse_zero_sum(_NAME, start + int(np.argmin(sums)), source)
        out[here] = block / sums[:, None]
        deviation = abs(sums - 1)
        off += int((deviation > allowed[here]).sum())
        worst = max(worst, float(deviation.max()))
    by = float(np.max(tolerance, initial=0.0))
    return out, f"renormalize: {off:,} of {len(values):,} rows were off by more than {by:.2g} (at most {worst:.2g})"


def _clipped(values: Array, eps: float, n_choices: Integers | None) -> tuple[Array, str]:
    """Values raised to eps where below it, and each such row divided by its new sum."""
    out, raised, touched = np.array(values), 0, 0
    for start, block in row_blocks(values):
        low, counts = block < eps, None
        if n_choices is not None:
            counts = n_choices[start : start + len(block)]
            low &= ~beyond(counts, values.shape[1])
        rows = low.any(axis=1)
        raised += int(low.sum())
        touched += int(rows.sum())
        lifted = np.where(low, eps, block)[rows]
        sums = _row_sums(lifted, None if counts is None else counts[rows])
        out[start : start + len(block)][rows] = lifted / sums[:, None]
    return out, f"clip={eps:g}: {raised:,} values in {touched:,} of {len(values):,} rows raised to {eps:g}"


def _row_sums(block: Floats, n_choices: Integers | None) -> Floats:
    """Sum of each row, (rows,); of ragged rows over their own choices, in the order that a row of so many has."""
    if n_choices is None:
        return np.asarray(block.sum(axis=1))
    sums = np.empty(len(block))
    for count in np.unique(n_choices):
        rows = np.flatnonzero(n_choices == count)
        sums[rows] = block[rows, :count].sum(axis=1)
    return sums


def _from_logarithms(values: Array, opt_ins: OptIns, rows: Intake) -> Forecast:
    """Log-probabilities, which are logits whose softmax sums to 1 already; 1-D: log-odds."""
    source = rows.source
    if values.ndim == 1:
        check_certain_log_probs(values, _NAME, source)
        return Forecast(
            logits=frozen(_log_odds(values.astype(np.float64))),
            notes=(f"log_probs: {len(values):,} rows kept as log-odds",),
        )
    tolerance = _allowed(values, opt_ins, rows)
    check_matrix("log_probs", values, array_name=_NAME, source=source, tolerance=tolerance, slack=0.0)
    return Forecast(logits=frozen(values), notes=(f"log_probs: {len(values):,} rows kept as logits",))


def _log_odds(log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The difference log p - log(1 - p), each branch where it keeps its digits (Maechler 2012, log1mexp)."""
    near_one = log_p > -np.log(2)
    with np.errstate(divide="ignore"):
        return log_p - np.where(near_one, np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p)))
