"""What a process has seen, as tensors that go into a checkpoint and come back. Annex: integrations."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from calibkit.errors import InputFormatError
from calibkit.integrations.torch.scoring import ScoredBatch, joined
from calibkit.integrations.torch.share import Held, Share
from calibkit.state import CalibrationState
from calibkit.state.file import state_bytes, state_from_bytes

_ROWS = "rows."


def saved_share(share: Share) -> dict[str, Tensor]:
    """The sums as the bytes of a state's file, and rows with ids as vectors; this waits for the device."""
    share.complain()
    state = share.state(share.settings, None)
    content = b"".join(state_bytes(share.settings, state.tally, state.notes, ()))
    saved = {"state": torch.frombuffer(bytearray(content), dtype=torch.uint8), "n_given": torch.tensor(share.n_given)}
    if share.held:
        saved["ids"] = torch.cat([held.ids.cpu() for held in share.held])
        rows = joined([held.rows for held in share.held], torch.device("cpu"))
        saved |= {_ROWS + name: vector for name, vector in rows.vectors().items()}
    return saved


def load_share(share: Share, saved: Mapping[str, Tensor]) -> None:
    """Fill an empty share with what was saved of another."""
    if not {"state", "n_given"} <= set(saved):
        raise InputFormatError("state_dict: expected what CalibrationMetric.state_dict() gave.")
    content = saved["state"].cpu().numpy().astype(np.uint8).tobytes()
    settings, tally, notes, _ = state_from_bytes(content, "state_dict")
    share.settings = share.settings.joined(settings, ours="this metric", theirs="the state_dict")
    if tally is not None:
        share.on_host = CalibrationState.of(share.settings, tally, notes=notes)
    share.n_given = int(saved["n_given"])
    if "ids" in saved:
        vectors = {name.removeprefix(_ROWS): one for name, one in saved.items() if name.startswith(_ROWS)}
        share.held = [Held(ids=saved["ids"], rows=ScoredBatch.of_vectors(vectors))]
