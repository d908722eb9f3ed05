"""The best epoch so far, its weights, and when to stop waiting for a better one. Annex: training."""

import copy
import math
from typing import Any

from torch import nn

from calibkit._checks import check_choice, check_int
from calibkit.errors import OptionError
from calibkit.training.checkpoints import bare
from calibkit.training.history import CRITERIA, Criterion, Epoch

KEPT: dict[Criterion, str] = {
    "nll": "epoch of lowest validation NLL",
    "accuracy": "epoch of highest validation accuracy",
    "last": "last epoch",
}


class Best:
    """The best epoch so far and its weights."""

    def __init__(self, criterion: Criterion, patience: int | None) -> None:
        self.criterion = criterion
        self.patience = patience
        self.epoch = 0
        self.value = math.inf
        self.weights: dict[str, Any] | None = None

    def offer(self, record: Epoch, network: nn.Module) -> bool:
        """Keep the weights if this epoch is better than all before, and say so; "last" needs no copy."""
        if self.criterion == "last":
            self.epoch = record.epoch
            return True
        value = record.validation_nll if self.criterion == "nll" else -(record.validation_accuracy or 0.0)
        better = value is not None and (self.epoch == 0 or value < self.value)
        if better:
            self.epoch, self.value = record.epoch, float(value)  # type: ignore[arg-type]
            self.weights = copy.deepcopy(bare(network).state_dict())
        return better

    def exhausted(self, epoch: int) -> bool:
        """Whether patience has run out after so many epochs."""
        return self.patience is not None and epoch - self.epoch >= self.patience

    def restore(self, model: nn.Module, network: nn.Module) -> None:
        """Leave the model in eval mode with the best weights; those of the last epoch are the network's own."""
        if self.weights is not None:
            bare(model).load_state_dict(self.weights)
        elif network is not model:
            bare(model).load_state_dict(network.state_dict())
        model.eval()

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"epoch": self.epoch, "value": self.value, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.epoch, self.value, self.weights = state["epoch"], state["value"], state["weights"]


def make_best(criterion: Criterion | None, patience: int | None, *, validated: bool) -> Best:
    """Check by what the best epoch is to be chosen, and whether there are rows to choose it by."""
    usual: Criterion = "nll" if validated else "last"
    chosen = usual if criterion is None else check_choice(criterion, CRITERIA, option="criterion")
    if not validated and chosen != "last":
        raise OptionError(f'criterion="{chosen}" needs a validation_loader; without one pass criterion="last".')
    if patience is not None:
        check_int(patience, option="patience", low=1)
        if chosen == "last":
            raise OptionError(
                f'patience={patience} waits for a better epoch, but by criterion="last" every epoch is one; pass a '
                'validation_loader and criterion="nll" or "accuracy".'
            )
    return Best(chosen, patience)
