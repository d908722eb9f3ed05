"""The loss of one logit a question against torch's, and against the loss of two classes."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.training import (
    BinaryLabelSmoothingCrossEntropy,
    binary_label_smoothing_cross_entropy,
    label_smoothing_cross_entropy,
    smoothed_loss_floor,
    smoothing_from_others,
)


def batch(dtype=torch.float64, *, n=17, device="cpu"):
    generator = torch.Generator().manual_seed(7)
    logits = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    return logits.to(device, dtype), torch.randint(2, (n,), generator=generator).to(device)


def value_and_gradient(loss, logits):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf)
    value.sum().backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.43])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_it_is_the_loss_of_two_classes(smoothing, reduction, device):
    logits, labels = batch(device=device)
    labels[[2, 9]] = -100
    ours = BinaryLabelSmoothingCrossEntropy(smoothing, reduction=reduction)
    value, gradient = value_and_gradient(lambda x: ours(x, labels), logits)
    two, expected = value_and_gradient(
        lambda x: label_smoothing_cross_entropy(
            torch.stack([torch.zeros_like(x), x], dim=1), labels, smoothing=smoothing, reduction=reduction
        ),
        logits,
    )
    torch.testing.assert_close(value, two, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-15)


def test_smoothing_a_tenth_means_95_and_5():
    logits, labels = batch()
    q = 0.05 + 0.9 * labels.double()
    value, gradient = value_and_gradient(
        lambda x: binary_label_smoothing_cross_entropy(x, labels, smoothing=0.1, reduction="none"), logits
    )
    torch.testing.assert_close(value, binary_cross_entropy_with_logits(logits, q, reduction="none"))
    torch.testing.assert_close(gradient, logits.sigmoid() - q, rtol=0, atol=1e-15)
    nine = 0.1 + 0.8 * labels.double()
    loss = binary_label_smoothing_cross_entropy(logits, labels, smoothing=smoothing_from_others(0.1, 2))
    assert float(loss) == pytest.approx(float(binary_cross_entropy_with_logits(logits, nine)), rel=1e-14)
    best = torch.logit(q)
    assert float(binary_label_smoothing_cross_entropy(best, labels, smoothing=0.1)) == pytest.approx(
        smoothed_loss_floor(2, 0.1), rel=1e-13
    )


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 3, 5)])
def test_soft_answers_and_many_questions(shape):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64)
    soft = torch.rand(shape, generator=generator, dtype=torch.float64)
    loss = binary_label_smoothing_cross_entropy(logits, soft, smoothing=0.2)
    expected = binary_cross_entropy_with_logits(logits, 0.8 * soft + 0.1)
    assert float(loss) == pytest.approx(float(expected), rel=1e-14)
    losses, weights = BinaryLabelSmoothingCrossEntropy(0.2).rows(logits, soft)
    assert losses.shape == weights.shape == shape


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float32, torch.float64])
def test_answers_of_every_dtype(dtype):
    logits, labels = batch(torch.float32)
    expected = binary_label_smoothing_cross_entropy(logits, labels, smoothing=0.1)
    assert torch.equal(binary_label_smoothing_cross_entropy(logits, labels.to(dtype), smoothing=0.1), expected)


def test_derivatives_of_first_and_second_order():
    logits, labels = batch(n=5)
    labels[1] = -100
    leaf = logits.requires_grad_()
    loss = BinaryLabelSmoothingCrossEntropy(0.13)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (leaf,))
    assert torch.autograd.gradgradcheck(lambda x: loss(x, labels), (leaf,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(dtype, device):
    logits, labels = batch(dtype, device=device)
    loss = BinaryLabelSmoothingCrossEntropy(0.1)
    value, gradient = value_and_gradient(lambda x: loss(x, labels), logits)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert float(value) == pytest.approx(float(loss(logits.double(), labels)), rel=1e-6)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        assert torch.equal(loss(logits, labels), value)


def test_ignored_entries_add_nothing_whatever_they_hold():
    logits, labels = batch(n=5)
    loss = BinaryLabelSmoothingCrossEntropy(0.1, ignore_index=255)
    junk = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)
    value, gradient = value_and_gradient(
        lambda x: loss(x, torch.cat([labels, torch.full((3,), 255)])), torch.cat([logits, junk])
    )
    assert float(value) == pytest.approx(float(loss(logits, labels)), rel=1e-14)
    assert torch.equal(gradient[5:], torch.zeros(3, dtype=torch.float64))


def test_extreme_logits_keep_their_digits():
    logits = torch.tensor([1e4, -1e4, 40.0, -40.0], dtype=torch.float64)
    labels = torch.tensor([1, 0, 1, 0])
    losses = binary_label_smoothing_cross_entropy(logits, labels, smoothing=0.0, reduction="none")
    assert losses.tolist() == pytest.approx([0.0, 0.0, math.exp(-40), math.exp(-40)], rel=1e-12)


def test_it_compiles_in_one_graph():
    logits, labels = batch(torch.float32)
    loss = BinaryLabelSmoothingCrossEntropy(0.1)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))
    assert repr(loss) == "BinaryLabelSmoothingCrossEntropy(smoothing=0.1, ignore_index=-100, reduction='mean')"


@pytest.mark.parametrize(
    ("logits", "targets", "error", "message"),
    [
        (torch.zeros(3, 1), [0, 1, 0], ShapeError, r"shape \(3, 1\).*logits\.squeeze\(-1\)"),
        (torch.zeros(3, 2), [0, 1, 0], ShapeError, "use the loss of classes"),
        (torch.tensor(0.0), 1, ShapeError, "one logit"),
        (torch.zeros(3), [0, 2, 1], LabelError, r"row 1: value is 2 .*0 to 1 for 2 classes.*labels - 1"),
        (torch.zeros(3), [1, -1, 1], LabelError, "row 1: value is -1"),
        (torch.zeros(3), [0.0, 1.5, 1.0], DataError, r"row 1: value is 1\.5 \(1 of 3 values\).*in \[0, 1\]"),
        (torch.zeros(3), [0.0, math.nan, 1.0], DataError, "row 1: value is nan"),
        (torch.zeros(3, dtype=torch.int64), [0, 1, 1], InputFormatError, "int64; expected floats"),
        (torch.zeros(2), [-100, -100], DataError, "ignore_index=-100"),
        (torch.zeros(0), torch.zeros(0), DataError, "batch is empty"),
    ],
)
def test_bad_batches(logits, targets, error, message):
    with pytest.raises(error, match=message):
        binary_label_smoothing_cross_entropy(logits, torch.as_tensor(targets), smoothing=0.1)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 10, "0.1", None])
def test_smoothing_outside_its_range(smoothing):
    with pytest.raises(OptionError, match="smoothing="):
        BinaryLabelSmoothingCrossEntropy(smoothing)
