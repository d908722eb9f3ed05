"""The interval of an ECE over k pairs a row: one table a class, or one table of all pairs. Floor 2."""

from collections.abc import Sequence

import numpy as np

from calibkit._numerics import Floats
from calibkit.binning import BinTable
from calibkit.bracket.parts import Parts, parts_of
from calibkit.class_tables import ClassTables, stacked

_PIECES = ("gap", "error", "null_size", "filled")


def many_pairs_parts(tables: Sequence[BinTable], *, pairs_per_row: int) -> Parts:
    """Pieces of the bracket of the mean error over tables whose rows hold k outcomes, one of them 1.

    Parameters
    ----------
    tables : sequence of BinTable
        One a class (`pairs_per_row` 1), or one of the pairs of all classes (`pairs_per_row` k).
    pairs_per_row : int
        Pairs that a row has in each table.

    Returns
    -------
    Parts
        Of all bins of all tables, (..., b times tables).

    Notes
    -----
    The outcomes of a row are one-hot: for signs e_c = ±1 of its k pairs, Var(sum e_c y_c) <= 2 sum p_c (1 - p_c). (With
    the largest p_1 >= 1/2 the left is at most 4 p_1 (1 - p_1) and the sum at least 2 p_1 (1 - p_1); else the left is at
    most 1 and the sum at least 1/2.) So the variance of the signed sum is at most twice that of independent pairs,
    2 sum s_b^2. What varies between rows whatever their outcomes, a mean of k gaps, varies at most as the mean of their
    variances (Jensen). Both bounds need the tables alone.

    Examples
    --------
    >>> from calibkit.binning import Binning, bin_table
    >>> tables = [bin_table(np.full(100, p), np.arange(100) % 5 == c, Binning()) for c, p in enumerate((0.3, 0.2))]
    >>> parts = many_pairs_parts(tables, pairs_per_row=1)
    >>> round(float(parts.theta), 3), round(float(parts.se), 4)
    (0.05, 0.0401)
    """
    k = len(tables)
    each = [parts_of(table) for table in stacked(tables)]
    if isinstance(tables, ClassTables):
        joined = {name: getattr(each[0], name).reshape(-1) for name in _PIECES}
        between = np.mean(_between(each[0]))
    else:
        joined = {name: np.concatenate([getattr(parts, name) for parts in each], axis=-1) for name in _PIECES}
        between = np.mean([_between(parts) for parts in each], axis=0)
    gap, error, null_size = (joined[name] / k for name in ("gap", "error", "null_size"))
    return Parts(
        gap=gap,
        error=error,
        null_size=null_size,
        theta=np.abs(gap).sum(axis=-1),
        se=np.sqrt(2 * (error**2).sum(axis=-1) + pairs_per_row * np.maximum(between, 0.0)),
        filled=joined["filled"],
    )


def _between(parts: Parts) -> Floats:
    """What varies between rows whatever their outcomes."""
    return np.asarray(parts.se**2 - (parts.error**2).sum(axis=-1))
