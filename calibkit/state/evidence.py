"""A state as evidence: what `evaluate` computes from rows, computed from exact sums over them. Floor 3."""

from dataclasses import dataclass
from math import nan

from calibkit.binning import BinTable
from calibkit.evidence import About
from calibkit.intervals import MeanInterval, infinite_rows, spread_interval
from calibkit.tally import Moments, Tally, forecast_moments, gap_moments, score_moments
from calibkit.units import Units

_SCORES = {"nll": "log_score", "brier": "brier"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """Rows of which only a tally is left; see `calibkit.evidence.Evidence`."""

    about: About
    tally: Tally
    table: BinTable

    @property
    def tables(self) -> tuple[BinTable, ...]:
        """The bin tables of the view."""
        return (self.table,)

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
    def rankings(self) -> tuple[str, ...]:
        """Names of the rankings with intervals: those need the rows."""
        return ()

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
        return self._moments(name).mean

    def interval(self, name: str, *, level: float) -> MeanInterval:
        """The t interval of a mean, or of the gap."""
        moments, units = self._moments(name), self._units()
        if units.reason is not None:
            return MeanInterval(value=moments.mean, reason=units.reason)
        if moments.far:
            return MeanInterval(value=moments.mean, reason=infinite_rows(moments.far, moments.n))
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

    def _units(self) -> Units:
        """The rows, each a unit."""
        return Units(codes=None, row_weight=None, weight=1.0, count=self.about.n, effective=self.effective)
