"""Bad values on a device: counted as they pass, and complained of when a result is asked for. Annex: integrations.

To look at a value waits for the device. So every batch adds to a few counters that stay there, with the first bad row
of each kind and its value, and nothing waits.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from calibkit._checks import bad_values
from calibkit._checks.arrays import some_of
from calibkit._checks.values import Problem
from calibkit.errors import DataError, LabelError
from calibkit.state.rows import LARGEST_WEIGHT

# In the order of their gravity: the first that was found is the one that is complained of.
_VALUES: tuple[Problem, ...] = ("nan", "inf", "all -inf", "negative", "above one", "row sum")
_KINDS = (*_VALUES, "label", "predicted", "correct", "weight")

Found = Mapping[str, tuple[Tensor, Tensor]]


class Faults:
    """Per kind of fault: in how many rows it was found, the first of them, and its value."""

    def __init__(self, device: torch.device) -> None:
        self.counts = torch.zeros(len(_KINDS), dtype=torch.int64, device=device)
        self.rows = torch.zeros(len(_KINDS), dtype=torch.int64, device=device)
        self.values = torch.zeros(len(_KINDS), dtype=torch.float64, device=device)
        self._places: dict[tuple[str, ...], Tensor] = {}

    def note(self, found: Found, start: int) -> None:
        """Count the rows (n,) with each fault, their values beside them; the first is number `start`."""
        if not found or len(next(iter(found.values()))[0]) == 0:
            return
        bad = torch.stack([rows for rows, _ in found.values()])  # (kinds, n)
        value = torch.stack([values.to(torch.float64) for _, values in found.values()])
        first = bad.to(torch.int8).argmax(dim=1)
        count, places = bad.sum(dim=1), self._places_of(tuple(found))
        fresh = (self.counts[places] == 0) & (count > 0)
        self.rows[places] = torch.where(fresh, first + start, self.rows[places])
        self.values[places] = torch.where(fresh, value.gather(1, first[:, None]).squeeze(1), self.values[places])
        self.counts[places] += count

    def _places_of(self, kinds: tuple[str, ...]) -> Tensor:
        """Where kinds of faults are counted, brought to the device once."""
        if kinds not in self._places:
            self._places[kinds] = torch.tensor([_KINDS.index(kind) for kind in kinds], device=self.counts.device)
        return self._places[kinds]

    def complain(self, kind: str, *, array_name: str, n_classes: int | None, n_rows: int, name: str | None) -> None:
        """Raise for the gravest fault; this waits for the device."""
        counts: list[int] = self.counts.tolist()
        if not any(counts):
            return
        place = next(place for place, count in enumerate(counts) if count)
        problem, row, value = _KINDS[place], int(self.rows[place]), float(self.values[place])
        if place < len(_VALUES):
            bad_values(
                kind,
                array_name=array_name,
                row=row,
                column=None,
                value=value,
                count=counts[place],
                n_rows=n_rows,
                problem=_VALUES[place],
                name=name,
            )
        where = f"{'' if name is None else f'{name}: '}{_ARRAYS[problem]} row {row}: value is {value:g}"
        where = f"{where} ({some_of(counts[place], n_rows)}); expected "
        if problem in ("label", "predicted"):
            hint = _hint(int(value), n_classes) if problem == "label" else ""
            allowed = "0 or more" if n_classes is None else f"0 to {n_classes - 1} for {n_classes} classes"
            raise LabelError(f"{where}{allowed}.{hint}")
        raise DataError(where + _EXPECTED[problem])


_ARRAYS = {"label": "labels", "predicted": "predicted", "correct": "correct", "weight": "weights"}
_EXPECTED = {
    "correct": "True and False, or 1 and 0.",
    "weight": f"weights of at least 0 and below {LARGEST_WEIGHT:,.0f}. Leave a row out with weight 0.",
}


def _hint(value: int, n_classes: int | None) -> str:
    """What a label outside the range may mean."""
    if value in (-1, -100):
        return f" To leave such rows out, pass ignore_index={value}."
    return " Labels that count from 1? Pass labels - 1." if value == n_classes else ""
