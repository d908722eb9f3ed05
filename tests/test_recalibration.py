import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import t as student

from calibkit import Predictions, recalibration
from calibkit.errors import DataError, OptionError
from calibkit.recalibration import cross_fit_temperature, fit_temperature
from calibkit.scores import score_rows
from tests.real_data import real_data


def dense_loss(log_t, labels, logits, weights=1.0):
    return float((-weights * log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels]).sum())


def dense_log_t(labels, logits, weights=1.0):
    """Log T by a plain search over a dense array."""
    found = minimize_scalar(
        dense_loss, bounds=(-6, 6), args=(labels, logits, weights), method="bounded", options={"xatol": 1e-10}
    )
    return found.x


def calibration_rows(n_rows=400, n_classes=6, temperature=2.3, seed=0):
    """Logits that are right when they are divided by the temperature."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(n_rows, n_classes)) * 2
    labels = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return labels, temperature * honest


def log_value(fitted):
    return np.log(fitted.value)


@pytest.mark.parametrize("n_classes", [2, 3, 64, 65, 150])
@pytest.mark.parametrize("temperature", [0.05, 0.6, 1.0, 7.0])
def test_the_temperature_of_least_loss(n_classes, temperature):
    labels, logits = calibration_rows(n_classes=n_classes, temperature=temperature)
    fitted = fit_temperature(Predictions.from_logits(labels, logits))
    assert log_value(fitted) == pytest.approx(dense_log_t(labels, logits), abs=2e-7)
    assert fitted.source == "fitted on 400 calibration rows"
    assert (fitted.n, fitted.at_bound) == (400, False)


def in_both_precisions(labels, narrow):
    """Log T of all rows and of every fold, from a narrow array and from the same numbers in float64."""
    for logits in (narrow, narrow.astype(np.float64)):
        fitted, per_row = cross_fit_temperature(Predictions.from_logits(labels, logits))
        yield np.log([fitted.value, *np.unique(per_row)])


def test_float16_logits_are_fitted_in_float64():
    labels, logits = calibration_rows()
    np.testing.assert_array_equal(*in_both_precisions(labels, logits.astype(np.float16)))


@pytest.mark.parametrize(
    ("n_rows", "n_classes", "temperature"),
    [(400, 6, 2.3), (200, 1000, 2.3), (300, 50, 90.0), (700, 300, 0.01), (60, 5000, 3.0)],
)
def test_float32_logits_are_fitted_to_a_millionth(n_rows, n_classes, temperature):
    labels, logits = calibration_rows(n_rows, n_classes, temperature)
    narrow, wide = in_both_precisions(labels, logits.astype(np.float32))
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-6)


def test_float32_rows_beyond_the_range_of_its_exp_still_say_where_to_go():
    labels = np.arange(40) % 5
    right = 200 * np.eye(5, dtype=np.float32)[labels]
    fitted = fit_temperature(Predictions.from_logits(labels, right))
    assert (fitted.value, fitted.at_bound) == (1e-3, True)
    huge = np.where(np.arange(5) == (labels + (np.arange(40) % 3 == 0))[:, None] % 5, 3e38, -3e38)
    fitted = fit_temperature(Predictions.from_logits(labels, huge.astype(np.float32)))
    assert (fitted.value, fitted.at_bound) == (1e3, True)


def test_probabilities_enter_as_logarithms_and_one_column_as_log_odds():
    labels, logits = calibration_rows(n_classes=2)
    probs = np.exp(log_softmax(logits, axis=1))
    expected = dense_log_t(labels, logits)
    for rows in (
        Predictions.from_probs(labels, probs),
        Predictions.from_probs(labels, probs[:, 1]),
        Predictions.from_logits(labels, logits[:, 1] - logits[:, 0]),
    ):
        assert log_value(fit_temperature(rows)) == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize("n_classes", [4, 70])
def test_masked_classes_and_certain_rows_have_no_say(n_classes):
    labels, logits = calibration_rows(n_classes=n_classes)
    expected = fit_temperature(Predictions.from_logits(labels, logits)).value
    masked = np.concatenate([logits, np.full((400, 2), -np.inf)], axis=1)
    certain = np.full((3, n_classes + 2), -np.inf)
    certain[:, 1] = 4.2
    rows = Predictions.from_logits(np.append(labels, [1, 1, 1]), np.concatenate([masked, certain]))
    assert fit_temperature(rows).value == pytest.approx(expected, rel=1e-9)
    one_column = Predictions.from_probs([0, 1, 0, 1, 0, 1], np.array([0.3, 0.6, 0.7, 0.9, 0.0, 1.0]))
    assert fit_temperature(one_column).value == pytest.approx(
        fit_temperature(one_column.take(np.arange(4))).value, rel=1e-9
    )


def test_probabilities_just_outside_0_and_1_count_as_these():
    labels, logits = calibration_rows(n_classes=3)
    probs = np.exp(log_softmax(logits, axis=1))
    edge = np.array([[1 + 2**-52, -(2**-53), 0.0]])
    rows = Predictions.from_probs(np.append(labels, 0), np.concatenate([probs, edge]))
    assert fit_temperature(rows).value == pytest.approx(
        fit_temperature(Predictions.from_probs(labels, probs)).value, rel=1e-9
    )


def test_weights_repeat_rows():
    labels, logits = calibration_rows()
    times = np.random.default_rng(4).integers(1, 4, len(labels))
    weighted = fit_temperature(Predictions.from_logits(labels, logits, weights=times.astype(float)))
    repeated = fit_temperature(Predictions.from_logits(np.repeat(labels, times), np.repeat(logits, times, axis=0)))
    assert weighted.value == pytest.approx(repeated.value, rel=1e-9)
    assert weighted.value == pytest.approx(np.exp(dense_log_t(labels, logits, times)), rel=1e-6)


def test_the_result_does_not_depend_on_threads_or_blocks(monkeypatch):
    from calibkit.scores import blocks

    rows = Predictions.from_logits(*calibration_rows())
    expected = fit_temperature(rows, threads=1), cross_fit_temperature(rows, threads=1)[1]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 7 * 6 * 8)
    assert fit_temperature(rows, threads=3) == expected[0]
    np.testing.assert_array_equal(cross_fit_temperature(rows, threads=3)[1], expected[1])


# --- the interval ---


def dense_log_se(labels, logits, log_t, weights, codes):
    """The sandwich from finite differences of the row losses."""

    def losses(x):
        return -log_softmax(logits / np.exp(x), axis=1)[np.arange(len(labels)), labels]

    step = 1e-4
    slopes = (losses(log_t + step) - losses(log_t - step)) / (2 * step)
    curvature = (losses(log_t + step) - 2 * losses(log_t) + losses(log_t - step)) / step**2
    units = np.array([(weights * slopes)[codes == code].sum() for code in np.unique(codes)])
    return np.sqrt(len(units) / (len(units) - 1) * (units**2).sum()) / (weights * curvature).sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_standard_error_is_the_sandwich(weighted):
    labels, logits = calibration_rows()
    weights = np.random.default_rng(9).uniform(0.5, 2, 400) if weighted else None
    fitted = fit_temperature(Predictions.from_logits(labels, logits, weights=weights), confidence_level=0.9)
    weight = np.ones(400) if weights is None else weights
    log_se = dense_log_se(labels, logits, log_value(fitted), weight, np.arange(400))
    assert fitted.log_se == pytest.approx(log_se, rel=1e-5)
    reach = student.ppf(0.95, weight.sum() ** 2 / (weight**2).sum() - 1) * log_se
    assert np.log([fitted.low, fitted.high]) - log_value(fitted) == pytest.approx([-reach, reach], rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_groups_are_left_out_one_by_one(weighted):
    labels, logits = calibration_rows()
    rng = np.random.default_rng(9)
    weight, groups = rng.uniform(0.5, 2, 400) if weighted else np.ones(400), rng.integers(0, 30, 400)
    rows = Predictions.from_logits(labels, logits, weights=weight if weighted else None, groups=groups)
    fitted = fit_temperature(rows, confidence_level=0.9)
    scaled = logits / fitted.value
    probs = np.exp(log_softmax(scaled, axis=1))
    mean = (probs * scaled).sum(axis=1)
    slope = weight * (scaled[np.arange(400), labels] - mean)
    curvature = weight * ((probs * scaled**2).sum(axis=1) - mean**2)
    moved = np.array([slope[groups == g].sum() / curvature[groups != g].sum() for g in range(30)])
    assert fitted.log_se == pytest.approx(np.sqrt(29 / 30 * np.sum(moved**2)), rel=1e-5)
    apart = np.array([curvature[groups == g].sum() for g in range(30)])
    alike = np.array([np.sqrt(weight * curvature)[groups == g].sum() ** 2 for g in range(30)])
    dof = np.sqrt(np.prod([v.sum() ** 2 / np.sum(v**2) - 1 for v in (apart, alike)]))
    t, tilt = student.ppf(0.95, dof), -np.sum(moved**3) / np.sum(moved**2) ** 1.5
    shift = tilt * (1 + 2 * t**2) / 6
    reach = np.array([-t + min(shift, 0), t + max(shift, 0)]) * fitted.log_se
    assert np.log([fitted.low, fitted.high]) - log_value(fitted) == pytest.approx(reach, rel=1e-4)


def test_groups_with_few_wrong_answers_have_no_interval():
    labels, logits = calibration_rows()
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    labels = np.where(np.isin(np.arange(400), wrong[:20]), labels, logits.argmax(axis=1))
    groups = np.repeat(np.arange(80), 5)  # 20 of 400 answers are wrong: worth 4 of 80 groups
    assert fit_temperature(Predictions.from_logits(labels, logits, groups=groups)).low is None
    labels[wrong[:25]] = calibration_rows()[0][wrong[:25]]
    assert fit_temperature(Predictions.from_logits(labels, logits, groups=groups)).low is not None


def test_the_interval_covers_the_true_temperature():
    hits = 0
    for seed in range(200):
        fitted = fit_temperature(Predictions.from_logits(*calibration_rows(n_rows=150, seed=seed)))
        hits += fitted.low < 2.3 < fitted.high
    assert 180 <= hits <= 199  # 95% of 200, three standard errors either way


def test_rows_that_know_of_no_upper_end_have_an_infinite_one():
    rng = np.random.default_rng(277)
    p, labels = rng.random(12), rng.integers(0, 2, 12)
    fitted = fit_temperature(Predictions.from_probs(labels, p))
    assert (fitted.low, fitted.high) == (0, np.inf)
    assert 1 < fitted.value < 1000


def test_no_interval_with_few_groups_or_without_a_level():
    labels, logits = calibration_rows()
    few = fit_temperature(Predictions.from_logits(labels, logits, groups=np.arange(400) % 4))
    assert (few.low, few.high, few.log_se) == (None, None, None)
    plain = fit_temperature(Predictions.from_logits(labels, logits), confidence_level=None)
    assert (plain.low, plain.high) == (None, None)
    assert plain.log_se > 0


def test_rows_that_say_nothing_leave_the_temperature_at_1():
    fitted = fit_temperature(Predictions.from_logits([0, 1, 2], np.zeros((3, 4))))
    assert (fitted.value, fitted.low, fitted.high, fitted.at_bound) == (1, None, None, False)


@pytest.mark.parametrize(("right", "bound"), [(True, 1e-3), (False, 1e3)])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 50.0])
def test_a_likelihood_without_a_maximum_ends_at_a_bound_before_long(monkeypatch, right, bound, scale):
    passes = []
    one_pass = recalibration.loss_derivatives
    monkeypatch.setattr(recalibration, "loss_derivatives", lambda *a, **k: passes.append(a) or one_pass(*a, **k))
    logits = np.random.default_rng(2).normal(size=(60, 5)) * scale
    labels = logits.argmax(axis=1) if right else logits.argmin(axis=1)
    fitted = fit_temperature(Predictions.from_logits(labels, logits))
    assert (fitted.value, fitted.at_bound, fitted.low) == (bound, True, None)
    assert len(passes) <= 12


def test_far_starts_converge():
    for temperature in (2e-3, 3e2):
        labels, logits = calibration_rows(temperature=temperature, seed=3)
        fitted = fit_temperature(Predictions.from_logits(labels, logits))
        honest = fit_temperature(Predictions.from_logits(labels, logits / temperature))
        assert fitted.value == pytest.approx(temperature * honest.value, rel=1e-7)


# --- cross-fitting ---


def test_each_fold_is_fitted_on_the_others():
    labels, logits = calibration_rows(n_rows=203)
    rows = Predictions.from_logits(labels, logits)
    fitted, per_row = cross_fit_temperature(rows, n_folds=4, rng=3)
    values, fold, sizes = np.unique(per_row, return_inverse=True, return_counts=True)
    assert len(values) == 4
    assert sorted(sizes) == [50, 51, 51, 51]
    for i, value in enumerate(values):
        assert np.log(value) == pytest.approx(dense_log_t(labels[fold != i], logits[fold != i]), abs=1e-6)
    assert fitted.source == "cross-fitted over 4 folds of the same rows"
    in_sample = fit_temperature(rows)
    assert (fitted.value, fitted.low, fitted.high) == (in_sample.value, in_sample.low, in_sample.high)
    assert (
        score_rows(rows, temperature=per_row).log_score.mean()
        > score_rows(rows, temperature=in_sample.value).log_score.mean()
    )


def passes_of(monkeypatch):
    """Every reading from here on, as the distance between the rows that it reads."""
    passes = []
    one_pass = recalibration.loss_derivatives
    monkeypatch.setattr(
        recalibration, "loss_derivatives", lambda *a, **k: passes.append(k["step"]) or one_pass(*a, **k)
    )
    return passes


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.3])
def test_samples_find_the_way_and_two_passes_fit_every_fold(monkeypatch, temperature):
    labels, logits = calibration_rows(n_rows=20_000, n_classes=4, temperature=temperature)
    passes = passes_of(monkeypatch)
    fitted, per_row = cross_fit_temperature(Predictions.from_logits(labels, logits))
    assert passes.count(1) <= 2
    assert sum(1 / step for step in passes) < 2.5
    assert log_value(fitted) == pytest.approx(dense_log_t(labels, logits), abs=1e-7)
    for value in np.unique(per_row):
        others = per_row != value
        assert np.log(value) == pytest.approx(dense_log_t(labels[others], logits[others]), abs=1e-6)


def test_samples_that_mislead_do_no_harm():
    labels, logits = calibration_rows(n_rows=5_000, n_classes=4)
    labels[::8] = logits[::8].argmax(axis=1)  # every row of the sample is right
    fitted = fit_temperature(Predictions.from_logits(labels, logits))
    assert log_value(fitted) == pytest.approx(dense_log_t(labels, logits), abs=1e-7)


@pytest.mark.parametrize("row", [16, 19])
def test_a_bad_value_is_named_whether_the_sample_holds_it_or_not(row):
    labels, logits = calibration_rows(n_rows=5_000, n_classes=4)
    logits[row, 2] = np.nan
    with pytest.raises(DataError, match=f"row {row}, class 2: value is NaN"):
        cross_fit_temperature(Predictions.from_logits(labels, logits))


def test_folds_far_apart_are_fitted_one_by_one():
    labels, logits = calibration_rows(n_rows=300)
    groups = np.arange(300) % 5
    logits[groups == 3] *= 6
    labels[groups == 4] = logits[groups == 4].argmin(axis=1)
    _, per_row = cross_fit_temperature(Predictions.from_logits(labels, logits, groups=groups))
    for group in range(5):
        others = groups != group
        expected = dense_log_t(labels[others], logits[others])
        assert np.log(per_row[groups == group]) == pytest.approx(expected, abs=1e-6)


def test_one_heavy_fold_takes_nothing_from_the_others():
    labels, logits = calibration_rows(n_rows=300)
    groups = np.arange(300) % 5
    rows = Predictions.from_logits(labels, logits, groups=groups, weights=np.where(groups == 2, 1e18, 1.0))
    _, per_row = cross_fit_temperature(rows)
    others = groups != 2
    expected = dense_log_t(labels[others], logits[others])
    assert np.log(per_row[~others]) == pytest.approx(expected, abs=1e-6)


def test_folds_follow_the_seed():
    rows = Predictions.from_logits(*calibration_rows())
    first, again, other = (cross_fit_temperature(rows, rng=seed)[1] for seed in (1, np.random.default_rng(1), 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_folds_keep_groups_whole_and_use_weights():
    labels, logits = calibration_rows(n_rows=300)
    groups = np.array([f"site {i}" for i in np.random.default_rng(5).integers(0, 12, 300)])
    weights = np.random.default_rng(6).uniform(0.2, 3, 300)
    rows = Predictions.from_logits(labels, logits, groups=groups, weights=weights)
    _, per_row = cross_fit_temperature(rows, n_folds=5)
    for group in np.unique(groups):
        assert len(np.unique(per_row[groups == group])) == 1
    values = np.unique(per_row)
    assert len(values) == 5
    others = per_row != values[2]
    assert np.log(values[2]) == pytest.approx(dense_log_t(labels[others], logits[others], weights[others]), abs=1e-6)


def test_fewer_rows_than_folds():
    rows = Predictions.from_logits([1, 0, 1], np.array([0.7, -0.2, -0.4]))
    fitted, per_row = cross_fit_temperature(rows)
    assert fitted.source == "cross-fitted over 3 folds of the same rows"
    assert (per_row > 0).all()


# --- refusals ---


@pytest.mark.parametrize("fit", [fit_temperature, cross_fit_temperature])
def test_what_cannot_be_scaled(fit):
    with pytest.raises(DataError, match="kind 'top1'"):
        fit(Predictions.from_top1([0, 1], [0, 1], [0.9, 0.4], name="net"))
    with pytest.raises(DataError, match="kind 'correct'"):
        fit(Predictions.from_correct([True, False], [0.9, 0.4]))
    with pytest.raises(DataError, match=r"net: probs row 1: the true class has p = 0 \(1 of 3 rows\)"):
        fit(Predictions.from_probs([0, 1, 0], np.array([[0.5, 0.5], [1.0, 0.0], [0.4, 0.6]]), name="net"))
    with pytest.raises(DataError, match="logits row 0: the true class has p = 0"):
        fit(Predictions.from_logits([0, 1], np.array([[-np.inf, 0.5, 0.2], [1.0, 0.0, 0.1]])))
    with pytest.raises(DataError, match="too few rows"):
        fit(Predictions.from_logits([0], np.array([[0.3, 0.5]])))
    with pytest.raises(DataError, match="row 1, class 0: value is NaN"):
        fit(Predictions.from_logits([0, 1], np.array([[0.3, 0.5], [np.nan, 0.5]])))
    with pytest.raises(OptionError, match="confidence_level"):
        fit(Predictions.from_logits([0, 1], np.array([0.3, 0.5])), confidence_level=95)


def test_folds_that_cannot_be_made():
    rows = Predictions.from_logits([0, 1, 1], np.array([0.3, 0.5, -0.2]))
    with pytest.raises(OptionError, match="n_folds"):
        cross_fit_temperature(rows, n_folds=1)
    one_group = Predictions.from_logits([0, 1, 1], np.array([0.3, 0.5, -0.2]), groups=[7, 7, 7])
    with pytest.raises(DataError, match="too few groups"):
        cross_fit_temperature(one_group)


# --- published numbers ---


def split(file, prefix=""):
    data = np.load(real_data(f"multiclass/{file}.npz"))
    return Predictions.from_logits(data[f"{prefix}labels"], data[f"{prefix}logits"])


def test_the_published_temperature_of_resnet110():
    fitted = fit_temperature(split("cifar10_resnet110_ce", "val_"))
    assert f"{fitted.value:.6g}" == "2.39501"
    scores = score_rows(split("cifar10_resnet110_ce"), temperature=fitted.value)
    assert f"{scores.log_score.mean():.6g}" == "0.209261"
    assert f"{scores.brier.mean():.6g}" == "0.0978523"


def test_the_temperatures_of_the_resnet50_pair():
    temperatures = {name: fit_temperature(split(f"cifar10_resnet50_{name}", "val_")) for name in ("ce", "flsd53")}
    assert [f"{t.value:.3g}" for t in temperatures.values()] == ["2.5", "1.06"]
    assert temperatures["flsd53"].low > 1
    losses = {
        name: score_rows(split(f"cifar10_resnet50_{name}"), temperature=t.value).log_score.mean()
        for name, t in temperatures.items()
    }
    assert losses["ce"] - losses["flsd53"] == pytest.approx(0.0300, abs=5e-5)
