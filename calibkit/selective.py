"""Selective prediction: does the confidence tell right answers from wrong ones? AURC, E-AURC, AUGRC, AUROC. Floor 2."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibkit._checks import check_counts
from calibkit._numerics import Floats
from calibkit.pairs import Pairs, TiedPairs, pool_ties, read_pairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiedBlocks:
    """Rows that share a confidence, from the most confident block to the least: all that a ranking can show.

    Attributes
    ----------
    size, wrong : ndarray of shape (b,)
        Weight of a block's rows, and of those whose answer is wrong.
    above, wrong_above : ndarray of shape (b,)
        The same of all more confident blocks together.

    Examples
    --------
    >>> blocks = tied_blocks(read_pairs([0, 0, 1], [0.6, 0.9, 0.4], view="top-label"))
    >>> blocks.size, blocks.wrong, blocks.wrong_above
    (array([1., 2.]), array([1., 2.]), array([0., 1.]))
    """

    size: Floats
    wrong: Floats
    above: Floats
    wrong_above: Floats


def tied_blocks(pairs: Pairs) -> TiedBlocks:
    """Blocks of tied rows, the most confident first; the order of the rows is forgotten here."""
    return blocks_of(pool_ties(pairs))


def blocks_of(tied: TiedPairs) -> TiedBlocks:
    """The same of rows that are pooled already."""
    size, wrong = tied.weight[::-1], (tied.weight - tied.happened)[::-1]
    return TiedBlocks(size=size, wrong=wrong, above=np.cumsum(size) - size, wrong_above=np.cumsum(wrong) - wrong)


def aurc(pairs: Pairs) -> float:
    """Mean over j of the error rate of the j most confident rows, over all orders of tied rows; weights are counts.

    Examples
    --------
    >>> round(aurc(read_pairs([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])), 6)  # (0 + 1/2 + 1/3) / 3
    0.277778
    """
    check_counts(pairs.weights, what="AURC and E-AURC", other="area_under_generalized_risk_coverage")
    return aurc_of(tied_blocks(pairs))


def aurc_of(blocks: TiedBlocks) -> float:
    """AURC of rows whose weights were checked; NaN without rows."""
    return float(summed_risks(blocks).sum() / blocks.size.sum()) if len(blocks.size) else float("nan")


def summed_risks(blocks: TiedBlocks, sums: Floats | None = None) -> Floats:
    """Over the rows of each block, (b,): error rates of all rows down to it, summed; `sums` are its `reciprocals`."""
    # Of m tied rows with e wrong ones, below a rows with E wrong ones, the first t hold t e/m wrong ones on average:
    # sum_t (E + t e/m)/(a + t) = e + (E - a e/m) sum_t 1/(a + t).
    excess = blocks.wrong_above - blocks.above * blocks.wrong / np.maximum(blocks.size, 1)
    sums = reciprocals(blocks.above, blocks.size) if sums is None else sums
    return np.asarray(np.where(blocks.size > 0, blocks.wrong + excess * sums, 0.0))


def reciprocals(start: Floats, length: Floats) -> Floats:
    """1/(a + 1) + ... + 1/(a + m) for each start a and length m, m at least 1."""
    from scipy.special import digamma

    # The difference of two digammas cancels where m is small against a; a single row, the usual case, needs none.
    sums = 1 / (start + 1)
    several = np.flatnonzero(length > 1)
    sums[several] = digamma(start[several] + length[several] + 1) - digamma(start[several] + 1)
    return np.asarray(sums)


def excess_aurc(pairs: Pairs) -> float:
    """AURC minus the least that any ranking of these answers can have.

    Examples
    --------
    >>> round(excess_aurc(read_pairs([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])), 6)  # 5/18 - 1/9
    0.166667
    """
    check_counts(pairs.weights, what="AURC and E-AURC", other="area_under_generalized_risk_coverage")
    return excess_aurc_of(tied_blocks(pairs))


def excess_aurc_of(blocks: TiedBlocks) -> float:
    """Excess AURC of rows whose weights were checked; NaN without rows."""
    # The best ranking puts wrong rows last; within the wrong and within the right ones order does not matter.
    wrong, total = blocks.wrong.sum(), blocks.size.sum()
    best = TiedBlocks(
        size=np.array([total - wrong, wrong]),
        wrong=np.array([0.0, wrong]),
        above=np.array([0.0, total - wrong]),
        wrong_above=np.zeros(2),
    )
    least = aurc_of(best) if len(blocks.size) else float("nan")
    return float(np.maximum(aurc_of(blocks) - least, 0.0))


def augrc(pairs: Pairs) -> float:
    """Area under the share of all rows that are wrong and among the c most confident, for c from 0 to 1.

    Examples
    --------
    >>> round(augrc(read_pairs([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])), 6)  # (0 + 1/2 + 1) / 9
    0.166667
    """
    return augrc_of(tied_blocks(pairs))


def augrc_of(blocks: TiedBlocks) -> float:
    """AUGRC of blocks; NaN without rows."""
    if len(blocks.size) == 0:
        return float("nan")
    areas = blocks.size * (blocks.wrong_above + blocks.wrong / 2)  # the curve is straight within a block
    return float(areas.sum() / blocks.size.sum() ** 2)


def auroc(pairs: Pairs) -> float:
    """Probability that a right row is more confident than a wrong one, ties counting half; NaN without both.

    Examples
    --------
    >>> auroc(read_pairs([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]))
    0.5
    """
    return auroc_of(tied_blocks(pairs))


def auroc_of(blocks: TiedBlocks) -> float:
    """AUROC of blocks; NaN without right and wrong rows."""
    right = blocks.size - blocks.wrong
    if not (right.any() and blocks.wrong.any()):
        return float("nan")
    right_above = blocks.above - blocks.wrong_above
    ordered = blocks.wrong * (right_above + right / 2)
    return float(ordered.sum() / (right.sum() * blocks.wrong.sum()))


def area_under_risk_coverage(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the risk-coverage curve (AURC): error rate of the answers kept, averaged over how many are kept.

    In [0, 1], smaller is better: 0 where every answer is right, the error rate where confidence tells nothing. It falls
    with the error rate and with a better ranking: compare models of different accuracy by `confidence_auroc` too. It
    asks nothing of the size of the confidences: calibration does not show in it.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; the largest is the confidence. 1-D is P(y = 1): confidence max(p, 1 - p), and p > 1/2 predicts 1.
    weights : array_like of shape (n,), optional
        How often each row occurs, in whole numbers: the mean is one over ranks, and a share of a row has none.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or a weight is not a whole number.

    Notes
    -----
    With r_j the error rate among the j most confident of n rows, AURC = (r_1 + ... + r_n) / n, and the mean of that
    over all orders of rows of equal confidence: the order of the rows does not matter. Packages that integrate the
    curve by trapezoids, or only over distinct confidences, differ by terms of order log(n) / n. Probabilities that
    were rounded (float16, four decimals, a softmax that saturates at 1) tie where the logits did not.

    References
    ----------
    Geifman, Uziel, El-Yaniv 2019, "Bias-reduced uncertainty estimation for deep neural classifiers".

    Examples
    --------
    The rows rank right, wrong, right: (0 + 1/2 + 1/3) / 3.

    >>> from calibkit import area_under_risk_coverage
    >>> round(area_under_risk_coverage([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), 4)
    0.2778
    """
    return aurc(read_pairs(labels, probs, view="top-label", weights=weights))


