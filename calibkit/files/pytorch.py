"""PyTorch's .pt and .pth: tensors alone, by the restricted unpickler of a version that is safe. Floor 2."""

import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from calibkit._checks import as_float32
from calibkit.errors import InputFormatError, LimitError, MissingExtraError
from calibkit.files.contents import AnyArray, Batches, Contents, Entry, Look, Wanted, described, shown
from calibkit.files.source import Source
from calibkit.files.stepping import StoredRows, in_step

if TYPE_CHECKING:
    import torch

OLDEST_SAFE = (2, 10)  # CVE-2025-32434 and CVE-2026-24747 got past weights_only=True before
INSTALL = 'pip install "calibkit[train]"'
PREDICTIONS = '{"labels": labels, "logits": logits}'


def pytorch_contents(source: Source) -> Contents:
    """The tensors of a dictionary, one level of nesting written with a dot, or one tensor called ``array``."""
    torch = _safe_torch(source)
    loaded = load_archive(source)
    single = isinstance(loaded, torch.Tensor)
    tensors: dict[str, Any] = {source.stem: loaded} if single else dict(_named_tensors(loaded, torch))
    if not tensors:
        raise InputFormatError(
            f"{source.shown}: holds {_kind_of(loaded)}, no tensors. Save a dictionary: torch.save({PREDICTIONS}, path)."
        )

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Give the tensors that are wanted to NumPy."""
        source.check_bytes(sum(_n_bytes(tensors[name]) for name in wanted), what=", ".join(wanted))
        return {name: _values(source, name, tensors[name]) for name in wanted}

    def stream(wanted: Wanted, block_rows: int, _: Look | None) -> Batches:
        """Give the tensors that are wanted to NumPy, some rows at a time."""
        source.check_bytes(sum(_n_bytes(tensors[name]) for name in wanted), what=", ".join(wanted))
        return in_step({name: _rows(source, name, tensors[name]) for name in wanted}, block_rows)

    entries = tuple(
        Entry(name=name, shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))
        for name, tensor in tensors.items()
    )
    return Contents(format="pt", entries=entries, read=read, stream=stream, sole="array" if single else None)


def load_archive(source: Source, *, example: str = PREDICTIONS) -> object:
    """Load tensors and plain containers of a file of torch.save; ``example`` is what the user should have saved."""
    torch = _safe_torch(source)
    _check_archive(source)
    return _loaded(source, torch, example)


def _safe_torch(source: Source) -> Any:
    """Import torch, if it is there and recent enough to be trusted with a stranger's file."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"{source.shown}: reading .pt files needs torch: {INSTALL}") from error
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST_SAFE:
        raise MissingExtraError(
            f"{source.shown}: reading .pt files safely needs torch 2.10 or later, and {torch.__version__} is "
            f"installed: {INSTALL}"
        )
    return torch


def _check_archive(source: Source) -> None:
    """A .pt file is a zip archive that stores its members as they are: nothing in it can grow."""
    with zipfile.ZipFile(source.file) as archive:
        members = archive.infolist()
        damaged = archive.testzip() if source.by_block else None  # torch compares no checksums of what it maps
    if damaged is not None:
        raise InputFormatError(f"{source.shown}: the checksum of {shown(damaged)} is wrong; the file is damaged")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputFormatError(f"{source.shown}: holds compressed members, which torch.save does not write")
    if sum(member.file_size for member in members) > source.size:
        raise LimitError(f"{source.shown}: claims more bytes than the file has; it is damaged")
    source.check_bytes(source.size, what="the file")
    source.file.seek(0)


def _loaded(source: Source, torch: Any, example: str) -> object:
    """Load with weights_only=True: tensors and plain containers, nothing that could act."""
    from pickle import UnpicklingError

    mapped = source.by_block and not source.streamed and not source.remote
    try:
        return torch.load(source.path if mapped else source.file, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise InputFormatError(
            f"{source.shown}: holds Python objects other than tensors, which are never loaded. Where you trust the "
            f"file, save the tensors alone: torch.save({example}, path)."
        ) from error


def _named_tensors(loaded: object, torch: Any) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Tensors of a dictionary, and of the dictionaries in it."""
    if not isinstance(loaded, Mapping):
        return
    for key, value in loaded.items():
        if isinstance(value, torch.Tensor):
            yield str(key), value
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", t) for inner, t in value.items() if isinstance(t, torch.Tensor))


def _n_bytes(tensor: "torch.Tensor") -> int:
    """Bytes of the tensor once it is written out: a view of one number can claim any shape."""
    return int(tensor.numel()) * int(tensor.element_size())


def _values(source: Source, name: str, tensor: "torch.Tensor", *, copied: bool = False) -> AnyArray:
    """Give one tensor's values, bfloat16 as float32."""
    import torch

    where = f"{source.shown}:{shown(name)}"
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise InputFormatError(f"{where}: a {tensor.layout} tensor on {tensor.device}; save a dense one")
    if _n_bytes(tensor) > source.size:
        raise LimitError(f"{where}: claims {_n_bytes(tensor):,} bytes in a file of {source.size:,}")
    dense = tensor.detach().resolve_conj().resolve_neg().contiguous()
    dense = dense.clone() if copied else dense
    if tensor.dtype is torch.bfloat16:
        return as_float32(dense.view(torch.int16).numpy().view(np.uint16))
    return dense.numpy()


def _rows(source: Source, name: str, tensor: "torch.Tensor") -> StoredRows:
    """Rows of one tensor, copied out of the map of the file."""

    def take(start: int, stop: int) -> AnyArray:
        """Copy some rows."""
        return _values(source, name, tensor[start:stop], copied=True)

    return StoredRows(n_rows=len(tensor), take=take)


def _kind_of(loaded: object) -> str:
    """Say what was found in place of tensors."""
    if isinstance(loaded, Mapping):
        entries = [Entry(name=str(key), shape=(), dtype=type(value).__name__) for key, value in loaded.items()]
        return f"a dictionary of {described(entries)}"
    return f"a {type(loaded).__name__}"
