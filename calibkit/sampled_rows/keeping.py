"""Whole rows, or a sample of them, kept from the one pass. Floor 1."""

import numpy as np

from calibkit._numerics import Floats
from calibkit.sampled_rows.drawing import DrawnLabels, mixed

# Rows whose labels are drawn, and probabilities in memory: beyond them a sample stands for all rows.
MOST_ROWS, _MOST_PAIRS = 1 << 13, 1 << 22
# Where memory holds fewer whole rows than this, labels drawn from them are kept instead, of at most so many rows.
_FEWEST_ROWS, _MOST_DRAWN = 1 << 10, 1 << 11


class SampledRows:
    """Whole probability vectors of all rows, or of a random sample of many, taken from the blocks of the one pass.

    Of so many classes that too few rows would fit in memory, labels drawn for each row are kept instead.

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
        room = _MOST_PAIRS // n_classes
        vectors = room >= min(n, most, _FEWEST_ROWS)
        size = min(n, most, room if vectors else _MOST_DRAWN)
        self.n, self.whole = n, vectors and size == n
        chosen = np.arange(n) if size == n else np.random.default_rng(0).choice(n, size, replace=False)
        self.rows = np.sort(chosen)
        self.probs = np.empty((size if vectors else 0, n_classes))
        self.drawn = None if vectors else DrawnLabels(mixed(self.rows.astype(np.uint64)))
        self.weights = np.ones(size) if weights is None else weights[self.rows]

    def visit(self, start: int, block: Floats) -> None:
        """Take a block of probabilities (r, k) of the rows from `start` on, which stays as it is."""
        some = slice(*(int(place) for place in np.searchsorted(self.rows, (start, start + len(block)))))
        chosen = self.rows[some] - start
        if self.drawn is None:
            self.probs[some] = block[chosen]
        elif len(chosen):
            self.drawn.take(some, block[chosen])
