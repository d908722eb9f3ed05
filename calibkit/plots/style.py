"""Colours, marks and type sizes that survive print, a paper's column, and colour-blind eyes. Floor 4."""

import re
from bisect import bisect_right
from functools import cache
from typing import Literal

from calibkit.render import sanitise

# Okabe & Ito 2008, "Color universal design": told apart with any common colour blindness, and by lightness.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, BLACK = "#CC79A7", "#E69F00", "#56B4E9", "#000000"
MODEL_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

OVER_FILL, UNDER_FILL = "#FBE0CC", "#CCE3F0"
INK, GREY, PALE, SHADE, BAND = "#222222", "#666666", "#D5D5D5", "#EEF4F1", "#E4E4E4"
TRUE_BAND = "#CDE9DF"  # a pale GREEN: it is about the curve

# Points. Nothing is smaller than 7: figures are drawn at the width of a paper's column or page.
LARGE, TITLE, TEXT, SMALL = 10.0, 9.0, 8.0, 7.0
COLUMN, PAGE = 3.3, 6.75  # inches

NAME_SHOWN = 60
_TIE = "\N{NO-BREAK SPACE}"

Weight = Literal["normal", "bold"]


def model_style(number: int) -> tuple[str, str]:
    """Colour and marker of a model; marker and colour drift apart after seven, so that none is repeated early."""
    turn, place = divmod(number, len(MODEL_COLOURS))
    return MODEL_COLOURS[place], MARKERS[(place + turn) % len(MARKERS)]


def shown_name(name: str, *, limit: int = NAME_SHOWN) -> str:
    """A model's name as a figure can show it: harmless, of bearable length, in letters that the font has."""
    text = drawable(name)
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def drawable(text: str) -> str:
    """A text that holds names: harmless, and in letters that the font has."""
    return "".join(map(_letter, sanitise(text)))


@cache
def _letter(character: str) -> str:
    """The character, or its code point where the configured font has no glyph for it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    # NAME_SHOWN characters must not warn once per letter at every drawing.
    known = get_font(findfont(FontProperties())).get_char_index(ord(character)) != 0
    return character if known else f"U+{ord(character):04X}"


def minus_signs(text: str) -> str:
    """A text whose numbers have the minus sign that axis labels use; hyphens within words stay."""
    return re.sub(r"(?<!\w)-(?=\d|inf)", "\N{MINUS SIGN}", text)


def text_width(text: str, *, size: float, weight: Weight = "normal") -> float:
    """Width of one line in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def unbroken(text: str) -> str:
    """A text that `fold` keeps on one line if it can."""
    return text.replace(" ", _TIE)


def fold(text: str, width: float, *, size: float, weight: Weight = "normal") -> list[str]:
    """A text in lines of at most so many points, broken after spaces, else after punctuation, else anywhere."""
    lines: list[str] = []
    rest = text
    while text_width(rest, size=size, weight=weight) > width and len(rest) > 1:
        lengths = range(1, len(rest))
        fits = bisect_right(lengths, width, key=lambda length: text_width(rest[:length], size=size, weight=weight))
        cut = _break_point(rest, max(1, fits))
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [line.replace(_TIE, " ") for line in (*lines, rest)]


def _break_point(text: str, fits: int) -> int:
    """Where to break a text of which so many characters fit."""
    if text[fits] == " ":
        return fits
    after_space = text[:fits].rfind(" ") + 1
    after_mark = max(text[:fits].rfind(mark) for mark in "_-/.,:;") + 1
    if after_space > 0:
        return after_space
    # A mark near the beginning would leave a stub of a line.
    return after_mark if after_mark > fits // 2 else fits
