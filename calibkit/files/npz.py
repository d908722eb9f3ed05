"""NumPy's .npy and .npz: headers first, never a pickle, no more bytes than the file can hold. Floor 2."""

import math
import warnings
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np

from calibkit.errors import InputFormatError, LimitError
from calibkit.files.contents import AnyArray, Batches, Contents, Entry, Look, Wanted, shown
from calibkit.files.header import HEADER_KEY, parsed_header
from calibkit.files.source import Source
from calibkit.files.stepping import StoredRows, fill, in_step, read_rows, rows_at, rows_of

# Deflate cannot do better than 1032 to 1: a member that claims more is lying about one of its two sizes.
DEFLATE_RATIO = 1032


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

    def stream(wanted: Wanted, block_rows: int, _: Look | None) -> Batches:
        """Read the array block by block."""
        source.check_bytes(layout.n_bytes, what="the array")
        _check_layout(layout, available=source.size - layout.offset, where=source.shown)
        offset, shape, dtype, fortran = layout.offset, layout.shape, layout.dtype, layout.fortran
        rows = rows_at(source.file, offset, shape, dtype, fortran=fortran, where=source.shown)
        return in_step(dict.fromkeys(wanted, rows), block_rows)

    return Contents(format="npy", entries=(entry,), read=read, stream=stream, sole="array")


def npz_contents(source: Source) -> Contents:
    """The arrays of a zip archive of .npy members; other members are not arrays and are left alone."""
    archive = zipfile.ZipFile(source.file)
    members = _members(archive, source)
    arrays = {name: _Member.of(archive, member, f"{source.shown}:{shown(name)}") for name, member in members.items()}

    def check_size(wanted: Wanted) -> None:
        """Refuse what unpacks to too much."""
        source.check_bytes(sum(arrays[name].layout.n_bytes for name in wanted), what=", ".join(wanted))

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the members that are wanted."""
        check_size(wanted)
        return {name: arrays[name].values() for name in wanted}

    def stream(wanted: Wanted, block_rows: int, _: Look | None) -> Batches:
        """Read the members that are wanted in step, each to its end."""
        check_size(wanted)
        with ExitStack() as open_files:
            yield from in_step({name: arrays[name].rows(open_files) for name in wanted}, block_rows)

    header = None
    if HEADER_KEY in arrays:
        source.check_bytes(arrays[HEADER_KEY].layout.n_bytes, what=HEADER_KEY)
        header = parsed_header(arrays[HEADER_KEY].values(), where=source.shown)
    if header is not None and len(members) < len(archive.infolist()):
        raise InputFormatError(f"{source.shown}: holds members that calibkit does not write; it is damaged")
    entries = tuple(
        Entry(name=name, shape=array.layout.shape, dtype=_dtype_name(array.layout.dtype))
        for name, array in arrays.items()
        if header is None or name != HEADER_KEY
    )
    return Contents(format="npz", entries=entries, read=read, stream=stream, header=header)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One array of an archive."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    layout: _Layout
    where: str

    @classmethod
    def of(cls, archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> "_Member":
        """A member whose header has been read."""
        with archive.open(member) as file:
            return cls(archive=archive, member=member, layout=_layout(file, where), where=where)

    @property
    def available(self) -> int:
        """Bytes that follow the header."""
        return self.member.file_size - self.layout.offset

    def values(self) -> AnyArray:
        """Read the member to its end, so that its checksum is compared."""
        with self.archive.open(self.member) as file:
            file.read(self.layout.offset)
            values = _values(file, self.layout, available=self.available, where=self.where)
            file.read(1)
        return values

    def rows(self, open_files: ExitStack) -> StoredRows:
        """Rows, unpacked as they are asked for; in Fortran's order no row is complete before the end."""
        if self.layout.fortran and len(self.layout.shape) == 2:
            return rows_of(self.values())
        _check_layout(self.layout, available=self.available, where=self.where)
        file = open_files.enter_context(self.archive.open(self.member))
        file.read(self.layout.offset)

        def take(start: int, stop: int) -> AnyArray:
            """Read the next rows."""
            return read_rows(file, stop - start, self.layout.shape, self.layout.dtype, where=self.where)

        return StoredRows(n_rows=self.layout.shape[0], take=take, finish=lambda: file.read(1))


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


def _check_layout(layout: _Layout, *, available: int, where: str) -> None:
    """Compare what a header claims with what follows it."""
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


def _values(file: IO[bytes] | BinaryIO, layout: _Layout, *, available: int, where: str) -> AnyArray:
    """Read the values that follow a header."""
    _check_layout(layout, available=available, where=where)
    raw = np.empty(layout.n_bytes, dtype=np.uint8)
    fill(file, raw, where=where)
    flat = raw.view(layout.dtype)
    return flat.reshape(layout.shape[::-1]).T if layout.fortran else flat.reshape(layout.shape)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """Name a type as users write it."""
    return {"O": "object", "U": "text", "S": "bytes", "V": "void"}.get(dtype.kind, dtype.name)
