"""Data only climbs: each room imports from rooms above it in one total order, and rooms stay small."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "calibkit"

# From the ground up. A room imports only rooms that stand before it in this list.
ROOMS = (
    "errors",
    "_checks",
    "_numerics",
    "exact",
    "_intake",
    "predictions",
    "same_rows",
    "scores",
    "binning",
    "class_sums",
    "class_tables",
    "units",
    "intervals",
    "proportions",
    "bracket",
    "sampled_rows",
    "crossed",
    "unpaired",
    "views",
    "pairs",
    "tally",
    "peer_conventions",
    "isotonic",
    "resampling",
    "honest_band",
    "corp",
    "decomposition",
    "murphy",
    "smooth_calibration",
    "calibration_error",
    "binned",
    "by_chance",
    "mean_scores",
    "selective",
    "pseudo_values",
    "information",
    "goodness_of_fit",
    "metrics",
    "log_temperature",
    "recalibration",
    "files",
    "calibrators",
    "render",
    "results",
    "verdict",
    "evidence",
    "one_pass",
    "further",
    "scaling",
    "estimates",
    "evaluation",
    "state",
    "shards",
    "evaluating",
    "alignment",
    "score_split",
    "differences",
    "comparison",
    "planning",
    "recipes",
    "plots",
    "training",
    "integrations",
    "cli",
)
# What a module may import at its top besides the standard library and calibkit itself.
AT_THE_TOP = {
    "calibrators": {"numpy", "sklearn"},
    "training": {"numpy", "torch"},
    "integrations": {"numpy", "torch", "torchmetrics", "lightning"},
    "cli": {"click"},
}

DOORS = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
MODULES = sorted(set(PACKAGE.rglob("*.py")) - DOORS)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"calibkit.{alias.name}" if node.module == "calibkit" else node.module for alias in node.names)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_room_imports_only_rooms_above_it(path):
    room = room_of(path)
    assert room in ROOMS, f"{room} has no place in the total order"
    used = {i.split(".")[1] for i in imports(ast.parse(path.read_text())) if i.startswith("calibkit.")}
    below = {other for other in used - {room, "__version__"} if ROOMS.index(other) > ROOMS.index(room)}
    assert not below, f"{path.name} imports from below: {below}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_numpy_is_imported_at_the_top(path):
    top = ast.Module(body=[n for n in ast.parse(path.read_text()).body if not isinstance(n, ast.If)], type_ignores=[])
    outside = {
        i.split(".")[0]
        for n in top.body
        if isinstance(n, ast.Import | ast.ImportFrom)
        for i in imports(n)
        if i.split(".")[0] not in sys.stdlib_module_names and not i.startswith("calibkit")
    }
    assert outside <= AT_THE_TOP.get(room_of(path), {"numpy"})


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 40, f"{path.name}:{node.lineno} {node.name} has {length} lines"


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {module.split(".")[0] for module in done.stdout.split()}


def test_importing_calibkit_imports_none_of_the_heavy_packages():
    heavy = {"torch", "sklearn", "matplotlib", "pyarrow", "scipy", "pandas", "rich", "click"}
    assert not heavy & modules_after("import calibkit")
    assert not heavy & modules_after("import calibkit; calibkit.Predictions; calibkit.evaluate; calibkit.compare")


def test_the_version_is_printed_without_numpy_or_package_metadata():
    code = (
        "import sys\nfrom calibkit.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit as end: assert end.code == 0\n"
        "print({'numpy', 'importlib.metadata', 'torch', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, imported = done.stdout.splitlines()
    assert version.startswith("calibkit ")
    assert imported == "set()"
