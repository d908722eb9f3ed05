"""The user's own code: imported by name, said before it is, its errors told by file and line. Annex: training."""

import importlib
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from calibkit.errors import CalibkitError, InputFormatError, OptionError
from calibkit.render.names import sanitise

REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# What torch says of an error in a worker of a DataLoader, whose lines are in the message alone.
WORKER = "Original Traceback"
WORKER_LINE = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.M)
PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})


def is_reference(text: object) -> bool:
    r"""Whether a text names an attribute of a module.

    Examples
    --------
    >>> is_reference("nets.small:build"), is_reference("rows.npz"), is_reference("C:\\rows.npz")
    (True, False, False)
    """
    return isinstance(text, str) and REFERENCE.fullmatch(text) is not None


def load_attribute(reference: str, *, option: str, example: str) -> Any:
    """Import ``package.module:attribute``, having said so on standard error; the current folder is looked in too."""
    if not is_reference(reference):
        raise OptionError(f"{option}={reference!r}: expected package.module:{example}.")
    name, _, path = reference.partition(":")
    if name not in sys.modules:
        spec = _find(name, option=option, reference=reference)
        sys.stderr.write(f"importing {path} from {name} (file {sanitise(_file(spec))})\n")
    with told_by_line(f"{option}={reference!r}: importing {name}"):
        module = importlib.import_module(name)
    return _attribute(module, path, option=option, reference=reference)


def make_model(factory: object, *, option: str = "model") -> nn.Module:
    """Network that a factory without arguments returns; the factory itself or where it is."""
    shown = f"{option}={factory!r}" if isinstance(factory, str) else option
    made = load_attribute(factory, option=option, example="factory") if isinstance(factory, str) else factory
    if isinstance(made, nn.Module) or not callable(made):
        raise OptionError(
            f"{shown}: is of type {type(made).__name__}; expected a function without arguments, or a class, that makes "
            "the network: weights are loaded into a new one."
        )
    with told_by_line(f"{shown}: making the network"):
        model = made()
    if not isinstance(model, nn.Module):
        raise InputFormatError(f"{shown}: returned {type(model).__name__}; expected a torch.nn.Module.")
    return model


def make_loader(source: object, *, option: str = "data") -> Iterable[Any]:
    """Batches of a loader, of a function that returns one, or of where either is."""
    shown = f"{option}={source!r}" if isinstance(source, str) else option
    found = load_attribute(source, option=option, example="loader") if isinstance(source, str) else source
    if callable(found) and not isinstance(found, Iterable):
        with told_by_line(f"{shown}: making the loader"):
            found = found()
    if not isinstance(found, Iterable):
        raise InputFormatError(
            f"{shown}: gave {type(found).__name__}; expected an iterable of (inputs, labels), or a function without "
            "arguments that returns one."
        )
    return found


def name_of(thing: object) -> str:
    """How provenance calls a factory or loader: where it is, ``package.module:attribute``."""
    if isinstance(thing, str):
        return thing
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


@contextmanager
def told_by_line(doing: str) -> Iterator[None]:
    """Turn what the user's code raises into an error with its file and line; what it prints goes to standard error."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (CalibkitError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise InputFormatError(f"{doing}: {_where(error)}{_said(error)}") from error


def _find(name: str, *, option: str, reference: str) -> ModuleSpec:
    """Find a module without importing anything, its packages neither."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as python -m does; it stays, for code that imports later
        importlib.invalidate_caches()
    spec, path = None, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        inner = ".".join(parts[:end])
        spec = next((s for finder in sys.meta_path if (s := finder.find_spec(inner, path))), None)
        if spec is None:
            folder = Path.cwd() if path is None else Path(next(iter(path), "."))
            near = get_close_matches(parts[end - 1], sorted(_modules(folder)))
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise OptionError(
                f"{option}={reference!r}: there is no module {inner} in {folder}, or where Python looks for "
                f"modules.{hint}"
            )
        path = spec.submodule_search_locations
        if path is None and end < len(parts):
            hint = f" Write {inner}, without .py." if parts[end] == "py" else ""
            raise OptionError(
                f"{option}={reference!r}: {inner} is a module, not a package; it holds no module {parts[end]}.{hint}"
            )
    assert spec is not None
    return spec


def _modules(folder: Path) -> Iterator[str]:
    """Names of the modules and packages in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            yield path.stem


def _file(spec: ModuleSpec) -> str:
    """The file that a module is in; of a package without one, its folder."""
    return spec.origin or next(iter(spec.submodule_search_locations or ()), "unknown")


def _attribute(module: ModuleType, path: str, *, option: str, reference: str) -> Any:
    """Walk to an attribute; a missing one names what is near."""
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            near = get_close_matches(part, public) or public[:10]
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise OptionError(f"{option}={reference!r}: {module.__name__} has no {part}.{hint}")
        found = getattr(found, part)
    return found


def _where(error: BaseException) -> str:
    """The last line of the user's own code that an error came through."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}: "
    frames = [(frame.filename, str(frame.lineno), frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    if WORKER in str(error):
        frames += WORKER_LINE.findall(str(error))
    others = [frame for frame in frames if not frame[0].startswith(f"{PACKAGE}{os.sep}")]
    own = [frame for frame in others if not frame[0].startswith((*_INSTALLED, "<"))]
    if not others:
        return ""
    file, line, name = (own or others)[-1]
    return f"{file}, line {line}, in {name}: "


def _said(error: BaseException) -> str:
    """What an error says, on one line."""
    if isinstance(error, SystemExit):
        return f'it ends the program (SystemExit: {error.code}); put that under if __name__ == "__main__":'
    if WORKER in str(error):
        return str(error).rstrip().splitlines()[-1]
    message = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
