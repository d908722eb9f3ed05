"""Beta calibration: a sigmoid of log p and log(1 - p). Floor 2."""

from itertools import product
from typing import ClassVar

import numpy as np

from calibkit._checks import check_real
from calibkit._numerics import Floats
from calibkit.calibrators.logistic import fit_logistic
from calibkit.calibrators.one_versus_rest import Columns, Maps, OneVersusRestCalibrator
from calibkit.calibrators.rows import Input, log_odds_of_classes
from calibkit.calibrators.state import Shape
from calibkit.calibrators.vector import PENALTY
from calibkit.predictions import Predictions
from calibkit.scores.row_scores import sigmoid


class BetaCalibration(OneVersusRestCalibrator):
    """Map a probability by ``sigmoid(a log p - b log(1 - p) + c)``, a and b at least 0.

    3 parameters for two classes, 3 k for more (one map a class, renormalised). It bends either end by itself, which
    Platt's line cannot, and holds the identity (a = b = 1, c = 0). Give it a hundred rows of each class or more.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Logits enter as their softmax, 1-D ones as P(y = 1).
    penalty : float, default 0.01
        Strength of the pull to the identity; above 0.
    maps : {"classwise", "shared"}, default "classwise"
        For more than two classes: a map for each, or one for all, fitted on all n k pairs.
    clip : float, optional
        Raise probabilities to at least this first; else p = 0 of any class is refused.

    Attributes
    ----------
    coefficients_ : ndarray of shape (1, 3) or (k, 3)
        a, b, c of every class; one row for two classes (class 1) or a shared map.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    A logistic regression on ``log p`` and ``-log(1 - p)``. A negative coefficient, which would make the map fall, is
    set to 0 and the others are fitted again: of all fits with some coefficients at 0 and none negative the best is
    taken, which is the minimum, for the log score is convex. ``penalty / 2 ((a - 1)^2 + (b - 1)^2 + c^2)`` is added to
    the sum over the rows: a normal prior of standard deviation 10, lost among a few hundred rows, which leaves a
    defined answer where the rows are separated.

    References
    ----------
    Kull, Silva Filho, Flach 2017, "Beta calibration: a well-founded and easily implemented improvement on logistic
    calibration for binary classifiers", section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> p = rng.beta(0.5, 0.5, size=20_000)
    >>> odds = 2.0 * np.log(p) - 0.5 * np.log(1 - p) + 0.3
    >>> labels = rng.random(len(p)) < 1 / (1 + np.exp(-odds))
    >>> BetaCalibration(input="probs").fit(p, labels).coefficients_.round(1)
    array([[2.1, 0.5, 0.4]])
    """

    FITTED: ClassVar[dict[str, Shape]] = {"coefficients_": Shape(sizes=("maps", 3))}

    coefficients_: Floats

    def __init__(
        self,
        *,
        input: Input = "logits",
        penalty: float = PENALTY,
        maps: Maps = "classwise",
        clip: float | None = None,
    ) -> None:
        self.input = input
        self.penalty = penalty
        self.maps = maps
        self.clip = clip

    def _inputs(self, predictions: Predictions) -> Columns:
        return log_odds_of_classes(predictions, "a factor")

    def _fit_map(self, columns: Columns, outcome: Floats, weights: Floats) -> Floats:
        return beta_coefficients(_features(*columns), outcome, weights, penalty=float(self.penalty))

    def _keep(self, maps: list[Floats]) -> None:
        self.coefficients_ = np.array(maps)

    def _apply(self, number: int, columns: Columns) -> Floats:
        with np.errstate(over="ignore"):
            return sigmoid(_features(*columns) @ self.coefficients_[number])

    def _check_options(self) -> None:
        super()._check_options()
        check_real(self.penalty, option="penalty", low=0.0, high=np.inf)

    def _fault(self) -> str | None:
        return "coefficients_ a or b are below 0" if (self.coefficients_[:, :2] < 0).any() else None


def _features(log_p: Floats, log_rest: Floats) -> Floats:
    """What a, b and c multiply, shape (n, 3)."""
    return np.stack([log_p, -log_rest, np.ones(len(log_p))], axis=1)


def beta_coefficients(features: Floats, outcome: Floats, weights: Floats, *, penalty: float) -> Floats:
    """Coefficients (a, b, c) of least penalised log score with a and b at least 0."""
    identity, best, least = np.array([1.0, 1.0, 0.0]), np.zeros(3), np.inf
    for free_a, free_b in product((True, False), repeat=2):
        free = np.array([free_a, free_b, True])
        found = np.zeros(3)
        found[free], score = fit_logistic(features[:, free], outcome, weights, start=identity[free], penalty=penalty)
        score += penalty / 2 * float((identity[~free] ** 2).sum())
        if (found[:2] >= 0).all() and score < least:
            best, least = found, score
        if free.all() and (found[:2] >= 0).all():
            break
    return best
