"""Pictures are checked by the marks they hold: heights, ends of whiskers, words, and bytes of saved files."""

import math
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from calibkit.calibration_error import ReliabilityCurve
from calibkit.comparison import Comparison, Scaled
from calibkit.errors import InputFormatError, OptionError, OutputError
from calibkit.evaluation import Evaluation
from calibkit.plots import (
    comparison_figure,
    plot_comparison,
    plot_reliability,
    reliability_figure,
    save_figure,
)
from calibkit.plots.style import MODEL_COLOURS, fold, minus_signs, shown_name, text_width, unbroken
from calibkit.recalibration import Temperature
from calibkit.results import Difference, Estimate

OVER, UNDER = "#d55e00", "#0072b2"

EDGES = np.arange(6) / 5
COUNT = np.array([0, 4, 0, 11, 85])
CONFIDENCE = np.array([np.nan, 0.31, np.nan, 0.72, 0.94])
ACCURACY = np.array([np.nan, 0.5, np.nan, 0.454, 0.882])
LOW = np.array([np.nan, 0.15, np.nan, 0.213, 0.796])
HIGH = np.array([np.nan, 0.85, np.nan, 0.72, 0.935])


def curve(view="top-label", *, shift=0.0, intervals=True):
    ends = {"low": LOW + shift, "high": HIGH + shift} if intervals else {"low": None, "high": None}
    return ReliabilityCurve(
        view=view, edges=EDGES, count=COUNT, confidence=CONFIDENCE, accuracy=ACCURACY + shift, **ends
    )


def evaluation(name="hard", *, view="top-label", level=0.95, shift=0.0):
    ends = {"low": 0.0671, "high": 0.1324} if level is not None else {}
    metrics = {
        "accuracy": Estimate(value=0.8123),
        "base_rate": Estimate(value=0.5717),
        "mean_confidence": Estimate(value=0.8911),
        "ece": Estimate(value=0.0987654, **ends),
    }
    if view != "positive":
        del metrics["base_rate"]
    settings = {"n_bins": 5, "binning": "uniform", "edges": "right", "confidence_level": level}
    return Evaluation(
        name=name,
        n=100,
        n_classes=10,
        view=view,
        settings=MappingProxyType(settings),
        metrics=MappingProxyType(metrics),
        absent={},
        reliability=curve("top-label" if view == "classwise" else view, shift=shift, intervals=level is not None),
        chance=None,
        verdict=None,
        notes=(),
    )


def differences(scale=1.0):
    return {
        "accuracy": Difference(value=0.0041 * scale, low=-0.0023, high=0.0105, p_value=0.21),
        "ece": Difference(value=-0.0284 * scale, low=-0.0331 * scale, high=-0.0242 * scale, p_value=1e-9),
        "nll": Difference(value=-0.2366 * scale, low=-0.268 * scale, high=-0.204 * scale, p_value=1e-9),
        "brier": Difference(value=-0.0121 * scale, low=-0.018 * scale, high=-0.006 * scale, p_value=1e-3),
    }


def temperature(value):
    return Temperature(value=value, low=0.9 * value, high=1.1 * value, log_se=0.05, n=50, source="fitted on 50 rows")


def comparison(
    names=("hard", "smooth"),
    *,
    scaled=True,
    before=None,
    verdict=("hard: Over-confident.", "It is so."),
    view="top-label",
):
    models = {name: evaluation(name, view=view, shift=-0.03 * place) for place, name in enumerate(names)}
    before = {name: differences() for name in names[1:]} if before is None else before
    after = Scaled(models=models, differences={name: differences(0.1) for name in names[1:]})
    return Comparison(
        reference=names[0],
        models=models,
        differences=before,
        temperature={name: temperature(2.4981 - place) for place, name in enumerate(names)} if scaled else {},
        scaled=after if scaled else None,
        verdict=tuple(verdict),
        notes=(),
    )


def words(artist):
    return " ".join(text.get_text() for text in artist.findobj(Text)).replace("\n", " ")


