"""From paths, patterns and URLs to the files that they name, each once. Floor 2."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from calibkit.errors import DataError, InputFormatError
from calibkit.files.contents import shown
from calibkit.files.source import AnyPath
from calibkit.files.urls import is_url, matching_urls, without_secrets

Paths = AnyPath | Iterable[AnyPath]


def expand(paths: Paths, *, allow_duplicates: bool = False) -> tuple[str, ...]:
    """The files that paths, patterns and URLs name.

    Parameters
    ----------
    paths : path-like, or several
        Paths and URLs are kept in their order. A pattern with ``*``, ``?`` or ``[...]`` that is no file's name stands
        for all files that match it, in the order of their names; ``**`` matches folders of any depth.
    allow_duplicates : bool, default False
        Whether a file may be named twice.

    Returns
    -------
    tuple of str
        At least one.

    Raises
    ------
    InputFormatError
        If a pattern matches nothing, or there are no paths.
    DataError
        If a file is named twice, by whatever path.
    """
    given = [paths] if isinstance(paths, str | bytes | os.PathLike) else [*paths]
    names = [name for path in given for name in _matching(os.fsdecode(path))]
    if not names:
        raise InputFormatError("no files are given")
    if not allow_duplicates:
        refuse_same_files(names)
    return tuple(names)


def refuse_same_files(names: Iterable[str]) -> None:
    """Raise if two names are those of one file."""
    seen: dict[object, str] = {}
    for name in names:
        identity = _identity(name)
        if identity in seen:
            first = seen[identity]
            also = "" if first == name else f", also as {shown(without_secrets(first))}"
            raise DataError(
                f"{shown(without_secrets(name))}: is given twice{also}; each of its rows would count twice. If that is "
                "meant, pass allow_duplicates=True."
            )
        seen[identity] = name


def _matching(name: str) -> list[str]:
    """A name, or the files that match it if it is a pattern."""
    if re.search(r"[*?\[]", name.partition("?")[0] if is_url(name) else name) is None or os.path.lexists(name):
        return [name]
    if is_url(name):
        found = matching_urls(name)
    else:
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        raise InputFormatError(f"{shown(without_secrets(name))}: no file matches")
    return found


def _identity(name: str) -> object:
    """What two names of one file have in common."""
    try:
        status = Path(name).stat()
    except (OSError, ValueError):
        return name
    return status.st_dev, status.st_ino
