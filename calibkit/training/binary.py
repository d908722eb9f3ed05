"""Label smoothing of yes-or-no questions: one logit each. Annex: training."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from calibkit.training.reduction import (
    IGNORE_INDEX,
    Reduction,
    RowLoss,
    check_ignore_index,
    check_reduction,
    reduce_rows,
)
from calibkit.training.tensors import check_binary_targets, check_float_logits, check_smoothing, widen


def binary_label_smoothing_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    smoothing: float,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy of the sigmoid against smoothed targets: smoothing 0.1 means 0.95 for a yes and 0.05 for a no.

    In nats, at least 0, smaller is better, and not comparable between smoothings: its floor is
    ``smoothed_loss_floor(2, smoothing)``.

    Parameters
    ----------
    logits : Tensor of shape (n,) or any other
        Log-odds of class 1, of any float dtype. Half precisions are widened, and the loss is then float32. Every entry
        is a question of its own, so (n, k) is multi-label classification.
    targets : Tensor of the shape of the logits
        0 or 1, of any whole-number dtype or bool; or floats in [0, 1], probabilities of class 1, which are smoothed
        too.
    smoothing : float
        The share e in [0, 1).
    ignore_index : int, default -100
        Entries with this label add no loss and no gradient, whatever their logit is.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses in the shape of the logits.

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1), or reduction is unknown.
    LabelError
        If a label is neither 0, 1 nor ignore_index.
    ShapeError
        If targets have not the shape of the logits.
    DataError
        If a soft target is not in [0, 1], or there is nothing to average.

    Notes
    -----
    The target is ``q = (1 - e) y + e / 2`` and the loss ``-q log s(x) - (1 - q) log s(-x)`` with the sigmoid s; its
    gradient is ``s(x) - q``. It is the loss of two classes with logits ``(0, x)`` in `label_smoothing_cross_entropy`,
    so the share is spread over both classes and the label keeps ``1 - e / 2``. Who means 0.9 and 0.1 by "smoothing
    0.1" passes ``smoothing_from_others(0.1, 2)``, which is 0.2.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), Rethinking the Inception architecture for computer vision,
    section 7, with two classes.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([2.0, -1.0, 0.5])
    >>> binary_label_smoothing_cross_entropy(logits, torch.tensor([1, 0, 1]), smoothing=0.1)
    tensor(0.3631)

    It is least where the sigmoid is 0.95 for a yes and 0.05 for a no:

    >>> best = torch.logit(torch.tensor([0.95, 0.05])).requires_grad_()
    >>> loss = binary_label_smoothing_cross_entropy(best, torch.tensor([1, 0]), smoothing=0.1)
    >>> torch.autograd.grad(loss, best)[0].abs().max() < 1e-7
    tensor(True)
    """
    reduction, ignore_index = check_reduction(reduction), check_ignore_index(ignore_index)
    losses, weights = _rows(logits, targets, smoothing=check_smoothing(smoothing), ignore_index=ignore_index)
    return reduce_rows(losses, weights, reduction=reduction, ignore_index=ignore_index)


class BinaryLabelSmoothingCrossEntropy(RowLoss):
    """Cross-entropy of the sigmoid against smoothed targets, for any training loop.

    `binary_label_smoothing_cross_entropy` says the formula, the options and the errors: smoothing 0.1 means 0.95 and
    0.05.

    Examples
    --------
    >>> import torch
    >>> loss = BinaryLabelSmoothingCrossEntropy(0.1)
    >>> loss(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1, 0, 1]))
    tensor(0.3631)
    """

    def __init__(self, smoothing: float, *, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean") -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.smoothing = check_smoothing(smoothing)

    def rows(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each entry, 0 where it is ignored, and 1 where it counts; in the shape of the logits."""
        return _rows(logits, targets, smoothing=check_smoothing(self.smoothing), ignore_index=self.ignore_index)

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"smoothing={self.smoothing}, {super().extra_repr()}"


def _rows(logits: Tensor, targets: Tensor, *, smoothing: float, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Losses of a batch, checked against checked options, and 1 where they count."""
    check_float_logits(logits)
    yes, kept = check_binary_targets(logits, targets, ignore_index=ignore_index)
    x = widen(logits).masked_fill(~kept, 0.0)
    q = (1 - smoothing) * yes.to(x.dtype) + smoothing / 2
    losses = binary_cross_entropy_with_logits(x, q, reduction="none").masked_fill(~kept, 0.0)
    return losses, kept.to(losses.dtype)
