"""Samples of n rows that two models share, and the paired intervals that `compare` would give them. Floor 3."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats
from calibkit.bracket.paired import difference_error, paired_ends, sure_share
from calibkit.bracket.parts import Parts, parts_of
from calibkit.intervals import with_unseen
from calibkit.planning.population import Population
from calibkit.planning.samples import Model, deviations, model_of

# Fewer than of one model: two times the bins, and pairs of them.
SAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two models of the same rows, whose luck is correlated.

    Attributes
    ----------
    model, reference : Population
        The same m rows in the same order.
    correlation : float
        Of the two outcomes of a row, given the true probability of each.
    """

    model: Population
    reference: Population
    correlation: float

    @property
    def difference(self) -> float:
        """True difference of ECE, model minus reference."""
        return self.model.error - self.reference.error

    def ends(self, n: int, *, level: float, seed: int) -> tuple[Floats, Floats]:
        """Ends of the interval of the difference in samples of n rows, (samples,)."""
        one, two, cells = model_of(self.model), model_of(self.reference), _cells(self)
        gap = np.concatenate([one.gap, two.gap])
        square = np.diag(np.concatenate([one.square, two.square]))
        b = len(one.gap)
        np.add.at(square, (cells.first, b + cells.second), cells.product)
        np.add.at(square, (b + cells.second, cells.first), cells.product)
        normal = np.random.default_rng(seed).normal(size=(SAMPLES, len(gap)))
        drawn = deviations(square - np.outer(gap, gap), normal)
        first, second = parts_of(one.table(n, drawn[:, :b])), parts_of(two.table(n, drawn[:, b:]))
        rho = _shared(cells, (one, two), (first, second))
        se = with_unseen(difference_error(first, second, rho), n)
        low, high, _ = paired_ends(first, second, se=se, level=level)
        return low, high


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cells:
    """Pairs of a bin of each model that share rows, and means over rows of what those hold."""

    first: NDArray[Any]
    second: NDArray[Any]
    share: Floats
    gap: Floats
    other_gap: Floats
    product: Floats


def _cells(pair: Pair) -> _Cells:
    model, reference = pair.model, pair.reference
    b = len(reference.edges) - 1
    codes, place = np.unique(model.index.astype(np.int64) * b + reference.index, return_inverse=True)
    truths = model.truth, reference.truth
    gap, other = model.confidence - truths[0], reference.confidence - truths[1]
    spread = np.sqrt(np.prod([truth * (1 - truth) for truth in truths], axis=0))

    def mean(values: Floats) -> Floats:
        return np.bincount(place, values, len(codes)) / len(place)

    return _Cells(
        first=codes // b,
        second=codes % b,
        share=mean(np.ones(len(place))),
        gap=mean(gap),
        other_gap=mean(other),
        product=mean(gap * other + pair.correlation * spread),
    )


def _shared(cells: _Cells, models: tuple[Model, Model], parts: tuple[Parts, Parts]) -> Floats:
    """What the errors of the two share in each sample: the rho of `paired_bracket`, summed over cells, not rows."""
    first, second = parts
    signs = np.sign(first.gap)[:, cells.first], np.sign(second.gap)[:, cells.second]
    sure = sure_share(first.sure_sign[:, cells.first], second.sure_sign[:, cells.second])
    theta, other = first.theta[:, None], second.theta[:, None]
    products = (
        signs[0] * signs[1] * cells.product
        - other * signs[0] * cells.gap
        - theta * signs[1] * cells.other_gap
        + theta * other * cells.share
    )
    squares = [model.square.sum() - part.theta**2 for model, part in zip(models, parts, strict=True)]
    scale = np.sqrt(np.maximum(np.prod(squares, axis=0), 0.0))
    rho = np.divide((sure * products).sum(axis=-1), scale, out=np.zeros(len(scale)), where=scale > 0)
    return np.asarray(np.clip(rho, -1.0, 1.0))
