"""Safeguarded minimisers: Newton for convex functions, L-BFGS for others, and one on a line. Floor 2."""

from collections.abc import Callable
from math import inf, nan

import numpy as np

from calibkit._numerics import Floats
from calibkit.errors import DataError

# Above this many parameters the matrix of second derivatives costs more than products with it.
MAX_NEWTON = 300
MAX_STEPS = 200
_DECREMENT = 1e-13  # of the loss, below a millionth of a standard error; the last step squares it
_TOLERANCE = 1e-10

Value = Callable[[Floats], tuple[float, Floats]]
Curvature = Callable[[Floats], Floats]
Product = Callable[[Floats], Floats]
# At a point: the product of the second derivatives with a vector, and their diagonal.
Turning = Callable[[Floats], tuple[Product, Floats]]


def least_convex(value: Value, curvature: Curvature, turning: Turning, start: Floats) -> Floats:
    """Least point of a strictly convex function, by `newton`: with the matrix, or with products where it is large."""
    if len(start) <= MAX_NEWTON:
        return newton(value, start, lambda point, right: solved(curvature(point), right))
    return newton(value, start, lambda point, right: _conjugate(*turning(point), right))


def newton(value: Value, start: Floats, solve: Callable[[Floats, Floats], Floats]) -> Floats:
    """Least point of a convex function, by Newton steps that are halved until they go down.

    Parameters
    ----------
    value : callable
        Value and gradient at a point.
    start : ndarray of shape (p,)
        Where to start.
    solve : callable
        ``solve(point, right)`` is the step s with ``H s = right``, H the second derivatives at the point.

    Returns
    -------
    ndarray of shape (p,)

    Raises
    ------
    DataError
        If no least point is reached: there is none, or the numbers are too large.

    Notes
    -----
    The step's promised gain ("Newton decrement") is the distance to the minimum in units of the loss; where it falls
    below 1e-13 of the loss, one more full step ends the search (Boyd, Vandenberghe 2004, section 9.5).

    Examples
    --------
    >>> value = lambda x: (float(np.exp(x).sum() - x.sum()), np.exp(x) - 1)
    >>> newton(value, np.array([2.0, -3.0]), lambda x, right: right / np.exp(x)).round(9) + 0.0
    array([0., 0.])
    """
    point = start
    with np.errstate(over="ignore", invalid="ignore"):
        here, gradient = value(point)
        for _ in range(MAX_STEPS):
            step = solve(point, -gradient)
            gain = -float(gradient @ step)
            if not np.isfinite(gain):
                break
            if gain <= _DECREMENT * max(abs(here), 1.0):
                return point + step
            point, here, gradient = _downhill(value, point, step, here, gain)
    raise DataError(
        "the fit does not converge: its best numbers are infinite, or the logits are too large; use fewer parameters "
        "(temperature scaling), or a larger penalty."
    )


def _downhill(value: Value, point: Floats, step: Floats, here: float, gain: float) -> tuple[Floats, float, Floats]:
    """The farthest of the halved steps that gains what it should (Armijo's rule, up to rounding)."""
    slack = 8 * np.finfo(np.float64).eps * abs(here)
    factor = 1.0
    for _ in range(60):
        there, gradient = value(point + factor * step)
        if there <= here - 1e-4 * factor * gain + slack:
            break
        factor /= 2
    return point + factor * step, there, gradient


def solved(matrix: Floats, right: Floats) -> Floats:
    """Solution of a symmetric system; the shortest one where there are many."""
    if not np.isfinite(matrix).all():
        return np.full_like(right, nan)
    try:
        solution = np.linalg.solve(matrix, right)
        if np.linalg.norm(matrix @ solution - right) <= 1e-6 * np.linalg.norm(right) and right @ solution >= 0:
            return np.asarray(solution)
    except np.linalg.LinAlgError:
        pass
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def _conjugate(product: Product, diagonal: Floats, right: Floats) -> Floats:
    """Solution of a positive definite system by conjugate gradients, the more exact the smaller the right side.

    Far from the minimum a rough step is as good as an exact one; near it, each step squares the distance. Parameters
    are measured in units of their own curvature (Nocedal, Wright 2006, sections 5.1 and 7.1).
    """
    solution, residual = np.zeros_like(right), right.copy()
    direction = residual / diagonal
    square = float(residual @ direction)
    size = np.sqrt(square)
    enough = max(min(0.1, size), 1e-3) * size
    for _ in range(20 * len(right)):
        if not np.sqrt(square) > enough:
            break
        turned = product(direction)
        factor = square / float(direction @ turned)
        solution += factor * direction
        residual -= factor * turned
        scaled = residual / diagonal
        square, before = float(residual @ scaled), square
        direction = scaled + square / before * direction
    return solution


def quasi_newton(value: Value, start: Floats) -> Floats:
    """Least point near the start, by L-BFGS on exact gradients, for many parameters or functions that are not convex.

    Parameters
    ----------
    value : callable
        Value and gradient at a point.
    start : ndarray of shape (p,)
        Where to start.

    Returns
    -------
    ndarray of shape (p,)

    Raises
    ------
    DataError
        If 15,000 steps do not get there.

    References
    ----------
    Liu, Nocedal 1989, "On the limited memory BFGS method for large scale optimization".

    Examples
    --------
    >>> value = lambda x: (float((x**4).sum() - x.sum()), 4 * x**3 - 1)
    >>> quasi_newton(value, np.array([1.0, 2.0])).round(5)
    array([0.62996, 0.62996])
    """
    from scipy.optimize import minimize

    options = {"maxiter": 15_000, "maxfun": 30_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30}
    found = minimize(value, start, jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(found.fun) or found.status == 1:
        raise DataError(f"the fit does not converge ({found.message}); use fewer parameters, or a larger penalty.")
    return np.asarray(found.x)


def least_on_a_line(
    derive: Callable[[float], tuple[float, float]], start: float, *, low: float, high: float
) -> tuple[float, bool]:
    """Local minimum next to a point of [low, high], and whether it is one of the ends.

    Parameters
    ----------
    derive : callable
        First and second derivative at a point.
    start : float
        Where to start.
    low, high : float
        Ends of the range.

    Returns
    -------
    float
        The minimum.
    bool
        Whether the function still falls at an end.

    Notes
    -----
    Newton's step where the function curves upwards and the step stays between points whose slopes point at each
    other; else a step of 1 downhill, or the middle.

    Examples
    --------
    >>> least_on_a_line(lambda x: (4 * x**3 - 1, 12 * x**2), 0.1, low=-6.0, high=6.0)[0].__round__(9)
    0.629960525
    """
    point, left, right = start, -inf, inf
    for _ in range(MAX_STEPS):
        slope, second = derive(point)
        if slope == 0:
            return point, False
        if (slope > 0 and point <= low) or (slope < 0 and point >= high):
            return point, True
        left, right = (left, point) if slope > 0 else (point, right)
        step = -slope / second if second > 0 else nan
        if abs(step) <= _TOLERANCE:
            return min(max(point + step, low), high), False
        if not (left < point + step < right) or not abs(step) <= 1.0:
            step = -1.0 if slope > 0 else 1.0
            step = (left + right) / 2 - point if not left < point + step < right else step
        point = min(max(point + step, low), high)
    return point, False
