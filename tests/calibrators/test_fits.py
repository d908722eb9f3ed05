"""Each fit against a reference that shares no code with it: SciPy on a formula written here, scikit-learn, by hand."""

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

import calibkit as ck
from calibkit.calibrators.rows import CalibrationRows
from tests.calibrators.samples import given, rows, softmax

LABELS, LOGITS = rows(300, 3)
WEIGHTS = np.random.default_rng(9).uniform(0.2, 3.0, len(LABELS))
ODDS = LOGITS[:, 1] - LOGITS[:, 0]
BINARY = (LABELS == 1).astype(int)


def loss_of(scores, labels, weights, loss):
    """Weighted sum of a loss over logits."""
    if loss == "nll":
        return -(weights * special.log_softmax(scores, axis=1)[np.arange(len(labels)), labels]).sum()
    return (weights * ((special.softmax(scores, axis=1) - np.eye(scores.shape[1])[labels]) ** 2).sum(axis=1)).sum()


def least(objective, start):
    """Least point by SciPy's BFGS with numerical gradients, polished by Nelder and Mead."""
    found = optimize.minimize(objective, start, method="BFGS", options={"gtol": 1e-7})
    return optimize.minimize(objective, found.x, method="BFGS", options={"gtol": 1e-7}).x


# Temperature


@pytest.mark.parametrize("loss", ["nll", "brier"])
@pytest.mark.parametrize("flat", [False, True])
def test_temperature_is_the_least_point_of_a_dense_search(loss, flat):
    labels, values = (BINARY, ODDS) if flat else (LABELS, LOGITS)
    scores = np.stack([np.zeros_like(ODDS), ODDS], axis=1) if flat else LOGITS
    grid = np.exp(np.linspace(-3, 3, 601))
    losses = [loss_of(scores / t, labels, WEIGHTS, loss) for t in grid]
    near = int(np.argmin(losses))
    expected = optimize.minimize_scalar(
        lambda t: loss_of(scores / t, labels, WEIGHTS, loss), bounds=grid[[near - 1, near + 1]], method="bounded",
        options={"xatol": 1e-10},
    ).x  # fmt: skip
    fitted = ck.TemperatureScaling(loss=loss).fit(values, labels, sample_weight=WEIGHTS)
    assert fitted.temperature_ == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(values), special.softmax(scores / expected, axis=1), atol=1e-6)


def test_the_interval_of_a_temperature_is_the_sandwich_written_out():
    labels, logits = rows(2000, 4)
    fitted = ck.TemperatureScaling().fit(logits, labels)
    b, n = 1 / fitted.temperature_, len(labels)
    q = special.softmax(b * logits, axis=1)
    mean = (q * logits).sum(axis=1)
    slopes = -b * (mean - logits[np.arange(n), labels])  # of each row's loss in log T
    curvatures = b**2 * ((q * logits**2).sum(axis=1) - mean**2)
    se = np.sqrt(n / (n - 1) * (slopes**2).sum()) / curvatures.sum()
    reach = stats.t.ppf(0.975, n - 1) * se
    np.testing.assert_allclose(fitted.temperature_interval_, fitted.temperature_ * np.exp([-reach, reach]), rtol=1e-7)
    assert ck.TemperatureScaling(loss="brier").fit(logits, labels).temperature_interval_ is None


def test_dependent_rows_widen_the_interval_of_a_temperature():
    labels, logits = rows(400, 4)
    three = np.repeat(np.arange(400), 3)
    alone = ck.TemperatureScaling().fit(logits, labels)
    grouped = ck.TemperatureScaling().fit(logits[three], labels[three], groups=three)
    assert grouped.temperature_ == pytest.approx(alone.temperature_, rel=1e-9)
    # Left out one by one, groups allow for skewness too.
    np.testing.assert_allclose(grouped.temperature_interval_, alone.temperature_interval_, rtol=0.015)


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_rows_that_are_all_right_or_worthless_have_a_temperature_at_its_bound(loss):
    right = ck.TemperatureScaling(loss=loss).fit(LOGITS, LOGITS.argmax(axis=1))
    wrong = ck.TemperatureScaling(loss=loss).fit(LOGITS, LOGITS.argmin(axis=1))
    assert (right.temperature_, right.temperature_interval_) == (1e-3, None)
    assert (wrong.temperature_, wrong.temperature_interval_) == (1e3, None)


