"""A figure of one or several models: each diagram with its histogram under it. Floor 4."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calibkit.plots.axes import draw_reliability
from calibkit.plots.diagram import draw_histograms, draw_means
from calibkit.plots.headings import diagram_heading, width_in_points
from calibkit.plots.page import BOTTOM, LEFT, POINT, RIGHT, TOP, new_page, place_axes
from calibkit.plots.style import COLUMN, PAGE
from calibkit.plots.words import Subject, subjects_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from calibkit.corp import CorpCurve
    from calibkit.evaluation import Evaluation

GUTTER, HISTOGRAM, STRIP, MEANS = 0.5, 0.55, 0.12, 0.16  # inches
_MEANS_SIDE_BY_SIDE = 2.5
LABEL = 28.0  # points from the axes to their label


def reliability_figure(
    evaluations: "Evaluation | Sequence[Evaluation]",
    *,
    overlay: bool = False,
    corp: "CorpCurve | Sequence[CorpCurve] | None" = None,
) -> "Figure":
    """Reliability diagrams with the confidence histogram under each, one column a model.

    Parameters
    ----------
    evaluations : Evaluation or sequence of Evaluation
        Models; of one view, if they are overlaid.
    overlay : bool, default False
        Draw all models on one diagram, as lines, instead.
    corp : CorpCurve or sequence of CorpCurve, optional
        Each model's curve without bins, from `corp_curve`: drawn with its band in place of the gap bars.

    Returns
    -------
    matplotlib.figure.Figure
        As wide as a paper's column (one model, overlay) or page (several, up to three in a row); text is 7 points
        or larger. `save_figure` writes it.

    Raises
    ------
    OptionError
        If there is nothing to draw, if models of different views were to share axes, if curves without bins were to be
        overlaid, or in view "classwise": its curves are one a class.

    Notes
    -----
    The histogram marks accuracy (solid) and mean confidence (dotted): their distance is the gap. In view
    "positive" these are base rate and mean P(y = 1).

    Examples
    --------
    >>> import calibkit as ck
    >>> predictions = ck.Predictions.from_probs([0, 1, 1, 0, 1], [0.2, 0.7, 0.9, 0.6, 0.8])
    >>> figure = reliability_figure(ck.evaluate(predictions))
    >>> len(figure.axes)
    2
    """
    subjects = subjects_of(evaluations, corp)
    overlay = overlay and len(subjects) > 1
    groups = [subjects] if overlay else [[subject] for subject in subjects]
    columns = 2 if len(groups) == 4 else min(len(groups), 3)
    width = COLUMN if columns == 1 else PAGE
    # Models of one view share the labels of the first column.
    one_view = len({subject.curve.view for subject in subjects}) == 1
    gutter = GUTTER if one_view else LEFT + RIGHT
    side = (width - LEFT - RIGHT - (columns - 1) * gutter) / columns
    rows = [groups[start : start + columns] for start in range(0, len(groups), columns)]
    headings = [max(diagram_heading(group, side / POINT).height for group in row) * POINT for row in rows]
    below = (STRIP if overlay else _between(side)) + HISTOGRAM + BOTTOM
    figure = new_page(width, sum(TOP + heading + side + below for heading in headings))
    top = 0.0
    for row, heading in zip(rows, headings, strict=True):
        top += TOP + heading
        for column, group in enumerate(row):
            diagram, histogram = _draw_cell(figure, group, LEFT + column * (side + gutter), top, side)
            if column > 0 and one_view:
                diagram.set_ylabel("")
                histogram.set_ylabel("")
        top += side + below
    return figure


def _draw_cell(figure: "Figure", group: Sequence[Subject], left: float, top: float, side: float) -> "tuple[Axes, Axes]":
    """A diagram and its histogram, sharing the horizontal axis."""
    diagram = place_axes(figure, left, top, side, side)
    below = top + side + (_between(side) if len(group) == 1 else STRIP)
    histogram = place_axes(figure, left, below, side, HISTOGRAM)
    draw_reliability(diagram, group)
    draw_histograms(histogram, group)
    if len(group) == 1:
        draw_means(histogram, group[0], columns=_mean_columns(side))
    share_horizontal(diagram, histogram)
    return diagram, histogram


def _mean_columns(side: float) -> int:
    """Whether the two means fit beside each other in the histogram's legend."""
    return 2 if side >= _MEANS_SIDE_BY_SIDE else 1


def _between(side: float) -> float:
    """Room for that legend, between diagram and histogram."""
    return 0.12 + 2 * MEANS / _mean_columns(side)


def share_horizontal(diagram: "Axes", histogram: "Axes") -> None:
    """The histogram carries the horizontal axis of both."""
    histogram.sharex(diagram)
    diagram.set_xlabel("")
    diagram.tick_params(labelbottom=False)
    # Tick labels differ in length; the axis labels still stand in one line.
    for ax in (diagram, histogram):
        ax.yaxis.set_label_coords(-LABEL / width_in_points(ax), 0.5)
