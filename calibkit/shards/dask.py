"""Files shared out to the workers of a Dask cluster: paths are sent, states are merged in a tree. Floor 3.

Dask is imported inside functions: whoever gives a client has it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from math import ceil
from pkgutil import resolve_name
from signal import SIG_IGN, SIGINT, signal
from typing import Any
from uuid import uuid4

from calibkit import __version__
from calibkit._checks import quoted
from calibkit.errors import CalibkitError, MissingExtraError, OptionError
from calibkit.files.contents import shown
from calibkit.files.urls import without_secrets
from calibkit.shards.executors import several
from calibkit.shards.merging import merge_all
from calibkit.shards.workers import Task, is_from_a_task
from calibkit.state import CalibrationState

Merge = Callable[[Sequence[CalibrationState]], CalibrationState]
INSTALL = 'pip install "calibkit[dask]"'
# States that come to the process that asks; of more files, some are merged where they are.
MOST_STATES = 256
FAN_IN = 16
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_CONNECT = 10.0
# A cluster that starts its workers when there is work may take longer: the setting below says so.
SECONDS_WITHOUT_WORKERS = 60.0
PATIENCE = "calibkit.seconds-without-workers"


@contextmanager
def connected(address: str, *, n_workers: int | None = None, timeout: float = SECONDS_TO_CONNECT) -> Iterator[Any]:
    """A client of the scheduler at an address, or of a cluster of processes on this machine.

    Parameters
    ----------
    address : str
        ``"tcp://host:8786"``, or ``"local"``.
    n_workers : int, optional
        Processes of a local cluster; by default one a core.
    timeout : float, default 10
        Seconds after which a scheduler that does not answer is given up.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    CalibkitError
        If no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingExtraError(f"--scheduler needs Dask: {INSTALL}") from error
    if address == "local":
        options: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
        options |= {"n_workers": n_workers, "threads_per_worker": 1, "processes": True}
        with LocalCluster(**options) as cluster, Client(cluster) as client:
            client.run(_ignore_interrupts)
            yield client
        return
    try:
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CalibkitError(
            f"{shown(address)}: no scheduler of Dask answered within {timeout:g} seconds ({type(error).__name__}: "
            f"{_said(error)}); check that `dask scheduler` runs there and can be reached from here"
        ) from error
    with client:
        yield client


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the one that says what was read."""
    signal(SIGINT, SIG_IGN)


def from_dask(
    client: Any, files: Sequence[str], task: Task, *, allow_duplicates: bool = False
) -> Iterator[tuple[list[str], CalibrationState]]:
    """The states of files as tasks end, some merged by workers; what a lost worker held is read again.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    files : sequence of str
        Paths that every worker sees.
    task : callable
        Gives the state of one file.
    allow_duplicates : bool, default False
        Whether files may hold the same rows.

    Yields
    ------
    list of str, CalibrationState
        Some of the files, and their state.

    Raises
    ------
    OptionError
        If `client` is no client.
    CalibkitError
        What the task raises; if workers died over a file, if the scheduler is lost, or if there are no workers.
    """
    _check_client(client)
    with _naming_loss(client, {client: list(files)}, {}):
        _check_installed(client)
    run = uuid4().hex
    size = max(1, ceil(len(files) / MOST_STATES))
    leaves = client.map(task, files, key=[f"calibkit-{run}-{number}" for number in range(len(files))], pure=False)
    paths = {future.key: path for future, path in zip(leaves, files, strict=True)}
    merge = partial(merge_all, allow_duplicates=allow_duplicates)
    waiting = {
        _tree(client, leaves[start : start + size], merge): list(files[start : start + size])
        for start in range(0, len(files), size)
    }
    del leaves  # the cluster keeps a state no longer than something waits for it
    try:
        yield from _as_they_come(client, waiting, paths)
    finally:
        client.cancel([*waiting], force=True)


def _tree(client: Any, futures: list[Any], merge: Merge) -> Any:
    """One future of many: states merged `FAN_IN` at a time, where they are."""
    while len(futures) > 1:
        parts = [futures[start : start + FAN_IN] for start in range(0, len(futures), FAN_IN)]
        futures = client.map(merge, parts, pure=False)
    return futures[0]


def _as_they_come(
    client: Any, waiting: dict[Any, list[str]], paths: dict[str, str]
) -> Iterator[tuple[list[str], CalibrationState]]:
    """The states of the futures as they are done."""
    from distributed import TimeoutError as NotYet
    from distributed import wait

    patience = _Patience(client)
    while waiting:
        done: Collection[Any] = ()
        with _naming_loss(client, waiting, paths), suppress(NotYet), client.as_current():
            done = wait([*waiting], timeout=SECONDS_BETWEEN_LOOKS, return_when="FIRST_COMPLETED").done
        patience.look(done, waiting, paths)
        for future in done:
            with _naming_loss(client, {future: waiting[future]}, paths):
                state = future.result()
            group = waiting.pop(future)
            future.release()
            yield group, state


class _Patience:
    """Gives up where there have been no workers for some time."""

    def __init__(self, client: Any) -> None:
        import dask.config

        self.client = client
        self.seconds = float(dask.config.get(PATIENCE, SECONDS_WITHOUT_WORKERS))
        self.last = time.monotonic()

    def look(self, done: Collection[Any], waiting: dict[Any, list[str]], paths: dict[str, str]) -> None:
        """See whether tasks end, or at least there are workers."""
        with _naming_loss(self.client, waiting, paths):
            if done or self.client.nthreads():
                self.last = time.monotonic()
        if time.monotonic() - self.last > self.seconds:
            raise CalibkitError(
                f"{_address(self.client)}: the scheduler has had no worker for {self.seconds:g} seconds, and these "
                f"files were not read: {_unread(waiting)}. Start workers (`dask worker {_address(self.client)}`); "
                f"Dask's setting {PATIENCE} says how long to wait for them."
            )


@contextmanager
def _naming_loss(client: Any, waiting: dict[Any, list[str]], paths: dict[str, str]) -> Iterator[None]:
    """Turn what Dask raises into an error that names the file and the worker."""
    from distributed.scheduler import KilledWorker

    try:
        yield
    except CalibkitError:
        raise
    except KilledWorker as error:
        path = paths.get(str(error.task), "a merge of states")
        raise CalibkitError(
            f"{shown(without_secrets(path))}: {error.allowed_failures + 1} workers that had this file to read ended "
            f"abruptly (killed, or out of memory), the last one {error.last_worker.address}. There is no result of a "
            "part of the files."
        ) from error
    except Exception as error:
        if is_from_a_task(error):
            raise
        lost = "the scheduler was lost" if isinstance(error, CancelledError | OSError) else "Dask gives no result"
        raise CalibkitError(
            f"{_address(client)}: {lost} before these files were read to their end: {_unread(waiting)}. There is no "
            f"result of a part of the files. {type(error).__name__}: {_said(error)}"
        ) from error


def _unread(waiting: dict[Any, list[str]]) -> str:
    """The files that are waited for."""
    return several([path for group in waiting.values() for path in group])


def _said(error: Exception) -> str:
    """The first line of what an error says."""
    return shown((str(error).strip() or "no reason given").splitlines()[0])


def _address(client: Any) -> str:
    """Where the scheduler of a client is, or was."""
    address = getattr(getattr(client, "scheduler", None), "address", None)
    return str(address or "Dask")


def _check_client(client: Any) -> None:
    """Raise for what is not a client that this thread can wait for."""
    if not all(hasattr(client, name) for name in ("map", "cancel", "nthreads", "asynchronous")):
        raise OptionError(f"client={quoted(type(client).__name__)}: give a distributed.Client.")
    if client.asynchronous:
        raise OptionError("client: this client is asynchronous; give one made with asynchronous=False.")


def _check_installed(client: Any) -> None:
    """Raise if the scheduler or a worker has another calibkit, or none: tasks would end the worker that gets them."""
    what = (resolve_name, "calibkit:__version__")
    found = {f"worker {address}": version for address, version in client.run(*what, on_error="return").items()}
    try:
        found["the scheduler"] = client.run_on_scheduler(*what)
    except ImportError as error:
        found["the scheduler"] = error
    for place, version in found.items():
        if isinstance(version, str | ImportError) and version != __version__:  # else a worker that ended meanwhile
            which = f"calibkit {version}" if isinstance(version, str) else f"no calibkit ({_said(version)})"
            raise CalibkitError(
                f"{_address(client)}: {place} has {which}; install {__version__}, the version of this process, on all."
            )
