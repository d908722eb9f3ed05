"""Predictions in, calibrated predictions out: never the rows of the fit, unless cross-fitted. Floor 2."""

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import Source, check_rng
from calibkit._numerics import Floats, sum_slack
from calibkit.calibrators.calibrator import Calibrator
from calibkit.calibrators.methods import calibrator_class, method_of
from calibkit.calibrators.rows import INPUTS, Input
from calibkit.calibrators.temperature import TemperatureScaling
from calibkit.errors import CalibkitError, DataError, InputFormatError, OptionError
from calibkit.predictions import Predictions
from calibkit.recalibration import fold_of_rows
from calibkit.same_rows import is_too_much, known_by, share_seen, sketch_rows
from calibkit.views import NOT_CLASSES


def fit_calibrator(method: str, predictions: Predictions, **options: Any) -> Calibrator:
    """Calibrator of a method, fitted on predictions whose labels are known.

    Parameters
    ----------
    method : str
        "temperature", "ensemble-temperature", "vector", "dirichlet", "platt", "beta", "isotonic" or "histogram".
    predictions : Predictions
        Calibration rows: logits or probabilities, 1-D or (n, k), with their weights and groups.
    **options
        Options of the calibrator, as in its class; ``input`` is told by the predictions.

    Returns
    -------
    Calibrator
        A `TemperatureScaling`, `VectorScaling`, ...; its ``save`` writes JSON.

    Raises
    ------
    OptionError
        For a method or an option that there is not.
    DataError
        If the rows cannot be fitted: one confidence a row, fewer than two rows, rows of one class; ragged rows by
        another method than temperature.

    Examples
    --------
    >>> import calibkit as ck
    >>> rows = ck.Predictions.from_probs([0, 1, 0, 1, 1], [0.2, 0.3, 0.6, 0.7, 0.9])
    >>> fit_calibrator("isotonic", rows)
    IsotonicCalibration(input='probs')
    """
    kind = calibrator_class(method)
    _refuse_top_1(predictions)
    _refuse_choices(kind, predictions, clip=options.get("clip"))
    allowed = [name for name in kind._get_param_names() if name != "input"]
    if strange := [name for name in options if name not in allowed]:
        raise OptionError(f"{method} has no option {strange[0]}; it has {', '.join(allowed)}.")
    calibrator = kind(input=predictions.kind, **options)
    assert predictions.labels is not None
    try:
        fitted = calibrator.fit(
            _rows_of(predictions), predictions.labels, sample_weight=predictions.weights, groups=predictions.groups
        )
    except CalibkitError as error:
        _with_name(error, predictions.name)
    fitted.fitted_on_ = sketch_rows(predictions.labels, known_by(predictions))
    return fitted


def calibrate(calibrator: Calibrator, predictions: Predictions) -> Predictions:
    """Predictions with calibrated forecasts.

    Parameters
    ----------
    calibrator : Calibrator
        Fitted, or loaded by `load_calibrator`.
    predictions : Predictions
        Of the kind (logits or probabilities) and number of classes that were fitted; other rows. A temperature
        takes ragged rows too, of any numbers of choices.

    Returns
    -------
    Predictions
        The same rows, with all that goes along with them. Logits where the calibrator makes logits (temperature,
        vector, Dirichlet), probabilities else; 1-D if the forecast is.

    Raises
    ------
    DataError
        If they are of another kind or number of classes, or if many of the rows that the calibrator was fitted on,
        about half or more, are among them.

    Notes
    -----
    Scores of the rows of the fit look better than they are. Rows are known again by label and forecast: a calibrator
    carries a sketch of the rows of its fit, in its JSON too. Where most calibration rows have a twin among themselves
    (a few distinct probabilities), only exactly the same set of rows is recognised.

    Examples
    --------
    >>> import calibkit as ck
    >>> fitted = fit_calibrator("platt", ck.Predictions.from_logits([0, 0, 1, 0, 1, 1], [-4.0, -2, -1, 1, 2, 4]))
    >>> test = ck.Predictions.from_logits([0, 1], [-3.0, 3.0])
    >>> calibrate(fitted, test).probs.round(3)
    array([0.28, 0.72])
    """
    if not isinstance(calibrator, Calibrator):
        raise InputFormatError(f"calibrator: expected a calibrator, got {type(calibrator).__name__}.")
    _check_fit(calibrator, predictions)
    assert predictions.labels is not None
    share = share_seen(calibrator.fitted_on_, predictions.labels, known_by(predictions))
    if is_too_much(share, calibrator.fitted_on_):
        raise DataError(
            f"{Source(name=predictions.name).of('predictions')}: {share:.0%} of the {calibrator.fitted_on_.n_rows:,} "
            "rows that the calibrator was fitted on are among them, and their scores would look better than they are. "
            "Calibrate other rows, or cross-fit these (`cross_calibrate`, `calibkit recalibrate cross-fit`)."
        )
    how = f"{method_of(calibrator)}, fitted on {calibrator.fitted_on_.n_rows:,} other rows"
    return _calibrated(predictions, calibrator, *_values(calibrator, predictions), how=how)


