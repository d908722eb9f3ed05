"""A cell: many samples of one world, what became of their intervals and p-values, and how a table prints it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
# With 199 draws a p-value can be 2.5 % and 5 % exactly, and rejects as often as one of infinitely many draws.
NULL_DRAWS = 199


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Intervals of some samples, NaN where a sample has none; truths may differ from sample to sample."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    truth: NDArray[np.float64] | float
    p_value: NDArray[np.float64] | None = None


Sampler = Callable[[np.random.Generator, int], Drawn]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Counts of one cell.

    Attributes
    ----------
    name, family : str
        What was simulated, and which kind of interval it is.
    drawn, given : int
        Samples, and those that have an interval.
    coverage, width : float
        Over the samples that have an interval; NaN where none has.
    rejected : float
        Share of the p-values at or below 5 %; NaN where fewer than half of the samples have one.
    null : bool
        Whether the hypothesis of the p-value is true here.
    """

    name: str
    family: str
    drawn: int
    given: int
    coverage: float
    width: float
    rejected: float
    null: bool = False

    @property
    def counts(self) -> bool:
        """Whether at least half of the samples have an interval: else its coverage is that of a selection."""
        return 2 * self.given >= self.drawn


# A cell below this is drawn on, so that the lowest of many cells is not the luck of a thousand samples.
SUSPECT, FURTHER = 0.94, 4


def run(name: str, family: str, sampler: Sampler, *, repetitions: int, seed: int, null: bool = False) -> Cell:
    """Simulate a cell; its draws depend on its name and the seed, not on the cells before it.

    Where fewer than 94 % of the intervals hold the truth, four times as many samples are added; all of them count.
    """
    rng = np.random.default_rng([seed, crc32(f"{family}, {name}".encode())])
    batches = [sampler(rng, repetitions)]
    first = _hits(batches)
    if len(first) and float(np.mean(first)) < SUSPECT:
        batches += [sampler(rng, repetitions) for _ in range(FURTHER)]
    hits, widths = _hits(batches), np.concatenate([b.high - b.low for b in batches])
    given = np.isfinite(widths)
    p_values = np.concatenate([np.array([]), *(b.p_value for b in batches if b.p_value is not None)])
    p_values = p_values[np.isfinite(p_values)]
    return Cell(
        name=name,
        family=family,
        drawn=len(widths),
        given=int(given.sum()),
        coverage=float(hits.mean()) if len(hits) else np.nan,
        width=float(widths[given].mean()) if given.any() else np.nan,
        rejected=float((p_values <= 1 - LEVEL + 1e-12).mean()) if 2 * len(p_values) >= len(widths) else np.nan,
        null=null,
    )


def _hits(batches: Sequence[Drawn]) -> NDArray[np.bool_]:
    """Of each interval that there is, whether it holds the truth."""
    found = [((b.low <= b.truth) & (b.truth <= b.high))[np.isfinite(b.low)] for b in batches]
    return np.concatenate(found)


def entry(cells: Sequence[Cell]) -> str:
    """One table entry: coverages and widths over the sample sizes."""
    coverages = " ".join(f"{100 * cell.coverage:.1f}" if cell.given else "-" for cell in cells)
    widths = " ".join(f"{cell.width:.3f}".lstrip("0") if cell.given else "-" for cell in cells)
    given = f"; given {' '.join(f'{100 * cell.given / cell.drawn:.0f}' for cell in cells)}"
    return f"{coverages} ({widths})" + (given if any(cell.given < cell.drawn for cell in cells) else "")


def rejections(cells: Sequence[Cell]) -> str:
    """How often each p-value was at most 5 %, in %."""
    return " ".join("-" if np.isnan(cell.rejected) else f"{100 * cell.rejected:.1f}" for cell in cells)
