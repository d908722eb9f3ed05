"""Differences with their intervals, one panel a metric, each on its own scale. Floor 4."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibkit.metrics import METRICS
from calibkit.plots.diagram import quiet_axes
from calibkit.plots.style import GREY, INK, SHADE, SMALL, TEXT, minus_signs, shown_name, text_width
from calibkit.render import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from calibkit.comparison import Comparison
    from calibkit.results import Difference

SHOWN = ("ece", "nll", "brier", "accuracy")
_UNIT = {"nll": " (nats)"}
_NAME = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the forest: a model, as saved or after scaling, with its differences by metric."""

    label: str
    colour: str
    scaled: bool
    differences: "Mapping[str, Difference]"


def forest_rows(comparison: "Comparison", colours: Mapping[str, str]) -> list[Row]:
    """Every model but the reference, as saved and, where there is scaling, after it."""
    rows = []
    for name, before in comparison.differences.items():
        whose = f"{shown_name(name, limit=_NAME)}\n" if len(comparison.differences) > 1 else ""
        rows.append(Row(label=f"{whose}as saved", colour=colours[name], scaled=False, differences=before))
        if comparison.scaled is not None:
            after = comparison.scaled.differences[name]
            rows.append(Row(label=f"{whose}scaled", colour=colours[name], scaled=True, differences=after))
    return rows


def label_width(rows: Sequence[Row]) -> float:
    """Room for the rows' labels, in points."""
    return max(text_width(line, size=SMALL) for row in rows for line in row.label.splitlines()) + 8


def draw_forest(ax: "Axes", metric: str, rows: Sequence[Row], *, labelled: bool) -> None:
    """One metric's differences, first row on top; the shaded side is the one where the model is better."""
    from matplotlib.ticker import MaxNLocator

    found = [(row, row.differences[metric]) for row in rows]
    quiet_axes(ax)
    ax.spines["left"].set_visible(False)
    low, high = _limits([difference for _, difference in found])
    ax.set_xlim(low, high)
    ax.set_ylim(len(rows) - 0.4, -0.75)
    better = (0, high) if METRICS[metric].orientation == "larger is better" else (low, 0)
    ax.axvspan(*better, facecolor=SHADE, edgecolor="none", zorder=0)
    ax.axvline(0, color=GREY, linewidth=0.9, zorder=1)
    for place, (row, difference) in enumerate(found):
        _draw_difference(ax, place, row, difference)
    ax.set_yticks(range(len(rows)) if labelled else [], [row.label for row in rows] if labelled else [])
    ax.tick_params(axis="y", length=0, pad=4)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_formatter(lambda end, _: minus_signs(f"{end:.4g}"))
    ax.set_title(
        METRICS[metric].title + _UNIT.get(metric, ""), fontsize=TEXT, fontweight="bold", color=INK, loc="left", pad=3
    )


def _draw_difference(ax: "Axes", place: int, row: Row, difference: "Difference") -> None:
    """Interval and marker (hollow after scaling) of one difference, its value printed above, beside zero."""
    if difference.low is not None and difference.high is not None:
        ends = (difference.low, difference.high)
        ax.plot(ends, (place, place), color=row.colour, linewidth=1.5, marker="|", markersize=7, zorder=3)
    if math.isfinite(difference.value):
        ax.plot(
            difference.value,
            place,
            marker="o",
            markersize=4.5,
            markerfacecolor="white" if row.scaled else row.colour,
            markeredgecolor=row.colour,
            markeredgewidth=1.2,
            zorder=4,
        )
    low, high = ax.get_xlim()
    left = -low >= high
    ax.annotate(
        minus_signs(format_number(difference.value, signed=True)),
        (0, place),
        xytext=(-3 if left else 3, 4),
        textcoords="offset points",
        fontsize=SMALL,
        color=INK,
        ha="right" if left else "left",
        va="bottom",
        zorder=5,
    )


def _limits(differences: Sequence["Difference"]) -> tuple[float, float]:
    """Limits that hold every interval and zero, with room for the printed values."""
    ends = [end for d in differences for end in (d.value, d.low, d.high) if end is not None and math.isfinite(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.25 * (high - low) or 1.0
    return low - room, high + room
