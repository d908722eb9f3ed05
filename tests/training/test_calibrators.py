"""A calibrator as a module: NumPy's output, with gradients that are those of finite differences."""

import numpy as np
import pytest
import torch

import calibkit as ck
from calibkit.calibrators import METHODS
from calibkit.training import CalibratorModule
from tests.calibrators.samples import every_calibrator, given, name, rows, softmax

EVERY = pytest.mark.parametrize("calibrator", every_calibrator(), ids=name)
SHAPES = pytest.mark.parametrize(
    ("n_classes", "kind", "flat"),
    [(4, "logits", False), (4, "probs", False), (2, "logits", False), (2, "logits", True), (2, "probs", True)],
)


def module_and_rows(calibrator, n_classes=4, kind="logits", *, flat=False, dtype=torch.float64):
    labels, values = given(n_classes, kind, flat=flat)
    _, new = given(n_classes, kind, flat=flat, seed=1)
    fitted = calibrator.set_params(input=kind).fit(values, labels)
    return fitted, CalibratorModule(fitted, dtype=dtype), new


@SHAPES
@EVERY
def test_the_module_gives_numpy_s_output(calibrator, n_classes, kind, flat):
    fitted, module, new = module_and_rows(calibrator, n_classes, kind, flat=flat)
    expected = fitted.predict_proba(new)
    np.testing.assert_allclose(module(torch.from_numpy(new)).numpy(), expected, rtol=1e-10, atol=1e-13)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(module.log_probs(torch.from_numpy(new)).exp().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("maps", ["classwise", "shared"])
@pytest.mark.parametrize("kind", [ck.PlattScaling, ck.BetaCalibration, ck.IsotonicCalibration, ck.HistogramBinning])
def test_shared_maps(kind, maps):
    fitted, module, new = module_and_rows(kind(maps=maps))
    np.testing.assert_allclose(module(torch.from_numpy(new)).numpy(), fitted.predict_proba(new), atol=1e-12)


@EVERY
def test_float32_is_the_default_and_close(calibrator):
    fitted, module, new = module_and_rows(calibrator, dtype=None)
    found = module(torch.from_numpy(new))
    assert found.dtype == torch.float32
    far = np.abs(found.numpy() - fitted.predict_proba(new)).max(axis=1) > 1e-5
    assert far.mean() < (0.01 if name(calibrator) == "HistogramBinning" else 1e-9)  # a forecast may round over an edge


@pytest.mark.parametrize("calibrator", [c for c in every_calibrator() if name(c) != "HistogramBinning"], ids=name)
@SHAPES
def test_gradients_flow_and_are_exact(calibrator, n_classes, kind, flat):
    _, module, new = module_and_rows(calibrator, n_classes, kind, flat=flat)
    start = torch.from_numpy(new).requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=(len(new), n_classes)))
    (gradient,) = torch.autograd.grad((weights * module(start)).sum(), start)
    assert gradient.isfinite().all()
    assert (gradient != 0).double().mean() > (0.01 if name(calibrator) == "IsotonicCalibration" else 0.99)
    step = 1e-7
    for place in np.ndindex(5, *start.shape[1:]):
        up, down = (start.detach().clone() for _ in range(2))
        up[place] += step
        down[place] -= step
        slope = ((weights * module(up)).sum() - (weights * module(down)).sum()) / (2 * step)
        assert gradient[place].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-5)


def test_a_sure_row_has_finite_gradients():
    for method in ("platt", "beta", "ensemble-temperature"):
        labels, logits = rows(n_classes=3)
        module = CalibratorModule(METHODS[method]().fit(logits, labels), dtype=torch.float64)
        sure = torch.tensor([[900.0, 0.0, -900.0]], dtype=torch.float64, requires_grad=True)
        module(sure)[0, 1].backward()
        assert sure.grad.isfinite().all()


