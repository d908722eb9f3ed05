"""Which arrays of a file are labels, logits, probs and so on: recognised names, the user's keys, splits. Floor 2."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NoReturn

from calibkit._checks import nearest
from calibkit.errors import InputFormatError, OptionError
from calibkit.files.contents import Contents, Need, described, shown
from calibkit.files.hints import in_list, in_words, suggestions, unseparated
from calibkit.predictions import Kind

Role = Literal[
    "labels", "logits", "probs", "predicted", "confidence", "correct", "ids", "weights", "groups", "n_choices"
]
Key = str | Sequence[str] | None

RECOGNISED: dict[Role, tuple[str, ...]] = {
    "labels": ("labels", "label", "targets", "target", "y", "y_true", "outcome"),
    "logits": ("logits", "scores"),
    "probs": ("probs", "probabilities", "y_prob", "prob", "p"),
    "predicted": ("pred", "preds", "predicted", "prediction", "predictions", "predicted_label", "y_pred"),
    "confidence": ("conf", "confidence"),
    "correct": ("correct",),
    "ids": ("id", "ids", "index"),
    "weights": ("weight", "weights"),
    "groups": ("group", "groups"),
    "n_choices": ("n_choices",),
}
NEEDS: dict[str, Need] = {
    **dict.fromkeys(("logits", "probs", "confidence", "weights"), "number"),
    **dict.fromkeys(("labels", "predicted", "correct"), "class"),
    **dict.fromkeys(("ids", "groups"), "key"),
    "n_choices": "class",
}
FORECASTS: dict[Kind, tuple[Role, ...]] = {
    "logits": ("logits",),
    "probs": ("probs",),
    "top1": ("predicted", "confidence"),
    "correct": ("correct", "confidence"),
}
FORECAST_ROLES: tuple[Role, ...] = ("logits", "probs", "predicted", "confidence", "correct")
PASSENGERS: tuple[Role, ...] = ("ids", "weights", "groups")

NAME_THEM = (
    'Say what is what: labels="KEY" with logits="KEY" or probs="KEY" or predicted="KEY" and confidence="KEY"; or '
    'correct="KEY" and confidence="KEY".'
)
NAME_ONE = (
    'The file is one array without a name: say what it is by logits="array" or probs="array", and where the labels are '
    'by labels_file="PATH".'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where the values of a role stand: one entry, or one column per class."""

    names: tuple[str, ...]
    matrix: bool
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a user asks of a file: names for roles, a split, what labels count from, labels elsewhere, a float type.

    And whether the forecast is one of ragged rows.
    """

    keys: Mapping[Role, Key]
    split: str | None = None
    label_base: int = 0
    labels_elsewhere: bool = False
    dtype: str | None = None
    ragged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What would be read from a file, and as what."""

    kind: Kind
    found: Mapping[Role, Found]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, if the columns tell them."""
        return next((found.class_names for found in self.found.values() if found.class_names), None)


def choose(contents: Contents, question: Question, *, where: str) -> Reading:
    """Decide what each array is, or say what the file holds and how to name it."""
    search = _Search(contents, question, where)
    kinds = search.kinds()
    if len(kinds) != 1:
        search.refuse(kinds)
    needed: tuple[Role, ...] = FORECASTS[kinds[0]]
    if kinds[0] != "correct" and not question.labels_elsewhere:
        needed = ("labels", *needed)
    # Filled up rows are told by calibkit's own header, else by the user alone.
    filled: tuple[Role, ...] = ("n_choices",) if question.ragged or contents.header is not None else ()
    found = {role: search.one(role) for role in (*needed, *PASSENGERS, *filled) if search.candidates[role]}
    return Reading(kind=kinds[0], found=found)


def splits(contents: Contents, question: Question) -> tuple[str, ...]:
    """Prefixes under which the file holds labels and a forecast of their own."""
    names = {name for role in RECOGNISED.values() for name in role}
    ends = "|".join(sorted(map(re.escape, names)))
    prefixes = (re.fullmatch(rf"(.+)_(?:{ends})(?:_\d+)?", e.name, re.I | re.S | re.A) for e in contents.entries)
    distinct = dict.fromkeys(match[1] for match in prefixes if match)
    return tuple(prefix for prefix in distinct if has_recognised(contents, question, prefix))


def has_recognised(contents: Contents, question: Question, split: str | None) -> bool:
    """Whether a split holds labels and exactly one forecast."""
    asked = Question(keys=question.keys, split=split, label_base=question.label_base)
    try:
        return len(_Search(contents, asked, "").kinds()) == 1
    except InputFormatError:
        return False


class _Search:
    """The candidates for each role in one file."""

    def __init__(self, contents: Contents, question: Question, where: str) -> None:
        self.contents, self.question, self.where = contents, question, where
        self.prefix = "" if question.split is None else f"{question.split}_"
        # Names as they are without the split's prefix, and as the file has them.
        self.names = {e.name[len(self.prefix) :]: e.name for e in contents.entries if e.name.startswith(self.prefix)}
        given = {role: key for role, key in question.keys.items() if key is not None}
        self.given: dict[Role, Found] = {role: self._named(role, key) for role, key in given.items() if key != ""}
        claimed = {name for found in self.given.values() for name in found.names}
        self.candidates: dict[Role, list[Found]] = {
            role: [self.given[role]]
            if role in self.given
            else []
            if role in given
            else [*self._recognised(role, claimed)]
            for role in RECOGNISED
        }

    def kinds(self) -> list[Kind]:
        """The kinds of predictions that the file could be read as."""
        forecasts: set[Role] = {role for roles in FORECASTS.values() for role in roles}
        named = forecasts & self.given.keys()
        complete = [kind for kind, roles in FORECASTS.items() if named <= set(roles) and self._is_complete(kind)]
        if len(named) > 0 and not any(named <= set(roles) for roles in FORECASTS.values()):
            raise OptionError(f"{' and '.join(sorted(named))} cannot be read together: name one forecast")
        full: list[Kind] = [kind for kind in complete if any(f.matrix for f in self.candidates[FORECASTS[kind][0]])]
        if full:  # all classes determine the predicted class, its confidence and its correctness
            return full
        doubtful = "predicted" not in self.given and self.candidates["predicted"]
        if doubtful and not named and ("probs" in complete or "logits" in complete):
            return [*complete, "top1"]  # is the probability that of class 1, or of the predicted class?
        return complete

    def one(self, role: Role) -> Found:
        """The one place of a role's values."""
        if len(self.candidates[role]) > 1:
            several = ", ".join(f'{role}="{shown(found.names[0])}"' for found in self.candidates[role])
            self._say(f"more than one array could be the {role}. Choose one: {several}")
        return self.candidates[role][0]

    def refuse(self, kinds: Sequence[Kind]) -> NoReturn:
        """Say why nothing, or not one thing, can be read."""
        if kinds:
            distinct = " or ".join(dict.fromkeys(" and ".join(FORECASTS[kind]) for kind in kinds))
            self._say(f"could be read as {distinct}. Choose one: {self._ways(kinds)}")
        values = next((roles for roles in FORECASTS.values() if all(self.candidates[role] for role in roles)), None)
        if values is not None:
            key = " or ".join(self._suggested(["labels"]).get("labels", ())) or 'labels="KEY"'
            self._say(
                f"holds {' and '.join(values)} but no labels are recognised. Name them: {key}, or "
                'labels_file="PATH:KEY" if they are in another file'
            )
        name_them = NAME_THEM if self.contents.sole is None or self.question.labels_elsewhere else NAME_ONE
        found = self._suggested([role for role in (*FORECAST_ROLES, "labels") if not self.candidates[role]])
        if found:
            whole = found.keys() & {"logits", "probs", "correct", "predicted"}
            name_them = f"Perhaps {in_words(found)}.{'' if whole else ' ' + name_them}"
        self._say(f"{self._recognised_so_far()} are recognised. {name_them}")

    def _recognised_so_far(self) -> str:
        """The roles for which there is something, and those of which one would be needed."""
        there = {role: self.candidates[role] for role in ("labels", *FORECAST_ROLES) if self.candidates[role]}
        if not there:
            return "no labels with logits, probs or predictions"
        listed = "; ".join(f"{role}: {', '.join(shown(f.names[0]) for f in places)}" for role, places in there.items())
        if "labels" in there or self.question.labels_elsewhere:
            rest = "predictions"
            if "confidence" in there:
                rest = "predicted"
            elif there.keys() & {"predicted", "correct"}:
                rest = "confidence"
            return f"{listed}; no logits, probs or {rest}"
        return f"{listed}; no labels with logits, probs or predictions"

    def _ways(self, kinds: Sequence[Kind]) -> str:
        """The keywords that choose one of some kinds each."""
        shared = set[Role].intersection(*({*FORECASTS[kind]} for kind in kinds))
        ways = (
            " with ".join(f'{role}="{self._key(role)}"' for role in FORECASTS[kind] if role not in shared)
            for kind in kinds
        )
        return " or ".join(dict.fromkeys(ways))

    def _key(self, role: Role) -> str:
        """The key of a role; a confidence that is not there by itself is the number that is doubtful."""
        places = next(self.candidates[name] for name in (role, "probs", "logits") if self.candidates[name])
        return role if len(places[0].names) > 1 else shown(places[0].names[0])

    def _suggested(self, missing: Sequence[Role]) -> dict[str, tuple[str, ...]]:
        """Keywords for what is missing; none where a split would do, for then the names are recognised."""
        if self._splits or self.contents.sole is not None:
            return {}
        taken = {name for places in self.candidates.values() for found in places for name in found.names}
        free = [name for name, full in self.names.items() if full not in taken]
        return suggestions(free, [role for role in missing if self.question.keys.get(role) is None], RECOGNISED)

    @cached_property
    def _splits(self) -> tuple[str, ...]:
        """Splits of the file but the one that was asked for."""
        there = splits(self.contents, Question(keys={})) if self.where else ()
        return tuple(split for split in there if split != self.question.split)

    def _is_complete(self, kind: Kind) -> bool:
        """Whether all that a kind needs is there."""
        labelled = kind == "correct" or self.question.labels_elsewhere or bool(self.candidates["labels"])
        meant = kind != "correct" or "labels" not in self.given
        return labelled and meant and all(self.candidates[role] for role in FORECASTS[kind])

    def _recognised(self, role: Role, claimed: set[str]) -> Iterator[Found]:
        """Entries whose names are known, save those that the user gave another role."""
        for name, full in self.names.items():
            if full not in claimed and name.lower() in RECOGNISED[role]:
                yield self._single(full)
        if role in ("logits", "probs") and (group := self._group(role)) and not claimed & {*group.names}:
            yield group

    def _single(self, full: str) -> Found:
        """One entry; a second axis makes it a matrix."""
        entry = self.contents.entry(full)
        return Found(names=(full,), matrix=entry is not None and len(entry.shape) > 1)

    def _named(self, role: Role, key: Key) -> Found:
        """What a user's key names: an entry, a prefix of columns, or a list of columns."""
        if not isinstance(key, str):
            return Found(names=tuple(self._full(role, name) for name in key or ()), matrix=True)
        group = self._group(key) if role in ("logits", "probs") and not self._known(key) else None
        return group or self._single(self._full(role, key))

    def _known(self, key: str) -> bool:
        """Whether a key is the name of an entry."""
        return key in self.names or key in self.names.values() or key == self.contents.sole

    def _full(self, role: str, key: str) -> str:
        """The name in the file of what a user calls by its name with or without the split's prefix."""
        if self._known(key):
            return self.contents.entries[0].name if key == self.contents.sole else self.names.get(key, key)
        known = [*self.names, *self.names.values()]
        missing = f"{self.prefix}{key}" if self.prefix and not key.startswith(self.prefix) else key
        hint = nearest(key, known)
        if role in ("logits", "probs") and (columns := unseparated([*self.names], key)):
            hint = f" A prefix stands before _ ({shown(key)}_0); list these columns: {role}={in_list(columns)}"
        return self._say(f"{role}={key!r}: there is no {shown(missing)!r}.{hint}")

    def _group(self, prefix: str) -> Found | None:
        """Columns ``prefix_0``, ``prefix_1``, ..., in the order of their numbers, or ``prefix_<class>``."""
        start = f"{prefix}_"
        columns = {name[len(start) :]: full for name, full in self.names.items() if name.startswith(start)}
        if not columns:
            return None
        numbers = [int(suffix) for suffix in columns if re.fullmatch(r"\d{1,9}", suffix, re.A)]
        if not numbers:
            return Found(names=tuple(columns.values()), matrix=True, class_names=tuple(columns))
        first = self.question.label_base if min(numbers) == self.question.label_base else 0
        if sorted(numbers) != [*range(first, first + len(columns))]:
            self._say(
                f"the columns {shown(start)}{min(numbers)} to {shown(start)}{max(numbers)} are not numbered without a "
                f"gap from {first}. If classes count from {min(numbers)}, pass label_base={min(numbers)}; else list "
                "the columns"
            )
        ordered = sorted(columns.items(), key=lambda item: int(item[0]))
        return Found(names=tuple(full for _, full in ordered), matrix=True)

    def _say(self, complaint: str) -> NoReturn:
        """Raise, with what the file holds and which splits there are."""
        listed = described(self.contents.entries)
        others = [f'split="{shown(split)}"' for split in self._splits]
        hint = f" It has {' and '.join(others)}." if others else ""
        end = "" if complaint.endswith(("?", ".")) else "."
        raise InputFormatError(f"{self.where}: {complaint}{end} The file holds {listed}.{hint}")
