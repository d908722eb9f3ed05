"""Whole probability vectors of all rows, or of a sample, kept from the one pass. Floor 1."""

import numpy as np

from calibkit._numerics import Floats

# Rows whose labels are drawn, and probabilities in memory: beyond them a sample stands for all rows.
MOST_ROWS, _MOST_PAIRS = 1 << 13, 1 << 22
# A sample of fewer rows stands for nothing.
_FEWEST_ROWS = 1_000


class SampledRows:
    """Whole probability vectors of all rows, or of a random sample of many, taken from the blocks of the one pass.

    Parameters
    ----------
    n, n_classes : int
        Rows and classes.
    weights : ndarray of shape (n,), optional
        Weight of each row.
    most : int, default 8192
        Rows from which on it is a sample.

    Examples
    --------
    >>> sample = SampledRows(2, 3)
    >>> sample.visit(0, np.array([[0.75, 0.25, 0.0], [0.25, 0.5, 0.25]]))
    >>> sample.probs[1], sample.whole
    (array([0.25, 0.5 , 0.25]), True)
    """

    def __init__(self, n: int, n_classes: int, weights: Floats | None = None, *, most: int = MOST_ROWS) -> None:
        size = min(n, most, _MOST_PAIRS // n_classes)
        self.n, self.whole = n, size == n
        chosen = np.arange(n) if self.whole else np.random.default_rng(0).choice(n, size, replace=False)
        self.rows = np.sort(chosen)
        self.probs = np.empty((size, n_classes))
        self.weights = np.ones(size) if weights is None else weights[self.rows]

    @property
    def too_small(self) -> bool:
        """Whether so many classes leave too few rows in memory."""
        return not self.whole and len(self.rows) < _FEWEST_ROWS

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, k) of the rows from `start` on, which stays as it is."""
        some = slice(*np.searchsorted(self.rows, (start, start + len(block))))
        self.probs[some] = block[self.rows[some] - start]
