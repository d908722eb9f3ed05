"""From a trained network and a loader to Predictions, without any particular training loop. Annex: training."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from calibkit.errors import DataError, InputFormatError, ShapeError
from calibkit.predictions import Predictions
from calibkit.training.devices import resolve_device

SHUFFLERS = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def predict(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    device: str | torch.device = "auto",
    ids: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    provenance: Mapping[str, object] | None = None,
) -> Predictions:
    """Predictions of any network over any loader of (inputs, labels), row by row in the loader's order.

    Logits are kept, not probabilities: in float32, or float64 if the network computes so.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits (n, k), or log-odds of class 1 (n,). It is run in eval mode without gradients; the mode of every
        submodule, and the device, are put back afterwards.
    loader : iterable of (inputs, labels)
        Usually a DataLoader that does not shuffle. Inputs may be a tensor, or a tuple or dict of tensors: then the
        model is called as ``model(*inputs)`` or ``model(**inputs)``. The last batch may be shorter.
    device : {"auto", "cpu", "cuda", "cuda:i", "mps"} or torch.device, default "auto"
        Where it computes; "auto" takes CUDA, else MPS, else the CPU.
    ids : array-like of shape (n,), optional
        Row ids, by which `compare` aligns files; 0..n-1 by default.
    class_names : sequence of str, optional
        Names of the k classes.
    name : str, optional
        What results call these predictions.
    provenance : mapping, optional
        How they were made, kept in the predictions file; torch's version and the device are added.

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
    OptionError
        If the device is not there.

    Notes
    -----
    A shuffling loader is refused because its rows come in another order each time, so that two networks' files could
    not be compared row by row.

    Examples
    --------
    >>> model = nn.Linear(2, 3)
    >>> batches = [(torch.randn(4, 2), torch.tensor([0, 2, 1, 1])), (torch.randn(1, 2), torch.tensor([0]))]
    >>> predictions = predict(model, batches, device="cpu", name="untrained")
    >>> predictions.logits.shape, predictions.ids.tolist()
    ((5, 3), [0, 1, 2, 3, 4])
    """
    refuse_disorder(loader)
    chosen = resolve_device(device)
    with _borrowed(model, chosen), evaluating(model):
        batches = [(_on_cpu(logits), _as_array(labels)) for logits, labels in forward(model, loader, chosen)]
    if not batches:
        raise DataError("The loader gave no batch; a generator that has run out gives none: pass a DataLoader.")
    _check_widths([logits for logits, _ in batches])
    logits = np.concatenate([logits for logits, _ in batches])
    return Predictions.from_logits(
        np.concatenate([labels for _, labels in batches]),
        logits,
        ids=np.arange(len(logits)) if ids is None else ids,
        class_names=class_names,
        name=name,
        provenance={"torch": torch.__version__, "device": str(chosen), **(provenance or {})},
    )


def refuse_disorder(loader: object) -> None:
    """Raise for a DataLoader that shuffles, or leaves the last rows out."""
    if not isinstance(loader, DataLoader):
        return
    samplers = (loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    if any(isinstance(sampler, SHUFFLERS) or getattr(sampler, "shuffle", False) is True for sampler in samplers):
        raise DataError(
            "The loader shuffles, so rows have no order that a second network's file could share; make a DataLoader "
            "over the same dataset with shuffle=False."
        )
    if loader.drop_last:
        raise DataError("The loader has drop_last=True, which leaves rows out; make it with drop_last=False.")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a network in eval mode without gradients, then give every submodule its mode back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.inference_mode():
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


def call(model: nn.Module, inputs: object, device: torch.device) -> Tensor:
    """Run a network on one batch of inputs, and check that logits come out."""
    moved = on_device(inputs, device)
    if isinstance(moved, Mapping):
        output = model(**moved)
    elif isinstance(moved, tuple | list):
        output = model(*moved)
    else:
        output = model(moved)
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
    array: NDArray[Any] = wide.cpu().numpy()
    return array


def _as_array(labels: Any) -> NDArray[Any]:
    """Labels of one batch as a NumPy array (n,)."""
    return labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)


def _check_widths(blocks: Sequence[NDArray[Any]]) -> None:
    """Raise unless every batch has the same number of classes."""
    for number, block in enumerate(blocks):
        if block.shape[1:] != blocks[0].shape[1:]:
            raise ShapeError(f"Batch {number} has logits of shape {block.shape}, but batch 0 {blocks[0].shape}.")
