"""Cox's recalibration: logistic fits of scikit-learn and of scipy.optimize, and the answers where there is no fit."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logit
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression

import calibkit as ck

PARAMETERS = ("slope", "intercept", "calibration_in_the_large")


def sample(n, seed, *, slope=0.6, shift=0.3, decimals=None):
    rng = np.random.default_rng(seed)
    p = rng.beta(1.2, 0.8, n)
    p = p if decimals is None else np.round(p, decimals).clip(0.01, 0.99)
    true = 1 / (1 + np.exp(-(shift + slope * logit(p))))
    return (rng.random(n) < true).astype(int), p, rng.gamma(2.0, size=n)


def loss(theta, labels, p, weights):
    line = theta[0] + theta[1] * logit(p)
    return np.sum(weights * (np.logaddexp(0, line) - labels * line))


def numeric_hessian(f, at, step=1e-4):
    size = len(at)
    unit = np.eye(size) * step
    return np.array(
        [[(f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)) / (4 * step**2) for b in unit] for a in unit]
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [None, 1])
def test_slope_and_intercept_are_those_of_scikit_learn(weighted, decimals):
    labels, p, weights = sample(500, 1, decimals=decimals)
    given = weights if weighted else None
    fit = ck.cox_calibration(labels, p, weights=given)
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    model.fit(logit(p)[:, None], labels, sample_weight=given)
    assert fit.slope == pytest.approx(model.coef_[0, 0], rel=1e-6)
    assert fit.intercept == pytest.approx(model.intercept_[0], rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_in_the_large_has_slope_1_and_errors_are_the_sandwich(weighted):
    labels, p, weights = sample(400, 2)
    weights = weights if weighted else np.ones(400)
    fit = ck.cox_calibration(labels, p, weights=weights if weighted else None)
    shift = minimize(lambda a: loss((a[0], 1.0), labels, p, weights), [0.0], tol=1e-14).x[0]
    assert fit.calibration_in_the_large == pytest.approx(shift, abs=1e-6)
    assert shift != pytest.approx(fit.intercept, abs=0.01)
    design, n = np.stack([np.ones(400), logit(p)], axis=1), weights.sum() ** 2 / np.sum(weights**2)

    def sandwich(function, at, columns, line):
        bread = np.linalg.inv(numeric_hessian(function, at))
        residual = weights * (labels - 1 / (1 + np.exp(-line)))
        meat = (columns.T * residual**2) @ columns
        return np.sqrt(n / (n - len(at)) * np.diag(bread @ meat @ bread))

    found = np.array([fit.intercept, fit.slope])
    errors = sandwich(lambda t: loss(t, labels, p, weights), found, design, design @ found)
    assert [fit.intercept_se, fit.slope_se] == pytest.approx(errors, rel=1e-4)
    (error,) = sandwich(
        lambda a: loss((a[0], 1.0), labels, p, weights), np.array([shift]), design[:, :1], shift + logit(p)
    )
    assert fit.calibration_in_the_large_se == pytest.approx(error, rel=1e-4)


def test_the_test_is_the_score_test():
    labels, p, weights = sample(300, 3, slope=1.1, shift=-0.1)
    design = np.stack([np.ones(300), logit(p)], axis=1)
    score = design.T @ (weights * (labels - p))
    value = score @ np.linalg.inv((design.T * (weights**2 * p * (1 - p))) @ design) @ score
    assert ck.cox_calibration(labels, p, weights=weights).p_value == pytest.approx(chi2.sf(value, 2), rel=1e-8)
    result = ck.TESTS["cox"].function(labels, p, weights=weights)
    assert (result.statistic, result.degrees_of_freedom) == (pytest.approx(value, rel=1e-9), 2)


def test_standard_errors_are_those_that_simulation_shows():
    fits = []
    for seed in range(400):
        labels, p, weights = sample(400, seed)
        fits.append(ck.cox_calibration(labels, p, weights=weights))
    for name in PARAMETERS:  # at slope .6 the model of calibration-in-the-large, slope 1, is wrong
        spread = np.std([getattr(fit, name) for fit in fits])
        assert np.mean([getattr(fit, f"{name}_se") for fit in fits]) == pytest.approx(spread, rel=0.12)
    assert np.mean([fit.slope for fit in fits]) == pytest.approx(0.6, abs=0.02)
    assert np.mean([fit.intercept for fit in fits]) == pytest.approx(0.3, abs=0.03)


def test_equal_weights_change_nothing_and_whole_ones_repeat_in_the_values():
    labels, p, _ = sample(200, 4)
    plain = ck.cox_calibration(labels, p)
    fives = ck.cox_calibration(labels, p, weights=np.full(200, 5.0))
    for name in (*PARAMETERS, *(f"{name}_se" for name in PARAMETERS), "p_value"):
        assert getattr(fives, name) == pytest.approx(getattr(plain, name), rel=1e-9)
    times = np.random.default_rng(0).integers(0, 4, 200)
    repeated = ck.cox_calibration(np.repeat(labels, times), np.repeat(p, times))
    weighted = ck.cox_calibration(labels, p, weights=times)
    for name in PARAMETERS:
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-9)


def test_each_class_has_its_own_slope():
    """Calzone ignores class_to_calculate: it gives the slope of column 1 for every class (-2.70 for +2.36)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 3)) * 1.5
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = probs ** np.array([2.0, 1.0, 0.5])
    true /= true.sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < rng.random((3000, 1))).sum(axis=1)
    slopes = []
    for c in range(3):
        fit = ck.cox_calibration((labels == c).astype(int), probs[:, c])
        own = minimize(loss, [0.0, 1.0], args=((labels == c).astype(int), probs[:, c], np.ones(3000)), tol=1e-12).x
        assert fit.slope == pytest.approx(own[1], rel=1e-4)
        slopes.append(fit.slope)
    assert slopes[0] > slopes[1] > slopes[2]


