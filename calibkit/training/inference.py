"""From a trained network and a loader to Predictions, without any particular training loop. Annex: training."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from calibkit.errors import DataError, InputFormatError, LimitError, ShapeError
from calibkit.predictions import Invalid, Predictions
from calibkit.training.devices import is_out_of_memory, resolve_device
from calibkit.training.distributed import (
    Index,
    Rows,
    check_index,
    check_single,
    distributed_sampler,
    home_device,
    n_processes,
    once,
    sampled_index,
    samplers,
    share_buffers,
    together,
    unwrapped,
)

SHUFFLERS = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
Prepare = Callable[[Any], Any]


def predict(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    device: str | torch.device = "auto",
    ids: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    provenance: Mapping[str, object] | None = None,
    invalid: Invalid = "error",
    label_base: int = 0,
    ignore_index: int | None = None,
) -> Predictions:
    """Predictions of any network over any loader of (inputs, labels), row by row in the loader's order.

    Logits are kept, not probabilities: in float32, or float64 if the network computes so.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits (n, k), or log-odds of class 1 (n,), or an object whose ``logits`` they are, as the classifiers
        of transformers do. It is run in eval mode without gradients; the mode of every submodule, and the device,
        are put back afterwards.
    loader : iterable of (inputs, labels) or (inputs, labels, index)
        Usually a DataLoader that does not shuffle. Inputs may be a tensor, or a tuple or dict of tensors: then the
        model is called as ``model(*inputs)`` or ``model(**inputs)``. The last batch may be shorter. An index holds
        each row's number in the dataset: rows are returned in its order.
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device, default "auto"
        Where it computes; "auto" takes CUDA, else MPS, else the CPU, and in several processes the device that the
        model is on.
    ids : array-like of shape (n,), optional
        Row ids, by which `compare` aligns files, in the order in which rows are returned; by default the index, or
        0..n-1.
    class_names : sequence of str, optional
        Names of the k classes.
    name : str, optional
        What results call these predictions.
    provenance : mapping, optional
        How they were made, kept in the predictions file; torch's version and the device are added.
    invalid, label_base, ignore_index
        Rows that are dropped, and labels that count from 1: as in `Predictions`.

    Returns
    -------
    Predictions
        Of kind "logits", with labels and ids.

    Raises
    ------
    DataError
        If the loader shuffles, drops the last rows, has no rows, or does not give (inputs, labels).
    ShapeError
        If logits are neither (n, k) nor (n,), or batches disagree.
    LimitError
        If the device has too little memory for a batch.
    OptionError
        If the device is not there.

    Notes
    -----
    A shuffling loader is refused because its rows come in another order each time, so that two networks' files could
    not be compared row by row.

    In several processes of torch.distributed, each predicts the share that its DistributedSampler gives it, or the
    rows that its loader numbers by an index. Every process then returns the same predictions: every row once, in the
    order of the index; the rows that a sampler repeats to fill the last shares are dropped by their number. All
    processes must call it. It is an error if they hold different weights. If one fails, all raise: with the sampler
    always; with an index once its first batch is there, which tells that other processes have rows too. What fails
    before it, or a loader that gives no batch, raises in its own process alone, and the others wait for it; so a
    process without rows gives one batch of none, with its index. A loader with neither sampler nor index is this
    process's own, and no other is asked: so one process alone may call it too. A network in DistributedDataParallel
    gets the buffers of process 0, as by its own forward.

    Examples
    --------
    >>> model = nn.Linear(2, 3)
    >>> batches = [(torch.randn(4, 2), torch.tensor([0, 2, 1, 1])), (torch.randn(1, 2), torch.tensor([0]))]
    >>> predictions = predict(model, batches, device="cpu", name="untrained")
    >>> predictions.logits.shape, predictions.ids.tolist()
    ((5, 3), [0, 1, 2, 3, 4])
    """
    chosen = _placed(model, device)
    rows = predicted_rows(model, loader, chosen)
    return as_predictions(
        rows,
        device=chosen,
        ids=ids,
        provenance=dict(provenance or {}),
        class_names=class_names,
        name=name,
        invalid=invalid,
        label_base=label_base,
        ignore_index=ignore_index,
    )


def as_predictions(
    rows: Rows, *, device: torch.device, ids: ArrayLike | None, provenance: Mapping[str, object], **reading: Any
) -> Predictions:
    """Rows with their ids, and how they were made; ``reading`` is what `Predictions.from_logits` takes besides."""
    if ids is None:
        ids = np.arange(len(rows.logits)) if rows.index is None else rows.index
    made = {"torch": torch.__version__, "device": str(device), **provenance}
    return Predictions.from_logits(rows.labels, rows.logits, ids=ids, provenance=made, **reading)


def _placed(model: nn.Module, device: str | torch.device) -> torch.device:
    """Where to compute: in several processes, each where it has put its network."""
    return home_device(model) if device == "auto" and n_processes() > 1 else resolve_device(device)


def predicted_rows(
    model: nn.Module,
    loader: Iterable[Any],
    device: torch.device,
    *,
    prepare: Prepare = lambda inputs: inputs,
) -> Rows:
    """Logits and labels of a loader's rows, and with several processes of all; inputs are prepared batch by batch."""
    share, rows, failure = _Share(model, loader), None, None
    try:
        refuse_disorder(loader)
        share.read_sampler(loader)
        batches = share.opened(loader)
        network = unwrapped(model)
        with _borrowed(network, device), evaluating(network):
            rows = share.predicted(network, batches, device, prepare)
    except Exception as error:
        if not share.is_one_of_several:
            raise
        failure = error
    if share.is_one_of_several:
        rows = together(rows, failure, unwrapped(model), total=share.total)
    elif rows is not None and rows.index is not None:
        check_single(rows.index)
        rows = once(rows, total=share.total)
    if rows is None or len(rows.logits) == 0:
        others = " A share without rows is one batch of none, with its index." if n_processes() > 1 else ""
        raise DataError(f"The loader gave no rows; a generator that has run out gives none: pass a DataLoader.{others}")
    return rows


