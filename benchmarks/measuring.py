"""What the benchmarks share: arrays, interleaved times, peak memory, lines of tables, and the machine in a line."""

import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import calibkit as ck

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "torchmetrics")
Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Logits like those of a trained network: the label's is raised, most rows are right."""

    n_rows: int
    n_classes: int

    def __str__(self) -> str:
        return f"{self.n_rows:,} x {self.n_classes:,}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels, and logits in float32."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, self.n_classes, self.n_rows)
        logits = rng.standard_normal((self.n_rows, self.n_classes), dtype=np.float32)
        logits *= 2
        logits[np.arange(self.n_rows), labels] += 8
        return labels, logits

    @property
    def memory_limit(self) -> float:
        """Extra memory that an evaluation may take, in MB."""
        return 64 + 48 * self.n_rows / 1e6


def ours(labels: np.ndarray, logits: np.ndarray) -> object:
    """One evaluation from arrays, checks included, without intervals."""
    return ck.evaluate(ck.Predictions.from_logits(labels, logits), confidence_level=None)


def median_seconds(
    works: Mapping[str, Work],
    n_runs: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    before: Callable[[], object] | None = None,
) -> dict[str, float]:
    """Median time of each, run in turn, without what is done before each; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(n_runs + 1):
        for name, work in works.items():
            if before is not None:
                before()
            start = clock()
            work()
            times[name].append(clock() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def peak_megabytes(work: Work) -> float:
    """Most memory that a call holds beyond what it was given."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def line(*cells: str) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def head(*columns: str, text: int = 1) -> str:
    """The two first lines of a Markdown table, whose first columns are text."""
    return line(*columns) + "\n" + line(*(":---" if i < text else "---:" for i in range(len(columns))))


def machine(libraries: Sequence[str] = LIBRARIES) -> str:
    """The machine and the versions, in one line."""
    info = Path("/proc/cpuinfo")
    facts = info.read_text().splitlines() if info.exists() else []
    model = next((fact.split(":")[1].strip() for fact in facts if fact.startswith("model name")), platform.processor())
    packages = ", ".join(f"{name} {_version(name)}" for name in libraries)
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, calibkit {ck.__version__}, {packages}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
