"""Platt scaling: a sigmoid of the log-odds. Floor 2."""

from typing import ClassVar

import numpy as np

from calibkit._numerics import Floats
from calibkit.calibrators.logistic import fit_logistic
from calibkit.calibrators.one_versus_rest import Columns, Maps, OneVersusRestCalibrator
from calibkit.calibrators.rows import Input, log_odds_of_classes
from calibkit.calibrators.state import Shape
from calibkit.predictions import Predictions
from calibkit.scores.row_scores import sigmoid


class PlattScaling(OneVersusRestCalibrator):
    """Map the log-odds of an event by a line: ``sigmoid(a s + b)``.

    2 parameters for two classes, 2 k for more (one map a class, renormalised). It mends forecasts that are too sure and
    shifted; a few dozen rows of each class will do. For k classes prefer vector scaling, which is fitted as a whole.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Probabilities enter as log-odds; 1-D logits are log-odds already.
    maps : {"classwise", "shared"}, default "classwise"
        For more than two classes: a map for each, or one for all, fitted on all n k pairs.
    clip : float, optional
        Raise probabilities to at least this first; else p = 0 of any class is refused.

    Attributes
    ----------
    slopes_, intercepts_ : ndarray of shape (1,) or (k,)
        a and b: of every class; 1 of each for two classes (class 1) or a shared map.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    The log score is made small, not against 0 and 1 but against Platt's targets ``1 / (N_0 + 2)`` and ``(N_1 + 1) /
    (N_1 + 2)``, N being the (weighted) numbers of rows without and with the event. So a line that separates the rows
    still has a finite slope, and an event that never occurs gets a constant. The minimum is found by Newton's method.
    Platt wrote ``1 / (1 + exp(A f + B))``: a = -A, b = -B.

    References
    ----------
    Platt 1999, "Probabilistic outputs for support vector machines", section 2.2. Lin, Lin, Weng 2007, "A note on
    Platt's probabilistic outputs for support vector machines" (Newton's method).

    Examples
    --------
    >>> import numpy as np
    >>> log_odds = np.array([-4.0, -2.0, -1.0, 1.0, 2.0, 4.0])
    >>> scaling = PlattScaling(input="logits").fit(log_odds, [0, 0, 1, 0, 1, 1])
    >>> scaling.slopes_.round(3), scaling.intercepts_.round(3) + 0.0
    (array([0.315]), array([0.]))
    """

    FITTED: ClassVar[dict[str, Shape]] = {"slopes_": Shape(sizes=("maps",)), "intercepts_": Shape(sizes=("maps",))}

    slopes_: Floats
    intercepts_: Floats

    def __init__(self, *, input: Input = "logits", maps: Maps = "classwise", clip: float | None = None) -> None:
        self.input = input
        self.maps = maps
        self.clip = clip

    def _inputs(self, predictions: Predictions) -> Columns:
        log_p, log_rest = log_odds_of_classes(predictions, "a line")
        return (log_p - log_rest,)

    def _fit_map(self, columns: Columns, outcome: Floats, weights: Floats) -> Floats:
        (odds,) = columns
        return platt_line(odds, outcome, weights)

    def _keep(self, maps: list[Floats]) -> None:
        self.slopes_, self.intercepts_ = np.array(maps).T.copy()

    def _apply(self, number: int, columns: Columns) -> Floats:
        (odds,) = columns
        with np.errstate(over="ignore"):
            return sigmoid(self.slopes_[number] * odds + self.intercepts_[number])


def platt_line(odds: Floats, outcome: Floats, weights: Floats) -> Floats:
    """Slope and intercept of least log score against Platt's targets."""
    with_event, without = float(weights @ outcome), float(weights @ (1.0 - outcome))
    targets = np.where(outcome == 1, (with_event + 1) / (with_event + 2), 1 / (without + 2))
    features = np.stack([odds, np.ones(len(odds))], axis=1)
    start = np.array([0.0, np.log((with_event + 1) / (without + 1))])
    return fit_logistic(features, targets, weights, start=start)[0]
