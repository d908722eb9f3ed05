"""States of several files as one. Floor 3."""

from collections.abc import Iterable, Sequence

from calibkit.errors import DataError
from calibkit.files.contents import shown
from calibkit.files.urls import without_secrets
from calibkit.state import CalibrationState


def merge_states(states: Iterable[tuple[str, CalibrationState]], *, allow_duplicates: bool = False) -> CalibrationState:
    """One state of several with their names; complaints begin with the name of the first that does not fit."""
    total: CalibrationState | None = None
    for name, state in states:
        if total is None:
            total = _empty_as(state)
        merge_named(total, state, name, allow_duplicates=allow_duplicates)
    return CalibrationState() if total is None else total


def merge_named(total: CalibrationState, state: CalibrationState, name: str, *, allow_duplicates: bool) -> None:
    """Merge, or say which state does not fit."""
    try:
        total.merge(state, allow_duplicates=allow_duplicates)
    except DataError as error:
        raise DataError(f"{shown(without_secrets(name))}: {error}") from error


def merge_all(states: Sequence[CalibrationState], *, allow_duplicates: bool) -> CalibrationState:
    """One state of several that know the names of their files."""
    total = _empty_as(states[0])
    for state in states:
        merge_named(total, state, name_of(state), allow_duplicates=allow_duplicates)
    return total


def _empty_as(state: CalibrationState) -> CalibrationState:
    """No rows, of the bins of a state."""
    bins = state.settings
    return CalibrationState(n_bins=bins.n_bins, binning=bins.binning, edges=bins.edges)


def name_of(state: CalibrationState) -> str:
    """What a state of files is called in a complaint: the first file, and how many more there are.

    Examples
    --------
    >>> first, second = (CalibrationState().named(name) for name in ("a.npz", "b.npz"))
    >>> name_of(first), name_of(first + second)
    ('a.npz', 'a.npz and 1 more')
    """
    names = [source.name or "standard input" for source in state.sources]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"
