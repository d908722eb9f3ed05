"""Label smoothing by the uniform convention: targets, the loss in closed form, and its floor. Annex: training."""

import math
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from calibkit._checks import check_choice, check_int
from calibkit.training.tensors import (
    check_class_count,
    check_labels,
    check_logits,
    check_mean,
    check_prior,
    check_smoothing,
    check_weight,
)

Reduction = Literal["none", "sum", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("none", "sum", "mean")
IGNORE_INDEX = -100


def smooth_targets(
    labels: Tensor | ArrayLike, num_classes: int, smoothing: float, *, prior: Tensor | ArrayLike | None = None
) -> Tensor:
    """Smoothed target distributions: a share of each one-hot row is spread over the classes.

    Each row sums to 1; entries are in [0, 1].

    Parameters
    ----------
    labels : Tensor or array-like of shape (n,)
        Class numbers 0..k-1, of any whole-number dtype.
    num_classes : int
        Number k of classes, at least 2.
    smoothing : float
        The share e in [0, 1).
    prior : Tensor or array-like of shape (k,), optional
        Where the share goes; uniform by default.

    Returns
    -------
    Tensor of shape (n, k)
        In torch's default dtype, on the device of the labels.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1) or num_classes is below 2.
    LabelError
        If a label is not a class number (the first row, its value and k are named), or labels are floats.
    ShapeError, DataError
        If prior has not k entries, or is not a distribution.

    Notes
    -----
    ``q = (1 - e) onehot(y) + e / k``, or ``+ e prior``: the true class keeps ``1 - e + e / k`` (Szegedy, torch,
    Keras). Code that gives ``1 - e`` to the true class and ``e' / (k - 1)`` to each other class means the same with
    ``e = e' k / (k - 1)``. Losses do not need these (n, k) targets: see `label_smoothing_cross_entropy`.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), Rethinking the Inception architecture for computer vision,
    section 7.

    Examples
    --------
    >>> smooth_targets([2, 0], 4, 0.2)
    tensor([[0.0500, 0.0500, 0.8500, 0.0500],
            [0.8500, 0.0500, 0.0500, 0.0500]])
    """
    share = check_smoothing(smoothing)
    k = check_int(num_classes, option="num_classes", low=2)
    given = labels if isinstance(labels, Tensor) else torch.as_tensor(labels)
    codes, _ = check_labels(given, n_classes=k, n_rows=given.shape[0] if given.ndim else 0, ignore_index=None)
    spread = torch.full((k,), 1 / k) if prior is None else check_prior(prior).to(torch.get_default_dtype())
    check_class_count(spread, k, "prior")
    targets = (share * spread).to(codes.device).repeat(len(codes), 1)  # (n, k)
    return targets.scatter_add_(1, codes.unsqueeze(1), targets.new_full((len(codes), 1), 1 - share))


def smoothed_loss_floor(num_classes: int, smoothing: float) -> float:
    """Lowest value that the smoothed cross-entropy can take, in nats; 0 without smoothing.

    A training loss is to be read against it: with smoothing 0.1 and 10 classes a perfect fit has loss 0.500.

    Parameters
    ----------
    num_classes : int
        Number k of classes, at least 2.
    smoothing : float
        The share e in [0, 1).

    Returns
    -------
    float
        The entropy of the smoothed target.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1) or num_classes is below 2.

    Notes
    -----
    ``H(q) = -(1 - e + e/k) ln(1 - e + e/k) - (k - 1) (e/k) ln(e/k)``, reached where the softmax equals q. It holds
    for the uniform prior without class weights.

    References
    ----------
    Müller, Kornblith, Hinton (2019), When does label smoothing help?, section 1.

    Examples
    --------
    >>> round(smoothed_loss_floor(10, 0.1), 4)
    0.5003
    """
    share = check_smoothing(smoothing)
    k = check_int(num_classes, option="num_classes", low=2)
    if share == 0:
        return 0.0
    true, other = 1 - share + share / k, share / k
    return -true * math.log(true) - (k - 1) * other * math.log(other)


def label_smoothing_cross_entropy(
    logits: Tensor,
    labels: Tensor,
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
    logits : Tensor of shape (n, k)
        Network output of any float dtype. Half precisions are widened, and the loss is then float32.
    labels : Tensor of shape (n,)
        Class numbers 0..k-1, of any whole-number dtype.
    smoothing : float
        The share e in [0, 1).
    prior : Tensor or array-like of shape (k,), optional
        Where the share goes; uniform by default.
    weight : Tensor or array-like of shape (k,), optional
        Weight of each class in the log-likelihood, of torch's meaning (see Notes).
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses (n,).

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1), or reduction is unknown.
    LabelError
        If a label is neither a class number nor ignore_index, or labels are floats.
    ShapeError
        If logits are not (n, k), labels not (n,), or prior or weight not (k,).
    DataError
        If prior is not a distribution, weight is negative, or there is no row to average.

    Notes
    -----
    With ``p = softmax(x)`` and ``lse = log sum exp x`` the loss of a row is
    ``-sum_c q_c log p_c = lse - (1 - e) x_y - e sum_c prior_c x_c``, and its gradient is ``p - q``. With class
    weights it is ``-(1 - e) w_y log p_y - e sum_c prior_c w_c log p_c``, and the mean divides by the sum of ``w_y``
    over the rows that count. These are the values of ``torch.nn.functional.cross_entropy(label_smoothing=e)``.

    A logit of -inf (a masked class) with a positive share makes the loss inf, as the formula says; that is not
    checked here, for it would cost a pass. Checking the labels waits for the device once per call, and under
    torch.compile it is left out.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), Rethinking the Inception architecture for computer vision,
    section 7.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]])
    >>> label_smoothing_cross_entropy(logits, torch.tensor([0, 1]), smoothing=0.1)
    tensor(0.6968)
    """
    return _loss(
        logits,
        labels,
        smoothing=check_smoothing(smoothing),
        prior=None if prior is None else check_prior(prior),
        weight=None if weight is None else check_weight(weight),
        ignore_index=check_int(ignore_index, option="ignore_index", low=-(2**63), high=2**63 - 1),
        reduction=check_choice(reduction, REDUCTIONS, option="reduction"),
    )


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy against smoothed targets, for any training loop.

    In nats, at least 0, smaller is better; `label_smoothing_cross_entropy` says the formula and the conventions.
    Use it for training only: a validation loss with smoothing is not the negative log-likelihood.

    Parameters
    ----------
    smoothing : float
        The share e in [0, 1).
    prior : Tensor or array-like of shape (k,), optional
        Where the share goes; uniform by default.
    weight : Tensor or array-like of shape (k,), optional
        Weight of each class, of the meaning it has in ``torch.nn.CrossEntropyLoss``.
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses (n,).

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
        super().__init__()
        self.smoothing = check_smoothing(smoothing)
        self.ignore_index = check_int(ignore_index, option="ignore_index", low=-(2**63), high=2**63 - 1)
        self.reduction = check_choice(reduction, REDUCTIONS, option="reduction")
        self.register_buffer("prior", None if prior is None else check_prior(prior))
        self.register_buffer("weight", None if weight is None else check_weight(weight))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of logits (n, k) at labels (n,)."""
        return _loss(
            logits,
            labels,
            smoothing=self.smoothing,
            prior=self.prior,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"smoothing={self.smoothing}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"


def _loss(
    logits: Tensor,
    labels: Tensor,
    *,
    smoothing: float,
    prior: Tensor | None,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
) -> Tensor:
    """Check a batch against checked options, and reduce its row losses."""
    x = check_logits(logits)
    n, k = x.shape
    check_class_count(prior, k, "prior")
    check_class_count(weight, k, "weight")
    codes, kept = check_labels(labels, n_classes=k, n_rows=n, ignore_index=ignore_index)
    losses = smoothed_row_losses(x, codes, smoothing=smoothing, prior=prior, weight=weight).masked_fill(~kept, 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    total = kept.sum() if weight is None else (weight.to(x)[codes] * kept).sum()
    check_mean(kept, total, ignore_index)
    return losses.sum() / total


def smoothed_row_losses(
    logits: Tensor,
    labels: Tensor,
    *,
    smoothing: float,
    prior: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Loss of each row (n,), of checked logits (n, k) and labels (n,)."""
    # The row maximum cancels out of every term, so it needs no gradient.
    x = logits - logits.amax(dim=1, keepdim=True).detach()  # (n, k)
    lse = x.logsumexp(dim=1)  # (n,)
    on_target = lse - x.gather(1, labels.unsqueeze(1)).squeeze(1)  # (n,)
    if weight is not None:
        on_target = weight.to(x)[labels] * on_target
    if smoothing == 0:
        return on_target
    return (1 - smoothing) * on_target + smoothing * _spread_loss(x, lse, prior, weight)


def _spread_loss(x: Tensor, lse: Tensor, prior: Tensor | None, weight: Tensor | None) -> Tensor:
    """``-sum_c prior_c w_c log p_c`` of each row (n,)."""
    if prior is None and weight is None:
        return lse - x.mean(dim=1)
    share = x.new_full((x.shape[1],), 1 / x.shape[1]) if prior is None else prior.to(x)  # (k,)
    if weight is not None:
        share = share * weight.to(x)
    # A class that gets no share may be masked with -inf: 0 * -inf must count as 0. No matmul: autocast would halve it.
    return share.sum() * lse - (share * x.masked_fill(share == 0, 0.0)).sum(dim=1)
