"""The questions of a plan, one by one: rows for a size, or the size for rows. Floor 3."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from calibkit.errors import DataError, OptionError
from calibkit.evidence import FEW_ROWS
from calibkit.metrics import METRICS
from calibkit.one_pass import Settings
from calibkit.planning.basis import MEANS, Basis
from calibkit.planning.means import RowSpread
from calibkit.planning.paired import Pair
from calibkit.planning.population import Population
from calibkit.planning.samples import Sampler
from calibkit.planning.search import MAX_ROWS, least_rows, least_size

METRICS_PLANNED = ("ece", *MEANS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One answer of a plan.

    Attributes
    ----------
    question : str
        "detection" of an ECE above 0, "width" of the interval of one model's metric, "difference" of two models.
    metric : str
        "ece", "nll", "brier" or "accuracy".
    size : float or None
        The ECE, half-width or difference. Where rows were given, what they show; None if even the largest is missed.
    rows : int
        Rows of the test set. Where they are the answer, the least that are enough.
    power : float or None
        How often it is found with those rows; None for a width.
    half_width : float or None
        Half the mean width of the interval with those rows.

    Examples
    --------
    >>> PlanLine(question="width", metric="nll", size=0.02, rows=5000, half_width=0.0199).power is None
    True
    """

    question: str
    metric: str
    size: float | None
    rows: int
    power: float | None = None
    half_width: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What is assumed, and the answers that follow from it."""

    basis: Basis
    settings: Settings
    power: float
    ece: float | None
    named: tuple[str, ...] | None

    @property
    def level(self) -> float:
        """Level of the intervals."""
        return self.settings.level_or_default

    @property
    def sampler(self) -> Sampler:
        """Samples of one model."""
        return Sampler(level=self.level, seed=self.settings.seed)

    @property
    def reference(self) -> Population:
        """The reference, with the ECE that was asked for or that its pilot makes likely."""
        population = self.basis.pair.reference
        return population if self.ece is None else population.with_error(self.ece)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What is assumed of the reference."""
        error = f"The true ECE of the reference is {self.reference.error:.3g}"
        if self.ece is not None:
            return (f"{error}, as asked.",)
        return (f"{error}: nothing else is said." if self.basis.stated else f"{error}, as the pilot makes likely.",)

    def metrics(self, *, paired: bool) -> Sequence[str]:
        """What is planned: what was named, or all that the rows have."""
        held = self.basis.differences if paired else self.basis.scores
        for name in self.named or ():
            if name != "ece" and name not in held:
                raise DataError(f"metrics={name!r} cannot be planned: {self.basis.absent[name]}.")
        return [name for name in self.named or METRICS_PLANNED if name == "ece" or name in held]

    def rows_to_detect(self, ece: float) -> PlanLine:
        """Rows so that the interval of this ECE lies above 0."""
        population, sampler = self.reference.with_error(ece), self.sampler
        rows = _rows(lambda n: sampler.detects(population, n) >= self.power, what=f"ece={ece:g}", metric="ece")
        return self._detection(population, ece, rows)

    def _detection(self, population: Population, ece: float, rows: int) -> PlanLine:
        low, high = self.sampler.ends(population, rows)
        return PlanLine(
            question="detection",
            metric="ece",
            size=ece,
            rows=rows,
            power=float((low > 0).mean()),
            half_width=float((high - low).mean() / 2),
        )

    def rows_for_width(self, width: float) -> Iterator[PlanLine]:
        """Rows so that the interval of each metric reaches this far to either side."""
        for metric in self.metrics(paired=False):
            rows = _rows(partial(self._narrow, metric, width), what=f"width={width:g} of {metric}", metric=metric)
            yield PlanLine(
                question="width", metric=metric, size=width, rows=rows, half_width=self._half_width(metric, rows)
            )

    def _narrow(self, metric: str, width: float, n: int) -> bool:
        return self._half_width(metric, n) <= width

    def _half_width(self, metric: str, n: int) -> float:
        if metric == "ece":
            return self.sampler.half_width(self.reference, n)
        return self.basis.scores[metric].half_width(n, self.level, fraction=metric == "accuracy")

    def rows_for_difference(self, difference: float) -> Iterator[PlanLine]:
        """Rows so that the paired interval of each metric excludes 0."""
        for metric in self.metrics(paired=True):
            what = f"difference={difference:g} of {metric}"
            if metric == "ece":
                pair = self._pair(difference)
                yield self._ece_difference(pair, _rows(partial(self._seen, pair), what=what, metric=metric))
                continue
            low, high = METRICS[metric].bounds
            if difference >= high - low:
                raise OptionError(f"{what} cannot be: it lies between {low:g} and {high:g}. Name metrics where it can.")
            spread = self.basis.differences[metric]
            rows = _rows(partial(self._mean_seen, spread, difference), what=what, metric=metric)
            yield self._mean_difference(metric, spread, difference, rows)

    def _mean_seen(self, spread: RowSpread, difference: float, n: int) -> bool:
        return spread.power(difference, n, self.level) >= self.power

    def with_rows(self, n: int) -> Iterator[PlanLine]:
        """What so many rows detect, and how wide their intervals are."""
        largest = self.reference.largest
        found = least_size(
            lambda e: self.sampler.detects(largest.with_error(e), n) >= self.power, largest=largest.error
        )
        if self.named is None or "ece" in self.named:
            missed = PlanLine(question="detection", metric="ece", size=None, rows=n)
            yield missed if found is None else self._detection(largest.with_error(found), found, n)
        for metric in self.metrics(paired=False):
            half = self._half_width(metric, n)
            yield PlanLine(question="width", metric=metric, size=half, rows=n, half_width=half)
        for metric in self.metrics(paired=True):
            yield self._least_difference(metric, n)

    def _least_difference(self, metric: str, n: int) -> PlanLine:
        if metric == "ece":
            most = self.basis.pair.model.largest.error - self.reference.error
            found = least_size(lambda d: self._seen(self._pair(d), n), largest=most) if most > 0 else None
            missed = PlanLine(question="difference", metric="ece", size=None, rows=n)
            return missed if found is None else self._ece_difference(self._pair(found), n)
        spread = self.basis.differences[metric]
        found = least_size(lambda d: self._mean_seen(spread, d, n), largest=100 * spread.sd)
        assert found is not None  # a hundred standard deviations are seen with any rows
        return self._mean_difference(metric, spread, found, n)

    def _pair(self, difference: float) -> Pair:
        """The reference, and a model whose ECE is larger by the difference."""
        reference, pair = self.reference, self.basis.pair
        most = pair.model.largest.error - reference.error
        if difference > most:
            raise OptionError(
                f"difference={difference:g} of ece cannot be: with these forecasts an ECE is at most "
                f"{reference.error + most:.4g}, and that of the reference is {reference.error:.4g}. Name metrics where "
                "it can."
            )
        return replace(pair, model=pair.model.with_error(reference.error + difference), reference=reference)

    def _seen(self, pair: Pair, n: int) -> bool:
        low, high = pair.ends(n, level=self.level, seed=self.settings.seed)
        return float(((low > 0) | (high < 0)).mean()) >= self.power

    def _ece_difference(self, pair: Pair, rows: int) -> PlanLine:
        low, high = pair.ends(rows, level=self.level, seed=self.settings.seed)
        return PlanLine(
            question="difference",
            metric="ece",
            size=pair.difference,
            rows=rows,
            power=float(((low > 0) | (high < 0)).mean()),
            half_width=float((high - low).mean() / 2),
        )

    def _mean_difference(self, metric: str, spread: RowSpread, size: float, rows: int) -> PlanLine:
        return PlanLine(
            question="difference",
            metric=metric,
            size=size,
            rows=rows,
            power=spread.power(size, rows, self.level),
            half_width=spread.half_width(rows, self.level),
        )

    def notes(self, lines: Sequence[PlanLine]) -> Iterator[str]:
        """What to know of these answers."""
        for metric, why in self.basis.absent.items():
            yield f"No plan for {METRICS[metric].title}: {why}."
        if any(line.rows <= FEW_ROWS and line.metric == "ece" for line in lines):
            yield f"{FEW_ROWS} rows are the least that a plan gives for ECE: with fewer the interval says little."
        for line in lines:
            what = "ECE" if line.question == "detection" else f"difference in {METRICS[line.metric].title}"
            if line.size is None:
                yield f"{line.rows:,} rows do not detect even the largest {what} with this power."


def _rows(enough: Callable[[int], bool], *, what: str, metric: str) -> int:
    """The least rows that are enough; of ECE, which is simulated, from a hundred rows on and to three digits."""
    exact = metric != "ece"
    found = least_rows(enough, low=2 if exact else FEW_ROWS, exact=exact)
    if found is None:
        raise OptionError(f"{what}: takes more than {MAX_ROWS:,} rows; ask for something larger.")
    return found