class _Share:
    """The rows of this process: all of them, or one share of several, which its sampler or its first batch tells."""

    def __init__(self, model: nn.Module, loader: object) -> None:
        self.model = model
        self.sampled: Index | None = None
        self.total: int | None = None
        self.is_one_of_several = False
        if distributed_sampler(loader) is not None:
            self._join()  # before anything that may fail in one process alone

    def _join(self) -> None:
        """Be one share of several, whose networks get the same buffers before any of them predicts."""
        if n_processes() > 1 and not self.is_one_of_several:
            self.is_one_of_several = True
            share_buffers(self.model)

    def read_sampler(self, loader: Any) -> None:
        """Row numbers of this share, and how many rows all shares have, where a DistributedSampler knows them."""
        self.sampled = sampled_index(loader)
        if self.sampled is not None:
            self.total = len(loader.dataset)

    def opened(self, loader: Iterable[Any]) -> Iterator[Any]:
        """All batches, of which the first has told whether this is one share of several: it is if it has an index."""
        with torch.no_grad():
            batches = iter(loader)
            first = list(islice(batches, 1))
        if first and _parts(first[0])[2] is not None:
            self._join()
        return chain(first, batches)

    def predicted(
        self, network: nn.Module, batches: Iterable[Any], device: torch.device, prepare: Prepare
    ) -> Rows | None:
        """Run the network over the batches; None if there are none."""
        logits, labels, numbers = [], [], []
        for number, batch in enumerate(batches):
            inputs, targets, index = _parts(batch)
            logits.append(_on_cpu(_within_memory(network, prepare(inputs), device)))
            labels.append(_as_array(targets, n_rows=len(logits[-1]), number=number))
            if index is not None:
                numbers.append(check_index(index, len(logits[-1])))
        if not logits:
            return None
        _check_widths(logits, "logits")
        _check_widths(labels, "labels")
        found = Rows(logits=np.concatenate(logits), labels=np.concatenate(labels))
        return Rows(logits=found.logits, labels=found.labels, index=self._index(numbers, found, n_batches=len(logits)))

    def _index(self, numbers: Sequence[Index], found: Rows, *, n_batches: int) -> Index | None:
        """Row numbers from the batches, else from the sampler; None if neither tells."""
        if len(numbers) not in (0, n_batches):
            raise DataError(f"{len(numbers)} of {n_batches} batches have an index; give one in all or in none.")
        if numbers:
            return np.concatenate(numbers)
        if self.sampled is not None and not len(self.sampled) == len(found.logits) == len(found.labels):
            raise DataError(
                f"The DistributedSampler gives {len(self.sampled):,} rows, but the loader gave {len(found.logits):,} "
                f"logits and {len(found.labels):,} labels."
            )
        return self.sampled


