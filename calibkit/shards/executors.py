"""Files shared out to the processes of any `concurrent.futures.Executor`. Floor 3."""

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed

from calibkit.errors import CalibkitError
from calibkit.files.contents import shown
from calibkit.files.urls import without_secrets
from calibkit.shards.workers import Task, is_from_a_task
from calibkit.state import CalibrationState

SHOWN_FILES = 3


def from_executor(executor: Executor, files: Sequence[str], task: Task) -> Iterator[tuple[list[str], CalibrationState]]:
    """The states of files as an executor's tasks end; of the tasks that are left none begins once one has failed."""
    waiting: dict[Future[CalibrationState], str] = {}
    try:
        for path in files:
            waiting[executor.submit(task, path)] = path
        for done in as_completed(waiting):
            path = waiting.pop(done)
            try:
                state = done.result()
            except Exception as error:
                _say_what_was_lost(error, executor, path, [path, *waiting.values()])
                raise
            yield [path], state
    finally:
        for future in waiting:
            future.cancel()


def _say_what_was_lost(error: Exception, executor: Executor, path: str, unread: list[str]) -> None:
    """Raise for a task that its executor lost; what the task raised is left as it is."""
    if isinstance(error, CalibkitError) or is_from_a_task(error):
        return
    kind = type(executor).__name__
    if isinstance(error, BrokenExecutor):
        raise CalibkitError(
            f"a worker of {kind} ended abruptly (killed, or out of memory) before these files were read to their end: "
            f"{several(unread)}. There is no result of a part of the files. {error}"
        ) from error
    raise CalibkitError(
        f"{shown(without_secrets(path))}: {kind} gives no result for this file, and there is none of a part of the "
        f"files: {type(error).__name__}: {error}"
    ) from error


def several(paths: Sequence[str]) -> str:
    """The first of many paths.

    Examples
    --------
    >>> several(["a.npz", "b.npz"]), several([f"{i}.npz" for i in range(1000)])
    ('a.npz, b.npz', '0.npz, 1.npz, 2.npz and 997 more')
    """
    names = ", ".join(shown(without_secrets(path)) for path in paths[:SHOWN_FILES])
    return names if len(paths) <= SHOWN_FILES else f"{names} and {len(paths) - SHOWN_FILES:,} more"
