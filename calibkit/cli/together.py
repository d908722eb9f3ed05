"""Several files as one evaluation, from a state that is saved, and gone on with after an interruption."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibkit.cli.progress import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibkit.shards import Progress
    from calibkit.state import CalibrationState, Source

# What holds whole files, but not all of them, stands here until all are in.
PARTIAL = ".partial"
SECONDS_BETWEEN_SAVES = 30.0


@dataclass
class Together:
    """Where the state of an evaluation is kept, and how its files are read."""

    save_state: str | None = None
    resume: bool = False
    jobs: int | None = None
    scheduler: str | None = None
    allow_duplicates: bool = False
    saved_at: float = field(default_factory=time.monotonic)
    files: int = 0

    def check(self, files: Sequence[str]) -> None:
        """Refuse flags that go with others."""
        if self.resume and self.save_state is None:
            raise click.UsageError("--resume goes on from the state of --save-state; give that")
        if self.resume and "-" in files:
            raise click.UsageError("--resume needs files: what came from standard input cannot be compared with it")
        if "-" in files and (self.scheduler is not None or self.jobs is not None):
            raise click.UsageError("standard input (-) is read by one process: leave out --jobs and --scheduler")
        if self.jobs is not None and self.jobs < 1:
            raise click.UsageError(f"--jobs {self.jobs}: give a number of processes of at least 1")
        if self.scheduler not in (None, "local"):
            if "://" not in str(self.scheduler):
                raise click.UsageError(
                    f"--scheduler {self.scheduler}: give local, or the address of a scheduler, tcp://HOST:PORT"
                )
            if self.jobs is not None:
                raise click.UsageError("--jobs is for processes of this machine; a scheduler has its workers")

    def state_of(self, paths: Sequence[str], reading: dict[str, Any], **settings: Any) -> "CalibrationState":
        """The state of all files; interrupted, it says what was read, and leaves it beside where it would be saved."""
        from calibkit.errors import OutputError
        from calibkit.files import expand
        from calibkit.shards import state_of_files
        from calibkit.state import CalibrationState

        threads = settings.pop("threads")
        state, files = CalibrationState(**settings), expand(paths, allow_duplicates=self.allow_duplicates)
        self._go_on(state, files, reading | settings | {"threads": threads})
        with ProgressLine() as line, self._elsewhere() as elsewhere:

            def report(progress: "Progress") -> None:
                line.show(progress)
                self._keep(state, progress)

            try:
                work = {"allow_duplicates": self.allow_duplicates, "threads": threads} | elsewhere | reading
                state_of_files(files, into=state, progress=report, **work)
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(self._stopped(state, len(files))) from stop
            except BaseException:
                with suppress(OutputError):  # what went wrong first is what is said
                    self._leave(state)
                raise
        if self.save_state is not None:
            state.save(self.save_state)
            Path(self.save_state + PARTIAL).unlink(missing_ok=True)
        return state

    def _go_on(self, state: "CalibrationState", files: Sequence[str], work: dict[str, Any]) -> None:
        """Begin with what an earlier call has read, if there is anything, and if it is what would be read now."""
        from calibkit.shards.merging import merge_named
        from calibkit.state import CalibrationState

        if not self.resume or self.save_state is None:
            return
        path = next((path for path in (self.save_state + PARTIAL, self.save_state) if Path(path).exists()), None)
        if path is not None:
            saved = CalibrationState.load(path)
            merge_named(state, saved, path, allow_duplicates=self.allow_duplicates)
            _refuse_other_rows(saved.sources, files, path, work)

    @contextmanager
    def _elsewhere(self) -> "Iterator[dict[str, Any]]":
        """Who reads the files, if not this process: workers of Dask, or processes of this machine."""
        if self.scheduler is not None:
            from calibkit.shards import connected

            with connected(self.scheduler, n_workers=self.jobs) as client:
                yield {"client": client}
            return
        if self.jobs is None or self.jobs == 1:
            yield {}
            return
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        from signal import SIG_DFL, SIGINT, signal

        # Ctrl-C reaches every process of a terminal: those that read end at once, and this one says what was read.
        with ProcessPoolExecutor(
            self.jobs, mp_context=get_context("spawn"), initializer=signal, initargs=(SIGINT, SIG_DFL)
        ) as executor:
            try:
                yield {"executor": executor}
            except BaseException:
                _end_workers()
                raise

    def _keep(self, state: "CalibrationState", progress: "Progress") -> None:
        """Save what is whole now and then: a process that is killed says nothing."""
        if progress.files > self.files and time.monotonic() - self.saved_at > SECONDS_BETWEEN_SAVES:
            self._leave(state)
            self.saved_at = time.monotonic()
        self.files = progress.files

    def _leave(self, state: "CalibrationState") -> str | None:
        """Save the files that were read to their end, if there are any; return where."""
        if self.save_state is None or not state.sources:
            return None
        state.save(self.save_state + PARTIAL)
        return self.save_state + PARTIAL

    def _stopped(self, state: "CalibrationState", n_files: int) -> str:
        """Say what was read when it stopped."""
        from calibkit.errors import OutputError

        covered = f"{len(state.sources):,} of {n_files:,} files were read to their end, {state.n:,} rows"
        if self.save_state is None:
            return f"{covered}; nothing was saved (--save-state FILE saves what was read, for --resume)"
        try:
            left = self._leave(state)
        except OutputError as error:
            return f"{covered}; they are not saved: {error}"
        return f"{covered}; {f'saved in {left}: go on with --resume' if left else 'there was nothing to save'}"


def name_together(state: "CalibrationState", files: Sequence[str]) -> str:
    """What files are called together, which must hold rows."""
    from calibkit.errors import DataError
    from calibkit.evaluating import common_name

    name = common_name(files)
    if state.n == 0:
        raise DataError(f"{name}: the files hold no rows; give one with at least one.")
    return name


def _refuse_other_rows(held: "Iterable[Source]", files: Sequence[str], saved: str, work: dict[str, Any]) -> None:
    """Raise if a state holds a file that is not given, or one that has, or is read as, other rows by now."""
    from calibkit.errors import DataError
    from calibkit.files.contents import shown
    from calibkit.shards import shard_name, state_of_shard

    places = {shard_name(file, work.get("split")): file for file in files}
    for source in held:
        place = places.get(source.name)
        if place is None:
            raise DataError(
                f"{shown(saved)}: holds {source.shown}, which is not among the files that are given. Give it too, or "
                "another path to save the state"
            )
        # Only what is younger than the state is read again: most were read to be passed over.
        if _is_younger(place, saved) and state_of_shard(place, **work).digest != source.digest:
            raise DataError(
                f"{shown(source.name)}: has other rows than {shown(saved)} holds of it: the file has changed since, or "
                "it is read with other options. Leave out resume=True to read all files again"
            )


def _is_younger(file: str, saved: str) -> bool:
    """Whether a file was written after a state; not where nothing tells: a URL, or a file that is gone."""
    try:
        return Path(file).stat().st_mtime_ns >= Path(saved).stat().st_mtime_ns
    except OSError:
        return False


def _end_workers() -> None:
    """End the processes that read files which do not count any more, rather than wait for them."""
    from multiprocessing import active_children

    for child in active_children():
        child.terminate()
