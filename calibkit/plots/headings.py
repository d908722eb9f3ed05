"""The text above a diagram: name, error and conventions, or a legend of several models. Floor 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibkit.plots.style import GREY, SMALL, TEXT, TITLE, Weight, fold, text_width, unbroken
from calibkit.plots.words import Subject, shared_conventions

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

_LEADING = 1.25
_ABOVE = 5.0
_HANDLE = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text above a diagram."""

    text: str
    size: float = SMALL
    weight: Weight = "normal"
    colour: str | None = GREY  # None: that of the axes' labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A legend's entry: whose curve, and its error."""

    name: str
    error: str

    def parts(self, *, broken: bool) -> tuple[str, ...]:
        """In one line or in two."""
        if not self.error:
            return (self.name,)
        return (self.name, self.error) if broken else (f"{self.name}: {self.error}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What stands above a diagram of a given width: legend labels (folded) over lines of text."""

    labels: tuple[tuple[str, ...], ...]
    lines: tuple[Line, ...]

    @property
    def height(self) -> float:
        """Height in points."""
        return _ABOVE + _LEADING * (TEXT * sum(map(len, self.labels)) + sum(line.size for line in self.lines))


def diagram_heading(subjects: Sequence[Subject], width: float) -> Heading:
    """Name, ECE and conventions of one model, or a legend of several, folded to so many points."""
    caption = shared_conventions(subjects)
    if len(subjects) > 1:
        bins = [unbroken(subject.bins) for subject in subjects]
        labels = overlay_labels(subjects, bins if len(set(bins)) > 1 else None)
        return legend_of(labels, width, caption=caption)
    texts = (
        Line(text=subjects[0].name, size=TITLE, weight="bold", colour=None),
        Line(text=subjects[0].error, size=TEXT, colour=None),
        Line(text=caption),
    )
    return Heading(labels=(), lines=tuple(line for text in texts for line in folded(text, width)))


def legend_of(labels: Sequence[Label], width: float, *, caption: str = "", broken: bool | None = None) -> Heading:
    """Labels of several models with a caption under them; name and error on a line each if some do not fit."""
    broken = not _all_fit(labels, width) if broken is None else broken
    entries = tuple(
        tuple(line for part in label.parts(broken=broken) for line in fold(part, width - _HANDLE, size=TEXT))
        for label in labels
    )
    return Heading(labels=entries, lines=tuple(folded(Line(text=caption), width)))


def legends_of(panels: Sequence[Sequence[Label]], width: float) -> list[Heading]:
    """Legends of panels side by side, broken alike."""
    broken = not all(_all_fit(labels, width) for labels in panels)
    return [legend_of(labels, width, broken=broken) for labels in panels]


def overlay_labels(subjects: Sequence[Subject], prefixes: Sequence[str] | None = None) -> list[Label]:
    """One label a model: its name, what is said of it, its ECE."""
    said = [""] * len(subjects) if prefixes is None else prefixes
    return [
        Label(name=", ".join(filter(None, (subject.name or f"curve {number}", prefix))), error=subject.error)
        for number, (subject, prefix) in enumerate(zip(subjects, said, strict=True), start=1)
    ]


def _all_fit(labels: Sequence[Label], width: float) -> bool:
    return all(text_width(part, size=TEXT) <= width - _HANDLE for label in labels for part in label.parts(broken=False))


def width_in_points(ax: "Axes") -> float:
    """Width of the axes."""
    return float(ax.get_window_extent().width) * 72 / float(ax.figure.dpi)


def draw_heading(ax: "Axes", heading: Heading, handles: Sequence["Artist"] = (), *, lift: float = 0.0) -> None:
    """Write a heading over the axes, out of the data's way, so many points higher than need be."""
    height = _ABOVE + lift
    for line in reversed(heading.lines):
        _write_above(ax, line, height)
        height += line.size * _LEADING
    if heading.labels:
        _place_legend(ax, handles, heading.labels, height)


def folded(line: Line, width: float) -> list[Line]:
    """A line as several of at most so many points; none where there is no text."""
    texts = fold(line.text, width, size=line.size, weight=line.weight) if line.text else []
    return [Line(text=text, size=line.size, weight=line.weight, colour=line.colour) for text in texts]


def _ink(ax: "Axes") -> "ColorType":
    """The colour in which the reader's style writes beside axes: dark on white, light on dark."""
    return ax.xaxis.label.get_color()


def _write_above(ax: "Axes", line: Line, height: float) -> None:
    ax.annotate(
        line.text,
        (0, 1),
        xytext=(0, height),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=line.size,
        fontweight=line.weight,
        color=_ink(ax) if line.colour is None else line.colour,
        ha="left",
        va="baseline",
        annotation_clip=False,
        parse_math=False,
    )


def _place_legend(ax: "Axes", handles: Sequence["Artist"], labels: Sequence[Sequence[str]], height: float) -> None:
    from matplotlib.transforms import ScaledTranslation

    above = ax.transAxes + ScaledTranslation(0, (height - 2) / 72, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        handles,
        [str(number) for number in range(len(handles))],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=above,
        fontsize=TEXT,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.8,
        handletextpad=0.6,
        labelspacing=0.25,
        labelcolor=_ink(ax),
    )
    # Set afterwards: matplotlib hides labels that begin with an underscore, and reads $ as mathematics.
    for text, lines in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text("\n".join(lines))