def whiskers(ax):
    return [
        [segment for segment in collection.get_segments() if len(segment)]
        for collection in ax.collections
        if isinstance(collection, LineCollection)
    ]


def test_bars_run_from_the_diagonal_to_the_accuracy_and_empty_bins_have_none():
    ax = plot_reliability(evaluation())
    bars = sorted(ax.patches, key=lambda bar: bar.get_x())
    assert len(bars) == 3
    assert [bar.get_x() for bar in bars] == pytest.approx([0.2, 0.6, 0.8])
    assert [bar.get_width() for bar in bars] == pytest.approx([0.2, 0.2, 0.2])
    assert [bar.get_y() for bar in bars] == pytest.approx([0.31, 0.72, 0.94])
    assert [bar.get_y() + bar.get_height() for bar in bars] == pytest.approx([0.5, 0.454, 0.882])


def test_direction_is_told_by_colour_and_by_hatching():
    under, *over = sorted(plot_reliability(evaluation()).patches, key=lambda bar: bar.get_x())
    assert to_hex(under.get_edgecolor()) == UNDER
    assert {to_hex(bar.get_edgecolor()) for bar in over} == {OVER}
    assert {bar.get_hatch() for bar in over} == {"////"}
    assert under.get_hatch() == "\\\\\\\\"


def test_whiskers_end_at_the_intervals_and_points_stand_at_the_accuracies():
    ax = plot_reliability(evaluation())
    (segments,) = whiskers(ax)
    filled = COUNT > 0
    assert np.allclose(np.array(segments)[:, :, 0], CONFIDENCE[filled, None])
    assert np.allclose(np.array(segments)[:, 0, 1], LOW[filled])
    assert np.allclose(np.array(segments)[:, 1, 1], HIGH[filled])
    points = next(line for line in ax.lines if line.get_marker() == "o")
    assert np.allclose(points.get_xydata(), np.column_stack((CONFIDENCE, ACCURACY))[filled])


def test_without_intervals_there_are_no_whiskers_and_no_brackets():
    ax = plot_reliability(evaluation(level=None))
    assert whiskers(ax) == []
    assert "ECE 0.09877" in words(ax)
    assert "[0.0" not in words(ax)
    assert "whiskers" not in words(ax)


def test_the_diagonal_is_drawn_once_from_corner_to_corner():
    ax = plot_reliability(evaluation())
    diagonals = [line for line in ax.lines if line.get_xydata().tolist() == [[0, 0], [1, 1]]]
    assert len(diagonals) == 1
    assert ax.get_xlim() == ax.get_ylim() == (0, 1)
    assert ax.get_aspect() == 1


def test_the_caption_says_name_error_interval_view_bins_and_size():
    said = words(plot_reliability(evaluation("resnet50_ce")))
    for part in ("resnet50_ce", "ECE 0.09877 [0.06710, 0.1324]", "top-label view", "5 equal-width bins (lo, hi]"):
        assert part in said
    assert "n = 100" in said
    assert "whiskers: 95% intervals" in said


@pytest.mark.parametrize(
    ("view", "across", "upward", "side"),
    [
        ("top-label", "confidence", "accuracy", "over-confident"),
        ("positive", "P(y = 1)", "observed frequency", "forecast too high"),
        ("flattened", "class probability", "observed frequency", "forecast too low"),
    ],
)
def test_axes_name_the_view(view, across, upward, side):
    ax = plot_reliability(evaluation(view=view))
    assert (ax.get_xlabel(), ax.get_ylabel()) == (across, upward)
    assert side in words(ax)


def test_no_diagram_shows_another_view_than_its_error():
    _, ax = plt.subplots()
    try:
        for draw in (
            lambda: plot_reliability(evaluation(view="classwise"), ax=ax),
            lambda: plot_comparison(comparison(view="classwise"), ax=ax),
            lambda: reliability_figure([evaluation(), evaluation(view="classwise")]),
        ):
            with pytest.raises(OptionError, match=r'view="classwise" has a diagram for each class, .*"flattened"'):
                draw()
        assert not ax.has_data()
    finally:
        plt.close("all")
    assert "top-label view" in words(
        plot_reliability(evaluation(view="classwise").reliability)
    )  # that curve, by its name


