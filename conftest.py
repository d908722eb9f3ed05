"""Modules whose package is not installed here are not collected: their doctests, and so their imports, need it."""

from importlib.util import find_spec
from pathlib import Path

FACES = Path("calibkit") / "integrations"
collect_ignore = [str(FACES / f"{name}.py") for name in ("lightning", "torchmetrics") if find_spec(name) is None]
