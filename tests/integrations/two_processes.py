"""What each of two gloo processes does in `test_torch_processes.py`; it leaves what it saw in a folder.

Run as ``python -m tests.integrations.two_processes RANK FOLDER``. They meet in a file, so no port can be taken.
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from calibkit.errors import CalibkitError
from calibkit.integrations.torch import CalibrationMetric, share

N, K, WORLD = 1001, 10, 2


def rows() -> dict[str, torch.Tensor]:
    """An odd number of rows: shares of two processes are filled up by one that is repeated."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(N, K, generator=generator) * 4
    labels = torch.randint(K, (N,), generator=generator)
    probs = torch.softmax(logits.double(), dim=1)
    top1 = {"predicted": logits.argmax(dim=1), "confidence": probs.amax(dim=1)}
    weights = torch.rand(N, generator=generator)
    return {"logits": logits, "labels": labels, "probs": probs, "weights": weights, **top1}


def fed(names: str, numbers: torch.Tensor, *, ids: bool = False, step: int = 100, **options) -> CalibrationMetric:
    """A metric of these rows, in batches."""
    metric = CalibrationMetric(**options)
    given = {name: rows()[name] for name in names.split()}
    for part in numbers.split(step):
        more = {"ids": part} if ids else {}
        metric.update(**{name: tensor[part] for name, tensor in given.items()}, **more)
    return metric


def sampled() -> CalibrationMetric:
    """A validation loop over the share that a DistributedSampler gives, which repeats a row."""
    dataset = TensorDataset(rows()["logits"], rows()["labels"], torch.arange(N))
    metric = CalibrationMetric()
    for logits, labels, ids in DataLoader(dataset, batch_size=64, sampler=DistributedSampler(dataset, shuffle=True)):
        metric.update(labels=labels, logits=logits, ids=ids)
    return metric


def collected(numbers: torch.Tensor) -> CalibrationMetric:
    """What a MetricCollection of torchmetrics holds after it has been computed."""
    from torchmetrics import MetricCollection

    from calibkit.integrations.torchmetrics import Calibration

    collection = MetricCollection({"one": Calibration(preds="logits"), "other": Calibration(preds="logits")})
    for part in numbers.split(100):
        collection.update(rows()["logits"][part], rows()["labels"][part])
    collection.compute()
    return collection["other"].metric


Cases = dict[str, Callable[[], CalibrationMetric]]


def same(rank: int) -> Cases:
    """Metrics whose result is that of one process that has all rows."""
    mine = torch.arange(N)[rank::WORLD]
    whole, none = torch.arange(N), torch.arange(0)
    mixed = torch.randperm(N, generator=torch.Generator().manual_seed(5)).tensor_split([300])[rank]
    faces = {"torchmetrics": lambda: collected(mine)} if find_spec("torchmetrics") else {}
    return faces | {
        "logits": lambda: fed("labels logits", mine),
        "weights": lambda: fed("labels logits weights", mine, step=77),
        "probs": lambda: fed("labels probs", mine),
        "top1": lambda: fed("labels predicted confidence", mine),
        "blocks of 1": lambda: fed("labels logits", mine, step=1),
        "blocks of 7": lambda: fed("labels logits", mine, step=7),
        "another order": lambda: fed("labels logits", mixed),
        "uneven": lambda: fed("labels logits", whole[:10] if rank else whole[10:]),
        "one has no rows": lambda: fed("labels logits", none if rank else whole),
        "sampler": sampled,
        "one has no ids": lambda: fed("labels logits", none if rank else whole, ids=True),
        "overlap": lambda: fed("labels logits", whole[400:] if rank else whole[:600], ids=True),
    }


def on_device(rank: int) -> Cases:
    """The same by the path of a device."""
    mine = torch.arange(N)[rank::WORLD]
    return {
        "device": lambda: fed("labels probs weights", mine),
        "device, overlap": lambda: fed("labels probs", torch.arange(N)[400 * rank : 401 + 600 * rank], ids=True),
    }


def bad(rank: int) -> CalibrationMetric:
    """A bad value on the device of one process."""
    metric = CalibrationMetric()
    probs = rows()["probs"].clone()
    probs[3, 2] += rank
    metric.update(labels=rows()["labels"], probs=probs)
    return metric


def relabelled(rank: int) -> CalibrationMetric:
    """The same ids with other labels."""
    metric = CalibrationMetric()
    metric.update(labels=(rows()["labels"] + rank) % K, logits=rows()["logits"], ids=torch.arange(N))
    return metric


def refused(rank: int) -> Cases:
    """Metrics whose result is an error in both processes."""
    whole = torch.arange(N)
    return {
        "one has a bad value": lambda: bad(rank),
        "another label": lambda: relabelled(rank),
        "other bins": lambda: fed("labels logits", whole, n_bins=10 + rank),
        "other kinds": lambda: fed("labels probs" if rank else "labels logits", whole),
        "ids in one": lambda: fed("labels logits", whole, ids=bool(rank)),
        "no rows": CalibrationMetric,
    }


def outcome(make: Callable[[], CalibrationMetric]) -> dict[str, object]:
    """Digest of the state, and the evaluation; or the error."""
    try:
        metric = make()
        return {"digest": metric.state().digest, "evaluation": metric.compute().to_dict()}
    except CalibkitError as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main(rank: int, folder: Path) -> None:
    """Meet the other process, do everything above in one order, and leave the outcomes."""
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD, timeout=timedelta(seconds=60))
    found = {name: outcome(make) for name, make in same(rank).items()}
    if rank == 1:
        found["own"] = outcome(lambda: fed("labels logits", torch.arange(5), processes="own"))
    share.is_read_on_host = lambda _: False  # a device's path, on the CPU
    found |= {name: outcome(make) for name, make in (on_device(rank) | refused(rank)).items()}
    (folder / f"process{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
