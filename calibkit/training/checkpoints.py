"""A network's weights in a file, and back: all of them, bit for bit, or a clear error. Annex: training."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from calibkit._checks.options import listed
from calibkit.errors import DataError, InputFormatError, MissingExtraError, OptionError, ShapeError
from calibkit.files.atomic import atomic_write
from calibkit.files.contents import shown
from calibkit.files.safetensors import safetensors_contents
from calibkit.files.source import Source, naming_causes, open_source
from calibkit.training.archive import MAGIC, NO_LIMIT, loaded_archive

WEIGHTS = "weights.safetensors"
RESUME = "resume.pt"
WRAPPERS = ("module.", "_orig_mod.")  # of data parallelism and torch.compile, before every name

AnyPath = str | os.PathLike[str]
Weights = Mapping[str, Tensor]


def save_weights(model: nn.Module, path: AnyPath, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers of a network to a safetensors file, whole or not at all.

    Parameters
    ----------
    model : torch.nn.Module
        On any device. Tensors that are one and the same (tied weights) are written once, under their first name.
        A wrapper of torch.compile or DistributedDataParallel is looked through, so names are those of the network.
    path : path-like
        Of the file; what stood there stays until the new one is complete.
    metadata : mapping of str to str, optional
        Kept in the file's header. With one key the same weights give the same bytes; several are written in an order
        that changes from run to run.

    Raises
    ------
    OutputError
        If the file cannot be written; the old one is intact.
    DataError
        If the network's state holds something else than dense tensors with values.
    OptionError
        If metadata are not text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(nn.Linear(2, 2), f"{folder}/weights.safetensors", metadata={"epoch": "3"})
    ...     load_weights(nn.Linear(2, 2), f"{folder}/weights.safetensors")
    """
    require_safetensors()
    from safetensors.torch import save

    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise OptionError(f"metadata {key!r}: value is {value!r}; safetensors keeps text under text: str(value).")
    data = save(_separate(_state(model)), metadata=None if metadata is None else dict(metadata))
    with atomic_write(path) as file:
        file.write(data)


def load_weights(model: nn.Module, path: AnyPath) -> None:
    """Put the weights of a file into a network: every tensor of it, and nothing else.

    Parameters
    ----------
    model : torch.nn.Module
        Of the architecture that was saved, on any device. It is changed only if the whole file fits.
    path : path-like
        A safetensors file, or a .pt file that holds a state dict and nothing else.

    Raises
    ------
    InputFormatError
        If the file is missing, damaged or of another kind, or its names are not those of the network: the first
        missing and the first unexpected name are given.
    ShapeError
        If a tensor has another shape than the network's, or a type that the network's cannot hold exactly.

    Notes
    -----
    A .pt file is a Python pickle. It is read by ``torch.load(weights_only=True)`` of torch 2.10 or later alone, which
    builds tensors and plain containers; there is no way to read one otherwise.

    Examples
    --------
    >>> import tempfile
    >>> saved, loaded = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(saved, f"{folder}/weights.safetensors")
    ...     load_weights(loaded, f"{folder}/weights.safetensors")
    >>> torch.equal(saved.weight, loaded.weight)
    True
    """
    name = shown(str(path))
    bare(model).load_state_dict(fitted(model, _read(path, name), name))


def require_safetensors() -> None:
    """Raise, before anything is trained, if the weights could not be written afterwards."""
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise MissingExtraError('Checkpoints are safetensors files: pip install "calibkit[train]"') from error


