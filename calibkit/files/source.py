"""Opens what is to be read: a regular file, a pipe or standard input, watched until it has been read. Floor 2."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from calibkit.errors import CalibkitError, DataError, InputFormatError, LimitError
from calibkit.files.contents import shown
from calibkit.files.urls import is_url, open_url, place_of, reason

DEFAULT_MAX_BYTES = 16 * 2**30
# Real predictions are hardly ever packed this tight; archives made to exhaust memory are.
LIKELY_RATIO = 100
HARMLESS_BYTES = 2**30
CHUNK = 1 << 20
_CHANGED = "while it was read"

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An open file, seekable, with what messages call it and the most that may be unpacked from it.

    ``by_block`` says that it will be read block by block, so that its values need no room; ``remote`` that it has no
    path on this machine.
    """

    path: str
    file: BinaryIO
    size: int
    max_bytes: int
    streamed: bool = False
    by_block: bool = False
    remote: bool = False

    @property
    def shown(self) -> str:
        """The path as messages show it."""
        return shown(self.path)

    @property
    def stem(self) -> str:
        """The file's name without its extension; ``stdin`` for standard input."""
        return "stdin" if self.path == "-" else Path(place_of(self.path)).stem

    @property
    def suffix(self) -> str:
        """The extension, in lower case, with its dot."""
        return Path(place_of(self.path)).suffix.lower()

    def start(self, n_bytes: int) -> bytes:
        """Return the first bytes, and go back to the beginning."""
        self.file.seek(0)
        first = self.file.read(n_bytes)
        self.file.seek(0)
        return first

    def check_bytes(self, n_bytes: int, *, what: str) -> None:
        """Refuse, before it is made room for, what is larger than the limit."""
        if n_bytes > self.max_bytes:
            raise LimitError(
                f"{self.shown}: {shown(what)} unpacks to {n_bytes:,} bytes, more than the limit of "
                f"{self.max_bytes:,}. If that is what it should hold, pass max_bytes={n_bytes}."
            )


@contextmanager
def open_source(path: AnyPath, *, max_bytes: int | None = None, by_block: bool = False) -> Iterator[Source]:
    """Open a path or URL; ``"-"`` and pipes are read to their end first, directories and devices are refused."""
    limit = DEFAULT_MAX_BYTES if max_bytes is None else max_bytes
    name = os.fsdecode(path)
    if name == "-":
        yield _streamed(name, _standard_input(), limit)
        return
    if is_url(name):
        with _opened_url(name, max_bytes, by_block=by_block) as source:
            yield source
        return
    with _opened(name) as file:
        before = os.fstat(file.fileno())
        if stat.S_ISFIFO(before.st_mode):
            yield _streamed(name, file, limit)
            return
        if before.st_size == 0:
            raise InputFormatError(f"{shown(name)}: the file is empty (0 bytes)")
        try:
            most = _limit(max_bytes, before.st_size, by_block=by_block)
            yield Source(path=name, file=file, size=before.st_size, max_bytes=most, by_block=by_block)
        except CalibkitError:
            _check_unchanged(name, before)  # a file that is still being written looks broken: say the cause
            raise
        _check_unchanged(name, before)


@contextmanager
def _opened_url(url: str, max_bytes: int | None, *, by_block: bool) -> Iterator[Source]:
    """Open a URL; one whose length is not known is read to its end first."""
    remote = open_url(url)
    with remote.file as file:
        if remote.size is None:
            yield _streamed(remote.name, file, DEFAULT_MAX_BYTES if max_bytes is None else max_bytes)
            return
        if remote.size == 0:
            raise InputFormatError(f"{shown(remote.name)}: the file is empty (0 bytes)")
        size, most = remote.size, _limit(max_bytes, remote.size, by_block=by_block)
        before = remote.mark()
        yield Source(path=remote.name, file=file, size=size, max_bytes=most, by_block=by_block, remote=True)
        if remote.mark() != before:
            raise DataError(f"{shown(remote.name)}: changed {_CHANGED}; read it again once it is complete")


def _limit(max_bytes: int | None, size: int, *, by_block: bool) -> int:
    """Bytes that may be unpacked: those asked for, else no more than a file of this size is likely to hold."""
    if max_bytes is not None:
        return max_bytes
    likely = max(HARMLESS_BYTES, LIKELY_RATIO * size)
    return likely if by_block else min(DEFAULT_MAX_BYTES, likely)


@contextmanager
def naming_causes(source: Source, format_name: str) -> Iterator[None]:
    """Turn whatever a reader raises on a broken file into an error that names the file and the cause."""
    try:
        yield
    except CalibkitError:
        raise
    except MemoryError as error:
        raise LimitError(f"{source.shown}: this {format_name} needs more memory than there is") from error
    # Readers of hostile files leak dozens of types (tokenize.TokenError, zlib.error, struct.error, ArrowInvalid,
    # SafetensorError, ...), and the list changes with their versions; only the readers run in here.
    except Exception as error:
        cause, what = shown((str(error).strip() or "no reason given").splitlines()[0]), "damaged or truncated"
        if source.remote:
            cause, what = reason(error, source.path), "damaged, truncated or no longer served"
        raise InputFormatError(
            f"{source.shown}: cannot be read as {format_name}, it is {what} ({type(error).__name__}: {cause})"
        ) from error


def _opened(name: str) -> BinaryIO:
    """Open a regular file or a pipe for reading."""
    try:
        mode = Path(name).stat().st_mode  # asked first: merely opening a device can act
        if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
            return Path(name).open("rb")
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise InputFormatError(f"{shown(name)}: cannot be opened: {reason}") from error
    if stat.S_ISDIR(mode):
        raise InputFormatError(f"{shown(name)}: is a folder; give the file in it that holds the predictions")
    raise InputFormatError(f"{shown(name)}: is a device or socket, not a file")


def _standard_input() -> BinaryIO:
    """The bytes of standard input."""
    stream: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise InputFormatError("standard input: it is closed; pipe CSV or JSON lines into it")
    return stream


def _streamed(name: str, file: BinaryIO, limit: int) -> Source:
    """Read a stream to its end, so that it can be looked at twice."""
    what = "standard input" if name == "-" else shown(name)
    data = bytearray()
    try:
        # Never read(limit): a buffered file makes room for all it is asked for.
        while len(data) <= limit and (chunk := file.read(min(CHUNK, limit + 1 - len(data)))):
            data += chunk
    except OSError as error:
        raise InputFormatError(f"{what}: cannot be read: {error.strerror or error}") from error
    if len(data) > limit:
        raise LimitError(f"{what}: holds more than the limit of {limit:,} bytes; pass a larger max_bytes")
    if not data:
        raise InputFormatError(f"{what}: nothing was received (0 bytes)")
    return Source(path=name, file=BytesIO(data), size=len(data), max_bytes=limit, streamed=True)


def tells_of_change(error: BaseException | None) -> bool:
    """Whether an error says that a file changed while it was read: whatever else seems wrong with it may be that."""
    return type(error) is DataError and _CHANGED in str(error)


def _check_unchanged(name: str, before: os.stat_result) -> None:
    """Refuse values from a file that was written to, or replaced, while they were read."""
    try:
        after = Path(name).stat()
    except OSError as error:
        raise DataError(f"{shown(name)}: disappeared {_CHANGED}; read it again") from error
    if any(getattr(before, key) != getattr(after, key) for key in ("st_size", "st_mtime_ns", "st_ino", "st_dev")):
        raise DataError(f"{shown(name)}: changed {_CHANGED}; read it again once it is complete")
