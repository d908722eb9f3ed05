"""Per row: confidence, correctness, log score and Brier score, in the one pass that reads (n, k). Floor 1.

``blocks`` walks an array, ``row_sums`` reduces a block over its classes, ``row_scores`` holds the formulas, ``binary``,
``matrix`` and ``ragged`` lead them over all rows, ``rows`` is the door.
"""

from calibkit.scores.blocks import thread_count
from calibkit.scores.matrix import Visit
from calibkit.scores.ragged import by_choices
from calibkit.scores.row_scores import RowScores
from calibkit.scores.rows import score_rows

__all__ = ["RowScores", "Visit", "by_choices", "score_rows", "thread_count"]
