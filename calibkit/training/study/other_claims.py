"""The claims that need more than the grid: two classes, other regularisation, cost, small models, floor. Annex."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from calibkit.render import format_number
from calibkit.training.study.cells import ALL_CLASSES, LINEAR, MLP, NO_REGULARISATION, REGULARISATIONS, SMALL
from calibkit.training.study.claims import (
    SMOOTHED,
    accuracy_claim,
    calibration_claim,
    confidence_claim,
    harmed_claim,
    range_claim,
    ranking_claim,
    robust_claim,
    scaled_claim,
)
from calibkit.training.study.effects import Effect, level_of
from calibkit.training.study.grid import TEXTBOOK
from calibkit.training.study.lines import (
    TWO_CLASSES,
    Claim,
    Evidence,
    Judge,
    Line,
    compared,
    falls,
    hardly_changes,
    hardly_falls,
    hardly_rises,
    noise_words,
    rises,
)
from calibkit.training.study.rules import OPPOSITE, SUPPORTED, at_most

COST_MARGIN = 0.05
# Rounding of a mean of float32 losses.
FLOOR_SLACK = 1e-5
NETWORK_WORDS = {LINEAR: "logistic regression", SMALL: "one hidden layer of 16", MLP: "the full network"}
GAINS: tuple[tuple[str, Judge], ...] = (
    ("accuracy", hardly_rises),
    ("ece", hardly_falls),
    ("scaled_nll", hardly_falls),
)


def binary_claim(evidence: Evidence) -> Claim:
    """Claim 6."""
    classes = TWO_CLASSES if evidence.pairs else ALL_CLASSES
    has_two = bool(evidence.pairs) or evidence.n_classes == 2
    lines: list[Line] = []
    for noise in evidence.noises[:2]:
        for measure in ("accuracy", "gap", "ece", "nll"):
            if has_two:
                lines.append(_binary_line(evidence, measure, noise, classes, "two classes"))
            if evidence.n_classes > 2:
                lines.append(_binary_line(evidence, measure, noise, ALL_CLASSES, f"all {evidence.n_classes} classes"))
    if evidence.pairs:
        remark = f"Two-class problems: classes {', '.join(evidence.pairs)}; a seed's value is the mean over them."
    else:
        remark = "The data have two classes." if has_two else "No two classes have rows enough: not measured."
    return Claim(
        number="6",
        text="Smoothing has little effect where there are two classes.",
        columns=SMOOTHED,
        lines=tuple(lines),
        remarks=(remark,),
    )


def _binary_line(evidence: Evidence, measure: str, noise: float, classes: str, say: str) -> Line:
    decides = noise == 0 and say == "two classes"
    return evidence.smoothing_line(measure, hardly_changes, noise=noise, classes=classes, decides=decides, say=say)


def together_claim(evidence: Evidence) -> Claim:
    """Claim 8, together."""
    lines = [
        evidence.smoothing_line(
            measure, judge, noise=noise, regularisation=name, say=_with(name), decides=decides and noise == 0
        )
        for noise in evidence.noises[:2]
        for measure, judge, decides in (("scaled_nll", falls, True), ("accuracy", rises, False), ("ece", falls, False))
        for name in REGULARISATIONS
        if name != NO_REGULARISATION
    ]
    return Claim(
        number="8a",
        text="Smoothing helps on top of dropout, weight decay and augmentation: NLL after scaling is lower with each "
        "of them, and with all three.",
        columns=SMOOTHED,
        lines=tuple(lines),
    )


def _with(regularisation: str) -> str:
    return f"with {regularisation}"


def against_claim(evidence: Evidence) -> Claim:
    """Claim 8, against."""
    lines = [
        compared(
            f"smoothing {TEXTBOOK:g} alone against {name} alone, {noise_words(noise)}",
            measure,
            evidence.of(measure, noise=noise, regularisation=name),
            evidence.of(measure, noise=noise, smoothing=TEXTBOOK),
            judge,
            decides=decides and noise == 0,
        )
        for noise in evidence.noises[:2]
        for measure, judge, decides in (("scaled_nll", falls, True), ("accuracy", rises, False), ("ece", falls, False))
        for name in REGULARISATIONS
        if name not in (NO_REGULARISATION, "all three")
    ]
    return Claim(
        number="8b",
        text="Smoothing alone does more than dropout, weight decay or augmentation alone: NLL after scaling is lower "
        "than with each of them.",
        columns=("the other", "smoothed"),
        lines=tuple(lines),
    )


def cost_claim(evidence: Evidence) -> Claim:
    """Claim 9."""
    lines = tuple(_cost_line(name, ratios) for name, ratios in evidence.cost.items())
    return Claim(
        number="9",
        text=f"Smoothing costs next to nothing: less than {100 * COST_MARGIN:g} % more time and memory in training.",
        columns=("hard labels", "smoothed"),
        lines=lines,
        remarks=(
            "Ratios of smoothed to hard, timed in turn in one process after all other runs were done; seeds are "
            "repeats here. The time is that of fit, which for its history also computes the hard-label NLL of "
            "smoothed batches. Memory is the peak of what a step allocates, counted, so it has no spread.",
        ),
    )


def _cost_line(name: str, ratios: Sequence[float]) -> Line:
    extra = np.asarray(ratios, dtype=np.float64) - 1
    counted = len(extra) == 1
    found = (
        Effect(value=float(extra[0]), low=float(extra[0]), high=float(extra[0]), n=1)
        if counted
        else level_of(dict(enumerate(extra.tolist())))
    )
    one = Effect(value=1.0, low=None, high=None, n=found.n)
    return Line(
        setting=name,
        measure="ratio",
        before=one,
        after=Effect(value=1 + found.value, low=None, high=None, n=found.n),
        difference=found,
        verdict=at_most(found, sign=1, margin=COST_MARGIN),
        decides=name.startswith("training"),
    )


def small_claim(evidence: Evidence) -> Claim:
    """Claim 10."""
    lines = [
        evidence.smoothing_line(
            measure,
            judge,
            noise=noise,
            network=network,
            say=NETWORK_WORDS[network],
            decides=noise == 0 and network != MLP,
        )
        for noise in evidence.noises[:2]
        for measure, judge in GAINS
        for network in (LINEAR, SMALL, MLP)
    ]
    return Claim(
        number="10",
        text="Small or already calibrated models gain little: accuracy, ECE as trained and NLL after scaling get "
        "better by less than the margin.",
        columns=SMOOTHED,
        lines=tuple(lines),
        remarks=tuple(_own_gaps(evidence)),
    )


def _own_gaps(evidence: Evidence) -> Iterator[str]:
    """How calibrated these models are without smoothing."""
    for network, words in NETWORK_WORDS.items():
        ece, gap = (level_of(evidence.of(measure, network=network)).value for measure in ("ece", "gap"))
        yield (
            f"Hard labels, {words}: ECE {format_number(ece)}, confidence - accuracy {format_number(gap, signed=True)}."
        )


def floor_claim(evidence: Evidence) -> Claim:
    """Claim 12: arithmetic, so one run below the floor would refute it."""
    smoothed = [row for row in evidence.rows if row["smoothing"] > 0 and row["least_loss_above_floor"] is not None]
    lines = tuple(_floor_line(evidence, e) for e in evidence.smoothings if e > 0)
    if not smoothed:
        return Claim(number="12", text=FLOOR_TEXT, columns=FLOOR_COLUMNS, lines=())
    least = min(float(row["least_loss_above_floor"]) for row in smoothed)
    n_runs = sum(row["labels"] == "clean" for row in smoothed)
    return Claim(
        number="12",
        text=FLOOR_TEXT,
        columns=FLOOR_COLUMNS,
        lines=lines,
        remarks=(
            f"Over every epoch of all {n_runs:,} smoothed runs the training loss came no nearer to its floor than "
            f"{format_number(least)} nats.",
        ),
    )


FLOOR_TEXT = "The smoothed training loss cannot go below its floor, the entropy of the smoothed target."
FLOOR_COLUMNS = ("floor", "last loss")


def _floor_line(evidence: Evidence, smoothing: float) -> Line:
    """The floor against the loss of the last epoch; the least distance of any epoch and seed decides."""
    floor = level_of(evidence.of("train_loss_floor", smoothing=smoothing))
    last = level_of(evidence.of("train_loss", smoothing=smoothing))
    least = evidence.of("least_loss_above_floor", smoothing=smoothing)
    nearest = min(least.values(), default=math.nan)
    return Line(
        setting=f"e = {smoothing:g}, no label noise, nearest epoch",
        measure="training loss",
        before=floor,
        after=last,
        difference=Effect(value=nearest, low=nearest, high=nearest, n=len(least)),
        verdict=SUPPORTED if nearest >= -FLOOR_SLACK else OPPOSITE,
        decides=True,
    )


CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (
    accuracy_claim,
    confidence_claim,
    calibration_claim,
    scaled_claim,
    robust_claim,
    harmed_claim,
    binary_claim,
    range_claim,
    together_claim,
    against_claim,
    cost_claim,
    small_claim,
    ranking_claim,
    floor_claim,
)
