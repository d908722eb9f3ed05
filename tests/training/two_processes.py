"""What each of two gloo processes does in `test_distributed.py`; it leaves what it saw in a folder.

Run as ``python -m tests.training.two_processes RANK FOLDER``. The processes meet in a file, so no port can be taken.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from calibkit import Predictions
from calibkit.errors import CalibkitError
from calibkit.training import LabelSmoothingCrossEntropy, mlp, predict

N, D, K, WORLD = 11, 6, 3, 2
SMOOTHING = 0.1
PARTS = [8, 5, 9, 7, 6], [9, 0, 10, 1, 2, 3, 4]  # row 9 is in both


def dataset() -> TensorDataset:
    """Eleven rows: shares of two processes are filled up by one that is repeated."""
    generator = torch.Generator().manual_seed(7)
    return TensorDataset(torch.randn(N, D, generator=generator), torch.randint(K, (N,), generator=generator))


def dataset_of_none() -> TensorDataset:
    """No row."""
    return TensorDataset(*(tensor[:0] for tensor in dataset().tensors))


def network(*, mean: float = 0.0) -> nn.Sequential:
    """A network with buffers: the running mean of its norm."""
    model = nn.Sequential(nn.BatchNorm1d(D), *mlp(D, K, hidden=(5,), seed=2))
    model[0].running_mean.fill_(mean)
    return model


def wrapped(rank: int) -> DistributedDataParallel:
    """Buffers that differ, moved after wrapping, which makes them equal; process 0 has those of `network()`."""
    model = DistributedDataParallel(network())
    model.module[0].running_mean.fill_(rank)
    return model


def share(*, shuffle: bool = False, epoch: int = 0, **options: object) -> DataLoader:
    """The share of this process, in batches of four."""
    rows = dataset()
    sampler = DistributedSampler(rows, shuffle=shuffle, **options)
    sampler.set_epoch(epoch)
    return DataLoader(rows, batch_size=4, sampler=sampler)


def numbered(numbers: list[int]) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches of (inputs, labels, index) of these rows; of no rows, one batch of none."""
    inputs, labels = dataset().tensors
    batches = torch.tensor(numbers, dtype=torch.int64).split(3)
    return [(inputs[part], labels[part], part) for part in batches]


class Fussy(nn.Module):
    """Fails in the process that is told to."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.fails, self.head = fails, nn.Linear(D, K)
        nn.init.ones_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fails:
            raise ZeroDivisionError("only here")
        return self.head(x)


def relabelled(rank: int) -> list[tuple[torch.Tensor, ...]]:
    """Row 3 in both processes, with another label in the second."""
    (batch,) = numbered([3, 4 + rank])
    return [(batch[0], (batch[1] + torch.tensor([rank, 0])) % K, batch[2])]


def broken_off(rank: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """A loader that fails in the second process after its first batch."""
    yield from numbered([3 * rank, 3 * rank + 1])
    if rank == 1:
        raise ZeroDivisionError("after a batch")


Cases = dict[str, Callable[[], Predictions]]


def predicted(rank: int) -> Cases:
    """Calls that give both processes the same predictions."""
    return {
        "sampler": lambda: predict(network(), share()),
        "shuffled": lambda: predict(network(), share(shuffle=True, epoch=5)),
        "wrapped": lambda: predict(wrapped(rank), share()),
        "index": lambda: predict(network(), numbered(PARTS[rank])),
        "wrapped, by index": lambda: predict(wrapped(rank), numbered(PARTS[rank])),
        "one share is empty": lambda: predict(network(), numbered([] if rank else list(range(N)))),
        "more processes than rows": lambda: predict(
            network(), DataLoader(one := TensorDataset(*dataset()[:1]), sampler=DistributedSampler(one))
        ),
    }


def refused(rank: int) -> Cases:
    """Calls that raise in both processes."""
    return {
        "other weights": lambda: predict(mlp(D, K, seed=rank), share()),
        "other buffers": lambda: predict(network(mean=float(rank)), share()),
        "one fails": lambda: predict(Fussy(fails=rank == 1), share()),
        "one network fails, by index": lambda: predict(Fussy(fails=rank == 1), numbered(PARTS[rank])),
        "one loader fails, by index": lambda: predict(network(), broken_off(rank)),
        "other epochs": lambda: predict(network(), share(shuffle=True, epoch=rank)),
        "one rank for both": lambda: predict(network(), share(rank=0, num_replicas=2)),
        "rows are dropped": lambda: predict(network(), share(drop_last=True)),
        "another label": lambda: predict(network(), relabelled(rank)),
        "rows are missing": lambda: predict(network(), share() if rank else numbered([0, 2, 4])),
        "no rows at all": lambda: predict(network(), numbered([])),
        "no rows in the dataset": lambda: predict(
            network(), DataLoader(none := dataset_of_none(), sampler=DistributedSampler(none))
        ),
    }


def gradients(rank: int) -> dict[str, np.ndarray]:
    """Gradients of the smoothed loss in DistributedDataParallel, of equal shares and of shares that ignore rows."""
    inputs, labels = (tensor[:10] for tensor in dataset().tensors)
    found = {}
    model = DistributedDataParallel(mlp(D, K, hidden=(5,), seed=2))
    LabelSmoothingCrossEntropy(SMOOTHING)(model(inputs[rank::WORLD]), labels[rank::WORLD]).backward()
    found["mean"] = gradient(model)

    labels = labels.masked_fill(torch.arange(10) % 4 == 0, -100)  # process 0 has three rows to ignore, process 1 none
    mine = labels[rank::WORLD]
    n_counted = (mine != -100).sum()
    dist.all_reduce(n_counted)
    criterion = LabelSmoothingCrossEntropy(SMOOTHING, ignore_index=-100, reduction="sum")
    (criterion(model(inputs[rank::WORLD]), mine) * WORLD / n_counted).backward()
    found["sum"] = gradient(model)
    return found


def gradient(model: nn.Module) -> np.ndarray:
    """All gradients in one vector; they are cleared."""
    flat = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).numpy()
    model.zero_grad()
    return flat


def main(rank: int, folder: Path) -> None:
    """Meet the other process, do everything above in one order, and leave the outcomes."""
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD, timeout=timedelta(seconds=60))
    outcome: dict[str, np.ndarray] = {f"gradient of {name}": value for name, value in gradients(rank).items()}
    for name, make in predicted(rank).items():
        made = make()
        outcome |= {f"{name}/logits": made.logits, f"{name}/labels": made.labels, f"{name}/ids": made.ids}
    for name, make in refused(rank).items():
        try:
            make()
        except (CalibkitError, ZeroDivisionError) as error:
            outcome[f"{name}/error"] = np.array(f"{type(error).__name__}: {error}")
    if rank == 1:  # a plain loader is nobody else's business
        outcome["alone/logits"] = predict(network(), DataLoader(dataset(), batch_size=4)).logits
        try:
            predict(network(), [])
        except CalibkitError as error:
            outcome["alone/error"] = np.array(str(error))
    np.savez(folder / f"process{rank}.npz", **outcome)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
