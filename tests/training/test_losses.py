"""Losses next to label smoothing against their formulas in NumPy and mpmath, and against closed-form gradients."""

import math
from functools import partial

import mpmath
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import calibkit as ck
from calibkit.errors import DataError, LabelError, OptionError, ShapeError
from calibkit.training import (
    BrierLoss,
    ConfidencePenaltyCrossEntropy,
    FocalLoss,
    MarginLabelSmoothing,
    brier_loss,
    confidence_penalty_cross_entropy,
    focal_loss,
    label_smoothing_cross_entropy,
    margin_label_smoothing_loss,
)
from calibkit.training.reduction import RowLoss


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def confidence_penalty_by_hand(x, y, *, penalty):
    p, onehot = softmax(x), np.eye(x.shape[1])[y]
    entropy = -(p * np.log(p)).sum(1)
    gradient = p - onehot + penalty * p * (np.log(p) + entropy[:, None])
    return -np.log((p * onehot).sum(1)) - penalty * entropy, gradient


def focal_by_hand(x, y, *, gamma):
    p, onehot = softmax(x), np.eye(x.shape[1])[y]
    own = (p * onehot).sum(1)
    power = np.where(own < 0.2, 5.0, 3.0) if gamma == "flsd-53" else gamma
    slope = (1 - own) ** power - power * (1 - own) ** (power - 1) * own * np.log(own)
    return -((1 - own) ** power) * np.log(own), slope[:, None] * (p - onehot)


def margin_by_hand(x, y, *, margin, smoothing):
    p, onehot, k = softmax(x), np.eye(x.shape[1])[y], x.shape[1]
    far = x.max(1, keepdims=True) - x - margin
    top = np.eye(k)[x.argmax(1)]
    pull = (far > 0).sum(1, keepdims=True) * top - (far > 0)
    loss = -np.log((p * onehot).sum(1)) + smoothing * np.maximum(far, 0).sum(1) / k
    return loss, p - onehot + smoothing / k * pull


def brier_by_hand(x, y):
    p, onehot = softmax(x), np.eye(x.shape[1])[y]
    gap = p - onehot
    return (gap**2).sum(1), 2 * p * (gap - (p * gap).sum(1, keepdims=True))


CASES = [
    pytest.param(confidence_penalty_cross_entropy, ConfidencePenaltyCrossEntropy, by_hand, options, id=name)
    for name, by_hand, options in [
        ("confidence-penalty", confidence_penalty_by_hand, {"penalty": 0.1}),
        ("confidence-penalty-2", confidence_penalty_by_hand, {"penalty": 2.3}),
    ]
]
CASES += [
    pytest.param(focal_loss, FocalLoss, focal_by_hand, {"gamma": gamma}, id=f"focal-{gamma}")
    for gamma in (0.5, 1.0, 2.0, 3.7, "flsd-53")
]
CASES += [
    pytest.param(margin_label_smoothing_loss, MarginLabelSmoothing, margin_by_hand, options, id=f"margin-{number}")
    for number, options in enumerate([{"margin": 2.5, "smoothing": 0.1}, {"margin": 0.0, "smoothing": 1.4}])
]
CASES += [pytest.param(brier_loss, BrierLoss, brier_by_hand, {}, id="brier")]
all_losses = pytest.mark.parametrize(("function", "module", "by_hand", "options"), CASES)


def batch(dtype=torch.float64, *, n=23, k=5, scale=3.0, seed=11, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    labels = torch.randint(k, (n,), generator=generator)
    return logits.to(device, dtype), labels.to(device)


def value_and_gradient(loss, logits):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf)
    value.sum().backward()
    return value.detach(), leaf.grad


