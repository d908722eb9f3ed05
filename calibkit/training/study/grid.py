"""Which runs a study needs: the grid, and what single claims need besides. Annex: training."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, product

import numpy as np

from calibkit._checks import check_int, check_real
from calibkit.errors import DataError, LabelError, OptionError
from calibkit.training.data import Dataset
from calibkit.training.study.cells import ALL_CLASSES, LINEAR, LOSSES, MLP, REGULARISATIONS, SMALL, Cell
from calibkit.training.tensors import check_smoothing

INSIDE = (0.05, 0.1, 0.2)
OUTSIDE = (0.02, 0.4)
TEXTBOOK = 0.1
NOISES = (0.0, 0.2, 0.4)
MIN_SEEDS = 2
MAX_SEEDS = 1_000
MIN_ROWS = 30
MAX_PAIRS = 5


def smoothings_of(extra: Sequence[float]) -> tuple[float, ...]:
    """Smoothings of the grid in ascending order: 0, the usual ones, one on either side of them, and the user's.

    Examples
    --------
    >>> smoothings_of((0.3,))
    (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
    """
    return tuple(sorted({0.0, *INSIDE, *OUTSIDE, *map(check_smoothing, extra)}))


def check_noises(noises: Sequence[float]) -> tuple[float, ...]:
    """Return fractions of flipped labels in ascending order; 0 is always among them."""
    checked = {0.0}
    for noise in noises:
        checked.add(0.0 if noise == 0 and noise is not False else check_real(noise, option="noise", low=0.0, high=1.0))
    return tuple(sorted(checked))


def check_seeds(seeds: int) -> int:
    """Return a number of seeds that gives an interval."""
    if check_int(seeds, option="seeds", low=1, high=MAX_SEEDS) < MIN_SEEDS:
        raise OptionError(f"seeds={seeds}: one seed gives no interval; take 5 or more, at the least {MIN_SEEDS}.")
    return seeds


def check_classes(dataset: Dataset) -> None:
    """Raise for data that a study cannot be made on: one class, or too few rows to split."""
    present = np.unique(dataset.labels)
    if len(present) < 2:
        raise LabelError(f"{dataset.name}: every label of y is {present[0]}; two classes or more are needed.")
    if len(dataset.labels) < MIN_ROWS:
        raise DataError(
            f"{dataset.name}: has {len(dataset.labels)} rows; a study splits them into train, calibration and test "
            f"and takes at least {MIN_ROWS}."
        )


def class_pairs(dataset: Dataset) -> tuple[str, ...]:
    """Two-class problems of the data: classes 0 and 1, 2 and 3, and so on, at most five that have rows enough.

    None where there are but two classes: then every run is one.
    """
    counts = np.bincount(dataset.labels, minlength=dataset.n_classes)
    if np.count_nonzero(counts) <= 2:
        return ()
    pairs = [(a, b) for a, b in pairwise(range(dataset.n_classes)) if a % 2 == 0]
    large = [f"{a}-{b}" for a, b in pairs if counts[a] + counts[b] >= MIN_ROWS and min(counts[a], counts[b]) > 0]
    return tuple(large[:MAX_PAIRS])


def all_cells(
    *, seeds: int, smoothings: Sequence[float], noises: Sequence[float], pairs: Sequence[str]
) -> tuple[Cell, ...]:
    """Every run, seed by seed, so that a study that is stopped early holds whole seeds."""
    kinds = dict.fromkeys(_kinds(smoothings, noises, pairs))
    return tuple(replace(kind, seed=seed) for seed in range(seeds) for kind in kinds)


def _kinds(smoothings: Sequence[float], noises: Sequence[float], pairs: Sequence[str]) -> Iterator[Cell]:
    """The runs of one seed; some are asked for by several claims."""
    kind = partial(Cell, seed=0)
    some = noises[:2]  # no noise, and the least
    both = (0.0, TEXTBOOK)
    for noise, smoothing in product(noises, smoothings):
        yield kind(noise=noise, smoothing=smoothing)
    for noise, loss in product(noises, LOSSES):
        yield kind(noise=noise, loss=loss)
    for noise, smoothing, classes in product(some, both, pairs):
        yield kind(noise=noise, smoothing=smoothing, classes=classes)
    for noise, smoothing, regularisation in product(some, both, REGULARISATIONS):
        yield kind(noise=noise, smoothing=smoothing, regularisation=regularisation)
    for noise, smoothing, network in product(some, both, (SMALL, LINEAR)):
        yield kind(noise=noise, smoothing=smoothing, network=network)


def work(cell: Cell, *, hidden: Sequence[int]) -> float:
    """How long a run takes, in arbitrary units: for the time left, nothing else."""
    rows = 0.2 if cell.classes != ALL_CLASSES else 1.0
    weights = 1 + math.prod(hidden) / 2e4 if cell.network == MLP else 1.0
    return rows * weights * (1.3 if "augmentation" in cell.regularisation or "three" in cell.regularisation else 1.0)
