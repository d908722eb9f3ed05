"""Figures to files: PNG, SVG or PDF, whole or not at all, the same bytes each time. Floor 4."""

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from calibkit.errors import OptionError
from calibkit.files.atomic import atomic_write
from calibkit.render import sanitise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
# Dates would make equal figures differ in bytes.
_METADATA: Mapping[str, Mapping[str, str | None]] = MappingProxyType(
    {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
)


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF, chosen by the path's extension.

    Equal figures give equal bytes. An existing file is replaced at once when the new one is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From `reliability_figure`, `comparison_figure`, or ``ax.figure``.
    path : path-like
        Ends in ``.png`` (200 dots per inch), ``.svg`` or ``.pdf`` (text stays text: TrueType, as journals ask).

    Raises
    ------
    OptionError
        If the extension is none of the three.
    OutputError
        If the file cannot be written; what stood there before is untouched.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> save_figure(Figure(), "reliability.jpg")
    Traceback (most recent call last):
    calibkit.errors.OptionError: reliability.jpg: figures are written as .png, .svg or .pdf; end the name so
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in _METADATA:
        raise OptionError(f"{sanitise(str(path))}: figures are written as .png, .svg or .pdf; end the name so")
    content = _encoded(figure, kind)
    with atomic_write(path) as file:
        file.write(content)


def _encoded(figure: "Figure", kind: str) -> bytes:
    """The figure's file, in memory."""
    import matplotlib as mpl

    # Only while this figure is written: element ids that repeat, fonts that publishers accept, and the figure's own
    # size and colour whatever the reader's style says.
    with mpl.rc_context(
        {"svg.hashsalt": "calibkit", "pdf.fonttype": 42, "savefig.bbox": "standard", "savefig.facecolor": "auto"}
    ):
        stream = BytesIO()
        figure.savefig(stream, format=kind, dpi=DPI, metadata=dict(_METADATA[kind]))
    return stream.getvalue()
