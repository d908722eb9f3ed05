"""The interval of an ECE that allows for what chance alone does to it, for one model and for a pair. Floor 2."""

from calibkit.bracket.chance import NO_CHANCE, Chance, chance_from, p_values_of
from calibkit.bracket.paired import paired_bracket
from calibkit.bracket.parts import BinnedRows, GroupCells, effective_counts, group_cells, null_size
from calibkit.bracket.rms import rms_interval
from calibkit.bracket.single import bracket_interval, many_pairs_ends, too_rare

__all__ = [
    "NO_CHANCE",
    "BinnedRows",
    "Chance",
    "GroupCells",
    "bracket_interval",
    "chance_from",
    "effective_counts",
    "group_cells",
    "many_pairs_ends",
    "null_size",
    "p_values_of",
    "paired_bracket",
    "rms_interval",
    "too_rare",
]
