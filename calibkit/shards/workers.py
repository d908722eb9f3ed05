"""What a worker elsewhere does with one file, and how a complaint says which worker it was. Floor 3."""

import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from calibkit import __version__
from calibkit.errors import CalibkitError, InputFormatError, LimitError
from calibkit.files.contents import shown
from calibkit.files.urls import is_url, without_secrets
from calibkit.shards.shard import shard_name, state_of_shard
from calibkit.state import CalibrationState

Task = Callable[[str], CalibrationState]


def task_of(work: dict[str, Any]) -> Task:
    """What is sent to workers: it takes a path of this process, and reads the same file from any folder.

    A task uses one thread unless the work says more: workers are as many as there are cores.
    """
    work = {**work, "threads": work.get("threads") or 1}
    if work.get("labels_file") is not None:
        work["labels_file"] = _absolute(work["labels_file"], str(Path.cwd()))
    return partial(_read, folder=str(Path.cwd()), version=__version__, work=work)


def _read(path: str, *, folder: str, version: str, work: dict[str, Any]) -> CalibrationState:
    """The state of one file, under the name that it was given."""
    place, name = _absolute(path, folder), shown(without_secrets(path))
    if version != __version__:
        raise CalibkitError(
            f"{name}: {worker_name()} has calibkit {__version__}, the process that shares the files out has {version}; "
            "install the same version on both"
        )
    try:
        return state_of_shard(place, **work).named(shard_name(path, work.get("split")))
    except CalibkitError as error:
        complaint = str(error).replace(shown(without_secrets(place)), name)
        raise type(error)(f"{complaint} ({_where(error, place)})") from error
    except MemoryError as error:
        raise LimitError(f"{name}: not enough memory ({_where(error, place)})") from error
    except Exception as error:
        error.add_note(f"{FROM_A_TASK} {name}: {worker_name()}")
        raise


FROM_A_TASK = "raised while reading"


def is_from_a_task(error: BaseException) -> bool:
    """Whether a task raised an error, not what carries tasks to workers."""
    return any(note.startswith(FROM_A_TASK) for note in getattr(error, "__notes__", ()))


def worker_name() -> str:
    """Where this code runs: the address of a Dask worker, else process and host.

    Examples
    --------
    >>> worker_name().startswith("process ")
    True
    """
    distributed = sys.modules.get("distributed")  # loaded where a Dask worker runs
    if distributed is not None:
        try:
            return f"worker {distributed.get_worker().address} on {socket.gethostname()}"
        except ValueError:  # not in a task
            pass
    return f"process {os.getpid()} on {socket.gethostname()}"


def _where(error: BaseException, place: str) -> str:
    """The worker, with a hint if it does not see the file."""
    if isinstance(error, InputFormatError) and not is_url(place) and not os.path.lexists(place):
        return f"{worker_name()}, which looks for {shown(place)}: every worker needs the files at the same paths"
    return worker_name()


def _absolute(path: str, folder: str) -> str:
    """The path from the root, so that it is the same file for a worker in another folder."""
    return path if is_url(path) else os.path.join(folder, path)  # noqa: PTH118 - PATH:KEY of labels_file stays text