@all_losses
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_value_and_gradient_follow_the_formula(
    function, module, by_hand, options, ignored, reduction, dtype, tolerance, device
):
    logits, labels = batch(dtype, device=device)
    kept = np.ones(len(labels), dtype=bool)
    if ignored:
        kept[[2, 9, 10]] = False
        labels[[2, 9, 10]] = -100
    rows, gradients = by_hand(logits.double().cpu().numpy(), np.where(kept, labels.cpu().numpy(), 0), **options)
    rows, gradients = rows * kept, gradients * kept[:, None]
    count = kept.sum() if reduction == "mean" else 1
    expected = rows if reduction == "none" else rows.sum() / count
    for loss in (partial(function, **options, reduction=reduction), module(**options, reduction=reduction)):
        value, gradient = value_and_gradient(lambda x, loss=loss: loss(x, labels), logits)
        assert value.dtype == gradient.dtype == dtype
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(value.cpu().numpy(), expected, rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(gradient.cpu().numpy(), gradients / count, rtol=0, atol=tolerance)


@all_losses
def test_dense_logits_are_rows_with_the_classes_in_axis_1(function, module, by_hand, options, device):
    logits = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(3)).to(device)
    labels = torch.randint(5, (2, 3, 4), generator=torch.Generator().manual_seed(4)).to(device)
    labels[1, 0, 2] = 255
    flat = logits.movedim(1, -1).reshape(-1, 5)
    rows, _ = by_hand(flat.double().cpu().numpy(), labels.where(labels < 5, 0).flatten().cpu().numpy(), **options)
    losses = function(logits, labels, **options, ignore_index=255, reduction="none")
    assert losses.shape == labels.shape
    assert losses[1, 0, 2] == 0
    kept = (labels != 255).flatten().cpu().numpy()
    np.testing.assert_allclose(losses.flatten().cpu().numpy()[kept], rows[kept], rtol=2e-6, atol=1e-6)
    mean = module(**options, ignore_index=255)(logits, labels)
    assert float(mean) == pytest.approx(rows[kept].mean(), rel=1e-5)


@all_losses
def test_gradients_of_first_and_second_order_pass_gradcheck(function, module, by_hand, options):  # noqa: ARG001
    logits, labels = batch(n=4)
    leaf = logits.requires_grad_()
    loss = module(**options, reduction="sum")
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (leaf,))
    assert torch.autograd.gradgradcheck(lambda x: loss(x, labels), (leaf,))


@all_losses
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_give_a_float32_loss(function, module, by_hand, options, dtype, device):  # noqa: ARG001
    logits, labels = batch(dtype, scale=8.0, device=device)
    loss = module(**options)
    value, gradient = value_and_gradient(lambda x: loss(x, labels), logits)
    exact, exact_gradient = value_and_gradient(lambda x: loss(x, labels), logits.double())
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert float(value) == pytest.approx(float(exact), rel=3e-6)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=torch.finfo(dtype).eps, atol=1e-7)