def cross_calibrate(
    method: str, predictions: Predictions, *, n_folds: int = 5, rng: int | np.random.Generator = 0, **options: Any
) -> Predictions:
    """Calibrated forecasts of the very rows that are fitted, each by a fit on the folds that its row is not in.

    Parameters
    ----------
    method : str
        As in `fit_calibrator`.
    predictions : Predictions
        Logits or probabilities, 1-D or (n, k).
    n_folds : int, default 5
        Folds of equal size, drawn at random; groups stay whole.
    rng : int or numpy.random.Generator, default 0
        Draws the folds.
    **options
        As in `fit_calibrator`.

    Returns
    -------
    Predictions
        As from `calibrate`. They show what the method does with (k - 1)/k of the rows, for it is not one calibrator.

    Raises
    ------
    OptionError, DataError
        As in `fit_calibrator`; a fold without two classes among the others is one of these.

    References
    ----------
    Ashukha, Lyzhov, Molchanov, Vetrov 2020, "Pitfalls of in-domain uncertainty estimation and ensembling in deep
    learning", section 3 (cross-validated temperature).

    Examples
    --------
    >>> import calibkit as ck
    >>> rows = ck.Predictions.from_logits([0, 0, 1, 0, 1, 1], [-4.0, -2, -1, 1, 2, 4])
    >>> cross_calibrate("platt", rows, n_folds=3).notes
    ('calibrated by platt, cross-fitted over 3 folds of the same rows',)
    """
    _refuse_top_1(predictions)
    folds = fold_of_rows(predictions, n_folds, check_rng(rng))
    found = np.empty(predictions.values.shape)
    kind: Input = "probs"
    for fold in range(folds.max() + 1):
        calibrator = fit_calibrator(method, predictions.take(folds != fold), **options)
        kind, found[folds == fold] = _values(calibrator, predictions.take(folds == fold))
    how = f"{method}, cross-fitted over {folds.max() + 1} folds of the same rows"
    return _calibrated(predictions, calibrator, kind, found, how=how)


def _rows_of(predictions: Predictions) -> NDArray[Any]:
    """Values as a calibrator takes them: it knows of no digits, by which rows of printed probabilities miss 1."""
    values, tolerance = predictions.values, predictions.sum_tolerance
    if tolerance is None or tolerance <= sum_slack(values.shape[1], float(np.finfo(values.dtype).eps)):
        return values
    sums = np.asarray(values, dtype=np.float64).sum(axis=1, keepdims=True)
    # What is off by more is left, for the calibrator to complain of.
    return np.asarray(values / np.where(np.abs(sums - 1) <= tolerance, sums, 1.0))


def _values(calibrator: Calibrator, predictions: Predictions) -> tuple[Input, Floats]:
    """Kind and values of the calibrated forecast, in the shape of the forecast."""
    if predictions.n_choices is not None and isinstance(calibrator, TemperatureScaling):
        return "logits", calibrator._scores(predictions)
    try:
        kind, values = calibrator.calibrated(_rows_of(predictions))
    except CalibkitError as error:
        _with_name(error, predictions.name)
    if predictions.is_binary:
        values = values[:, 1] - values[:, 0] if kind == "logits" else values[:, 1]
    return kind, values


def _calibrated(
    predictions: Predictions, calibrator: Calibrator, kind: Input, values: Floats, *, how: str
) -> Predictions:
    """The rows with other forecasts, and how these were made."""
    values.flags.writeable = False
    options = {name: value for name, value in calibrator.get_params().items() if name != "input"}
    told = {"method": method_of(calibrator), "options": options, "how": how}
    is_matrix = kind == "probs" and values.ndim == 2
    return replace(
        predictions,
        kind=kind,
        logits=values if kind == "logits" else None,
        probs=values if kind == "probs" else None,
        sum_tolerance=sum_slack(values.shape[1], float(np.finfo(values.dtype).eps)) if is_matrix else None,
        provenance={**predictions.provenance, "calibrated": told},
        notes=(*predictions.notes, f"calibrated by {how}"),
    )


def _refuse_top_1(predictions: Predictions) -> None:
    """Raise for one confidence a row."""
    if predictions.kind not in INPUTS:
        raise DataError(
            f"{Source(name=predictions.name).of('predictions')} of kind {predictions.kind!r} hold one confidence a "
            "row. Save logits or the probabilities of all classes, or read the confidence as the probability of "
            'being correct: load it with labels="correct" probs="confidence", or make it by '
            "Predictions.from_probs(correct, confidence)."
        )


def _refuse_choices(kind: type[Calibrator], predictions: Predictions, *, clip: object) -> None:
    """Raise for ragged rows, unless one number divides all their logits."""
    if predictions.n_choices is None:
        return
    if kind is not TemperatureScaling:
        raise DataError(
            f"{Source(name=predictions.name).of('predictions')}: {kind.__name__} maps each class by itself or counts "
            f"them, and {NOT_CLASSES}. A temperature can be fitted: method temperature."
        )
    if clip is not None:
        raise OptionError(f"clip={clip!r} would raise what fills ragged rows up; clip the rows as they are read.")


def _check_fit(calibrator: Calibrator, predictions: Predictions) -> None:
    """Raise for predictions of another kind than a calibrator was fitted on."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(calibrator)
    _refuse_top_1(predictions)
    where, given = Source(name=predictions.name).of("predictions"), predictions.kind
    if given != calibrator.input:
        raise DataError(f"{where} hold {given}; the calibrator was fitted on {calibrator.input}. Give it the same.")
    _refuse_choices(type(calibrator), predictions, clip=getattr(calibrator, "clip", None))
    if predictions.n_choices is None and predictions.n_classes != len(calibrator.classes_):
        raise DataError(
            f"{where} have {predictions.n_classes} classes; the calibrator was fitted on {len(calibrator.classes_)}."
        )
    if predictions.is_binary != (calibrator.n_features_in_ == 1):
        shapes = ("1-D", "(n, 2)") if predictions.is_binary else ("(n, 2)", "1-D")
        raise DataError(f"{where} are {shapes[0]}; the calibrator was fitted on {shapes[1]} {given}.")


def _with_name(error: CalibkitError, name: str | None) -> NoReturn:
    """Raise an error again that begins with the name of the predictions."""
    if name is None or str(error).startswith(f"{name}:"):
        raise error
    raise type(error)(f"{name}: {error}") from error
