"""Label smoothing: cross-entropy against a target that keeps 1 - e and spreads e over the classes. Annex: training."""

import torch  # noqa: F401 - for the examples
from numpy.typing import ArrayLike
from torch import Tensor

from calibkit.training.closed_form import Number, Rule, smoothed_rows
from calibkit.training.reduction import (
    IGNORE_INDEX,
    Reduction,
    RowLoss,
    check_ignore_index,
    check_reduction,
    reduce_rows,
)
from calibkit.training.tensors import (
    Targets,
    check_class_count,
    check_logit_form,
    check_prior,
    check_smoothing,
    check_targets,
    check_weight,
    loss_dtype,
)


def label_smoothing_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    smoothing: float,
    prior: Tensor | ArrayLike | None = None,
    weight: Tensor | ArrayLike | None = None,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy of the softmax against smoothed targets, without building the targets.

    In nats, at least 0, smaller is better, and not comparable between smoothings: see `smoothed_loss_floor`, and
    validate with smoothing 0.

    Parameters
    ----------
    logits : Tensor of shape (n, k) or (n, k, d1, ...)
        Network output of any float dtype. Half precisions are widened, and the loss is then float32.
    targets : Tensor of shape (n,) or (n, d1, ...)
        Class numbers 0..k-1, of any whole-number dtype; or floats of the shape of the logits, distributions over the
        classes, such as mixup makes: they are smoothed too.
    smoothing : float
        The share e in [0, 1).
    prior : Tensor or array-like of shape (k,), optional
        Where the share goes, for instance the frequencies of the classes (unigram smoothing); uniform by default.
    weight : Tensor or array-like of shape (k,), optional
        Weight of each class in the log-likelihood, of torch's meaning (see Notes).
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient, whatever their logits are.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses (n,) or (n, d1, ...).

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1), reduction is unknown, or soft targets come with an ignore_index of at least 0.
    LabelError
        If a label is neither a class number nor ignore_index, or labels are floats.
    ShapeError
        If the shapes do not fit, or prior or weight is not (k,).
    DataError
        If prior or a row of soft targets is not a distribution, weight is negative, or there is no row to average.

    Notes
    -----
    With ``p = softmax(x)`` and ``lse = log sum exp x`` the loss of a row is
    ``-sum_c q_c log p_c = lse - (1 - e) x_y - e sum_c prior_c x_c``, and its gradient is ``p - q``, softmax minus
    smoothed target. For soft targets t the target is ``q = (1 - e) t + e prior``.

    Class weights stand inside the sum over classes, as torch has it: the loss of a row is
    ``-(1 - e) w_y log p_y - e sum_c prior_c w_c log p_c``, so that with smoothing the heavier classes also get more of
    the share. The mean divides by the sum of ``w_y`` over the rows that are not ignored; for soft targets, which have
    no y, it divides by their number. An ignored row adds neither loss nor gradient nor weight. All these are the
    values of ``torch.nn.functional.cross_entropy(label_smoothing=e)``, with two differences: a mean over no row, which
    there is NaN, is an error, and half precisions are not summed in half precision.

    A logit of -inf (a masked class) with a positive share makes the loss inf, as the formula says; that is not
    checked here, for it would cost a pass. Checking the labels waits for their device once per call, the mean for that
    of the loss; under torch.compile both are left out.

    From about two million logits on the gradient is written down in closed form, a block of rows at a time, so that
    beside the logits only their gradient takes memory.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), Rethinking the Inception architecture for computer vision,
    section 7. Pereyra, Tucker, Chorowski, Kaiser, Hinton (2017), Regularizing neural networks by penalizing confident
    output distributions, section 3.2 (unigram).

    Examples
    --------
    >>> logits = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]], requires_grad=True)
    >>> loss = label_smoothing_cross_entropy(logits, torch.tensor([0, 1]), smoothing=0.1)
    >>> loss.detach()
    tensor(0.6968)

    The gradient of the sum is softmax minus smoothed target:

    >>> loss = label_smoothing_cross_entropy(logits, torch.tensor([0, 1]), smoothing=0.1, reduction="sum")
    >>> (gradient,) = torch.autograd.grad(loss, logits)
    >>> target = torch.tensor([[1 - 0.1 + 0.1 / 3, 0.1 / 3, 0.1 / 3], [0.1 / 3, 1 - 0.1 + 0.1 / 3, 0.1 / 3]])
    >>> torch.allclose(gradient, logits.softmax(dim=1) - target)
    True

    Unigram smoothing takes the frequencies of the classes in the training labels:

    >>> frequencies = torch.bincount(torch.tensor([0, 1, 1, 2, 1]), minlength=3) / 5
    >>> label_smoothing_cross_entropy(logits.detach(), torch.tensor([0, 1]), smoothing=0.1, prior=frequencies)
    tensor(0.7228)
    """
    reduction, ignore_index = check_reduction(reduction), check_ignore_index(ignore_index)
    losses, weights = _rows(
        logits,
        targets,
        smoothing=check_smoothing(smoothing),
        prior=None if prior is None else check_prior(prior),
        weight=None if weight is None else check_weight(weight),
        ignore_index=ignore_index,
    )
    return reduce_rows(losses, weights, reduction=reduction, ignore_index=ignore_index)


class LabelSmoothingCrossEntropy(RowLoss):
    """Cross-entropy against smoothed targets, for any training loop.

    In nats, at least 0, smaller is better; `label_smoothing_cross_entropy` says the formula and the conventions.
    Use it for training only: a validation loss with smoothing is not the negative log-likelihood.

    Parameters
    ----------
    smoothing : float
        The share e in [0, 1). The attribute may be set between steps, for instance by a `SmoothingSchedule`.
    prior : Tensor or array-like of shape (k,), optional
        Where the share goes; uniform by default.
    weight : Tensor or array-like of shape (k,), optional
        Weight of each class, of the meaning it has in ``torch.nn.CrossEntropyLoss``.
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses in the shape of the labels.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1), or reduction is unknown.
    ShapeError, DataError
        If prior or weight is not one non-negative number per class, or prior does not sum to 1.

    Examples
    --------
    >>> loss = LabelSmoothingCrossEntropy(0.1)
    >>> loss(torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]]), torch.tensor([0, 1]))
    tensor(0.6968)
    """

    prior: Tensor | None
    weight: Tensor | None

    def __init__(
        self,
        smoothing: float,
        *,
        prior: Tensor | ArrayLike | None = None,
        weight: Tensor | ArrayLike | None = None,
        ignore_index: int = IGNORE_INDEX,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.smoothing = check_smoothing(smoothing)
        self.register_buffer("prior", None if prior is None else check_prior(prior))
        self.register_buffer("weight", None if weight is None else check_weight(weight))

    def rows(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, 0 where it is ignored, and its class's weight; both (n,) or (n, d1, ...).

        Examples
        --------
        >>> loss = LabelSmoothingCrossEntropy(0.1, weight=[1.0, 2.0, 3.0])
        >>> losses, weights = loss.rows(torch.zeros(3, 3), torch.tensor([2, -100, 0]))
        >>> weights
        tensor([3., 0., 1.])
        """
        return _rows(
            logits,
            targets,
            smoothing=check_smoothing(self.smoothing),
            prior=self.prior,
            weight=self.weight,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"smoothing={self.smoothing}, {super().extra_repr()}"


def _rows(
    logits: Tensor,
    targets: Tensor,
    *,
    smoothing: float,
    prior: Tensor | None,
    weight: Tensor | None,
    ignore_index: int,
) -> tuple[Tensor, Tensor]:
    """Losses of a batch, checked against checked options, and what each weighs in the mean."""
    check_logit_form(logits)
    check_class_count(prior, logits.shape[1], "prior")
    check_class_count(weight, logits.shape[1], "weight")
    checked = check_targets(logits, targets, ignore_index=ignore_index, soft=True)
    losses = smoothed_rows(logits, checked, smoothing_rule(logits, smoothing=smoothing, prior=prior, weight=weight))
    return losses, _row_weights(losses, checked, weight)


def smoothing_rule(
    logits: Tensor, *, smoothing: float, prior: Tensor | None = None, weight: Tensor | None = None
) -> Rule:
    """``on = (1 - e) w`` and ``share = e prior w``: numbers, or vectors (k,) in the dtype of the loss."""
    dtype = loss_dtype(logits)
    share: Number = smoothing / logits.shape[1]
    if prior is not None and smoothing:
        share = smoothing * prior.to(logits.device, dtype)
    if weight is None:
        return Rule(on=1 - smoothing, share=share)
    w = weight.to(logits.device, dtype)
    return Rule(on=(1 - smoothing) * w, share=share * w if smoothing else 0.0)


def _row_weights(losses: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
    """What each row weighs in the mean: the weight of its class, 0 where ignored; 1 for soft targets."""
    if weight is None or targets.labels is None:
        return targets.kept.to(losses.dtype)
    return weight.to(losses)[targets.labels] * targets.kept
