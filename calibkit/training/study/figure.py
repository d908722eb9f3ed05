"""Every measure against smoothing, one line a rate of label noise, with seed intervals. Annex: training."""

from collections.abc import Sequence
from math import ceil, exp
from typing import TYPE_CHECKING

from calibkit.plots.page import new_page, place_axes, place_text
from calibkit.plots.style import GREY, INK, LARGE, PAGE, PALE, SMALL, TEXT, drawable, model_style
from calibkit.training.study.effects import Effect, level_of
from calibkit.training.study.lines import TITLES, Evidence, noise_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Name of the column, title of the panel, whether the column is a logarithm.
PANELS: tuple[tuple[str, str, bool], ...] = (
    ("accuracy", "accuracy", False),
    ("gap", "confidence \N{MINUS SIGN} accuracy", False),
    ("log_temperature", "temperature T*", True),
    ("ece", TITLES["ece"], False),
    ("nll", TITLES["nll"], False),
    ("brier", TITLES["brier"], False),
    ("scaled_ece", TITLES["scaled_ece"], False),
    ("scaled_nll", TITLES["scaled_nll"], False),
    ("scaled_brier", TITLES["scaled_brier"], False),
    ("aurc", TITLES["aurc"], False),
    ("confidence_auroc", TITLES["confidence_auroc"], False),
    ("train_accuracy_given_labels", "accuracy on training labels", False),
)
COLUMNS = 3
_LEFT, _GUTTER, _TOP, _HEIGHT, _BETWEEN, _BOTTOM = 0.45, 0.5, 0.78, 1.25, 0.5, 0.45  # inches


def study_figure(evidence: Evidence) -> "Figure":
    """The figure of one data set: a panel a measure, means over seeds with 95 % t intervals."""
    rows = ceil(len(PANELS) / COLUMNS)
    width = (PAGE - _LEFT - 0.1 - (COLUMNS - 1) * _GUTTER) / COLUMNS
    figure = new_page(PAGE, _TOP + rows * _HEIGHT + (rows - 1) * _BETWEEN + _BOTTOM)
    title = f"Smoothing on {evidence.data}: mean of {evidence.seeds} seeds, 95 % t interval"
    place_text(figure, 0.1, 0.1, drawable(title), size=LARGE, colour=INK, weight="bold")
    for number, (measure, words, logarithm) in enumerate(PANELS):
        row, column = divmod(number, COLUMNS)
        ax = place_axes(figure, _LEFT + column * (width + _GUTTER), _TOP + row * (_HEIGHT + _BETWEEN), width, _HEIGHT)
        _draw_panel(ax, evidence, measure, logarithm=logarithm)
        ax.set_title(words, fontsize=TEXT, color=INK, loc="left", pad=4)
        if row == rows - 1:
            ax.set_xlabel("smoothing e", fontsize=TEXT)
    _draw_key(figure, evidence.noises)
    return figure


def _draw_panel(ax: "Axes", evidence: Evidence, measure: str, *, logarithm: bool) -> None:
    """One measure; smoothings stand at equal distances, and rates of noise a little beside each other."""
    places = range(len(evidence.smoothings))
    for number, noise in enumerate(evidence.noises):
        colour, marker = model_style(number)
        shift = 0.12 * (number - (len(evidence.noises) - 1) / 2)
        means = [level_of(evidence.of(measure, noise=noise, smoothing=e)) for e in evidence.smoothings]
        shown = [(place + shift, mean) for place, mean in zip(places, means, strict=True) if mean.n > 0]
        values = [_ends(mean, logarithm=logarithm) for _, mean in shown]
        x = [place for place, _ in shown]
        ax.plot(x, [v[1] for v in values], color=colour, marker=marker, markersize=3.5, linewidth=0.9)
        ax.vlines(x, [v[0] for v in values], [v[2] for v in values], color=colour, linewidth=0.9)
    if measure in ("gap", "log_temperature"):
        ax.axhline(1.0 if logarithm else 0.0, color=GREY, linewidth=0.7, linestyle=(0, (3, 2)))
    ax.set_xticks(list(places), [f"{e:g}" for e in evidence.smoothings])
    ax.tick_params(labelsize=SMALL, length=2)
    ax.grid(axis="y", color=PALE, linewidth=0.5)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _ends(mean: Effect, *, logarithm: bool) -> tuple[float, float, float]:
    """Low end, value and high end, which are the value itself where there is no interval."""
    low = mean.value if mean.low is None else mean.low
    high = mean.value if mean.high is None else mean.high
    return (exp(low), exp(mean.value), exp(high)) if logarithm else (low, mean.value, high)


def _draw_key(figure: "Figure", noises: Sequence[float]) -> None:
    """Which line is which, under the title."""
    from matplotlib.lines import Line2D

    handles = []
    for number, noise in enumerate(noises):
        colour, marker = model_style(number)
        words = noise_words(noise).replace("noise", "of the training labels flipped", 1) if noise else "labels as given"
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=0.9, label=words))
    height = figure.get_figheight()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.26 / height),
        ncols=len(handles),
        frameon=False,
        fontsize=TEXT,
        labelcolor=INK,
    )
