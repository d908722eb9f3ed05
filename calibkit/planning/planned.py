"""`plan`: rows for what is to be shown, or what can be shown with the rows there are. Floor 3."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from calibkit import _checks
from calibkit.errors import OptionError
from calibkit.one_pass import Rng, make_settings
from calibkit.planning.answers import METRICS_PLANNED, Answers, PlanLine
from calibkit.planning.basis import basis_of, pilots_of
from calibkit.predictions import Predictions
from calibkit.render import plain_number, plan_text

LEAST_ROWS, MOST_ROWS = 100, 10**9
MOST_BINS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """How many rows a test set needs, or what its rows can show.

    Attributes
    ----------
    lines : tuple of PlanLine
        One for each question; also ``plan["difference", "nll"]``.
    rows : int or None
        The rows that were given, where the question was what they can show.
    power : float
        How often what is there shall be found.
    settings : Mapping
        The conventions behind the numbers.
    assumptions, notes : tuple of str
        What the plan rests on, and what to know.
    """

    lines: tuple[PlanLine, ...]
    rows: int | None
    power: float
    settings: Mapping[str, object]
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]

    def __getitem__(self, asked: tuple[str, str]) -> PlanLine:
        """The line of a question ("detection", "width", "difference") and a metric."""
        found = {(line.question, line.metric): line for line in self.lines}
        if asked not in found:
            raise KeyError(f"{asked!r}: there is no such line; there are {', '.join(map(repr, found))}")
        return found[asked]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of schema ``calibkit.plan/1``."""
        return {
            "schema": "calibkit.plan/1",
            "rows": self.rows,
            "power": self.power,
            "settings": dict(self.settings),
            "lines": [
                {
                    "question": line.question,
                    "metric": line.metric,
                    "rows": line.rows,
                    **{name: plain_number(getattr(line, name)) for name in ("size", "power", "half_width")},
                }
                for line in self.lines
            ],
            "assumptions": list(self.assumptions),
            "notes": list(self.notes),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.to_dict() == other.to_dict()

    def __str__(self) -> str:
        return plan_text(self.to_dict())


def plan(
    *,
    ece: float | None = None,
    width: float | None = None,
    difference: float | None = None,
    rows: int | None = None,
    power: float = 0.8,
    metrics: str | Sequence[str] | None = None,
    like: Predictions | Sequence[Predictions] | None = None,
    correlation: float = 0.5,
    view: Literal["top-label", "positive"] | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    confidence_level: float | None = 0.95,
    rng: Rng = 0,
    threads: int | None = None,
) -> Plan:
    """How many rows a test set needs, or what the rows that there are can show.

    Rows are a count, sizes are in the unit of the metric. A plan is as good as what it assumes, which it states.

    Parameters
    ----------
    ece : float, optional
        A true ECE that shall be detected: the interval that `evaluate` gives lies above 0 with the power.
    width : float, optional
        The interval of each metric that `evaluate` gives shall reach this far to either side: half its width, on
        average over samples.
    difference : float, optional
        A true difference of each metric between two models on the same rows that shall be detected: the interval that
        `compare` gives excludes 0 with the power.
    rows : int, optional
        Instead of `width` and `difference`: what this many rows detect, and how wide their intervals are.
    power : float, default 0.8
        How often what is there shall be found, inside (0, 1) (Cohen 1988).
    metrics : {"ece", "nll", "brier", "accuracy"} or sequence of them, optional
        For `width`, `difference` and `rows`; by default all that the rows have.
    like : Predictions, or two of them on the same rows, optional
        A pilot: rows like those to come. Two are the reference and another model. Without it a population is assumed:
        ten classes, mean confidence .88.
    correlation : float, default 0.5
        What two models share: correlation of their luck and of their row scores, inside (-1, 1). Two pilots tell it.
    view, n_bins, binning, edges, confidence_level
        As in `evaluate`; at most 100 bins.
    rng : int or numpy.random.Generator, default 0
        Seed of the samples that are drawn for ECE.
    threads : int, optional
        Threads of the pass over a pilot; by default CALIBKIT_THREADS or all cores.

    Returns
    -------
    Plan
        ``plan["detection", "ece"].rows``, ``plan["difference", "nll"].rows``; `to_dict`; `str`.

    Raises
    ------
    DataError
        If a pilot is too small, or has dependent or weighted rows, or does not have a metric that was named.
    InputFormatError
        If `like` is something else.
    OptionError
        If an option has a value that is not allowed, or what is asked cannot be.

    Notes
    -----
    *Means* (NLL, Brier score, accuracy): the t interval of n rows with standard deviation s excludes 0 with probability
    P(|T| > t), T of the noncentral t distribution with n - 1 degrees of freedom and noncentrality D sqrt(n) / s; s is
    that of the row differences. Its half-width is t s / sqrt(n). Skewness moves the ends as in `evaluate`. The
    half-width of accuracy is Wilson's.

    *ECE*: no closed form holds its bias, so samples are drawn: 4,000 (2,000 for a difference) tables of n rows, whose
    gaps are normal with the covariance of the population's rows, each given the very interval of `evaluate` or
    `compare`. What is asked is looked for by bisection, with the same draws at each n; rows are rounded up to three
    digits and known to about 3 %. At least 100 rows are planned.

    An ECE that is asked about is spread evenly over the bins, as far as probabilities allow, with the signs of the
    pilot's gaps: so it is hardest to see. `ece` beside `difference` or `width` is the ECE of the reference; without it
    .02 is assumed, or of a pilot the likely gaps: each moves to their mean by the share of its variance in the sum of
    its variance and that between bins. The model of a difference has the larger ECE.

    References
    ----------
    Cohen 1988, "Statistical power analysis for the behavioral sciences", section 2.3.
    DerSimonian, Laird 1986, "Meta-analysis in clinical trials" (variance between bins).

    Examples
    --------
    >>> import calibkit as ck
    >>> planned = ck.plan(difference=0.01, metrics=["accuracy", "brier"])
    >>> planned["difference", "accuracy"].rows
    9230
    """
    if confidence_level is None:
        raise OptionError("confidence_level: a plan is about intervals and needs a level such as 0.95.")
    settings = make_settings(
        view=view,
        n_bins=_checks.check_int(n_bins, option="n_bins", low=1, high=MOST_BINS),
        binning=binning,
        edges=edges,
        confidence_level=confidence_level,
        rng=rng,
        threads=threads,
    )
    asked = _check_questions(ece=ece, width=width, difference=difference, rows=rows)
    power = _checks.check_real(power, option="power", low=0.0, high=1.0)
    correlation = _checks.check_real(correlation, option="correlation", low=-1.0, high=1.0)
    named = _check_metrics(metrics)
    basis = basis_of(pilots_of(like), settings, correlation)
    answers = Answers(basis=basis, settings=settings, power=power, ece=ece, named=named)
    lines = tuple(_lines(answers, asked))
    return Plan(
        lines=lines,
        rows=rows,
        power=power,
        settings={
            "view": basis.view,
            "n_bins": settings.binning.n_bins,
            "binning": settings.binning.strategy,
            "edges": settings.binning.edges,
            "confidence_level": settings.confidence_level,
            "seed": settings.seed,
        },
        assumptions=(*basis.assumptions, *answers.assumptions),
        notes=tuple(dict.fromkeys((*basis.notes, *answers.notes(lines)))),
    )


Asked = Mapping[str, Any]


def _lines(answers: Answers, asked: Asked) -> Iterator[PlanLine]:
    rows = asked["rows"]
    if rows is not None:
        yield from answers.with_rows(rows)
        return
    if asked["ece"] is not None:
        yield answers.rows_to_detect(asked["ece"])
    if asked["width"] is not None:
        yield from answers.rows_for_width(asked["width"])
    if asked["difference"] is not None:
        yield from answers.rows_for_difference(asked["difference"])


def _check_questions(**asked: Any) -> Asked:
    """What is asked, each in its range."""
    if all(value is None for value in asked.values()):
        raise OptionError(
            "nothing is asked: give ece=0.02, width=0.01 or difference=0.01 to learn how many rows it takes, or "
            "rows=1000 to learn what they can show."
        )
    for name, high in (("ece", 1.0), ("width", float("inf")), ("difference", float("inf"))):
        if asked[name] is not None:
            _checks.check_real(asked[name], option=name, low=0.0, high=high)
    if asked["rows"] is not None:
        _checks.check_int(asked["rows"], option="rows", low=LEAST_ROWS, high=MOST_ROWS)
        other = next((name for name in ("width", "difference") if asked[name] is not None), None)
        if other is not None:
            raise OptionError(
                f"rows and {other} cannot both be given: rows asks what they can show, {other} how many it takes."
            )
    return asked


def _check_metrics(metrics: object) -> tuple[str, ...] | None:
    if metrics is None:
        return None
    given = [metrics] if isinstance(metrics, str) else metrics
    if not isinstance(given, Sequence) or len(given) == 0:
        raise OptionError(f"metrics={_checks.quoted(metrics)}: expected some of {_checks.listed(METRICS_PLANNED)}.")
    for name in given:
        _checks.check_choice(name, METRICS_PLANNED, option="metrics")
    return tuple(name for name in METRICS_PLANNED if name in given)
