"""Which runs there are, and what is refused before any of them."""

from collections import Counter

import numpy as np
import pytest

from calibkit.errors import DataError, LabelError, OptionError
from calibkit.training.data import Dataset, load_dataset
from calibkit.training.study.cells import LOSSES, REGULARISATIONS, Cell, Shared
from calibkit.training.study.grid import (
    all_cells,
    check_classes,
    check_noises,
    check_seeds,
    class_pairs,
    smoothings_of,
)

GRID = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


def dataset(labels):
    labels = np.asarray(labels)
    return Dataset(
        inputs=np.zeros((len(labels), 3)),
        labels=labels,
        n_classes=int(labels.max()) + 1,
        divisor=None,
        name="some.npz",
        shape=(3,),
    )


def test_the_grid_crosses_smoothing_noise_and_seeds_and_runs_nothing_twice():
    cells = all_cells(seeds=5, smoothings=GRID, noises=(0.0, 0.2, 0.4), pairs=("0-1", "2-3"))
    assert len(set(cells)) == len({cell.name for cell in cells}) == len(cells)
    plain = [c for c in cells if c == Cell(seed=c.seed, noise=c.noise, smoothing=c.smoothing)]
    assert {(c.seed, c.noise, c.smoothing) for c in plain} == {
        (seed, noise, e) for seed in range(5) for noise in (0.0, 0.2, 0.4) for e in GRID
    }
    assert {c.loss for c in cells} == {"cross-entropy", *LOSSES}
    assert {c.regularisation for c in cells} == set(REGULARISATIONS)
    assert {c.network for c in cells} == {"mlp", "small", "linear"}
    assert Counter(c.seed for c in cells) == dict.fromkeys(range(5), len(cells) // 5)
    assert [c.seed for c in cells] == sorted(c.seed for c in cells)  # whole seeds first


def test_every_smoothed_run_has_its_hard_twin():
    cells = set(all_cells(seeds=2, smoothings=GRID, noises=(0.0, 0.3), pairs=("0-1",)))
    for cell in cells:
        twin = Cell(**{**cell.to_dict(), "smoothing": 0.0})
        assert twin in cells


def test_the_users_smoothings_join_the_grid_once_and_are_checked():
    assert smoothings_of(()) == GRID
    assert smoothings_of((0.3, 0.1)) == (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
    with pytest.raises(OptionError, match=r"smoothing=1\.0"):
        smoothings_of((1.0,))


@pytest.mark.parametrize("noise", [1.0, -0.1, float("nan"), "0.2", True])
def test_impossible_noise_is_refused(noise):
    with pytest.raises(OptionError, match="noise="):
        check_noises((noise,))


def test_noise_is_sorted_and_holds_none():
    assert check_noises((0.4, 0.2, 0.4)) == (0.0, 0.2, 0.4)
    assert check_noises(()) == (0.0,)


def test_one_seed_is_refused_because_it_gives_no_interval():
    with pytest.raises(OptionError, match="seeds=1: one seed gives no interval"):
        check_seeds(1)
    with pytest.raises(OptionError, match="seeds=0"):
        check_seeds(0)
    assert check_seeds(2) == 2


def test_data_of_one_class_and_of_few_rows_are_refused():
    with pytest.raises(LabelError, match=r"some\.npz: every label of y is 3"):
        check_classes(dataset([3] * 40))
    with pytest.raises(DataError, match="has 29 rows"):
        check_classes(dataset([0, 1] * 14 + [0]))
    check_classes(dataset([0, 1] * 15))


def test_pairs_of_classes_have_rows_of_both():
    assert class_pairs(load_dataset("digits")) == ("0-1", "2-3", "4-5", "6-7", "8-9")
    assert class_pairs(dataset([0, 1] * 20)) == ()
    assert class_pairs(dataset([0, 1, 2, 3] * 20)) == ("0-1", "2-3")
    assert class_pairs(dataset([0, 1] * 20 + [2, 3] * 10)) == ("0-1",)
    assert class_pairs(dataset([0] * 40 + [2, 3] * 20)) == ("2-3",)
    assert len(class_pairs(dataset(list(range(30)) * 40))) == 5


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"hidden": (0,)}, {"train_rows": 1}, {"epochs": 2.5}, {"lr": 0.0}, {"batch_size": 0}]
)
def test_a_recipe_that_cannot_be_is_refused(wrong):
    fine = {"epochs": 1, "hidden": (4,), "batch_size": 8, "lr": 0.1, "train_rows": 10, "device": "cpu"}
    Shared(**fine)
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Shared(**{**fine, **wrong})