def test_a_comparison_of_classwise_errors_says_whose_curves_it_draws():
    said = words(comparison_figure(comparison(view="classwise")))
    assert "ECE (classwise) 0.09877" in said
    assert "curves of the top-label view" in said
    assert "curves of" not in words(comparison_figure(comparison()))


def test_overlaid_models_of_different_bins_say_which():
    other = evaluation("smooth")
    other = replace(other, settings=MappingProxyType({**other.settings, "n_bins": 20, "binning": "quantile"}))
    said = words(plot_reliability([evaluation(), other]).get_legend())
    assert "hard, 5 equal-width bins (lo, hi]" in said
    assert "smooth, 20 equal-count bins" in said
    alike = words(plot_reliability([evaluation(), evaluation("smooth")]).get_legend())
    assert "bins" not in alike


def test_a_bare_curve_is_drawn_without_an_error():
    ax = plot_reliability(curve("positive"))
    assert len(ax.patches) == 3
    assert "positive view, 5 bins, n = 100" in words(ax)
    assert "ECE" not in words(ax)


def test_a_given_axes_is_used_and_returned_and_nothing_else_is_made():
    figure, axes = plt.subplots(1, 2)
    try:
        before, settings = plt.get_fignums(), dict(plt.rcParams)
        assert plot_reliability(evaluation(), ax=axes[0]) is axes[0]
        assert plot_comparison(comparison(), ax=axes[1]) is axes[1]
        assert plt.get_fignums() == before
        assert dict(plt.rcParams) == settings
        assert figure.axes == list(axes)
    finally:
        plt.close(figure)


def test_own_figures_are_unknown_to_pyplot():
    before = plt.get_fignums()
    own = [
        plot_reliability(evaluation()).figure,
        plot_comparison(comparison()).figure,
        reliability_figure([evaluation(), evaluation()]),
        comparison_figure(comparison()),
    ]
    assert all(isinstance(figure, Figure) for figure in own)
    assert plt.get_fignums() == before


def test_several_models_are_lines_with_their_own_colour_marker_and_whiskers():
    ax = plot_reliability([evaluation("hard"), evaluation("smooth", shift=-0.03)])
    assert not ax.patches
    filled = COUNT > 0
    for number, shift in enumerate((0, -0.03)):
        bars, line, points = ax.collections[3 * number : 3 * number + 3]
        assert np.allclose(np.array(bars.get_segments())[:, 0, 1], LOW[filled] + shift)
        assert np.allclose(np.array(bars.get_segments())[:, 1, 1], HIGH[filled] + shift)
        corners = np.column_stack((CONFIDENCE, ACCURACY + shift))
        assert np.allclose(points.get_offsets(), corners[filled])
        assert np.allclose(np.array(line.get_segments()), [corners[3:5]])
        assert to_hex(points.get_facecolor()[0]) == to_hex(line.get_color()[0]) == MODEL_COLOURS[number].lower()
        assert (np.diff(points.get_sizes()) > 0).all()
    circle, square = (ax.collections[place].get_paths()[0].vertices for place in (2, 5))
    assert len(circle) != len(square)
    assert "larger markers: more rows" in words(ax)


def test_the_legend_holds_each_error_with_its_interval_and_lies_outside_the_data():
    ax = plot_comparison(comparison(("hard", "smooth")))
    said = [text.get_text().replace("\n", ": ") for text in ax.get_legend().get_texts()]
    assert said == [f"{name}: ECE 0.09877 [0.06710, 0.1324]" for name in ("hard", "smooth")]
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 > ax.get_window_extent().y1
    assert ax.get_legend().get_window_extent().y1 <= ax.figure.bbox.y1


