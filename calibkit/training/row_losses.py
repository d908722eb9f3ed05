"""Formulas of the losses next to label smoothing: logits (rows, k) and labels (rows,) in, losses (rows,) out.

Nothing is checked here and nothing is averaged; `calibkit.training.losses` does both. Annex: training.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_LOG_ODDS_OF_A_FIFTH = -math.log(4)
_FAR = 1e4  # log-odds beyond which a probability is 0 or 1 in every dtype


def confidence_penalty_rows(x: Tensor, labels: Tensor, *, penalty: float) -> Tensor:
    """``-log p_y - penalty H(p)``."""
    log_p = x.log_softmax(dim=1)  # (rows, k)
    p = log_p.exp()
    # A class of probability 0 has no share in the entropy, in value and gradient: 0 * -inf must count as 0.
    entropy = -(p * log_p.masked_fill(p == 0, 0.0)).sum(dim=1)  # (rows,)
    return -_of_labels(log_p, labels) - penalty * entropy


def focal_rows(x: Tensor, labels: Tensor, *, gamma: float | None) -> Tensor:
    """``-(1 - p_y)^gamma log p_y``; gamma None is FLSD-53, whose gamma depends on ``p_y``."""
    odds = label_log_odds(x, labels)  # (rows,)
    power = flsd_53_gamma(odds) if gamma is None else gamma
    # log(1 - p_y) from the log-odds has all its digits at both ends. The bounds keep 0 * inf out where the odds are
    # infinite: beyond them the factor is constant.
    log_miss = logsigmoid(-odds.clamp(-_FAR, _FAR))
    return -(power * log_miss).exp() * logsigmoid(odds)


def margin_smoothing_rows(x: Tensor, labels: Tensor, *, margin: float, smoothing: float) -> Tensor:
    """``-log p_y + smoothing mean_c max(0, max_j x_j - x_c - margin)``."""
    losses = negative_log_likelihood_rows(x, labels)
    if smoothing == 0:
        return losses
    distance = x.amax(dim=1, keepdim=True) - x  # (rows, k)
    return losses + smoothing * (distance - margin).relu().mean(dim=1)


def brier_rows(x: Tensor, labels: Tensor) -> Tensor:
    """``sum_c (p_c - 1[c = y])^2``."""
    p = x.softmax(dim=1)  # (rows, k)
    miss = p.scatter_add(1, labels.unsqueeze(1), p.new_full((len(labels), 1), -1.0))
    return miss.square().sum(dim=1)


def negative_log_likelihood_rows(x: Tensor, labels: Tensor) -> Tensor:
    """``-log p_y``."""
    x = _below_maximum(x)
    return x.logsumexp(dim=1) - _of_labels(x, labels)


def label_log_odds(x: Tensor, labels: Tensor) -> Tensor:
    """``log(p_y / (1 - p_y))``: what the label's logit is above the log-sum-exp of the others."""
    x = _below_maximum(x)
    # The lowest finite number, not -inf: where all others are masked, logsumexp would have no gradient but NaN.
    others = x.scatter(1, labels.unsqueeze(1), torch.finfo(x.dtype).min)  # (rows, k)
    return _of_labels(x, labels) - others.logsumexp(dim=1)


def flsd_53_gamma(odds: Tensor) -> Tensor:
    """5 where ``p_y < 0.2``, else 3, from the log-odds of the label; chosen, so without a gradient."""
    return 3.0 + 2.0 * (odds.detach() < _LOG_ODDS_OF_A_FIFTH).to(odds.dtype)


def _below_maximum(x: Tensor) -> Tensor:
    """Logits less the row's largest, which cancels out of every term and so needs no gradient."""
    return x - x.amax(dim=1, keepdim=True).detach()


def _of_labels(values: Tensor, labels: Tensor) -> Tensor:
    """The label's entry of each row: (rows, k) to (rows,)."""
    return values.gather(1, labels.unsqueeze(1)).squeeze(1)
