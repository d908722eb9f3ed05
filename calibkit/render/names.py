"""Text from outside made harmless to show: control characters, escapes, text direction, length. Floor 4."""

import unicodedata

# Joiners are format characters too, but scripts and emoji need them and they move nothing.
_JOINERS = "\u200c\u200d"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

NAME_LENGTH = 200
SENTENCE_LENGTH = 2000


def sanitise(text: str, *, limit: int = NAME_LENGTH) -> str:
    r"""Text of a file or user, safe to print: every control character is shown as U+XXXX.

    Terminal escapes, NUL, line breaks, right-to-left overrides and lone surrogates lose their power and stay
    visible.

    Parameters
    ----------
    text : str
        A name, a note, a sentence that holds names.
    limit : int, default 200
        Longest result; longer text ends in an ellipsis.

    Returns
    -------
    str
        One line that can be encoded as UTF-8.

    Examples
    --------
    >>> sanitise("run\x1b[31m 7"), sanitise("abcdef", limit=4)
    ('runU+001B[31m 7', 'abc…')
    """
    # The cut comes first: a name of a megabyte is not worth reading to its end.
    shown = "".join(_visible(character) for character in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _visible(character: str) -> str:
    """The character, or its code point where it would act instead of show."""
    hidden = unicodedata.category(character) in _HIDDEN and character not in _JOINERS
    return f"U+{ord(character):04X}" if hidden else character
