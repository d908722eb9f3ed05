"""What is kept of whole rows: probability vectors, or labels drawn from them; of all rows, or of a sample. Floor 1."""

from calibkit.sampled_rows.drawing import N_LABELS, DrawnLabels
from calibkit.sampled_rows.keeping import MOST_ROWS, SampledRows
from calibkit.sampled_rows.sketch import RowHashes, RowSketch, empty_sketch

__all__ = [
    "MOST_ROWS",
    "N_LABELS",
    "DrawnLabels",
    "RowHashes",
    "RowSketch",
    "SampledRows",
    "empty_sketch",
]
