"""The least point of a convex function over weights that sum to 1, few of them. Floor 2."""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from calibkit._numerics import Floats

_STEPS = 200


def least_quadratic(matrix: Floats, linear: Floats) -> Floats:
    """Weights of least ``x' M x / 2 + l' x`` over the simplex: the best of its faces.

    On each face (some weights 0) the minimum is the solution of a linear system; a face whose solution has a
    negative weight cannot hold the minimum in its inside.

    Examples
    --------
    >>> least_quadratic(np.eye(3), np.array([0.0, 0.0, -2.0]))
    array([0., 0., 1.])
    """
    size = len(linear)
    best, least = np.full(size, 1.0 / size), np.inf
    for n_free in range(size, 0, -1):
        for free in map(list, combinations(range(size), n_free)):
            point = np.zeros(size)
            system = np.ones((n_free + 1, n_free + 1))
            system[:-1, :-1], system[-1, -1] = matrix[np.ix_(free, free)], 0.0
            point[free] = np.linalg.lstsq(system, np.append(-linear[free], 1.0), rcond=None)[0][:-1]
            point[np.abs(point) < 1e-15] = 0.0
            value = float(point @ matrix @ point / 2 + linear @ point)
            if (point >= 0).all() and abs(point.sum() - 1.0) < 1e-9 and value < least:
                best, least = point / point.sum(), value
    return best


def least_log_loss(likelihoods: Floats, weights: Floats) -> Floats:
    """Weights x of least ``-sum_i c_i log(sum_m x_m l_im)``: Newton's quadratics, each solved over the simplex.

    Parameters
    ----------
    likelihoods : ndarray of shape (n, m)
        Probability that each of m forecasts gave to the true class; one of them never 0.
    weights : ndarray of shape (n,)
        Weights c of the rows.

    Returns
    -------
    ndarray of shape (m,)

    Examples
    --------
    >>> least_log_loss(np.array([[0.9, 0.2], [0.8, 0.4], [0.1, 0.7]]), np.ones(3)).round(4)
    array([0.5978, 0.4022])
    """
    shares = weights / weights.sum()

    def value(point: Floats) -> float:
        mixed = likelihoods @ point
        return np.inf if (mixed <= 0).any() else -float(shares @ np.log(mixed))

    return _descend(value, lambda point: _log_derivatives(likelihoods, shares, point), likelihoods.shape[1])


def _log_derivatives(likelihoods: Floats, shares: Floats, point: Floats) -> tuple[Floats, Floats]:
    """Gradient and second derivatives of the mean log loss."""
    ratios = likelihoods / (likelihoods @ point)[:, None]
    return -(shares @ ratios), (ratios * shares[:, None]).T @ ratios


def _descend(
    value: Callable[[Floats], float], derivatives: Callable[[Floats], tuple[Floats, Floats]], size: int
) -> Floats:
    """Newton's method within the simplex, each step halved until it goes down."""
    point = np.full(size, 1.0 / size)
    here = value(point)
    for _ in range(_STEPS):
        gradient, matrix = derivatives(point)
        step = least_quadratic(matrix, gradient - matrix @ point) - point
        gain = -float(gradient @ step)
        if gain <= 1e-15 * max(1.0, abs(here)):
            break
        factor = 1.0
        while value(point + factor * step) > here - 1e-4 * factor * gain and factor > 1e-12:
            factor /= 2
        point = np.maximum(point + factor * step, 0.0)
        point /= point.sum()
        here = value(point)
    return point
