"""Placing axes and text on a page by inches, so that nothing overlaps whatever its size. Floor 4."""

from typing import TYPE_CHECKING

from calibkit.plots.style import INK, Weight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINT = 1 / 72  # inches
LEFT, RIGHT, TOP, BOTTOM = 0.58, 0.14, 0.1, 0.42  # inches around the axes


def new_page(width: float, height: float) -> "Figure":
    """A white figure that pyplot does not know: no window, nothing to close."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def place_axes(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes whose left and upper edges are so many inches from the page's."""
    page_width, page_height = figure.get_size_inches()
    bottom = page_height - top - height
    ax = figure.add_axes((left / page_width, bottom / page_height, width / page_width, height / page_height))
    # The page is white whatever the reader's style, so its letters are dark.
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(INK)
        axis.set_tick_params(labelcolor=INK)
    return ax


def place_text(
    figure: "Figure", left: float, top: float, text: str, *, size: float, colour: str, weight: Weight = "normal"
) -> None:
    """One line of text whose upper left corner is so many inches from the page's."""
    page_width, page_height = figure.get_size_inches()
    figure.text(
        left / page_width,
        1 - (top + 0.8 * size * POINT) / page_height,
        text,
        fontsize=size,
        fontweight=weight,
        color=colour,
        ha="left",
        va="baseline",
        parse_math=False,
    )
