"""What computes, and from which random numbers: what was asked for, or an error, never another one. Annex: training."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from calibkit.errors import OptionError


def resolve_device(device: str | torch.device) -> torch.device:
    """Device that a name stands for, checked to be there.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device
        "auto" takes CUDA, else Apple's MPS, else the CPU.

    Returns
    -------
    torch.device
        With its number for CUDA.

    Raises
    ------
    OptionError
        If the name is unknown, or the device is not there: "cuda" without CUDA never runs on the CPU.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    wanted = _auto() if device == "auto" else _parsed(device)
    if wanted.type == "cuda":
        return _cuda(wanted, device)
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise OptionError(f'device={str(device)!r}: no Apple MPS device is available; use device="auto" or "cpu".')
    return wanted


def _auto() -> torch.device:
    """Best device that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _parsed(device: str | torch.device) -> torch.device:
    """Device of a name of a known kind."""
    try:
        parsed = torch.device(device)
    except (RuntimeError, TypeError):
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda", "mps"):
        raise OptionError(f'device={str(device)!r}: expected "auto", "cpu", "cuda", "cuda:0" (a number) or "mps".')
    return parsed


def _cuda(wanted: torch.device, device: str | torch.device) -> torch.device:
    """CUDA device with its number, checked to be there."""
    if not torch.cuda.is_available():
        raise OptionError(
            f"device={str(device)!r}: no CUDA device is available to torch {torch.__version__}; install a CUDA build "
            'and its driver, or use device="auto" or "cpu".'
        )
    count = torch.cuda.device_count()
    index = torch.cuda.current_device() if wanted.index is None else wanted.index
    if index >= count:
        raise OptionError(f"device={str(device)!r}: there are {count} CUDA devices, numbered from 0.")
    return torch.device("cuda", index)


def seed_device(device: torch.device, *entropy: int) -> None:
    """Seed torch's generators of the CPU and of this device, and no others, from whole numbers of any size."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the device or the host; torch has no type for the latter."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    signs = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in signs)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Compute on the CPU with so many threads, then with as many as before."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


def seed_epoch(device: torch.device, seed: int, epoch: int) -> None:
    """Seed torch's generators, and those of NumPy and Python, from which users' datasets and loaders draw."""
    seed_device(device, seed, epoch)
    state = np.random.SeedSequence((seed, epoch)).generate_state(4)
    np.random.seed(state)  # noqa: NPY002 - the global state is what user code draws from; it is put back
    random.seed(state.tobytes())


@contextmanager
def borrowed_generators(device: torch.device) -> Iterator[None]:
    """Leave the caller's random state as it was: of torch on the CPU and a CUDA device, of NumPy and Python."""
    numpy, python = np.random.get_state(), random.getstate()  # noqa: NPY002 - put back below
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)


CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
REPEATABLE = (":4096:8", ":16:8")  # workspaces with which cuBLAS gives the same bits every time


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:  # noqa: FBT001 - only fit calls it
    """Allow only operations that give the same bits every time, then put every switch back."""
    if not wanted:
        yield
        return
    cudnn = torch.backends.cudnn
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    switches = (cudnn.deterministic, cudnn.benchmark)
    workspace = os.environ.get(CUBLAS)
    try:
        if workspace not in REPEATABLE:
            os.environ[CUBLAS] = REPEATABLE[0]
        torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch takes it by position alone
        cudnn.deterministic, cudnn.benchmark = True, False
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise OptionError(
            f"deterministic=True: {str(error).splitlines()[0]} Replace the operation, or pass deterministic=False."
        ) from error
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark = switches
        if workspace is None:
            os.environ.pop(CUBLAS, None)
        else:
            os.environ[CUBLAS] = workspace
