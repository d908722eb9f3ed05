"""Files of torch.save: written whole or not at all, read without running what they hold. Annex: training."""

import os
from typing import Any, BinaryIO

import torch

from calibkit.files.atomic import atomic_write
from calibkit.files.pytorch import load_archive
from calibkit.files.source import Source, naming_causes, open_source

MAGIC = b"PK\x03\x04"
NO_LIMIT = 2**62  # what a file holds is stored as it is: it cannot grow when it is read


def write_archive(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write with torch.save, whole or not at all."""
    with atomic_write(path) as file:
        recording = _Recording(file)
        try:
            torch.save(state, recording)  # type: ignore[arg-type]  # it asks for write and flush alone
        except RuntimeError:
            if recording.error is not None:
                raise recording.error from None
            raise


def read_archive(path: str | os.PathLike[str]) -> object:
    """Tensors and plain values of a file, on the CPU, by torch.load with weights_only=True alone.

    Raises
    ------
    InputFormatError
        If the file is missing, damaged, or holds objects that would have to be built by running code.
    MissingExtraError
        If torch is older than 2.10, whose restricted reader could be got past (CVE-2025-32434, CVE-2026-24747).
    """
    with open_source(path, max_bytes=NO_LIMIT) as source:
        return loaded_archive(source)


def loaded_archive(source: Source) -> object:
    """As `read_archive`, of a file that is open."""
    with naming_causes(source, "a file of torch.save"):
        return load_archive(source, example="model.state_dict()")


class _Recording:
    """A file that remembers what stopped its writing: torch's writer says only that it was stopped."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Write, and keep what goes wrong."""
        try:
            return self.file.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        """As the file."""
        self.file.flush()
