"""The README and the docs do what they say: every command and example in them is run, and prints what is shown."""

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

import calibkit as ck

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the text block that follows it at once: what it prints."""

    language: str
    code: str
    output: str | None


def blocks(text: str) -> list[Block]:
    found = list(FENCE.finditer(text))
    listed = []
    for i, match in enumerate(found):
        after = found[i + 1] if i + 1 < len(found) else None
        adjoining = after is not None and after[1] == "text" and not text[match.end() : after.start()].strip()
        listed.append(Block(match[1], match[2], after[2] if adjoining else None))
    return listed


def run(block: Block, folder: Path) -> str:
    code = "\n".join(line for line in block.code.splitlines() if not line.startswith("make "))
    command = ["bash", "-euo", "pipefail", "-c", code] if block.language == "bash" else [sys.executable, "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.code}\n{done.stderr}"
    return done.stdout


def same(expected: str, printed: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, printed, flags)


def check_page(text: str, folder: Path) -> int:
    ran = 0
    for block in blocks(text):
        if block.language not in ("bash", "python"):
            continue
        printed = run(block, folder)
        ran += 1
        assert block.output is None or same(block.output, printed), f"{block.code}\nprinted\n{printed}"
    return ran


@pytest.mark.slow
def test_every_command_of_the_readme_runs_and_prints_what_is_shown(tmp_path):
    assert check_page(README, tmp_path) >= 4
    check_training_table(tmp_path)


def check_training_table(folder: Path) -> None:
    """What training gave is what the README shows, within what it states."""
    comparison = ck.compare(
        {name: ck.load(folder / "runs" / name / "test.npz") for name in ("hard", "smooth")},
        calibrate_on={name: ck.load(folder / "runs" / name / "val.npz") for name in ("hard", "smooth")},
    )
    measured = {
        "accuracy": [model["accuracy"].value for model in comparison.models.values()],
        "ECE as saved": [model["ece"].value for model in comparison.models.values()],
        "temperature": [temperature.value for temperature in comparison.temperature.values()],
        "NLL as saved": [model["nll"].value for model in comparison.models.values()],
        "NLL after scaling": [model["nll"].value for model in comparison.scaled.models.values()],
    }
    shown = re.findall(r"^\| ([\w ]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", README, flags=re.M)
    assert [row[0] for row in shown] == list(measured)
    for name, hard, smooth, within in shown:
        assert measured[name] == pytest.approx([float(hard), float(smooth)], abs=float(within)), name


PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_of_the_docs_runs(page, tmp_path):
    check_page(page.read_text(), tmp_path)


def test_the_readme_is_short_and_shows_one_picture():
    assert len(README.splitlines()) <= 120
    assert len(re.findall(r"!\[", README)) == 1


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text()):
        if target and "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_index_links_every_page(page):
    assert page.name == "index.md" or f"({page.name})" in (ROOT / "docs" / "index.md").read_text()


# Examples of other packages; the others run with what the project needs, or do without.
NEEDS = {
    "lightning_callback": "lightning",
    "torchmetrics_collection": "torchmetrics",
    "transformers_trainer": "transformers",
}


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_every_example_runs(example, tmp_path):
    needed = NEEDS.get(example.stem, "numpy")
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
