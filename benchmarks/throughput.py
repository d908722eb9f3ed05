"""How fast one evaluation is against one reading of the same array: ``python -m benchmarks.throughput``.

Prints Markdown tables: evaluations of logits against ``torch.max(dim=1)``, which reads them once with as many threads;
the same for each type in which values come, with the peak memory; what every interval adds; and the temperatures that
``compare`` cross-fits against one evaluation. All contenders of a table run in one process, in turn, after one warm-up;
times are medians.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

import calibkit as ck
from benchmarks.measuring import Case, Work, head, line, machine, median_seconds, ours, peak_megabytes
from calibkit.recalibration import cross_fit_temperature

SHAPES = ((1_000_000, 2), (1_000_000, 10), (50_000, 1_000), (4_096, 128_000))
INPUT_SHAPES = ((50_000, 1_000), (4_096, 128_000))
SCALED_SHAPES = ((20_000, 1_000), (50_000, 1_000), (1_000_000, 10))
Clock = Callable[[], float]


def by_classes(labels: np.ndarray, logits: np.ndarray) -> object:
    """The same in view classwise."""
    return ck.evaluate(ck.Predictions.from_logits(labels, logits), view="classwise", confidence_level=None)


def passes(case: Case, n_runs: int, clock: Clock = time.perf_counter) -> str:
    """The line of one shape: evaluations in units of one reading."""
    import torch

    labels, logits = case.arrays()
    tensor = torch.from_numpy(logits)
    seconds = median_seconds(
        {
            "read": lambda: torch.max(tensor, dim=1),
            "evaluate": lambda: ours(labels, logits),
            "intervals": lambda: ck.evaluate(ck.Predictions.from_logits(labels, logits)),
            "classwise": lambda: by_classes(labels, logits),
        },
        n_runs,
        clock=clock,
    )
    memory, read = peak_megabytes(lambda: ours(labels, logits)), seconds.pop("read")
    return line(
        str(case),
        f"{read:.4f} s",
        *(f"{value:.4f} s ({value / read:.2f})" for value in seconds.values()),
        f"{memory:.0f} MB (limit {case.memory_limit:.0f})",
    )


def inputs(case: Case, folder: Path) -> Iterator[tuple[str, int, Work]]:
    """Each type in which values come: its name, the bytes of the array, and its evaluation."""
    import torch

    labels, logits = case.arrays()
    np.save(folder / "logits.npy", logits)

    def evaluation(values: object, kind: str = "logits") -> Work:
        make = {"logits": ck.Predictions.from_logits, "probs": ck.Predictions.from_probs}[kind]
        options = {} if kind == "logits" else {"sum_tolerance": 1.0}  # half precision rows are far from 1
        return lambda: ck.evaluate(make(labels, values, **options), confidence_level=None)  # type: ignore[arg-type]

    yield "float32", logits.nbytes, evaluation(logits)
    mapped = np.load(folder / "logits.npy", mmap_mode="r")
    yield "float32, mapped .npy", logits.nbytes, evaluation(mapped)
    for dtype in (np.float64, np.float16):
        values = logits.astype(dtype)
        yield np.dtype(dtype).name, values.nbytes, evaluation(values)
        del values
    half = torch.from_numpy(logits).to(torch.bfloat16)
    yield "bfloat16 tensor", half.nbytes, evaluation(half)
    del half
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    for dtype in (np.float32, np.float64, np.float16):
        values = probs.astype(dtype, copy=False)
        yield f"{np.dtype(dtype).name} probs", values.nbytes, evaluation(values, "probs")
        del values
    half = torch.from_numpy(probs).to(torch.bfloat16)
    yield "bfloat16 probs", half.nbytes, evaluation(half, "probs")


def types(case: Case, n_runs: int, clock: Clock = time.perf_counter) -> Iterator[str]:
    """The lines of one shape: each type against one reading of the float32 logits, with its peak memory."""
    import torch

    logits = torch.from_numpy(case.arrays()[1])
    with tempfile.TemporaryDirectory() as folder:
        for name, n_bytes, work in inputs(case, Path(folder)):
            works = {"read": lambda: torch.max(logits, dim=1), "evaluate": work}
            seconds = median_seconds(works, n_runs, clock=clock)
            yield line(
                str(case),
                name,
                f"{n_bytes / 1e6:,.0f} MB",
                f"{seconds['evaluate']:.4f} s",
                f"{seconds['evaluate'] / seconds['read']:.2f}",
                f"{peak_megabytes(work):,.0f} MB",
            )


def temperatures(case: Case, n_runs: int) -> str:
    """The line of one shape: what the temperatures of a comparison cost."""
    predictions = ck.Predictions.from_logits(*case.arrays())
    works: Mapping[str, Work] = {
        "evaluate": lambda: ck.evaluate(predictions, confidence_level=None),
        "cross-fit": lambda: cross_fit_temperature(predictions),
    }
    seconds = median_seconds(works, n_runs)
    ratio = seconds["cross-fit"] / seconds["evaluate"]
    return line(str(case), *(f"{value:.3f} s" for value in seconds.values()), f"{ratio:.1f}")


def intervals(case: Case, n_runs: int) -> str:
    """The line of one shape: what every interval adds, in time and in CPU time."""
    predictions = ck.Predictions.from_logits(*case.arrays())
    works: Mapping[str, Work] = {
        "without": lambda: ck.evaluate(predictions, confidence_level=None),
        "with": lambda: ck.evaluate(predictions),
    }
    wall, busy = median_seconds(works, n_runs), median_seconds(works, n_runs, clock=time.process_time)
    ratios = (f"{seconds['with'] / seconds['without']:.2f}" for seconds in (wall, busy))
    return line(str(case), *(f"{value:.4f} s" for value in wall.values()), *ratios)


def main() -> None:
    """Time every shape and print the tables."""
    import torch

    from calibkit.scores import thread_count

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="counted rounds (default 7)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--cpu", action="store_true", help="two tables in CPU time of one thread: steady beside others")
    options = parser.parse_args()
    if options.cpu:
        os.environ["CALIBKIT_THREADS"] = "1"
    clock = time.process_time if options.cpu else time.perf_counter
    torch.set_num_threads(thread_count(None))
    what = "CPU time of 1 thread" if options.cpu else f"{thread_count(None)} threads"
    print(f"{machine()}; {what}; medians of {options.runs} interleaved warm runs.\n")

    def cases(shapes: tuple[tuple[int, int], ...]) -> Iterator[Case]:
        return (Case(n_rows=n // 10 if options.quick else n, n_classes=k) for n, k in shapes)

    columns = ("evaluate (passes)", "with intervals (passes)", "view classwise (passes)")
    print(head("float32 logits", "torch.max(dim=1)", *columns, "peak extra memory"))
    for case in cases(SHAPES):
        print(passes(case, options.runs, clock), flush=True)
    print("\n" + head("values", "type", "array", "evaluate", "torch.max passes", "peak extra memory", text=2))
    for case in cases(INPUT_SHAPES):
        for text in types(case, max(2, options.runs // 3), clock):
            print(text, flush=True)
    if options.cpu:
        return
    print("\n" + head("float32 logits", "no interval", "every interval", "ratio", "ratio of CPU time"))
    for case in cases(SHAPES):
        print(intervals(case, options.runs), flush=True)
    print("\n" + head("float32 logits", "evaluate", "temperatures of 5 folds", "folds / evaluate"))
    for case in cases(SCALED_SHAPES):
        print(temperatures(case, options.runs), flush=True)


if __name__ == "__main__":
    main()
