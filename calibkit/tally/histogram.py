"""The cells of a tally that hold rows, as blocks of rows: what stands for them where bins are not enough. Floor 2."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit._numerics import Floats, Integers
from calibkit.exact import UNIT_BITS
from calibkit.pairs import Pairs, PairView, TiedPairs
from calibkit.tally.grid import MIDDLE
from calibkit.tally.moments import SCALE
from calibkit.tally.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """Blocks of rows in increasing order of the forecast, (2, m): row 0 is of those whose event did not happen.

    Attributes
    ----------
    fine : ndarray of shape (m,)
        The fine cell of each block.
    count, weight, weight_squared : ndarray of shape (2, m)
        Rows, their weights, and the squares of these.
    forecast, missing : ndarray of shape (2, m)
        Sums of w c and of w (1 - c), each rounded once.
    low, high : ndarray of shape (2, m)
        The smallest and the largest forecast; of no rows inf and -inf.
    """

    fine: Integers
    count: Integers
    weight: Floats
    weight_squared: Floats
    forecast: Floats
    missing: Floats
    low: Floats
    high: Floats

    @property
    def free(self) -> NDArray[np.bool_]:
        """Blocks of both outcomes and several forecasts, (m,): how the outcomes are ordered inside is not known."""
        return np.asarray(self.count.all(axis=0) & (self.low.min(axis=0) < self.high.max(axis=0)))

    @property
    def distinct(self) -> int:
        """How many different forecasts the rows have, if all of a block that differ at all are different."""
        tied = self.low.min(axis=0) == self.high.max(axis=0)
        return int(np.where(tied, 1, self.count.sum(axis=0)).sum())

    @property
    def centre(self) -> Floats:
        """Mean forecast of each block, (m,)."""
        mean = self.forecast.sum(axis=0) / self.weight.sum(axis=0)
        return np.asarray(np.clip(mean, self.low.min(axis=0), self.high.max(axis=0)))

    @property
    def means(self) -> Floats:
        """Mean forecast of each block by outcome, (2, m); where there are no rows, that of the block."""
        there = self.count > 0
        mean = np.divide(self.forecast, self.weight, out=np.tile(self.centre, (2, 1)), where=there)
        return np.asarray(np.where(there, np.clip(mean, self.low, self.high), mean))

    def folded(self) -> "Histogram":
        """Of forecasts of an event, those of the predicted class: p = 1/2 predicts that it does not happen."""
        turned = self.fine <= MIDDLE  # 1/2 has a cell of its own
        fine, cell = np.unique(np.where(turned, 2 * MIDDLE - self.fine, self.fine), return_inverse=True)
        mirror = {
            "forecast": self.missing,
            "missing": self.forecast,
            "low": np.where(self.count > 0, 1 - self.high, np.inf),
            "high": np.where(self.count > 0, 1 - self.low, -np.inf),
        }

        def joined(name: str) -> NDArray[Any]:
            values = getattr(self, name)
            values = np.where(turned, mirror.get(name, values)[::-1], values)
            add, start = {"low": (np.minimum, np.inf), "high": (np.maximum, -np.inf)}.get(name, (np.add, 0))
            total = np.full((2, len(fine)), start, dtype=values.dtype)
            for row in range(2):
                add.at(total[row], cell, values[row])
            return total

        return Histogram(fine=fine, **{name: joined(name) for name in _BY_OUTCOME})

    def told_apart(self) -> "Histogram":
        """Blocks whose outcomes do not overlap as two blocks, in their order: less is left unknown."""
        apart = self.count.all(axis=0) & ((self.high[0] < self.low[1]) | (self.high[1] < self.low[0]))
        block = np.repeat(np.arange(len(self.fine)), 1 + apart)
        second = np.append(False, block[1:] == block[:-1])
        first_outcome = np.where(self.high[0] < self.low[1], 0, 1)[block]
        # Which outcome a part leaves out: of a block told apart, the other one.
        left_out = np.where(apart[block], np.where(second, first_outcome, 1 - first_outcome), -1)
        kept = np.arange(2)[:, None] != left_out
        nothing = {"low": np.inf, "high": -np.inf}
        parts = {name: np.where(kept, getattr(self, name)[:, block], nothing.get(name, 0)) for name in _BY_OUTCOME}
        return Histogram(fine=self.fine[block], **parts)

    def tied(self) -> TiedPairs:
        """All rows of a block at their mean forecast."""
        return TiedPairs(
            forecast=self.centre,
            weight=self.weight.sum(axis=0),
            weight_squared=self.weight_squared.sum(axis=0),
            happened=self.weight[1],
        )

    def ordered(self, *, hits_above: bool) -> TiedPairs:
        """As `tied`, with free blocks in two: as if all hits of a block were above its misses, or all below."""
        free = self.free
        block = np.repeat(np.arange(len(self.fine)), 1 + free)
        second = np.append(False, block[1:] == block[:-1])
        whole = ~free[block]
        kept, misses = whole | (second == hits_above), whole | (second != hits_above)  # whether a part has hits, misses
        happened = self.weight[1][block] * kept
        return TiedPairs(
            forecast=np.arange(len(block), dtype=np.float64),  # an order alone
            weight=happened + self.weight[0][block] * misses,
            weight_squared=self.weight_squared[1][block] * kept + self.weight_squared[0][block] * misses,
            happened=happened,
        )

    def pairs(self, view: PairView, *, by_outcome: bool = False) -> Pairs:
        """A pair for the rows of each block and outcome, with their weight: at the mean of the block, or of these."""
        forecast = self.means if by_outcome else np.tile(self.centre, (2, 1))
        there = self.count > 0
        outcome = np.zeros(self.count.shape, dtype=np.bool_)
        outcome[1] = True
        return Pairs(
            view=view,
            forecast=forecast[there],
            outcome=outcome[there],
            weights=self.weight[there],
            squares=self.weight_squared[there],
        )


_BY_OUTCOME = tuple(field.name for field in fields(Histogram) if field.name != "fine")


def histogram_of(tally: Tally) -> Histogram:
    """The cells of a tally that hold rows."""
    count = tally.count.reshape(2, -1)
    filled = np.flatnonzero(count.any(axis=0))
    both = np.concatenate([filled, filled + tally.cells.count])
    forecast = tally.sums["forecast"].at(both)
    if tally.weighted:
        whole = tally.sums["weight"].at(both)
        weight, held = whole.to_float(), whole.integers()
        squares = tally.sums["weight_squared"].at(both).to_float() * SCALE**2
    else:
        weight = squares = count[:, filled].ravel().astype(np.float64)
        held = [int(n) << UNIT_BITS for n in count[:, filled].ravel()]
    missing = [(w - c) / (1 << UNIT_BITS) for w, c in zip(held, forecast.integers(), strict=True)]
    shape = (2, len(filled))
    return Histogram(
        fine=filled - tally.cells.bins()[filled],
        count=count[:, filled],
        weight=weight.reshape(shape),
        weight_squared=squares.reshape(shape),
        forecast=forecast.to_float().reshape(shape),
        missing=np.array(missing).reshape(shape),
        low=-tally.extent[0, both].reshape(shape),
        high=tally.extent[1, both].reshape(shape),
    )
