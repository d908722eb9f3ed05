"""Relatives of label smoothing: confidence penalty, focal loss, margin-based smoothing, Brier loss. Annex: training.

Each is a function and a module over a formula in `calibkit.training.row_losses`. They take logits (n, k) or
(n, k, d1, ...), leave out rows labelled ``ignore_index``, compute in float32 or float64, and mean over the rows kept.
"""

from functools import partial
from typing import Literal

import torch  # noqa: F401 - for the examples
from torch import Tensor

from calibkit._checks import check_choice
from calibkit.training.formula_loss import Formula, FormulaLoss, check_strength, formula_loss
from calibkit.training.reduction import IGNORE_INDEX, Reduction
from calibkit.training.row_losses import brier_rows, confidence_penalty_rows, focal_rows, margin_smoothing_rows

Gamma = float | Literal["flsd-53"]

PENALTY = 0.1
GAMMA = 2.0
MARGIN = 10.0
MARGIN_SMOOTHING = 0.1


def confidence_penalty_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    penalty: float = PENALTY,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy less a multiple of the entropy of the prediction.

    In nats, at least ``-penalty log k`` and so possibly negative, smaller is better; for training only.

    Parameters
    ----------
    logits : Tensor of shape (n, k) or (n, k, d1, ...)
        Network output of any float dtype. Half precisions are widened, and the loss is then float32.
    labels : Tensor of shape (n,) or (n, d1, ...)
        Class numbers 0..k-1, of any whole-number dtype.
    penalty : float, default 0.1
        Weight of the entropy, at least 0.
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses in the shape of the labels.

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If penalty is not a finite number of at least 0, or reduction is unknown.
    LabelError, ShapeError, DataError
        As `label_smoothing_cross_entropy`.

    Notes
    -----
    A row loses ``-log p_y - penalty H(p)`` with ``H(p) = -sum_c p_c log p_c``, the entropy itself: code that takes
    the mean of ``p log p`` over an (n, k) array divides it by k, and its weight is k times this ``penalty``. The
    gradient is ``p - onehot(y) + penalty p (log p + H(p))``. A masked class (logit -inf) has no share in the entropy;
    a masked label makes the loss inf.

    References
    ----------
    Pereyra, Tucker, Chorowski, Kaiser, Hinton (2017), Regularizing neural networks by penalizing confident output
    distributions, section 3.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]])
    >>> confidence_penalty_cross_entropy(logits, torch.tensor([0, 1]), penalty=0.1)
    tensor(0.5295)
    """
    formula = partial(confidence_penalty_rows, penalty=check_strength(penalty, option="penalty"))
    return formula_loss(formula, logits, labels, ignore_index=ignore_index, reduction=reduction)


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: Gamma = GAMMA,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy that counts a row the less, the surer the network is of its label.

    In nats, at least 0, smaller is better. Not a proper score: the probabilities that minimise it are less sure than
    the true ones. Validate with the negative log-likelihood.

    Parameters
    ----------
    logits : Tensor of shape (n, k) or (n, k, d1, ...)
        Network output of any float dtype. Half precisions are widened, and the loss is then float32.
    labels : Tensor of shape (n,) or (n, d1, ...)
        Class numbers 0..k-1, of any whole-number dtype.
    gamma : float or "flsd-53", default 2.0
        Power of ``1 - p_y``, at least 0 (0: the cross-entropy); "flsd-53": 5 in rows with ``p_y < 0.2``, else 3.
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses in the shape of the labels.

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If gamma is neither a finite number of at least 0 nor "flsd-53", or reduction is unknown.
    LabelError, ShapeError, DataError
        As `label_smoothing_cross_entropy`.

    Notes
    -----
    A row loses ``-(1 - p_y)^gamma log p_y``. Its gradient is that of the cross-entropy, ``p - onehot(y)``, times
    ``(1 - p_y)^gamma - gamma (1 - p_y)^(gamma - 1) p_y log p_y``. Both are computed from the log-odds of the label, so
    that they are right to the last digits, and finite, for ``p_y`` near 0 and 1. The gamma of FLSD-53 is a choice and
    has no gradient; the loss jumps where ``p_y`` is 0.2. A masked label (logit -inf) makes the loss inf.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollár (2017), Focal loss for dense object detection, equation 4. Mukhoti, Kulharia,
    Sanyal, Golodetz, Torr, Dokania (2020), Calibrating deep neural networks using focal loss (FLSD-53).

    Examples
    --------
    >>> logits = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]])
    >>> focal_loss(logits, torch.tensor([0, 1]), gamma=2.0)
    tensor(0.1978)
    >>> focal_loss(logits, torch.tensor([0, 1]), gamma="flsd-53")
    tensor(0.1214)
    """
    formula = partial(focal_rows, gamma=_gamma_of_rows(_check_gamma(gamma)))
    return formula_loss(formula, logits, labels, ignore_index=ignore_index, reduction=reduction)