@all_losses
def test_autocast_does_not_lower_the_precision(function, module, by_hand, options, device):  # noqa: ARG001
    logits, labels = batch(torch.float32, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        inside = function(logits, labels, **options)
    assert torch.equal(inside, function(logits, labels, **options))


@all_losses
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_extreme_logits_give_finite_losses_and_gradients(function, module, by_hand, options, dtype):  # noqa: ARG001
    rows = [[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4], [1e4, 1e4, 1e4], [-1e4, 3.0, 2.0], [50.0, 0.0, -50.0]]
    logits = torch.tensor(rows, dtype=dtype).repeat_interleave(3, dim=0)
    labels = torch.arange(3).repeat(5)
    value, gradient = value_and_gradient(lambda x: function(x, labels, **options, reduction="none"), logits)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


@all_losses
def test_an_offset_of_all_logits_changes_nothing(function, module, by_hand, options):  # noqa: ARG001
    logits = torch.tensor([[1.0, -2.0, 3.0], [0.0, 4.0, 1.0]])
    labels = torch.tensor([0, 1])
    for offset in (-8192.0, 8192.0):
        moved, gradient = value_and_gradient(lambda x: function(x, labels, **options), logits + offset)
        still, expected = value_and_gradient(lambda x: function(x, labels, **options), logits)
        torch.testing.assert_close(moved, still, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-7)


@all_losses
def test_ignored_rows_add_nothing_whatever_they_hold(function, module, by_hand, options):  # noqa: ARG001
    logits, labels = batch(n=6)
    expected, expected_gradient = value_and_gradient(lambda x: function(x, labels, **options), logits)
    junk = torch.tensor([[math.nan] * 5, [-math.inf] * 5, [-math.inf, 1, 2, 3, 4]], dtype=torch.float64)
    longer, with_ignored = torch.cat([logits, junk]), torch.cat([labels, torch.full((3,), -100)])
    value, gradient = value_and_gradient(lambda x: function(x, with_ignored, **options), longer)
    assert float(value) == pytest.approx(float(expected), rel=1e-14)
    torch.testing.assert_close(gradient[:6], expected_gradient, rtol=1e-13, atol=1e-15)
    assert torch.equal(gradient[6:], torch.zeros(3, 5, dtype=torch.float64))


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (confidence_penalty_cross_entropy, {"penalty": 0.7}),
        (focal_loss, {"gamma": 0.0}),
        (focal_loss, {"gamma": 0.5}),
        (focal_loss, {"gamma": "flsd-53"}),
        (margin_label_smoothing_loss, {"smoothing": 0.0}),
        (brier_loss, {}),
    ],
)
def test_masked_classes_are_as_if_they_were_not_there(function, options):
    logits = torch.tensor([[0.3, -math.inf, 1.2], [0.9, -math.inf, -0.4], [2.0, -math.inf, -math.inf]])
    value, gradient = value_and_gradient(
        lambda x: function(x, torch.tensor([0, 2, 0]), **options, reduction="none"), logits
    )
    two = function(logits[:2, [0, 2]], torch.tensor([0, 1]), **options, reduction="none")
    torch.testing.assert_close(value, torch.cat([two, torch.zeros(1)]), rtol=1e-6, atol=1e-7)
    assert torch.isfinite(gradient).all()
    assert not gradient[:, 1].any()


def test_a_masked_label_makes_the_loss_inf_and_no_gradient_nan():
    logits, labels = torch.tensor([[0.3, -math.inf, 1.2]]), torch.tensor([1])
    for function in (confidence_penalty_cross_entropy, focal_loss, partial(focal_loss, gamma="flsd-53")):
        value, gradient = value_and_gradient(lambda x, function=function: function(x, labels), logits)
        assert value == math.inf
        assert not gradient.isnan().any()
    assert float(brier_loss(logits, labels)) == pytest.approx(1 + np.square(softmax(np.array([[0.3, 1.2]]))).sum())


def test_a_masked_class_is_beyond_any_margin():
    logits = torch.tensor([[0.3, -math.inf, 1.2]])
    value, gradient = value_and_gradient(lambda x: margin_label_smoothing_loss(x, torch.tensor([0])), logits)
    assert value == math.inf
    assert not gradient.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
def test_focal_loss_has_all_digits_at_both_ends(gamma, dtype):
    # Two classes: the log-odds of the label are the difference of the logits.
    odds = [-300.0, -40.0, -7.0, -1e-3, 0.0, 2.0, 9.0, 20.0, 36.0, 60.0]
    logits = torch.tensor([[d, 0.0] for d in odds], dtype=dtype)
    labels = torch.zeros(len(odds), dtype=torch.int64)
    value, gradient = value_and_gradient(lambda x: focal_loss(x, labels, gamma=gamma, reduction="none"), logits)
    with mpmath.workdps(60):
        for row, d in enumerate(logits[:, 0].tolist()):
            p = 1 / (1 + mpmath.exp(-mpmath.mpf(d)))
            loss = -((1 - p) ** gamma) * mpmath.log(p)
            slope = -((1 - p) ** gamma) * (1 - p - gamma * p * mpmath.log(p))
            # The exponent gamma log(1 - p) is rounded once, relative to its size.
            tolerance = torch.finfo(dtype).eps * (8 + 4 * gamma * max(d, 1.0))
            smallest = torch.finfo(dtype).tiny / tolerance
            assert float(value[row]) == pytest.approx(float(loss), rel=tolerance, abs=smallest)
            assert float(gradient[row, 0]) == pytest.approx(float(slope), rel=tolerance, abs=smallest)
            assert float(gradient[row, 1]) == pytest.approx(-float(slope), rel=tolerance, abs=smallest)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.999, 1.0, 5.0, "flsd-53"])
