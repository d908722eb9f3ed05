"""Ensemble temperature scaling: tempered, untempered and uniform forecasts, mixed. Floor 2."""

from typing import ClassVar

import numpy as np

from calibkit._checks import check_choice
from calibkit._numerics import Floats
from calibkit.calibrators.calibrator import Calibrator
from calibkit.calibrators.losses import LOSSES, Loss
from calibkit.calibrators.rows import CalibrationRows, Input, log_scores, softmax
from calibkit.calibrators.simplex import least_log_loss, least_quadratic
from calibkit.calibrators.state import Shape
from calibkit.calibrators.temperature import temperature_of
from calibkit.predictions import Predictions
from calibkit.recalibration import BOUNDS


class EnsembleTemperatureScaling(Calibrator):
    """Mix three forecasts: at the temperature T, as given, and uniform.

    ``q = w_1 softmax(z / T) + w_2 softmax(z) + w_3 / k``: 4 parameters, 3 of them free of each other. Predicted
    classes stay as they are, and the uniform share keeps rare blunders from costing much. Where temperature scaling is
    enough, w_1 is close to 1, and nothing is gained.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Probabilities enter as log p, 1-D ones as log-odds.
    loss : {"nll", "brier"}, default "nll"
        What is made small, first by T alone, then by the weights.
    clip : float, optional
        Raise probabilities to at least this first; else p = 0 on a true class is refused.

    Attributes
    ----------
    temperature_ : float
        T, as `TemperatureScaling` fits it.
    weights_ : ndarray of shape (3,)
        w_1, w_2, w_3: at least 0, their sum 1. Not unique where T = 1.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    With T held, the loss is convex in the weights: a quadratic with the Brier score, whose minimum over the simplex is
    the best of its seven faces; with the log score, Newton's method makes such quadratics.

    References
    ----------
    Zhang, Kailkhura, Han 2020, "Mix-n-match: ensemble and compositional methods for uncertainty calibration in deep
    learning" (ensemble temperature scaling).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> honest = 3 * rng.normal(size=(5000, 4))
    >>> labels = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> labels[:1000] = rng.integers(0, 4, 1000)  # a fifth of the rows are blunders
    >>> EnsembleTemperatureScaling(input="logits").fit(honest, labels).weights_[2].round(1)
    np.float64(0.2)
    """

    FITTED: ClassVar[dict[str, Shape]] = {"temperature_": Shape(), "weights_": Shape(sizes=(3,))}

    temperature_: float
    weights_: Floats

    def __init__(self, *, input: Input = "logits", loss: Loss = "nll", clip: float | None = None) -> None:
        self.input = input
        self.loss = loss
        self.clip = clip

    def _fit(self, rows: CalibrationRows) -> None:
        self.temperature_ = temperature_of(rows, self.loss).value
        members = self._members(rows.predictions)
        true = np.arange(len(rows.labels)), rows.labels
        likelihoods = np.stack([member[true] for member in members], axis=1)  # (n, 3)
        if self.loss == "nll":
            self.weights_ = least_log_loss(likelihoods, rows.weights)
        else:
            shares = rows.weights / rows.weights.sum()
            products = [[float(shares @ (a * b).sum(axis=1)) for b in members] for a in members]
            self.weights_ = least_quadratic(2.0 * np.array(products), -2.0 * (shares @ likelihoods))

    def _members(self, predictions: Predictions) -> list[Floats]:
        """The three forecasts."""
        scores = log_scores(predictions)
        return [softmax(scores / self.temperature_), softmax(scores), np.full_like(scores, 1.0 / scores.shape[1])]

    def _forecast(self, predictions: Predictions) -> Floats:
        mixed = sum(weight * member for weight, member in zip(self.weights_, self._members(predictions), strict=True))
        return np.asarray(mixed)

    def _check_options(self) -> None:
        super()._check_options()
        check_choice(self.loss, LOSSES, option="loss")

    def _fault(self) -> str | None:
        if not BOUNDS[0] <= self.temperature_ <= BOUNDS[1]:
            return f"temperature_ is outside [{BOUNDS[0]:g}, {BOUNDS[1]:g}]"
        if (self.weights_ < 0).any() or abs(self.weights_.sum() - 1) > 1e-9:
            return "weights_ are not a distribution"
        return None
