"""What every calibrator is: a scikit-learn classifier whose features are a classifier's own forecast. Floor 2."""

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from calibkit._checks import check_choice
from calibkit._numerics import Floats
from calibkit.calibrators.rows import (
    INPUTS,
    CalibrationRows,
    Input,
    check_values,
    forecast,
    label_codes,
    log_softmax,
    refuse_column,
    refuse_few,
    row_weights,
    softmax,
    with_baseline,
)
from calibkit.calibrators.state import Shape
from calibkit.errors import CalibkitError, InputFormatError, OptionError, ShapeError
from calibkit.files.source import AnyPath
from calibkit.predictions import Predictions
from calibkit.same_rows import RowSketch, sketch_rows

_NO_LABELS = "no_validation"  # scikit-learn's word for it


class Calibrator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A map from forecasts to better calibrated ones, fitted on rows that are used for nothing else.

    The base of all calibrators: it checks what comes in and turns it into `Predictions`. A calibrator says how to fit
    (`_fit`) and how to forecast (`_forecast`), and names its fitted numbers in ``FITTED``.
    """

    FITTED: ClassVar[dict[str, Shape]]
    # Whether the fit takes logarithms, which clip can keep finite.
    IN_LOGS: ClassVar[bool] = True

    input: Input
    clip: float | None
    n_features_in_: int
    classes_: NDArray[Any]
    fitted_on_: RowSketch

    def fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit on calibration rows.

        Parameters
        ----------
        X : array_like of shape (n, k) or (n,)
            Logits or probabilities, as ``input`` says, a column for each class; 1-D: of class 1 of two. Logits
            (n, k - 1) of k labels are log-odds against the first label, with a warning that says so.
        y : array_like of shape (n,)
            True classes: column numbers 0..k-1, or k distinct labels in the sorted order of the columns.
        sample_weight : array_like of shape (n,), optional
            Weights of at least 0; whole ones act as repetition.
        groups : array_like of shape (n,), optional
            Which rows are dependent; no fit changes, but the interval of a temperature does.

        Returns
        -------
        Calibrator
            Itself.

        Raises
        ------
        ShapeError, LabelError, DataError, OptionError
            Naming what is wrong; also with fewer than 2 rows, or rows of one class only.
        """
        self._check_options()
        values, given = self._validated(X, y)
        codes, self.classes_ = label_codes(given, values.shape[1:], self.input)
        if self._has_baseline():
            warnings.warn(_baseline_words(self.classes_, values.shape[1]), UserWarning, stacklevel=2)
        weights = row_weights(sample_weight, len(values))
        predictions = self._predictions(values, labels=codes, weights=weights, groups=groups)
        check_values(predictions)
        rows = CalibrationRows(
            predictions=predictions,
            weights=np.ones(len(predictions)) if predictions.weights is None else predictions.weights,
        )
        refuse_few(rows)
        self._fit(rows)
        self.fitted_on_ = sketch_rows(codes, values)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Calibrated probabilities.

        Parameters
        ----------
        X : array_like of shape (n, k) or (n,)
            Forecasts of the kind and shape that were fitted.

        Returns
        -------
        ndarray of shape (n, k)
            Each row sums to 1; columns are in the order of ``classes_``. A 1-D forecast gives (n, 2).
        """
        return self._forecast(self._rows(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Label of the most probable class of each row; ties go to the first column."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def calibrated(self, X: ArrayLike) -> tuple[Input, Floats]:  # noqa: N803
        """Calibrated logits (n, k) of a calibrator that makes logits, probabilities of any other; and which."""
        return "probs", self.predict_proba(X)

    def save(self, path: AnyPath) -> None:
        """Write the fitted calibrator as JSON; `calibkit.load_calibrator` reads it back, every bit the same.

        Parameters
        ----------
        path : path-like
            Ends in ``.json``. A file that is there is replaced when the new one is complete.

        Raises
        ------
        OutputError
            If the file cannot be written; what stood there is untouched.
        """
        from calibkit.calibrators.saving import save_calibrator

        save_calibrator(self, path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # it mends forecasts; features that are none it does not learn from
        return tags

    def _fit(self, rows: CalibrationRows) -> None:
        """Set the fitted numbers."""
        raise NotImplementedError

    def _forecast(self, predictions: Predictions) -> Floats:
        """Calibrated probabilities (n, k)."""
        raise NotImplementedError

    def _fault(self) -> str | None:
        """What is wrong with fitted numbers that a file gave, though their shapes are right."""
        return None

    def _check_options(self) -> None:
        """Raise for an option that is not allowed."""
        check_choice(self.input, INPUTS, option="input")
        if self.IN_LOGS and self.clip is not None and self.input == "logits":
            raise OptionError(f"clip={self.clip!r} raises probabilities; the input is logits, which need none.")

    def n_maps(self, n_classes: int) -> int:
        """How many one-versus-rest maps k classes have; 0 for what is fitted as a whole."""
        del n_classes
        return 0

    def _has_baseline(self) -> bool:
        """Whether the first class has no column: 1-D log-odds aside, columns are log-odds against it."""
        return len(self.classes_) > max(2, self.n_features_in_)

    def _predictions(self, values: NDArray[Any], **told: Any) -> Predictions:
        """What is given, as predictions."""
        if self.IN_LOGS and self.clip is not None:
            told["clip"] = self.clip
        return forecast(with_baseline(values) if self._has_baseline() else values, self.input, **told)

    def _rows(self, values: ArrayLike) -> Predictions:
        """Rows to apply the calibrator to, checked."""
        check_is_fitted(self)
        checked, _ = self._validated(values)
        predictions = self._predictions(checked)
        check_values(predictions)
        return predictions

    def _validated(self, values: ArrayLike, y: ArrayLike | str = _NO_LABELS) -> tuple[NDArray[Any], NDArray[Any]]:
        """Forecast and labels by scikit-learn's protocol, which remembers the columns; a 1-D forecast is one column."""
        fitting = not (isinstance(y, str) and y == _NO_LABELS)
        flat = _is_flat(values)
        if flat and not fitting and self.n_features_in_ > 1:
            raise ShapeError(
                f"{self.input} is 1-D, but the calibrator was fitted on {self.n_features_in_} columns. Reshape your "
                "data: one row is given as [[...]]."
            )
        try:
            columns = np.asarray(values)[:, None] if flat else values
            checked = validate_data(self, columns, y, reset=fitting, dtype="numeric", ensure_all_finite=False)
            array, labels = checked if fitting else (checked, np.empty(0))
            if fitting:
                check_classification_targets(labels)
        except CalibkitError:
            raise
        except ValueError as error:
            raise InputFormatError(str(error)) from error
        if not flat:
            refuse_column(array.shape[1], self.input)
        return array[:, 0] if flat else array, np.asarray(labels)


