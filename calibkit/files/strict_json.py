"""JSON as its standard has it: no NaN, no key twice, no nesting without end. Floor 2."""

import json
from typing import Any, NoReturn


def strict_json(text: bytes | str) -> Any:
    """Parse JSON, or raise a ValueError that says what is wrong.

    Examples
    --------
    >>> strict_json('{"labels": 1}')
    {'labels': 1}
    >>> strict_json('{"labels": 1, "labels": 2}')
    Traceback (most recent call last):
        ...
    ValueError: the key 'labels' occurs twice
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None


def _refuse_constant(token: str) -> NoReturn:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{token} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make the dictionary of an object, whose keys must differ."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} occurs twice")
        result[key] = value
    return result
