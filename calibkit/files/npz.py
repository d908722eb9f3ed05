"""NumPy's .npy and .npz: headers first, never a pickle, no more bytes than the file can hold. Floor 2."""

import math
import warnings
import zipfile
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np

from calibkit.errors import InputFormatError, LimitError
from calibkit.files.contents import AnyArray, Contents, Entry, Wanted, shown
from calibkit.files.header import HEADER_KEY, parsed_header
from calibkit.files.source import Source

# Deflate cannot do better than 1032 to 1: a member that claims more is lying about one of its two sizes.
DEFLATE_RATIO = 1032
CHUNK = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """What a .npy header says: shape, order, dtype, and where the values begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def n_bytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def npy_contents(source: Source) -> Contents:
    """One array; its name is the file's stem, and ``array``."""
    layout = _layout(source.file, f"{source.shown}")
    entry = Entry(name=source.stem, shape=layout.shape, dtype=_dtype_name(layout.dtype))

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the array."""
        source.check_bytes(layout.n_bytes, what="the array")
        source.file.seek(layout.offset)
        values = _values(source.file, layout, available=source.size - layout.offset, where=source.shown)
        return dict.fromkeys(wanted, values)

    return Contents(format="npy", entries=(entry,), read=read, sole="array")


def npz_contents(source: Source) -> Contents:
    """The arrays of a zip archive of .npy members; other members are not arrays and are left alone."""
    archive = zipfile.ZipFile(source.file)
    members = _members(archive, source)
    layouts = {}
    for name, member in members.items():
        with archive.open(member) as file:
            layouts[name] = _layout(file, f"{source.shown}:{shown(name)}")

    def read_one(name: str) -> AnyArray:
        """Read one member to its end, so that its checksum is compared."""
        where, layout, member = f"{source.shown}:{shown(name)}", layouts[name], members[name]
        with archive.open(member) as file:
            file.read(layout.offset)
            values = _values(file, layout, available=member.file_size - layout.offset, where=where)
            file.read(1)
        return values

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the members that are wanted."""
        source.check_bytes(sum(layouts[name].n_bytes for name in wanted), what=", ".join(wanted))
        return {name: read_one(name) for name in wanted}

    header = None
    if HEADER_KEY in layouts:
        source.check_bytes(layouts[HEADER_KEY].n_bytes, what=HEADER_KEY)
        header = parsed_header(read_one(HEADER_KEY), where=source.shown)
    if header is not None and len(members) < len(archive.infolist()):
        raise InputFormatError(f"{source.shown}: holds members that calibkit does not write; it is damaged")
    entries = tuple(
        Entry(name=name, shape=layout.shape, dtype=_dtype_name(layout.dtype))
        for name, layout in layouts.items()
        if header is None or name != HEADER_KEY
    )
    return Contents(format="npz", entries=entries, read=read, header=header)


def _members(archive: zipfile.ZipFile, source: Source) -> dict[str, zipfile.ZipInfo]:
    """The .npy members by array name, checked for what a zip bomb needs."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.comment:  # one wrong bit in its length, and it swallows the members that follow
            raise InputFormatError(f"{source.shown}: a member has a comment, which np.savez does not write: damaged")
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            archive.open(member).close()  # fails where the name is damaged: an array would be missed
            continue
        where = f"{source.shown}:{shown(name)}"
        if name in members:
            raise InputFormatError(f"{where}: the archive holds two arrays of this name")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputFormatError(f"{where}: compressed by a method that np.savez does not use")
        ratio = DEFLATE_RATIO if member.compress_type == zipfile.ZIP_DEFLATED else 1
        if member.compress_size > source.size or member.file_size > ratio * (member.compress_size + 1):
            raise LimitError(
                f"{where}: claims {member.file_size:,} bytes, which {member.compress_size:,} stored bytes in a file "
                f"of {source.size:,} cannot hold; the file is damaged, or made to exhaust memory"
            )
        members[name] = member
    return members


def _layout(file: IO[bytes], where: str) -> _Layout:
    """Parse a .npy header; NumPy limits its length and evaluates literals only."""
    counted = _Counted(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote, which are read all the same
            version = np.lib.format.read_magic(counted)
            parse = _PARSERS.get(version)
            if parse is None:
                raise InputFormatError(f"{where}: .npy version {version} holds structured records, not an array")
            shape, fortran, dtype = parse(counted)
    except InputFormatError:
        raise
    except Exception as error:  # literal_eval and dtype() raise a dozen types
        raise InputFormatError(f"{where}: the header of the array is damaged ({type(error).__name__})") from error
    if any(size < 0 for size in shape):
        raise InputFormatError(f"{where}: the header claims the shape {shape}")
    return _Layout(shape=shape, fortran=fortran, dtype=dtype, offset=counted.n_read)


_PARSERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class _Counted:
    """A file that counts what is read from it: a member of an archive cannot always tell."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.n_read = 0

    def read(self, n_bytes: int = -1, /) -> bytes:
        """Read and count."""
        data = self.file.read(n_bytes)
        self.n_read += len(data)
        return data


def _values(file: IO[bytes] | BinaryIO, layout: _Layout, *, available: int, where: str) -> AnyArray:
    """Read the values that follow a header, having compared what it claims with what there is."""
    dtype = layout.dtype
    if dtype.hasobject:
        raise InputFormatError(
            f"{where}: holds Python objects (a pickle), which are never loaded. Where you trust the file, save it "
            "again as numbers or text: array.astype(float), array.astype(str)."
        )
    if dtype.kind == "V" or dtype.itemsize == 0:
        raise InputFormatError(f"{where}: holds {_dtype_name(dtype)}, which is not an array of numbers or text")
    if layout.n_bytes > available:
        raise LimitError(
            f"{where}: the header claims {layout.n_bytes:,} bytes of values and only {available:,} follow: truncated "
            f"at byte {layout.offset + available:,}, or damaged"
        )
    if layout.n_bytes < available:
        raise InputFormatError(f"{where}: {available - layout.n_bytes:,} bytes follow the array; which is meant?")
    raw = np.empty(layout.n_bytes, dtype=np.uint8)
    _fill(file, raw, where=where)
    flat = raw.view(dtype)
    return flat.reshape(layout.shape[::-1]).T if layout.fortran else flat.reshape(layout.shape)


def _fill(file: IO[bytes] | BinaryIO, raw: AnyArray, *, where: str) -> None:
    """Fill a buffer from a file, to its end."""
    view, done = raw.data, 0
    while done < len(view):
        n_read = file.readinto(view[done : done + CHUNK])  # type: ignore[union-attr]
        if not n_read:
            raise InputFormatError(f"{where}: truncated, {len(view) - done:,} bytes of values are missing")
        done += n_read


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """Name a type as users write it."""
    return {"O": "object", "U": "text", "S": "bytes", "V": "void"}.get(dtype.kind, dtype.name)