def test_what_is_no_evaluation_is_refused_by_its_name():
    with pytest.raises(InputFormatError, match=r"not of ndarray: pass evaluate\(predictions\)"):
        plot_reliability(np.array([0.2, 0.8]))


def test_nothing_and_mixed_views_are_refused():
    with pytest.raises(OptionError, match="nothing to plot"):
        plot_reliability([])
    mixed = [evaluation(), evaluation(view="positive")]
    with pytest.raises(OptionError, match=r"different views \(top-label, positive\) cannot share axes"):
        plot_reliability(mixed)


def test_side_by_side_each_view_has_its_own_labels_clear_of_its_neighbour():
    figure = reliability_figure([evaluation(), evaluation(view="flattened"), evaluation(view="positive")])
    figure.canvas.draw()
    diagrams, histograms = figure.axes[::2], figure.axes[1::2]
    assert [ax.get_ylabel() for ax in diagrams] == ["accuracy", "observed frequency", "observed frequency"]
    assert [ax.get_ylabel() for ax in histograms] == ["rows", "pairs", "rows"]
    for left, right in pairwise(diagrams):
        assert right.yaxis.label.get_window_extent().x0 > left.get_window_extent().x1
    same = reliability_figure([evaluation(), evaluation()])
    assert [ax.get_ylabel() for ax in same.axes] == ["accuracy", "rows", "", ""]


@pytest.mark.parametrize(
    ("models", "columns", "width"), [(1, 1, 3.3), (2, 2, 6.75), (3, 3, 6.75), (4, 2, 6.75), (5, 3, 6.75)]
)
def test_a_reliability_figure_has_a_column_a_model_and_a_papers_width(models, columns, width):
    figure = reliability_figure([evaluation(f"model {number}") for number in range(models)])
    assert len(figure.axes) == 2 * models
    assert figure.get_figwidth() == pytest.approx(width)
    assert len({round(ax.get_position().x0, 6) for ax in figure.axes}) == columns


def test_the_histogram_shares_the_axis_and_marks_accuracy_and_mean_confidence():
    diagram, histogram = reliability_figure(evaluation()).axes
    assert [bar.get_height() for bar in histogram.patches] == COUNT.tolist()
    assert histogram.get_shared_x_axes().joined(diagram, histogram)
    assert [line.get_xdata()[0] for line in histogram.lines] == [0.8123, 0.8911]
    assert "accuracy 0.8123" in words(histogram)
    assert "mean confidence 0.8911" in words(histogram)
    _, forecast = reliability_figure(evaluation(view="positive")).axes
    assert "base rate 0.5717" in words(forecast)
    assert "mean P(y = 1) 0.8911" in words(forecast)
    _, flattened = reliability_figure(evaluation(view="flattened")).axes
    assert not flattened.lines


def test_an_overlay_is_one_diagram_with_outlined_histograms():
    figure = reliability_figure([evaluation("a"), evaluation("b", shift=-0.03)], overlay=True)
    diagram, histogram = figure.axes
    assert len(diagram.get_legend().get_texts()) == 2
    assert [step.get_data().values.tolist() for step in histogram.patches] == [COUNT.tolist()] * 2
    assert figure.get_figwidth() == pytest.approx(3.3)


def forest_panels(figure):
    titles = ("ECE", "NLL (nats)", "Brier score", "accuracy")
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left") in titles}