def test_focal_loss_at_probability_one(gamma):
    logits = torch.tensor([[500.0, 0.0, -3.0], [1e4, -1e4, 0.0], [0.0, -math.inf, -math.inf]])
    assert torch.equal(logits.softmax(1)[:, 0], torch.ones(3))
    value, gradient = value_and_gradient(
        lambda x: focal_loss(x, torch.zeros(3, dtype=torch.int64), gamma=gamma, reduction="none"), logits
    )
    torch.testing.assert_close(value, torch.zeros(3), rtol=0, atol=1e-30)
    torch.testing.assert_close(gradient, torch.zeros(3, 3), rtol=0, atol=1e-30)


def test_flsd_53_takes_5_below_a_fifth_and_3_from_there_on():
    p = torch.tensor([0.05, 0.199, 0.201, 0.7], dtype=torch.float64)
    logits = torch.stack([p, 1 - p], dim=1).log()
    labels = torch.zeros(4, dtype=torch.int64)
    rows, gradient = value_and_gradient(lambda x: focal_loss(x, labels, gamma="flsd-53", reduction="none"), logits)
    for row, gamma in enumerate([5.0, 5.0, 3.0, 3.0]):
        fixed, slope = value_and_gradient(lambda x, g=gamma: focal_loss(x, labels, gamma=g, reduction="none"), logits)
        assert float(rows[row]) == float(fixed[row])
        assert torch.equal(gradient[row], slope[row])  # the choice has no gradient of its own


def test_focal_loss_is_not_proper_but_the_cross_entropy_and_the_brier_loss_are():
    p = np.linspace(0.001, 0.999, 999)
    logits = torch.from_numpy(np.log(np.stack([p, 1 - p], axis=1)))
    expected = {}
    for name, function in {"focal": focal_loss, "ce": partial(focal_loss, gamma=0.0), "brier": brier_loss}.items():
        if_first, if_second = (
            function(logits, torch.full((999,), label), reduction="none").numpy() for label in (0, 1)
        )
        expected[name] = float(p[np.argmin(0.8 * if_first + 0.2 * if_second)])
    assert expected["ce"] == expected["brier"] == pytest.approx(0.8)
    assert 0.5 < expected["focal"] < 0.75


def test_strength_0_is_the_cross_entropy():
    logits, labels = batch()
    plain = cross_entropy(logits, labels)
    for loss in (ConfidencePenaltyCrossEntropy(penalty=0), FocalLoss(gamma=0), MarginLabelSmoothing(smoothing=0)):
        torch.testing.assert_close(loss(logits, labels), plain, rtol=1e-14, atol=0)


@pytest.mark.parametrize("k", [2, 10, 1_000])
def test_the_penalty_is_the_entropy_not_its_mean_over_classes(k):
    loss = confidence_penalty_cross_entropy(torch.zeros(1, k, dtype=torch.float64), torch.tensor([1]), penalty=0.3)
    assert float(loss) == pytest.approx(0.7 * math.log(k), rel=1e-14)


def test_margin_0_is_label_smoothing_where_the_label_is_on_top():
    logits, labels = batch(torch.float64)
    logits[torch.arange(len(labels)), labels] += 20
    ours, gradient = value_and_gradient(
        lambda x: margin_label_smoothing_loss(x, labels, margin=0, smoothing=0.17, reduction="none"), logits
    )
    theirs, expected = value_and_gradient(
        lambda x: label_smoothing_cross_entropy(x, labels, smoothing=0.17, reduction="none"), logits
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)


def test_logits_within_the_margin_cost_nothing():
    logits, labels = batch(scale=1.0)
    loss = margin_label_smoothing_loss(logits, labels, margin=10, smoothing=5.0)
    torch.testing.assert_close(loss, cross_entropy(logits, labels), rtol=1e-14, atol=0)


