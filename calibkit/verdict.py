"""The words of a verdict: sentences that follow from intervals by written rules, and nothing else. Floor 3.

Each block is a list of conditions; the first match speaks. With more than two models the rules read adjusted p-values.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from calibkit.bracket import Chance
from calibkit.crossed import RecipeEstimate
from calibkit.recalibration import Temperature
from calibkit.render import format_interval, format_number
from calibkit.results import Difference, Estimate

NOT_ENOUGH = "Not enough independent data for a verdict."
UNPAIRED = "Unpaired: the models were not asked about the same rows, and a difference may be one of the rows."
ONE_SEED = "About these checkpoints, not the training method (one seed each)."

_TITLE = {"nll": "log score", "brier": "Brier score"}
_UNIT = {"nll": " nats", "brier": ""}


def model_sentence(
    ece: Estimate, gap: Estimate, *, view: str, chance: Chance | None, temperature: Temperature | None = None
) -> str:
    """One sentence on one model, from the intervals of its ECE, its gap and its log temperature."""
    if ece.low is None or ece.high is None or gap.low is None or gap.high is None:
        return NOT_ENOUGH
    if ece.low == 0 and not gap.excludes_zero:
        return _nothing_detected(ece.high, view, chance)
    direction = _direction(gap, temperature)
    span = f"ECE {format_number(ece.low)} to {format_number(ece.high)}"
    if direction is None:
        return f"Miscalibrated without one direction: {span}; see the diagram."
    if view == "positive":
        return f"P(y = 1) is too {'high' if gap.value > 0 else 'low'} on average: {span}."
    if temperature is None:
        return f"{direction} on average: {span}."
    return f"{direction}: {span}, T* {format_number(temperature.value)}."


def _agrees(temperature: Temperature, *, over: bool) -> bool:
    """Whether a temperature is surely above 1 (over-confident) or below it; one at its bound surely is."""
    if temperature.at_bound:
        return (temperature.value > 1) == over
    if temperature.low is None or temperature.high is None:
        return False
    return temperature.low > 1 if over else temperature.high < 1


def _nothing_detected(high: float, view: str, chance: Chance | None) -> str:
    floor = (
        ""
        if chance is None or chance.p95 == 0
        else f" (This test set could not show less than {format_number(chance.p95)}.)"
    )
    return f"No miscalibration detected in the {view} view; ECE is at most {format_number(high)}.{floor}"


def _direction(gap: Estimate, temperature: Temperature | None) -> str | None:
    """Over- or under-confident, where the gap and the temperature (if one was fitted) agree and both decide."""
    if not gap.excludes_zero:
        return None
    over = gap.value > 0
    if temperature is not None and not _agrees(temperature, over=over):
        return None
    return "Over-confident" if over else "Under-confident"


def pair_sentences(
    model: str,
    reference: str,
    before: Mapping[str, Difference],
    after: Mapping[str, Difference] | None = None,
    *,
    level: float,
    score: Literal["nll", "brier"] = "nll",
    margin: float | None = None,
) -> Iterator[str]:
    """Sentences on one model against the reference: log score, ECE before and after scaling, refinement.

    The Brier score speaks where any log score is infinite. With a margin, differences that lie inside it are named.
    """
    names = (model, reference)
    if any(metric in before and not before[metric].decided for metric in ("accuracy", score)):
        yield NOT_ENOUGH
        return
    if score in before:
        yield _score_sentence(before[score], score, names, level)
    if "ece" in before and before["ece"].decided:
        yield _ece_sentence(before["ece"], (after or {}).get("ece"), names, level)
    if after is not None and score in after:
        yield from _refinement_sentence(before[score], after[score], score, names, level)
    if "ece" in before and score in before:
        yield from _disagreement(before, score, names, level)
    if margin is not None:
        yield from _equivalence(before, score, margin)


def _equivalence(before: Mapping[str, Difference], score: str, margin: float) -> Iterator[str]:
    """Differences whose whole interval lies inside the margin."""
    for metric, title in ((score, _TITLE[score]), ("ece", "ECE")):
        difference = before.get(metric)
        if difference is None or difference.low is None or difference.high is None:
            continue
        if -margin < difference.low and difference.high < margin:
            yield f"Equivalent within {format_number(margin)} in {title} ({_span(difference, ' to ')})."


def _score_sentence(difference: Difference, score: str, names: tuple[str, str], level: float) -> str:
    if difference.significant(level):
        return f"{_better(difference, names)} has the better {_TITLE[score]} by {_size(difference, _UNIT[score])}."
    return f"No difference in {_TITLE[score]} detected (between {_span(difference, ' and ')})."


def _ece_sentence(before: Difference, after: Difference | None, names: tuple[str, str], level: float) -> str:
    as_saved = before.significant(level)
    better = _better(before, names)
    if after is None or not after.decided:
        return f"{better} is better calibrated as saved." if as_saved else "No difference in ECE detected."
    if as_saved and not after.significant(level):
        return (
            f"{better} is better calibrated as saved; after temperature scaling no difference in ECE was detected "
            f"({_span(after, ' to ')})."
        )
    if as_saved and better == _better(after, names):
        return f"{better} is better calibrated as saved, and still after scaling."
    if as_saved:
        return f"{better} is better calibrated as saved. Scaling reverses the order: {_better(after, names)} after it."
    if after.significant(level):
        return f"No difference in ECE as saved; {_better(after, names)} is better calibrated after scaling."
    return "No difference in ECE detected."


def _refinement_sentence(
    before: Difference, after: Difference, score: str, names: tuple[str, str], level: float
) -> Iterator[str]:
    """What one temperature cannot repair: the difference of the scores after scaling."""
    if not after.significant(level):
        return
    better = _better(after, names)
    verb = "keeps" if before.significant(level) and better == _better(before, names) else "has"
    size = _size(after, _UNIT[score])
    yield f"After scaling {better} {verb} a better {_TITLE[score]} by {size}: not repaired by temperature."


def _disagreement(before: Mapping[str, Difference], score: str, names: tuple[str, str], level: float) -> Iterator[str]:
    """Where the two significant differences point to different models."""
    ece, proper = before["ece"], before[score]
    if not (ece.significant(level) and proper.significant(level)) or _better(ece, names) == _better(proper, names):
        return
    yield f"ECE and {_TITLE[score]} disagree; the {_TITLE[score]} also counts discrimination."
    accuracy = before.get("accuracy")
    if accuracy is not None and accuracy.significant(level):
        higher = names[0] if accuracy.value > 0 else names[1]
        yield f"{higher} has the higher accuracy by {_size(accuracy, '')}."


def _better(difference: Difference, names: tuple[str, str]) -> str:
    """Who has the smaller value: each of these scores is better when it is smaller."""
    return names[0] if difference.value < 0 else names[1]


def _span(difference: Difference, joint: str) -> str:
    return joint.join("undefined" if end is None else format_number(end) for end in (difference.low, difference.high))


def _size(difference: Difference | RecipeEstimate, unit: str) -> str:
    """The difference and its interval, turned so that the difference is positive."""
    low, high = difference.low, difference.high
    if difference.value < 0 and low is not None and high is not None:
        low, high = -high, -low
    return f"{format_number(abs(difference.value))}{unit} {format_interval(low, high)}"


def recipe_sentences(
    differences: Mapping[str, Mapping[str, RecipeEstimate]], runs: Mapping[str, int], reference: str, *, level: float
) -> Iterator[str]:
    """Two sentences on each recipe against the reference: its log score (else Brier score), and whose luck that is."""
    for name, found in differences.items():
        score: Literal["nll", "brier"] = "nll" if _is_finite(found.get("nll")) else "brier"
        if score not in found:
            continue
        difference = found[score]
        if difference.low is None or difference.high is None:
            yield f"{name} against {reference}: {NOT_ENOUGH}"
            continue
        yield _recipe_sentence(difference, (name, reference), score, level)
        yield _luck_sentence(difference, runs[name] + runs[reference])


def _is_finite(estimate: RecipeEstimate | None) -> bool:
    return estimate is not None and math.isfinite(estimate.value)


def _recipe_sentence(
    difference: RecipeEstimate, names: tuple[str, str], score: Literal["nll", "brier"], level: float
) -> str:
    p_value = difference.p_value if difference.adjusted_p_value is None else difference.adjusted_p_value
    ends = format_interval(difference.low, difference.high, signed=True)
    if p_value is None or p_value >= 1 - level:
        return f"No difference in {_TITLE[score]} between the recipes {names[0]} and {names[1]} detected ({ends})."
    better = names[0] if difference.value < 0 else names[1]
    return f"{better} is the recipe with the better {_TITLE[score]}: by {_size(difference, _UNIT[score])}."


def _luck_sentence(difference: RecipeEstimate, n_runs: int) -> str:
    seeds, rows = format_number(difference.between_seeds, digits=2), format_number(difference.within_test_set, digits=2)
    if difference.rests_on == "training luck":
        return (
            f"Its uncertainty rests on training luck (standard error {seeds} over {n_runs} runs; test rows {rows}): "
            "more runs would narrow it most."
        )
    return (
        f"Its uncertainty rests on the test rows (standard error {rows}; training luck {seeds} over {n_runs} runs): "
        "more rows would narrow it most."
    )