def _is_flat(values: object) -> bool:
    """Whether a forecast is 1-D; anything that is no array is left for scikit-learn to refuse."""
    n_dims = getattr(values, "ndim", None)
    if n_dims is not None:
        return bool(n_dims == 1)
    try:
        return np.asarray(values).ndim == 1
    except (ValueError, TypeError):
        return False


def _baseline_words(classes: NDArray[Any], n_columns: int) -> str:
    """What is said of logits with one column less than there are labels."""
    return (
        f"labels are of {len(classes)} classes and logits have {n_columns} columns: they are read as log-odds of the "
        f"other classes against {classes[0]!r}. If the label {classes[0]!r} or {classes[-1]!r} is a mistake, mend it."
    )


class LogLinearCalibrator(Calibrator):
    """A calibrator whose probabilities are the softmax of scores that follow from the log-scores."""

    def predict_log_proba(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Logarithms of the calibrated probabilities, finite where the probabilities themselves round to 0."""
        return log_softmax(self._scores(self._rows(X)))

    def calibrated(self, X: ArrayLike) -> tuple[Input, Floats]:  # noqa: N803
        """Calibrated logits (n, k), which lose nothing to rounding."""
        return "logits", self._scores(self._rows(X))

    def _scores(self, predictions: Predictions) -> Floats:
        """Calibrated logits (n, k)."""
        raise NotImplementedError

    def _forecast(self, predictions: Predictions) -> Floats:
        return softmax(self._scores(predictions))
