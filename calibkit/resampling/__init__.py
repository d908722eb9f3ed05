"""The one room for what is drawn: calibrated models, by bin, by group, by row, by forecast or cell. Floor 2.

Nothing that is printed as an interval is a percentile of resampled rows: benchmarks/coverage says why.
"""

from calibkit.resampling.bins import chance, null_errors
from calibkit.resampling.calibrated import calibrated_outcomes, calibrated_rows, merge_neighbours, pool_cells
from calibkit.resampling.groups import chance_of_groups, few_expected
from calibkit.resampling.vectors import chance_of_pairs, chance_of_sketch

__all__ = [
    "calibrated_outcomes",
    "calibrated_rows",
    "chance",
    "chance_of_groups",
    "chance_of_pairs",
    "chance_of_sketch",
    "few_expected",
    "merge_neighbours",
    "null_errors",
    "pool_cells",
]
