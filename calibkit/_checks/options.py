"""Options that users set: the allowed value, or an `OptionError` that names the option. Floor 0."""

import operator
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar

import numpy as np

from calibkit.errors import OptionError

Choice = TypeVar("Choice", bound=str)

MAX_BINS = 100_000
MAX_CELLS = 1 << 24  # 15 bins of a million classes, in about a gigabyte
_LONG = 80
_MANY = 20
_COMPARED = 10_000


def nearest(word: str, known: Collection[str]) -> str:
    """Say which known word was probably meant: `` Did you mean 'x'?``, or nothing."""
    # The search compares every pair of letters: long words and long lists would take it minutes.
    alike = {name[:_LONG]: name for name in map(str, islice(known, _COMPARED))}
    match = get_close_matches(word[:_LONG], [*alike], n=1)
    return f" Did you mean {quoted(alike[match[0]])}?" if match else ""


def quoted(word: object) -> str:
    """Print a word in quotation marks, the first 80 characters of a long one."""
    text = repr(word)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def listed(names: Sequence[object]) -> str:
    """Print names in quotation marks, the first 20 of many."""
    rest = f", ... ({len(names):,} in all)" if len(names) > _MANY else ""
    return ", ".join(quoted(name) for name in names[:_MANY]) + rest


def check_int(value: object, *, option: str, low: int | None = None, high: int | None = None) -> int:
    """Return an option that is a whole number in low..high; True and 2.0 are not."""
    bounds = f" of at least {low:,}" if low is not None else ""
    bounds += f" and at most {high:,}" if high is not None else ""
    wanted = f"{option}={quoted(value)}: expected a whole number{bounds}."
    if isinstance(value, (bool, np.bool_)):
        raise OptionError(wanted)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(wanted) from None
    if (low is not None and number < low) or (high is not None and number > high):
        raise OptionError(wanted)
    return number


def check_real(value: object, *, option: str, low: float, high: float) -> float:
    """Return an option that is a real number strictly between low and high."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not low < value < high:  # type: ignore[operator]
        raise OptionError(f"{option}={quoted(value)}: expected a number between {low:g} and {high:g}, both excluded.")
    return float(value)  # type: ignore[arg-type]


def check_choice(value: Choice, allowed: Collection[str], *, option: str) -> Choice:
    """Return an option that is one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(
            f"{option}={quoted(value)}: expected one of {listed([*allowed])}.{nearest(str(value), allowed)}"
        )
    return value


def check_n_bins(n_bins: object, *, option: str = "n_bins") -> int:
    """Return a number of bins from 1 to 100,000."""
    return check_int(n_bins, option=option, low=1, high=MAX_BINS)


def fits_cells(n_bins: int, n_classes: int) -> bool:
    """Whether a table of bins for each class stays within memory."""
    return n_bins * n_classes <= MAX_CELLS


def check_cells(n_bins: int, n_classes: int, *, view: str) -> None:
    """Raise where a table of bins for each class would outgrow memory."""
    if not fits_cells(n_bins, n_classes):
        raise OptionError(
            f'n_bins={n_bins}: view="{view}" bins every class by itself, and {n_bins:,} bins of {n_classes:,} classes '
            f"are more than {MAX_CELLS:,} cells. Take fewer bins."
        )


def check_level(level: object, *, option: str = "confidence_level") -> float | None:
    """Return a confidence level inside (0, 1), or None: no intervals."""
    return None if level is None else check_real(level, option=option, low=0.0, high=1.0)


def check_margin(margin: object, *, option: str = "margin") -> float | None:
    """Return a margin of equivalence above 0, or None: nothing is called equivalent."""
    return None if margin is None else check_real(margin, option=option, low=0.0, high=float("inf"))


def check_threads(threads: object, *, option: str = "threads") -> int | None:
    """Return a number of threads of at least 1, or None: chosen elsewhere."""
    return None if threads is None else check_int(threads, option=option, low=1)


def check_seed(seed: object, *, option: str = "seed") -> int:
    """Return a seed: a whole number of at least 0."""
    return check_int(seed, option=option, low=0)


def check_rng(rng: object, *, option: str = "rng") -> np.random.Generator:
    """Return a generator: the one given, or a new one from a seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(check_seed(rng, option=option))


def check_clip(clip: object, *, n_classes: int, smallest: float) -> float:
    """Return a lower bound for probabilities that k classes and the dtype can hold."""
    eps = check_real(clip, option="clip", low=0.0, high=1 / n_classes)
    if eps < smallest:
        raise OptionError(f"clip={clip!r} is lost in rounding here; the smallest that holds is {smallest:.3g}.")
    return eps
