"""What names that are not recognised may stand for: said in a message, never read. Floor 2."""

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from calibkit.files.contents import shown

# A search through more and longer names would take a while, and its answer would not be read.
MANY, LONG = 200, 80
SHOWN_COLUMNS = 4
MOST = 3  # suggestions of one role

# Words for what is recognised under another name; of two roles in one name the first counts: pred_label is predicted.
_WORDS: dict[str, tuple[str, ...]] = {
    "correct": ("is_correct", "is_right"),
    "predicted": ("guess",),
    "confidence": ("certainty",),
    "probs": ("proba", "probas", "softmax", "logprob", "logprobs"),
    "logits": ("loglikelihood", "loglikelihoods", "lls"),
    "labels": ("answer", "answers", "gold", "truth", "class"),
}
Recognised = Mapping[Any, Sequence[str]]
_FORECASTS = ("probs", "logits")


def suggestions(names: Sequence[str], missing: Collection[str], recognised: Recognised) -> dict[str, tuple[str, ...]]:
    """Keywords by which names of a file could be given to roles that are missing.

    Parameters
    ----------
    names : sequence of str
        Names of arrays or columns that have no role yet.
    missing : collection of str
        Roles for which nothing is recognised.
    recognised : mapping
        Names of every role.

    Examples
    --------
    >>> known = {"labels": ("labels", "y"), "probs": ("probs", "prob", "p"), "logits": ("logits", "scores")}
    >>> suggestions(["answer", "prob_cat", "prob_dog"], ["labels", "probs"], known)
    {'probs': ('probs="prob"',), 'labels': ('labels="answer"',)}
    >>> suggestions(["p0", "p1", "score"], ["probs", "logits"], known)
    {'probs': ('probs=["p0", "p1"]',), 'logits': ('logits="score"',)}
    """
    short = [name for name in names if len(name) <= LONG][:MANY]
    found: dict[str, list[str]] = {role: [] for role in _WORDS}
    grouped: set[str] = set()
    for stem, columns in _groups(short).items():
        roles = [role for role in _FORECASTS if _is_alike(stem.rstrip("_"), role, recognised)]
        numbered = all(re.fullmatch(r"\d+", column[len(stem) :], re.A) for column in columns)
        if not roles and numbered and stem.endswith("_"):
            roles = [*_FORECASTS]
        for role in (role for role in roles if role in missing and not grouped & {*columns}):
            key = f'"{shown(stem[:-1])}"' if stem.endswith("_") else in_list(columns)
            found[role].append(f"{role}={key}")
        grouped.update(columns if roles else ())
    for name in (name for name in short if name not in grouped):
        alike = next((role for role in _WORDS if _is_alike(name, role, recognised)), None)
        if alike is not None and alike in missing:
            logs = " with log_probs=True" if alike == "probs" and re.match(r"log_?p", name, re.I) else ""
            found[alike].append(f'{alike}="{shown(name)}"{logs}')
    return {role: tuple(keywords[:MOST]) for role, keywords in found.items() if keywords}


def in_words(found: Mapping[str, Sequence[str]]) -> str:
    """Suggestions as they would be given: labels with one forecast.

    Examples
    --------
    >>> in_words({"probs": ('probs="out"',), "logits": ('logits="out"',), "labels": ('labels="truth"',)})
    'labels="truth" with logits="out" or probs="out"'
    """
    confident = "".join(f" with {key}" for key in found.get("confidence", ())[:1])
    ways = [*found.get("logits", ()), *found.get("probs", ())]
    ways += [f"{key}{confident}" for role in ("predicted", "correct") for key in found.get(role, ())]
    ways = ways or [*found.get("confidence", ())]
    labels = " or ".join(found.get("labels", ()))
    if not ways or not labels or ("correct" in found and found.keys() <= {"labels", "correct", "confidence"}):
        return " or ".join(ways) or labels
    return f"{labels} with {' or '.join(ways)}"


def unseparated(names: Sequence[str], key: str) -> list[str]:
    """Columns ``p0, p1, ...`` of a key ``p``, in the order of their numbers.

    Examples
    --------
    >>> unseparated(["y", "p10", "p2", "p_3"], "p")
    ['p2', 'p10']
    """
    numbered = [name for name in names if re.fullmatch(rf"{re.escape(key)}\d{{1,9}}", name, re.A)]
    return sorted(numbered, key=lambda name: int(name[len(key) :]))


def in_list(columns: Sequence[str]) -> str:
    """Names of columns as a list of Python, the middle of a long one left out.

    Examples
    --------
    >>> in_list([f"p{number}" for number in range(10)])
    '["p0", "p1", ..., "p9"]'
    """
    texts = [f'"{shown(column)}"' for column in columns]
    if len(texts) > SHOWN_COLUMNS:
        texts = [*texts[:2], "...", texts[-1]]
    return f"[{', '.join(texts)}]"


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Columns that begin alike, two or more: up to an underscore, or up to a number without one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        for end in (match.end() for match in re.finditer("_", name)):
            if 1 < end < len(name):
                groups.setdefault(name[:end], []).append(name)
        if match := re.fullmatch(r"(.*[^\d_])\d{1,9}", name, re.A | re.S):
            groups.setdefault(match[1], []).append(name)
    ordered = {stem: unseparated(columns, stem) or columns for stem, columns in groups.items()}
    return {stem: columns for stem, columns in ordered.items() if len(columns) > 1}


def _is_alike(name: str, role: str, recognised: Recognised) -> bool:
    """Whether a name is nearly one of a role's, or holds one as a word."""
    plain = name.lower()
    known = [*recognised.get(role, ()), *_WORDS[role]]
    long_ones = [word for word in known if len(word) > 2]
    words = {plain, plain.replace("_", ""), *re.split(r"[^a-z]+", plain)}
    return (
        plain in known
        or any(word in long_ones or f"{word}s" in long_ones for word in words)
        or bool(get_close_matches(plain, long_ones, n=1, cutoff=0.8))
    )
