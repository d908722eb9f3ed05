"""Safetensors, read without its library: a JSON header and the bytes of the tensors. Floor 2.

The format is eight bytes (the header's length), a JSON object ``{name: {dtype, shape, data_offsets}}``, and data.
Reading it here refuses a key that occurs twice, which the library does not, and gives bfloat16 to NumPy.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibkit._checks import as_float32
from calibkit.errors import InputFormatError, LimitError
from calibkit.files.contents import AnyArray, Batches, Contents, Entry, Look, Wanted, shown
from calibkit.files.source import Source
from calibkit.files.stepping import StoredRows, in_step, rows_at
from calibkit.files.strict_json import strict_json

MAX_HEADER = 100_000_000  # the library's own limit

_SIZES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1, "C64": 8},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1},
}
_NAMES = {"BF16": "bfloat16", "BOOL": "bool", "F64": "float64", "F32": "float32", "F16": "float16"} | {
    f"{letter}{bits}": f"{word}{bits}" for letter, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """One tensor: its stored type, shape, and place in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def safetensors_contents(source: Source) -> Contents:
    """The tensors of a safetensors file."""
    tensors = _tensors(source)

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the tensors that are wanted, bfloat16 as float32."""
        source.check_bytes(sum(tensors[n].end - tensors[n].begin for n in wanted), what=", ".join(wanted))
        return {name: _values(source, name, tensors[name]) for name in wanted}

    def stream(wanted: Wanted, block_rows: int, _: Look | None) -> Batches:
        """Read the tensors that are wanted in step, bfloat16 as float32."""
        source.check_bytes(sum(tensors[n].end - tensors[n].begin for n in wanted), what=", ".join(wanted))
        return in_step({name: _rows(source, name, tensors[name]) for name in wanted}, block_rows)

    entries = tuple(
        Entry(name=name, shape=tensor.shape, dtype=_NAMES.get(tensor.dtype, tensor.dtype))
        for name, tensor in tensors.items()
    )
    return Contents(format="safetensors", entries=entries, read=read, stream=stream)


def _tensors(source: Source) -> dict[str, _Tensor]:
    """Parse the header and hold it against the file's size."""
    length = int.from_bytes(source.file.read(8), "little")
    if length > min(MAX_HEADER, source.size - 8):
        raise LimitError(f"{source.shown}: claims a header of {length:,} bytes in a file of {source.size:,}")
    try:
        header = strict_json(source.file.read(length))
    except ValueError as error:
        raise InputFormatError(f"{source.shown}: the header is damaged: {error}") from error
    if not isinstance(header, dict):
        raise InputFormatError(f"{source.shown}: the header is not a JSON object")
    header.pop("__metadata__", None)
    tensors = {name: _tensor(source, name, fields, start=8 + length) for name, fields in header.items()}
    _check_cover(source, tensors, start=8 + length)
    return tensors


def _tensor(source: Source, name: str, fields: Any, *, start: int) -> _Tensor:
    """Check one tensor's claims: known type, a shape that fits its bytes, bytes inside the file."""
    where = f"{source.shown}:{shown(name)}"
    try:
        dtype, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
        size = _SIZES[dtype]
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        raise InputFormatError(f"{where}: the header is damaged or of an unknown type ({error})") from error
    if not whole or end - begin != math.prod(shape) * size:
        raise InputFormatError(f"{where}: the header's shape {shape} does not fit its {end} - {begin} bytes")
    if start + end > source.size:
        raise LimitError(f"{where}: ends at byte {start + end:,} of a file of {source.size:,}: truncated, or damaged")
    return _Tensor(dtype=dtype, shape=shape, begin=start + begin, end=start + end)


def _check_cover(source: Source, tensors: Mapping[str, _Tensor], *, start: int) -> None:
    """The tensors follow each other to the end of the file: no gap, no overlap, nothing after them."""
    position = start
    for tensor in sorted(tensors.values(), key=lambda t: (t.begin, t.end)):
        if tensor.begin != position:
            raise InputFormatError(f"{source.shown}: the tensors overlap or leave a gap at byte {position:,}")
        position = tensor.end
    if position != source.size:
        raise InputFormatError(f"{source.shown}: {source.size - position:,} bytes follow the last tensor")


def _values(source: Source, name: str, tensor: _Tensor) -> AnyArray:
    """Read one tensor."""
    dtype = _stored_dtype(source, name, tensor)
    source.file.seek(tensor.begin)
    raw = np.empty(tensor.end - tensor.begin, dtype=np.uint8)
    if source.file.readinto(raw) != raw.size:  # type: ignore[attr-defined]
        raise InputFormatError(f"{source.shown}:{shown(name)}: truncated")
    values = raw.view(dtype).reshape(tensor.shape)
    return as_float32(values) if tensor.dtype == "BF16" else values


def _rows(source: Source, name: str, tensor: _Tensor) -> StoredRows:
    """Rows of one tensor."""
    where, dtype = f"{source.shown}:{shown(name)}", _stored_dtype(source, name, tensor)
    rows = rows_at(source.file, tensor.begin, tensor.shape, dtype, where=where)
    if tensor.dtype != "BF16":
        return rows
    return replace(rows, take=lambda start, stop: as_float32(rows.take(start, stop)))


def _stored_dtype(source: Source, name: str, tensor: _Tensor) -> np.dtype[Any]:
    """The type in which the numbers stand in the file; that of bfloat16 is its 16 bits."""
    if tensor.dtype not in _NAMES:
        raise InputFormatError(f"{source.shown}:{shown(name)}: {tensor.dtype} values; save them as float32")
    return np.dtype("<u2") if tensor.dtype == "BF16" else np.dtype(_NAMES[tensor.dtype]).newbyteorder("<")
