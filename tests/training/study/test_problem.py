"""What a run learns and is measured on: parts, flips, two classes, augmentation, batches."""

import numpy as np
import pytest
import torch

from calibkit.training.data import load_dataset
from calibkit.training.study.cells import Cell
from calibkit.training.study.problem import Batches, augment, make_problem, thirds


@pytest.mark.parametrize(("n", "cap", "sizes"), [(1797, 2000, (599, 599, 599)), (10_000, 2000, (2000, 4000, 4000))])
def test_the_parts_are_disjoint_and_hold_every_row(n, cap, sizes):
    parts = thirds(n, seed=4, train_rows=cap)
    rows = (parts.train, parts.calibration, parts.test)
    assert tuple(map(len, rows)) == sizes
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(n))
    assert not np.array_equal(parts.test, thirds(n, seed=5, train_rows=cap).test)


def test_labels_are_flipped_in_every_part_by_the_very_fraction_and_the_true_ones_kept():
    problem = make_problem("digits", Cell(seed=1, noise=0.2), train_rows=2000)
    assert np.array_equal(problem.true.numpy(), load_dataset("digits").labels)
    wrong = (problem.true != problem.given).numpy()
    for rows in (problem.parts.train, problem.parts.calibration, problem.parts.test):
        assert wrong[rows].sum() == 120  # floor(0.2 * 599 + 1/2)


def test_runs_of_one_seed_share_split_flips_and_scaling():
    one = make_problem("digits", Cell(seed=1, noise=0.2, smoothing=0.1), train_rows=500)
    other = make_problem("digits", Cell(seed=1, noise=0.2, loss="Brier", network="linear"), train_rows=500)
    assert np.array_equal(one.parts.train, other.parts.train)
    assert torch.equal(one.given, other.given)
    assert torch.equal(one.inputs, other.inputs)
    clean = make_problem("digits", Cell(seed=1), train_rows=500)
    assert np.array_equal(one.parts.test, clean.parts.test)
    assert torch.equal(clean.given, clean.true)


def test_a_two_class_problem_holds_the_rows_of_two_classes():
    data = load_dataset("digits")
    problem = make_problem("digits", Cell(seed=0, classes="4-5"), train_rows=2000)
    rows = np.flatnonzero(np.isin(data.labels, (4, 5)))
    assert problem.n_classes == 2
    assert np.array_equal(problem.true.numpy(), data.labels[rows] - 4)
    np.testing.assert_allclose(problem.inputs.numpy(), data.inputs[rows] / 16, atol=1e-7)


def test_augmented_images_are_shifts_of_the_images():
    torch.manual_seed(0)
    images = torch.rand(60, 6, 8)
    shifted = augment(images.reshape(60, -1), (6, 8)).reshape(60, 6, 8)
    seen = set()
    for image, moved in zip(images.numpy(), shifted.numpy(), strict=True):
        padded = np.pad(image, 1)
        matches = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if np.array_equal(padded[down : down + 6, right : right + 8], moved)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 9
    assert augment(torch.rand(5, 784), (28, 28)).shape == (5, 784)


def test_other_inputs_get_a_little_noise():
    torch.manual_seed(0)
    rows = torch.zeros(4000, 3)
    noisy = augment(rows, (3,))
    assert noisy.std().item() == pytest.approx(0.1, rel=0.05)
    assert not rows.any()


def test_batches_hold_every_row_once_in_an_order_of_the_generator():
    batches = Batches(torch.arange(10.0).unsqueeze(1), torch.arange(10), size=4)
    torch.manual_seed(3)
    first = [(x.squeeze(1).tolist(), y.tolist()) for x, y in batches]
    again = [y.tolist() for _, y in batches]
    assert [len(y) for _, y in first] == [4, 4, 2]
    assert all(x == y for x, y in first)
    assert sorted(row for _, y in first for row in y) == list(range(10))
    assert [y for _, y in first] != again
    torch.manual_seed(3)
    assert [y.tolist() for _, y in batches] == [y for _, y in first]