def test_a_large_temperature_fit_reads_the_rows_less_than_ten_times(monkeypatch):
    from calibkit import recalibration
    from calibkit.calibrators import rows as checked

    labels, logits = rows(20_000, 20)
    readings = []
    derive, check = recalibration.loss_derivatives, checked.check_matrix
    monkeypatch.setattr(
        recalibration, "loss_derivatives", lambda *a, **k: readings.append(1 / k["step"]) or derive(*a, **k)
    )
    monkeypatch.setattr(checked, "check_matrix", lambda *a, **k: readings.append(1.0) or check(*a, **k))
    ck.TemperatureScaling().fit(logits.astype(np.float32), labels)
    assert 2 <= sum(readings) < 4  # one check and at most two readings of all rows; the samples are a small part


# Vector scaling and Dirichlet calibration


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_vector_scaling_is_the_least_point_by_scipy(loss):
    def objective(point, penalty=0.01):
        w, b = point.reshape(2, -1)
        return loss_of(LOGITS * w + b, LABELS, WEIGHTS, loss) + penalty / 2 * (((w - 1) ** 2).sum() + (b**2).sum())

    fitted = ck.VectorScaling(loss=loss).fit(LOGITS, LABELS, sample_weight=WEIGHTS)
    expected = least(objective, np.r_[np.full(3, 0.5), np.zeros(3)])
    found = np.r_[fitted.weights_, fitted.biases_]
    assert objective(found) <= objective(expected) + 1e-9
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_vector_scaling_of_two_classes_is_logistic_regression():
    fitted = ck.VectorScaling(penalty=1e-9).fit(ODDS, BINARY, sample_weight=WEIGHTS)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(ODDS[:, None], BINARY, sample_weight=WEIGHTS)
    np.testing.assert_allclose(fitted.predict_proba(ODDS), reference.predict_proba(ODDS[:, None]), atol=1e-6)


def test_dirichlet_with_no_pull_is_multinomial_logistic_regression_on_log_p():
    log_p = special.log_softmax(LOGITS, axis=1)
    fitted = ck.DirichletCalibration(penalty=1e-10).fit(LOGITS, LABELS, sample_weight=WEIGHTS)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(log_p, LABELS, sample_weight=WEIGHTS)
    np.testing.assert_allclose(fitted.predict_proba(LOGITS), reference.predict_proba(log_p), atol=2e-4)


@pytest.mark.parametrize(("off", "bias"), [(1e-3, None), (0.02, 0.3)])
def test_dirichlet_is_the_least_point_of_odir_by_scipy(off, bias):
    log_p, n, k = special.log_softmax(LOGITS, axis=1), WEIGHTS.sum(), 3

    def objective(point):
        w, b = point[:9].reshape(3, 3), point[9:]
        odir = off / (k * (k - 1)) * (w[~np.eye(3, dtype=bool)] ** 2).sum()
        odir += (off if bias is None else bias) / k * (b**2).sum()
        prior = 0.005 * ((np.diag(w) - 1) ** 2).sum()
        return loss_of(log_p @ w.T + b, LABELS, WEIGHTS, "nll") / n + odir + prior / n

    fitted = ck.DirichletCalibration(penalty=off, bias_penalty=bias).fit(LOGITS, LABELS, sample_weight=WEIGHTS)
    found = np.r_[fitted.weights_.ravel(), fitted.biases_]
    expected = least(objective, np.r_[np.eye(3).ravel(), np.zeros(3)])
    assert objective(found) <= objective(expected) + 1e-10
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_large_problems_take_products_and_end_where_the_matrix_ends(monkeypatch):
    from calibkit.calibrators import minimise

    labels, logits = rows(600, 5)
    kinds = (ck.VectorScaling, ck.DirichletCalibration)
    by_matrix = [kind().fit(logits, labels).predict_proba(logits) for kind in kinds]
    monkeypatch.setattr(minimise, "MAX_NEWTON", 0)
    by_products = [kind().fit(logits, labels).predict_proba(logits) for kind in kinds]
    np.testing.assert_allclose(by_matrix, by_products, atol=1e-8)


# Maps of one event


def soft_targets(outcome, weights):
    """Platt's targets as rows of both outcomes, which any logistic regression can read."""
    yes, no = (weights * outcome).sum(), (weights * (1 - outcome)).sum()
    t = np.where(outcome == 1, (yes + 1) / (yes + 2), 1 / (no + 2))
    return np.r_[np.ones(len(t)), np.zeros(len(t))], np.r_[weights * t, weights * (1 - t)]


def test_platt_scaling_is_logistic_regression_on_platt_s_targets():
    fitted = ck.PlattScaling().fit(ODDS, BINARY, sample_weight=WEIGHTS)
    outcome, weights = soft_targets(BINARY, WEIGHTS)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(np.r_[ODDS, ODDS][:, None], outcome, sample_weight=weights)
    assert fitted.slopes_[0] == pytest.approx(reference.coef_[0, 0], abs=1e-5)
    assert fitted.intercepts_[0] == pytest.approx(reference.intercept_[0], abs=1e-5)


