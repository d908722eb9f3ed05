"""A tally whose integers stay on a device, in the layout of ``calibkit.tally.Tally``. Annex: integrations."""

import numpy as np
import torch
from torch import Tensor

from calibkit.integrations.torch.exact import TensorSums
from calibkit.integrations.torch.scores import log_scores_by_host
from calibkit.integrations.torch.scoring import ScoredBatch, joined
from calibkit.tally import Facts, Tally, fine_ends
from calibkit.tally.moments import SCALE, UNWEIGHTED, WEIGHTED, WEIGHTS

# Rows that wait before they are counted, and whose integers are made at a time.
_MANY, _CHUNK = 1 << 16, 1 << 18

# Counts that notes tell, in the order in which they stand on the device: those of `Facts`, and those of the intake.
_FACTS = ("n", "n_correct", "n_ties", "n_zero", "n_snapped")
_COUNTS = (*_FACTS, "rows", "ignored", "weightless", "moved")


class TensorTally:
    """Counts and exact sums of rows on a device; ``on_host`` gives the tally that NumPy makes of the same row scores.

    Parameters
    ----------
    like : Tally
        An empty tally: its layout is kept.
    view : {"top-label", "positive"}
        Which forecast and outcome are counted by cell.
    device : torch.device
        Where the integers stay.

    Notes
    -----
    Rows wait, as vectors of about 70 bytes each, until there are 2^16 of them or a result is asked for: to count a few
    costs as much as to count many. The logarithm of a stored probability is then taken by the host, so that it has
    NumPy's bits; of logits the device takes it, and nothing waits for the device.
    """

    def __init__(self, like: Tally, *, view: str, device: torch.device) -> None:
        self.like, self.view, self.device = like, view, device
        self.count = self._zeros(len(like.count))
        self.extent = torch.from_numpy(like.extent.copy()).to(device)
        self.sums = {name: TensorSums(sums.limbs.shape[1], device) for name, sums in like.sums.items()}
        self.classes = None if like.classes is None else self._zeros(len(like.classes))
        self.counts = self._zeros(len(_COUNTS))
        self.extremes = torch.full((3,), -torch.inf, dtype=torch.float64, device=device)
        self.like_probs = torch.ones((), dtype=torch.bool, device=device)
        self._starts = torch.from_numpy(fine_ends()[0]).to(device)
        self._inner = torch.from_numpy(like.cells.edges[1:-1].copy()).to(device)
        self._nothing = torch.zeros((), dtype=torch.int64, device=device)
        self._waiting: list[ScoredBatch] = []
        self._n_waiting = 0

    def _zeros(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.int64, device=self.device)

    def take(self, rows: ScoredBatch) -> None:
        """Add the rows that count, now or when there are more."""
        self._waiting.append(rows)
        self._n_waiting += len(rows.kept)
        if self._n_waiting >= _MANY:
            self.settle()

    def settle(self) -> None:
        """Count the rows that wait."""
        rows, self._waiting, self._n_waiting = self._waiting, [], 0
        if rows:
            together = joined(rows, self.device)
            for start in range(0, len(together.kept), _CHUNK):
                self._take(together[start : start + _CHUNK])

    def _take(self, rows: ScoredBatch) -> None:
        scores, kept = rows.scores, rows.kept
        forecast, outcome = scores.confidence, scores.correct
        if self.view == "positive":
            assert scores.positive is not None
            assert rows.labels is not None
            forecast, outcome = scores.positive, rows.labels == 1
        weights = None if rows.weights is None else torch.where(kept, rows.weights, 0.0)
        forecast = torch.where(kept, forecast, 0.0)
        self._take_cells(forecast, outcome, kept, weights)
        events = torch.stack([kept & ~outcome, kept & outcome])
        self._take_powers("forecasts", _powers(forecast, weights), events)
        if weights is not None:
            self._take_powers("weights", _weight_powers(weights), events)
            self.sums["correct"].add(torch.where(scores.correct, weights, 0.0)[None])
        self._take_scores(rows, weights)
        self._take_facts(rows)

    def _take_cells(self, forecast: Tensor, outcome: Tensor, kept: Tensor, weights: Tensor | None) -> None:
        """Counts, extents and sums by cell."""
        fine = torch.searchsorted(self._starts, forecast, right=True) - 1
        bins = torch.searchsorted(self._inner, forecast, right=self.like.cells.binning.edges == "left")
        index = fine + bins + self.like.cells.count * outcome.to(torch.int64)
        self.count.index_add_(0, index, kept.to(torch.int64))
        ends = torch.where(kept, torch.stack([-forecast, forecast]), -torch.inf)
        self.extent.scatter_reduce_(1, index.expand(2, -1), ends, "amax")
        if weights is None:
            self.sums["forecast"].add_by_cell(forecast, index)
            return
        self.sums["forecast"].add_by_cell(weights * forecast, index)
        self.sums["weight"].add_by_cell(weights, index)
        self.sums["weight_squared"].add_by_cell(torch.square(weights / SCALE), index)

    def _take_powers(self, name: str, powers: list[Tensor], events: Tensor) -> None:
        """Sums of powers, one after the other, each by outcome."""
        self.sums[name].add(torch.cat([torch.where(events, power, 0.0) for power in powers]))

    def _take_scores(self, rows: ScoredBatch, weights: Tensor | None) -> None:
        """Sums of powers of log score and Brier score."""
        scores = rows.scores
        if scores.brier is not None:
            self.sums["brier"].add(torch.stack(_powers(torch.where(rows.kept, scores.brier, 0.0), weights)))
        log_score = scores.log_score if scores.log_of is None else log_scores_by_host(scores.log_of)
        if log_score is not None:
            found = torch.where(rows.kept, log_score, 0.0)
            self.sums["log_score"].add(torch.stack(_powers(found, weights)))
            self.counts[_COUNTS.index("n_zero")] += torch.isposinf(found).sum()

    def _take_facts(self, rows: ScoredBatch) -> None:
        """What notes tell."""
        kept = rows.kept
        found = {
            "n": kept,
            "n_correct": rows.scores.correct & kept,
            "n_ties": None if rows.tied is None else rows.tied & kept,
            "n_snapped": None if rows.outside is None else rows.outside * kept,
            "rows": torch.ones_like(kept),
            "ignored": rows.ignored,
            "weightless": rows.weightless,
            "moved": None if rows.moved is None else rows.moved & kept,
        }
        sums = {name: one.sum() for name, one in found.items() if one is not None}
        self.counts += torch.stack([sums.get(name, self._nothing) for name in _COUNTS])
        if rows.labels is not None:
            if self.classes is not None:
                self.classes.index_add_(0, rows.labels, kept.to(torch.int64))
            wide = rows.labels.to(torch.float64)
            deviation = torch.full_like(wide, -torch.inf) if rows.deviation is None else rows.deviation
            extremes = torch.where(kept, torch.stack([-wide, wide, deviation]), -torch.inf)
            self.extremes = torch.maximum(self.extremes, extremes.amax(dim=1))
        self.like_probs = self.like_probs & (~kept.any() if rows.like_probs is None else rows.like_probs)

    def on_host(self) -> tuple[Tally, dict[str, int]]:
        """The tally as NumPy holds it, and what the intake counted; this waits for the device."""
        self.settle()
        counts = dict(zip(_COUNTS, self.counts.tolist(), strict=True))
        least, last, deviation = (None if value == -np.inf else value for value in self.extremes.tolist())
        facts = Facts(
            **{name: counts[name] for name in _FACTS},
            first_label=None if least is None else -int(least),
            last_label=None if last is None else int(last),
            max_sum_deviation=deviation,
            like_probs=bool(self.like_probs),
        )
        tally = Tally(
            cells=self.like.cells,
            weighted=self.like.weighted,
            facts=facts,
            count=self.count.cpu().numpy().copy(),
            extent=self.extent.cpu().numpy().copy(),
            sums={name: sums.on_host() for name, sums in self.sums.items()},
            classes=None if self.classes is None else self.classes.cpu().numpy().copy(),
        )
        return tally, counts


def _powers(value: Tensor, weights: Tensor | None) -> list[Tensor]:
    """What is summed of each row, as ``calibkit.tally.moments.powers_of`` has it."""
    if weights is None:
        return [value, *(_power(value / SCALE, p) for p, _ in UNWEIGHTED[1:])]
    scaled = weights / SCALE
    return [weights * value, *(_power(scaled * value, q) * _power(scaled, p - q) for p, q in WEIGHTED[1:])]


def _weight_powers(weights: Tensor) -> list[Tensor]:
    """The same of the weights alone."""
    return [weights, *(_power(weights / SCALE, p) for p, _ in WEIGHTS[1:])]


def _power(value: Tensor, exponent: int) -> Tensor:
    """By multiplication: the same bits on every device."""
    result = value if exponent else torch.ones_like(value)
    for _ in range(exponent - 1):
        result = result * value
    return result
