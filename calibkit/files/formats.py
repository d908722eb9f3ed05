"""From a path to its open contents: the format by its first bytes, which must agree with the extension. Floor 2."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from calibkit.errors import InputFormatError
from calibkit.files.arrow import ipc_contents, parquet_contents
from calibkit.files.contents import AnyArray, Batches, Contents, Look, Wanted, shown
from calibkit.files.jsonl import jsonl_contents
from calibkit.files.npz import npy_contents, npz_contents
from calibkit.files.pytorch import pytorch_contents
from calibkit.files.safetensors import safetensors_contents
from calibkit.files.source import AnyPath, Source, naming_causes, open_source
from calibkit.files.text import csv_contents

OPENERS: dict[str, Callable[[Source], Contents]] = {
    "npz": npz_contents,
    "npy": npy_contents,
    "safetensors": safetensors_contents,
    "pt": pytorch_contents,
    "csv": csv_contents,
    "parquet": parquet_contents,
    "arrow": ipc_contents,
    "jsonl": jsonl_contents,
}
EXTENSIONS = {
    **{".npz": "npz", ".npy": "npy", ".safetensors": "safetensors", ".pt": "pt", ".pth": "pt"},
    **{".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"},
    **{".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow"},
}
MAGIC = {b"\x93NUMPY": "npy", b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
ZIP = b"PK"
FOREIGN = {
    b"\x1f\x8b": "gzip: unpack it first (gunzip)",
    b"BZh": "bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ": "xz: unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "Zstandard: unpack it first (unzstd)",
    b"\x89HDF": "HDF5, which is not read: save the arrays with numpy.savez",
    b"FEA1": "Feather version 1: write it again with pyarrow.feather.write_feather",
    b"\x80": "a Python pickle, which is never loaded: where you trust it, save the arrays with numpy.savez",
    b"CKSTATE\n": "a state of calibkit evaluate --save-state: calibkit merge evaluates states (CalibrationState.load)",
    b"ustar": "a tar archive: unpack it first",
}


@contextmanager
def open_contents(
    path: AnyPath, *, max_bytes: int | None = None, by_block: bool = False
) -> Iterator[tuple[Source, Contents]]:
    """Open a file of any format; whatever its reader raises becomes an error that names the file."""
    with open_source(path, max_bytes=max_bytes, by_block=by_block) as source:
        name = format_of(source)
        with naming_causes(source, name):
            contents = OPENERS[name](source)
        _check_names(source, contents)
        read, stream = partial(_read, source, contents), partial(_stream, source, contents)
        yield source, replace(contents, read=read, stream=stream)


def format_of(source: Source) -> str:
    """The format that the file begins as; an error if its extension says another."""
    start = source.start(64)
    for magic, what in FOREIGN.items():
        if start.startswith(magic) and not _is_safetensors(source, start):
            raise InputFormatError(f"{source.shown}: is {what}")
    told = None if source.streamed else EXTENSIONS.get(source.suffix)
    begun = _begun(source, start, told)
    if told is None and begun == "csv" and not source.streamed:
        known = ", ".join(EXTENSIONS)
        raise InputFormatError(
            f"{source.shown}: the extension {shown(source.suffix) or '(none)'} is not known. Rename the file to what "
            f"it is: {known}."
        )
    if told is not None and begun != told:
        raise InputFormatError(
            f"{source.shown}: the extension says {told}, but the file begins like {begun}. Rename it, or write it again"
        )
    return begun


def _check_names(source: Source, contents: Contents) -> None:
    """Refuse two arrays or columns of one name: either could be meant."""
    names = [entry.name for entry in contents.entries]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputFormatError(f"{source.shown}: two arrays or columns are named {shown(twice)!r}; rename one")


def _read(source: Source, contents: Contents, wanted: Wanted) -> dict[str, AnyArray]:
    """Read, naming the cause of whatever goes wrong."""
    with naming_causes(source, contents.format):
        return contents.read(wanted)


def _stream(source: Source, contents: Contents, wanted: Wanted, block_rows: int, look: Look | None) -> Batches:
    """Read batch by batch, naming the cause of whatever goes wrong."""
    with naming_causes(source, contents.format):
        yield from contents.stream(wanted, block_rows, look)


def _begun(source: Source, start: bytes, told: str | None) -> str:
    """The format that the first bytes are those of."""
    for magic, name in MAGIC.items():
        if start.startswith(magic):
            return name
    if start.startswith(ZIP):
        return _zip_kind(source)
    if _is_safetensors(source, start):
        return "safetensors"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if told == "jsonl" or text.startswith(b"{") or (told is None and text.startswith(b"[")):
        return "jsonl"
    return _text_or_refuse(source, start, told)


def _text_or_refuse(source: Source, start: bytes, told: str | None) -> str:
    """CSV has no magic: it is what holds no NUL and is not said to be anything else."""
    if told not in (None, "csv"):
        raise InputFormatError(f"{source.shown}: is not a {told} file: it begins with {start[:8]!r}")
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputFormatError(f"{source.shown}: is neither text nor any format that is known; it begins {start[:8]!r}")
    return "csv"


def _is_safetensors(source: Source, start: bytes) -> bool:
    """Eight bytes of a length that the file could have, then a JSON object."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= source.size - 8


def _zip_kind(source: Source) -> str:
    """NumPy's zip archives hold .npy members, PyTorch's a data.pkl."""
    import zipfile

    with naming_causes(source, "zip archive"), zipfile.ZipFile(source.file) as archive:
        names = archive.namelist()
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "pt"
    if not names or any(name.endswith(".npy") for name in names):
        return "npz"
    raise InputFormatError(
        f"{source.shown}: is a zip archive that holds neither .npy arrays nor a PyTorch file: {shown(', '.join(names))}"
    )
