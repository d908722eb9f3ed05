"""What the cells say together: a table of kinds of intervals, the sizes of the tests, and a figure."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.coverage.cells import Cell

GOAL = 0.93


def by_family(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Cells by kind of interval; those that rarely have an interval are left out."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.counts:
            found.setdefault(cell.family, []).append(cell)
    return found


def summary_lines(cells: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    """One line a kind: how many cells, their lowest, mean and highest coverage, how many miss the goal."""
    for family, members in by_family(cells).items():
        coverages = np.array([cell.coverage for cell in members])
        ends = (f"{100 * value:.1f}" for value in (coverages.min(), coverages.mean(), coverages.max()))
        yield family, str(len(members)), *ends, str(int((coverages < GOAL).sum()))


def size_lines(cells: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    """One line a test: how often it rejects at 5 % where its hypothesis is true."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        if cell.null and cell.counts and np.isfinite(cell.rejected):
            found.setdefault(cell.family, []).append(100 * cell.rejected)
    for family, sizes in found.items():
        yield family, str(len(sizes)), *(f"{value:.1f}" for value in (min(sizes), float(np.mean(sizes)), max(sizes)))


def lowest_lines(cells: Sequence[Cell], number: int) -> Iterator[tuple[str, ...]]:
    """The cells of lowest coverage."""
    for cell in sorted((cell for cell in cells if cell.counts), key=lambda cell: cell.coverage)[:number]:
        yield f"{100 * cell.coverage:.1f}", cell.family, cell.name, f"{cell.drawn:,}"


def draw(cells: Sequence[Cell], path: str, *, repetitions: int) -> None:
    """Every cell's coverage as a dot, by kind, with the nominal level and two standard errors around it."""
    from matplotlib.figure import Figure

    found = by_family(cells)
    figure = Figure(figsize=(7.2, 0.3 * len(found) + 1.1), layout="constrained")
    axes = figure.add_subplot()
    error = 100 * (0.95 * 0.05 / repetitions) ** 0.5
    axes.axvspan(95 - 2 * error, 95 + 2 * error, color="0.9", zorder=0)
    axes.axvline(95, color="0.4", linewidth=0.9, zorder=1)
    rng = np.random.default_rng(0)
    for row, members in enumerate(found.values()):
        coverages = np.array([100 * cell.coverage for cell in members])
        place = row + rng.uniform(-0.28, 0.28, len(coverages))
        axes.plot(coverages, place, linestyle="", marker="o", markersize=2.4, alpha=0.55, color="#0072B2", mew=0)
    axes.set_yticks(range(len(found)), list(found), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(right=100.8)
    axes.set_xlabel(
        "coverage of nominal 95 % intervals, %\n"
        f"(a dot: a cell of at least {repetitions:,} samples; band: two standard errors of so many)",
        fontsize=8,
    )
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(path), dpi=150)
