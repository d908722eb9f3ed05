"""From the formula of a row to a loss: what all losses but label smoothing share. Annex: training."""

import math
from abc import abstractmethod
from collections.abc import Callable
from numbers import Real

from torch import Tensor

from calibkit.errors import OptionError
from calibkit.training.reduction import Reduction, RowLoss, check_ignore_index, check_reduction, reduce_rows
from calibkit.training.tensors import check_batch

# Checked logits (rows, k) and labels (rows,) to losses (rows,).
Formula = Callable[[Tensor, Tensor], Tensor]


class FormulaLoss(RowLoss):
    """A loss whose rows follow a formula of checked logits and labels, and weigh the same."""

    @abstractmethod
    def formula(self) -> Formula:
        """The formula, with the strength that the module has now."""

    def rows(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, and 1 where it counts."""
        return formula_rows(self.formula(), logits, targets, ignore_index=self.ignore_index)


def formula_loss(
    formula: Formula, logits: Tensor, labels: Tensor, *, ignore_index: int, reduction: Reduction
) -> Tensor:
    """Losses by a formula, reduced; the options are checked here."""
    reduction, ignore_index = check_reduction(reduction), check_ignore_index(ignore_index)
    losses, weights = formula_rows(formula, logits, labels, ignore_index=ignore_index)
    return reduce_rows(losses, weights, reduction=reduction, ignore_index=ignore_index)


def formula_rows(formula: Formula, logits: Tensor, labels: Tensor, *, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Row losses by a formula, 0 where ignored, and 1 where they count; in the shape of the labels."""
    batch = check_batch(logits, labels, ignore_index=ignore_index)
    losses = formula(batch.x, batch.labels).masked_fill(~batch.kept, 0.0)
    return losses.reshape(batch.shape), batch.kept.to(losses).reshape(batch.shape)


def check_strength(value: object, *, option: str) -> float:
    """Return a finite number of at least 0."""
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if 0 <= number < math.inf:
        return number
    raise OptionError(f"{option}={value!r}: expected a finite number of at least 0.")
