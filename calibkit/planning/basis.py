"""What a plan rests on: a stated population, or the rows of one or two pilot files. Floor 3."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibkit._checks import check_choice
from calibkit._numerics import Floats
from calibkit.alignment import align
from calibkit.errors import DataError, InputFormatError, OptionError
from calibkit.evidence import FEW_ROWS
from calibkit.metrics import METRICS
from calibkit.one_pass import Scored, Settings, check_predictions, score
from calibkit.planning.means import RowSpread, spread_of
from calibkit.planning.paired import Pair
from calibkit.planning.population import DEFAULT_CLASSES, Population, default_population, pilot_population
from calibkit.predictions import Predictions
from calibkit.views import VIEWS

# Of which a plan is made, besides ECE: those whose interval the verdict looks at.
MEANS = ("nll", "brier", "accuracy")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basis:
    """What is assumed of rows, and whether a pilot says it.

    Attributes
    ----------
    pair : Pair
        The reference, and a second model of the same rows.
    scores, differences : Mapping of str to RowSpread
        How the rows of each mean vary, of the reference and of model minus reference.
    absent : Mapping of str to str
        Metrics that cannot be planned, and why.
    view : str
        Which forecasts and outcomes are binned.
    assumptions, notes : tuple of str
        In words.
    stated : bool
        Whether there is no pilot.
    """

    pair: Pair
    scores: Mapping[str, RowSpread]
    differences: Mapping[str, RowSpread]
    absent: Mapping[str, str]
    view: str
    assumptions: tuple[str, ...]
    notes: tuple[str, ...] = ()
    stated: bool = False


def basis_of(pilots: Sequence[Predictions], settings: Settings, correlation: float) -> Basis:
    """The stated population, or that of one pilot, or of two on the same rows."""
    if settings.view is not None:
        check_choice(settings.view, VIEWS, option="view")
    if settings.view in ("classwise", "flattened"):
        raise OptionError(
            f'view="{settings.view}": a plan counts one pair a row; use view="top-label" or view="positive".'
        )
    if not pilots:
        return _stated(settings, correlation)
    if len(pilots) == 1:
        return _of_one(_scored(pilots[0], settings), correlation)
    names = _names(pilots)
    aligned, notes = align(dict(zip(names, pilots, strict=True)), names[0])
    reference, model = (_scored(aligned[name], settings, name) for name in names)
    found = _of_two(reference, model, names)
    return replace(found, notes=(*notes, *found.notes))


def _stated(settings: Settings, correlation: float) -> Basis:
    if settings.view == "positive":
        raise OptionError('view="positive": there is no stated population of events; give a pilot.')
    reference = default_population(settings.binning)
    hit, miss = _ten_classes(reference.confidence)
    share = np.concatenate([reference.truth, 1 - reference.truth]) / len(reference.confidence)
    scores = {name: spread_of(np.concatenate([hit[name], miss[name]]), share) for name in MEANS}
    return Basis(
        pair=Pair(model=reference, reference=reference, correlation=correlation),
        scores=scores,
        differences={name: spread.of_difference(spread, correlation) for name, spread in scores.items()},
        absent={},
        view="top-label",
        assumptions=(
            f"No pilot: top-label confidences of a network with {DEFAULT_CLASSES} classes, "
            f"{reference.confidence.mean():.2f} on average; what is left of 1 is spread evenly over the other classes.",
            "Over-confident by as much in every bin.",
            _correlated(correlation),
        ),
        stated=True,
    )


def _ten_classes(confidence: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Scores of a right and of a wrong answer, where what is left of 1 is spread evenly."""
    other = (1 - confidence) / (DEFAULT_CLASSES - 1)
    left = (DEFAULT_CLASSES - 1) * other**2
    right = {"nll": -np.log(confidence), "brier": (1 - confidence) ** 2 + left, "accuracy": np.ones(len(confidence))}
    wrong = {
        "nll": -np.log(other),
        "brier": confidence**2 + (1 - other) ** 2 + left - other**2,
        "accuracy": np.zeros(len(confidence)),
    }
    return right, wrong


def _correlated(correlation: float) -> str:
    return (
        f"Two models: a second one with the same forecasts, whose luck and scores on the same rows have correlation "
        f"{correlation:g} with the first one's."
    )


def _names(pilots: Sequence[Predictions]) -> tuple[str, str]:
    first, second = (pilot.name or "predictions" for pilot in pilots)
    return first, second if second != first else f"{second} (2)"


