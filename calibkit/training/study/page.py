"""The page of a study, as Markdown: verdicts, evidence, the grid, published numbers, and how to read them. Annex."""

from collections.abc import Iterable, Iterator, Sequence
from math import exp
from typing import Any

from calibkit.render import format_interval, format_number
from calibkit.render.markdown import escape
from calibkit.training.study.cells import CROSS_ENTROPY, LOSSES
from calibkit.training.study.claims import geometric
from calibkit.training.study.effects import Effect, Series, change, level_of
from calibkit.training.study.grid import TEXTBOOK
from calibkit.training.study.lines import TITLES, Claim, Evidence, Line
from calibkit.training.study.method import method
from calibkit.training.study.other_claims import CLAIMS
from calibkit.training.study.published import TABLES, WORDS, Published
from calibkit.training.study.rules import sentence

GRID = (
    "accuracy",
    "train_accuracy_given_labels",
    "gap",
    "ece",
    "nll",
    "log_temperature",
    "scaled_ece",
    "scaled_nll",
    "aurc",
    "confidence_auroc",
)
SHORT = {
    **TITLES,
    "train_accuracy_given_labels": "accuracy on labels trained on",
    "train_accuracy_true_labels": "train accuracy, true labels",
    "log_temperature": "T*",
}
RELATIVES = ("accuracy", "ece", "nll", "scaled_ece", "scaled_nll", "confidence_auroc")


def study_page(studies: Sequence[Evidence], figures: Sequence[str], *, command: str) -> str:
    """The whole page; figures are paths from the page."""
    claims = [[claim(evidence) for claim in CLAIMS] for evidence in studies]
    blocks = [
        "# What smoothing does",
        f"Made by one command, from nothing or from the runs that are there already:\n\n    {command}",
        "Textbooks and papers say twelve things about label smoothing. Here each is measured on "
        f"{_listed([escape(evidence.data) for evidence in studies])}, and judged by the rules below. "
        "Verdicts, and all sentences about results, follow from intervals; nobody chose them.",
        "## Verdicts",
        _verdicts(studies, claims),
        "e is 0.1 where nothing is said, labels are as given unless the claim is about wrong ones, and effects are "
        "means over seeds of paired differences.",
        *method(studies),
    ]
    for evidence, of_data, figure in zip(studies, claims, figures, strict=True):
        blocks += _of_data(evidence, of_data, figure)
    blocks += _published()
    return "\n\n".join(blocks) + "\n"


def summary(evidence: Evidence) -> list[str]:
    """Each claim's number, verdict and text, for the terminal."""
    return [f"({claim.number}) {claim.verdict}: {claim.text}" for claim in (make(evidence) for make in CLAIMS)]


def _verdicts(studies: Sequence[Evidence], claims: Sequence[Sequence[Claim]]) -> str:
    header = ("", "claim", *(escape(evidence.data) for evidence in studies))
    rows = [
        (claim.number, escape(claim.text), *(f"**{of_data[number].verdict}**" for of_data in claims))
        for number, claim in enumerate(claims[0])
    ]
    return table(header, rows, words=len(header))


def _of_data(evidence: Evidence, claims: Sequence[Claim], figure: str) -> Iterator[str]:
    name = escape(evidence.data)
    yield f"## {name}"
    yield f"![Every measure against smoothing, on {name}]({figure})"
    for claim in claims:
        yield f"### {name}, ({claim.number}): {claim.verdict}"
        yield f"> {escape(claim.text)}"
        yield f"{_sentences(claim)}"
        if claim.remarks:
            yield "\n".join(f"- {escape(remark)}" for remark in claim.remarks)
        if claim.lines:
            yield _lines(claim, claim.deciding)
            rest = [line for line in claim.lines if not line.decides]
            if rest:
                yield f"<details><summary>{len(rest)} other lines, which do not decide</summary>"
                yield _lines(claim, rest)
                yield "</details>"
    yield f"### {name}: the grid"
    yield (
        "Means over seeds, on test rows with their true labels; T* is a geometric mean, with its interval. Means of T* "
        "and after scaling leave out seeds without a temperature."
    )
    yield _grid(evidence)
    yield f"### {name}: relatives of smoothing"
    yield (
        "Difference from cross-entropy with hard labels, with its interval; losses have their authors' settings "
        "(margin 10, penalty 0.1), and none was tuned."
    )
    yield _relatives(evidence)