def bare(model: nn.Module) -> nn.Module:
    """The network inside wrappers that only change how it runs: torch.compile and data parallelism."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, wrappers) or isinstance(getattr(model, "_orig_mod", None), nn.Module):
        model = model.module if isinstance(model, wrappers) else model._orig_mod  # type: ignore[assignment]
    return model


def fitted(model: nn.Module, found: Weights, name: str) -> dict[str, Tensor]:
    """Complete tensors for every name of a network, tied ones from whichever name the file has; or an error."""
    wanted = _state(model)
    given = dict(found)
    for group in _tied(wanted):
        present = [key for key in group if key in given]
        for key in present[1:]:
            if not _equal(given[key], given[present[0]]):
                raise InputFormatError(
                    f"{name}: {shown(present[0])} and {shown(key)} differ, but in this network they are one tensor; "
                    "it is of another architecture."
                )
        given.update({key: given[present[0]] for key in group if present})
    _check_names(wanted, given, name)
    for key, tensor in wanted.items():
        _check_tensor(key, tensor, given[key], name)
    return given


def _check_names(wanted: Weights, given: Weights, name: str) -> None:
    """Raise unless both have the same names."""
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    if not missing and not unexpected:
        return
    parts = []
    if missing:
        parts.append(f"lacks {shown(missing[0])} ({len(missing):,} of the network's {len(wanted):,} tensors missing)")
    if unexpected:
        parts.append(f"has {shown(unexpected[0])} ({len(unexpected):,} tensors that the network does not have)")
    prefix = next((prefix for prefix in WRAPPERS if all(key.startswith(prefix) for key in given)), None)
    why = "it is of another architecture. Build the network it was saved from."
    if prefix is not None:
        why = f"it was saved with a wrapper, whose names begin with {prefix!r}. Save it again by save_weights(model)."
    raise InputFormatError(f"{name}: {', and '.join(parts)}: {why}")


def _check_tensor(key: str, wanted: Tensor, given: Tensor, name: str) -> None:
    """Raise for a tensor that would not fit, or would lose digits."""
    if wanted.shape != given.shape:
        raise ShapeError(
            f"{name}: {shown(key)} has shape {tuple(given.shape)} in the file and {tuple(wanted.shape)} in the "
            "network: it is of another architecture."
        )
    counts = wanted.is_floating_point() and not given.is_floating_point()
    if counts or torch.promote_types(wanted.dtype, given.dtype) != wanted.dtype:
        raise ShapeError(
            f"{name}: {shown(key)} is {_dtype(given)} in the file and {_dtype(wanted)} in the network, which cannot "
            f"hold it exactly: load it into model.to(torch.{_dtype(given)})."
        )


def _state(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and persistent buffers by name, checked to be dense tensors with values."""
    state = dict(bare(model).state_dict())
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise DataError(f"The network's state {key!r} is a {type(value).__name__}; only tensors can be kept.")
        if nn.parameter.is_lazy(value) or value.device.type == "meta":
            raise DataError(f"The network's tensor {key!r} has no values yet; run the network on a batch first.")
        if value.layout is not torch.strided or value.is_quantized:
            raise DataError(f"The network's tensor {key!r} is sparse or quantised; only dense tensors can be kept.")
    return state


def _tied(state: Weights) -> Iterator[list[str]]:
    """Names that stand for one and the same tensor, first name first."""
    groups: dict[object, list[str]] = {}
    for key, tensor in state.items():
        if tensor.numel():
            place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            groups.setdefault(place, []).append(key)
    return (group for group in groups.values() if len(group) > 1)


def _separate(state: Weights) -> dict[str, Tensor]:
    """Tensors on the CPU without the second names of tied ones, contiguous, none sharing memory with another."""
    repeated = {key for group in _tied(state) for key in group[1:]}
    kept = {key: tensor.detach().cpu() for key, tensor in state.items() if key not in repeated}
    seen: set[int] = set()
    for key, tensor in kept.items():
        whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        alone = tensor.untyped_storage().data_ptr() not in seen
        if not (whole and alone):
            kept[key] = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(tensor.untyped_storage().data_ptr())
    return kept


def _read(path: AnyPath, name: str) -> Weights:
    """Tensors of a file of either kind."""
    if Path(path).is_dir():
        raise InputFormatError(f"{name}: is a folder; give the file in it that holds the weights, such as {WEIGHTS}.")
    with open_source(path, max_bytes=NO_LIMIT) as source:
        return _state_dict(source) if source.start(len(MAGIC)) == MAGIC else _safetensors(source)


def _safetensors(source: Source) -> Weights:
    """Tensors of a safetensors file."""
    require_safetensors()
    from safetensors.torch import load, load_file

    with naming_causes(source, "safetensors"):
        safetensors_contents(source)  # refuses names that occur twice, which the library does not
        source.file.seek(0)
        tensors: Weights = load(source.file.read()) if source.streamed else load_file(source.path)
    return tensors


def _state_dict(source: Source) -> Weights:
    """Tensors of a .pt file that holds nothing else."""
    held = loaded_archive(source)
    if isinstance(held, Mapping) and held and all(isinstance(value, Tensor) for value in held.values()):
        return {str(key): value for key, value in held.items()}
    what = f"a dictionary of {listed(list(held))}" if isinstance(held, Mapping) else f"a {type(held).__name__}"
    raise InputFormatError(
        f"{source.shown}: holds {what}, not a state dict. Save the weights alone: torch.save(model.state_dict(), "
        f"path), or calibkit.training.save_weights. Beside a {RESUME} of calibkit stands {WEIGHTS}."
    )


def _equal(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same values, NaN being the same as NaN."""
    alike = first.shape == second.shape and first.dtype == second.dtype
    return alike and bool(torch.isclose(first, second, rtol=0, atol=0, equal_nan=True).all())


def _dtype(tensor: Tensor) -> str:
    """Name a dtype as NumPy does."""
    return str(tensor.dtype).removeprefix("torch.")
