"""What chance alone does to an ECE, and the interval that allows for it, for one model and for a pair. Floor 2."""

from calibkit.bracket.group_null import chance_of_groups, few_expected
from calibkit.bracket.null import Chance, chance, chance_from, p_values_of
from calibkit.bracket.paired import paired_bracket
from calibkit.bracket.pairs_null import SampledRows, chance_of_pairs
from calibkit.bracket.parts import BinnedRows
from calibkit.bracket.rms import rms_interval
from calibkit.bracket.single import bracket_interval, many_pairs_ends, too_rare

__all__ = [
    "BinnedRows",
    "Chance",
    "SampledRows",
    "bracket_interval",
    "chance",
    "chance_from",
    "chance_of_groups",
    "chance_of_pairs",
    "few_expected",
    "many_pairs_ends",
    "p_values_of",
    "paired_bracket",
    "rms_interval",
    "too_rare",
]