@pytest.mark.parametrize("maps", ["classwise", "shared"])
def test_platt_scaling_of_many_classes_is_one_line_each_or_one_for_all(maps):
    odds = special.logit(softmax(LOGITS))
    fitted = ck.PlattScaling(maps=maps).fit(LOGITS, LABELS)
    events = np.eye(3)[LABELS]
    mapped = np.empty_like(odds)
    for j in range(3):
        x, y = (odds.ravel(), events.ravel()) if maps == "shared" else (odds[:, j], events[:, j])
        outcome, weights = soft_targets(y, np.ones(len(y)))
        line = LogisticRegression(C=np.inf, tol=1e-10).fit(np.r_[x, x][:, None], outcome, sample_weight=weights)
        mapped[:, j] = line.predict_proba(odds[:, [j]])[:, 1]
    expected = mapped / mapped.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(LOGITS), expected, atol=1e-5)


def test_beta_calibration_is_logistic_regression_on_log_p_and_log_rest():
    p = special.expit(ODDS)
    features = np.stack([np.log(p), -np.log1p(-p)], axis=1)
    fitted = ck.BetaCalibration(penalty=1e-9).fit(ODDS, BINARY, sample_weight=WEIGHTS)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(features, BINARY, sample_weight=WEIGHTS)
    assert (fitted.coefficients_[0, :2] > 0).all()
    np.testing.assert_allclose(fitted.coefficients_[0, :2], reference.coef_[0], atol=1e-4)
    assert fitted.coefficients_[0, 2] == pytest.approx(reference.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_beta_coefficients_are_the_best_that_are_not_negative(seed):
    rng = np.random.default_rng(seed)
    p = rng.beta(1.5, 1.5, 60)
    outcome = (rng.random(60) < (1 - p if seed % 2 else p**3)).astype(int)
    features = np.stack([np.log(p), -np.log1p(-p), np.ones(60)], axis=1)

    def objective(c):
        odds = features @ c
        return (np.logaddexp(0, odds) - outcome * odds).sum() + 0.005 * ((c - [1, 1, 0]) ** 2).sum()

    expected = optimize.minimize(
        objective, [0.5, 0.5, 0.0], method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)],
        options={"ftol": 1e-15, "gtol": 1e-10},
    ).x  # fmt: skip
    found = ck.BetaCalibration(input="probs").fit(p, outcome).coefficients_[0]
    assert objective(found) <= objective(expected) + 1e-9
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("maps", ["classwise", "shared"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_isotonic_calibration_is_scikit_learn_s_isotonic_regression(n_classes, maps):
    labels, probs = given(n_classes, "probs")
    weights = np.random.default_rng(2).uniform(0.5, 2.0, len(labels))
    probs = np.floor(32 * probs) / 32  # ties
    probs[:, -1] = 1 - probs[:, :-1].sum(axis=1)
    fitted = ck.IsotonicCalibration(input="probs", maps=maps).fit(probs, labels, sample_weight=weights)
    _, new = given(n_classes, "probs", seed=1)
    mapped = np.empty_like(new)
    for j in range(n_classes):
        shared = maps == "shared" and n_classes > 2
        x, y = (probs.ravel(), np.eye(n_classes)[labels].ravel()) if shared else (probs[:, j], labels == j)
        w = np.repeat(weights, n_classes) if shared else weights
        mapped[:, j] = IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=w).predict(new[:, j])
    if n_classes == 2:
        mapped[:, 0] = 1 - mapped[:, 1]
    sums = mapped.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(new), np.where(sums > 0, mapped / sums, 1 / n_classes), atol=1e-9)


def test_a_row_whose_classes_are_all_mapped_to_nothing_is_uniform():
    probs = np.array([[0.45, 0.4, 0.15], [0.15, 0.45, 0.4], [0.4, 0.15, 0.45]])
    fitted = ck.IsotonicCalibration(input="probs").fit(probs, [0, 1, 2])
    np.testing.assert_array_equal(fitted.predict_proba(probs), np.eye(3))
    np.testing.assert_array_equal(fitted.predict_proba(np.full((1, 3), 1 / 3)), np.full((1, 3), 1 / 3))


@pytest.mark.parametrize("n_bins", [1, 4, 7, 1000])
def test_histogram_binning_gives_the_frequency_of_bins_of_equal_count(n_bins):
    labels, probs = given(2, "probs", flat=True)
    fitted = ck.HistogramBinning(input="probs", n_bins=n_bins).fit(probs, labels)
    ordered = np.sort(probs)
    ranks = np.ceil(np.arange(1, n_bins) * len(probs) / n_bins).astype(int)
    inner = np.unique(ordered[ranks - 1])
    bin_of = np.searchsorted(inner[inner < ordered[-1]], probs, side="left")
    expected = np.array([labels[bin_of == b].mean() for b in bin_of])
    np.testing.assert_allclose(fitted.predict_proba(probs)[:, 1], expected, atol=1e-12)


