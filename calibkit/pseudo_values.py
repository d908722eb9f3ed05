"""Row scores whose mean is AURC or AUGRC, and whose spread is its spread: jackknife pseudo-values. Floor 2."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calibkit._checks import check_counts
from calibkit._numerics import Floats, effective_size, weighted_mean
from calibkit.pairs import Pairs, pool_rows
from calibkit.selective import TiedBlocks, blocks_of, reciprocals, summed_risks
from calibkit.units import Units

# With fewer wrong or right answers than this, their number alone makes the interval unsure (docs/coverage.md).
MIN_ANSWERS = 30
# Of dependent rows a ranking needs more groups than a mean does.
MIN_RANKED_GROUPS = 50
# Less than one swap of neighbours makes of any of them, and more than their rounding.
_NO_DIFFERENCE = 1e-14


def aurc_rows(pairs: Pairs) -> Floats:
    """Pseudo-values of AURC, (n,): what each row adds to n times AURC, shifted so that their mean is AURC.

    Row i scores n A - (n - 1) A_i, A_i the AURC of the other rows, exactly and over all orders of tied rows; a common
    shift makes the mean A. A weight counts as so many rows of the same score. All of it costs one sort.

    References
    ----------
    Tukey 1958, "Bias and confidence in not-quite large samples".
    Efron, Stein 1981, "The jackknife estimate of variance".

    Examples
    --------
    >>> from calibkit.pairs import read_pairs
    >>> rows = aurc_rows(read_pairs([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]))
    >>> rows.round(4), round(float(rows.mean()), 4)
    (array([-0.5556,  0.9444,  0.4444]), 0.2778)
    """
    check_counts(pairs.weights, what="AURC and E-AURC", other="area_under_generalized_risk_coverage")
    if len(pairs) == 0:
        return np.empty(0)
    tied, block = pool_rows(pairs)
    blocks = blocks_of(tied)
    own, right, wrong = _risks_taken(blocks)
    rows = np.where(pairs.outcome, right[::-1][block], wrong[::-1][block])
    return np.asarray(rows + (own.sum() / blocks.size.sum() - weighted_mean(rows, pairs.weights)))


def augrc_rows(pairs: Pairs) -> Floats:
    """Row scores of AUGRC: its first-order (Hájek) terms, whose mean is AUGRC; weights may be anything.

    Examples
    --------
    >>> from calibkit.pairs import read_pairs
    >>> rows = augrc_rows(read_pairs([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]))
    >>> rows.round(4), round(float(rows.mean()), 4)
    (array([-0.1667,  0.5   ,  0.1667]), 0.1667)
    """
    if len(pairs) == 0:
        return np.empty(0)
    tied, block = pool_rows(pairs)
    blocks = blocks_of(tied)
    total = blocks.size.sum()
    # Twice the area is a sum over pairs of rows: a row is in it with the wrong rows above, and, if wrong, all below it.
    above, below = blocks.wrong_above + blocks.wrong / 2, total - blocks.above - blocks.size / 2
    halves = above[-1 - block] + np.where(pairs.outcome, 0.0, below[-1 - block])
    area = (blocks.size * above).sum() / total**2
    return np.asarray(halves / total - area)


def too_few_answers(correct: NDArray[np.bool_], units: Units, *, least: int = MIN_ANSWERS) -> str | None:
    """Why a ranking of these answers has no interval: it rests on the wrong ones, or on the few right ones."""
    right, wrong = (_worth(of_a_kind, units.row_weight) for of_a_kind in (correct, ~correct))
    few = few_answers(right, wrong, least=least)
    if few is not None:
        return few
    if units.codes is not None and units.effective < MIN_RANKED_GROUPS:
        return f"{units.effective:.1f} effective groups of dependent rows, fewer than {MIN_RANKED_GROUPS}"
    return None


def _worth(chosen: NDArray[np.bool_], weights: Floats | None) -> float:
    """How many rows of equal weight the chosen ones are worth."""
    return effective_size(None if weights is None else weights[chosen], int(np.count_nonzero(chosen)))


def few_answers(right: float, wrong: float, *, least: int = MIN_ANSWERS) -> str | None:
    """Why a ranking of so many right and wrong answers, of weighted rows the effective numbers, has no interval.

    Examples
    --------
    >>> few_answers(100, 3), few_answers(100, 24.3)
    ('3 wrong answers, fewer than 30', '24.3 effective wrong answers, fewer than 30')
    """
    for kind, number in (("wrong", wrong), ("right", right)):
        if number < least:
            whole = number == int(number)
            shown = f"{number:.0f} {kind}" if whole else f"{number:.1f} effective {kind}"
            return f"{shown} answer{'s' * (number != 1)}, fewer than {least}"
    return None


def why_no_difference(
    value: float, correct: NDArray[np.bool_], reference: NDArray[np.bool_], units: Units
) -> str | None:
    """Why a difference between two rankings, of so much, has no interval: few answers, or no unlike ones, decide it."""
    few = too_few_answers(correct, units) or too_few_answers(reference, units)
    if few is None and abs(value) < _NO_DIFFERENCE:
        return "the rankings differ only among answers that are alike"
    return few


def _risks_taken(blocks: TiedBlocks) -> tuple[Floats, Floats, Floats]:
    """Of each block, (b,): its part of r_1 + ... + r_n, and by how much that falls without a right, or a wrong, row."""
    above, size = blocks.above, blocks.size
    sums, last = reciprocals(above, size), 1 / (above + size)  # of 1/(a + 1), ..., 1/(a + m)
    # Blocks below have a row less above them, and a wrong one less if it was wrong.
    first = 1 / np.maximum(above, 1)  # the first block is below none
    fewer, share = sums + first - last, blocks.wrong / size
    fall = (share * above - blocks.wrong_above) * (first - last) - share * fewer
    own = summed_risks(blocks, sums)
    without = (replace(blocks, size=size - 1, wrong=blocks.wrong - wrong) for wrong in (0, 1))
    right, wrong = (own + _after(fall) - summed_risks(rest, sums - last) for rest in without)
    return own, right, wrong + _after(fewer)


def _after(values: Floats) -> Floats:
    """Sums of all that come after."""
    return np.append(np.cumsum(values[:0:-1])[::-1], 0.0)
