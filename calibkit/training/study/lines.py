"""A study's rows seen by condition, and the lines of evidence that claims are made of. Annex: training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from calibkit.training.study.cells import ALL_CLASSES, CROSS_ENTROPY, MLP, NO_REGULARISATION
from calibkit.training.study.effects import Effect, Series, change, effect, level_of, series
from calibkit.training.study.grid import TEXTBOOK
from calibkit.training.study.one_run import CLEAN, NOISY
from calibkit.training.study.rules import Verdict, all_of, at_most, directed, little

# What a measure is called, and the smallest change of it that is worth a word.
TITLES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "gap": "confidence - accuracy",
    "ece": "ECE",
    "nll": "NLL",
    "brier": "Brier score",
    "aurc": "AURC",
    "confidence_auroc": "AUROC of confidence",
    "scaled_ece": "ECE after scaling",
    "scaled_nll": "NLL after scaling",
    "scaled_brier": "Brier score after scaling",
    "scaled_aurc": "AURC after scaling",
    "scaled_confidence_auroc": "AUROC after scaling",
}
MARGINS: Mapping[str, float] = {
    "accuracy": 0.01,
    "gap": 0.01,
    "ece": 0.01,
    "nll": 0.02,
    "brier": 0.01,
    "aurc": 0.005,
    "confidence_auroc": 0.01,
}
TWO_CLASSES = "two"

Judge = Callable[[Effect, float], Verdict]


def rises(found: Effect, margin: float) -> Verdict:
    """Judge a claim that the measure rises."""
    return directed(found, sign=1, margin=margin)


def falls(found: Effect, margin: float) -> Verdict:
    """Judge a claim that the measure falls."""
    return directed(found, sign=-1, margin=margin)


def hardly_changes(found: Effect, margin: float) -> Verdict:
    """Judge a claim that the measure hardly changes."""
    return little(found, margin=margin)


def hardly_rises(found: Effect, margin: float) -> Verdict:
    """Judge a claim that the measure rises by less than the margin, if at all."""
    return at_most(found, sign=1, margin=margin)


def hardly_falls(found: Effect, margin: float) -> Verdict:
    """Judge a claim that the measure falls by less than the margin, if at all."""
    return at_most(found, sign=-1, margin=margin)


def margin_of(measure: str) -> float:
    """The margin of a measure, the same before and after scaling."""
    return MARGINS[measure.removeprefix("scaled_")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One piece of evidence: a measure without and with what is claimed about, and what its difference says."""

    setting: str
    measure: str
    before: Effect
    after: Effect
    difference: Effect
    verdict: Verdict
    decides: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim with its evidence; its verdict is that of the lines that decide."""

    number: str
    text: str
    columns: tuple[str, str]
    lines: tuple[Line, ...]
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What the deciding lines say together."""
        return all_of([line.verdict for line in self.lines if line.decides])

    @property
    def deciding(self) -> tuple[Line, ...]:
        """The lines that decide."""
        return tuple(line for line in self.lines if line.decides)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All rows of one data set, and what its grid was."""

    data: str
    n_rows: int
    n_classes: int
    rows: Sequence[Mapping[str, Any]]
    smoothings: tuple[float, ...]
    noises: tuple[float, ...]
    pairs: tuple[str, ...]
    shared: Mapping[str, Any]
    cost: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len({row["seed"] for row in self.rows})

    @property
    def flipped(self) -> tuple[float, ...]:
        """The fractions of flipped labels above 0."""
        return tuple(noise for noise in self.noises if noise > 0)

    def of(self, measure: str, *, labels: str = CLEAN, classes: str = ALL_CLASSES, **cell: object) -> dict[int, float]:
        """Values by seed; what is not said is as in the plain run with hard labels and all classes."""
        plain = {
            "noise": 0.0,
            "smoothing": 0.0,
            "loss": CROSS_ENTROPY,
            "network": MLP,
            "regularisation": NO_REGULARISATION,
        }
        if classes == TWO_CLASSES:
            rows = [row for row in self.rows if row["classes"] != ALL_CLASSES]
        else:
            rows = [row for row in self.rows if row["classes"] == classes]
        return series(rows, measure, labels=labels, **{**plain, **cell})

    def smoothing_line(
        self,
        measure: str,
        judge: Judge,
        *,
        smoothing: float = TEXTBOOK,
        decides: bool = False,
        say: str = "",
        **cell: Any,
    ) -> Line:
        """Smoothed against hard labels, all else equal."""
        setting = f"e = {smoothing:g}, {noise_words(cell.get('noise', 0.0), cell.get('labels', CLEAN))}"
        get = partial(self.of, measure, **cell)
        return compared(
            f"{say}, {setting}" if say else setting,
            measure,
            get(smoothing=0.0),
            get(smoothing=smoothing),
            judge,
            decides=decides,
        )


def compared(setting: str, measure: str, before: Series, after: Series, judge: Judge, *, decides: bool) -> Line:
    """A line from the values by seed of a measure without and with something."""
    both = change(after, before)
    difference = effect(after, before)
    return Line(
        setting=setting,
        measure=measure,
        before=level_of({seed: before[seed] for seed in both}),
        after=level_of({seed: after[seed] for seed in both}),
        difference=difference,
        verdict=judge(difference, margin_of(measure)),
        decides=decides,
    )


def noise_words(noise: float, labels: str = CLEAN) -> str:
    """Which labels were flipped, in words.

    Examples
    --------
    >>> noise_words(0.0), noise_words(0.2), noise_words(0.2, "noisy")
    ('no label noise', '20 % noise', '20 % noise, also in the test labels')
    """
    if noise == 0:
        return "no label noise"
    return f"{100 * noise:g} % noise" + (", also in the test labels" if labels == NOISY else "")
