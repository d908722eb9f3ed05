"""Soft and mixup targets: smoothed like labels, checked as distributions."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from calibkit.errors import DataError, OptionError
from calibkit.training import LabelSmoothingCrossEntropy, label_smoothing_cross_entropy, smooth_targets

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


@pytest.mark.parametrize("shape", [(23, 5), (2, 5, 3, 4)])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_soft_targets_are_smoothed_as_torch_does(shape, weight, reduction, smoothing, device):
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64).to(device)
    soft = torch.randn(shape, generator=generator, dtype=torch.float64).to(device).softmax(1)
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64, device=device)
    value, gradient = value_and_gradient(
        lambda x: label_smoothing_cross_entropy(x, soft, smoothing=smoothing, weight=w, reduction=reduction), logits
    )
    theirs, expected = value_and_gradient(
        lambda x: cross_entropy(x, soft, label_smoothing=smoothing, weight=w, reduction=reduction), logits
    )
    torch.testing.assert_close(value, theirs, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)


def test_mixup_targets_are_the_mixture_of_two_losses():
    # The loss is linear in the target: what loops do that mix two losses instead of two targets.
    logits, labels = batch()
    other = labels.flip(0)
    mixed = 0.3 * torch.eye(5, dtype=torch.float64)[labels] + 0.7 * torch.eye(5, dtype=torch.float64)[other]
    for prior in (None, torch.tensor(PRIOR, dtype=torch.float64)):
        loss = LabelSmoothingCrossEntropy(0.17, prior=prior)
        expected = 0.3 * loss(logits, labels) + 0.7 * loss(logits, other)
        assert float(loss(logits, mixed)) == pytest.approx(float(expected), rel=1e-14)
        targets = smooth_targets(mixed, 5, 0.17, prior=prior)
        rows = -(targets * logits.log_softmax(1)).sum(1)
        torch.testing.assert_close(loss.rows(logits, mixed)[0], rows, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.2, 0.9, 0.0, 0.0, 0.0], r"targets row 2: sums to 1\.1 \(1 of 4 rows\), not 1"),
        ([-0.2, 0.9, 0.3, 0.0, 0.0], r"targets row 2: lowest value is -0\.2 \(1 of 4 rows\)"),
        ([math.nan, 0.5, 0.5, 0.0, 0.0], "targets row 2"),
        ([math.inf, 0.0, 0.0, 0.0, 0.0], "targets row 2: sums to inf"),
    ],
)
def test_soft_targets_that_are_no_distributions(row, message):
    logits, labels = batch(torch.float32, n=4)
    soft = torch.eye(5)[labels]
    soft[2] = torch.tensor(row)
    with pytest.raises(DataError, match=message):
        label_smoothing_cross_entropy(logits, soft, smoothing=0.1)


def test_soft_targets_in_dense_rows_are_named_by_their_place():
    soft = torch.full((2, 5, 3, 4), 0.2)
    soft[1, 0, 2, 1] = 0.5
    with pytest.raises(DataError, match=r"targets row \(1, 2, 1\): sums to 1\.3"):
        label_smoothing_cross_entropy(torch.zeros(2, 5, 3, 4), soft, smoothing=0.1)


def test_soft_targets_have_no_label_to_ignore():
    soft = torch.full((4, 5), 0.2)
    with pytest.raises(OptionError, match="ignore_index=255: soft targets have no label to ignore"):
        label_smoothing_cross_entropy(torch.zeros(4, 5), soft, smoothing=0.1, ignore_index=255)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_soft_targets_of_every_precision(dtype):
    logits, _ = batch(n=64, k=5)
    soft = batch(n=64, seed=5)[0].softmax(1).to(dtype)
    loss = label_smoothing_cross_entropy(logits, soft, smoothing=0.1)
    exact = label_smoothing_cross_entropy(logits, soft.double() / soft.double().sum(1, keepdim=True), smoothing=0.1)
    assert float(loss) == pytest.approx(float(exact), rel=2 * torch.finfo(dtype).eps)