# Ensemble temperature


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_ensemble_weights_are_the_best_on_a_fine_grid_of_the_simplex(loss):
    labels, logits = rows(500, 4, sharpness=3.0)
    labels[::6] = np.random.default_rng(3).integers(0, 4, len(labels[::6]))
    fitted = ck.EnsembleTemperatureScaling(loss=loss).fit(logits, labels)
    assert fitted.temperature_ == ck.TemperatureScaling(loss=loss).fit(logits, labels).temperature_
    members = [softmax(logits / fitted.temperature_), softmax(logits), np.full(logits.shape, 0.25)]

    def objective(weights):
        q = sum(w * m for w, m in zip(weights, members, strict=True))
        if loss == "nll":
            return -np.log(q[np.arange(len(labels)), labels]).mean()
        return ((q - np.eye(4)[labels]) ** 2).sum(axis=1).mean()

    steps = np.linspace(0, 1, 101)
    grid = [(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-12]
    best = min(map(objective, grid))
    assert objective(fitted.weights_) <= best
    assert objective(fitted.weights_) >= best - 1e-4
    assert fitted.weights_.min() >= 0
    assert fitted.weights_.sum() == pytest.approx(1, abs=1e-12)


# Gradients and curvatures


def numerical(function, point, step=1e-5):
    """Central differences of a function of a vector."""
    moves = step * np.eye(len(point))
    return np.array([(function(point + m) - function(point - m)) / (2 * step) for m in moves])


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_gradients_in_the_logits_are_those_of_finite_differences(loss):
    from calibkit.calibrators.losses import row_gradients

    scores, labels, weights = LOGITS[:6], LABELS[:6], WEIGHTS[:6]
    value, gradient = row_gradients(scores, labels, weights, loss)
    assert value == pytest.approx(loss_of(scores, labels, weights, loss), rel=1e-12)
    expected = numerical(lambda z: loss_of(z.reshape(6, 3), labels, weights, loss), scores.ravel())
    np.testing.assert_allclose(gradient.ravel(), expected, atol=1e-8)


def test_derivatives_of_the_brier_score_in_log_t_are_those_of_finite_differences():
    from calibkit.calibrators.losses import brier_of_temperature

    at, step = 0.37, 1e-5
    value = [loss_of(LOGITS * np.exp(-(at + d)), LABELS, WEIGHTS, "brier") for d in (-step, 0.0, step)]
    slopes = [brier_of_temperature(LOGITS * np.exp(-(at + d)), LABELS, WEIGHTS) for d in (-step, 0.0, step)]
    assert slopes[1][0] == pytest.approx((value[2] - value[0]) / (2 * step), abs=1e-6)
    assert slopes[1][1] == pytest.approx((slopes[2][0] - slopes[0][0]) / (2 * step), abs=1e-6)


@pytest.mark.parametrize("kind", ["vector", "dirichlet"])
def test_gradients_and_curvatures_in_the_parameters_are_those_of_finite_differences(kind):
    from calibkit.calibrators import dirichlet, vector

    predictions = ck.Predictions.from_logits(LABELS, LOGITS, weights=WEIGHTS)
    told = CalibrationRows(predictions=predictions, weights=WEIGHTS)
    if kind == "vector":
        problem = vector._Problem(LOGITS, told, 0.3)
        value = problem.log_score
    else:
        problem = dirichlet._Problem(special.log_softmax(LOGITS, axis=1), told, 0.02, 0.5)
        value = problem.value
    point = problem.start + np.random.default_rng(1).normal(size=len(problem.start)) * 0.3
    np.testing.assert_allclose(value(point)[1], numerical(lambda x: value(x)[0], point), rtol=1e-6, atol=1e-5)
    curvature = problem.curvature(point)
    np.testing.assert_allclose(curvature, numerical(lambda x: value(x)[1], point), rtol=1e-6, atol=1e-5)
    direction = np.random.default_rng(2).normal(size=len(point))
    product, diagonal = problem.turning(point)
    np.testing.assert_allclose(product(direction), curvature @ direction, rtol=1e-10)
    np.testing.assert_allclose(diagonal, np.diag(curvature), rtol=1e-12)
    if kind == "vector":
        brier = problem.brier_score
        np.testing.assert_allclose(brier(point)[1], numerical(lambda x: brier(x)[0], point), rtol=1e-6, atol=1e-5)
