"""How fast one evaluation is, against its peers and against one pass over memory: ``python -m benchmarks.throughput``.

Prints a Markdown table. All contenders run in one process, in turn, after one warm-up; times are medians. The peers
compute what calibkit computes (calibration error, log score, Brier score; accuracy comes free), each on the
probabilities that SciPy's softmax made: in float32, the quickest, and in float64, whose log score and Brier score
have the digits that ours have. ``torch.max(dim=1)`` reads the same array once with as many threads. A second table
sets the temperatures that ``compare`` cross-fits against one evaluation.
"""

import argparse
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

import calibkit as ck
from calibkit.recalibration import cross_fit_temperature

SHAPES = ((50_000, 1_000), (1_000_000, 10))
SCALED_SHAPES = ((20_000, 1_000), *SHAPES)
PRECISIONS = ("float32", "float64")
COLUMNS = (
    "float32 logits",
    "calibkit",
    "torch.max(dim=1)",
    "calibkit / torch.max",
    "peak extra memory",
    "peers in",
    "scipy softmax",
    "torchmetrics ECE",
    "sklearn log_loss",
    "sklearn brier_score_loss",
    "peers, sum",
    "peers / calibkit",
)
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "torchmetrics")
Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Logits like those of a trained network: the label's is raised, most rows are right."""

    n_rows: int
    n_classes: int

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


def peers(labels: np.ndarray, logits: np.ndarray) -> Mapping[str, Work]:
    """The four calls that it takes elsewhere, in the precision of the logits."""
    import torch
    from scipy.special import softmax
    from sklearn.metrics import brier_score_loss, log_loss
    from torchmetrics.functional.classification import multiclass_calibration_error

    probs, n_classes = softmax(logits, axis=1), logits.shape[1]
    tensor, targets = torch.from_numpy(probs), torch.from_numpy(labels)
    classes = np.arange(n_classes)
    return {
        "scipy softmax": lambda: softmax(logits, axis=1),
        "torchmetrics ECE": lambda: multiclass_calibration_error(tensor, targets, num_classes=n_classes, n_bins=15),
        "sklearn log_loss": lambda: log_loss(labels, probs, labels=classes),
        "sklearn brier_score_loss": lambda: brier_score_loss(labels, probs, labels=classes),
    }


def contenders(labels: np.ndarray, logits: np.ndarray) -> Mapping[str, Work]:
    """Everything that is timed, by name."""
    import torch

    tensor = torch.from_numpy(logits)
    works: dict[str, Work] = {"calibkit": lambda: ours(labels, logits), "torch.max": lambda: torch.max(tensor, dim=1)}
    for precision in PRECISIONS:
        works |= {f"{precision} {name}": work for name, work in peers(labels, logits.astype(precision)).items()}
    return works


def median_seconds(works: Mapping[str, Work], n_runs: int) -> dict[str, float]:
    """Median time of each, run in turn; the first round warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(n_runs + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def peak_megabytes(work: Work) -> float:
    """Most memory that a call holds beyond what it was given."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def rows(case: Case, n_runs: int) -> Iterator[str]:
    """The lines of one shape: one for each precision of the peers."""
    labels, logits = case.arrays()
    seconds = median_seconds(contenders(labels, logits), n_runs)
    memory = peak_megabytes(lambda: ours(labels, logits))
    mine, one_read = seconds["calibkit"], seconds["torch.max"]
    for precision in PRECISIONS:
        theirs = [value for name, value in seconds.items() if name.startswith(precision)]
        yield line(
            f"{case.n_rows:,} x {case.n_classes:,}",
            f"{mine:.4f} s",
            f"{one_read:.4f} s",
            f"{mine / one_read:.2f}",
            f"{memory:.0f} MB (limit {case.memory_limit:.0f})",
            precision,
            *(f"{value:.3f} s" for value in theirs),
            f"{sum(theirs):.3f} s",
            f"{sum(theirs) / mine:.0f}",
        )


def scaling_row(case: Case, n_runs: int) -> str:
    """The line of one shape: what the temperatures of a comparison cost."""
    predictions = ck.Predictions.from_logits(*case.arrays())
    seconds = median_seconds(
        {
            "evaluate": lambda: ck.evaluate(predictions, confidence_level=None),
            "cross-fit": lambda: cross_fit_temperature(predictions),
        },
        n_runs,
    )
    return line(
        f"{case.n_rows:,} x {case.n_classes:,}",
        *(f"{value:.3f} s" for value in seconds.values()),
        f"{seconds['cross-fit'] / seconds['evaluate']:.1f}",
    )


def line(*cells: str) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The machine and the versions, in one line."""
    info = Path("/proc/cpuinfo")
    facts = info.read_text().splitlines() if info.exists() else []
    model = next((fact.split(":")[1].strip() for fact in facts if fact.startswith("model name")), platform.processor())
    packages = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, calibkit {ck.__version__}, {packages}"


def main() -> None:
    """Time every shape and print the table."""
    import torch

    from calibkit.scores import thread_count

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="counted rounds (default 7)")
    n_runs = parser.parse_args().runs
    torch.set_num_threads(thread_count(None))
    print(f"{machine()}; {thread_count(None)} threads; medians of {n_runs} interleaved warm runs.\n")
    print(line(*COLUMNS))
    print(line(*(":---" if name in ("float32 logits", "peers in") else "---:" for name in COLUMNS)))
    for n_rows, n_classes in SHAPES:
        for text in rows(Case(n_rows=n_rows, n_classes=n_classes), n_runs):
            print(text, flush=True)
    print()
    print(line("float32 logits", "evaluate", "temperatures of 5 folds", "folds / evaluate"))
    print(line(":---", "---:", "---:", "---:"))
    for n_rows, n_classes in SCALED_SHAPES:
        print(scaling_row(Case(n_rows=n_rows, n_classes=n_classes), n_runs), flush=True)


if __name__ == "__main__":
    main()
