"""What a training run leaves besides the weights: one record per epoch, and the result. Annex: training."""

from dataclasses import asdict, dataclass
from typing import Literal

Criterion = Literal["nll", "accuracy", "last"]
CRITERIA: tuple[Criterion, ...] = ("nll", "accuracy", "last")
Stopped = Literal["epochs", "patience"]

BETTER: dict[Criterion, str] = {
    "nll": "a lower validation NLL",
    "accuracy": "a higher validation accuracy",
    "last": "a later epoch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch of training measured; every NLL is against hard labels, in nats.

    Attributes
    ----------
    epoch : int
        Its number, from 1.
    loss : float
        Mean training loss, smoothed or of the loss that was passed, as it was minimised: with class weights the mean
        is weighted by them.
    loss_floor : float or None
        Lowest value that the loss can take with this smoothing and number of classes; 0 without smoothing, None for
        a loss whose floor is not known.
    train_nll : float
        Mean negative log-likelihood of the same batches against their hard labels.
    validation_nll, validation_accuracy : float or None
        On the validation rows after the epoch, in eval mode; None without validation rows.
    smoothing : float or None
        Share e of this epoch; None for another loss.
    lr : float or None
        Learning rate of the epoch's last step, of the optimizer's first group.
    skipped_steps : int
        Steps that precision="float16" left out because gradients overflowed; 0 in other precisions.
    """

    epoch: int
    loss: float
    loss_floor: float | None
    train_nll: float
    validation_nll: float | None = None
    validation_accuracy: float | None = None
    smoothing: float | None = None
    lr: float | None = None
    skipped_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What `fit` did; the weights are in the model that was passed.

    Attributes
    ----------
    smoothing : float or None
        Share e of the uniform convention; 0 is ordinary cross-entropy. None if it changed from epoch to epoch, which
        the history tells, or if another loss was passed.
    loss : str
        What was minimised: "cross-entropy", with its smoothing, or the loss that was passed in its own words.
    n_classes : int
        Number k of logits.
    criterion : {"nll", "accuracy", "last"}
        By what the best epoch was chosen.
    best_epoch : int
        Number, from 1, of the epoch whose weights the model holds.
    stopped : {"epochs", "patience"}
        Why training ended: all epochs were done, or too many in a row brought nothing better.
    history : tuple of Epoch
        One record per epoch.
    device : str
        Where it trained.
    precision : {"float32", "bfloat16", "float16"}
        In what the network computed while it was trained.
    seed : int
        Of the batch order and of dropout.
    resumed_from : int
        Number of the epoch whose checkpoint this call went on from; 0 if it began anew.
    seconds : float
        Wall time, with that of the calls it went on from.
    """

    smoothing: float | None
    loss: str = "cross-entropy"
    n_classes: int
    criterion: Criterion
    best_epoch: int
    stopped: Stopped = "epochs"
    history: tuple[Epoch, ...]
    device: str
    precision: str = "float32"
    seed: int
    resumed_from: int = 0
    seconds: float

    @property
    def best(self) -> Epoch:
        """Record of the best epoch."""
        return self.history[self.best_epoch - 1]

    @property
    def reason(self) -> str:
        """Why training ended, as a sentence."""
        done = len(self.history)
        if self.stopped == "epochs":
            return f"All {done} epochs were done."
        return (
            f"Stopped after epoch {done}: {done - self.best_epoch} epochs since epoch {self.best_epoch} without "
            f"{BETTER[self.criterion]}."
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values, as run.json holds them."""
        return {**asdict(self), "history": [asdict(epoch) for epoch in self.history]}
