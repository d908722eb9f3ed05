"""The minimisers find the least point from anywhere, or say that there is none."""

import numpy as np
import pytest
from scipy import optimize

from calibkit import DataError
from calibkit.calibrators.minimise import least_convex, least_on_a_line, newton, quasi_newton, solved
from calibkit.calibrators.simplex import least_log_loss, least_quadratic

RNG = np.random.default_rng(8)
X = RNG.normal(size=(80, 4)) * [1.0, 10.0, 0.1, 3.0]
Y = (RNG.random(80) < 1 / (1 + np.exp(-X @ [1.0, -0.1, 5.0, 0.3]))).astype(float)


def value(point):
    odds = X @ point
    return float((np.logaddexp(0, odds) - Y * odds).sum()), X.T @ (1 / (1 + np.exp(-odds)) - Y)


def curvature(point):
    p = 1 / (1 + np.exp(-X @ point))
    return (X * (p * (1 - p))[:, None]).T @ X


@pytest.mark.parametrize("start", [np.zeros(4), np.full(4, 2.0), np.array([-30.0, 1.0, 40.0, -9.0])])
def test_newton_ends_where_the_gradient_is_nothing(start):
    found = newton(value, start, lambda point, right: solved(curvature(point), right))
    np.testing.assert_allclose(value(found)[1], 0.0, atol=1e-9)
    np.testing.assert_allclose(found, optimize.minimize(value, np.zeros(4), jac=True, tol=1e-10).x, rtol=1e-4)


def test_products_and_matrix_give_the_same_step(monkeypatch):
    from calibkit.calibrators import minimise

    def turning(point):
        return (lambda direction: curvature(point) @ direction), np.diag(curvature(point))

    by_matrix = least_convex(value, curvature, turning, np.zeros(4))
    monkeypatch.setattr(minimise, "MAX_NEWTON", 1)
    np.testing.assert_allclose(least_convex(value, curvature, turning, np.zeros(4)), by_matrix, rtol=1e-7)


def test_a_function_without_a_least_point_is_an_error():
    with pytest.raises(DataError, match="does not converge"):
        newton(lambda x: (float(-x[0]), np.array([-1.0])), np.zeros(1), lambda _, right: 1e300 * right * 1e300)


def test_quasi_newton_ends_in_the_valley_next_to_its_start():
    def rosenbrock(x):
        return float(optimize.rosen(x)), optimize.rosen_der(x)

    np.testing.assert_allclose(quasi_newton(rosenbrock, np.full(5, 0.9)), 1.0, rtol=1e-6)
    with pytest.raises(DataError, match="does not converge"):
        quasi_newton(lambda x: (float("nan"), np.full_like(x, np.nan)), np.ones(2))


@pytest.mark.parametrize("start", [-5.9, -1.0, 0.3, 2.0, 5.9])
def test_least_on_a_line_finds_the_bottom_next_to_it(start):
    def derive(x):  # of x^4/4 - x^3/3 - 3 x^2 + x/2, whose bottoms are near -1.9 and 3
        return x**3 - x**2 - 6 * x + 0.5, 3 * x**2 - 2 * x - 6

    bottoms = [r.real for r in np.roots([1, -1, -6, 0.5]) if derive(r.real)[1] > 0]
    found, at_end = least_on_a_line(derive, start, low=-6.0, high=6.0)
    assert not at_end
    assert min(abs(found - bottom) for bottom in bottoms) < 1e-9


def test_least_on_a_line_stops_at_an_end():
    assert least_on_a_line(lambda _: (1.0, 0.0), 0.5, low=-2.0, high=2.0) == (-2.0, True)
    assert least_on_a_line(lambda _: (-1.0, 0.0), 0.5, low=-2.0, high=2.0) == (2.0, True)
    assert least_on_a_line(lambda x: (x, 1.0), 0.0, low=-2.0, high=2.0) == (0.0, False)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_face_of_the_simplex_is_scipy_s(seed):
    rng = np.random.default_rng(seed)
    root, linear = rng.normal(size=(3, 3)), rng.normal(size=3) * 2
    matrix = root @ root.T
    reference = optimize.minimize(
        lambda x: x @ matrix @ x / 2 + linear @ x,
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(least_quadratic(matrix, linear), reference.x, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_mixing_weights_of_the_log_loss_are_those_of_expectation_maximisation(seed):
    rng = np.random.default_rng(seed)
    likelihoods, weights = rng.beta(2, 1 + seed, size=(60, 3)), rng.uniform(0.1, 2, 60)
    found = np.full(3, 1 / 3)
    for _ in range(20_000):  # the classical algorithm: slow, and sure
        shares = found * likelihoods
        found = (weights @ (shares / shares.sum(axis=1, keepdims=True))) / weights.sum()

    def loss(point):
        return -(weights * np.log(likelihoods @ point)).sum()

    ours = least_log_loss(likelihoods, weights)
    assert loss(ours) <= loss(found) + 1e-9
    np.testing.assert_allclose(ours, found, atol=2e-3)
