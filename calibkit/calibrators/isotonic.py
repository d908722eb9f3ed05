"""Isotonic calibration: the best map that never falls. Floor 2."""

from typing import ClassVar

import numpy as np

from calibkit._numerics import Floats
from calibkit.calibrators.one_versus_rest import Columns, Maps, OneVersusRestCalibrator
from calibkit.calibrators.rows import Input, probabilities
from calibkit.calibrators.state import Shape
from calibkit.predictions import Predictions


class IsotonicCalibration(OneVersusRestCalibrator):
    """Map the probability of each class by the best function that never falls.

    No shape is assumed but that, so it needs rows: some thousands, and some hundreds of each class. It gives 0 and 1
    where the ends of the range hold one outcome only, which can cost an infinite log score on new rows.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Logits enter as their softmax, 1-D ones as P(y = 1).
    maps : {"classwise", "shared"}, default "classwise"
        For more than two classes: a map for each, or one for all, fitted on all n k pairs.

    Attributes
    ----------
    thresholds_ : list of ndarray
        Forecasts at which each map bends, rising: of every class; one for two classes (class 1) or a shared map.
    values_ : list of ndarray
        What each map gives there; between them it is linear, and beyond them constant.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    For each class j, ``sum_i w_i (f(p_ij) - [y_i = j])^2`` is least among functions that do not fall (pool adjacent
    violators; equal forecasts are pooled first). For more than two classes the mapped values are divided by their
    sum, which is a convention, not a fit; a class without calibration rows gets probability 0.

    References
    ----------
    Zadrozny, Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates" (isotonic
    regression; one class against the rest, normalised).

    Examples
    --------
    >>> import numpy as np
    >>> calibration = IsotonicCalibration(input="probs").fit(np.array([0.2, 0.3, 0.6, 0.7, 0.9]), [0, 1, 0, 1, 1])
    >>> calibration.predict_proba(np.array([0.1, 0.5, 0.65, 0.8]))[:, 1]
    array([0.  , 0.5 , 0.75, 1.  ])
    """

    FITTED: ClassVar[dict[str, Shape]] = {
        "thresholds_": Shape(sizes=("maps",), ragged=True),
        "values_": Shape(sizes=("maps",), ragged=True),
    }
    IN_LOGS: ClassVar[bool] = False

    thresholds_: list[Floats]
    values_: list[Floats]

    def __init__(self, *, input: Input = "logits", maps: Maps = "classwise") -> None:
        self.input = input
        self.maps = maps

    def _inputs(self, predictions: Predictions) -> Columns:
        return (probabilities(predictions),)

    def _fit_map(self, columns: Columns, outcome: Floats, weights: Floats) -> tuple[Floats, Floats]:
        (probs,) = columns
        return _isotonic(probs, outcome, weights)

    def _keep(self, maps: list[tuple[Floats, Floats]]) -> None:
        self.thresholds_ = [thresholds for thresholds, _ in maps]
        self.values_ = [values for _, values in maps]

    def _apply(self, number: int, columns: Columns) -> Floats:
        (probs,) = columns
        return np.interp(probs, self.thresholds_[number], self.values_[number])

    def _fault(self) -> str | None:
        for thresholds, values in zip(self.thresholds_, self.values_, strict=True):
            if len(thresholds) != len(values) or len(values) == 0:
                return "thresholds_ and values_ differ in length"
            if not (np.diff(thresholds) > 0).all() or not (np.diff(values) >= 0).all():
                return "thresholds_ do not rise, or values_ fall"
            if values[0] < 0 or values[-1] > 1:
                return "values_ are outside [0, 1]"
        return None


def _isotonic(forecast: Floats, outcome: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Where the isotonic map of a forecast bends, and its values there."""
    from scipy.optimize import isotonic_regression

    levels, level = np.unique(forecast, return_inverse=True)
    weight = np.bincount(level, weights)
    values = isotonic_regression(np.bincount(level, weights * outcome) / weight, weights=weight).x
    values = np.clip(values, 0.0, 1.0)
    flat = values[1:] == values[:-1]
    inside = np.concatenate([[False], flat[:-1] & flat[1:], [False]]) if len(values) > 1 else np.array([False])
    return levels[~inside], values[~inside]
