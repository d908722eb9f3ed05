"""Fitted numbers, to plain JSON and back: shapes and values are checked on the way in. Floor 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibkit._numerics import Floats
from calibkit.errors import InputFormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a fitted attribute is: an array of these sizes, or a list of vectors of any lengths.

    A size is a number, "k" (classes) or "maps" (one-versus-rest maps). ``ragged`` says that there is one vector for
    each entry of the last size; ``optional``, that the attribute may be None.
    """

    sizes: tuple[int | str, ...] = ()
    ragged: bool = False
    optional: bool = False


Fitted = float | Floats | list[Floats] | tuple[float, float] | None


def to_plain(value: Fitted) -> Any:
    """Write a fitted number, array or list of arrays as JSON would."""
    if isinstance(value, list | tuple):
        return [vector.tolist() if isinstance(vector, np.ndarray) else vector for vector in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def from_plain(plain: Any, shape: Shape, *, n_classes: int, n_maps: int, where: str) -> Fitted:
    """Read a fitted number or array, which must be finite and of the shape that the classes ask for."""
    if plain is None and shape.optional:
        return None
    known: Mapping[int | str, int] = {"k": n_classes, "maps": n_maps}
    sizes = tuple(known.get(size, size) for size in shape.sizes)
    if shape.ragged:
        if not isinstance(plain, list) or len(plain) != sizes[0]:
            raise InputFormatError(f"{where}: expected {sizes[0]} lists of numbers")
        return [_array(vector, where, n_dims=1) for vector in plain]
    array = _array(plain, where, n_dims=len(sizes))
    if array.shape != sizes:
        raise InputFormatError(f"{where}: has shape {array.shape}; expected {sizes}")
    return array if sizes else float(array)


def _array(plain: Any, where: str, *, n_dims: int) -> Floats:
    """Finite numbers, nested as deep as they should be."""
    try:
        _refuse_others(plain, n_dims)
        array = np.array(plain, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputFormatError(f"{where}: is not the numbers that it should be") from error
    if not np.isfinite(array).all():
        raise InputFormatError(f"{where}: holds a number that is not finite")
    return array


def _refuse_others(plain: Any, n_dims: int) -> None:
    """Raise unless there are numbers, and nothing else, this deep."""
    if n_dims == 0:
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            raise TypeError
        return
    if not isinstance(plain, list):
        raise TypeError
    for part in plain:
        _refuse_others(part, n_dims - 1)