def _scored(pilot: Predictions, settings: Settings, name: str | None = None) -> Scored:
    """A pilot after the one pass, if its rows count alike and are independent."""
    check_predictions(pilot, "like")
    name = name or pilot.name or "like"
    if len(pilot) < FEW_ROWS:
        raise DataError(f"{name}: a pilot of {len(pilot):,} rows says too little; give at least {FEW_ROWS} rows.")
    for what in ("groups", "weights"):
        if getattr(pilot, what) is not None:
            raise DataError(
                f"{name}: holds {what}, and a plan is for independent rows that count alike; give a pilot without "
                f'them. A file is read without them by {what}="".'
            )
    return score(pilot, settings)


def _population(scored: Scored) -> Population:
    rows = scored.binned.rows
    assert rows is not None  # one pair a row, and a level
    return pilot_population(scored.binned.forecast, rows.index, rows.table)


def _spreads(scored: Scored) -> tuple[dict[str, Floats], dict[str, str]]:
    """The rows of each mean that can be planned, and why others cannot."""
    rows = {name: np.asarray(values, dtype=np.float64) for name, values in scored.rows.items() if name in MEANS}
    absent = {name: "the pilot holds no probability of the true class" for name in MEANS if name not in rows}
    for name, values in list(rows.items()):
        if not np.isfinite(values).all():
            absent[name] = f"{np.count_nonzero(~np.isfinite(values)):,} rows of the pilot have an infinite score"
        elif np.ptp(values) == 0:
            absent[name] = "all rows of the pilot have the same score"
        if name in absent:
            del rows[name]
    return rows, absent


def _of_one(scored: Scored, correlation: float) -> Basis:
    rows, absent = _spreads(scored)
    scores = {name: spread_of(values) for name, values in rows.items()}
    population = _population(scored)
    name, size = scored.predictions.name or "predictions", len(scored.predictions)
    return Basis(
        pair=Pair(model=population.thinned, reference=population.thinned, correlation=correlation),
        scores=scores,
        differences={key: spread.of_difference(spread, correlation) for key, spread in scores.items()},
        absent=absent,
        view=scored.view,
        assumptions=(_like((name,), size), _correlated(correlation)),
        notes=_how_sure(scores, size),
    )


def _of_two(reference: Scored, model: Scored, names: tuple[str, str]) -> Basis:
    rows, absent = _spreads(reference)
    others, missing = _spreads(model)
    absent = absent | missing
    both = [name for name in MEANS if name not in absent]
    differences = {name: spread_of(others[name] - rows[name]) for name in both}
    for name in both:
        if differences[name].sd == 0:
            absent[name] = "the two pilots do not differ in any row"
    first, second = _population(reference), _population(model)
    luck = [scored.binned.outcome - population.truth for scored, population in ((reference, first), (model, second))]
    scale = float(np.sqrt(np.sum(luck[0] ** 2) * np.sum(luck[1] ** 2)))
    correlation = float(np.clip(luck[0] @ luck[1] / scale, -1.0, 1.0)) if scale > 0 else 0.0
    size = len(reference.predictions)
    return Basis(
        pair=Pair(model=second.thinned, reference=first.thinned, correlation=correlation),
        scores={name: spread_of(values) for name, values in rows.items()},
        differences={name: differences[name] for name in both if name not in absent},
        absent=absent,
        view=reference.view,
        assumptions=(
            _like(names, size),
            f"Two models: {names[1]} against {names[0]}; the luck of their rows has correlation {correlation:.2f}, and "
            "their scores differ row by row as in the pilots.",
        ),
        notes=_how_sure(differences, size),
    )


def _like(names: Sequence[str], size: int) -> str:
    return (
        f"Rows like the {size:,} of {' and '.join(names)}: their forecasts, and the signs of their bins' gaps. An ECE "
        "that is asked about is spread evenly over the bins."
    )


def _how_sure(spreads: Mapping[str, RowSpread], size: int) -> tuple[str, ...]:
    """What the size of a pilot leaves open."""
    said = [
        f"{100 * spread.error:.0f}% for {METRICS[name].title}"
        for name, spread in spreads.items()
        if spread.error is not None
    ]
    if not said:
        return ()
    return (
        f"From {size:,} pilot rows the variance of a row, and with it the rows needed, has a standard error of "
        f"{', '.join(said)}.",
    )


def pilots_of(like: object) -> tuple[Predictions, ...]:
    """The pilots, given as one, two, or none."""
    if like is None:
        return ()
    if isinstance(like, Predictions):
        return (like,)
    if not isinstance(like, Sequence) or isinstance(like, (str, bytes)) or not 1 <= len(like) <= 2:
        raise InputFormatError(
            "like: expected Predictions, or two of them on the same rows; read files with load(path)."
        )
    for pilot in like:
        check_predictions(pilot, "like")
    return tuple(like)
