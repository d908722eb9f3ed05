"""Several processes, one state: their sums added as integers, each row with an id once. Annex: integrations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from calibkit._intake.notes import summed_notes
from calibkit._numerics import Floats, Integers
from calibkit.errors import CalibkitError, DataError
from calibkit.exact import ExactSums, carried
from calibkit.integrations.torch.share import Share
from calibkit.state import CalibrationState, StateSettings
from calibkit.tally import Facts, Tally
from calibkit.training.distributed import Rows, check_single, n_processes, once

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Report:
    """What a process tells the others first: its settings, what went wrong, ids and labels of its rows."""

    settings: StateSettings
    failure: str | None
    n_given: int
    ids: tuple[Index, Index] | None


def state_of_own(share: Share) -> CalibrationState:
    """The state of this process's rows."""
    share.complain()
    ids = share.ids()
    if ids is None:
        return share.state(share.settings, None)
    check_single(ids[0], hint="ids are each row's number in the dataset; reset() the metric before a second pass.")
    return share.state(share.settings, np.ones(len(ids[0]), dtype=np.bool_))


def state_of_all(share: Share) -> CalibrationState:
    """The state of the rows of all processes, the same in each; all of them must ask for it.

    If a process has seen a bad value, all raise: one that raised alone would leave the others waiting.
    """
    if n_processes() == 1:
        return state_of_own(share)
    failure = _failure(share)
    said = None if failure is None else f"{type(failure).__name__}: {failure}"
    reports = _told(_Report(settings=share.settings, failure=said, n_given=share.n_given, ids=share.ids()))
    if failure is not None:
        raise failure
    for rank, report in enumerate(reports):
        if report.failure is not None:
            raise DataError(f"Process {rank} failed, so no process has a result. It said: {report.failure}")
    settings = reports[0].settings
    for rank, report in enumerate(reports[1:], start=1):
        settings = settings.joined(report.settings, ours="the processes before it", theirs=f"process {rank}")
    own = share.state(settings, _first_of(reports))
    return _added(own, settings)


def _failure(share: Share) -> CalibkitError | None:
    """What went wrong in this process."""
    try:
        share.complain()
    except CalibkitError as error:
        return error
    return None


def _told(thing: Any) -> list[Any]:
    """What each process has told all."""
    told = [thing] * n_processes()
    dist.all_gather_object(told, thing)
    return told


def _first_of(reports: Sequence[_Report]) -> NDArray[np.bool_] | None:
    """Which of this process's rows with ids count: each id once, in the first process that has it."""
    given = [report.ids is not None for report in reports]
    if not any(given):
        return None
    if any(report.n_given and report.ids is None for report in reports):
        raise DataError("some processes have rows with ids and some without; give them in all or in none.")
    told = [report.ids or (np.empty(0, np.int64), np.empty(0, np.int64)) for report in reports]
    sizes = [len(ids) for ids, _ in told]
    rows = Rows(
        logits=np.arange(sum(sizes)),
        labels=np.concatenate([labels for _, labels in told]),
        index=np.concatenate([ids for ids, _ in told]),
    )
    first = np.zeros(sum(sizes), dtype=np.bool_)
    first[once(rows, total=None).logits] = True
    mine = dist.get_rank()
    return np.split(first, np.cumsum(sizes)[:-1])[mine] if given[mine] else None


def _added(own: CalibrationState, settings: StateSettings) -> CalibrationState:
    """The states of all processes added up: facts and notes are told, integers are summed, extents are maxima."""
    tally = settings.empty_tally()
    if tally is None:
        return own
    tally = tally if own.tally is None else own.tally
    told: list[tuple[Facts, tuple[str, ...]]] = _told((tally.facts, own.notes))
    facts = sum((facts for facts, _ in told), start=Facts())
    numbers = torch.from_numpy(np.concatenate([array.ravel() for array in _arrays(tally)]))
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    numbers = numbers.to(device)
    dist.all_reduce(numbers)
    extent = torch.from_numpy(tally.extent.copy()).to(device)
    dist.all_reduce(extent, op=dist.ReduceOp.MAX)
    total = _refilled(tally, numbers.cpu().numpy(), extent.cpu().numpy(), facts)
    return CalibrationState.of(settings, total, notes=summed_notes(note for _, notes in told for note in notes))


def _arrays(tally: Tally) -> list[Integers]:
    """All integers of a tally, in one order."""
    sums = [array for _, one in sorted(tally.sums.items()) for array in (one.limbs, one.beyond)]
    return [tally.count, *([] if tally.classes is None else [tally.classes]), *sums]


def _refilled(like: Tally, numbers: Integers, extent: Floats, facts: Facts) -> Tally:
    """A tally of the layout of another, with these integers and extents."""
    arrays = iter(np.split(numbers, np.cumsum([array.size for array in _arrays(like)])[:-1]))
    count = next(arrays)
    classes = None if like.classes is None else next(arrays)
    sums = {}
    for name, one in sorted(like.sums.items()):
        limbs = next(arrays).reshape(one.limbs.shape)
        sums[name] = ExactSums(limbs=carried(limbs), beyond=next(arrays))
    return Tally(
        cells=like.cells,
        weighted=like.weighted,
        facts=facts,
        count=count,
        extent=extent,
        sums=sums,
        classes=classes,
    )
