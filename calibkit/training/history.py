"""What a training run leaves besides the weights: one record per epoch, and the result. Annex: training."""

from dataclasses import asdict, dataclass
from typing import Literal

Criterion = Literal["nll", "accuracy", "last"]
CRITERIA: tuple[Criterion, ...] = ("nll", "accuracy", "last")


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch of training measured; every NLL is against hard labels, in nats.

    Attributes
    ----------
    epoch : int
        Its number, from 1.
    loss : float
        Mean smoothed training loss, to be read against its floor.
    loss_floor : float
        Lowest value that the loss can take with this smoothing and number of classes; 0 without smoothing.
    train_nll : float
        Mean negative log-likelihood of the same batches against their hard labels.
    validation_nll, validation_accuracy : float or None
        On the validation rows after the epoch, in eval mode; None without validation rows.
    """

    epoch: int
    loss: float
    loss_floor: float
    train_nll: float
    validation_nll: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What `fit` did; the weights are in the model that was passed.

    Attributes
    ----------
    smoothing : float
        Share e of the uniform convention; 0 is ordinary cross-entropy.
    n_classes : int
        Number k of logits.
    criterion : {"nll", "accuracy", "last"}
        By what the best epoch was chosen.
    best_epoch : int
        Number, from 1, of the epoch whose weights the model holds.
    history : tuple of Epoch
        One record per epoch.
    device : str
        Where it trained.
    seed : int
        Of the batch order and of dropout.
    seconds : float
        Wall time.
    """

    smoothing: float
    n_classes: int
    criterion: Criterion
    best_epoch: int
    history: tuple[Epoch, ...]
    device: str
    seed: int
    seconds: float

    @property
    def best(self) -> Epoch:
        """Record of the best epoch."""
        return self.history[self.best_epoch - 1]

    def to_dict(self) -> dict[str, object]:
        """Plain values, as run.json holds them."""
        return {**asdict(self), "history": [asdict(epoch) for epoch in self.history]}
