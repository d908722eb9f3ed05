"""Predictions in, calibrated predictions out; the rows of the fit are refused unless cross-fitted."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.calibrators import METHODS
from tests.calibrators.samples import given, rows

EVERY = pytest.mark.parametrize("method", METHODS)


def predictions(n_rows=400, *, seed=0, kind="logits", n_classes=3, flat=False, **told):
    labels, values = given(n_classes, kind, flat=flat, n_rows=n_rows, seed=seed)
    make = ck.Predictions.from_logits if kind == "logits" else ck.Predictions.from_probs
    return make(labels, values, **told)


@pytest.mark.parametrize(
    ("kind", "n_classes", "flat"), [("logits", 3, False), ("probs", 3, False), ("logits", 2, True), ("probs", 2, True)]
)
@EVERY
def test_calibrated_predictions_are_the_estimator_s(method, kind, n_classes, flat):
    told = {"kind": kind, "n_classes": n_classes, "flat": flat}
    val, test = predictions(**told), predictions(seed=1, ids=np.arange(400), name="net", **told)
    fitted = ck.fit_calibrator(method, val)
    assert fitted.input == kind
    calibrated = ck.calibrate(fitted, test)
    assert calibrated.is_binary == flat
    expected = fitted.predict_proba(test.values)
    np.testing.assert_allclose(
        ck.evaluate(calibrated, confidence_level=None)["nll"].value,
        ck.negative_log_likelihood(test.labels, expected[:, 1] if flat else expected),
        rtol=1e-9,
    )
    assert calibrated.kind == ("logits" if method in ("temperature", "vector", "dirichlet") else "probs")
    assert (calibrated.name, calibrated.ids.tolist()) == ("net", list(range(400)))
    assert calibrated.provenance["calibrated"]["how"] == f"{method}, fitted on 400 other rows"
    assert calibrated.notes[-1] == f"calibrated by {method}, fitted on 400 other rows"


def test_the_fit_hears_of_weights_and_groups():
    groups, weights = np.repeat(np.arange(100), 4), np.random.default_rng(4).uniform(0.5, 2, 400)
    val = predictions(groups=groups, weights=weights)
    fitted, expected = ck.fit_calibrator("temperature", val), ck.fit_temperature(val)
    assert fitted.temperature_ == expected.value
    assert fitted.temperature_interval_ == (expected.low, expected.high)


@EVERY
def test_the_rows_of_the_fit_are_refused(method, tmp_path):
    val, test = predictions(), predictions(seed=1)
    fitted = ck.fit_calibrator(method, val)
    both = ck.Predictions.from_logits(np.r_[val.labels, test.labels], np.r_[val.logits, test.logits], name="both")
    fitted.save(tmp_path / "c.json")
    for calibrator in (fitted, ck.load_calibrator(tmp_path / "c.json")):
        for same in (val, val.take(np.arange(399, -1, -1)), val.take(np.arange(300)), both):
            with pytest.raises(ck.DataError, match="of the 400 rows that the calibrator was fitted on are among them"):
                ck.calibrate(calibrator, same)
        assert len(ck.calibrate(calibrator, test)) == 400


@EVERY
def test_cross_fitted_rows_take_no_part_in_their_own_fit(method):
    whole = predictions(n_rows=200)
    calibrated = ck.cross_calibrate(method, whole, n_folds=4, rng=7)
    changed = whole.labels.copy()
    changed[11] = (changed[11] + 1) % 3
    other = ck.cross_calibrate(method, ck.Predictions.from_logits(changed, whole.logits), n_folds=4, rng=7)
    np.testing.assert_array_equal(calibrated.values[11], other.values[11])
    assert (calibrated.values != other.values).any()
    assert calibrated.notes[-1] == f"calibrated by {method}, cross-fitted over 4 folds of the same rows"


def test_cross_fitting_is_the_loop_over_folds():
    from calibkit.recalibration import fold_of_rows

    whole = predictions(groups=np.repeat(np.arange(80), 5))
    calibrated = ck.cross_calibrate("vector", whole, n_folds=3, rng=1)
    folds = fold_of_rows(whole, 3, np.random.default_rng(1))
    assert all(len(set(folds[whole.groups == g])) == 1 for g in range(80))
    for fold in range(3):
        out = folds == fold
        fitted = ck.VectorScaling().fit(whole.logits[~out], whole.labels[~out])
        np.testing.assert_allclose(
            np.exp(calibrated.logits[out]) / np.exp(calibrated.logits[out]).sum(axis=1, keepdims=True),
            fitted.predict_proba(whole.logits[out]),
            atol=1e-12,
        )


def test_temperature_cross_fitted_is_what_compare_cross_fits():
    whole = predictions(n_rows=1000)
    calibrated = ck.cross_calibrate("temperature", whole)
    fitted, per_row = ck.cross_fit_temperature(whole)
    np.testing.assert_allclose(calibrated.logits, whole.logits / per_row[:, None], rtol=1e-6)
    compared = ck.compare({"net": whole}).scaled.models["net"]["nll"].value
    assert ck.evaluate(calibrated)["nll"].value == pytest.approx(compared, rel=1e-7)
    assert fitted.n == 1000


def test_what_cannot_be_fitted_or_applied_is_refused():
    val, test = predictions(name="val"), predictions(seed=1, name="test")
    fitted = ck.fit_calibrator("platt", val)
    top1 = ck.Predictions.from_correct([True, False], [0.83, 0.57], name="answers")
    cases = [
        (lambda: ck.fit_calibrator("magic", val), ck.OptionError, "method='magic': expected one of"),
        (lambda: ck.fit_calibrator("platt", val, loss="nll"), ck.OptionError, "platt has no option loss; it has clip"),
        (lambda: ck.fit_calibrator("platt", val, input="probs"), ck.OptionError, "platt has no option input"),
        (lambda: ck.fit_calibrator("platt", top1), ck.DataError, "answers: predictions of kind 'correct'"),
        (lambda: ck.cross_calibrate("platt", top1), ck.DataError, "answers: predictions of kind 'correct'"),
        (lambda: ck.fit_calibrator("platt", val.take([3])), ck.DataError, "val: labels: 1 row"),
        (lambda: ck.calibrate(fitted, top1), ck.DataError, "answers: predictions of kind 'correct'"),
        (lambda: ck.calibrate(fitted, predictions(kind="probs")), ck.DataError, "hold probs; .* fitted on logits"),
        (lambda: ck.calibrate(fitted, predictions(n_classes=4)), ck.DataError, "have 4 classes; .* fitted on 3"),
        (lambda: ck.calibrate("c.json", test), ck.InputFormatError, "expected a calibrator, got str"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words):
            call()
    flat = ck.fit_calibrator("platt", predictions(n_classes=2, flat=True))
    with pytest.raises(ck.DataError, match=r"are \(n, 2\); the calibrator was fitted on 1-D logits"):
        ck.calibrate(flat, predictions(n_classes=2, seed=1))


def test_a_bad_value_is_named_with_its_file():
    labels, logits = rows()
    logits[5, 1] = np.nan
    with pytest.raises(ck.DataError, match="net: logits row 5, class 1: value is NaN"):
        ck.fit_calibrator("vector", ck.Predictions.from_logits(labels, logits, name="net"))
    fitted = ck.fit_calibrator("vector", predictions(seed=1))
    with pytest.raises(ck.DataError, match="net: logits row 5, class 1: value is NaN"):
        ck.calibrate(fitted, ck.Predictions.from_logits(labels, logits, name="net"))


@EVERY
def test_printed_probabilities_are_fitted_as_they_are_evaluated(method, tmp_path):
    """Rows of three digits miss 1 by .001; divided by their sums they are the rows of the fit."""
    read = []
    for seed in range(2):
        labels, values = given(3, "probs", n_rows=400, seed=seed)
        values = 0.9 * values + 0.1 / 3  # none is printed as 0
        lines = (f"{label},{','.join(f'{p:.3f}' for p in row)}" for label, row in zip(labels, values, strict=True))
        (tmp_path / f"{seed}.csv").write_text("label,probs_0,probs_1,probs_2\n" + "\n".join(lines))
        read.append(ck.load(tmp_path / f"{seed}.csv"))
    val, test = read
    off = np.abs(val.probs.sum(axis=1) - 1)
    assert 0.0009 < off.max() < 0.0021
    exact = [
        ck.Predictions.from_probs(rows.labels, rows.probs / rows.probs.sum(axis=1, keepdims=True)) for rows in read
    ]
    fitted, expected = ck.fit_calibrator(method, val), ck.fit_calibrator(method, exact[0])
    np.testing.assert_allclose(
        ck.calibrate(fitted, test).values, ck.calibrate(expected, exact[1]).values, rtol=1e-9, atol=1e-12
    )
    assert len(ck.cross_calibrate(method, val)) == 400
