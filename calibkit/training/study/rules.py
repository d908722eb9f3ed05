"""The written rules of a study: from an interval to one of four words, and to a sentence. Annex: training.

Pure functions. The page prints the same rules in words.
"""

from collections.abc import Sequence
from typing import Literal

from calibkit.render import format_interval, format_number
from calibkit.training.study.effects import LEVEL, Effect

Verdict = Literal["supported", "not supported", "opposite", "unclear"]

SUPPORTED: Verdict = "supported"
NOT_SUPPORTED: Verdict = "not supported"
OPPOSITE: Verdict = "opposite"
UNCLEAR: Verdict = "unclear"


def directed(effect: Effect, *, sign: int, margin: float) -> Verdict:
    """A claim that something rises (sign 1) or falls (-1).

    Supported or opposite if the interval excludes 0 on that side; not supported if it holds 0 and excludes an effect
    of the margin in the claimed direction; else unclear.

    Examples
    --------
    >>> directed(Effect(value=0.02, low=0.01, high=0.03, n=9), sign=1, margin=0.01)
    'supported'
    >>> directed(Effect(value=0.0, low=-0.004, high=0.004, n=9), sign=1, margin=0.01)
    'not supported'
    """
    if effect.low is None or effect.high is None:
        return UNCLEAR
    low, high = (effect.low, effect.high) if sign > 0 else (-effect.high, -effect.low)
    if low > 0:
        return SUPPORTED
    if high < 0:
        return OPPOSITE
    return NOT_SUPPORTED if high < margin else UNCLEAR


def little(effect: Effect, *, margin: float) -> Verdict:
    """A claim that something hardly changes: supported if the interval is within the margin, opposite if outside.

    Examples
    --------
    >>> little(Effect(value=0.001, low=-0.002, high=0.004, n=9), margin=0.01)
    'supported'
    """
    if effect.low is None or effect.high is None:
        return UNCLEAR
    if -margin < effect.low and effect.high < margin:
        return SUPPORTED
    return OPPOSITE if effect.low > margin or effect.high < -margin else UNCLEAR


def at_most(effect: Effect, *, sign: int, margin: float) -> Verdict:
    """A claim that something gains little: harm counts as no gain.

    Supported if the interval excludes a gain of the margin, opposite if it holds only larger ones.

    Examples
    --------
    >>> at_most(Effect(value=-0.05, low=-0.06, high=-0.04, n=9), sign=1, margin=0.01)
    'supported'
    """
    if effect.low is None or effect.high is None:
        return UNCLEAR
    low, high = (effect.low, effect.high) if sign > 0 else (-effect.high, -effect.low)
    if high < margin:
        return SUPPORTED
    return OPPOSITE if low > margin else UNCLEAR


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """A claim of several parts: what all parts say; not supported if one part fails; else unclear.

    Examples
    --------
    >>> all_of(["supported", "opposite"]), all_of(["supported", "unclear"]), all_of(["opposite", "opposite"])
    ('not supported', 'unclear', 'opposite')
    """
    if not verdicts:
        return UNCLEAR
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return NOT_SUPPORTED if {NOT_SUPPORTED, OPPOSITE} & set(verdicts) else UNCLEAR


def sentence(measure: str, effect: Effect) -> str:
    """What the interval of a difference says of a measure.

    Examples
    --------
    >>> sentence("ECE", Effect(value=0.02, low=0.01, high=0.03, n=9))
    'ECE is higher by 0.02000 [0.01000, 0.03000]'
    >>> sentence("ECE", Effect(value=0.001, low=-0.002, high=0.004, n=9))
    'no difference in ECE was detected (-0.002000 to 0.004000)'
    """
    if effect.low is None or effect.high is None:
        why = "they agree exactly" if effect.n > 1 else "too few"
        return f"{measure}: {effect.n} seeds define it, {why}: no interval"
    if not effect.excludes_zero:
        return f"no difference in {measure} was detected ({format_number(effect.low)} to {format_number(effect.high)})"
    ends = sorted((abs(effect.low), abs(effect.high)))
    side = "higher" if effect.value > 0 else "lower"
    return f"{measure} is {side} by {format_number(abs(effect.value))} {format_interval(*ends)}"


def confidence_state(gap: Effect) -> str:
    """What the mean gap over seeds says of a method: over-, under-confident, or neither detected.

    Examples
    --------
    >>> confidence_state(Effect(value=-0.1, low=-0.12, high=-0.08, n=9))
    'under-confident'
    """
    if not gap.excludes_zero:
        return "neither over- nor under-confident on average, as far as was detected"
    return "over-confident" if gap.value > 0 else "under-confident"


def supports_words() -> tuple[str, ...]:
    """The rules in words, for the page."""
    level = f"{100 * LEVEL:g} %"
    return (
        f"An effect is the mean over seeds of a paired difference, with its {level} t interval; "
        "where the seeds are skewed, its end on the side of the long tail moves out (docs/conventions.md).",
        "A claim that a measure rises or falls is **supported** if the interval lies on that side of 0, **opposite** "
        "if it lies on the other; **not supported** if it holds 0 and excludes a change of the claimed kind as large "
        "as the margin; else **unclear**.",
        "A claim of little effect is **supported** if the interval lies within the margin on both sides, **opposite** "
        "if it lies outside; else **unclear**. A claim that little is gained asks this of gains alone: harm is no "
        "gain.",
        "A claim of several parts takes the verdict that all parts share. If they differ it is **not supported** if "
        "any part is not supported or opposite, else **unclear**.",
    )
