"""Several processes, one result: each predicts its share of the rows, and all get every row once. Annex: training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from calibkit.errors import DataError, ShapeError

Array = NDArray[Any]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """What one or all processes predicted: logits, labels, and each row's number in the dataset where it is known."""

    logits: Array
    labels: Array
    index: Index | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """What a process tells the others: its rows (None: no batch), how many all have, what went wrong, its weights."""

    rows: Rows | None
    total: int | None
    failure: str | None
    weights: Mapping[str, int]


def n_processes() -> int:
    """Processes of the default group; 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside DistributedDataParallel: its forward alone makes processes wait for each other."""
    inner: nn.Module = model.module if isinstance(model, DistributedDataParallel | DataParallel) else model
    return inner


def distributed_sampler(loader: object) -> "DistributedSampler[Any] | None":
    """The sampler that gives each process its share of a loader's rows; None without one."""
    return next((one for one in samplers(loader) if isinstance(one, DistributedSampler)), None)


def sampled_index(loader: object) -> Index | None:
    """Row numbers of this process's share in the order its DistributedSampler gives them; None without one."""
    sampler = distributed_sampler(loader)
    _refuse_unnumbered(loader)
    if sampler is None:
        return None
    _check_sampler(sampler)
    return np.fromiter(iter(sampler), np.int64)


def samplers(loader: object) -> Iterator[object]:
    """The samplers of a DataLoader, those in its batch sampler too."""
    if isinstance(loader, DataLoader):
        batches = loader.batch_sampler
        yield from (loader.sampler, batches, getattr(batches, "sampler", None), getattr(batches, "batch_sampler", None))


def _refuse_unnumbered(loader: object) -> None:
    """A loader that accelerate has prepared repeats rows to fill batches and does not say which."""
    if any(getattr(part, "num_processes", 1) > 1 for part in samplers(loader)) or (
        type(loader).__name__ == "DataLoaderDispatcher"
    ):
        raise DataError(
            "The loader was prepared by accelerate for several processes and repeats rows without saying which; pass "
            "a DataLoader with sampler=DistributedSampler(dataset, shuffle=False), not prepared."
        )


def _check_sampler(sampler: "DistributedSampler[Any]") -> None:
    """The sampler's shares are those of the processes that are there, and leave nothing out."""
    if n_processes() == 1 < sampler.num_replicas:
        raise DataError(
            f"The loader's DistributedSampler gives share {sampler.rank} of {sampler.num_replicas}, and "
            "torch.distributed is not initialised with as many processes: rows would be missing. Call "
            "torch.distributed.init_process_group first, or use a DataLoader without it."
        )
    expected = (dist.get_rank() if n_processes() > 1 else 0, n_processes())
    if (sampler.rank, sampler.num_replicas) != expected:
        raise DataError(
            f"The loader's DistributedSampler gives share {sampler.rank} of {sampler.num_replicas} in process "
            f"{expected[0]} of {expected[1]}; leave its rank and num_replicas out."
        )
    if sampler.drop_last:
        raise DataError("The DistributedSampler has drop_last=True, which leaves rows out; use drop_last=False.")


def home_device(model: nn.Module) -> torch.device:
    """Where a network is: each process has put its own there."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of process 0, as the forward of DistributedDataParallel does."""
    if isinstance(model, DistributedDataParallel) and model.broadcast_buffers:
        with torch.no_grad():
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)


def together(rows: Rows | None, failure: BaseException | None, model: nn.Module, *, total: int | None) -> Rows:
    """Every row of every process once, in the order of their numbers; the same in every process.

    ``total`` is the number of rows that there must be, where it is known. If a process failed, all of them raise: one
    that raised alone would leave the others waiting.
    """
    said = None if failure is None else f"{type(failure).__name__}: {failure}"
    report = Report(rows=rows, total=total, failure=said, weights=_checksums(model))
    reports = [report] * n_processes()
    dist.all_gather_object(reports, report)
    if failure is not None:
        raise failure
    for rank, report in enumerate(reports):
        if report.failure is not None:
            raise DataError(f"Process {rank} failed, so no process has predictions. It said: {report.failure}")
    _check_same_weights([report.weights for report in reports])
    totals = [report.total for report in reports if report.total is not None]
    joined = _joined([report.rows for report in reports if report.rows is not None])
    return once(joined, total=max(totals, default=None))


