"""What a picture says in words: names, errors with intervals, conventions, axes. Floor 4."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from calibkit.errors import InputFormatError, OptionError
from calibkit.plots.style import minus_signs, shown_name, unbroken
from calibkit.render import bins_phrase, format_interval, format_number, format_percent

if TYPE_CHECKING:
    from calibkit.calibration_error import ReliabilityCurve
    from calibkit.corp import CorpCurve
    from calibkit.evaluation import Evaluation
    from calibkit.results import Estimate

    Drawable: TypeAlias = Evaluation | ReliabilityCurve

_AXES = {
    "top-label": ("confidence", "accuracy"),
    "positive": ("P(y = 1)", "observed frequency"),
    "flattened": ("class probability", "observed frequency"),
}
_SIDES = {"top-label": ("over-confident", "under-confident")}
_OTHER_SIDES = ("forecast too high", "forecast too low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One curve and what is known about it, and the curve without bins where it is drawn too."""

    curve: "ReliabilityCurve"
    evaluation: "Evaluation | None"
    corp: "CorpCurve | None" = None

    @property
    def name(self) -> str:
        """The model's name; empty for a bare curve."""
        return "" if self.evaluation is None else shown_name(self.evaluation.name)

    @property
    def error(self) -> str:
        """ECE with its interval; the view is named where the curve shows another one."""
        if self.evaluation is None:
            return ""
        view = "" if self.evaluation.view == self.curve.view else f" ({self.evaluation.view})"
        return f"ECE{view} {estimate_words(self.evaluation.metrics['ece'])}"

    @property
    def conventions(self) -> tuple[str, ...]:
        """View, bins, rows, whiskers; what line and band are, where there are some."""
        view = f"{self.curve.view} view"
        if self.evaluation is not None and self.evaluation.view != self.curve.view:
            view = f"curves of the {view}"
        if self.evaluation is None:
            return view, self.bins, f"n = {int(self.curve.count.sum()):,}", *self._without_bins
        level = self.evaluation.settings.get("confidence_level")
        # Beside a band a whisker must say whose interval it is.
        of_what = "intervals" if self.corp is None else "intervals of the bins"
        whiskers = () if level is None else (f"whiskers: {format_percent(float(str(level)))} {of_what}",)
        return view, self.bins, f"n = {self.evaluation.n:,}", *whiskers, *self._without_bins

    @property
    def bins(self) -> str:
        """How many bins, and of what kind where that is known."""
        return f"{len(self.curve.count)} bins" if self.evaluation is None else bins_phrase(self.evaluation.settings)

    @property
    def _without_bins(self) -> tuple[str, ...]:
        """What line and band are."""
        from calibkit.corp import ConsistencyBand

        if self.corp is None:
            return ()
        line, band = "line: event rates without bins (CORP)", self.corp.band
        if band is None:
            return (line,)
        if isinstance(band, ConsistencyBand):
            return line, f"band: {format_percent(band.level)} of calibrated models"
        rejected = ("diagonal in colour: calibration rejected",) if len(band.rejects) else ()
        return line, f"band: the true curve, {format_percent(band.level)} confidence", *rejected


def subjects_of(
    drawable: "Drawable | Sequence[Drawable]", corp: "CorpCurve | Sequence[CorpCurve] | None" = None
) -> list[Subject]:
    """One or several evaluations or curves, each with its curve without bins if those are given."""
    items = list(drawable) if isinstance(drawable, Sequence) else [drawable]
    if not items:
        raise OptionError("there is nothing to plot: give at least one evaluation or reliability curve")
    subjects = [_subject(item) for item in items]
    if corp is None:
        return subjects
    curves = list(corp) if isinstance(corp, Sequence) else [corp]
    if len(curves) != len(subjects):
        raise OptionError(f"corp has {len(curves)} curves for {len(subjects)} models: give one a model, in their order")
    return [_with_corp(subject, curve) for subject, curve in zip(subjects, curves, strict=True)]


def _with_corp(subject: Subject, corp: "CorpCurve") -> Subject:
    if corp.view != subject.curve.view:
        raise OptionError(
            f"corp has view {corp.view!r} and the diagram {subject.curve.view!r}, so their axes do not mean the same: "
            f"make the curve with view={subject.curve.view!r}, or evaluate in view {corp.view!r}"
        )
    return replace(subject, corp=corp)


def refuse_classwise(view: str | None) -> None:
    """Raise for the view whose error no single diagram shows."""
    if view == "classwise":
        raise OptionError(
            'view="classwise" has a diagram for each class, not one for all: draw view="flattened", all pairs of '
            'row and class in one diagram, or view="top-label", the predicted class.'
        )


def check_one_view(subjects: Sequence[Subject]) -> None:
    """Refuse what axes cannot show: curves of another view than the error's or each other's, bands over each other."""
    for subject in subjects:
        refuse_classwise(None if subject.evaluation is None else subject.evaluation.view)
    if len(subjects) > 1 and any(subject.corp is not None for subject in subjects):
        raise OptionError("curves without bins cannot be overlaid, for their bands would hide each other: drop overlay")
    views = list(dict.fromkeys(subject.curve.view for subject in subjects))
    if len(views) > 1:
        raise OptionError(
            f"curves of different views ({', '.join(views)}) cannot share axes: draw them side by side, "
            "or evaluate all in one view"
        )


def _subject(item: "Drawable") -> Subject:
    from calibkit.calibration_error import ReliabilityCurve
    from calibkit.evaluation import Evaluation

    if isinstance(item, ReliabilityCurve):
        return Subject(curve=item, evaluation=None)
    if isinstance(item, Evaluation):
        return Subject(curve=item.reliability, evaluation=item)
    raise InputFormatError(
        f"a reliability diagram is drawn of an Evaluation or a ReliabilityCurve, not of {type(item).__name__}: "
        "pass evaluate(predictions), or reliability_curve(labels, probs)."
    )


def shared_conventions(subjects: Sequence[Subject]) -> str:
    """The conventions that all subjects have in common, in one line."""
    first, *others = (subject.conventions for subject in subjects)
    shared = [part for part in first if all(part in other for other in others)]
    if others:
        shared.append("larger markers: more rows")
    return ", ".join(map(unbroken, shared))


def estimate_words(estimate: "Estimate") -> str:
    """A value and, where there is one, its interval."""
    value = format_number(estimate.value)
    if estimate.low is None or estimate.high is None:
        return minus_signs(value)
    return minus_signs(f"{value} {format_interval(estimate.low, estimate.high)}")


def axis_words(view: str) -> tuple[str, str]:
    """Labels of the horizontal and the vertical axis."""
    return _AXES[view]


def side_words(view: str) -> tuple[str, str]:
    """What lies below the diagonal, and what above."""
    return _SIDES.get(view, _OTHER_SIDES)
