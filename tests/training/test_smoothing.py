"""The loss against torch's own, against dense targets, and against its closed-form gradient and floor."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.training import (
    LabelSmoothingCrossEntropy,
    label_smoothing_cross_entropy,
    smooth_targets,
    smoothed_loss_floor,
)

SMOOTHINGS = [0.0, 0.07, 0.1, 0.43]
PRIOR = [0.13, 0.07, 0.31, 0.29, 0.2]
WEIGHT = [0.4, 1.7, 0.9, 2.3, 0.05]


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


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_value_and_gradient_equal_torch(smoothing, weighted, ignored, reduction, dtype, tolerance, device):
    logits, labels = batch(dtype, device=device)
    if ignored:
        labels[[2, 9, 10]] = -100
    weight = torch.tensor(WEIGHT, dtype=dtype, device=device) if weighted else None
    ours = LabelSmoothingCrossEntropy(smoothing, weight=weight, reduction=reduction)
    value, gradient = value_and_gradient(lambda x: ours(x, labels), logits)
    expected, expected_gradient = value_and_gradient(
        lambda x: cross_entropy(x, labels, weight=weight, label_smoothing=smoothing, reduction=reduction), logits
    )
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(value, expected, rtol=0, atol=tolerance * scale)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=tolerance)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("prior", [None, PRIOR])
def test_gradient_is_softmax_minus_smoothed_target(smoothing, prior):
    logits, labels = batch()
    prior = None if prior is None else torch.tensor(prior, dtype=torch.float64)
    _, gradient = value_and_gradient(
        lambda x: label_smoothing_cross_entropy(x, labels, smoothing=smoothing, prior=prior), logits
    )
    uniform = torch.full((5,), 0.2, dtype=torch.float64)
    target = (1 - smoothing) * torch.eye(5, dtype=torch.float64)[labels] + smoothing * (
        uniform if prior is None else prior
    )
    torch.testing.assert_close(gradient, (logits.softmax(1) - target) / len(labels), rtol=0, atol=1e-14)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_prior_equals_the_dense_target(weight):
    logits, labels = batch()
    prior = torch.tensor(PRIOR, dtype=torch.float64)
    w = torch.ones(5, dtype=torch.float64) if weight is None else torch.tensor(weight, dtype=torch.float64)
    q = 0.8 * torch.eye(5, dtype=torch.float64)[labels] + 0.2 * prior
    rows = -(q * w * logits.log_softmax(1)).sum(1)
    loss = label_smoothing_cross_entropy(
        logits,
        labels,
        smoothing=0.2,
        prior=prior,
        weight=None if weight is None else w,
        reduction="none",
    )
    torch.testing.assert_close(loss, rows, rtol=1e-13, atol=0)
    mean = label_smoothing_cross_entropy(logits, labels, smoothing=0.2, prior=prior, weight=w)
    assert float(mean) == pytest.approx(float(rows.sum() / w[labels].sum() if weight else rows.mean()), rel=1e-13)


def test_a_number_by_hand():
    # p = (1/2, 1/3, 1/6), y = 1, e = .3: q = (.1, .8, .1)
    logits = torch.log(torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)) + 4.7
    loss = label_smoothing_cross_entropy(logits, torch.tensor([1]), smoothing=0.3)
    assert float(loss) == pytest.approx(0.1 * math.log(2) + 0.8 * math.log(3) + 0.1 * math.log(6), rel=1e-14)


def test_gradients_of_first_and_second_order_pass_gradcheck():
    logits, labels = batch(n=4)
    loss = LabelSmoothingCrossEntropy(0.1, prior=torch.tensor(PRIOR, dtype=torch.float64))
    leaf = logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (leaf,))
    assert torch.autograd.gradgradcheck(lambda x: loss(x, labels), (leaf,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_half_precision_logits_give_a_float32_loss(dtype, weight, device):
    logits, labels = batch(dtype, scale=8.0, device=device)
    loss = LabelSmoothingCrossEntropy(0.1, weight=weight).to(device)
    value, gradient = value_and_gradient(lambda x: loss(x, labels), logits)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value, loss(logits.float(), labels), rtol=0, atol=0)
    exact = loss(logits.double(), labels)
    assert abs(float(value) - float(exact)) < 1e-5 < abs(float(value.to(dtype)) - float(exact))


def test_autocast_does_not_lower_the_precision(device):
    logits, labels = batch(torch.float32, device=device)
    loss = LabelSmoothingCrossEntropy(0.1, weight=WEIGHT, prior=PRIOR).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        inside = loss(logits, labels)
    assert torch.equal(inside, loss(logits, labels))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_labels_of_every_whole_dtype(dtype, device):
    logits, labels = batch(torch.float32, device=device)
    expected = label_smoothing_cross_entropy(logits, labels, smoothing=0.1)
    assert torch.equal(label_smoothing_cross_entropy(logits, labels.to(dtype), smoothing=0.1), expected)


@pytest.mark.parametrize("offset", [-1e4, 1e4, 3e37])
def test_an_offset_of_all_logits_changes_nothing(offset):
    logits = torch.tensor([[1.0, -2.0, 3.0], [0.0, 4.0, 1.0]]) if abs(offset) < 1e5 else torch.zeros(2, 3)
    labels = torch.tensor([0, 1])
    moved = label_smoothing_cross_entropy(logits + offset, labels, smoothing=0.1)
    assert float(moved) == pytest.approx(float(label_smoothing_cross_entropy(logits, labels, smoothing=0.1)), abs=1e-6)


def test_masked_logits():
    logits = torch.tensor([[0.3, -math.inf, 1.2], [0.9, -math.inf, -0.4]])
    labels = torch.tensor([0, 2])
    assert torch.isfinite(label_smoothing_cross_entropy(logits, labels, smoothing=0.0))
    assert label_smoothing_cross_entropy(logits, labels, smoothing=0.1) == math.inf
    # The share goes to the classes that are not masked: a finite loss with finite gradients.
    value, gradient = value_and_gradient(
        lambda x: label_smoothing_cross_entropy(x, labels, smoothing=0.1, prior=[0.6, 0.0, 0.4]), logits
    )
    kept = label_smoothing_cross_entropy(logits[:, [0, 2]], torch.tensor([0, 1]), smoothing=0.1, prior=[0.6, 0.4])
    assert float(value) == pytest.approx(float(kept), rel=1e-6)
    assert torch.isfinite(gradient).all()


def test_nothing_to_average():
    logits, labels = batch(n=3)
    ignored = torch.full_like(labels, -100)
    with pytest.raises(DataError, match=r"Every label of the batch \(3 rows\) is ignore_index=-100"):
        label_smoothing_cross_entropy(logits, ignored, smoothing=0.1)
    with pytest.raises(DataError, match="batch is empty"):
        label_smoothing_cross_entropy(logits[:0], labels[:0], smoothing=0.1)
    with pytest.raises(DataError, match="class of weight 0"):
        label_smoothing_cross_entropy(logits, torch.zeros(3, dtype=int), smoothing=0.1, weight=[0, 1, 1, 1, 1])
    for rows in (slice(None), slice(0)):
        total = label_smoothing_cross_entropy(logits[rows], ignored[rows], smoothing=0.1, reduction="sum")
        assert float(total) == 0
    losses = label_smoothing_cross_entropy(logits, ignored, smoothing=0.1, reduction="none")
    assert losses.tolist() == [0, 0, 0]


def test_ignored_rows_add_no_gradient():
    logits, labels = batch()
    labels[[0, 7]] = 3
    kept = labels != 3
    _, gradient = value_and_gradient(
        lambda x: label_smoothing_cross_entropy(x, labels, smoothing=0.1, ignore_index=3), logits
    )
    _, alone = value_and_gradient(lambda x: label_smoothing_cross_entropy(x, labels[kept], smoothing=0.1), logits[kept])
    assert torch.equal(gradient[~kept], torch.zeros_like(gradient[~kept]))
    torch.testing.assert_close(gradient[kept], alone, rtol=1e-14, atol=0)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5, 10, math.nan, math.inf, "0.1", None, True])
def test_smoothing_outside_its_range(smoothing):
    with pytest.raises(OptionError, match="smoothing="):
        LabelSmoothingCrossEntropy(smoothing)
    with pytest.raises(OptionError, match="smoothing="):
        smooth_targets([0, 1], 2, smoothing)
    with pytest.raises(OptionError, match="smoothing="):
        smoothed_loss_floor(10, smoothing)
    if smoothing == 10:
        with pytest.raises(OptionError, match=r"10 % is 0\.1"):
            LabelSmoothingCrossEntropy(smoothing)


@pytest.mark.parametrize("smoothing", [0, np.float32(0.25), np.float64(0.25)])
def test_smoothing_of_other_number_types(smoothing):
    assert LabelSmoothingCrossEntropy(smoothing).smoothing == float(smoothing)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 5, 1, 7], LabelError, r"labels row 1: value is 5 \(2 of 4 rows\); expected 0 to 4 for 5 classes.*- 1"),
        ([0, 2, -1, 1], LabelError, r"row 2: value is -1 \(1 of 4 rows\).*ignore_index=-1"),
        ([0, 9, 1, 2], LabelError, r"row 1: value is 9 .*5 classes\.$"),
        ([0.0, 1.0, 2.0, 3.0], LabelError, r"float32; expected class numbers .*labels\.long\(\)"),
        ([[0.2] * 3] * 4, ShapeError, r"shape \(4, 3\).*class probabilities take the shape of the logits"),
        ([True, False, True, True], LabelError, "bool"),
        ([[0, 1], [2, 3]], ShapeError, r"labels has shape \(2, 2\) but logits has 4 rows"),
        ([0, 1, 2], ShapeError, r"labels has shape \(3,\) but logits has 4 rows"),
    ],
)
def test_labels_that_are_not_class_numbers(labels, error, message, device):
    logits, _ = batch(n=4, device=device)
    with pytest.raises(error, match=message):
        label_smoothing_cross_entropy(logits, torch.tensor(labels, device=device), smoothing=0.1)
    # The device still works: a label out of range never reached a kernel.
    assert float(torch.ones(3, device=device).sum()) == 3


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        (torch.zeros(4), ShapeError, r"\(4,\); expected \(n, k\)"),
        (torch.zeros(4, 1), ShapeError, "k >= 2"),
        (torch.zeros(2, 5, 2), ShapeError, r"labels has shape \(4,\).*expected \(2, 2\): the classes are in axis 1"),
        (torch.zeros(4, 5, dtype=torch.int64), InputFormatError, "int64; expected floats"),
        (np.zeros((4, 5)), InputFormatError, "expected a torch.Tensor, got ndarray"),
    ],
)
def test_logits_of_another_form(logits, error, message):
    with pytest.raises(error, match=message):
        label_smoothing_cross_entropy(logits, torch.tensor([0, 1, 2, 3]), smoothing=0.1)


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 3, 4), (1, 5, 2, 3, 2)])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_dense_logits_have_their_classes_in_axis_1(shape, weight, reduction, device):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(device)
    rows = (shape[0], *shape[2:])
    labels = torch.randint(5, rows, generator=torch.Generator().manual_seed(4)).to(device)
    labels[0, 1] = 255
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64, device=device)
    options = {"weight": w, "ignore_index": 255, "reduction": reduction}
    ours = LabelSmoothingCrossEntropy(0.1, **options)
    value, gradient = value_and_gradient(lambda x: ours(x, labels), logits)
    theirs, expected = value_and_gradient(lambda x: cross_entropy(x, labels, label_smoothing=0.1, **options), logits)
    assert value.shape == (rows if reduction == "none" else ())
    torch.testing.assert_close(value, theirs, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)


def test_one_hot_labels_are_named():
    logits, labels = batch(n=4)
    with pytest.raises(ShapeError, match=r"One-hot\? Pass labels\.argmax\(1\)"):
        label_smoothing_cross_entropy(logits, torch.eye(5, dtype=torch.int64)[labels], smoothing=0.1)


def test_rows_are_losses_and_what_they_weigh():
    logits, labels = batch()
    labels[[2, 9]] = -100
    weight = torch.tensor(WEIGHT, dtype=torch.float64)
    loss = LabelSmoothingCrossEntropy(0.1, weight=weight)
    losses, weights = loss.rows(logits, labels)
    assert torch.equal(weights, torch.where(labels < 0, 0.0, weight[labels.clamp(min=0)]))
    assert float(loss(logits, labels)) == pytest.approx(float(losses.sum() / weights.sum()), rel=1e-15)
    # Two halves of a batch, summed and divided once: what accumulation and several processes do.
    halves = [loss.rows(logits[part], labels[part]) for part in (slice(0, 11), slice(11, None))]
    total = sum(float(part.sum()) for part, _ in halves) / sum(float(part.sum()) for _, part in halves)
    assert total == pytest.approx(float(loss(logits, labels)), rel=1e-14)


def test_a_smoothing_set_between_steps_is_used_and_checked():
    logits, labels = batch()
    loss = LabelSmoothingCrossEntropy(0.3)
    loss.smoothing = 0.05
    assert torch.equal(loss(logits, labels), label_smoothing_cross_entropy(logits, labels, smoothing=0.05))
    loss.smoothing = 10
    with pytest.raises(OptionError, match=r"10 % is 0\.1"):
        loss(logits, labels)


def test_a_smoothing_that_changes_every_step_does_not_compile_every_step():
    logits, labels = batch(torch.float32)
    loss = LabelSmoothingCrossEntropy(0.2)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    for step in range(20):  # fullgraph=True raises after 8 graphs
        loss.smoothing = 0.2 * (1 - step / 20)
        torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior": [0.5, 0.6]}, DataError, r"prior sums to 1\.1"),
        ({"prior": [1.5, -0.5]}, DataError, "prior class 1: value is -0.5"),
        ({"prior": [math.nan, 1.0]}, DataError, "prior class 0"),
        ({"prior": [[0.5, 0.5]]}, ShapeError, r"prior has shape \(1, 2\)"),
        ({"weight": [1.0, -1.0]}, DataError, "weight class 1"),
        ({"weight": [0.0, 0.0]}, DataError, "weight is 0 for every class"),
        ({"weight": 2.0}, ShapeError, "weight has shape"),
        ({"reduction": "avg"}, OptionError, "reduction='avg'"),
        ({"ignore_index": 0.5}, OptionError, "ignore_index=0.5"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        LabelSmoothingCrossEntropy(0.1, **options)
    with pytest.raises(error, match=message):
        label_smoothing_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), smoothing=0.1, **options)


@pytest.mark.parametrize("name", ["prior", "weight"])
def test_class_vectors_of_another_length(name):
    loss = LabelSmoothingCrossEntropy(0.1, **{name: [0.2, 0.3, 0.5]})
    with pytest.raises(ShapeError, match=f"{name} has 3 entries but there are 5 classes"):
        loss(*batch())
    with pytest.raises(ShapeError, match="3 entries but there are 4 classes"):
        smooth_targets([0], 4, 0.1, prior=[0.2, 0.3, 0.5])


def test_the_module_keeps_its_vectors_and_says_its_settings():
    loss = LabelSmoothingCrossEntropy(0.1, prior=PRIOR, weight=WEIGHT, reduction="sum")
    assert set(loss.state_dict()) == {"prior", "weight"}
    assert repr(loss) == "LabelSmoothingCrossEntropy(smoothing=0.1, ignore_index=-100, reduction='sum')"


def test_it_compiles_in_one_graph():
    logits, labels = batch(torch.float32)
    labels[3] = -100
    loss = LabelSmoothingCrossEntropy(0.1, weight=WEIGHT)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))
