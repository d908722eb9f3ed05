"""Opens URLs by fsspec, whose packages know S3, Google Storage, HTTP and more. Floor 2."""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from calibkit.errors import InputFormatError, MissingExtraError
from calibkit.files.contents import shown

INSTALL = 'pip install "calibkit[urls]"'
_URL = re.compile(r"""(, ?url=)?['"]?[A-Za-z][\w+.:-]*://\S+""")
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
        raise MissingExtraError(f"{name}: {reason(error, url)}") from error
    except Exception as error:  # each storage has its own types
        raise InputFormatError(f"{name}: cannot be opened: {reason(error, url)}") from error
    return system, str(path)


def open_url(url: str) -> Remote:
    """Open a URL for reading."""
    name = without_secrets(url)
    system, path = file_system(url)

    def mark() -> tuple[str, ...]:
        """What the storage says of the file now."""
        with _naming_reasons(url):
            system.invalidate_cache()
            information = system.info(path)
        return tuple(str(information.get(key)) for key in _MARKS)

    with _naming_reasons(url):
        information = system.info(path)
        if information.get("type") == "directory":
            raise InputFormatError(f"{shown(name)}: is a folder; give the file in it that holds the predictions")
        file, size = system.open(path, "rb"), information.get("size")
    # Files of the web and of storages have no readline of a limited length.
    return Remote(name=name, file=io.BufferedReader(file), size=None if size is None else int(size), mark=mark)


def matching_urls(pattern: str) -> list[str]:
    """The files that match a URL with wildcards, in order."""
    system, path = file_system(pattern)
    with _naming_reasons(pattern):
        return sorted(str(system.unstrip_protocol(found)) for found in system.glob(path))


@contextmanager
def _naming_reasons(url: str) -> Iterator[None]:
    """Turn what a storage raises into an error that names the file and the reason."""
    try:
        yield
    except InputFormatError:
        raise
    except Exception as error:  # each storage has its own types
        raise InputFormatError(f"{shown(without_secrets(url))}: cannot be opened: {reason(error, url)}") from error


def reason(error: BaseException, url: str) -> str:
    """What an error says in one line, without the URLs in it, which may hold secrets; if nothing else, its cause.

    Examples
    --------
    >>> error = FileNotFoundError("https://host/net.npz?token=abc")
    >>> reason(error, "https://host/net.npz?token=abc")
    'no such file'
    >>> reason(OSError("403, message='Forbidden', url='https://host/net.npz?token=a/c'"), "https://host/net.npz")
    "403, message='Forbidden'"
    """
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    text = _URL.sub("", text).replace(url, "")
    query = urlsplit(url).query
    text = text.replace(query, "...") if query else text
    if text.strip(" /'\"") in url:  # its name alone, or nothing at all
        if error.__cause__ is not None:
            return reason(error.__cause__, url)
        return "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
    return shown(" ".join(text.split()))
