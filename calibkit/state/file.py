"""The file of a state: a header in JSON, raw integers, a checksum; docs/state-file.md describes it. Floor 3."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from calibkit._checks.options import quoted
from calibkit._numerics import Integers
from calibkit.errors import CalibkitError, InputFormatError
from calibkit.exact import LIMB_BITS, N_LIMBS
from calibkit.files.atomic import atomic_write
from calibkit.files.source import AnyPath, open_source
from calibkit.files.strict_json import strict_json
from calibkit.sampled_rows import N_LABELS, RowSketch
from calibkit.state.settings import StateSettings
from calibkit.state.sources import Source
from calibkit.tally import GRID, Facts, Tally

MAGIC = b"CKSTATE\n"
FORMAT = "calibkit.state/1"
_DIGEST = 32
_LENGTH = 8
_OF_RAGGED = ("n_single", "fewest_choices", "most_choices")
_MAY_BE_ABSENT = ("first_label", "last_label", "max_sum_deviation", "fewest_choices", "most_choices")


def state_bytes(settings: StateSettings, tally: Tally | None, notes: tuple[str, ...], sources: Any) -> Iterator[bytes]:
    """The file in pieces: magic, length of the header, header, arrays, checksum; of equal states the same bytes."""
    arrays = {} if tally is None else dict(_arrays(tally))
    header = {
        "format": FORMAT,
        "grid": GRID,
        "settings": settings.to_dict(),
        "facts": None if tally is None else _plain_facts(tally.facts),
        "notes": list(notes),
        "sources": [asdict(source) for source in sources],
        "arrays": [[name, list(array.shape)] for name, array in arrays.items()],
    }
    text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
    digest = hashlib.sha256()
    for piece in (MAGIC, len(text).to_bytes(_LENGTH, "little"), text, *(array.tobytes() for array in arrays.values())):
        digest.update(piece)
        yield piece
    yield digest.digest()


def digest_of(settings: StateSettings, tally: Tally | None) -> str:
    """SHA-256 of the settings and the sums: what rows are held, whatever they came from."""
    digest = hashlib.sha256()
    for piece in state_bytes(settings, tally, (), ()):
        digest.update(piece)
    return digest.hexdigest()


def write_state(
    path: AnyPath, settings: StateSettings, tally: Tally | None, notes: tuple[str, ...], sources: tuple[Source, ...]
) -> None:
    """Write the file whole or not at all."""
    with atomic_write(path) as file:
        for piece in state_bytes(settings, tally, notes, sources):
            file.write(piece)


def read_state(path: AnyPath) -> tuple[StateSettings, Tally | None, tuple[str, ...], tuple[Source, ...]]:
    """Read a file back, or say what is wrong with it."""
    with open_source(path) as file:
        file.check_bytes(file.size, what="the state")
        return state_from_bytes(file.file.read(), file.shown)


def state_from_bytes(
    content: bytes, name: str
) -> tuple[StateSettings, Tally | None, tuple[str, ...], tuple[Source, ...]]:
    """The state whose file has this content; the name begins every complaint."""
    header, body = _checked(content, name)
    try:
        return _state(header, body)
    except CalibkitError as error:
        raise InputFormatError(f"{name}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputFormatError(f"{name}: is not a state that calibkit wrote ({error!r})") from error


def _checked(content: bytes, name: str) -> tuple[Mapping[str, Any], memoryview]:
    """Header and arrays of a file that is whole and of this version."""
    if not content.startswith(MAGIC):
        raise InputFormatError(
            f"{name}: is not a file of a calibkit state (.ckst); calibkit evaluate FILE --save-state OUT.ckst "
            "makes one of predictions"
        )
    if (
        len(content) < len(MAGIC) + _LENGTH + _DIGEST
        or hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]
    ):
        raise InputFormatError(f"{name}: is truncated or damaged: its checksum is wrong. Make the state again.")
    start = len(MAGIC) + _LENGTH
    stop = start + int.from_bytes(content[len(MAGIC) : start], "little")
    try:
        header = strict_json(content[start:stop])
        written, grid = header["format"], header["grid"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputFormatError(f"{name}: is not a state that calibkit wrote: its header is no header") from error
    if (written, grid) != (FORMAT, GRID):
        raise InputFormatError(
            f"{name}: has format {quoted(written)} with grid {quoted(grid)}, and this calibkit reads {FORMAT!r} with "
            f"grid {GRID}. Read it with the calibkit that wrote it, or make the state again."
        )
    return header, memoryview(content)[stop:-_DIGEST]


def _arrays(tally: Tally) -> Iterator[tuple[str, Integers]]:
    """Arrays in a fixed order: of the cells, only those that hold rows."""
    filled = np.flatnonzero(tally.count)
    yield "cells", filled.astype("<i8")
    yield "count", tally.count[filled].astype("<i8")
    yield "extent", (tally.extent[:, filled] + 0.0).astype("<f8").view("<i8")  # no -0.0
    if tally.classes is not None:
        yield "classes", tally.classes.astype("<i8")
    pairs = np.flatnonzero(() if tally.class_counts is None else tally.class_counts[0])
    if tally.class_counts is not None:
        yield "class_cells", pairs.astype("<i8")
        yield "class_counts", tally.class_counts[:, pairs].astype("<i8")
    if tally.sketch is not None:
        yield "row_hashes", tally.sketch.hashes.astype("<u8").view("<i8")
        yield "row_counts", tally.sketch.counts.astype("<i8")
        yield "row_cells", tally.sketch.cells.astype("<i4").view("<i8")  # two in one
    for name, sums in sorted(tally.sums.items()):
        where = _where(name, filled, pairs)
        held = sums if where is None else sums.at(where)
        yield name, np.vstack([held.limbs, held.beyond]).astype("<i8")


def _where(name: str, filled: Any, pairs: Any) -> Any:
    """The cells of which sums are kept, or None: all."""
    if name in ("forecast", "weight", "weight_squared"):
        return filled
    return pairs if name == "class_forecast" else None


def _state(header: Mapping[str, Any], body: memoryview) -> tuple[Any, ...]:
    settings = StateSettings.from_dict(header["settings"])
    sources = tuple(Source(**source) for source in header["sources"])
    notes = tuple(header["notes"])
    if not (isinstance(header["notes"], list) and all(isinstance(note, str) for note in notes)):
        raise InputFormatError("has notes that are no text")
    if header["facts"] is None:
        return settings, None, notes, sources
    stored = dict(_stored(header["arrays"], body))
    if settings.kind != "correct" and settings.n_classes is not None and len(stored["classes"]) != settings.n_classes:
        raise InputFormatError("does not have a count for each class")  # before there is room made for them
    tally = settings.empty_tally()
    if tally is None:
        raise InputFormatError("holds sums without saying of what")
    tally.facts = _facts(header["facts"])
    cells = _inside(stored["cells"], len(tally.count))
    tally.count[cells] = stored["count"]
    tally.extent[:, cells] = stored["extent"].view(np.float64)
    if tally.classes is not None:
        tally.classes[:] = stored["classes"]
    pairs = stored.get("class_cells", cells[:0])
    if tally.class_counts is not None:
        tally.class_counts[:, _inside(pairs, tally.class_counts.shape[1])] = stored["class_counts"]
        tally.sketch = _sketch(stored, tally)
    for name, sums in tally.sums.items():
        where = _where(name, cells, pairs)
        where = slice(None) if where is None else where
        sums.limbs[:, where], sums.beyond[where] = stored[name][:N_LIMBS], stored[name][N_LIMBS]
    _check_counts(tally)
    return settings, tally, notes, sources


def _sketch(stored: Mapping[str, Integers], tally: Tally) -> RowSketch | None:
    """The sample of rows; None in a file that was written before there was one."""
    if "row_hashes" not in stored or tally.sketch is None:
        return None
    return replace(
        tally.sketch,
        hashes=stored["row_hashes"].astype("<i8").view("<u8").astype(np.uint64),
        counts=stored["row_counts"],
        cells=stored["row_cells"].astype("<i8").view("<i4").astype(np.int32),
    )


def _inside(cells: Integers, count: int) -> Integers:
    """Numbers of different cells, increasing, among so many."""
    if len(cells) and not (cells[0] >= 0 and cells[-1] < count and np.all(np.diff(cells) > 0)):
        raise InputFormatError("holds cells that are not in the grid")
    return cells


def _plain_facts(facts: Facts) -> dict[str, Any]:
    """Plain JSON; what is told of ragged rows alone is left out of others, as before there were such."""
    return {name: value for name, value in asdict(facts).items() if facts.most_choices or name not in _OF_RAGGED}


def _facts(values: Mapping[str, Any]) -> Facts:
    """Counts and extremes, each of its type."""
    for name, value in values.items():
        whole = value is None if name in _MAY_BE_ABSENT else False
        if name == "max_sum_deviation":
            whole = whole or (isinstance(value, float) and value >= 0)
        elif name == "like_probs":
            whole = isinstance(value, bool)
        else:
            whole = whole or (type(value) is int and value >= 0)
        if not whole:
            raise InputFormatError(f"has {name}={quoted(value)}, which no rows leave")
    return Facts(**values)


def _stored(shapes: Any, body: memoryview) -> Iterator[tuple[str, Integers]]:
    """The arrays, one after the other."""
    start = 0
    for name, shape in shapes:
        stop = start + 8 * math.prod(shape)
        yield name, np.frombuffer(body[start:stop], "<i8").reshape(shape).astype(np.int64)
        start = stop
    if start != len(body):
        raise InputFormatError("holds more or less than its header says")


def _check_counts(tally: Tally) -> None:
    """Raise for counts and limbs that no rows could have left."""
    limbs = [sums.limbs[1:] for sums in tally.sums.values()]
    beyond = [sums.beyond for sums in tally.sums.values()]
    if (
        tally.count.min() < 0
        or not np.array_equal(tally.count > 0, np.abs(tally.extent - [[-0.5], [0.5]]).max(axis=0) <= 0.5)
        or int(tally.count.sum()) != tally.facts.n
        or any(part.min() < 0 or part.max() >= 1 << LIMB_BITS for part in limbs)
        or any(part.min() < 0 for part in beyond)
        or not _pairs_of_rows(tally)
        or not _sample_of_rows(tally)
    ):
        raise InputFormatError("holds sums that no rows could have left")


def _pairs_of_rows(tally: Tally) -> bool:
    """Whether there are k pairs and one label for each row."""
    if tally.class_counts is None:
        return True
    pairs, labels = tally.class_counts
    k = 0 if tally.classes is None else len(tally.classes)
    return bool(
        labels.min() >= 0
        and np.all(labels <= pairs)
        and (pairs.sum(), labels.sum()) == (k * tally.facts.n, tally.facts.n)
    )


def _sample_of_rows(tally: Tally) -> bool:
    """Whether the sample can be one of these rows: all of them, where they are few."""
    sketch = tally.sketch
    if sketch is None or tally.class_counts is None:
        return True
    s = len(sketch.hashes)
    return bool(
        s <= sketch.most
        and (sketch.counts.shape, sketch.cells.shape) == ((s,), (s, N_LABELS))
        and np.all(sketch.hashes[:-1] < sketch.hashes[1:])
        and np.all(sketch.counts > 0)
        and (sketch.n == tally.facts.n or (s == sketch.most and sketch.n < tally.facts.n))
        and np.all((sketch.cells >= 0) & (sketch.cells < tally.class_counts.shape[1]))
    )
