"""The page on predictions files lists what the code reads and writes; its examples run in tests/test_readme.py."""

import json
import re
from pathlib import Path

import numpy as np

from calibkit import Predictions, save
from calibkit.files.formats import EXTENSIONS
from calibkit.files.names import FORECASTS, RECOGNISED
from calibkit.files.saving import ARRAYS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "predictions-file.md").read_text()


def section(heading):
    return next(part for part in re.split(r"^## ", PAGE, flags=re.M) if part.startswith(heading))


def rows(heading):
    return [line.strip("| ").split(" | ") for line in section(heading).splitlines() if re.match(r"\| [^-]", line)]


def test_extensions():
    listed = re.findall(r"`(\.\w+)`", " ".join(row[0] for row in rows("What can be read")))
    assert set(listed) == set(EXTENSIONS)


def test_recognised_names():
    listed = {
        row[0]: tuple(re.findall(r"`(\w+)`", row[1]))
        for row in rows("Names that are recognised")[: len(RECOGNISED) + 1]
    }
    assert {role: names for role, names in listed.items() if names} == RECOGNISED


def test_kinds():
    kinds = {row[0]: row[1].split(", ") for row in rows("Names that are recognised") if "`" not in row[1]}
    kinds = {kind: names for kind, names in kinds.items() if kind not in ("role", "kind")}
    assert kinds.keys() == FORECASTS.keys()
    for kind, names in kinds.items():
        assert set(names) == {*FORECASTS[kind], *(() if kind == "correct" else ("labels",))}


def test_arrays_and_header_fields(tmp_path):
    save(Predictions.from_probs([1, 0], [0.7, 0.2]), tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as arrays:
        header = json.loads(arrays["calibkit"].item())
    first = re.findall(r"`(\w+)`", " ".join(row[0] for row in rows("calibkit's own file")))
    written = {name for names in ARRAYS.values() for name in names} | {
        "calibkit",
        "n_choices",
        "ids",
        "weights",
        "groups",
    }
    assert set(first) == written | header.keys()
    assert f"`{header['schema']}`" in PAGE
