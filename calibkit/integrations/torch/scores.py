"""The scores of a row from its sums, on the device. Annex: integrations.

The formulas are those of ``calibkit.scores.row_scores``. Everything is float64 and of shape (n,). Operations that IEEE
754 fixes to the last bit (+, -, *, /, comparisons) give the bits of NumPy; exp, log and log1p are those of the device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorSums:
    """Per row, all (n,) float64: the true and the two largest values, and sums over all classes but these two.

    What ``rest`` and ``square`` hold is said at ``calibkit.scores.row_sums.RowSums``.
    """

    top: Tensor
    second: Tensor
    true: Tensor
    rest: Tensor
    square: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorScores:
    """What each row is worth, on the device; the vectors of ``calibkit.scores.RowScores``, all (n,).

    P(y = 1) only where there is one event, log score and Brier score only where the forecast is a whole one. Of stored
    probabilities ``log_of`` stands in for the log score: it is -log(x) where x >= 0, and -log1p(x) where the sign bit
    of x is set.
    """

    confidence: Tensor
    correct: Tensor
    log_score: Tensor | None = None
    log_of: Tensor | None = None
    brier: Tensor | None = None
    positive: Tensor | None = None


def scores_of_logits(sums: TensorSums, correct: Tensor, *, wide: bool, ones: Tensor | None) -> TensorScores:
    """Scores of softmax(z); `wide` logits are float64, `ones` are the rows in which class 1 of two leads."""
    lead = sums.second - sums.top
    odds_second = torch.exp(lead)
    if wide:  # narrower logits have exact differences in float64
        odds_second = odds_second * (1.0 + _rounded_off(lead, sums.second, sums.top))
    behind = sums.top - sums.true
    odds_true = torch.exp(-behind)
    rest = (1.0 + sums.rest) * odds_second  # (1 - p_top)/p_top
    # Where the true class is on top its odds are exactly 1: what is left are the sums without it, not cancelled.
    missing = rest + (1.0 - odds_true)
    others = (1.0 + sums.square) * torch.square(odds_second) + (1.0 - torch.square(odds_true))
    confidence = 1.0 / (1.0 + rest)
    return TensorScores(
        confidence=confidence,
        correct=correct,
        log_score=behind + torch.log1p(rest),
        brier=(torch.square(missing) + others) * torch.square(confidence),
        positive=None if ones is None else torch.where(ones, 1.0, rest) / (1.0 + rest),
    )


def scores_of_probs(sums: TensorSums, correct: Tensor, *, ones: Tensor | None) -> TensorScores:
    """Scores of stored class probabilities; `ones` are the rows in which class 1 of two leads."""
    others = sums.square + torch.square(sums.second) + (sums.top - sums.true) * (sums.top + sums.true)
    return TensorScores(
        confidence=sums.top,
        correct=correct,
        log_of=sums.true + 0.0,  # -0.0 becomes 0.0
        brier=torch.square(1.0 - sums.true) + others,
        positive=None if ones is None else torch.where(ones, sums.top, sums.second),
    )


def scores_of_probability(probs: Tensor, positive: Tensor) -> TensorScores:
    """Scores of P(y = 1)."""
    missing = torch.where(positive, 1.0 - probs, probs)
    return TensorScores(
        confidence=torch.maximum(probs, 1.0 - probs),
        correct=(probs > 0.5) == positive,
        log_of=torch.where(positive, probs, -probs),
        brier=torch.square(missing),
        positive=probs,
    )


def scores_of_log_odds(log_odds: Tensor, positive: Tensor) -> TensorScores:
    """Scores of log-odds of class 1."""
    margin = torch.where(positive, log_odds, -log_odds)
    odds = torch.exp(-margin.abs())
    return TensorScores(
        confidence=1.0 / (1.0 + odds),
        correct=(log_odds > 0) == positive,
        log_score=torch.log1p(odds) + torch.clamp(-margin, min=0.0),
        brier=torch.square(_sigmoid(-margin)),
        positive=_sigmoid(log_odds),
    )


def log_scores_by_host(log_of: Tensor) -> Tensor:
    """Log scores of stored probabilities with NumPy's bits, from ``TensorScores.log_of``; it waits for the device.

    Examples
    --------
    >>> log_scores_by_host(torch.tensor([0.5, -0.75, 1.0, 0.0], dtype=torch.float64))
    tensor([0.6931, 1.3863, 0.0000,    inf], dtype=torch.float64)
    """
    value = log_of.cpu().numpy()
    with np.errstate(divide="ignore"):
        # 0 - x, not -x: a certain and correct row scores +0.0.
        score = 0.0 - np.where(np.signbit(value), np.log1p(np.minimum(value, 0.0)), np.log(np.maximum(value, 0.0)))
    return torch.from_numpy(score).to(log_of.device)


def _rounded_off(difference: Tensor, minuend: Tensor, subtrahend: Tensor) -> Tensor:
    """What a - b lost to rounding, exactly (Knuth 1969, theorem 4.2.2 B); 0 where it overflowed."""
    taken = minuend - difference
    lost = (minuend - (difference + taken)) + (taken - subtrahend)
    return torch.where(torch.isfinite(lost), lost, 0.0)


def _sigmoid(log_odds: Tensor) -> Tensor:
    """1/(1 + exp(-z)) without overflow, with full relative precision at both ends."""
    odds = torch.exp(-log_odds.abs())
    return torch.where(log_odds >= 0, 1.0, odds) / (1.0 + odds)
