"""Smoothed targets against their definition, other conventions, and the least loss against them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from calibkit.errors import DataError, LabelError, OptionError, ShapeError
from calibkit.training import (
    LabelSmoothingCrossEntropy,
    label_smoothing_cross_entropy,
    smooth_targets,
    smoothed_loss_floor,
    smoothing_from_others,
)

SMOOTHINGS = [0.0, 0.07, 0.1, 0.43]
PRIOR = [0.13, 0.07, 0.31, 0.29, 0.2]


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("prior", [None, PRIOR])
def test_targets_are_distributions_around_the_label(smoothing, prior, device):
    labels = torch.tensor([4, 0, 2, 2], dtype=torch.int32, device=device)
    targets = smooth_targets(labels, 5, smoothing, prior=prior).cpu()
    spread = np.full(5, 0.2) if prior is None else np.array(prior)
    expected = (1 - smoothing) * np.eye(5)[[4, 0, 2, 2]] + smoothing * spread
    np.testing.assert_allclose(targets.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(targets.double().sum(1), 1, atol=1e-6)


def test_dense_labels_get_their_classes_in_axis_1():
    labels = torch.tensor([[[0, 3, 1], [2, 2, 4]]])  # (1, 2, 3)
    targets = smooth_targets(labels, 5, 0.2)
    assert targets.shape == (1, 5, 2, 3)
    flat = smooth_targets(labels.flatten(), 5, 0.2)
    assert torch.equal(targets.movedim(1, -1).reshape(-1, 5), flat)


@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3)])
@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_soft_targets_are_smoothed(shape, prior, dtype):
    soft = torch.randn(shape, generator=torch.Generator().manual_seed(2)).to(dtype).softmax(1)
    before = soft.clone()
    targets = smooth_targets(soft, 5, 0.3, prior=prior)
    spread = np.full(5, 0.2) if prior is None else np.array(prior)
    expected = 0.7 * soft.numpy() + 0.3 * spread.reshape(-1, *[1] * (len(shape) - 2))
    assert targets.dtype == dtype
    np.testing.assert_allclose(targets.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(targets.double().sum(1), 1, atol=1e-6)
    assert torch.equal(soft, before)


def test_no_rows_give_no_targets():
    assert smooth_targets(torch.zeros(0, dtype=torch.int64), 5, 0.1).shape == (0, 5)
    assert smooth_targets(torch.zeros(0, 5), 5, 0.1).shape == (0, 5)


@pytest.mark.parametrize("k", [2, 3, 10, 1_000])
@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.1, 0.4])
def test_the_others_only_convention_is_a_reparameterisation(k, smoothing):
    uniform = smoothing_from_others(smoothing, k)
    targets = smooth_targets(np.array([1, 0]), k, uniform).double().numpy()
    expected = np.full((2, k), smoothing / (k - 1))
    expected[[0, 1], [1, 0]] = 1 - smoothing
    np.testing.assert_allclose(targets, expected, atol=1e-7)
    assert uniform == pytest.approx(smoothing * k / (k - 1), rel=1e-15)


def test_no_uniform_smoothing_equals_others_that_get_more_than_the_label():
    with pytest.raises(OptionError, match=r"smoothing=0\.5: expected less than \(k - 1\) / k = 0\.5 for 2 classes"):
        smoothing_from_others(0.5, 2)
    assert smoothing_from_others(0.49, 2) == pytest.approx(0.98)
    with pytest.raises(OptionError, match="num_classes"):
        smoothing_from_others(0.1, 1)
    with pytest.raises(OptionError, match="smoothing="):
        smoothing_from_others(1.0, 5)


@pytest.mark.parametrize("k", [2, 5, 1_000])
def test_the_copied_variant_is_another_smoothing_of_another_scale(k):
    e = 0.1
    labels = torch.tensor([1, 0, 1])
    copied = torch.full((3, k), e / k, dtype=torch.float64).scatter(1, labels.unsqueeze(1), 1 - e)
    np.testing.assert_allclose(copied.sum(1), 1 - e / k, rtol=1e-15)
    logits = torch.randn(3, k, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    theirs = cross_entropy(logits, copied)
    ours = label_smoothing_cross_entropy(logits, labels, smoothing=e / (1 - e / k))
    assert float(theirs) == pytest.approx((1 - e / k) * float(ours), rel=1e-14)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([0, 4], LabelError, "row 1: value is 4"),
        ([0, -100], LabelError, "row 1: value is -100"),
        ([0.0, 1.0], LabelError, "float32"),
        ([[0, 0, 1, 0], [1, 0, 0, 0]], LabelError, r"one-hot\? Pass targets\.argmax\(1\)"),
        ([[0.5, 0.5, 0.0]], ShapeError, r"targets has shape \(1, 3\); expected 4 classes in axis 1"),
        ([[0.5, 0.6, 0.0, 0.0]], DataError, r"targets row 0: sums to 1\.1"),
        (3, ShapeError, r"shape \(\); expected \(n,\)"),
    ],
)
def test_targets_refuse_what_is_neither_labels_nor_distributions(targets, error, message):
    with pytest.raises(error, match=message):
        smooth_targets(targets, 4, 0.1)


@pytest.mark.parametrize(("k", "smoothing", "floor"), [(10, 0.1, 0.50029), (10, 0.0, 0.0), (2, 0.1, 0.19852)])
def test_floor(k, smoothing, floor):
    assert smoothed_loss_floor(k, smoothing) == pytest.approx(floor, abs=5e-6)


@pytest.mark.parametrize("smoothing", [0.07, 0.43])
def test_the_floor_is_reached_at_the_target_and_nowhere_below(smoothing):
    labels = torch.tensor([2, 0])
    target = smooth_targets(labels, 7, smoothing).double()
    loss = LabelSmoothingCrossEntropy(smoothing)
    floor = smoothed_loss_floor(7, smoothing)
    assert float(loss(target.log(), labels)) == pytest.approx(floor, abs=1e-6)
    for seed in range(5):
        step = 0.1 * torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert float(loss(target.log() + step, labels)) > floor


@pytest.mark.parametrize("k", [1, 0, 2.0])
def test_fewer_than_two_classes(k):
    with pytest.raises(OptionError, match="num_classes"):
        smoothed_loss_floor(k, 0.1)