def test_the_brier_loss_is_the_brier_score():
    logits, labels = batch()
    probs = logits.softmax(1).numpy()
    assert float(brier_loss(logits, labels)) == pytest.approx(ck.brier_score(labels.numpy(), probs), rel=1e-12)


@all_losses
def test_it_compiles_in_one_graph(function, module, by_hand, options):  # noqa: ARG001
    logits, labels = batch(torch.float32)
    labels[3] = -100
    for loss in (module(**options), partial(function, **options)):
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))


class Count(TorchDispatchMode):
    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


@all_losses
def test_the_work_is_the_same_number_of_operations_for_any_number_of_rows(function, module, by_hand, options):  # noqa: ARG001
    calls = set()
    for n in (2, 300):
        logits, labels = batch(n=n)
        with Count() as count:
            value_and_gradient(lambda x, labels=labels: function(x, labels, **options), logits)
        calls.add(count.calls)
    assert len(calls) == 1


@all_losses
def test_a_module_is_a_row_loss_without_state(function, module, by_hand, options):  # noqa: ARG001
    loss = module(**options, ignore_index=3, reduction="sum")
    assert isinstance(loss, RowLoss)
    assert not loss.state_dict()
    settings = ", ".join(f"{name}={value!r}" for name, value in options.items())
    assert repr(loss) == f"{module.__name__}({settings}{', ' * bool(options)}ignore_index=3, reduction='sum')"


def test_a_strength_can_be_set_between_steps():
    logits, labels = batch()
    loss = MarginLabelSmoothing(margin=1.0, smoothing=0.0)
    before = loss(logits, labels)
    loss.smoothing = 0.3
    assert loss(logits, labels) > before


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "0.1", None, True, [1.0]])
@pytest.mark.parametrize(
    ("function", "module", "option"),
    [
        (confidence_penalty_cross_entropy, ConfidencePenaltyCrossEntropy, "penalty"),
        (focal_loss, FocalLoss, "gamma"),
        (margin_label_smoothing_loss, MarginLabelSmoothing, "margin"),
        (margin_label_smoothing_loss, MarginLabelSmoothing, "smoothing"),
    ],
)
def test_strengths_outside_their_range(function, module, option, value):
    for call in (module, partial(function, *batch())):
        with pytest.raises(OptionError, match=f"{option}="):
            call(**{option: value})


@pytest.mark.parametrize("value", [0, 1, np.float32(0.25), np.float64(1.0), np.int64(3)])
def test_strengths_of_other_number_types(value):
    loss = FocalLoss(gamma=value)
    assert loss.gamma == float(value)
    assert type(loss.gamma) is float


def test_a_gamma_by_another_name():
    with pytest.raises(OptionError, match=r"gamma='flsd53': expected one of 'flsd-53'\. Did you mean 'flsd-53'"):
        FocalLoss(gamma="flsd53")


@all_losses
def test_bad_batches_are_refused(function, module, by_hand, options):  # noqa: ARG001
    logits, labels = batch(n=4)
    for loss in (partial(function, **options), module(**options)):
        with pytest.raises(LabelError, match=r"labels row 1: value is 5"):
            loss(logits, torch.tensor([0, 5, 1, 2]))
        with pytest.raises(LabelError, match="float32"):
            loss(logits, torch.tensor([0.0, 1.0, 2.0, 3.0]))
        with pytest.raises(ShapeError, match="labels has shape"):
            loss(logits, labels[:3])
        with pytest.raises(DataError, match="batch is empty"):
            loss(logits[:0], labels[:0])
        with pytest.raises(DataError, match="ignore_index=-100"):
            loss(logits, torch.full((4,), -100))
    with pytest.raises(OptionError, match="reduction='avg'"):
        function(logits, labels, **options, reduction="avg")
    with pytest.raises(OptionError, match=r"ignore_index=0\.5"):
        module(**options, ignore_index=0.5)
