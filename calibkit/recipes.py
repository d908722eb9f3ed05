"""Is a recipe better, or was a run lucky: several runs of each on the same rows. Floor 3."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from calibkit._checks import check_choice
from calibkit.alignment import align
from calibkit.calibration_error import calibration_error
from calibkit.comparison import check_models, check_one_view
from calibkit.crossed import RecipeEstimate, crossed_mean
from calibkit.errors import InputFormatError, OptionError
from calibkit.intervals import holm
from calibkit.metrics import METRICS
from calibkit.one_pass import (
    Rng,
    Scored,
    Settings,
    make_settings,
    score,
    why_no_ranking_interval,
    why_no_score_interval,
)
from calibkit.predictions import Predictions
from calibkit.render import plain_number, recipes_text
from calibkit.verdict import recipe_sentences
from calibkit.views import View

Estimates = Mapping[str, RecipeEstimate]
# Over seeds a ranking needs more answers of either kind than in one run (docs/coverage.md).
MIN_RANKED = 40
_NOT_SHOWN = "No interval for errors over bins (ECE, RMSCE, MCE): its coverage over seeds has not been shown."
_KEYS = ("value", "low", "high", "between_seeds", "within_test_set")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecipeComparison:
    """Recipes by their runs on the same rows: means, differences, and how much of each is luck of training or of rows.

    Attributes
    ----------
    reference : str
        The recipe that the others are compared with.
    n : int
        Rows.
    view : str
        Which binary question the calibration metrics answer.
    runs : Mapping of str to int
        How many runs each recipe has.
    settings : Mapping
        The conventions that made the numbers.
    recipes : Mapping of str to Mapping of str to RecipeEstimate
        By recipe and metric: the mean over runs.
    differences : Mapping of str to Mapping of str to RecipeEstimate
        Recipe minus reference, by recipe (without the reference) and metric.
    verdict : tuple of str
        Sentences by written rules; empty without intervals.
    notes : tuple of str
        What a careful reader should know.
    """

    reference: str
    n: int
    view: str
    runs: Mapping[str, int]
    settings: Mapping[str, object]
    recipes: Mapping[str, Estimates]
    differences: Mapping[str, Estimates]
    verdict: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of schema ``calibkit.recipes/1``; non-finite numbers are strings."""
        return {
            "schema": "calibkit.recipes/1",
            "reference": self.reference,
            "n": self.n,
            "view": self.view,
            "runs": dict(self.runs),
            "settings": dict(self.settings),
            "recipes": {name: _plain(estimates, _KEYS) for name, estimates in self.recipes.items()},
            "differences": {
                name: _plain(estimates, (*_KEYS, "p_value", "adjusted_p_value"))
                for name, estimates in self.differences.items()
            },
            "verdict": list(self.verdict),
            "notes": list(self.notes),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecipeComparison) and self.to_dict() == other.to_dict()

    def __str__(self) -> str:
        return recipes_text(self.to_dict())


