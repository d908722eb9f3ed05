"""How much to smooth at each step of training: constant, annealed, or in two stages. Annex: training."""

import math
from dataclasses import dataclass
from typing import Literal

from calibkit._checks import check_choice, check_int
from calibkit.errors import OptionError
from calibkit.training.tensors import check_smoothing

Kind = Literal["constant", "linear", "cosine", "two-stage"]
KINDS: tuple[Kind, ...] = ("constant", "linear", "cosine", "two-stage")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingSchedule:
    """The smoothing of each step: a number in [0, 1) that follows a written rule.

    A step is whatever is counted, from 0: an epoch (as `fit` does, whose first epoch asks for step 0) or a batch.
    Make one with `constant`, `linear`, `cosine` or `two_stage`; the fields are what these record. It is asked with
    ``schedule(step)``.

    Parameters
    ----------
    kind : {"constant", "linear", "cosine", "two-stage"}
        The rule.
    start : float
        Smoothing of step 0, in [0, 1).
    end : float
        Smoothing from step ``length`` on, in [0, 1).
    length : int
        Steps from ``start`` to ``end``: at least 1, but 0 for a constant.

    Raises
    ------
    OptionError
        If a smoothing is not in [0, 1), ``length`` is not a whole number of at least 1 (a constant: not 0), or a
        constant has two values.

    Notes
    -----
    With ``t = min(step / length, 1)``: linear ``(1 - t) start + t end``; cosine
    ``end + (start - end) (1 + cos(pi t)) / 2``; two-stage ``start`` before step ``length`` and ``end`` from it on.
    The smoothed loss has another floor at every smoothing (`smoothed_loss_floor`): compare epochs by the loss without
    smoothing.

    References
    ----------
    Xu, Xu, Qian, Li, Jin (2020), Towards understanding label smoothing: TSLA, the two-stage rule. No paper stands
    behind the linear and the cosine one here.

    Examples
    --------
    >>> schedule = SmoothingSchedule.linear(0.2, 0.0, 4)
    >>> [round(schedule(epoch), 3) for epoch in range(6)]
    [0.2, 0.15, 0.1, 0.05, 0.0, 0.0]
    >>> SmoothingSchedule(**schedule.to_dict()) == schedule
    True
    """

    kind: Kind
    start: float
    end: float
    length: int

    def __post_init__(self) -> None:
        constant = check_choice(self.kind, KINDS, option="kind") == "constant"
        for option in ("start", "end"):
            object.__setattr__(self, option, check_smoothing(getattr(self, option)))
        length = check_int(self.length, option="length", low=0 if constant else 1, high=0 if constant else None)
        object.__setattr__(self, "length", length)
        if constant and self.start != self.end:
            raise OptionError(f"start={self.start}, end={self.end}: a constant schedule has one value.")

    @classmethod
    def constant(cls, smoothing: float) -> "SmoothingSchedule":
        """The same smoothing at every step.

        Examples
        --------
        >>> SmoothingSchedule.constant(0.1)(1_000)
        0.1
        """
        return cls(kind="constant", start=smoothing, end=smoothing, length=0)

    @classmethod
    def linear(cls, start: float, end: float, length: int) -> "SmoothingSchedule":
        """On a straight line from ``start`` at step 0 to ``end`` at step ``length``, and ``end`` from there on.

        Examples
        --------
        >>> [SmoothingSchedule.linear(0.0, 0.1, 2)(step) for step in range(4)]
        [0.0, 0.05, 0.1, 0.1]
        """
        return cls(kind="linear", start=start, end=end, length=length)

    @classmethod
    def cosine(cls, start: float, end: float, length: int) -> "SmoothingSchedule":
        """On half a cosine, flat at both ends, from ``start`` at step 0 to ``end`` at step ``length``.

        Examples
        --------
        >>> [round(SmoothingSchedule.cosine(0.2, 0.0, 4)(step), 3) for step in range(5)]
        [0.2, 0.171, 0.1, 0.029, 0.0]
        """
        return cls(kind="cosine", start=start, end=end, length=length)

    @classmethod
    def two_stage(cls, smoothing: float, switch: int) -> "SmoothingSchedule":
        """TSLA: ``smoothing`` before step ``switch``, hard labels from it on.

        Examples
        --------
        >>> [SmoothingSchedule.two_stage(0.1, 2)(epoch) for epoch in range(4)]
        [0.1, 0.1, 0.0, 0.0]
        """
        return cls(kind="two-stage", start=smoothing, end=0.0, length=switch)

    def at(self, step: int) -> float:
        """Smoothing of a step, counted from 0; past the end it stays what it was there.

        Raises
        ------
        OptionError
            If step is not a whole number of at least 0.
        """
        step = check_int(step, option="step", low=0)
        if step >= self.length:
            return self.end
        share = _share_of_start(self.kind, step / self.length)
        value = share * self.start + (1 - share) * self.end
        # Rounding must not leave [0, 1).
        return min(max(value, min(self.start, self.end)), max(self.start, self.end))

    def __call__(self, step: int) -> float:
        """As `at`."""
        return self.at(step)

    def to_dict(self) -> dict[str, str | float | int]:
        """The fields, as plain JSON; ``SmoothingSchedule(**record)`` is the schedule again."""
        return {"kind": self.kind, "start": self.start, "end": self.end, "length": self.length}


def _share_of_start(kind: Kind, t: float) -> float:
    """What is left of the starting value after a part t in [0, 1) of the way."""
    if kind == "linear":
        return 1 - t
    return (1 + math.cos(math.pi * t)) / 2 if kind == "cosine" else 1.0
