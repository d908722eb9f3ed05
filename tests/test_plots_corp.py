"""Diagrams without bins: curve, band and whiskers are drawn where the numbers are, and the caption tells them apart."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

import calibkit as ck
from calibkit.corp import ConsistencyBand, CorpCurve, curve_of_predictions
from calibkit.honest_band import CalibrationBand
from calibkit.plots.style import BAND, BLUE, GREEN, TRUE_BAND, VERMILION
from tests.test_plots import curve, evaluation, whiskers, words

BAND_OF = ConsistencyBand(
    level=0.9, forecast=np.array([0.2, 0.6, 0.9]), low=np.array([0.1, 0.5, 0.85]), high=np.array([0.3, 0.7, 0.93])
)


TRUE_BAND_OF = CalibrationBand(
    view="top-label",
    n=100,
    level=0.9,
    grid=None,
    forecast=np.array([0.2, 0.6, 0.9]),
    low=np.array([0.1, 0.4, 0.95]),
    high=np.array([0.3, 0.5, 1.0]),
)


def corp(view="top-label", band=BAND_OF):
    return CorpCurve(
        view=view,
        n=100,
        first=np.array([0.2, 0.5]),
        last=np.array([0.3, 0.97]),
        rate=np.array([0.25, 0.8]),
        weight=np.array([4.0, 96.0]),
        band=band,
    )


def green_line(ax):
    return next(line for line in ax.lines if to_hex(line.get_color()) == GREEN.lower())


def test_the_curve_is_flat_over_each_block():
    ax = ck.plot_reliability(evaluation(), corp=corp())
    assert green_line(ax).get_xydata().tolist() == [[0.2, 0.25], [0.3, 0.25], [0.5, 0.8], [0.97, 0.8]]
    assert not ax.patches  # no gap bars


def test_the_band_is_filled_between_its_ends():
    ax = ck.plot_reliability(evaluation(), corp=corp())
    (band,) = (drawn for drawn in ax.collections if isinstance(drawn, PolyCollection))
    assert to_hex(band.get_facecolor()[0]) == BAND.lower()
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(9)}
    for ends in (BAND_OF.low, BAND_OF.high):
        assert set(zip(BAND_OF.forecast, ends, strict=True)) <= corners


def test_a_confidence_band_steps_where_its_forecasts_are():
    ax = ck.plot_reliability(evaluation(), corp=corp(band=TRUE_BAND_OF))
    (band,) = (drawn for drawn in ax.collections if isinstance(drawn, PolyCollection))
    assert to_hex(band.get_facecolor()[0]) == TRUE_BAND.lower()
    low, high, _ = (line.get_xydata().tolist() for line in ax.lines if to_hex(line.get_color()) == GREEN.lower())
    assert low == [[0, 0], [0.2, 0], [0.2, 0.1], [0.6, 0.1], [0.6, 0.4], [0.9, 0.4], [0.9, 0.95], [1, 0.95]]
    assert high == [[0, 0.3], [0.2, 0.3], [0.2, 0.5], [0.6, 0.5], [0.6, 1], [0.9, 1], [0.9, 1], [1, 1]]


def test_the_diagonal_is_in_colour_where_calibration_is_rejected():
    ax = ck.plot_reliability(evaluation(), corp=corp(band=TRUE_BAND_OF))
    for colour, region in ((VERMILION, [0.5, 0.6]), (BLUE, [0.9, 0.95])):
        (line,) = (line for line in ax.lines if to_hex(line.get_color()) == colour.lower())
        np.testing.assert_allclose(line.get_xydata(), np.column_stack((region, region)))
    text = words(ax).replace("\N{NO-BREAK SPACE}", " ")
    assert "band: the true curve, 90% confidence" in text
    assert "diagonal in colour: calibration rejected" in text
    accepted = replace(TRUE_BAND_OF, low=np.zeros(3), high=np.ones(3))
    assert "diagonal" not in words(ck.plot_reliability(evaluation(), corp=corp(band=accepted)))


def test_points_and_whiskers_of_the_bins_stay():
    bare, with_curve = ck.plot_reliability(evaluation()), ck.plot_reliability(evaluation(), corp=corp())
    assert np.allclose(whiskers(bare)[0], whiskers(with_curve)[0])


def test_the_caption_says_which_is_which():
    text = words(ck.plot_reliability(evaluation(), corp=corp()))
    for phrase in (
        "whiskers: 95% intervals of the bins",
        "line: event rates without bins (CORP)",
        "band: 90% of calibrated models",
    ):
        assert phrase in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "of the bins" not in words(ck.plot_reliability(evaluation()))


def test_without_a_band_none_is_drawn_or_named():
    ax = ck.plot_reliability(curve(), corp=corp(band=None))
    assert not any(isinstance(drawn, PolyCollection) for drawn in ax.collections)
    assert "band" not in words(ax)
    assert "CORP" in words(ax)


def test_a_figure_has_one_curve_a_model():
    figure = ck.reliability_figure([evaluation("a"), evaluation("b")], corp=[corp(), corp(band=None)])
    assert len(figure.axes) == 4
    assert words(figure).count("CORP") == 2
    assert words(figure).count("of calibrated models") == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ck.OptionError, match="view 'positive'"):
        ck.plot_reliability(evaluation(), corp=corp(view="positive"))
    with pytest.raises(ck.OptionError, match="1 curves for 2 models"):
        ck.reliability_figure([evaluation("a"), evaluation("b")], corp=corp())
    with pytest.raises(ck.OptionError, match="overlaid"):
        ck.reliability_figure([evaluation("a"), evaluation("b")], corp=[corp(), corp()], overlay=True)


def test_dependent_rows_have_no_band():
    labels, probs = [0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]
    free = ck.Predictions.from_probs(labels, probs)
    grouped = ck.Predictions.from_probs(labels, probs, groups=["a", "a", "b", "b"])
    assert curve_of_predictions(free, view=None).band is not None
    assert curve_of_predictions(grouped, view=None).band is None
    assert isinstance(curve_of_predictions(free, view=None, band="confidence").band, CalibrationBand)
    assert curve_of_predictions(grouped, view=None, band="confidence").band is None


def test_predictions_and_arrays_have_the_same_curve():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 50)
    labels = rng.integers(0, 3, 50)
    one = curve_of_predictions(ck.Predictions.from_probs(labels, probs), view="classwise")
    assert one.to_dict() == ck.corp_curve(labels, probs).to_dict()
    correct = ck.Predictions.from_correct(probs.argmax(axis=1) == labels, probs.max(axis=1))
    assert curve_of_predictions(correct, view=None).to_dict() == one.to_dict()
    assert curve_of_predictions(ck.Predictions.from_probs([0, 1], [0.2, 0.7]), view=None).view == "positive"
    with pytest.raises(ck.OptionError, match="one pair a row"):
        curve_of_predictions(ck.Predictions.from_probs(labels, probs), view="flattened")