def _sentences(claim: Claim) -> str:
    """What the deciding lines say."""
    if not claim.deciding:
        return "Not measured on these data."
    return f"{'. '.join(_capitalised(f'{line.setting}: {_saying(line)}') for line in claim.deciding)}."


def _saying(line: Line) -> str:
    if line.measure == "ratio":
        ends = "" if line.difference.n == 1 else f" {_percents(line.difference)}"
        return f"{100 * line.difference.value:+.1f} %{ends}"
    if line.measure not in TITLES:
        return f"at least {format_number(line.difference.value)} nats above the floor"
    return sentence(TITLES[line.measure], line.difference)


def _percents(found: Effect) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _lines(claim: Claim, lines: Iterable[Line]) -> str:
    header = ("setting", "measure", *claim.columns, "difference", "95 % interval", "seeds", "verdict")
    return table(header, [_line(line) for line in lines], words=2)


def _line(line: Line) -> tuple[str, ...]:
    found = line.difference
    exact = found.low == found.high and line.measure not in TITLES
    return (
        line.setting,
        TITLES.get(line.measure, line.measure),
        format_number(line.before.value),
        format_number(line.after.value),
        format_number(found.value, signed=True),
        "counted" if exact else format_interval(found.low, found.high, signed=True),
        str(found.n),
        f"**{line.verdict}**" if line.decides else line.verdict,
    )


def _grid(evidence: Evidence) -> str:
    header = ("noise", "e", *(SHORT[measure] for measure in GRID))
    rows = [
        (
            f"{100 * noise:g} %",
            f"{e:g}",
            *(_mean(measure, evidence.of(measure, noise=noise, smoothing=e)) for measure in GRID),
        )
        for noise in evidence.noises
        for e in evidence.smoothings
    ]
    return table(header, rows, words=2)


def _mean(measure: str, values: Series) -> str:
    if measure == "log_temperature":
        return geometric(values)
    mean = level_of(values)
    return format_number(mean.value) if mean.n else "none"


def _relatives(evidence: Evidence) -> str:
    header = ("noise", "loss", "T*", *(SHORT[measure] for measure in RELATIVES))
    rows = []
    for noise in evidence.noises:
        for loss in (CROSS_ENTROPY, "smoothing", *LOSSES):
            settings: dict[str, Any] = {"smoothing": TEXTBOOK} if loss == "smoothing" else {"loss": loss}
            temperature = level_of(evidence.of("log_temperature", noise=noise, **settings))
            cells = [_against_hard(evidence, measure, noise, settings) for measure in RELATIVES]
            t = format_number(exp(temperature.value)) if temperature.n else "none"
            rows.append((f"{100 * noise:g} %", f"smoothing {TEXTBOOK:g}" if loss == "smoothing" else loss, t, *cells))
    return table(header, rows, words=2)


def _against_hard(evidence: Evidence, measure: str, noise: float, settings: dict[str, Any]) -> str:
    hard = evidence.of(measure, noise=noise)
    if settings.get("loss") == CROSS_ENTROPY:
        mean = level_of(hard)
        return format_number(mean.value) if mean.n else "none"
    found = level_of(change(evidence.of(measure, noise=noise, **settings), hard))
    if found.n == 0:
        return "none"
    return f"{format_number(found.value, signed=True)} {format_interval(found.low, found.high, signed=True)}"


def _published() -> Iterator[str]:
    yield "## Published numbers"
    yield (
        "Of other networks, data and recipes, as their authors print them: to be read beside the numbers above, not "
        'averaged with them. ECE of one recipe says little of another\'s: "Tiny-ImageNet, ResNet-50, cross-entropy" '
        "is 15.32 % in one table below and 3.73 % in another."
    )
    for published in TABLES:
        yield from _published_table(published)
    yield "\n".join(f"- {words}" for words in WORDS)


def _published_table(published: Published) -> Iterator[str]:
    yield f"{published.claims}. {published.source}. {published.says}"
    yield table(published.header, published.rows, words=1)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """A Markdown table whose first columns hold words, the others numbers."""
    rule = [":--"] * words + ["--:"] * (len(header) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:] if not text.startswith("e = ") else text