def margin_label_smoothing_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    margin: float = MARGIN,
    smoothing: float = MARGIN_SMOOTHING,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy plus a penalty on logits that are more than a margin below the largest (MbLS).

    In nats, at least 0, smaller is better; for training only.

    Parameters
    ----------
    logits : Tensor of shape (n, k) or (n, k, d1, ...)
        Network output of any float dtype. Half precisions are widened, and the loss is then float32.
    labels : Tensor of shape (n,) or (n, d1, ...)
        Class numbers 0..k-1, of any whole-number dtype.
    margin : float, default 10.0
        Distance between logits that is free, at least 0.
    smoothing : float, default 0.1
        Weight of the penalty, at least 0; it means what the share e of label smoothing means (see Notes).
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses in the shape of the labels.

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If margin or smoothing is not a finite number of at least 0, or reduction is unknown.
    LabelError, ShapeError, DataError
        As `label_smoothing_cross_entropy`.

    Notes
    -----
    A row loses ``-log p_y + smoothing mean_c max(0, max_j x_j - x_c - margin)``. The mean over classes is that of the
    authors' code, whose defaults are the ones here. The paper writes a sum with a weight lambda: the same loss with
    ``lambda = smoothing / k``. Where the label has the largest logit, margin 0 is uniform label smoothing with
    ``e = smoothing``, exactly. A masked class (logit -inf) is infinitely far away and makes the loss inf, as in label
    smoothing.

    References
    ----------
    Liu, Ben Ayed, Galdran, Dolz (2022), The devil is in the margin: margin-based label smoothing for network
    calibration; code by-liu/MbLS, LogitMarginL1.

    Examples
    --------
    >>> logits = torch.tensor([[12.0, -1.0, 0.5], [0.3, 0.1, -0.7]])
    >>> margin_label_smoothing_loss(logits, torch.tensor([0, 1]), margin=10.0, smoothing=0.1)
    tensor(0.5662)
    """
    formula = partial(
        margin_smoothing_rows,
        margin=check_strength(margin, option="margin"),
        smoothing=check_strength(smoothing, option="smoothing"),
    )
    return formula_loss(formula, logits, labels, ignore_index=ignore_index, reduction=reduction)


def brier_loss(
    logits: Tensor, labels: Tensor, *, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean"
) -> Tensor:
    """Squared distance of softmax and label.

    In [0, 2], smaller is better: a proper score, and on probabilities the `calibkit.brier_score`.

    Parameters
    ----------
    logits : Tensor of shape (n, k) or (n, k, d1, ...)
        Network output of any float dtype. Half precisions are widened, and the loss is then float32.
    labels : Tensor of shape (n,) or (n, d1, ...)
        Class numbers 0..k-1, of any whole-number dtype.
    ignore_index : int, default -100
        Rows with this label add no loss and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        What is returned: one number, or the losses in the shape of the labels.

    Returns
    -------
    Tensor
        The loss in float32, or float64 for float64 logits.

    Raises
    ------
    OptionError
        If reduction is unknown.
    LabelError, ShapeError, DataError
        As `label_smoothing_cross_entropy`.

    Notes
    -----
    A row loses ``sum_c (p_c - 1[c = y])^2``, the sum over all k classes. With ``g = p - onehot(y)`` the gradient is
    ``2 p (g - sum_c p_c g_c)``: it vanishes not only where the network is right and sure, but also where it is wrong
    and sure. Masked classes (logit -inf) have probability 0.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, equation 2.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]])
    >>> brier_loss(logits, torch.tensor([0, 1]))
    tensor(0.3535)
    """
    return formula_loss(brier_rows, logits, labels, ignore_index=ignore_index, reduction=reduction)


class ConfidencePenaltyCrossEntropy(FormulaLoss):
    """Cross-entropy less a multiple of the entropy of the prediction, for any training loop.

    `confidence_penalty_cross_entropy` says the formula, the options and the errors.

    Examples
    --------
    >>> loss = ConfidencePenaltyCrossEntropy(penalty=0.1)
    >>> loss(torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]]), torch.tensor([0, 1]))
    tensor(0.5295)
    """

    def __init__(
        self, *, penalty: float = PENALTY, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.penalty = check_strength(penalty, option="penalty")

    def formula(self) -> Formula:
        """The formula, with the strength that the module has now."""
        return partial(confidence_penalty_rows, penalty=self.penalty)

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"penalty={self.penalty}, {super().extra_repr()}"


class FocalLoss(FormulaLoss):
    """Cross-entropy that counts a row the less, the surer the network is of its label, for any training loop.

    `focal_loss` says the formula, the options and the errors.

    Examples
    --------
    >>> loss = FocalLoss(gamma="flsd-53")
    >>> loss(torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]]), torch.tensor([0, 1]))
    tensor(0.1214)
    """

    def __init__(
        self, *, gamma: Gamma = GAMMA, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.gamma = _check_gamma(gamma)

    def formula(self) -> Formula:
        """The formula, with the strength that the module has now."""
        return partial(focal_rows, gamma=_gamma_of_rows(self.gamma))

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"gamma={self.gamma!r}, {super().extra_repr()}"


class MarginLabelSmoothing(FormulaLoss):
    """Cross-entropy plus a penalty on logits far below the largest (MbLS), for any training loop.

    `margin_label_smoothing_loss` says the formula, the options and the errors.

    Examples
    --------
    >>> loss = MarginLabelSmoothing(margin=10.0, smoothing=0.1)
    >>> loss(torch.tensor([[12.0, -1.0, 0.5], [0.3, 0.1, -0.7]]), torch.tensor([0, 1]))
    tensor(0.5662)
    """

    def __init__(
        self,
        *,
        margin: float = MARGIN,
        smoothing: float = MARGIN_SMOOTHING,
        ignore_index: int = IGNORE_INDEX,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.margin = check_strength(margin, option="margin")
        self.smoothing = check_strength(smoothing, option="smoothing")

    def formula(self) -> Formula:
        """The formula, with the strength that the module has now."""
        return partial(margin_smoothing_rows, margin=self.margin, smoothing=self.smoothing)

    def extra_repr(self) -> str:
        """Say the settings in ``repr``."""
        return f"margin={self.margin}, smoothing={self.smoothing}, {super().extra_repr()}"


class BrierLoss(FormulaLoss):
    """Squared distance of softmax and label, for any training loop.

    `brier_loss` says the formula, the options and the errors.

    Examples
    --------
    >>> BrierLoss()(torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7]]), torch.tensor([0, 1]))
    tensor(0.3535)
    """

    def formula(self) -> Formula:
        """The formula, with the strength that the module has now."""
        return brier_rows


def _check_gamma(gamma: Gamma) -> Gamma:
    """Return a power of at least 0, or the name of the rule that chooses one for each row."""
    if isinstance(gamma, str):
        return check_choice(gamma, ("flsd-53",), option="gamma")
    return check_strength(gamma, option="gamma")


def _gamma_of_rows(gamma: Gamma) -> float | None:
    """The formula's form of a checked gamma."""
    return None if isinstance(gamma, str) else gamma