def test_the_comparison_figure_shows_both_states_differences_and_verdict():
    figure = comparison_figure(comparison())
    said = words(figure)
    for part in (
        "Calibration of hard and smooth on the same 100 rows",
        "As saved",
        "After temperature scaling",
        "hard, T = 2.498",
        "smooth, T = 1.498",
        "Difference: smooth \N{MINUS SIGN} hard",
        "on the shaded side smooth is better",
        "hard: Over-confident.",
    ):
        assert part in said
    panels = forest_panels(figure)
    assert list(panels) == ["ECE", "NLL (nats)", "Brier score", "accuracy"]
    ends = [line.get_xdata() for line in panels["ECE"].lines if line.get_marker() == "|"]
    assert np.allclose(ends, [[-0.0331, -0.0242], [-0.00331, -0.00242]])
    dots = [line for line in panels["ECE"].lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([-0.0284, -0.00284])
    assert [dot.get_markerfacecolor() for dot in dots] == [MODEL_COLOURS[1], "white"]
    assert "\N{MINUS SIGN}0.02840" in words(panels["ECE"])


def test_the_shaded_side_is_where_the_model_is_better():
    panels = forest_panels(comparison_figure(comparison()))
    shades = {
        name: panels[name].patches[0].get_extents().transformed(panels[name].transData.inverted()) for name in panels
    }
    assert shades["ECE"].x1 == pytest.approx(0, abs=1e-12)
    assert shades["ECE"].x0 < -0.0331
    assert shades["accuracy"].x0 == pytest.approx(0, abs=1e-12)
    assert shades["accuracy"].x1 > 0.0105


def test_a_comparison_without_scaling_fits_a_column():
    figure = comparison_figure(comparison(scaled=False))
    assert figure.get_figwidth() == pytest.approx(3.3)
    assert "After temperature scaling" not in words(figure)
    assert "hollow" not in words(figure)
    assert len(forest_panels(figure)) == 4


def test_one_model_before_and_after_has_gap_bars_and_no_forest():
    figure = comparison_figure(comparison(("hard",)))
    assert forest_panels(figure) == {}
    assert "hard: calibration before and after temperature scaling" in words(figure)
    assert "T = 2.498, ECE 0.09877" in words(figure)
    assert len(figure.axes[0].patches) == 3


def test_metrics_that_the_input_lacks_have_no_panel():
    top1 = {"smooth": {name: differences()[name] for name in ("accuracy", "ece")}}
    assert list(forest_panels(comparison_figure(comparison(scaled=False, before=top1)))) == ["ECE", "accuracy"]


def test_infinite_differences_are_written_and_not_drawn():
    infinite = differences() | {"nll": Difference(value=math.inf)}
    panel = forest_panels(comparison_figure(comparison(scaled=False, before={"smooth": infinite})))["NLL (nats)"]
    assert "+inf" in words(panel)
    assert not [line for line in panel.lines if line.get_marker() == "o"]
    assert np.isfinite(panel.get_xlim()).all()


def test_the_verdict_is_cut_between_sentences():
    sentences = [f"Sentence {number} is said." for number in range(40)]
    said = words(comparison_figure(comparison(verdict=sentences)))
    assert "Sentence 0 is said." in said
    assert "Sentence 39" not in said


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plot_reliability(evaluation()).figure,
        lambda: plot_reliability([evaluation("m" * 150), evaluation("a name of several words " * 7)]).figure,
        lambda: reliability_figure([evaluation("W" * 90), evaluation(), evaluation("epoch_" * 30)]),
        lambda: reliability_figure([evaluation("W" * 90), evaluation()], overlay=True),
        lambda: comparison_figure(comparison(("hard" * 40, "smooth"))),
        lambda: comparison_figure(comparison(("hard", "b" * 60, "c", "d"))),
        lambda: comparison_figure(comparison(scaled=False)),
    ],
)
def test_every_word_is_on_the_page_at_seven_points_or_more(figure):
    page = figure()
    page.canvas.draw()
    seen = [text for text in page.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in seen) >= 7
    frame = page.bbox.padded(0.5)
    hidden = [tick.label1 for ax in page.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()]
    for text in seen:
        box = text.get_window_extent()
        if text not in hidden:
            assert frame.x0 <= box.x0, text
            assert box.x1 <= frame.x1, text
            assert frame.y0 <= box.y0, text
            assert box.y1 <= frame.y1, text


