"""Where the real predictions of published models are read, if they are at hand."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("CALIBKIT_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def real_data(name: str) -> Path:
    """Path of one file of real predictions; skips the test, with the reason, where it is absent."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"real predictions not at hand: set CALIBKIT_REAL_DATA to a folder that holds {name}")
    return path
