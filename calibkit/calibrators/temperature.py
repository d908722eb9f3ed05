"""Temperature scaling as an estimator. Floor 2."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from typing import ClassVar

import numpy as np

from calibkit._checks import check_choice
from calibkit._numerics import Floats, Integers
from calibkit.calibrators.calibrator import LogLinearCalibrator
from calibkit.calibrators.losses import LOSSES, Loss, brier_of_temperature
from calibkit.calibrators.minimise import least_on_a_line
from calibkit.calibrators.rows import CalibrationRows, Input, log_scores
from calibkit.calibrators.state import Shape
from calibkit.predictions import Predictions
from calibkit.recalibration import BOUNDS, Temperature, fit_temperature


class TemperatureScaling(LogLinearCalibrator):
    """Divide all logits by one number: ``softmax(z / T)``.

    One parameter. T above 1: the model was over-confident; below 1, under-confident. Predicted classes stay as they
    are, so accuracy does too. The first thing to try, and with fewer than some hundred rows the last.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Probabilities enter as log p, 1-D ones as log-odds.
    loss : {"nll", "brier"}, default "nll"
        What is made small.
    clip : float, optional
        Raise probabilities to at least this first; else p = 0 on a true class is refused.

    Attributes
    ----------
    temperature_ : float
        T, in [0.001, 1000]. At an end where every row is right, or worse than guessed: no T is best.
    temperature_interval_ : tuple of float, or None
        Its 95 % interval; None at a bound, and with the Brier score.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    See Also
    --------
    calibkit.fit_temperature : The same T from `Predictions`, with groups and its standard error.

    Notes
    -----
    ``sum_i w_i loss(softmax(z_i / T), y_i)`` is least at T. For the negative log-likelihood this is `fit_temperature`:
    Newton steps on log T from samples of the rows, as a rule two readings of all rows. The Brier score is not convex
    in T: its minimum next to that of the likelihood is taken, by Newton steps kept between points where the slope
    changes sign. The interval is that of `fit_temperature`, valid for a misspecified model.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 4.0], [2.0, 6.0]])
    >>> scaling = TemperatureScaling(input="logits").fit(logits, [0, 0, 1, 0])
    >>> round(scaling.temperature_, 4)
    3.641
    >>> scaling.predict_proba(logits[:1]).round(4)  # three of four are right: odds of 3 to 1
    array([[0.75, 0.25]])
    """

    FITTED: ClassVar[dict[str, Shape]] = {
        "temperature_": Shape(),
        "temperature_interval_": Shape(sizes=(2,), optional=True),
    }

    temperature_: float
    temperature_interval_: tuple[float, float] | None

    def __init__(self, *, input: Input = "logits", loss: Loss = "nll", clip: float | None = None) -> None:
        self.input = input
        self.loss = loss
        self.clip = clip

    def _fit(self, rows: CalibrationRows) -> None:
        fitted = temperature_of(rows, self.loss)
        self.temperature_ = fitted.value
        self.temperature_interval_ = None
        if fitted.low is not None and fitted.high is not None:
            self.temperature_interval_ = (fitted.low, fitted.high)

    def _scores(self, predictions: Predictions) -> Floats:
        return log_scores(predictions) / self.temperature_

    def _check_options(self) -> None:
        super()._check_options()
        check_choice(self.loss, LOSSES, option="loss")

    def _fault(self) -> str | None:
        low, high = BOUNDS
        return None if low <= self.temperature_ <= high else f"temperature_ is outside [{low:g}, {high:g}]"


def temperature_of(rows: CalibrationRows, loss: Loss) -> Temperature:
    """The temperature of least loss; with an interval only for the likelihood."""
    fitted = fit_temperature(rows.predictions)
    if loss == "nll" or fitted.at_bound:
        return fitted
    derive = _brier_along_log_t(log_scores(rows.predictions), rows.labels, rows.weights)
    log_t, at_bound = least_on_a_line(derive, log(fitted.value), low=log(BOUNDS[0]), high=log(BOUNDS[1]))
    value = BOUNDS[log_t > 0] if at_bound else exp(log_t)
    return replace(fitted, value=value, low=None, high=None, log_se=None, at_bound=at_bound)


def _brier_along_log_t(scores: Floats, labels: Integers, weights: Floats) -> Callable[[float], tuple[float, float]]:
    """First and second derivative of the summed Brier score in log T."""
    scores = scores - scores.max(axis=1, keepdims=True)
    np.maximum(scores, -1e30, out=scores)  # a class with p = 0 adds 0, not NaN
    return lambda log_t: brier_of_temperature(scores * exp(-log_t), labels, weights)