def test_it_ends_a_network_and_travels_in_its_state():
    labels, logits = rows()
    fitted = ck.VectorScaling().fit(logits, labels)
    network = torch.nn.Sequential(torch.nn.Linear(7, 3), CalibratorModule(fitted))
    other = torch.nn.Sequential(
        torch.nn.Linear(7, 3), CalibratorModule(ck.VectorScaling().fit(logits[:200], labels[:200]))
    )
    other.load_state_dict(network.state_dict())
    inputs = torch.randn(11, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(other(inputs), network(inputs))
    assert [n for n, _ in network.named_parameters()] == ["0.weight", "0.bias"]
    network(inputs).log().sum().backward()
    assert network[0].weight.grad.abs().sum() > 0
    assert "method='vector', input='logits'" in repr(network)


def test_a_module_of_what_was_saved_is_the_same(tmp_path):
    fitted, module, new = module_and_rows(ck.BetaCalibration())
    fitted.save(tmp_path / "c.json")
    read = CalibratorModule(ck.load_calibrator(tmp_path / "c.json"), dtype=torch.float64)
    torch.testing.assert_close(read(torch.from_numpy(new)), module(torch.from_numpy(new)), rtol=0, atol=0)


def test_clip_and_log_odds_against_the_first_class():
    labels, probs = given(3, "probs")
    probs = probs.copy()
    probs[:9] = np.eye(3)[np.arange(9) % 3]
    for calibrator in (ck.BetaCalibration(input="probs", clip=1e-3), ck.TemperatureScaling(input="probs", clip=1e-3)):
        fitted = calibrator.fit(probs, labels)
        module = CalibratorModule(fitted, dtype=torch.float64)
        np.testing.assert_allclose(module(torch.from_numpy(probs)).numpy(), fitted.predict_proba(probs), atol=1e-12)
    flat = ck.PlattScaling(input="probs", clip=0.01).fit(probs[:, 1], labels == 1)
    found = CalibratorModule(flat, dtype=torch.float64)(torch.from_numpy(probs[:, 1].copy())).numpy()
    np.testing.assert_allclose(found, flat.predict_proba(probs[:, 1]), atol=1e-12)
    labels, logits = rows()
    against = logits[:, 1:] - logits[:, :1]
    with pytest.warns(UserWarning, match="log-odds"):
        fitted = ck.VectorScaling().fit(against, labels)
    found = CalibratorModule(fitted, dtype=torch.float64)(torch.from_numpy(against)).numpy()
    np.testing.assert_allclose(found, fitted.predict_proba(against), atol=1e-12)


def test_what_is_no_fitted_calibrator_is_refused():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(ck.InputFormatError, match="expected a calibrator, got dict"):
        CalibratorModule({})
    with pytest.raises(NotFittedError):
        CalibratorModule(ck.TemperatureScaling())


EXTREMES = [(5, "logits", False), (5, "probs", False), (2, "logits", True), (2, "probs", True), (2, "probs", False)]


def extremes(n_classes, kind, *, flat, seed):
    """Labels and a forecast far surer than float32 can hold: probabilities of 1e-60 and of 1 - 1e-9."""
    labels, logits = rows(n_rows=300, n_classes=n_classes, seed=seed, sharpness=40.0)
    logits[:40] /= 8.0
    if kind == "logits":
        return labels, logits[:, 1] - logits[:, 0] if flat else logits
    logits[:, -1] = np.minimum(logits[:, -1], logits[:, 0] + 34)  # no probability of exactly 1
    logits[:, 0] = np.minimum(logits[:, 0], logits[:, -1] + 300)
    values = softmax(logits)
    return labels, values[:, 1] if flat else values


@pytest.mark.parametrize(("n_classes", "kind", "flat"), EXTREMES)
@EVERY
def test_float32_rounds_the_result_alone(calibrator, n_classes, kind, flat):
    fitted = calibrator.set_params(input=kind).fit(*extremes(n_classes, kind, flat=flat, seed=0)[::-1])
    _, new = extremes(n_classes, kind, flat=flat, seed=1)
    expected = fitted.predict_proba(new)
    assert (new.astype(np.float32) != new).any()
    for module in (CalibratorModule(fitted), CalibratorModule(fitted, dtype=torch.float64).float()):
        found = module(torch.from_numpy(new))
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, rtol=3e-7, atol=1e-15)
        logs = module.log_probs(torch.from_numpy(new)).double().exp().numpy()
        np.testing.assert_allclose(logs, expected, rtol=1e-4, atol=1e-15)
    rounded = new.astype(np.float32)
    if kind == "logits":
        found = CalibratorModule(fitted)(torch.from_numpy(rounded)).numpy()
        np.testing.assert_allclose(found, fitted.predict_proba(rounded), rtol=3e-7, atol=1e-15)


