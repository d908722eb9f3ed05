"""``python -m benchmarks.coverage``: simulate, print Markdown, draw the figure, and put the tables into the docs.

Entries are coverages in % of nominal 95 % intervals, and in brackets their mean widths, over the samples that have an
interval; "given" is the share of samples that has one, "-" stands where none has. Two models that agree on every row
of a sample differ by exactly 0 there: such samples have no interval in these tables.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.coverage import bootstrap, rankings, recalibrations, seeds
from benchmarks.coverage.cells import FURTHER, SUSPECT, Cell
from benchmarks.coverage.summary import GOAL, draw, lowest_lines, size_lines, summary_lines
from benchmarks.coverage.tables import SIZES, Plan, Table, tables

FIGURE = "![Coverage of every cell by kind of interval, with the nominal level]({})\n\n"


def markdown(title: str, head: Iterable[str], lines: Iterable[tuple[str, ...]]) -> str:
    """A table under its title."""
    columns = tuple(head)
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"## {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n{rows}"


# What is simulated apart from the rest: each has marks of its own on the pages.
SECTIONS: dict[str, Callable[[], Iterator[Table]]] = {
    "calibration": tables,
    "rankings": rankings.tables,
    "seeds": seeds.tables,
    "recalibration": recalibrations.tables,
    "bootstrap": bootstrap.tables,
}


def simulate(section: str, plan: Plan, part: str, jobs: int, cells: list[Cell]) -> Iterator[str]:
    """Every table whose title holds the part, as it is done; its cells are added to the list."""
    with ProcessPoolExecutor(jobs) as workers:
        chosen = [table for table in SECTIONS[section]() if part in table.title]
        # All tasks are handed out at once, so that no process waits for the end of a table.
        results = [[workers.submit(task, plan) for task in table.tasks] for table in chosen]
        for table, futures in zip(chosen, results, strict=True):
            lines = []
            for future in futures:
                line, found = future.result()
                cells += found
                if found:
                    lines.append(line)
            yield markdown(table.title, table.columns, lines)


def paste(path: Path, name: str, text: str) -> None:
    """Put the text between the page's two marks of this name."""
    page = path.read_text(encoding="utf-8")
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not between.search(page):
        raise SystemExit(f"{path}: no marks <!-- {name} --> and <!-- end of {name} -->")
    path.write_text(between.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page), encoding="utf-8")


def summary(cells: list[Cell], plan: Plan, *, section: str) -> str:
    """What all cells say: kinds of intervals, sizes of tests, the lowest cells."""
    usual = f"; n = {' / '.join(f'{n:,}' for n in SIZES)} unless said otherwise" if section == "calibration" else ""
    sizes = tuple(size_lines(cells))
    return "\n".join(
        (
            f"{len(cells):,} cells of at least {plan.repetitions:,} samples, seed {plan.seed}{usual}. "
            "Cells that give an interval to fewer than half of their samples are not counted here.\n",
            markdown(
                "Coverage by kind of interval, %",
                ("interval of", "cells", "lowest", "mean", "highest", "below 93"),
                summary_lines(cells),
            ),
            *(
                [
                    markdown(
                        "How often each test rejects at 5 % where it should not, %",
                        ("test of", "cells", "lowest", "mean", "highest"),
                        sizes,
                    )
                ]
                if sizes
                else []
            ),
            markdown(
                "The 15 lowest coverages, %", ("coverage", "interval of", "cell", "samples"), lowest_lines(cells, 15)
            ),
        )
    )


def counting(plan: Plan) -> str:
    """How many samples a cell has, and what that is worth."""
    more = FURTHER * plan.repetitions
    errors = [f"{100 * (0.95 * 0.05 / n) ** 0.5:.1f}".lstrip("0") for n in (plan.repetitions, plan.repetitions + more)]
    return (
        f"*Counting.* A cell has at least {plan.repetitions:,} samples: a standard error of {errors[0]} points at "
        f"95 %. Among thousands of cells some would fall below {100 * GOAL:.0f} % by luck alone; therefore a cell "
        f"below {100 * SUSPECT:.0f} % gets {more:,} samples more, and all of them count ({errors[1]} points).\n"
    )


def main() -> None:
    """Simulate and say it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=tuple(SECTIONS), default="calibration", help="which intervals")
    parser.add_argument("--repetitions", type=int, default=200, help="samples a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--tables", default="", metavar="PART", help="only tables whose title holds it")
    parser.add_argument("--figure", metavar="OUT.png", help="draw the coverage of every cell")
    parser.add_argument("--page", type=Path, metavar="DIR", help="put summary and tables into the pages of this folder")
    options = parser.parse_args()
    plan, cells, start = Plan(options.repetitions, options.seed), [], time.perf_counter()
    found = []
    for table in simulate(options.of, plan, options.tables, options.jobs, cells):
        found.append(table)
        print(table, flush=True)
    said = summary(cells, plan, section=options.of)
    print(said)
    if options.figure is not None:
        draw(cells, options.figure, repetitions=plan.repetitions)
    if options.page is not None:
        picture = "" if options.figure is None else FIGURE.format(Path(options.figure).relative_to(options.page))
        prefix = "" if options.of == "calibration" else f"{options.of} "
        if options.of == "calibration":
            paste(options.page / "coverage.md", "counting", counting(plan))
        paste(options.page / "coverage.md", f"{prefix}summary", picture + said.replace("## ", "### "))
        paste(options.page / "coverage-tables.md", f"{prefix}tables", "\n".join(found))
    print(f"{time.perf_counter() - start:.0f} s in {options.jobs} processes")


if __name__ == "__main__":
    main()
