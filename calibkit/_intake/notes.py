"""Notes on the rows of several parts, as notes on the rows of the whole. Floor 1."""

import re
from collections.abc import Iterable

_COUNT = re.compile(r"(?<=: )[\d,]+(?= (?:of|rows|values)\b)|(?<= (?:of|in) )[\d,]+(?= (?:of|rows|values)\b)")
_LARGEST = re.compile(r"(?<=\(at most )[^)]+")
# These are told of parts that have such rows alone: how many rows all parts have is not told by them.
_OF_SOME_PARTS = re.compile(r"^(weight 0: [\d,]+|\w+: [\d,]+(?= of [\d,]+ values within)) of [\d,]+")


def summed_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes of the constructors about several parts, each kind once, with its counts added up, in order of the text.

    Examples
    --------
    >>> summed_notes(["clip=0.1: 2 of 5 values moved", "one-hot rows read", "clip=0.1: 1 of 4 values moved"])
    ('clip=0.1: 3 of 9 values moved', 'one-hot rows read')
    """
    kinds: dict[str, tuple[list[int], float]] = {}
    for note in notes:
        told = _OF_SOME_PARTS.sub(r"\1", note)
        largest = max([float(value) for value in _LARGEST.findall(told)], default=0.0)
        counts = [int(count.replace(",", "")) for count in _COUNT.findall(told)]
        kind = _LARGEST.sub("\1", _COUNT.sub("\0", told))
        before = kinds.get(kind, ([0] * len(counts), 0.0))
        kinds[kind] = [one + other for one, other in zip(before[0], counts, strict=True)], max(before[1], largest)
    return tuple(sorted(_written(kind, *values) for kind, values in kinds.items()))


def _written(kind: str, counts: list[int], largest: float) -> str:
    for count in counts:
        kind = kind.replace("\0", f"{count:,}", 1)
    return kind.replace("\1", f"{largest:.2g}")
