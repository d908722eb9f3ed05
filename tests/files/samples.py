"""Predictions in general position, and ways to write them in every format that is read."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]

LOGITS = np.array([[0.3, -1.7, 2.4], [1.9, 0.2, -0.6], [-0.8, 0.7, 0.9], [2.2, 2.9, -3.1]], dtype=np.float32)
LABELS = np.array([2, 1, 0, 1])
PROBS = np.array([[0.1, 0.2, 0.7], [0.55, 0.4, 0.05], [0.25, 0.35, 0.4], [0.125, 0.75, 0.125]])


def columns(arrays: Arrays) -> dict[str, np.ndarray]:
    """A matrix as one column per class."""
    flat: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        parts = {f"{name}_{j}": values[:, j] for j in range(values.shape[1])} if values.ndim == 2 else {name: values}
        flat.update(parts)
    return flat


def write_npz(path: Path, arrays: Arrays) -> None:
    np.savez_compressed(path, **arrays)


def write_csv(path: Path, arrays: Arrays) -> None:
    flat = columns(arrays)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(flat)
        writer.writerows(zip(*(values.tolist() for values in flat.values()), strict=True))


def write_jsonl(path: Path, arrays: Arrays) -> None:
    rows = zip(*(values.tolist() for values in arrays.values()), strict=True)
    path.write_text("".join(json.dumps(dict(zip(arrays, row, strict=True))) + "\n" for row in rows))


def arrow_table(arrays: Arrays, *, lists: bool) -> Any:
    import pyarrow as pa

    parts = arrays if lists else columns(arrays)
    return pa.table({name: pa.array([*v]) if v.ndim == 2 else pa.array(v) for name, v in parts.items()})


def write_parquet(path: Path, arrays: Arrays) -> None:
    import pyarrow.parquet as pq

    pq.write_table(arrow_table(arrays, lists=False), path, write_page_checksum=True)


def write_feather(path: Path, arrays: Arrays) -> None:
    from pyarrow import feather

    feather.write_feather(arrow_table(arrays, lists=True), str(path))


def write_arrow(path: Path, arrays: Arrays) -> None:
    import pyarrow as pa

    table = arrow_table(arrays, lists=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, len(table) // 2))


def write_safetensors(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, path)


def write_pt(path: Path, arrays: Arrays) -> None:
    import torch

    torch.save({name: torch.from_numpy(values.copy()) for name, values in arrays.items()}, path)


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    ".npz": write_npz,
    ".csv": write_csv,
    ".jsonl": write_jsonl,
    ".parquet": write_parquet,
    ".feather": write_feather,
    ".arrow": write_arrow,
    ".safetensors": write_safetensors,
    ".pt": write_pt,
}
EXTRAS = {".csv": "pyarrow", ".parquet": "pyarrow", ".feather": "pyarrow", ".arrow": "pyarrow", ".pt": "torch"}