def _within_memory(model: nn.Module, inputs: Any, device: torch.device) -> Tensor:
    """Run a batch; if the device has no room for it, say how large it was."""
    try:
        return call(model, inputs, device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise LimitError(
            f"{device}: not enough memory for a batch of {_batch_rows(inputs)} rows; make the batches smaller."
        ) from error


def _batch_rows(inputs: Any) -> object:
    """Rows of a batch of any nesting."""
    if isinstance(inputs, Mapping):
        return _batch_rows(next(iter(inputs.values()), None))
    if isinstance(inputs, tuple | list):
        return _batch_rows(next(iter(inputs), None))
    return len(inputs) if hasattr(inputs, "__len__") else "?"


def refuse_disorder(loader: object) -> None:
    """Raise for a DataLoader that shuffles, or leaves the last rows out."""
    if not isinstance(loader, DataLoader):
        return
    if any(isinstance(sampler, SHUFFLERS) or _says_it_shuffles(sampler) for sampler in samplers(loader)):
        raise DataError(
            "The loader shuffles, so rows have no order that a second network's file could share; make a DataLoader "
            "over the same dataset with shuffle=False."
        )
    if loader.drop_last or getattr(loader.batch_sampler, "drop_last", False):
        raise DataError("The loader has drop_last=True, which leaves rows out; make it with drop_last=False.")


def _says_it_shuffles(sampler: object) -> bool:
    """Whether a sampler shuffles in an order that cannot be known: that of a DistributedSampler can."""
    return getattr(sampler, "shuffle", False) is True and not isinstance(sampler, DistributedSampler)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a network in eval mode without gradients, then give every submodule its mode back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():  # in inference_mode, what a forward keeps could not be used in training afterwards
            yield
    finally:
        for module, training in modes:
            module.training = training  # train(mode) would thaw submodules that the user keeps in eval mode


@contextmanager
def _borrowed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Move a network to a device, then back to where it was."""
    home = next((parameter.device for parameter in model.parameters()), device)
    try:
        model.to(device)
        yield
    finally:
        model.to(home)


def forward(model: nn.Module, loader: Iterable[Any], device: torch.device) -> Iterator[tuple[Tensor, Any]]:
    """Logits on the device, and labels as they came, of each batch."""
    for batch in loader:
        inputs, labels = pair(batch)
        yield call(model, inputs, device), labels


def pair(batch: object) -> tuple[Any, Any]:
    """Return the (inputs, labels) that a batch must be."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    held = type(batch).__name__
    held = f"{held} of {len(batch)}" if isinstance(batch, tuple | list | dict) else held
    raise DataError(f"The loader gave a batch that is a {held}; expected a pair (inputs, labels).")


def _parts(batch: object) -> tuple[Any, Any, Any]:
    """Inputs, labels and, of a batch of three, the index; None without one."""
    if isinstance(batch, tuple | list) and len(batch) == 3:
        return batch[0], batch[1], batch[2]
    return *pair(batch), None


def call(model: nn.Module, inputs: object, device: torch.device) -> Tensor:
    """Run a network on one batch of inputs, and check that logits come out."""
    moved = on_device(inputs, device)
    if isinstance(moved, Mapping):
        output = model(**moved)
    elif isinstance(moved, tuple | list):
        output = model(*moved)
    else:
        output = model(moved)
    output = getattr(output, "logits", output)  # as the classifiers of transformers name them
    if not isinstance(output, Tensor):
        raise InputFormatError(
            f"The model returned {type(output).__name__}; expected a tensor of logits. Wrap it in a module that "
            "returns them."
        )
    return output


def on_device(inputs: Any, device: torch.device) -> Any:
    """Inputs of any nesting with every tensor on the device."""
    if isinstance(inputs, Mapping):
        return {key: on_device(value, device) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return [on_device(value, device) for value in inputs]
    return inputs.to(device, non_blocking=True) if hasattr(inputs, "to") else inputs


def _on_cpu(logits: Tensor) -> NDArray[Any]:
    """Logits (n, k) or log-odds (n,) as a NumPy array; half precisions are widened."""
    if logits.ndim == 2 and logits.shape[1] == 1:
        raise ShapeError(
            f"The model returned shape {tuple(logits.shape)}, one column; for log-odds of class 1 return (n,): "
            "output.squeeze(1)."
        )
    if logits.ndim not in (1, 2):
        raise ShapeError(f"The model returned shape {tuple(logits.shape)}; expected logits (n, k) or log-odds (n,).")
    wide = logits if logits.dtype == torch.float64 else logits.float()
    array: NDArray[Any] = wide.detach().cpu().numpy()  # a forward may take gradients of its own
    return array


def _as_array(labels: Any, *, n_rows: int, number: int) -> NDArray[Any]:
    """Labels of one batch as a NumPy array with one entry per row."""
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.shape[:1] != (n_rows,):
        raise ShapeError(
            f"Batch {number} has {n_rows} rows of logits, but labels of shape {array.shape}; expected one per row."
        )
    return array


def _check_widths(blocks: Sequence[NDArray[Any]], what: str) -> None:
    """Raise unless every batch has the same number of classes."""
    for number, block in enumerate(blocks):
        if block.shape[1:] != blocks[0].shape[1:]:
            raise ShapeError(f"Batch {number} has {what} of shape {block.shape}, but batch 0 {blocks[0].shape}.")
