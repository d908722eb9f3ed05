"""A state as evidence: what `evaluate` computes from rows, computed from exact sums over them. Floor 3."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan, sqrt

import numpy as np

from calibkit._numerics import Floats, weighted_mean
from calibkit.binning import BinTable
from calibkit.bracket import Chance
from calibkit.evidence import About
from calibkit.intervals import MeanInterval, infinite_rows, spread_interval
from calibkit.metrics import METRICS
from calibkit.pairs import PairView
from calibkit.pseudo_values import few_answers
from calibkit.resampling import chance_of_sketch
from calibkit.tally import Histogram, Moments, Tally, forecast_moments, gap_moments, histogram_of, score_moments
from calibkit.units import Spread, Units

_SCORES = {"nll": "log_score", "brier": "brier"}


@dataclass(frozen=True, kw_only=True)
class Tallied:
    """Rows of which only a tally is left; see `calibkit.evidence.Evidence`."""

    about: About
    tally: Tally
    table: BinTable
    rankings: tuple[str, ...] = ()
    of_view: Sequence[BinTable] | None = None

    @property
    def pair_view(self) -> PairView:
        """The view of its cells."""
        return "positive" if self.about.view == "positive" else "top-label"

    @cached_property
    def event(self) -> Histogram:
        """Its cells, as blocks."""
        return histogram_of(self.tally).told_apart()

    @cached_property
    def top_label(self) -> Histogram:
        """The same of the predicted class, which rankings are about."""
        cells = histogram_of(self.tally)
        return (cells.folded() if self.pair_view == "positive" else cells).told_apart()

    @property
    def tables(self) -> Sequence[BinTable]:
        """The bin tables of the view."""
        return (self.table,) if self.of_view is None else self.of_view

    def chance_of_pairs(self, rng: np.random.Generator) -> Chance | None:
        """What a calibrated model would show of the ECE over k pairs a row; None without a sample of rows."""
        sketch = self.tally.sketch
        return None if sketch is None else chance_of_sketch(sketch, self.tables, self.about.n, rng=rng)

    @property
    def bracketed(self) -> BinTable:
        """What the interval of an ECE rests on."""
        return self.table

    @property
    def means(self) -> tuple[str, ...]:
        """Names of the metrics that are means, in the order of the registry."""
        event = ("base_rate",) if self.about.view == "positive" else ()
        scores = tuple(name for name, sums in _SCORES.items() if sums in self.tally.sums)
        return ("accuracy", *event, "mean_confidence", *scores)

    @property
    def effective(self) -> float:
        """Rows of equal weight that the rows are worth."""
        if not self.about.weighted or self.about.n == 0:
            return float(self.about.n)
        moments = forecast_moments(self.tally)
        total, squares = moments.at(1, 0), moments.at(2, 0)
        assert total is not None  # weights are bounded
        return float(total**2 / squares) if squares else 0.0

    def mean(self, name: str) -> float:
        """Mean of a score."""
        if self.about.n == 0:
            return nan
        if name == "base_rate":
            return float(self.table.outcome_sum.sum() / self.table.weight.sum())
        if name == "accuracy":
            return self._accuracy()
        if name in self.rankings:
            return self._pseudo_values(name)[0]
        return self._moments(name).mean

    def interval(self, name: str, *, level: float) -> MeanInterval:
        """The t interval of a mean, of the gap, or of a ranking."""
        if name in self.rankings:
            return self._ranking(name, level)
        moments, units = self._moments(name), self._units()
        if units.reason is not None:
            return MeanInterval(value=moments.mean, reason=units.reason)
        if moments.far:
            reason = infinite_rows(moments.far, moments.n)
            if moments.far > self.tally.facts.n_zero:
                reason += ", or one of at least 2^40, which a state takes as infinite"
            return MeanInterval(value=moments.mean, reason=reason)
        return spread_interval(moments.mean, moments.spread(), units, level=level, binary=name == "gap")

    def _accuracy(self) -> float:
        if not self.about.weighted:
            return self.tally.facts.n_correct / self.about.n
        total = forecast_moments(self.tally).at(1, 0)
        assert total is not None  # weights are bounded
        return float(self.tally.sums["correct"].fractions()[0] / total)

    def _moments(self, name: str) -> Moments:
        if name in _SCORES:
            return score_moments(self.tally, _SCORES[name])
        return gap_moments(self.tally) if name == "gap" else forecast_moments(self.tally)

    def _pseudo_values(self, name: str) -> tuple[float, Floats, Floats]:
        """Mean, and deviations from it with their counts, of the pseudo-values of a ranking."""
        pairs = self.top_label.pairs("top-label")
        kernel, count = METRICS[name].row_kernel, pairs.weights
        assert kernel is not None
        assert count is not None
        rows = kernel(pairs)
        mean = weighted_mean(rows, count)
        return mean, rows - mean, count

    def _ranking(self, name: str, level: float) -> MeanInterval:
        """The interval of a ranking of rows without weights, from pseudo-values: those of tied rows are equal."""
        mean, deviation, count = self._pseudo_values(name)
        units, right = self._units(), self.tally.facts.n_correct
        reason = units.reason or few_answers(right, self.about.n - right)
        if reason is not None:
            return MeanInterval(value=mean, reason=reason)
        squares, cubes = float((count * deviation**2).sum()), float((count * deviation**3).sum())
        n = self.about.n
        spread = Spread(se=sqrt(squares / (n - 1) / n), tilt=cubes / squares**1.5 if squares > 0 else nan)
        return spread_interval(mean, spread, units, level=level)

    def _units(self) -> Units:
        """The rows, each a unit."""
        return Units(codes=None, row_weight=None, weight=1.0, count=self.about.n, effective=self.effective)