def _joined(shares: Sequence[Rows]) -> Rows:
    """The rows of all processes one after the other."""
    if not shares:
        raise DataError("No process had a batch; pass a DataLoader over a dataset with rows.")
    for share in shares:
        if share.logits.shape[1:] != shares[0].logits.shape[1:]:
            raise ShapeError(
                f"Processes have logits of different shapes: {shares[0].logits.shape} and {share.logits.shape}."
            )
    return Rows(
        logits=np.concatenate([share.logits for share in shares]),
        labels=np.concatenate([share.labels for share in shares]),
        index=np.concatenate([share.index for share in shares if share.index is not None]),
    )


def once(rows: Rows, *, total: int | None) -> Rows:
    """Each row once, in the order of its number; rows that fill up the last shares go."""
    assert rows.index is not None
    index, first, inverse = np.unique(rows.index, return_index=True, return_inverse=True)
    differs = rows.labels[first][inverse] != rows.labels
    if differs.any():
        row = int(np.argmax(differs))
        raise DataError(
            f"Row {rows.index[row]} came with label {rows.labels[first][inverse][row]} and again with label "
            f"{rows.labels[row]}: the numbers are not those of rows. The third part of a batch must be each row's "
            "number in the dataset; inputs of several parts belong together, ((a, b), labels)."
        )
    if total is not None and not np.array_equal(index, np.arange(total)):
        missing = np.setdiff1d(np.arange(total), index)
        raise DataError(
            f"{len(missing):,} of {total:,} rows came from no process, the first is row {missing[0]}: the samplers "
            "do not fit together. Give each the same dataset, seed and epoch."
        )
    return Rows(logits=rows.logits[first], labels=rows.labels[first], index=index)


def _checksums(model: nn.Module) -> dict[str, int]:
    """A sum of the bits of each tensor of a network: exact, and the same on every device."""
    return {name: _bit_sum(tensor) for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


def _bit_sum(tensor: Tensor) -> int:
    """Sum of the values' bit patterns, modulo 2^64."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return int(plain.contiguous().view(whole[plain.element_size()]).sum(dtype=torch.int64))


def _check_same_weights(checksums: Sequence[Mapping[str, int]]) -> None:
    """Raise for the first tensor that two processes hold differently: they would predict with different networks."""
    for rank, held in enumerate(checksums):
        differing = next((name for name in checksums[0] if held.get(name) != checksums[0][name]), None)
        if differing is not None:
            raise DataError(
                f"{differing} differs between process 0 and process {rank}: they would predict with different "
                "networks. Load the checkpoint in every process, or torch.distributed.broadcast(tensor, 0) each."
            )


LOADED = (
    "The third part of a batch must be each row's number in the dataset; inputs of several parts belong together, "
    "((a, b), labels)."
)


def check_single(index: Index, *, hint: str = LOADED) -> None:
    """In one process no row may come twice."""
    numbers, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        number = numbers[np.argmax(counts > 1)]
        raise DataError(f"Row number {number} came {counts.max()} times. {hint}")


def check_index(index: object, n_rows: int) -> Index:
    """Row numbers of one batch as int64 (n,)."""
    array = index.cpu().numpy() if isinstance(index, Tensor) else np.asarray(index)
    if array.shape != (n_rows,) or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise DataError(
            f"The third part of a batch has dtype {array.dtype} and shape {array.shape}; expected the numbers of its "
            f"{n_rows} rows in the dataset. Inputs of several parts belong together, ((a, b), labels)."
        )
    return array.astype(np.int64)