def test_forecasts_that_are_certain_and_right_are_left_out():
    labels, p, _ = sample(100, 5)
    fit = ck.cox_calibration(labels, p)
    certain = ck.cox_calibration(np.r_[labels, 0, 1, 1], np.r_[p, 0.0, 1.0, 1.0])
    assert certain == fit
    alone = ck.cox_calibration([0, 1], [0.0, 1.0])
    assert math.isnan(alone.slope)
    assert math.isnan(alone.calibration_in_the_large)
    assert alone.p_value == 1


def test_a_certain_forecast_that_is_wrong_is_beyond_repair_unless_clipped():
    labels, p, _ = sample(100, 6)
    fit = ck.cox_calibration(np.r_[labels, 0], np.r_[p, 1.0])
    assert all(math.isnan(getattr(fit, name)) for name in PARAMETERS)
    assert fit.p_value == 0
    clipped = ck.cox_calibration(np.r_[labels, 0], np.r_[p, 1.0], clip=1e-6)
    assert 0 < clipped.slope < ck.cox_calibration(labels, p).slope


@pytest.mark.parametrize("outcome", [0, 1])
def test_outcomes_that_are_all_alike_shift_without_end(outcome):
    fit = ck.cox_calibration([outcome] * 3, [0.2, 0.5, 0.7])
    end = math.inf if outcome else -math.inf
    assert (fit.calibration_in_the_large, fit.intercept) == (end, end)
    assert math.isnan(fit.slope)
    assert math.isnan(fit.slope_se)
    assert 0 < fit.p_value < 1


@pytest.mark.parametrize(
    ("labels", "slope"),
    [([0, 0, 1, 1], math.inf), ([1, 1, 0, 0], -math.inf), ([0, 1, 1, 1], math.inf), ([1, 0, 0, 0], -math.inf)],
)
@pytest.mark.parametrize("p", [[0.1, 0.4, 0.6, 0.8], [0.1, 0.4, 0.4, 0.8]])
def test_separated_outcomes_have_an_infinite_slope(labels, slope, p):
    """Also where the two outcomes share the forecast at which they part."""
    fit = ck.cox_calibration(labels, p)
    assert fit.slope == slope
    assert math.isnan(fit.intercept)
    assert math.isfinite(fit.calibration_in_the_large)
    assert fit.calibration_in_the_large_se > 0


def test_forecasts_that_differ_in_their_last_digits_keep_nothing_apart():
    """The two middle ones have both outcomes and differ by 1e-9, beside log-odds of -690: no digit is left."""
    p = [1e-300, 0.5, 0.5, 0.5 + 1e-9, 0.5 + 1e-9, 0.7]
    fit = ck.cox_calibration([0, 0, 1, 0, 1, 1], p)
    assert fit.slope == math.inf
    assert ck.cox_calibration([1, 0, 1, 0, 1, 0], p).slope == -math.inf
    assert math.isfinite(fit.calibration_in_the_large)


def test_any_forecasts_and_outcomes_have_an_answer():
    rng = np.random.default_rng(0)
    values = [0, 1e-300, 1e-20, 1e-5, 0.1, 0.3, 0.5, 0.5 + 1e-9, 0.7, 0.9, 1 - 1e-5, 1 - 1e-12, 1 - 1e-16, 1]
    for _ in range(1500):
        n = rng.integers(1, 12)
        p, labels = rng.choice(values, n), rng.integers(0, 2, n)
        with np.errstate(all="raise", under="ignore"):
            fit = ck.cox_calibration(labels, p)
        assert math.isfinite(fit.slope) == math.isfinite(fit.slope_se)
        assert 0 <= fit.p_value <= 1


def test_one_forecast_has_a_shift_and_no_slope():
    fit = ck.cox_calibration([0, 1, 1, 1], [0.6] * 4)
    assert math.isnan(fit.slope)
    assert fit.calibration_in_the_large == pytest.approx(logit(0.75) - logit(0.6))
    result = ck.TESTS["cox"].function([0, 1, 1, 1], [0.6] * 4)
    assert result.degrees_of_freedom == 1
    assert result.statistic == pytest.approx(0.6**2 / (4 * 0.24))


def test_no_rows():
    fit = ck.cox_calibration(np.empty(0, int), np.empty(0))
    assert all(math.isnan(getattr(fit, name)) for name in (*PARAMETERS, "p_value"))


def test_extreme_forecasts_lose_no_sleep():
    """Log-odds of +-690 beside ordinary ones: the fit is that of scipy.optimize, started where the loss is gentle."""
    p = np.array([1e-300, 1e-300, 0.3, 0.4, 0.6, 0.7, 1 - 1e-15, 1 - 1e-15])
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 0])
    fit = ck.cox_calibration(labels, p)
    found = minimize(loss, [0.0, 0.0], args=(labels, p, np.ones(8)), method="Nelder-Mead", options={"xatol": 1e-12})
    assert loss((fit.intercept, fit.slope), labels, p, np.ones(8)) <= found.fun * (1 + 1e-9)
    assert fit.p_value == 0
