"""One training run of a study, named by what sets it apart, and the recipe that all runs share. Annex: training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from torch import nn

from calibkit._checks import check_int
from calibkit.files.source import AnyPath
from calibkit.training.loop import MAX_EPOCHS
from calibkit.training.losses import BrierLoss, ConfidencePenaltyCrossEntropy, FocalLoss, MarginLabelSmoothing
from calibkit.training.networks import check_hidden
from calibkit.training.optimisation import check_lr

CROSS_ENTROPY = "cross-entropy"
ALL_CLASSES = "all"
MLP, SMALL, LINEAR = "mlp", "small", "linear"
NO_REGULARISATION = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regularisation:
    """What else than the loss keeps a network from fitting its labels: dropout, AdamW's decay, augmentation."""

    dropout: float = 0.0
    weight_decay: float = 0.01
    augmentation: bool = False


REGULARISATIONS: Mapping[str, Regularisation] = MappingProxyType(
    {
        NO_REGULARISATION: Regularisation(),
        "dropout": Regularisation(dropout=0.5),
        "weight decay": Regularisation(weight_decay=1.0),
        "augmentation": Regularisation(augmentation=True),
        "all three": Regularisation(dropout=0.5, weight_decay=1.0, augmentation=True),
    }
)
# The authors' settings, where they name one.
LOSSES: Mapping[str, nn.Module] = MappingProxyType(
    {
        "FLSD-53": FocalLoss(gamma="flsd-53"),
        "MbLS": MarginLabelSmoothing(margin=10.0, smoothing=0.1),
        "confidence penalty": ConfidencePenaltyCrossEntropy(penalty=0.1),
        "Brier": BrierLoss(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a study. Runs of one seed and the same classes share split, flips, first weights and batches."""

    seed: int
    noise: float = 0.0
    smoothing: float = 0.0
    loss: str = CROSS_ENTROPY
    classes: str = ALL_CLASSES
    network: str = MLP
    regularisation: str = NO_REGULARISATION

    @property
    def name(self) -> str:
        """Name of its file, and of the run in messages.

        Examples
        --------
        >>> Cell(seed=3, noise=0.2, smoothing=0.1).name
        'seed3-noise0.2-smoothing0.1-cross-entropy-all-mlp-none'
        """
        text = (
            f"seed{self.seed}-noise{self.noise:g}-smoothing{self.smoothing:g}-{self.loss}-{self.classes}-"
            f"{self.network}-{self.regularisation}"
        )
        return text.replace(" ", "_")

    @property
    def pair(self) -> tuple[int, int] | None:
        """The two classes that it learns to tell apart; None for all of them."""
        if self.classes == ALL_CLASSES:
            return None
        first, second = self.classes.split("-")
        return int(first), int(second)

    def to_dict(self) -> dict[str, object]:
        """Plain values: the first columns of its rows."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all runs of a study share, and what decides their numbers besides their own settings."""

    epochs: int
    hidden: tuple[int, ...]
    batch_size: int
    lr: float
    train_rows: int
    device: str

    def __post_init__(self) -> None:
        check_int(self.epochs, option="epochs", low=1, high=MAX_EPOCHS)
        check_hidden(self.hidden)
        check_int(self.batch_size, option="batch_size", low=1)
        check_int(self.train_rows, option="train_rows", low=2)
        check_lr(self.lr)

    def widths(self, network: str) -> tuple[int, ...]:
        """Widths of the hidden layers of a network."""
        return {MLP: self.hidden, SMALL: (16,), LINEAR: ()}[network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A run that is to be done: its data and their checksum, its settings, and the file that says it is finished."""

    data: AnyPath
    shared: Shared
    cell: Cell
    path: str
    data_sha256: str | None = None