def test_any_name_can_be_drawn(tmp_path):
    names = ("$x^2$ _hidden", "_hidden", "模型 🙂", "\x1b[31mred\u202e", "a\nb", "%s {} \\", "")
    ax = plot_reliability([evaluation(name) for name in names])
    shown = [text.get_text().split("\n")[0] for text in ax.get_legend().get_texts()]
    assert shown == [
        "$x^2$ _hidden",
        "_hidden",
        "U+6A21U+578B U+1F642",
        "U+001B[31mredU+202E",
        "aU+000Ab",
        "%s {} \\",
        "curve 7",
    ]
    save_figure(ax.figure, tmp_path / "a.png")
    save_figure(comparison_figure(comparison(names)), tmp_path / "c.pdf")


def test_names_are_shown_whole_or_shortened_in_the_middle():
    assert shown_name("resnet50_ce") == "resnet50_ce"
    assert shown_name("模\x07") == "U+6A21U+0007"
    long = shown_name("a" * 100 + "z" * 100)
    assert len(long) <= 60
    assert (long[0], long[-1]) == ("a", "z")


def test_text_folds_at_spaces_then_marks_then_anywhere():
    width = text_width("seventeen letters", size=8)
    assert fold("seventeen letters and more", width, size=8) == ["seventeen letters", "and more"]
    assert fold("seventeen_letters-and_more", width, size=8)[0].endswith(("_", "-"))
    assert "".join(fold("m" * 50, width, size=8)) == "m" * 50
    assert all(text_width(line, size=8) <= width for line in fold("m" * 50, width, size=8))
    assert fold(f"one {unbroken('two three')}", text_width("one two", size=8), size=8)[0] == "one"


def test_minus_signs_replace_the_hyphens_of_numbers_alone():
    assert minus_signs("Over-confident by -0.03 [-0.05, -inf] in resnet-50") == (
        "Over-confident by \N{MINUS SIGN}0.03 [\N{MINUS SIGN}0.05, \N{MINUS SIGN}inf] in resnet-50"
    )


@pytest.mark.parametrize(("extension", "magic"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("PDF", b"%PDF-")])
def test_a_saved_figure_has_its_format_and_the_same_bytes_twice(extension, magic, tmp_path):
    first, second = tmp_path / f"first.{extension}", tmp_path / f"second.{extension}"
    save_figure(comparison_figure(comparison()), first)
    save_figure(comparison_figure(comparison()), second)
    assert first.read_bytes().startswith(magic)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_own_figures_and_saved_files_do_not_follow_a_dark_style(tmp_path):
    save_figure(reliability_figure(evaluation()), tmp_path / "light.png")
    with plt.style.context("dark_background"), plt.rc_context({"savefig.bbox": "tight"}):
        save_figure(reliability_figure(evaluation()), tmp_path / "dark.png")
    light, dark = (plt.imread(tmp_path / f"{style}.png") for style in ("light", "dark"))
    assert light.shape == dark.shape
    assert np.abs(light.mean(axis=(0, 1)) - dark.mean(axis=(0, 1))).max() < 0.01


def test_saving_leaves_the_settings_of_matplotlib_alone(tmp_path):
    settings = dict(plt.rcParams)
    save_figure(reliability_figure(evaluation()), tmp_path / "a.svg")
    assert dict(plt.rcParams) == settings


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.gz", ".png"])
def test_other_extensions_are_refused_with_the_three_named(name, tmp_path):
    with pytest.raises(OptionError, match=r"\.png, \.svg or \.pdf"):
        save_figure(Figure(), tmp_path / name)


def test_a_figure_that_cannot_be_written_leaves_the_old_file(tmp_path):
    old = tmp_path / "old.png"
    old.write_bytes(b"old")

    class Broken(Figure):
        def savefig(self, *_args, **_options):
            raise MemoryError

    with pytest.raises(MemoryError):
        save_figure(Broken(), old)
    assert old.read_bytes() == b"old"
    with pytest.raises(OutputError, match="nowhere"):
        save_figure(Figure(), tmp_path / "nowhere" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="folder"):
        save_figure(Figure(), tmp_path / "folder.png")
