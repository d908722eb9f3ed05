"""Writes calibkit's own predictions file: plain arrays and a JSON header in an .npz, byte for byte. Floor 2."""

import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from calibkit import __version__
from calibkit.errors import OutputError
from calibkit.files.atomic import atomic_write
from calibkit.files.contents import AnyArray, shown
from calibkit.files.header import HEADER_KEY, header_array
from calibkit.files.source import AnyPath
from calibkit.predictions import Predictions
from calibkit.scores import score_rows

BLOCK_BYTES = 1 << 24
ARRAYS = {
    "logits": ("labels", "logits"),
    "probs": ("labels", "probs"),
    "top1": ("labels", "predicted", "confidence"),
    "correct": ("correct", "confidence"),
}


def save(predictions: Predictions, path: AnyPath) -> None:
    """Save predictions as an .npz that calibkit, and plain NumPy, can read.

    Parameters
    ----------
    predictions : Predictions
        Of any kind. Their values are checked by a pass over them first, so a saved file holds no NaN.
    path : path-like
        Ends in ``.npz``. A file that is there is replaced when the new one is complete.

    Raises
    ------
    DataError
        If the values are not what they are said to be.
    OutputError
        If the file cannot be written; what stood there is untouched.

    Notes
    -----
    ``load(path)`` gives equal predictions back. Equal predictions give the same bytes: arrays are stored in a fixed
    order, in C order, uncompressed, with a fixed date and -0.0 as 0.0; bfloat16 as float32, which NumPy has. The format
    is described in docs/predictions-file.md.

    Examples
    --------
    >>> import tempfile
    >>> from calibkit import Predictions, load, save
    >>> predictions = Predictions.from_probs([1, 0], [0.83, 0.27], name="rain")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(predictions, f"{folder}/rain.npz")
    ...     load(f"{folder}/rain.npz") == predictions
    True
    """
    name = os.fsdecode(path)
    if Path(name).suffix.lower() != ".npz":
        raise OutputError(f"{shown(name)}: predictions are saved as .npz; give a name that ends so")
    if predictions.kind in ("logits", "probs"):
        score_rows(predictions)
    arrays = {HEADER_KEY: header_array(predictions, version=__version__)}
    for key in (*ARRAYS[predictions.kind], "n_choices", "ids", "weights", "groups"):
        if (array := getattr(predictions, key)) is not None:
            arrays[key] = _narrowed(array)
    with atomic_write(name) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            _write_member(archive, key, array)


def _narrowed(array: AnyArray) -> AnyArray:
    """Text as wide as its longest entry, so that equal arrays are stored alike."""
    if array.dtype.kind not in "UT":
        return array
    longest = int(np.strings.str_len(array).max()) if array.size else 0
    return array.astype(f"<U{max(longest, 1)}")


def _write_member(archive: zipfile.ZipFile, key: str, array: AnyArray) -> None:
    """Write one array as a member with a fixed date, owner and system."""
    member = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    member.external_attr = 0o644 << 16
    member.create_system = 3  # else it depends on the machine
    little = array.dtype.newbyteorder("<")
    description: dict[str, Any] = {"descr": little.str, "fortran_order": False, "shape": array.shape}
    with archive.open(member, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, description)
        _write_values(file, array, little)


def _write_values(file: IO[bytes], array: AnyArray, dtype: np.dtype[Any]) -> None:
    """Write values in C order, a block of rows at a time, with no copy of the whole; bfloat16 as float32."""
    if array.ndim == 0:
        file.write(array.astype(dtype).tobytes())
        return
    row_bytes = max(1, array[:1].size * dtype.itemsize)
    step = max(1, BLOCK_BYTES // row_bytes)
    for start in range(0, len(array), step):
        block = np.asarray(array[start : start + step])
        plain = block + block.dtype.type(0) if block.dtype.kind == "f" else block  # -0.0 + 0.0 is 0.0
        file.write(plain.astype(dtype, copy=False).tobytes())
