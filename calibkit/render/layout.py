"""Which blocks say a result: dictionaries of results in, documents out. Floor 4."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from calibkit.render.document import Block, Document, Heading, Passage
from calibkit.render.further import further_blocks
from calibkit.render.names import SENTENCE_LENGTH, sanitise
from calibkit.render.numbers import format_interval, format_number
from calibkit.render.tables import Result, difference_table, estimate_parts, evaluation_table, side_by_side


def evaluation_document(result: Result) -> Document:
    """One model: its table, its verdict, the conventions behind the numbers, the notes."""
    return (
        Heading(title=sanitise(result["name"]), detail=_size(result)),
        evaluation_table(result),
        *further_blocks([("", result)]),
        *_passages([result]),
    )


def evaluations_document(results: Sequence[Result]) -> Document:
    """Several models side by side; a single one has its own, wider table."""
    if len(results) == 1:
        return evaluation_document(results[0])
    columns = [(sanitise(result["name"]), result) for result in results]
    heading = Heading(title=f"{len(results)} evaluations", detail="each of its own rows")
    return heading, side_by_side(columns, sizes=True), *further_blocks(columns), *_passages(results)


def comparison_document(result: Result) -> Document:
    """Models on the same rows: metrics as saved and scaled, paired differences, and what made them."""
    models: Mapping[str, Result] = result["models"]
    title = "Before and after temperature scaling"
    if len(models) > 1:
        where = "on the same rows" if result.get("paired", True) else "on different rows (unpaired)"
        title = f"Comparison of {len(models)} models {where}"
    verdict = tuple(sanitise(sentence, limit=SENTENCE_LENGTH) for sentence in result.get("verdict") or ())
    return (
        Heading(title=title, detail=_sizes(result)),
        *_metric_tables(result),
        *_difference_tables(result),
        *_passage("NLL difference, split", tuple(_split_lines(result))),
        *_passage("Verdict", verdict, loud=True),
        *_passage("Conventions", _conventions(list(models.values()), extra=_temperature_sources(result))),
        *_passage("Notes", _notes(list(models.values()), own=result.get("notes", ()))),
    )


def bins_phrase(settings: Mapping[str, Any]) -> str:
    """How the bins were made, in words.

    Parameters
    ----------
    settings : mapping
        Of an evaluation: n_bins, binning, edges.

    Returns
    -------
    str
        Number, strategy and closed end.

    Examples
    --------
    >>> bins_phrase({"n_bins": 15, "binning": "uniform", "edges": "right"})
    '15 equal-width bins (lo, hi]'
    """
    kind = {"uniform": "equal-width", "quantile": "equal-count"}[settings["binning"]]
    closed = {"right": "(lo, hi]", "left": "[lo, hi)"}[settings["edges"]]
    noun = "bin" if settings["n_bins"] == 1 else "bins"
    return f"{settings['n_bins']} {kind} {noun} {closed}"


def _size(result: Result) -> str:
    """Rows, classes and view."""
    rows = "1 row" if result["n"] == 1 else f"{result['n']:,} rows"
    classes = "" if result["n_classes"] is None else f"{result['n_classes']:,} classes, "
    return f"{rows}, {_choices(result['settings'])}{classes}{result['view']} view"


def _choices(settings: Mapping[str, Any]) -> str:
    """How many choices ragged rows have."""
    fewest, most = settings.get("choices") or (0, 0)
    if most == 0:
        return ""
    noun = "choice" if most == 1 else "choices"
    return f"{most:,} {noun}, " if fewest == most else f"{fewest:,} to {most:,} {noun}, "


def _sizes(result: Result) -> str:
    """Rows of all models, or of each where they hold different ones."""
    models = result["models"]
    if result.get("paired", True):
        return _size(models[result["reference"]])
    return "; ".join(f"{sanitise(name)}: {_size(model)}" for name, model in models.items())


def _metric_tables(result: Result) -> Iterator[Block]:
    """As saved and, where temperatures were fitted, after scaling."""
    saved = [(sanitise(name), model) for name, model in result["models"].items()]
    scaled = result.get("scaled")
    if scaled is None:
        yield side_by_side(saved, compared=True)
        return
    fitted = [" ".join(estimate_parts(result["temperature"][name])) for name in scaled["models"]]
    after = [(sanitise(name), model) for name, model in scaled["models"].items()]
    if len(saved) == 1:
        yield Heading(title=saved[0][0], level=2)
        columns = [("as saved", saved[0][1]), ("after scaling", after[0][1])]
        yield side_by_side(columns, compared=True, first_row=["1", *fitted])
        return
    yield Heading(title="As saved", level=2)
    yield side_by_side(saved, compared=True)
    yield Heading(title="After temperature scaling", level=2)
    yield side_by_side(after, compared=True, first_row=fitted)


def _difference_tables(result: Result) -> Iterator[Block]:
    """Each model against the reference, then the other pairs, as saved and scaled, metric by metric."""
    scaled = result.get("scaled") or {}
    groups = {result["reference"]: result["differences"], **(result.get("between") or {})}
    after = {result["reference"]: scaled.get("differences", {}), **(scaled.get("between") or {})}
    title = "Difference" if result.get("paired", True) else "Difference, unpaired"
    for reference, models in groups.items():
        for name, differences in models.items():
            yield Heading(title=title, detail=f"{sanitise(name)} - {sanitise(reference)}", level=2)
            yield difference_table(result["models"][reference], differences, after.get(reference, {}).get(name))


def _split_lines(result: Result) -> Iterator[str]:
    """What of each difference of NLL one temperature removes, and what is left."""
    for name, split in ((result.get("scaled") or {}).get("nll_split") or {}).items():
        total, *parts = (split[key] for key in ("total", "temperature", "rest"))
        removed, left = (
            " ".join(
                (
                    format_number(part["value"], signed=True),
                    *([format_interval(part["low"], part["high"], signed=True)] if part["low"] is not None else []),
                )
            )
            for part in parts
        )
        share = split["temperature_share"]
        percent = "" if share is None else f" ({100 * share:.0f}% and {100 - round(100 * share):.0f}%)"
        minus = f"{sanitise(name)} - {sanitise(result['reference'])}"
        yield (
            f"{minus}: {format_number(total['value'], signed=True)} = {removed} that one temperature removes, "
            f"and {left} that it leaves{percent}."
        )


def _passages(results: Sequence[Result]) -> Iterator[Passage]:
    """Verdict, conventions and notes of one or several evaluations."""
    verdicts = [(result, result.get("verdict")) for result in results]
    said = tuple(_attributed(text, result, results) for result, text in verdicts if text)
    yield from _passage("Verdict", said, loud=True)
    yield from _passage("Conventions", _conventions(results))
    yield from _passage("Notes", _notes(results))


def sentences(label: str, items: Sequence[str], *, loud: bool = False) -> Iterator[Passage]:
    """Sentences that may hold names from outside, under a label; nothing where there are none."""
    return _passage(label, tuple(sanitise(item, limit=SENTENCE_LENGTH) for item in items), loud=loud)


def _passage(label: str, items: tuple[str, ...], *, loud: bool = False) -> Iterator[Passage]:
    if items:
        yield Passage(label=label, items=items, loud=loud)


def _attributed(text: str, owner: Result, results: Sequence[Result]) -> str:
    """A sentence, with the model's name before it where there are several models."""
    sentence = sanitise(text, limit=SENTENCE_LENGTH)
    return sentence if len(results) == 1 else f"{sanitise(owner['name'])}: {sentence}"