def test_thresholds_closer_than_float32():
    x, y = np.array([1e-60, 1e-50, 0.2, 0.4, 0.6, 0.9]), [0, 0, 1, 0, 1, 1]
    fitted = ck.IsotonicCalibration(input="probs").fit(x, y)
    found = CalibratorModule(fitted)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found[:, 1], [0, 0, 0.5, 0.5, 1, 1], atol=1e-7)


@pytest.mark.parametrize("calibrator", every_calibrator(), ids=name)
def test_a_device_without_float64_has_finite_numbers(calibrator, monkeypatch):
    fitted = calibrator.set_params(input="logits").fit(*extremes(5, "logits", flat=False, seed=0)[::-1])
    monkeypatch.setattr("calibkit.training.calibrators._WITHOUT_FLOAT64", {"cpu"})
    module = CalibratorModule(fitted).to("cpu")
    assert {number.dtype for number in module.buffers()} == {torch.float32}
    _, new = extremes(5, "logits", flat=False, seed=1)
    found = module(torch.from_numpy(new.astype(np.float32)))
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(new)))


def test_sure_forecasts_in_one_dimension():
    _, probs = given(2, "probs", flat=True)
    labels = np.random.default_rng(5).random(len(probs)) < probs
    new = np.array([1e-60, 1e-9, 0.5, 1 - 1e-9, 1 - 1e-16])
    for calibrator in (ck.TemperatureScaling(input="probs"), ck.PlattScaling(input="probs")):
        fitted = calibrator.fit(probs, labels)
        found = CalibratorModule(fitted)(torch.from_numpy(new)).numpy()
        np.testing.assert_allclose(found, fitted.predict_proba(new), rtol=1e-6, atol=1e-45)
    fitted = ck.BetaCalibration(input="probs").fit(probs, labels)
    fitted.coefficients_ = np.array([[0.7, 0.0, -0.3]])  # b = 0, as where a fit meets its bound
    module = CalibratorModule(fitted)
    np.testing.assert_allclose(module(torch.from_numpy(new)).numpy(), fitted.predict_proba(new), rtol=1e-6, atol=1e-45)
    np.testing.assert_allclose(module(torch.tensor([1.0]))[0, 1].item(), 1 / (1 + np.exp(0.3)), rtol=1e-6)


def test_a_forecast_off_by_its_rounding_is_that_of_certainty():
    labels, probs = given(2, "probs", flat=True)
    fitted = ck.TemperatureScaling(input="probs").fit(probs, labels)
    over = np.array([1 + 1e-7, 0.3], dtype=np.float32)
    assert over[0] > 1
    np.testing.assert_allclose(CalibratorModule(fitted)(torch.from_numpy(over)).numpy(), fitted.predict_proba(over))


def test_a_cast_is_one_of_the_result():
    fitted, module, new = module_and_rows(ck.IsotonicCalibration())
    network = torch.nn.Sequential(module)
    for cast, dtype in (
        (network.half, torch.float16),
        (network.bfloat16, torch.bfloat16),
        (network.double, torch.float64),
    ):
        found = cast()(torch.from_numpy(new))
        assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), fitted.predict_proba(new), atol=1e-12)
    assert network.to("meta")[0].map.places_0.is_meta


@pytest.mark.parametrize("method", [ck.IsotonicCalibration, ck.HistogramBinning])
def test_a_row_of_nan_stays_nan(method):
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.ones(3), 60)
    calibrator = method(input="probs").fit(probs, np.r_[0, 1, 2, rng.integers(0, 3, 57)])
    broken = torch.tensor(probs[:2])
    broken[1, 1] = float("nan")
    mapped = CalibratorModule(calibrator)(broken)
    assert torch.isfinite(mapped[0]).all()
    assert mapped[1].isnan().all()
