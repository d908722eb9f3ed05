"""Vector scaling: a factor and an offset for each class's logit. Floor 2."""

from typing import ClassVar

import numpy as np

from calibkit._checks import check_choice, check_real
from calibkit._numerics import Floats
from calibkit.calibrators.calibrator import LogLinearCalibrator
from calibkit.calibrators.losses import LOSSES, Loss, change_of_gradients, row_gradients
from calibkit.calibrators.minimise import Product, least_convex, quasi_newton
from calibkit.calibrators.rows import CalibrationRows, Input, finite_log_scores, softmax
from calibkit.calibrators.state import Shape
from calibkit.predictions import Predictions

PENALTY = 0.01


class VectorScaling(LogLinearCalibrator):
    """Give each class a factor and an offset: ``softmax(w * z + b)``.

    2 k parameters: it can mend a class that is favoured or slighted, which one temperature cannot. It may change the
    predicted class. Give it some dozens of rows of every class.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Probabilities enter as log p.
    loss : {"nll", "brier"}, default "nll"
        What is made small.
    penalty : float, default 0.01
        Strength of the pull to ``w = 1, b = 0``; above 0.
    clip : float, optional
        Raise probabilities to at least this first; else p = 0 of any class is refused.

    Attributes
    ----------
    weights_ : ndarray of shape (k,)
        Factors w.
    biases_ : ndarray of shape (k,)
        Offsets b. For two classes and for 1-D input only their differences count.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    ``sum_i c_i loss(softmax(w * z_i + b), y_i) + penalty / 2 (|w - 1|^2 + |b|^2)`` is least, c the row weights. The sum
    grows with the rows and the penalty does not: it is a normal prior of standard deviation 10, lost among a few
    hundred rows, which leaves a defined answer where the likelihood has none, for a class that never occurs or rows
    that a line separates. The factors see more than the softmax does: a number added to all logits of a row changes
    the result, so that logits and their log p are fitted differently. With the log score the function is strictly
    convex: Newton's method, above 150 classes with conjugate gradients inside. The Brier score is not convex: L-BFGS
    goes on from the minimum of the log score.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(2000, 3))
    >>> labels = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> scaling = VectorScaling(input="logits").fit(3 * honest + [0.0, 0.0, 1.5], labels)
    >>> scaling.weights_.round(1), (scaling.biases_[2] - scaling.biases_[0]).round(1)
    (array([0.4, 0.3, 0.4]), np.float64(-0.6))
    """

    FITTED: ClassVar[dict[str, Shape]] = {"weights_": Shape(sizes=("k",)), "biases_": Shape(sizes=("k",))}

    weights_: Floats
    biases_: Floats

    def __init__(
        self, *, input: Input = "logits", loss: Loss = "nll", penalty: float = PENALTY, clip: float | None = None
    ) -> None:
        self.input = input
        self.loss = loss
        self.penalty = penalty
        self.clip = clip

    def _fit(self, rows: CalibrationRows) -> None:
        problem = _Problem(finite_log_scores(rows.predictions, "a factor"), rows, float(self.penalty))
        found = least_convex(problem.log_score, problem.curvature, problem.turning, problem.start)
        if self.loss == "brier":
            found = quasi_newton(problem.brier_score, found)
        self.weights_, self.biases_ = found.reshape(2, -1)

    def _scores(self, predictions: Predictions) -> Floats:
        return finite_log_scores(predictions, "a factor") * self.weights_ + self.biases_

    def _check_options(self) -> None:
        super()._check_options()
        check_choice(self.loss, LOSSES, option="loss")
        check_real(self.penalty, option="penalty", low=0.0, high=np.inf)


class _Problem:
    """The penalised loss of parameters (w, b), one after the other in a vector."""

    def __init__(self, scores: Floats, rows: CalibrationRows, penalty: float) -> None:
        self.scores, self.rows, self.penalty = scores, rows, penalty
        self.start = np.concatenate([np.ones(rows.n_classes), np.zeros(rows.n_classes)])

    def log_score(self, point: Floats) -> tuple[float, Floats]:
        """Value and gradient with the log score."""
        return self._value(point, "nll")

    def brier_score(self, point: Floats) -> tuple[float, Floats]:
        """Value and gradient with the Brier score."""
        return self._value(point, "brier")

    def _value(self, point: Floats, loss: Loss) -> tuple[float, Floats]:
        away = point - self.start
        value, gradient = self.penalty / 2 * float(away @ away), self.penalty * away
        labels, weights = self.rows.labels, self.rows.weights
        for rows in self.rows.blocks():
            score, gradients = row_gradients(self._logits(point, rows), labels[rows], weights[rows], loss)
            value += score
            gradient += self._sums(gradients, rows)
        return value, gradient

    def curvature(self, point: Floats) -> Floats:
        """Second derivatives with the log score: ``sum_i c_i (diag(q_i) - q_i q_i')`` in a class's two parameters."""
        weights = self.rows.weights[:, None]
        q = softmax(self._logits(point))
        features = np.concatenate([q * self.scores, q], axis=1)  # (n, 2k): what q_j' multiplies
        matrix = -(features * weights).T @ features
        k = self.rows.n_classes
        own = np.stack([(weights * q * self.scores**power).sum(axis=0) for power in (0, 1, 2)])
        each = np.arange(k)
        matrix[each, each] += own[2]
        matrix[each, k + each] += own[1]
        matrix[k + each, each] += own[1]
        matrix[k + each, k + each] += own[0]
        return np.asarray(matrix + self.penalty * np.eye(2 * k))

    def turning(self, point: Floats) -> tuple[Product, Floats]:
        """Product of the second derivatives with a vector, without the matrix, and their diagonal."""
        parts = [(rows, softmax(self._logits(point, rows))) for rows in self.rows.blocks()]
        diagonal = np.full(len(point), self.penalty)
        for rows, q in parts:
            spread = self.rows.weights[rows, None] * q * (1.0 - q)
            diagonal += np.concatenate([np.einsum("ij,ij->j", spread, self.scores[rows] ** 2), spread.sum(axis=0)])

        def product(direction: Floats) -> Floats:
            found = self.penalty * direction
            for rows, q in parts:
                change = change_of_gradients(q, self._logits(direction, rows), self.rows.weights[rows])
                found += self._sums(change, rows)
            return found

        return product, diagonal

    def _logits(self, point: Floats, rows: slice = slice(None)) -> Floats:
        factors, offsets = point.reshape(2, -1)
        logits = self.scores[rows] * factors
        logits += offsets
        return logits

    def _sums(self, of_logits: Floats, rows: slice) -> Floats:
        """Sums over rows of what the logits give to each parameter."""
        return np.concatenate([np.einsum("ij,ij->j", of_logits, self.scores[rows]), of_logits.sum(axis=0)])
