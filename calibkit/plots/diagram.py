"""The marks of a reliability diagram: diagonal, gap bars, whiskers, curves, histogram. Floor 4."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from calibkit.plots.style import (
    BAND,
    BLUE,
    GREEN,
    GREY,
    INK,
    OVER_FILL,
    PALE,
    SMALL,
    TEXT,
    TRUE_BAND,
    UNDER_FILL,
    VERMILION,
    model_style,
)
from calibkit.plots.words import Subject, axis_words, side_words
from calibkit.render import format_number

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from calibkit._numerics import Floats
    from calibkit.calibration_error import ReliabilityCurve
    from calibkit.corp import CorpCurve
    from calibkit.honest_band import CalibrationBand

_MANY_BINS = 40


def draw_frame(ax: "Axes", view: str, *, coloured: bool) -> None:
    """Square axes from 0 to 1, the diagonal, and the names of its two sides."""
    from matplotlib.patheffects import withStroke

    across, upward = axis_words(view)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel(across, fontsize=TEXT)
    ax.set_ylabel(upward, fontsize=TEXT)
    quiet_axes(ax)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.plot([0, 1], [0, 1], linestyle=(0, (4, 3)), linewidth=0.9, color=GREY, marker="", zorder=1, label="_diagonal")
    below, above = side_words(view)
    sides = ((0.97, 0.03, below, VERMILION, "right", "bottom"), (0.03, 0.97, above, BLUE, "left", "top"))
    for x, y, word, colour, horizontal, vertical in sides:
        ink = colour if coloured else GREY
        text = ax.text(x, y, word, fontsize=SMALL, color=ink, ha=horizontal, va=vertical, style="italic", zorder=5)
        text.set_path_effects([withStroke(linewidth=2.0, foreground="white")])


def quiet_axes(ax: "Axes") -> None:
    """Thin grey spines on two sides, small ticks outward, no grid."""
    ax.set_facecolor("white")
    ax.grid(visible=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=GREY, linewidth=0.7)
    ax.tick_params(labelsize=SMALL, color=GREY, width=0.7, length=3, direction="out")


def draw_gap_bars(ax: "Axes", curve: "ReliabilityCurve") -> None:
    """A bar from the diagonal to the accuracy of each bin that has rows: what ECE adds up."""
    filled = curve.count > 0
    gap = np.where(filled, curve.accuracy - curve.confidence, 0.0)
    edge_width = 0.7 if len(curve.count) <= _MANY_BINS else 0.0
    # Direction is told three times: by the side of the diagonal, by colour, and by the slant of the hatching.
    for chosen, fill, ink, hatch in (
        (filled & (gap < 0), OVER_FILL, VERMILION, "////"),
        (filled & (gap >= 0), UNDER_FILL, BLUE, "\\\\\\\\"),
    ):
        ax.bar(
            curve.edges[:-1][chosen],
            gap[chosen],
            width=np.diff(curve.edges)[chosen],
            bottom=curve.confidence[chosen],
            align="edge",
            facecolor=fill,
            edgecolor=ink,
            linewidth=edge_width,
            hatch=hatch,
            zorder=2,
        )


def draw_points(ax: "Axes", curve: "ReliabilityCurve") -> None:
    """Accuracy of each bin at its mean confidence, with its interval; nothing where there are no rows."""
    size = 3.5 if len(curve.count) <= _MANY_BINS else 2.0
    draw_whiskers(ax, curve, INK, 0.9 if len(curve.count) <= _MANY_BINS else 0.5)
    filled = curve.count > 0
    ax.plot(
        curve.confidence[filled],
        curve.accuracy[filled],
        linestyle="",
        marker="o",
        markersize=size,
        color=INK,
        clip_on=False,
        zorder=4,
    )


def draw_corp(ax: "Axes", curve: "CorpCurve") -> None:
    """The curve without bins, flat over each block, and its band behind it: of calibrated models, or of the truth."""
    from calibkit.corp import ConsistencyBand

    band = curve.band
    if isinstance(band, ConsistencyBand):
        _draw_band(ax, band.forecast, band.low, band.high, fill=BAND, ink=GREY)
    elif band is not None:
        _draw_true_band(ax, band)
    ends = np.column_stack((curve.first, curve.last)).ravel()
    rates = np.repeat(curve.rate, 2)
    ax.plot(ends, rates, color=GREEN, linewidth=1.4, marker="", clip_on=False, solid_joinstyle="round", zorder=3.5)


def _draw_true_band(ax: "Axes", band: "CalibrationBand") -> None:
    """The steps of a confidence band from 0 to 1, and in colour the part of the diagonal that it excludes."""
    # Left and right of each step: low holds on to the next forecast, high back to the one before.
    across = np.concatenate(([0.0], np.repeat(band.forecast, 2), [1.0]))
    low, high = np.repeat(band.low, 2), np.repeat(band.high, 2)
    low, high = np.concatenate(([0.0, 0.0], low)), np.concatenate((high, [1.0, 1.0]))
    _draw_band(ax, across, low, high, fill=TRUE_BAND, ink=GREEN)
    for regions, colour in ((band.too_high, VERMILION), (band.too_low, BLUE)):
        for region in regions:
            ax.plot(region, region, color=colour, linewidth=2.2, marker="", solid_capstyle="butt", zorder=1.5)


def _draw_band(ax: "Axes", across: "Floats", low: "Floats", high: "Floats", *, fill: str, ink: str) -> None:
    """A band that is filled between its ends."""
    ax.fill_between(across, low, high, facecolor=fill, edgecolor="none", linewidth=0, zorder=0.5)
    for end in (low, high):
        ax.plot(across, end, color=ink, linewidth=0.4, marker="", zorder=0.6)


def draw_whiskers(
    ax: "Axes", curve: "ReliabilityCurve", colour: str, width: float, *, alpha: "Floats | None" = None
) -> None:
    """The interval of each bin that has rows, if there are intervals."""
    filled = curve.count > 0
    if curve.low is None or curve.high is None or not filled.any():
        return
    ax.vlines(
        curve.confidence[filled],
        curve.low[filled],
        curve.high[filled],
        colors=colour,
        linewidth=width,
        alpha=None if alpha is None else alpha[filled],
        clip_on=False,
        zorder=3,
    )


def draw_curves(ax: "Axes", subjects: Sequence[Subject]) -> list["Artist"]:
    """Overlaid curves, each in its own colour and marker, broken where a bin has no rows; returns legend handles."""
    from matplotlib.lines import Line2D

    handles: list[Artist] = []
    for number, subject in enumerate(subjects):
        colour, marker = model_style(number)
        _draw_curve(ax, subject.curve, colour, marker)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.3))
    return handles


def _draw_curve(ax: "Axes", curve: "ReliabilityCurve", colour: str, marker: str) -> None:
    """One curve; bins with few rows are drawn small and faint, since they jump about by chance."""
    from matplotlib.collections import LineCollection

    filled = curve.count > 0
    evidence = np.sqrt(curve.count / max(1, curve.count.max()))  # (b,)
    draw_whiskers(ax, curve, colour, 0.9, alpha=0.35 + 0.4 * evidence)
    points = np.column_stack((curve.confidence, curve.accuracy))  # (b, 2)
    joined = filled[:-1] & filled[1:]
    if joined.any():  # matplotlib cannot take an empty list of opacities
        lines = LineCollection(
            list(np.stack((points[:-1][joined], points[1:][joined]), axis=1)),
            colors=colour,
            linewidths=1.3,
            alpha=0.45 + 0.55 * np.minimum(evidence[:-1], evidence[1:])[joined],
            clip_on=False,
            zorder=3,
        )
        ax.add_collection(lines)
    ax.scatter(
        curve.confidence[filled],
        curve.accuracy[filled],
        s=9 + 23 * evidence[filled],
        marker=marker,
        color=colour,
        edgecolors="white",
        linewidths=0.4,
        clip_on=False,
        zorder=4,
    )


def draw_histograms(ax: "Axes", subjects: Sequence[Subject]) -> None:
    """Rows per bin: bars for one model, outlines for several."""
    if len(subjects) == 1:
        _draw_histogram(ax, subjects[0].curve)
    else:
        for number, subject in enumerate(subjects):
            colour, _ = model_style(number)
            ax.stairs(subject.curve.count, subject.curve.edges, color=colour, linewidth=1.0, zorder=2)
    _count_axis(ax, subjects[0].curve.view)


def _draw_histogram(ax: "Axes", curve: "ReliabilityCurve") -> None:
    ax.bar(
        curve.edges[:-1],
        curve.count,
        width=np.diff(curve.edges),
        align="edge",
        facecolor=PALE,
        edgecolor="white",
        linewidth=0.5 if len(curve.count) <= _MANY_BINS else 0.0,
        zorder=2,
    )


def draw_means(ax: "Axes", subject: Subject, *, columns: int) -> None:
    """Mean confidence and accuracy on the histogram, whose distance is the gap, and their legend above it."""
    from matplotlib.lines import Line2D

    if subject.evaluation is None or subject.curve.view not in ("top-label", "positive"):
        return
    positive = subject.curve.view == "positive"
    metrics = subject.evaluation.metrics
    truth, title = ("base_rate", "base rate") if positive else ("accuracy", "accuracy")
    means: tuple[tuple[float, Literal["-", ":"], str], ...] = (
        (metrics[truth].value, "-", title),
        (metrics["mean_confidence"].value, ":", "mean P(y = 1)" if positive else "mean confidence"),
    )
    handles = []
    for value, style, word in means:
        ax.axvline(value, color=INK, linewidth=1.2, linestyle=style, zorder=3)
        label = f"{word} {format_number(value)}"
        handles.append(Line2D([], [], color=INK, linewidth=1.2, linestyle=style, label=label))
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        fontsize=SMALL,
        labelcolor=INK,
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.3,
        labelspacing=0.2,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.2,
    )


def _count_axis(ax: "Axes", view: str) -> None:
    from matplotlib.ticker import MaxNLocator

    quiet_axes(ax)
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(axis_words(view)[0], fontsize=TEXT)
    ax.set_ylabel("pairs" if view == "flattened" else "rows", fontsize=TEXT)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    ax.yaxis.set_major_formatter(lambda rows, _: f"{rows:,.0f}" if rows < 10_000 else f"{rows / 1000:,.10g}k")
