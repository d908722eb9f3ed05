"""From the losses of the rows to what a training step needs: one number, or the rows. Annex: training."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from calibkit._checks import check_choice, check_int
from calibkit.errors import DataError

Reduction = Literal["none", "sum", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("none", "sum", "mean")
IGNORE_INDEX = -100


class RowLoss(nn.Module, ABC):
    """A loss that is defined for one row, and averaged or summed over a batch in one way for all losses.

    A row is one prediction: a row of logits (n, k), or one position of logits (n, k, d1, ...). Subclasses say what a
    row loses and what it weighs in the mean; this class reduces.

    Parameters
    ----------
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses of the rows.

    Raises
    ------
    OptionError
        If reduction is unknown or ignore_index is not a whole number.

    Examples
    --------
    >>> class Miss(RowLoss):
    ...     def rows(self, logits, targets):
    ...         return (logits.argmax(dim=1) != targets).float(), torch.ones(targets.shape)
    >>> Miss()(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    tensor(0.5000)
    """

    def __init__(self, *, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.ignore_index = check_ignore_index(ignore_index)
        self.reduction = check_reduction(reduction)

    @abstractmethod
    def rows(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, 0 where it is ignored, and what it weighs in the mean; both of the labels' shape."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of a batch, reduced as ``reduction`` says."""
        losses, weights = self.rows(logits, targets)
        return reduce_rows(losses, weights, reduction=self.reduction, ignore_index=self.ignore_index)

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"ignore_index={self.ignore_index}, reduction={self.reduction!r}"


def reduce_rows(losses: Tensor, weights: Tensor, *, reduction: Reduction, ignore_index: int) -> Tensor:
    """Row losses as they are, their sum, or ``sum(losses) / sum(weights)``.

    The mean of a batch in which nothing counts would be 0 / 0: it is an error, found by waiting for the device once.
    Under torch.compile that check is left out, and the mean is NaN.

    Examples
    --------
    >>> losses, weights = torch.tensor([0.6, 0.0, 0.2]), torch.tensor([1.0, 0.0, 1.0])
    >>> reduce_rows(losses, weights, reduction="mean", ignore_index=-100)
    tensor(0.4000)
    """
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    total = weights.sum()
    if not torch.compiler.is_compiling() and not float(total) > 0:
        raise _nothing_to_average(weights, ignore_index)
    return losses.sum() / total


def check_reduction(reduction: Reduction) -> Reduction:
    """Return a known reduction."""
    return check_choice(reduction, REDUCTIONS, option="reduction")


def check_ignore_index(ignore_index: int) -> int:
    """Return a whole number that a label could be."""
    return check_int(ignore_index, option="ignore_index", low=-(2**63), high=2**63 - 1)


def _nothing_to_average(weights: Tensor, ignore_index: int) -> DataError:
    """Error for a batch without rows, or whose rows all weigh nothing."""
    if weights.numel() == 0:
        return DataError('The batch is empty (0 rows): its mean loss is undefined; reduction="sum" gives 0.')
    return DataError(
        f"Every label of the batch ({weights.numel():,} rows) is ignore_index={ignore_index} or a class of weight 0: "
        'the mean loss is undefined; leave the batch out, or use reduction="sum", which gives 0.'
    )
