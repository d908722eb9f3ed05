"""Numbers as people read them: the one place where anything is rounded. Floor 4."""

import math
from typing import Any

Number = float | str | None


def format_number(value: Number, *, signed: bool = False, digits: int = 4) -> str:
    """A number with four significant digits, or as many as are asked for.

    Plain decimals between 0.0001 and a million, scientific notation outside; exact zero is ``0``.

    Parameters
    ----------
    value : float, str or None
        The number; "inf", "-inf" and "nan" as JSON writes them are accepted. None gives ``none``.
    signed : bool, default False
        Put ``+`` before a positive number.
    digits : int, default 4
        Significant digits.

    Returns
    -------
    str
        ASCII, so that any terminal prints it.

    Examples
    --------
    >>> format_number(0.0435432), format_number(12.5), format_number(-0.00003)
    ('0.04354', '12.50', '-3.000e-05')
    >>> format_number(0.0435432, signed=True), format_number("inf", signed=True)
    ('+0.04354', '+inf')
    >>> format_number(0.0435432, digits=2)
    '0.044'
    """
    if value is None:
        return "none"
    number = float(value)
    sign = "+" if signed else "-"
    if number == 0 or math.isnan(number):
        return "0" if number == 0 else "nan"
    if math.isinf(number):
        return f"{number:{sign}}"
    exponent = math.floor(math.log10(abs(float(f"{number:.{digits - 1}e}"))))
    if not -4 <= exponent < 6:
        return f"{number:{sign}.{digits - 1}e}"
    return f"{number:{sign}.{max(0, digits - 1 - exponent)}f}"


def format_interval(low: Number, high: Number, *, signed: bool = False) -> str:
    """An interval in square brackets, or ``none`` where no interval is given.

    Parameters
    ----------
    low, high : float, str or None
        Its ends.
    signed : bool, default False
        Put ``+`` before positive ends: for differences.

    Returns
    -------
    str
        ``[low, high]``, four significant digits each.

    Examples
    --------
    >>> format_interval(0.0389, 0.0474), format_interval(None, None)
    ('[0.03890, 0.04740]', 'none')
    """
    if low is None or high is None:
        return "none"
    return f"[{format_number(low, signed=signed)}, {format_number(high, signed=signed)}]"


def format_p(p_value: Number) -> str:
    """A p-value with its relation, to stand after the letter p.

    Parameters
    ----------
    p_value : float, str or None
        In [0, 1]; None gives ``none``.

    Returns
    -------
    str
        Three decimals after ``=``, or ``< 0.001``.

    Examples
    --------
    >>> f"p {format_p(0.0412)}", f"p {format_p(2e-9)}"
    ('p = 0.041', 'p < 0.001')
    """
    if p_value is None:
        return "none"
    number = float(p_value)
    if math.isnan(number):
        return "= nan"
    return "< 0.001" if number < 0.001 else f"= {number:.3f}"


def format_percent(level: float) -> str:
    """A confidence level as a percentage.

    Parameters
    ----------
    level : float
        In (0, 1).

    Returns
    -------
    str
        Without trailing zeros.

    Examples
    --------
    >>> format_percent(0.95), format_percent(0.999)
    ('95%', '99.9%')
    """
    return f"{100 * level:.10g}%"


def plain_number(value: Any) -> Number:
    """A number as strict JSON can hold it.

    Parameters
    ----------
    value : float or None
        Any real number, NumPy scalars included.

    Returns
    -------
    float, str or None
        None stays None; non-finite numbers become "inf", "-inf" or "nan".

    Examples
    --------
    >>> plain_number(0.25), plain_number(float("-inf")), plain_number(None)
    (0.25, '-inf', None)
    """
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else str(number)