def excess_area_under_risk_coverage(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Excess AURC: what the area under the risk-coverage curve has above the best ranking of the same answers.

    In [0, 1), smaller is better: 0 where every right answer is more confident than every wrong one. It does not take
    out all of the error rate: among models of different accuracy, read `confidence_auroc` beside it.

    Parameters
    ----------
    labels, probs, weights
        As in `area_under_risk_coverage`.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or a weight is not a whole number.

    Notes
    -----
    The best ranking is that of the n rows themselves, with the e wrong ones last: the sum of t / (n - e + t) over
    t = 1..e, divided by n. The paper's r + (1 - r) log(1 - r), with r = e / n, is its limit for many rows.

    References
    ----------
    Geifman, Uziel, El-Yaniv 2019, "Bias-reduced uncertainty estimation for deep neural classifiers".

    Examples
    --------
    With the wrong row last AURC would be (0 + 0 + 1/3) / 3; it is 5/18.

    >>> from calibkit import excess_area_under_risk_coverage
    >>> round(excess_area_under_risk_coverage([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), 4)
    0.1667
    """
    return excess_aurc(read_pairs(labels, probs, view="top-label", weights=weights))


def area_under_generalized_risk_coverage(
    labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Area under the generalised risk-coverage curve (AUGRC): how often an answer is kept and wrong, on average.

    In [0, 1/2], smaller is better: 0 where every answer is right, half the error rate where confidence tells nothing.
    Unlike AURC it does not rest on the few most confident rows, each of which AURC counts in every later mean.

    Parameters
    ----------
    labels, probs
        As in `area_under_risk_coverage`.
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    Notes
    -----
    The integral over coverage c in [0, 1] of the share of all rows that are wrong and among the c most confident; the
    curve is straight over rows of equal confidence. With error rate r it is (1 - AUROC) r (1 - r) + r^2 / 2, AUROC as
    in `confidence_auroc`. A sum over ranks in place of the integral is larger by r / (2 n).

    References
    ----------
    Traub, Bungert, Lüth, Baumgartner, Maier-Hein, Maier-Hein, Jaeger 2024, "Overcoming common flaws in the evaluation
    of selective classification systems".

    Examples
    --------
    The rows rank right, wrong, right: the curve goes through (0, 0), (1/3, 0), (2/3, 1/3), (1, 1/3).

    >>> from calibkit import area_under_generalized_risk_coverage
    >>> round(area_under_generalized_risk_coverage([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), 4)
    0.1667
    """
    return augrc(read_pairs(labels, probs, view="top-label", weights=weights))


def confidence_auroc(labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve of confidence against correctness: how well it tells right answers from wrong ones.

    In [0, 1], larger is better, 1/2 where confidence tells nothing. It says nothing of how many answers are right, and
    a model that errs in harder rows may have a lower one for that alone.

    Parameters
    ----------
    labels, probs
        As in `area_under_risk_coverage`.
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.

    Returns
    -------
    float
        NaN where every answer is right, or every one wrong: there is nothing to tell apart.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be.

    Notes
    -----
    P(confidence of a right row > that of a wrong row) + P(they are equal) / 2. This is not the AUROC of the classes.

    References
    ----------
    Hendrycks, Gimpel 2017, "A baseline for detecting misclassified and out-of-distribution examples", section 2.

    Examples
    --------
    >>> from calibkit import confidence_auroc
    >>> confidence_auroc([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    0.5
    """
    return auroc(read_pairs(labels, probs, view="top-label", weights=weights))