def _plain(estimates: Estimates, keys: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {
        metric: {key: plain_number(getattr(estimate, key)) for key in keys} for metric, estimate in estimates.items()
    }


@np.errstate(under="ignore")  # a probability too small for a float is 0, whatever the caller's error state
def compare_recipes(
    recipes: Mapping[str, Sequence[Predictions]],
    *,
    reference: str | None = None,
    view: View | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    confidence_level: float | None = 0.95,
    rng: Rng = 0,
    threads: int | None = None,
) -> RecipeComparison:
    """Compare ways of training, each by several runs (seeds) that predict the same test rows.

    `compare` is about the checkpoints that it is given. Whether the recipe that made one is better is another question:
    another seed gives another checkpoint. Here both kinds of luck count, that of training and that of the test rows.

    Parameters
    ----------
    recipes : Mapping of str to sequence of Predictions
        By name: the predictions of each run, at least two runs, three for an interval. All hold the same rows, aligned
        by ids where all have them.
    reference : str, optional
        The recipe that the others are compared with; by default the first.
    view, n_bins, binning, edges, confidence_level, rng, threads
        As in `evaluate`.

    Returns
    -------
    RecipeComparison
        ``found.differences["smooth"]["nll"].value``, ``.low``, ``.high``, ``.p_value``, ``.between_seeds``,
        ``.within_test_set``, ``.rests_on``; `to_dict`; `str`.

    Raises
    ------
    DataError
        If the runs do not hold the same rows.
    InputFormatError
        If a recipe is no sequence of `Predictions`.
    OptionError
        If a recipe has fewer than two runs, or an option a value that is not allowed.

    Notes
    -----
    Runs and rows are crossed. The standard error from seeds falls with the number of runs, that from test rows does
    not: every run answers the same rows. The interval holds both (Banerjee 1960), for new runs and new rows; what it
    covers was measured (docs/coverage.md). Runs of a recipe are taken as independent of each other and of those of
    another recipe: seeds that two recipes share make the interval wider than need be. ECE, RMSCE and MCE are shown with
    the spread between seeds alone: no interval of theirs was shown to cover. All is as saved; for a comparison after
    scaling give the scaled predictions of each run.

    References
    ----------
    Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks".
    Dorfman, Berbaum, Metz 1992, "Receiver operating characteristic rating analysis" (runs as readers, rows as cases).
    Banerjee 1960, "Approximate confidence interval for linear functions of means of k populations when the population
    variances are not equal".

    Examples
    --------
    >>> import numpy as np
    >>> import calibkit as ck
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(scale=2, size=(400, 3))
    >>> probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    >>> labels = (probs.cumsum(1) < rng.random((400, 1))).sum(1)
    >>> def run(scale):
    ...     return ck.Predictions.from_logits(labels, scale * (logits + rng.normal(scale=0.2, size=logits.shape)))
    >>> found = ck.compare_recipes({"sharp": [run(2) for _ in range(4)], "true": [run(1) for _ in range(4)]})
    >>> found.differences["true"]["nll"].high < 0
    True
    """
    settings = make_settings(
        view=view,
        n_bins=n_bins,
        binning=binning,
        edges=edges,
        confidence_level=confidence_level,
        rng=rng,
        threads=threads,
        metrics="compared",
    )
    named = _named_runs(recipes)
    reference = check_choice(
        next(iter(recipes)) if reference is None else reference, tuple(recipes), option="reference"
    )
    aligned, notes = align(
        {run: model.with_name(run) for runs in named.values() for run, model in runs.items()},
        next(iter(named[reference])),
    )
    check_one_view(aligned, settings)
    scored = {name: [score(aligned[run], settings) for run in runs] for name, runs in named.items()}
    return _judged(scored, reference, settings, notes)


def _named_runs(recipes: Mapping[str, Sequence[Predictions]]) -> dict[str, dict[str, Predictions]]:
    """Every run by the name of its recipe and a number."""
    if not isinstance(recipes, Mapping) or not recipes:
        raise InputFormatError(f"recipes: expected {{name: [predictions, ...]}}, got {type(recipes).__name__}.")
    named: dict[str, dict[str, Predictions]] = {}
    for name, runs in recipes.items():
        if isinstance(runs, Predictions | str) or not isinstance(runs, Sequence):
            raise InputFormatError(
                f"recipes[{name!r}]: expected a sequence of Predictions, one a run, got {type(runs).__name__}."
            )
        if len(runs) < 2:
            how_many = "a single run" if runs else "no runs"
            raise OptionError(f"recipes[{name!r}]: has {how_many}; give two or more, for one shows no training luck.")
        named[name] = {f"{name}, run {number}": run for number, run in enumerate(runs, start=1)}
        check_models(named[name], f"recipes[{name!r}]")
    return named


def _judged(
    scored: Mapping[str, Sequence[Scored]], reference: str, settings: Settings, notes: Sequence[str]
) -> RecipeComparison:
    one, reasons = scored[reference][0], [] if settings.confidence_level is None else [_NOT_SHOWN]
    recipes = {name: _estimates(runs, None, settings, reasons) for name, runs in scored.items()}
    differences = _adjusted(
        {
            name: _estimates(runs, scored[reference], settings, reasons)
            for name, runs in scored.items()
            if name != reference
        }
    )
    found, level = {name: len(runs) for name, runs in scored.items()}, settings.confidence_level
    sentences = [] if level is None else [*recipe_sentences(differences, found, reference, level=level)]
    return RecipeComparison(
        reference=reference,
        n=len(one.predictions),
        view=one.view,
        runs=found,
        settings={
            "n_bins": settings.binning.n_bins,
            "binning": settings.binning.strategy,
            "edges": settings.binning.edges,
            "confidence_level": level,
        },
        recipes=recipes,
        differences=differences,
        verdict=tuple(sentences),
        notes=tuple(dict.fromkeys((*_first_of(notes), *reasons))),
    )


def _first_of(notes: Sequence[str]) -> Iterator[str]:
    """Notes on the alignment of many runs are alike: the first, and how many more."""
    yield from notes[:1]
    if len(notes) > 1:
        yield f"{len(notes) - 1} more notes like this one, on other runs."


def _estimates(
    runs: Sequence[Scored], reference: Sequence[Scored] | None, settings: Settings, reasons: list[str]
) -> dict[str, RecipeEstimate]:
    """Every metric that all runs have, in the order of the registry: of a recipe, or of it minus another."""
    arms = (runs,) if reference is None else (runs, reference)
    shared = set.intersection(*(set(_vectors(run)) for arm in arms for run in arm))
    found: dict[str, RecipeEstimate] = {}
    for name in METRICS:
        norm = METRICS[name].norm
        if name in shared:
            found[name] = _mean(name, arms, settings)
        elif norm is not None:
            values = [[calibration_error(run.binned.tables, norm=norm) for run in arm] for arm in arms]
            found[name] = _without_rows([np.array(arm) for arm in values])
    whose = "" if reference is None else "the difference of "
    for name, estimate in found.items() if settings.confidence_level is not None else ():
        if estimate.reason is not None:
            reasons.append(f"No interval for {whose}{name}: {estimate.reason}.")
    return found


def _vectors(run: Scored) -> dict[str, Any]:
    """Row scores by metric; the base rate is that of the labels, whatever the run."""
    return {**{name: rows for name, rows in run.rows.items() if name != "base_rate"}, "gap": run.gap, **run.rankings}


def _mean(name: str, arms: Sequence[Sequence[Scored]], settings: Settings) -> RecipeEstimate:
    predictions = arms[0][0].predictions
    estimate = crossed_mean(
        *([_vectors(run)[name] for run in arm] for arm in arms),
        level=settings.level_or_default,
        weights=predictions.weights,
        groups=predictions.groups,
    )
    ranked = name in arms[0][0].rankings
    why = partial(why_no_ranking_interval, least=MIN_RANKED) if ranked else why_no_score_interval
    reason = estimate.reason or next((reason for arm in arms for run in arm if (reason := why(run))), None)
    if reason is not None or settings.confidence_level is None:
        return replace(estimate, low=None, high=None, p_value=None, reason=reason)
    return estimate


def _without_rows(values: Sequence[np.ndarray[Any, np.dtype[np.float64]]]) -> RecipeEstimate:
    """A mean over runs of what is no mean over rows, or a difference of two: with the spread between seeds alone."""
    value = values[0].mean() - (values[1].mean() if len(values) > 1 else 0.0)
    seeds = np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in values))
    return RecipeEstimate(value=float(value), between_seeds=float(seeds))


def _adjusted(differences: dict[str, dict[str, RecipeEstimate]]) -> dict[str, dict[str, RecipeEstimate]]:
    """The same with Holm's p-values where there is more than one difference of a metric."""
    if len(differences) < 2:
        return differences
    for metric in METRICS:
        tested = [name for name, found in differences.items() if metric in found and found[metric].p_value is not None]
        p_values = np.array([differences[name][metric].p_value for name in tested], dtype=np.float64)
        for name, p_value in zip(tested, holm(p_values), strict=True):
            differences[name][metric] = replace(differences[name][metric], adjusted_p_value=float(p_value))
    return differences
