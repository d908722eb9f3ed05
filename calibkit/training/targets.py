"""Smoothed targets: what a label or a soft target becomes, and the least loss against it. Annex: training."""

import math

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from calibkit._checks import check_int
from calibkit.errors import LabelError, OptionError, ShapeError
from calibkit.training.tensors import (
    check_class_count,
    check_prior,
    check_smoothing,
    check_targets,
)


def smooth_targets(
    targets: Tensor | ArrayLike, num_classes: int, smoothing: float, *, prior: Tensor | ArrayLike | None = None
) -> Tensor:
    """Smoothed target distributions: a share of each target is spread over the classes.

    Each row sums to 1; entries are in [0, 1].

    Parameters
    ----------
    targets : Tensor or array-like of shape (n,) or (n, d1, ...)
        Class numbers 0..k-1, of any whole-number dtype; or floats of shape (n, k) or (n, k, d1, ...), distributions
        over the classes, such as mixup makes.
    num_classes : int
        Number k of classes, at least 2.
    smoothing : float
        The share e in [0, 1).
    prior : Tensor or array-like of shape (k,), optional
        Where the share goes, for instance the frequencies of the classes; uniform by default.

    Returns
    -------
    Tensor of shape (n, k) or (n, k, d1, ...)
        On the device of the targets; of torch's default dtype, or that of soft targets.

    Raises
    ------
    OptionError
        If smoothing is not in [0, 1) or num_classes is below 2.
    LabelError
        If a label is not a class number (the first row, its value and k are named), or labels are floats.
    DataError
        If a row of soft targets, or prior, is not a distribution.
    ShapeError
        If soft targets or prior have not k classes.

    Notes
    -----
    ``q = (1 - e) onehot(y) + e / k``, or ``+ e prior`` (Pereyra et al. 2017 name it unigram smoothing); for soft
    targets t ``q = (1 - e) t + e prior``. The true class keeps ``1 - e + e / k`` (Szegedy, torch, Keras): see
    `smoothing_from_others` for code that means ``1 - e``. Losses do not need these (n, k) targets: see
    `label_smoothing_cross_entropy`.

    Widely copied code gives ``e / k`` to the others and ``1 - e``, not ``1 - e + e / k``, to the true class. Its rows
    sum to ``1 - e / k``; it is the loss of smoothing ``e / (1 - e / k)``, times ``1 - e / k``.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), Rethinking the Inception architecture for computer vision,
    section 7. Pereyra, Tucker, Chorowski, Kaiser, Hinton (2017), Regularizing neural networks by penalizing
    confident output distributions, section 3.2.

    Examples
    --------
    >>> smooth_targets([2, 0], 4, 0.2)
    tensor([[0.0500, 0.0500, 0.8500, 0.0500],
            [0.8500, 0.0500, 0.0500, 0.0500]])
    >>> smooth_targets([2, 0], 4, 0.2).sum(dim=1)
    tensor([1., 1.])
    >>> smooth_targets([[0.7, 0.3, 0.0]], 3, 0.1, prior=[0.5, 0.3, 0.2])
    tensor([[0.6800, 0.3000, 0.0200]])

    The copied variant does not sum to 1, but is another smoothing of another scale:

    >>> copied = torch.full((1, 4), 0.2 / 4).scatter(1, torch.tensor([[2]]), 1 - 0.2)
    >>> copied.sum(), 1 - 0.2 / 4
    (tensor(0.9500), 0.95)
    >>> torch.allclose(copied / 0.95, smooth_targets([2], 4, 0.2 / 0.95))
    True
    """
    share = check_smoothing(smoothing)
    k = check_int(num_classes, option="num_classes", low=2)
    spread = torch.full((k,), 1 / k, dtype=torch.float64) if prior is None else check_prior(prior)
    check_class_count(spread, k, "prior")
    given = targets if isinstance(targets, Tensor) else torch.as_tensor(targets)
    checked = check_targets(_form(given, k), given, ignore_index=None, soft=True)
    if checked.soft is not None:
        return (1 - share) * checked.soft + (share * spread).to(checked.soft).view(-1, *[1] * (given.ndim - 2))
    assert checked.labels is not None
    rows, *places = given.shape
    rest = (share * spread).to(given.device, torch.get_default_dtype()).view(-1, *[1] * len(places))
    smoothed = rest.expand(rows, k, *places).clone()  # (n, k, d1, ...)
    kept = smoothed.new_full((), 1 - share).expand(rows, 1, *places)
    return smoothed.scatter_add_(1, checked.labels.unsqueeze(1), kept)


def _form(targets: Tensor, k: int) -> Tensor:
    """An empty stand-in for the logits (n, k, d1, ...) that these targets belong to."""
    if targets.ndim == 0:
        raise ShapeError("targets has shape (); expected (n,), one class number per row.")
    if targets.is_floating_point() and targets.ndim > 1:
        if targets.shape[1] != k:
            raise ShapeError(f"targets has shape {tuple(targets.shape)}; expected {k} classes in axis 1.")
        return targets
    if targets.shape[1:2] == (k,) and _one_hot(targets):
        raise LabelError(
            f"targets has shape {tuple(targets.shape)} and one 1 a row: one-hot? Pass targets.argmax(1) for class "
            "numbers, or targets.float()."
        )
    return targets.new_empty(()).expand(*targets.shape[:1], k, *targets.shape[1:])


def _one_hot(targets: Tensor) -> bool:
    """Whether every row along axis 1 is one 1 and else 0."""
    return targets.numel() > 0 and bool(((targets == 0) | (targets == 1)).all() and (targets.sum(dim=1) == 1).all())


def smoothing_from_others(smoothing: float, num_classes: int) -> float:
    """Smoothing here that equals one of the kind which gives the others ``e / (k - 1)`` each.

    In [0, 1). That kind (fairseq, many tutorials) leaves the true class ``1 - e``, not ``1 - e + e / k``.

    Parameters
    ----------
    smoothing : float
        The share e that the other classes get together, from 0 up to, but not including, ``(k - 1) / k``: beyond it
        the label would be no likelier than any other class.
    num_classes : int
        Number k of classes, at least 2.

    Returns
    -------
    float
        ``e k / (k - 1)``.

    Raises
    ------
    OptionError
        If smoothing or num_classes is out of range.

    Notes
    -----
    ``(1 - e') + e' / k = 1 - e`` and ``e' / k = e / (k - 1)`` for ``e' = e k / (k - 1)``: the same targets.

    Examples
    --------
    >>> round(smoothing_from_others(0.1, 10), 4)
    0.1111
    >>> smooth_targets([1], 4, smoothing_from_others(0.12, 4))
    tensor([[0.0400, 0.8800, 0.0400, 0.0400]])
    """
    share = check_smoothing(smoothing)
    k = check_int(num_classes, option="num_classes", low=2)
    uniform = share * k / (k - 1)
    if uniform < 1:
        return uniform
    raise OptionError(
        f"smoothing={smoothing!r}: expected less than (k - 1) / k = {(k - 1) / k:.4g} for {k} classes, where the label "
        "has no more than any other class."
    )


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
