"""Library messages name keywords; on the command line they are flags."""

import re

KEYWORDS = (
    "invalid|clip|renormalize|label_base|ignore_index|log_probs|binary|labels_file|max_bytes|split|overwrite|"
    "labels|logits|probs|predicted|confidence|correct|ids|weights|groups|view|calibrate_on|n_bins|confidence_level"
)
RENAMED = {"overwrite": "force", "n_bins": "bins"}


def in_flags(message: str) -> str:
    """A library message with its keywords written as command-line flags.

    Examples
    --------
    >>> in_flags('Drop them with invalid="drop" or pass label_base=1 or log_probs=True.')
    'Drop them with --invalid drop or pass --label-base 1 or --log-probs.'
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match["name"], match["quoted"] or match["bare"]
        shown = f"--{RENAMED.get(name, name).replace('_', '-')}"
        return shown if value == "True" else f"{shown} {value}"

    return re.sub(rf'\b(?P<name>{KEYWORDS})=(?:"(?P<quoted>[^"]*)"|(?P<bare>[\w.+-]*\w))', flag, message)
