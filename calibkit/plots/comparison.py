"""The figure of a comparison: curves as saved and after scaling, differences, and the verdict. Floor 4."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from calibkit.plots.axes import draw_marks
from calibkit.plots.diagram import draw_histograms
from calibkit.plots.figures import HISTOGRAM, STRIP, share_horizontal
from calibkit.plots.forest import SHOWN, Row, draw_forest, forest_rows, label_width
from calibkit.plots.headings import Heading, Line, folded, legends_of, overlay_labels
from calibkit.plots.page import BOTTOM, LEFT, POINT, RIGHT, TOP, new_page, place_axes, place_text
from calibkit.plots.style import (
    COLUMN,
    INK,
    LARGE,
    PAGE,
    SMALL,
    TEXT,
    TITLE,
    drawable,
    minus_signs,
    model_style,
    shown_name,
)
from calibkit.plots.words import Subject, shared_conventions, subjects_of
from calibkit.render import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from calibkit.comparison import Comparison

_GUTTER = 0.3  # inches
_FOREST_ROW, _FOREST_TITLE, _FOREST_TICKS = 0.3, 0.2, 0.3
_FOREST_GUTTER = 0.24
_VERDICT_LINES = 11
_LEADING = 1.35


class Section(Protocol):
    """A part of the page, drawn from its upper edge downwards."""

    @property
    def height(self) -> float:
        """Height in inches."""

    def draw(self, figure: "Figure", top: float) -> None:
        """Draw at so many inches from the page's upper edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines of text over the whole width."""

    lines: tuple[Line, ...]
    after: float = 0.0

    @property
    def height(self) -> float:
        """Height in inches."""
        return sum(line.size for line in self.lines) * _LEADING * POINT + self.after

    def draw(self, figure: "Figure", top: float) -> None:
        """Draw the lines one under another."""
        for line in self.lines:
            place_text(figure, RIGHT, top, line.text, size=line.size, colour=line.colour or INK, weight=line.weight)
            top += line.size * _LEADING * POINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """Diagrams side by side on the same axes, each with a title, a legend, and a strip of histograms."""

    titles: tuple[str, ...]
    subjects: tuple[tuple[Subject, ...], ...]
    headings: tuple[Heading, ...]
    side: float

    @property
    def _above(self) -> float:
        return max(heading.height for heading in self.headings) * POINT + TITLE * _LEADING * POINT

    @property
    def height(self) -> float:
        """Height in inches."""
        return self._above + self.side + STRIP + HISTOGRAM + BOTTOM

    def draw(self, figure: "Figure", top: float) -> None:
        """Draw every panel; the scales are shared."""
        strips = []
        for number, subjects in enumerate(self.subjects):
            left = LEFT + number * (self.side + _GUTTER)
            place_text(figure, left, top, self.titles[number], size=TITLE, colour=INK, weight="bold")
            diagram = place_axes(figure, left, top + self._above, self.side, self.side)
            strip_top = top + self._above + self.side + STRIP
            strips.append(place_axes(figure, left, strip_top, self.side, HISTOGRAM))
            lift = max(heading.height for heading in self.headings) - self.headings[number].height
            _draw_panel(diagram, strips[-1], subjects, self.headings[number], lift=lift)
            if number > 0:
                for ax in (diagram, strips[-1]):
                    ax.set_ylabel("")
                    ax.tick_params(labelleft=False)
        for strip, other in pairwise(strips):
            other.sharey(strip)
        strips[0].set_ylim(0, max(1.0, *(strip.dataLim.ymax for strip in strips)) * 1.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Differences of the models from the reference, one panel a metric."""

    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: int

    @property
    def _panel(self) -> float:
        return len(self.rows) * _FOREST_ROW + 0.12

    @property
    def _line(self) -> float:
        return _FOREST_TITLE + self._panel + _FOREST_TICKS

    @property
    def height(self) -> float:
        """Height in inches."""
        return -(-len(self.metrics) // self.columns) * self._line

    def draw(self, figure: "Figure", top: float) -> None:
        """Draw the panels in rows."""
        page = float(figure.get_size_inches()[0])
        labels = label_width(self.rows) * POINT
        room = page - 2 * RIGHT - labels - (self.columns - 1) * _FOREST_GUTTER
        width = room / self.columns
        for number, metric in enumerate(self.metrics):
            line, column = divmod(number, self.columns)
            left = RIGHT + labels + column * (width + _FOREST_GUTTER)
            panel_top = top + line * self._line + _FOREST_TITLE
            ax = place_axes(figure, left, panel_top, width, self._panel)
            draw_forest(ax, metric, self.rows, labelled=column == 0)


def comparison_figure(comparison: "Comparison") -> "Figure":
    """Reliability as saved and after temperature scaling, the differences with intervals, and the verdict.

    Parameters
    ----------
    comparison : Comparison
        From `compare`.

    Returns
    -------
    matplotlib.figure.Figure
        As wide as a paper's page (a column where nothing was scaled); text is 7 points or larger.

    Notes
    -----
    Each difference is model minus reference on the same rows, on its own scale; on the shaded side the model is
    better. Filled markers are as saved, hollow ones after scaling. In view "classwise", which has a curve for each
    class, the curves are of view "top-label", and the line under the title says so.

    Examples
    --------
    >>> import calibkit as ck
    >>> labels = [0, 1, 1, 0, 1, 0, 1]
    >>> hard = ck.Predictions.from_probs(labels, [0.02, 0.97, 0.99, 0.96, 0.9, 0.1, 0.04])
    >>> soft = ck.Predictions.from_probs(labels, [0.2, 0.8, 0.9, 0.7, 0.8, 0.3, 0.2])
    >>> figure = comparison_figure(ck.compare({"hard": hard, "soft": soft}))
    >>> round(float(figure.get_figwidth()), 2)
    6.75
    """
    page = COLUMN if comparison.scaled is None else PAGE
    sections = list(_sections(comparison, page))
    figure = new_page(page, TOP + sum(section.height for section in sections) + TOP)
    top = TOP
    for section in sections:
        section.draw(figure, top)
        top += section.height
    return figure


def _sections(comparison: "Comparison", page: float) -> Iterator[Section]:
    width = (page - 2 * RIGHT) / POINT
    panels = _panels(comparison, page)
    subjects = [subject for panel in panels.subjects for subject in panel]
    title = Line(text=_title(comparison), size=LARGE, weight="bold", colour=INK)
    yield Lines(lines=(*folded(title, width), *folded(Line(text=shared_conventions(subjects)), width)), after=0.1)
    yield panels
    rows = forest_rows(comparison, {name: model_style(place)[0] for place, name in enumerate(comparison.models)})
    metrics = tuple(metric for metric in SHOWN if rows and all(metric in row.differences for row in rows))
    if metrics:
        yield Lines(lines=tuple(_forest_title(comparison, width)))
        yield Forest(metrics=metrics, rows=tuple(rows), columns=4 if page == PAGE else 2)
    if comparison.verdict:
        yield Lines(lines=tuple(_verdict(comparison.verdict, width)), after=0.02)


def _title(comparison: "Comparison") -> str:
    names = [shown_name(name) for name in comparison.models]
    if len(names) == 1:
        return f"{names[0]}: calibration before and after temperature scaling"
    whom = f"{names[0]} and {names[1]}" if len(names) == 2 else f"{len(names)} models"
    return f"Calibration of {whom} on the same {next(iter(comparison.models.values())).n:,} rows"


def _panels(comparison: "Comparison", page: float) -> Panels:
    """As saved and, where there is scaling, after it, with T in the legend."""
    saved = tuple(subjects_of(list(comparison.models.values())))
    groups, titles, said = [saved], ["As saved"], [[""] * len(saved)]
    if comparison.scaled is not None:
        scaled = comparison.scaled.models
        groups.append(tuple(subjects_of(list(scaled.values()))))
        titles.append("After temperature scaling")
        said.append([f"T = {format_number(comparison.temperature[name].value)}" for name in scaled])
    side = (page - LEFT - RIGHT - (len(groups) - 1) * _GUTTER) / len(groups)
    labels = [overlay_labels(subjects, prefixes) for subjects, prefixes in zip(groups, said, strict=True)]
    headings = legends_of(labels, side / POINT)
    if len(saved) == 1:
        texts = (
            ", ".join(filter(None, (said[0], subjects[0].error))) for subjects, said in zip(groups, said, strict=True)
        )
        headings = [Heading(labels=(), lines=(Line(text=text, size=TEXT, colour=None),)) for text in texts]
    return Panels(titles=tuple(titles), subjects=tuple(groups), headings=tuple(headings), side=side)


def _draw_panel(diagram: "Axes", strip: "Axes", subjects: Sequence[Subject], heading: Heading, *, lift: float) -> None:
    """Curves, or the gap bars of a single model, over a strip of histograms."""
    draw_marks(diagram, subjects, heading, lift=lift)
    draw_histograms(strip, subjects)
    share_horizontal(diagram, strip)


def _forest_title(comparison: "Comparison", width: float) -> Iterator[Line]:
    reference = shown_name(comparison.reference)
    others = [shown_name(name) for name in comparison.differences]
    model = others[0] if len(others) == 1 else "the model"
    yield Line(text="", size=SMALL)
    yield from folded(
        Line(text=f"Difference: {model} \N{MINUS SIGN} {reference}", size=TITLE, weight="bold", colour=INK), width
    )
    filled = "filled: as saved, hollow: after scaling; " if comparison.scaled is not None else ""
    yield from folded(Line(text=f"{filled}on the shaded side {model} is better"), width)


def _verdict(sentences: Sequence[str], width: float) -> Iterator[Line]:
    """The first sentences of the verdict, as many as have room, never cut within one."""
    lines = [Line(text="", size=SMALL), Line(text="Verdict", size=TITLE, weight="bold", colour=INK)]
    for number, sentence in enumerate(sentences):
        more = folded(Line(text=minus_signs(drawable(sentence)), size=TEXT, colour=INK), width)
        if len(lines) > 2 and len(lines) + len(more) > _VERDICT_LINES:
            left = len(sentences) - number
            lines.append(Line(text=f"and {left} more in the printed comparison", size=SMALL))
            break
        lines += more
    return iter(lines)
