"""Every calibrator is a scikit-learn estimator, and the laws that all of them keep."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.utils.estimator_checks import check_estimator

import calibkit as ck
from calibkit.calibrators import METHODS
from tests.calibrators.samples import every_calibrator, given, name, rows, softmax

EVERY = pytest.mark.parametrize("calibrator", every_calibrator(), ids=name)
SHAPES = pytest.mark.parametrize(
    ("n_classes", "kind", "flat"),
    [(3, "logits", False), (3, "probs", False), (2, "logits", False), (2, "logits", True), (2, "probs", True)],
)


@pytest.mark.filterwarnings("ignore:labels are of 3 classes and logits have 2 columns")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@EVERY
def test_scikit_learn_s_own_checks_pass(calibrator):
    check_estimator(calibrator)


@SHAPES
@EVERY
def test_forecasts_are_probabilities_of_the_classes(calibrator, n_classes, kind, flat):
    labels, values = given(n_classes, kind, flat=flat)
    fitted = clone(calibrator).set_params(input=kind).fit(values, labels)
    probs = fitted.predict_proba(values)
    assert probs.shape == (400, n_classes)
    assert probs.min() >= 0
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-14)
    np.testing.assert_array_equal(fitted.predict(values), probs.argmax(axis=1))
    if hasattr(fitted, "predict_log_proba"):
        np.testing.assert_allclose(np.exp(fitted.predict_log_proba(values)), probs, rtol=1e-12)


@EVERY
def test_other_rows_are_scored_better(calibrator):
    labels, logits = given(3, "logits", n_rows=4000)
    other, tested = given(3, "logits", n_rows=4000, seed=1)
    probs = clone(calibrator).fit(logits, labels).predict_proba(tested)
    assert ck.brier_score(other, probs) < ck.brier_score(other, softmax(tested)) - 0.02


@SHAPES
@EVERY
def test_whole_weights_are_repetition_and_order_does_not_matter(calibrator, n_classes, kind, flat):
    labels, values = given(n_classes, kind, flat=flat)
    weights = np.random.default_rng(5).integers(0, 4, len(labels))
    order = np.random.default_rng(6).permutation(np.repeat(np.arange(len(labels)), weights))
    weighted = clone(calibrator).set_params(input=kind).fit(values, labels, sample_weight=weights)
    repeated = clone(calibrator).set_params(input=kind).fit(values[order], labels[order])
    np.testing.assert_allclose(weighted.predict_proba(values), repeated.predict_proba(values), atol=1e-6)


@EVERY
def test_classes_may_come_in_any_order(calibrator):
    labels, logits = rows(n_classes=4)
    order = np.array([2, 0, 3, 1])
    one = clone(calibrator).fit(logits, labels).predict_proba(logits)
    other = clone(calibrator).fit(logits[:, order], np.argsort(order)[labels]).predict_proba(logits[:, order])
    np.testing.assert_allclose(one[:, order], other, atol=1e-6)


@pytest.mark.parametrize("calibrator", [c for c in every_calibrator() if name(c) != "VectorScaling"], ids=name)
def test_logits_and_their_softmax_give_the_same_forecast(calibrator):
    labels, logits = given(3, "logits")
    _, probs = given(3, "probs")
    from_logits = clone(calibrator).fit(logits, labels).predict_proba(logits)
    from_probs = clone(calibrator).set_params(input="probs").fit(probs, labels).predict_proba(probs)
    np.testing.assert_allclose(from_logits, from_probs, atol=1e-7)


@EVERY
def test_a_flat_forecast_is_that_of_two_columns(calibrator):
    labels, odds = given(2, "logits", flat=True)
    both = np.stack([np.zeros_like(odds), odds], axis=1)
    flat = clone(calibrator).fit(odds, labels).predict_proba(odds)
    np.testing.assert_allclose(flat, clone(calibrator).fit(both, labels).predict_proba(both), atol=1e-9)


@EVERY
def test_named_labels_stand_in_sorted_order(calibrator):
    labels, logits = rows()
    names = np.array(["cat", "dog", "eel"])
    fitted = clone(calibrator).fit(logits, names[labels])
    assert fitted.classes_.tolist() == names.tolist()
    np.testing.assert_array_equal(
        fitted.predict_proba(logits), clone(calibrator).fit(logits, labels).predict_proba(logits)
    )
    assert set(fitted.predict(logits)) <= set(names)


@EVERY
def test_a_class_without_calibration_rows_is_no_error(calibrator):
    labels, logits = rows(n_classes=4)
    present = labels != 2
    probs = clone(calibrator).fit(logits[present], labels[present]).predict_proba(logits)
    assert np.isfinite(probs).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-14)


@EVERY
def test_rows_that_a_line_separates_have_an_answer(calibrator):
    log_odds = np.array([-3.1, -2.2, -0.4, 0.3, 1.9, 2.7])
    probs = clone(calibrator).fit(log_odds, [0, 0, 0, 1, 1, 1]).predict_proba(log_odds)
    assert np.isfinite(probs).all()
    np.testing.assert_array_equal(probs.argmax(axis=1), [0, 0, 0, 1, 1, 1])


@EVERY
def test_one_column_less_than_labels_is_log_odds_against_the_first(calibrator):
    labels, logits = rows(n_classes=4)
    against_first = logits[:, 1:] - logits[:, :1]
    with pytest.warns(
        UserWarning, match=r"labels are of 4 classes and logits have 3 columns: they are read as log-odds"
    ):
        fitted = clone(calibrator).fit(against_first, labels)
    whole = np.concatenate([np.zeros((len(labels), 1)), against_first], axis=1)
    expected = clone(calibrator).fit(whole, labels).predict_proba(whole)
    np.testing.assert_allclose(fitted.predict_proba(against_first), expected, atol=1e-12)


def test_options_can_be_searched_and_rows_cross_fitted():
    labels, logits = rows()
    search = GridSearchCV(
        ck.DirichletCalibration(), {"penalty": [1e-6, 1e-3, 1.0]}, scoring="neg_log_loss", cv=3, error_score="raise"
    )
    assert search.fit(logits, labels).best_params_["penalty"] in (1e-3, 1.0)
    crossed = cross_val_predict(ck.TemperatureScaling(), logits, labels, cv=5, method="predict_proba")
    assert crossed.shape == logits.shape


def test_columns_of_a_frame_are_known_by_name():
    pandas = pytest.importorskip("pandas")
    labels, logits = rows()
    frame = pandas.DataFrame(logits, columns=["a", "b", "c"])
    fitted = ck.VectorScaling().fit(frame, labels)
    np.testing.assert_array_equal(
        fitted.predict_proba(frame), ck.VectorScaling().fit(logits, labels).predict_proba(logits)
    )
    with pytest.raises(ck.InputFormatError, match="feature names"):
        fitted.predict_proba(frame[["b", "a", "c"]])


LABELS, LOGITS = rows()


@pytest.mark.parametrize(
    ("values", "labels", "options", "error", "words"),
    [
        (LOGITS, LABELS, {"input": "scores"}, ck.OptionError, "input='scores': expected one of 'logits', 'probs'"),
        (LOGITS[:, :2], np.where(LABELS == 0, -100, LABELS), {}, ck.LabelError, "3 distinct ones .* for 2 columns"),
        (LOGITS, np.arange(400) % 5, {"input": "probs"}, ck.LabelError, "5 distinct ones .* for 3 columns"),
        (LOGITS, LABELS + 0.5, {}, ck.InputFormatError, "Unknown label type: continuous"),
        (LOGITS[:1], LABELS[:1], {}, ck.DataError, "1 row"),
        (LOGITS, np.zeros(400, int), {}, ck.DataError, "all 400 rows are of class 0"),
        (LOGITS[:, :1], LABELS, {}, ck.ShapeError, r"1 column .*Pass the log-odds of class 1 as 1-D"),
        (np.where(np.arange(400)[:, None] == 7, np.nan, LOGITS), LABELS, {}, ck.DataError, "logits row 7, class 0"),
        (LOGITS, LABELS, {"input": "probs"}, ck.DataError, "looks like logits"),
        (LOGITS, LABELS[:-1], {}, ck.InputFormatError, "inconsistent numbers of samples"),
        (LOGITS.astype(complex), LABELS, {}, ck.InputFormatError, "Complex data not supported"),
        ([[1.0, 2.0], [3.0]], [0, 1], {}, ck.InputFormatError, "inhomogeneous"),
    ],
)
@EVERY
def test_bad_input_is_refused_with_its_place(calibrator, values, labels, options, error, words):
    calibrator = clone(calibrator).set_params(**options)
    with pytest.raises(error, match=words):
        calibrator.fit(values, labels)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("TemperatureScaling", {"loss": "mse"}, "loss='mse': expected one of 'nll', 'brier'"),
        ("VectorScaling", {"penalty": 0.0}, "penalty"),
        ("DirichletCalibration", {"penalty": None}, "penalty=None"),
        ("DirichletCalibration", {"bias_penalty": -1.0}, "bias_penalty"),
        ("BetaCalibration", {"penalty": np.inf}, "penalty"),
        ("HistogramBinning", {"n_bins": 0}, "n_bins=0"),
        ("IsotonicCalibration", {"maps": "each"}, "maps='each': expected one of 'classwise', 'shared'"),
        ("PlattScaling", {"clip": 1e-6}, "the input is logits, which need none"),
    ],
)
def test_options_are_checked_when_they_are_used(kind, options, words):
    with pytest.raises(ck.OptionError, match=words):
        getattr(ck, kind)(**options).fit(LOGITS, LABELS)


@pytest.mark.parametrize("weights", [np.zeros(400), np.full(400, -1.0), np.full(400, np.nan), np.ones(3), "heavy"])
def test_weights_are_checked(weights):
    with pytest.raises(ck.CalibkitError, match="sample_weight"):
        ck.TemperatureScaling().fit(LOGITS, LABELS, sample_weight=weights)


@EVERY
def test_certain_forecasts_are_refused_where_no_logarithm_is_finite_and_clipped_on_request(calibrator):
    labels, probs = given(3, "probs")
    probs = probs.copy()
    probs[5] = np.eye(3)[labels[5]]  # the label is certain: no score is infinite
    calibrator = clone(calibrator).set_params(input="probs")
    scales = name(calibrator) in {"VectorScaling", "DirichletCalibration", "PlattScaling", "BetaCalibration"}
    if scales:
        with pytest.raises(ck.DataError, match=r"probs row 5, class \d: p = 0 .*pass clip=1e-6"):
            calibrator.fit(probs, labels)
        calibrator.set_params(clip=1e-6)
    assert np.isfinite(calibrator.fit(probs, labels).predict_proba(probs)).all()


def test_every_method_has_a_public_class():
    assert {kind.__name__ for kind in METHODS.values()} <= set(ck.__all__)
