"""Sizes of memory and files, as people write them."""

import re

import click

_UNITS: dict[str, int] = {
    "": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t"))},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate(("k", "m", "g", "t"), start=1)},
}
_SIZE = re.compile(r"(\d{1,30}(?:\.\d*)?)\s*([a-z]*)")


def number_of_bytes(_context: click.Context | None, _option: click.Parameter | None, value: str | None) -> int | None:
    """Bytes from text such as 500000000, 500MB or 4GiB.

    Examples
    --------
    >>> [number_of_bytes(None, None, text) for text in ("4GiB", "1.5 MB", "12")]
    [4294967296, 1500000, 12]
    """
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise click.BadParameter(f"{value!r} is no size: give a number of bytes, or such as 500MB or 4GiB.")
    return round(float(found[1]) * _UNITS[found[2]])
