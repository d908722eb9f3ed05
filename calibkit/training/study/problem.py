"""From a data set and a seed to what one run learns and is measured on. Annex: training."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from calibkit.files.source import AnyPath
from calibkit.training.data import Dataset, Rows, load_dataset, scale_inputs, with_noise
from calibkit.training.study.cells import Cell

# Of the seed's streams, beside those that split runs and flip their labels.
_SPLIT = 2
_JITTER = 0.1
_PIXELS_PER_SHIFT = 14


@cache
def _load(path: str, _version: tuple[int, int] | None) -> Dataset:
    return load_dataset(path)


def load_once(data: AnyPath) -> Dataset:
    """Read a data set, once in each process while its file is the same."""
    try:
        held = os.stat(data)  # noqa: PTH116 - bytes are paths too
    except (OSError, ValueError):  # digits; or load_dataset says what is wrong
        return _load(os.fsdecode(data), None)
    return _load(os.fsdecode(data), (held.st_mtime_ns, held.st_size))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thirds:
    """Row numbers of the three parts of a study's data: none is selected on, so no part is kept for that."""

    train: Rows
    calibration: Rows
    test: Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Scaled inputs (n, d), their true labels and the labels as given, and the three parts."""

    inputs: Tensor
    true: Tensor
    given: Tensor
    n_classes: int
    parts: Thirds
    shape: tuple[int, ...]


def thirds(n_rows: int, *, seed: int, train_rows: int) -> Thirds:
    """A third of the rows to train, but at most so many, and two equal parts of the rest.

    Examples
    --------
    >>> parts = thirds(10_000, seed=0, train_rows=2000)
    >>> len(parts.train), len(parts.calibration), len(parts.test)
    (2000, 4000, 4000)
    """
    order = np.random.default_rng([seed, _SPLIT]).permutation(n_rows)
    n_train = min(n_rows // 3, train_rows)
    train, calibration, test = np.split(order, [n_train, n_train + (n_rows - n_train) // 2])
    return Thirds(train=np.sort(train), calibration=np.sort(calibration), test=np.sort(test))


def make_problem(data: AnyPath, cell: Cell, *, train_rows: int) -> Problem:
    """Split, flip labels in all three parts, and scale by the training rows."""
    dataset = load_once(data)
    if cell.pair is not None:
        dataset = _two_classes(dataset, cell.pair)
    parts = thirds(len(dataset.labels), seed=cell.seed, train_rows=train_rows)
    noisy = dataset
    for rows in (parts.train, parts.calibration, parts.test):
        noisy, _ = with_noise(noisy, rows, noise=cell.noise, seed=cell.seed)
    return Problem(
        inputs=torch.from_numpy(scale_inputs(dataset, parts.train).inputs),
        true=torch.from_numpy(dataset.labels),
        given=torch.from_numpy(noisy.labels),
        n_classes=dataset.n_classes,
        parts=parts,
        shape=dataset.shape,
    )


def _two_classes(dataset: Dataset, pair: tuple[int, int]) -> Dataset:
    """The rows of two classes, numbered 0 and 1."""
    rows = np.flatnonzero(np.isin(dataset.labels, pair))
    labels = (dataset.labels[rows] == pair[1]).astype(np.int64)
    return replace(dataset, inputs=dataset.inputs[rows], labels=labels, n_classes=2)


class Batches:
    """Shuffled batches of tensors, in an order that torch's generator gives anew each time."""

    def __init__(self, inputs: Tensor, labels: Tensor, *, size: int, augmented: tuple[int, ...] | None = None) -> None:
        self.inputs = inputs
        self.labels = labels
        self.size = size
        self.augmented = augmented

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.split(torch.randperm(len(self.labels)), self.size):
            inputs = self.inputs[rows]
            yield inputs if self.augmented is None else augment(inputs, self.augmented), self.labels[rows]


def augment(inputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Rows changed a little at random: images are shifted, a pixel each way in 8 x 8, other inputs get noise.

    Shifts are by a fourteenth of the side, rounded, at least one pixel, and what comes in is 0; noise has standard
    deviation 0.1, of features that are standardised.
    """
    if len(shape) != 2:
        return inputs + _JITTER * torch.randn_like(inputs)
    n, (height, width) = len(inputs), shape
    reach = max(1, round(max(shape) / _PIXELS_PER_SHIFT))
    padded = torch.nn.functional.pad(inputs.view(n, height, width), (reach,) * 4)
    down, right = torch.randint(0, 2 * reach + 1, (2, n, 1))
    rows = (down + torch.arange(height)).unsqueeze(2)  # (n, height, 1)
    columns = (right + torch.arange(width)).unsqueeze(1)  # (n, 1, width)
    return padded[torch.arange(n).view(n, 1, 1), rows, columns].reshape(n, -1)
