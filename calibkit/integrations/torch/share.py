"""What one process has seen: sums on the host and on devices, and rows whose ids are still to be compared.

Annex: integrations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibkit._intake.forecasts import snap_note
from calibkit._intake.notes import summed_notes
from calibkit._intake.rows import left_out_note
from calibkit.errors import DataError
from calibkit.integrations.torch.batches import Batch
from calibkit.integrations.torch.faults import Faults
from calibkit.integrations.torch.host import as_predictions, is_read_on_host, score_on_host
from calibkit.integrations.torch.scoring import ScoredBatch, score_batch
from calibkit.integrations.torch.tally import TensorTally
from calibkit.state import CalibrationState, StateSettings

# Rows of a batch that are scored at a time on a device: their vectors take a few hundred bytes a row.
_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """Scored rows with their ids: which of them count is known when all processes have told theirs."""

    ids: Tensor
    rows: ScoredBatch


class Share:
    """The rows of one process.

    Parameters
    ----------
    options : Mapping
        Options of the `CalibrationState`.
    name : str or None
        Begins every complaint.
    ignore_index : int or None
        Rows with this label are left out.
    """

    def __init__(self, options: Mapping[str, Any], *, name: str | None, ignore_index: int | None) -> None:
        self.options, self.name, self.ignore_index = options, name, ignore_index
        self.on_host = CalibrationState(**options)
        self.settings: StateSettings = self.on_host.settings
        self.tallies: dict[torch.device, TensorTally] = {}
        self.faults: dict[torch.device, Faults] = {}
        self.held: list[Held] = []
        self.n_given = 0
        self._form: tuple[object, ...] | None = None

    def take(self, batch: Batch) -> None:
        """Add a batch; without ids it leaves nothing but sums."""
        if ("ids" in batch.given) != bool(self.held) and self.n_given:
            raise DataError("some batches came with ids and some without; give them in all or in none.")
        settings = self._settings_with(batch)
        if "ids" in batch.given:
            self.held.append(Held(ids=batch.given["ids"], rows=self._scored(batch)))
        elif is_read_on_host(batch):
            self._take_on_host(batch)
        else:
            self._take_on_device(batch, settings)
        self.settings = settings
        self.n_given += len(batch)

    def _settings_with(self, batch: Batch) -> StateSettings:
        """The settings that all batches have had, and this one; they are looked at again where the form changes."""
        form = (batch.kind, batch.forecast.shape[1:], "weights" in batch.given)
        if form == self._form:
            return self.settings
        settings = self.settings.of(
            as_predictions(batch.of_no_rows(), n_classes=self.settings.n_classes, name=self.name)
        )
        self._form = form
        return settings

    def _scored(self, batch: Batch, start: int = 0) -> ScoredBatch:
        """Scores of the rows, where they are; `start` of a batch stand before them."""
        n_classes = self.settings.n_classes
        if is_read_on_host(batch):
            return score_on_host(batch, n_classes=n_classes, name=self.name, ignore_index=self.ignore_index)
        faults = self.faults.setdefault(batch.forecast.device, Faults(batch.forecast.device))
        return score_batch(
            batch, faults, start=self.n_given + start, n_classes=n_classes, ignore_index=self.ignore_index
        )

    def _take_on_host(self, batch: Batch) -> None:
        """Add rows to the host's state: all, or none where one is refused."""
        n_classes, ignore_index = self.settings.n_classes, self.ignore_index
        rows = as_predictions(batch.on_host(), n_classes=n_classes, name=self.name, ignore_index=ignore_index)
        self.on_host.update(rows)

    def _take_on_device(self, batch: Batch, settings: StateSettings) -> None:
        """Add rows to the sums on their device."""
        tally = self._tally(batch.forecast.device, settings)
        for start in range(0, len(batch), _ROWS):
            tally.take(self._scored(batch[start : start + _ROWS], start))

    def _tally(self, device: torch.device, settings: StateSettings) -> TensorTally:
        """The sums on a device."""
        if device not in self.tallies:
            self.tallies[device] = _empty(settings, device)
        return self.tallies[device]

    def complain(self) -> None:
        """Raise for what was wrong in a batch on a device, which this waits for."""
        for faults in self.faults.values():
            kind = self.settings.kind or "probs"
            role = kind if kind in ("logits", "probs") else "confidence"
            faults.complain(
                "logits" if kind == "logits" else "probs",
                array_name=role,
                n_classes=self.settings.n_classes,
                n_rows=self.n_given,
                name=self.name,
            )

    def ids(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Ids and labels of the rows that are held; None without ids."""
        if not self.held:
            return None
        labels = [torch.zeros_like(one.ids) if one.rows.labels is None else one.rows.labels for one in self.held]
        return _on_host([one.ids for one in self.held]), _on_host(labels)

    def state(self, settings: StateSettings, first: np.ndarray[Any, Any] | None) -> CalibrationState:
        """The state of this share; of rows with ids those that are marked (n,)."""
        found = CalibrationState(**self.options) + self.on_host
        tallies = list(self.tallies.values())
        if first is not None:
            tallies += self._tallies_of_held(settings, torch.from_numpy(first))
        for tally in tallies:
            sums, counts = tally.on_host()
            notes = summed_notes(self._notes(counts, settings))
            found = found + CalibrationState.of(settings, sums, notes=notes)
        return found

    def _tallies_of_held(self, settings: StateSettings, first: Tensor) -> list[TensorTally]:
        """Sums of the rows that are marked."""
        tallies: dict[torch.device, TensorTally] = {}
        start = 0
        for held in self.held:
            device, stop = held.rows.kept.device, start + len(held.ids)
            if device not in tallies:
                tallies[device] = _empty(settings, device)
            tallies[device].take(held.rows[first[start:stop].to(device)])
            start = stop
        return list(tallies.values())

    def _notes(self, counts: Mapping[str, int], settings: StateSettings) -> Sequence[str]:
        """What the constructors of `Predictions` say of rows that are left out, and of values that are moved."""
        notes = []
        if counts["weightless"]:
            notes.append(left_out_note("weight 0", counts["weightless"], counts["rows"]))
        if self.ignore_index is not None and settings.kind != "correct":
            notes.append(left_out_note(f"ignore_index={self.ignore_index}", counts["ignored"], counts["rows"]))
        if counts["moved"]:
            notes.append(snap_note("probs" if settings.kind == "probs" else "confidence", counts["moved"], counts["n"]))
        return notes


def _empty(settings: StateSettings, device: torch.device) -> TensorTally:
    """Sums of no rows."""
    like = settings.empty_tally()
    assert like is not None
    assert settings.view is not None
    return TensorTally(like, view=settings.view, device=device)


def _on_host(tensors: Sequence[Tensor]) -> np.ndarray[Any, Any]:
    """Whole numbers of several tensors in one array."""
    return np.concatenate([tensor.cpu().numpy().astype(np.int64) for tensor in tensors])
