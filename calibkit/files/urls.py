"""Opens URLs by fsspec, whose packages know S3, Google Storage, HTTP and more. Floor 2."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from calibkit.errors import InputFormatError, MissingExtraError
from calibkit.files.contents import shown

INSTALL = 'pip install "calibkit[urls]"'
# What a storage says of a file and changes when its content does.
_MARKS = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "md5Hash", "generation", "created")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file behind a URL: open, with its size where it is known, and a mark that changes with its content."""

    name: str
    file: BinaryIO
    size: int | None
    mark: Callable[[], tuple[str, ...]]


def is_url(name: str) -> bool:
    """Whether a name is a URL: a scheme and two slashes, and no file of that name.

    Examples
    --------
    >>> is_url("s3://bucket/net.npz"), is_url("runs/net.npz"), is_url("C:/net.npz")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z0-9+.-]+)*://", name) is not None and not os.path.lexists(name)


def place_of(name: str) -> str:
    """The path of a URL, without what precedes and follows it; another name as it is.

    Examples
    --------
    >>> place_of("https://host/run/net.npz?token=abc"), place_of("runs/net.npz")
    ('/run/net.npz', 'runs/net.npz')
    """
    if not is_url(name):
        return name
    parts = urlsplit(name.rpartition("::")[2])
    return parts.path or parts.netloc


def without_secrets(name: str) -> str:
    """A URL without its user, its password and its query, of which a few digits of a hash are left.

    Examples
    --------
    >>> without_secrets("https://me:pass@host/net.npz?signature=abc")
    'https://host/net.npz?58643851'
    """
    if not is_url(name):
        return name
    scheme, _, rest = name.partition("://")
    host, slash, path = rest.partition("/")
    path, question, query = path.partition("?")
    mark = hashlib.sha256(query.encode()).hexdigest()[:8] if question else ""
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{question}{mark}"


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and its path in it."""
    name = shown(without_secrets(url))
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"{name}: reading URLs needs fsspec: {INSTALL}") from error
    try:
        system, path = url_to_fs(url)
    except ImportError as error:  # fsspec says which package knows the scheme
        raise MissingExtraError(f"{name}: {_said(error, url)}") from error
    except Exception as error:  # each storage has its own types
        raise InputFormatError(f"{name}: cannot be opened: {_said(error, url)}") from error
    return system, str(path)


def open_url(url: str) -> Remote:
    """Open a URL for reading."""
    name = without_secrets(url)
    system, path = file_system(url)

    def mark() -> tuple[str, ...]:
        """What the storage says of the file now."""
        system.invalidate_cache()
        information = system.info(path)
        return tuple(str(information.get(key)) for key in _MARKS)

    try:
        information = system.info(path)
        if information.get("type") == "directory":
            raise InputFormatError(f"{shown(name)}: is a folder; give the file in it that holds the predictions")
        file, size = system.open(path, "rb"), information.get("size")
    except InputFormatError:
        raise
    except Exception as error:  # each storage has its own types
        raise InputFormatError(f"{shown(name)}: cannot be opened: {_said(error, url)}") from error
    return Remote(name=name, file=file, size=None if size is None else int(size), mark=mark)


def _said(error: Exception, url: str) -> str:
    """What an error says, without the secrets of the URL."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    query = urlsplit(url).query
    text = text.replace(url, without_secrets(url))
    return shown(text.replace(query, "...") if query else text)
