"""Library messages name keywords; on the command line they are flags."""

import re
from collections.abc import Iterable
from pathlib import Path

KEYWORDS = (
    "invalid|clip|renormalize|label_base|ignore_index|log_probs|ragged|binary|dtype|labels_file|max_bytes|split|overwrite|"
    "max_memory|allow_duplicates|"
    "labels|logits|probs|predicted|confidence|correct|ids|weights|groups|view|calibrate_on|n_bins|binning|edges|"
    "confidence_level|rng|seeds|seed|threads|reference|method|loss|penalty|bias_penalty|maps|n_folds|smoothing|data|"
    "noise|epochs|hidden|criterion|device|model|divide_by|batch_size|resume|precision|accumulate|clip_norm|ema|"
    "schedule|warmup_steps|patience|deterministic|weight_decay|lr|train_rows|jobs|table|page|ece|width|difference|rows|power|metrics|correlation"
)
# Words that mean the keyword even where no value follows.
UNMISTAKABLE = "max_bytes|max_memory|labels_file|calibrate_on"
RENAMED = {"overwrite": "force", "n_bins": "bins", "n_folds": "folds", "rng": "seed", "metrics": "metric"}

LIST = r'\[(?P<list>(?:\.{3}|"[^"]*")(?:, (?:\.{3}|"[^"]*"))*)\]'
_KEYWORD = re.compile(
    rf'\b(?:(?P<name>{KEYWORDS})=(?:"(?P<double>[^"]*)"|\'(?P<single>[^\']*)\'|{LIST}|(?P<bare>[\w.+-]*\w))'
    rf"|(?P<alone>{UNMISTAKABLE})\b"
    r"|(?<=pass it as )(?P<role>logits)\b)"
)


def in_flags(message: str, *, arguments: Iterable[str] = ()) -> str:
    """A library message with its keywords written as command-line flags.

    Parts of paths among the ``arguments`` that look like keywords stay as they are.

    Examples
    --------
    >>> in_flags('Drop them with invalid="drop" or pass label_base=1 or log_probs=True.')
    'Drop them with --invalid drop or pass --label-base 1 or --log-probs.'
    >>> in_flags("runs/clip=0.1/test.npz: pass clip=1e-6", arguments=["runs/clip=0.1/test.npz"])
    'runs/clip=0.1/test.npz: pass --clip 1e-6'
    >>> in_flags('List these columns: probs=["p0", "p1", ..., "p9"].')
    'List these columns: --probs p0,p1,...,p9.'
    >>> in_flags("It looks like logits: pass it as logits.")
    'It looks like logits: pass it as --logits KEY.'
    """
    message = message.replace("class_names=[...]", "--class-names A,B,...").replace("paired=False", "--unpaired")
    spared = sorted(_lookalikes(arguments), key=len, reverse=True)
    if not spared:
        return _KEYWORD.sub(_flag, message)
    pieces = re.split(f"({'|'.join(map(re.escape, spared))})", message)
    return "".join(piece if piece in spared else _KEYWORD.sub(_flag, piece) for piece in pieces)


def _flag(match: re.Match[str]) -> str:
    """One keyword, with its value if it has one."""
    if match["role"]:
        return f"--{match['role']} KEY"
    name = match["name"] or match["alone"]
    shown = f"--{RENAMED.get(name, name).replace('_', '-')}"
    if match["list"]:
        return f"{shown} {match['list'].replace(', ', ',').replace(chr(34), '')}"
    values = [value for value in (match["double"], match["single"], match["bare"]) if value is not None]
    if not values or values[0] == "True":
        return shown
    return f"{shown} {values[0]}" if values[0] else f"{shown} ''"


def _lookalikes(arguments: Iterable[str]) -> set[str]:
    """Parts of paths with an equals sign in them, and what is left of them as a name."""
    paths = [Path(text) for argument in arguments for text in (argument, argument.partition("=")[2])]
    return {part for path in paths for part in (*path.parts, path.stem) if "=" in part}
