"""One line on a terminal that says how far it is."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from calibkit.shards import Progress

SECONDS_BETWEEN = 0.1


class ProgressLine:
    """Shows progress on standard error if that is a terminal, and takes the line away in the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.is_terminal = self.stream.isatty()
        self.width = 0
        self.last = float("-inf")

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.width:
            self._write(" " * self.width + "\r")

    def show(self, progress: "Progress") -> None:
        """Show where it stands, a few times a second."""
        now = time.monotonic()
        if not self.is_terminal or now - self.last < SECONDS_BETWEEN:
            return
        self.last = now
        text = line(progress)
        self._write(text.ljust(self.width) + "\r")
        self.width = len(text)

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def line(progress: "Progress") -> str:
    """Rows, rate, files and time left in one line.

    Examples
    --------
    >>> from calibkit.shards import Progress
    >>> line(Progress(rows=3_000_000, files=1, n_files=4, share=0.25, seconds=2.0))
    '3,000,000 rows, 1.5 million a second; 1 of 4 files; 25 %, 0:06 left'
    """
    left = progress.seconds_left
    rest = "" if left is None else f"; {progress.share:.0%}".replace("%", " %") + f", {_clock(left)} left"
    files = f"; {progress.files:,} of {progress.n_files:,} files" if progress.n_files > 1 else ""
    return f"{progress.rows:,} rows, {_rate(progress.rate)} a second{files}{rest}"


def _rate(rate: float) -> str:
    """Rows a second, to two digits or so."""
    return f"{rate / 1e6:.1f} million" if rate >= 1e6 else f"{rate:,.0f}"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
