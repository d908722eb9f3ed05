"""Drawing on one axes: a reliability diagram, or overlaid curves. Floor 4."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calibkit.plots.diagram import draw_corp, draw_curves, draw_frame, draw_gap_bars, draw_points
from calibkit.plots.headings import Heading, diagram_heading, draw_heading, width_in_points
from calibkit.plots.page import BOTTOM, LEFT, POINT, RIGHT, TOP, new_page, place_axes
from calibkit.plots.style import COLUMN
from calibkit.plots.words import Subject, check_one_view, subjects_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from calibkit.comparison import Comparison
    from calibkit.corp import CorpCurve
    from calibkit.plots.words import Drawable


def plot_reliability(
    drawable: "Drawable | Sequence[Drawable]", *, corp: "CorpCurve | None" = None, ax: "Axes | None" = None
) -> "Axes":
    """Reliability diagram: the accuracy of each bin against its mean confidence.

    Bars run from the diagonal to the accuracy: below it the model is over-confident, above it under-confident.
    Whiskers are the intervals of the bins. A bin without rows shows nothing. With `corp` the curve without bins and
    its band take the place of the bars.

    Parameters
    ----------
    drawable : Evaluation, ReliabilityCurve, or a sequence of them
        One is drawn with gap bars; several are overlaid as lines with a legend above the axes.
    corp : CorpCurve, optional
        The curve of the same rows without bins, from `corp_curve`; for one model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a figure of one column's width is made, outside pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        The given or the new axes; ``ax.figure`` holds it.

    Raises
    ------
    OptionError
        If there is nothing to draw, if curves of different views were to share axes, or in view "classwise": its curves
        are one a class.

    Notes
    -----
    Whiskers and band are different things, and the caption says which is which: a whisker is the interval of a bin's
    accuracy, around what was seen; a band of consistency is where a calibrated model's curve would be seen, around the
    diagonal; a confidence band is where the true curve is, and the diagonal is in colour where it is outside.
    A bar's length is the gap |accuracy - confidence| of its bin, whose mean weighted by rows is ECE.
    Nothing is computed here, no rcParams are set, and ``show`` is never called.

    References
    ----------
    DeGroot and Fienberg 1983, "The comparison and evaluation of forecasters"; Guo et al. 2017, figure 1.

    Examples
    --------
    >>> import calibkit as ck
    >>> curve = ck.reliability_curve([0, 1, 1, 0, 1], [0.2, 0.7, 0.9, 0.6, 0.8], n_bins=5)
    >>> ax = plot_reliability(curve)
    >>> ax.get_xlabel()
    'P(y = 1)'
    """
    subjects = subjects_of(drawable, corp)
    ax = _new_axes(subjects) if ax is None else ax
    draw_reliability(ax, subjects)
    return ax


def plot_comparison(comparison: "Comparison", *, ax: "Axes | None" = None) -> "Axes":
    """Overlaid reliability curves of all models of a comparison, as saved.

    Parameters
    ----------
    comparison : Comparison
        From `compare`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a figure of one column's width is made, outside pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        The given or the new axes; the legend holds each model's ECE with its interval.

    Notes
    -----
    `comparison_figure` also shows the curves after temperature scaling, and the differences.

    Examples
    --------
    >>> import calibkit as ck
    >>> labels = [0, 1, 1, 0, 1, 0, 1]
    >>> hard = ck.Predictions.from_probs(labels, [0.02, 0.97, 0.99, 0.96, 0.9, 0.1, 0.04])
    >>> soft = ck.Predictions.from_probs(labels, [0.2, 0.8, 0.9, 0.7, 0.8, 0.3, 0.2])
    >>> plot_comparison(ck.compare({"hard": hard, "soft": soft})).get_ylabel()
    'observed frequency'
    """
    return plot_reliability(list(comparison.models.values()), ax=ax)


def draw_reliability(ax: "Axes", subjects: Sequence[Subject]) -> None:
    """One model with gap bars, or several as lines, under the heading."""
    check_one_view(subjects)
    draw_marks(ax, subjects, diagram_heading(subjects, width_in_points(ax)))


def draw_marks(ax: "Axes", subjects: Sequence[Subject], heading: Heading, *, lift: float = 0.0) -> None:
    """Frame, bars or lines, and a given heading."""
    one = len(subjects) == 1
    draw_frame(ax, subjects[0].curve.view, coloured=one)
    handles: list[Artist] = []
    if one and subjects[0].corp is not None:
        draw_corp(ax, subjects[0].corp)
        draw_points(ax, subjects[0].curve)
    elif one:
        draw_gap_bars(ax, subjects[0].curve)
        draw_points(ax, subjects[0].curve)
    else:
        handles = draw_curves(ax, subjects)
    draw_heading(ax, heading, handles, lift=lift)


def _new_axes(subjects: Sequence[Subject]) -> "Axes":
    """Axes as wide as a column, on a page with just the room that their heading needs."""
    side = COLUMN - LEFT - RIGHT
    top = TOP + diagram_heading(subjects, side / POINT).height * POINT
    return place_axes(new_page(COLUMN, top + side + BOTTOM), LEFT, top, side, side)
