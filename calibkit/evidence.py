"""What a judgement rests on, be it rows or sums over them, and what is told of it in notes. Floor 3."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from calibkit.binning import BinTable
from calibkit.bracket import BinnedRows
from calibkit.intervals import MeanInterval
from calibkit.tally import Facts
from calibkit.views import View

FEW_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the rows are, whatever is known of each of them.

    Attributes
    ----------
    name : str
        The model.
    n : int
        Rows.
    n_classes : int or None
        Classes, where known.
    kind : str
        What the forecast is: "logits", "probs", "top1" or "correct".
    is_binary : bool
        Whether it is one number a row, for class 1 of two.
    weighted, grouped : bool
        Whether rows have weights, or dependence between them.
    view : str
        Which binary question the calibration metrics answer.
    choices : (int, int) or None
        Of ragged rows, the smallest and the largest number of choices; (0, 0) of none.
    """

    name: str
    n: int
    n_classes: int | None
    kind: str
    is_binary: bool
    weighted: bool
    grouped: bool
    view: View
    choices: tuple[int, int] | None = None

    @property
    def many_pairs(self) -> bool:
        """Whether the view has k pairs a row."""
        return self.view in ("classwise", "flattened")


class Evidence(Protocol):
    """What a judgement rests on: the rows themselves, or sums over them."""

    @property
    def about(self) -> About:
        """What the rows are."""

    @property
    def tables(self) -> Sequence[BinTable]:
        """The bin tables of the view."""

    @property
    def bracketed(self) -> BinnedRows | BinTable:
        """What the interval of an ECE of one pair a row rests on."""

    @property
    def means(self) -> tuple[str, ...]:
        """Names of the metrics that are means of one score a row, in the order of the registry."""

    @property
    def rankings(self) -> Collection[str]:
        """Names of the rankings that were asked for: means of pseudo-values."""

    @property
    def effective(self) -> float:
        """Rows of equal weight that the rows are worth."""

    def mean(self, name: str) -> float:
        """Mean of a score."""

    def interval(self, name: str, *, level: float) -> MeanInterval:
        """The t interval of a mean, or of the "gap", forecast minus outcome."""


def what_was_seen(about: About, facts: Facts, *, effective: float) -> Iterator[str]:
    """What a reader should know, from counts and extremes of the rows."""
    yield from _what_may_be_a_mistake(about, facts)
    yield from _of_choices(about, facts)
    noun = "class" if about.choices is None else "choice"
    if facts.n == 0:
        yield "No rows: no metric is defined, each is nan."
    elif facts.n > 1 and facts.first_label is not None and facts.first_label == facts.last_label:
        if about.choices is None:
            yield f"Every label is class {facts.first_label}: the other classes never occur."
        else:
            yield f"Every label is choice {facts.first_label}: does the place of an answer tell that it is right?"
    if 0 < facts.n < FEW_ROWS:
        yield f"Fewer than {FEW_ROWS} rows: intervals of skewed scores cover less than they say."
    if facts.n_ties:
        chosen = "class 0" if about.is_binary else f"the lowest {noun} index"
        yield f"{facts.n_ties:,} rows tie for the most probable {noun}; {chosen} counts as predicted."
    if facts.n_zero:
        yield f"{facts.n_zero:,} rows give their true {noun} p = 0: NLL is inf."
    if facts.max_sum_deviation:
        yield f"Row sums deviate from 1 by at most {facts.max_sum_deviation:.1e}; nothing was renormalised."
    if facts.n_snapped:
        yield f"{facts.n_snapped:,} values within 4 eps outside [0, 1] count as 0 or 1."
    if about.is_binary and about.view == "top-label":
        yield "Folded view: confidence is max(p, 1 - p) of a 1-D forecast."
    if about.weighted:
        yield f"Weighted rows: intervals use n_eff = {effective:,.1f}."


def _of_choices(about: About, facts: Facts) -> Iterator[str]:
    """What is not the same for choices as for classes."""
    if about.choices is None or facts.n == 0:
        return
    yield "Ragged rows: each is scored over its own choices, which are not classes."
    if facts.n_single:
        yield f"{facts.n_single:,} rows have one choice alone: certain and right, whatever the model."


def _what_may_be_a_mistake(about: About, facts: Facts) -> Iterator[str]:
    """Input that is allowed and rarely meant: said first, and only from what no honest model shows."""
    if facts.n_single < facts.n and facts.like_probs:
        yield "These logits are rows in [0, 1] that sum to 1: if they are probabilities, read them as probs."
    k = about.n_classes
    if facts.first_label is None or k is None or k < 3 or facts.n < k:
        return
    if facts.first_label > 0 and facts.n_correct / facts.n < 1 / k:
        yield "Label 0 never occurs and accuracy is below chance: do the labels count from 1 (label_base=1)?"
