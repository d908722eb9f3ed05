"""What a training that is cut off says: the epoch, the cause, and where its checkpoint is. Annex: training."""

from collections.abc import Iterator
from contextlib import contextmanager

from calibkit.errors import CalibkitError, LimitError
from calibkit.training.devices import is_out_of_memory
from calibkit.training.epochs import Training


@contextmanager
def explained(training: Training) -> Iterator[None]:
    """Say what a user needs to know of whatever ends the epochs early, and let it pass."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"Stopped in epoch {training.epoch + 1}.{whereabouts(training)}") from stop
    except CalibkitError as error:
        if not (kept := whereabouts(training)):
            raise
        raise type(error)(f"{error}{kept}") from error
    except Exception as error:
        if not is_out_of_memory(error):
            if kept := whereabouts(training):
                error.add_note(kept.strip())
            raise
        raise LimitError(f"{_memory(training, error)}{whereabouts(training)}") from error


def whereabouts(training: Training) -> str:
    """Where the last complete checkpoint is, if there is one."""
    folder = training.folder
    if folder is None or not folder.file.exists():
        return ""
    # A signal may come when the file is replaced already, but not yet known to be.
    which = "" if folder.epoch is None else f" of epoch {folder.epoch}"
    return f" The checkpoint{which} is in {folder.name}; resume=True goes on from it."


def _memory(training: Training, error: Exception) -> str:
    """Say which batch was too large, and what fits."""
    steps = training.steps
    loader, n_rows = steps.batch
    device = steps.updates.device
    start = f"epoch {training.epoch + 1}: out of memory on {device} with a batch of {n_rows:,} rows of {loader}"
    cause = (str(error).strip() or "no reason given").splitlines()[0]
    if loader == "train_loader":
        twice = 2 * steps.updates.accumulate
        fix = f"Halve batch_size and pass accumulate={twice}: the same steps in half the memory."
    else:
        fix = "Make that loader with a smaller batch_size: its results do not depend on it."
    return f"{start} ({cause}). {fix}"
