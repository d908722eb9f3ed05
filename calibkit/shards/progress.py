"""How far an evaluation of files has come. Floor 3."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibkit.files.urls import is_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an evaluation of files has come.

    Attributes
    ----------
    rows : int
        Rows that were read.
    files, n_files : int
        Files that were read to their end, and all of them.
    share : float
        Share of all bytes that was read, in [0, 1].
    seconds : float
        Time since the beginning.

    Examples
    --------
    >>> progress = Progress(rows=3_000_000, files=1, n_files=4, share=0.25, seconds=2.0)
    >>> progress.rate, progress.seconds_left
    (1500000.0, 6.0)
    """

    rows: int
    files: int
    n_files: int
    share: float
    seconds: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest takes at the rate so far; None before anything was read."""
        return self.seconds * (1 - self.share) / self.share if self.share > 0 else None


Report = Callable[[Progress], object]


class Watch:
    """Counts what has been read, and reports it."""

    def __init__(self, files: Sequence[str], report: Report | None) -> None:
        self.report, self.start = report, time.monotonic()
        self.sizes = {path: _size(path) for path in files} if report else {}
        self.total = sum(self.sizes.values()) or 1
        self.rows = self.in_file = self.files = self.read = 0
        self.waiting = [*files]

    def block(self, rows: int, share: float) -> None:
        """Report a block of the file that is being read."""
        size = self.sizes[self.waiting[self.files]]
        self._tell(self.rows + rows, (self.read + share * size) / self.total)
        self.in_file = rows

    def done(self, path: str) -> None:
        """Report that a file was read to its end."""
        self.rows += self.in_file
        self.in_file = 0
        self.files += 1
        self.read += self.sizes.get(path, 0)
        self._tell(self.rows, self.read / self.total)

    def _tell(self, rows: int, share: float) -> None:
        if self.report is not None:
            seconds = time.monotonic() - self.start
            n_files = len(self.waiting)
            share = min(1.0, share)
            self.report(Progress(rows=rows, files=self.files, n_files=n_files, share=share, seconds=seconds))


def _size(path: str) -> int:
    """Bytes of a file; 1 where they are not known at once."""
    try:
        return 1 if is_url(path) else max(1, Path(path).stat().st_size)
    except (OSError, ValueError):
        return 1
