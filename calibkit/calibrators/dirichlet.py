"""Dirichlet calibration: a matrix and an offset on log p, held to its diagonal. Floor 2."""

from typing import ClassVar

import numpy as np

from calibkit._checks import check_real
from calibkit._numerics import Floats
from calibkit.calibrators.calibrator import LogLinearCalibrator
from calibkit.calibrators.losses import change_of_gradients, row_gradients
from calibkit.calibrators.minimise import Product, least_convex
from calibkit.calibrators.rows import CalibrationRows, Input, finite_log_scores, log_softmax, softmax
from calibkit.calibrators.state import Shape
from calibkit.calibrators.vector import PENALTY
from calibkit.errors import OptionError
from calibkit.predictions import Predictions


class DirichletCalibration(LogLinearCalibrator):
    """Mix the log-probabilities of all classes: ``softmax(W log p + b)``, with ODIR.

    k (k + 1) parameters: it can move probability between any two classes that are confused. It needs a choice of
    ``penalty`` by cross-validation and many rows; with few of them or above some hundred classes take vector scaling.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Logits enter as the logarithm of their softmax.
    penalty : float, default 0.001
        lambda of ODIR, the pull of the entries off W's diagonal to 0; above 0.
    bias_penalty : float, optional
        mu of ODIR, the pull of b to 0; above 0. Default: as `penalty`.
    clip : float, optional
        Raise probabilities to at least this first; else p = 0 of any class is refused.

    Attributes
    ----------
    weights_ : ndarray of shape (k, k)
        W; row j makes the logit of class j.
    biases_ : ndarray of shape (k,)
        b.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    The mean negative log-likelihood, plus ODIR (off-diagonal and intercept regularisation)
    ``lambda / (k (k - 1)) sum_{i != j} w_ij^2 + mu / k sum_j b_j^2``, is least. The diagonal, which ODIR leaves free,
    gets a normal prior of mean 1 and standard deviation 10 (0.005 sum_j (w_jj - 1)^2 on the sum over the rows), so that
    a class that never occurs, or separated rows, have a defined answer. The function is strictly convex: Newton's
    method, above 16 classes with conjugate gradients inside.

    References
    ----------
    Kull, Perello-Nieto, Kängsepp, Silva Filho, Song, Flach 2019, "Beyond temperature scaling: obtaining
    well-calibrated multi-class probabilities with Dirichlet calibration", section 3 (the map, and ODIR).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(3000, 3))
    >>> noisy = logits + 0.8 * logits[:, [1, 0, 2]]  # classes 0 and 1 leak into each other
    >>> labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> calibration = DirichletCalibration(input="logits", penalty=1e-4).fit(noisy, labels)
    >>> bool(calibration.weights_[0, 1] < 0 < calibration.weights_[0, 0])
    True
    """

    FITTED: ClassVar[dict[str, Shape]] = {"weights_": Shape(sizes=("k", "k")), "biases_": Shape(sizes=("k",))}

    weights_: Floats
    biases_: Floats

    def __init__(
        self,
        *,
        input: Input = "logits",
        penalty: float = 1e-3,
        bias_penalty: float | None = None,
        clip: float | None = None,
    ) -> None:
        self.input = input
        self.penalty = penalty
        self.bias_penalty = bias_penalty
        self.clip = clip

    def _fit(self, rows: CalibrationRows) -> None:
        off = float(self.penalty)
        problem = _Problem(_log_p(rows.predictions), rows, off, off if self.bias_penalty is None else self.bias_penalty)
        found = least_convex(problem.value, problem.curvature, problem.turning, problem.start)
        matrix = found.reshape(rows.n_classes, -1)
        self.weights_, self.biases_ = matrix[:, :-1].copy(), matrix[:, -1].copy()

    def _scores(self, predictions: Predictions) -> Floats:
        return np.asarray(_log_p(predictions) @ self.weights_.T + self.biases_)

    def _check_options(self) -> None:
        super()._check_options()
        for option in ("penalty", "bias_penalty"):
            value = getattr(self, option)
            if value is None and option == "penalty":
                raise OptionError("penalty=None: expected a number above 0.")
            if value is not None:
                check_real(value, option=option, low=0.0, high=np.inf)


def _log_p(predictions: Predictions) -> Floats:
    """Logarithm of the probabilities, in which every class is possible."""
    scores = finite_log_scores(predictions, "a matrix")
    return log_softmax(scores)


class _Problem:
    """The penalised loss of the matrix [W, b], its rows one after the other in a vector."""

    def __init__(self, log_p: Floats, rows: CalibrationRows, off: float, bias: float) -> None:
        k = rows.n_classes
        self.features = np.concatenate([log_p, np.ones((len(log_p), 1))], axis=1)  # (n, k + 1)
        self.rows = rows
        total = float(rows.weights.sum())
        self.start = np.concatenate([np.eye(k), np.zeros((k, 1))], axis=1).ravel()
        strength = np.full((k, k + 1), 2.0 * total * off / (k * (k - 1)))
        strength[np.arange(k), np.arange(k)] = PENALTY
        strength[:, k] = 2.0 * total * bias / k
        self.strength = strength.ravel()

    def value(self, point: Floats) -> tuple[float, Floats]:
        """Value and gradient."""
        away = point - self.start  # ODIR pulls to 0 where the start is 0
        gradient = self.strength * away
        value, labels, weights = 0.5 * float(gradient @ away), self.rows.labels, self.rows.weights
        for rows in self.rows.blocks():
            score, gradients = row_gradients(self._logits(point, rows), labels[rows], weights[rows], "nll")
            value += score
            gradient += (gradients.T @ self.features[rows]).ravel()
        return value, gradient

    def curvature(self, point: Floats) -> Floats:
        """Second derivatives: ``sum_i c_i q_ia ([a = b] - q_ib) x_i x_i'`` between rows a and b of the matrix."""
        k, width = self.rows.n_classes, self.rows.n_classes + 1
        q = softmax(self._logits(point))
        matrix = np.empty((k, width, k, width))
        for a in range(k):
            for b in range(a + 1):
                mass = self.rows.weights * q[:, a] * (float(a == b) - q[:, b])
                matrix[a, :, b] = matrix[b, :, a] = (self.features * mass[:, None]).T @ self.features
        return np.asarray(matrix.reshape(k * width, k * width) + np.diag(self.strength))

    def turning(self, point: Floats) -> tuple[Product, Floats]:
        """Product of the second derivatives with a vector, without the matrix, and their diagonal."""
        parts = [(rows, softmax(self._logits(point, rows))) for rows in self.rows.blocks()]
        diagonal = self.strength.copy()
        for rows, q in parts:
            diagonal += ((self.rows.weights[rows, None] * q * (1.0 - q)).T @ self.features[rows] ** 2).ravel()

        def product(direction: Floats) -> Floats:
            found = self.strength * direction
            for rows, q in parts:
                change = change_of_gradients(q, self._logits(direction, rows), self.rows.weights[rows])
                found += (change.T @ self.features[rows]).ravel()
            return found

        return product, diagonal

    def _logits(self, point: Floats, rows: slice = slice(None)) -> Floats:
        return np.asarray(self.features[rows] @ point.reshape(self.rows.n_classes, -1).T)
