"""Writes files whole or not at all: what stood there stays until the new file is complete on disk. Floor 2."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from calibkit.errors import OutputError
from calibkit.files.contents import shown
from calibkit.files.source import AnyPath

# What a file system without locks says: some mounts of NFS and Lustre.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[BinaryIO]:
    """Open a binary file for writing that takes the place of `path` when the block ends without an error.

    Parameters
    ----------
    path : path-like
        Of a regular file, which may exist; a symbolic link is followed.

    Raises
    ------
    OutputError
        If the path is a folder or device, is read-only, or cannot be written completely; the old file is intact.

    Notes
    -----
    The new file is written beside the old one, under one fixed name for each target, so that a killed process
    leaves at most one stray file, which the next write uses again. It is locked while it is written: a second
    writer of the same path is refused, unless the file system has no locks. Then it is flushed to disk and renamed
    over the target.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/out.txt") as file:
    ...         _ = file.write(b"0.0435")
    ...     with open(f"{folder}/out.txt") as file:
    ...         file.read()
    '0.0435'
    """
    name = os.fsdecode(path)
    with _naming_causes(name):
        target = Path(os.path.realpath(name))
        mode = _replaceable(target)
        temporary = _temporary(target)
        descriptor = _claimed(temporary)
    try:
        with _naming_causes(name), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            if os.name == "nt":  # Windows renames no open file; it has no lock to lose either
                file.close()
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # the folder's entry: not every file system can
        _sync_folder(target.parent)


def write_text(path: AnyPath, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; see `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def _naming_causes(name: str) -> Iterator[None]:
    """Turn an error of the system into an `OutputError` that names the path."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{shown(name)}: cannot be written: {reason}; nothing there was changed") from error


def _replaceable(target: Path) -> int | None:
    """Permissions of the file that is there, None if there is none; an error if it may not be replaced."""
    name = shown(str(target))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise OutputError(f"{name}: cannot be written: there is no folder {shown(str(target.parent))}") from None
        return None
    if stat.S_ISDIR(mode):
        raise OutputError(f"{name}: is a folder; give the name of a file")
    if not stat.S_ISREG(mode):
        raise OutputError(f"{name}: is a device or pipe, which cannot be replaced by a file")
    if not os.access(target, os.W_OK):
        raise OutputError(f"{name}: is read-only")
    return stat.S_IMODE(mode)


def _temporary(target: Path) -> Path:
    """One fixed name beside the target, short enough wherever the target's own name is allowed."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.with_name(f".calibkit-{digest}.tmp")


def _claimed(temporary: Path) -> int:
    """Open and lock the temporary file, empty."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    while True:
        descriptor = os.open(temporary, flags | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _lock(descriptor)
            if _is_at(temporary, descriptor):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # a writer that finished between the two calls renamed this very file over its target


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    """Take the lock, or fail at once; where there are no such locks, do without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "another process is writing it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _sync_folder(folder: Path) -> None:
    """Put the folder's new entry on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