def _notes(results: Sequence[Result], own: Sequence[str] = ()) -> tuple[str, ...]:
    """All notes, once each: a comparison's own, what all models share, and the rest with the model's name."""
    held = [list(result.get("notes", ())) for result in results]
    shared = [*own, *(note for note in held[0] if all(note in notes for notes in held))]
    said = [sanitise(note, limit=SENTENCE_LENGTH) for note in shared]
    for result, notes in zip(results, held, strict=True):
        said += [_attributed(note, result, results) for note in notes if note not in shared]
    return tuple(dict.fromkeys(said))


def _conventions(results: Sequence[Result], extra: Iterable[str] = ()) -> tuple[str, ...]:
    """What made the numbers; said once where all models share it."""
    lines = {sanitise(result["name"]): _convention(result) for result in results}
    said = tuple(dict.fromkeys(lines.values()))
    if len(said) > 1:
        said = tuple(f"{name}: {line}" for name, line in lines.items())
    return (*said, *extra)


def _convention(result: Result) -> str:
    settings, metrics = result["settings"], result["metrics"]
    parts = [bins_phrase(settings), "ECE is the l1 norm"]
    if "nll" in metrics:
        parts.append("NLL in nats")
    if "brier" in metrics and settings.get("brier_scale"):
        parts.append(f"Brier score: {settings['brier_scale']}")
    if settings.get("interval"):
        parts.append(f"intervals: {settings['interval']}")
    if settings.get("input"):
        parts.append(f"input: {settings['input']}")
    if settings.get("rows") == "state":
        parts.append("rows: read into a state")
    if settings.get("seed") is not None:
        parts.append(f"seed {settings['seed']}")
    return sanitise("; ".join(parts), limit=SENTENCE_LENGTH) + "."


def _temperature_sources(result: Result) -> Iterator[str]:
    """Where each temperature came from, said once where all share it."""
    sources = {name: fitted["source"] for name, fitted in (result.get("temperature") or {}).items()}
    if len(set(sources.values())) == 1:
        yield f"Temperatures: {sanitise(next(iter(sources.values())), limit=SENTENCE_LENGTH)}."
        return
    for name, source in sources.items():
        yield f"Temperature of {sanitise(name)}: {sanitise(source, limit=SENTENCE_LENGTH)}."
