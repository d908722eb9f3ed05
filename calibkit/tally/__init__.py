"""What one pass over rows leaves, mergeable without any rounding. Floor 2."""

from calibkit.tally.facts import Facts, facts_of
from calibkit.tally.grid import GRID, Cells, fine_cells, fine_ends
from calibkit.tally.histogram import Histogram, histogram_of
from calibkit.tally.moments import Moments
from calibkit.tally.reading import class_tables, forecast_moments, gap_moments, score_moments, table_of_bins
from calibkit.tally.tally import Tally, empty_tally

__all__ = [
    "GRID",
    "Cells",
    "Facts",
    "Histogram",
    "Moments",
    "Tally",
    "class_tables",
    "empty_tally",
    "facts_of",
    "fine_cells",
    "fine_ends",
    "forecast_moments",
    "gap_moments",
    "histogram_of",
    "score_moments",
    "table_of_bins",
]
