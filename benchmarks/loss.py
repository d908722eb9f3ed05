"""What a step of the smoothed loss costs next to torch's own: ``python -m benchmarks.loss``.

Prints a Markdown table of time and peak memory of one forward and one backward pass on the CPU. Times: all contenders
in one process, in turn, after one round that warms up; medians. Memory: each in a process of its own; the most that
stays in memory during the pass, less what was there before it, as a multiple of the logits. Linux counts that for the
process as a whole, so nothing that torch allocates is missed; of logits below 16 MB it says little, and is left out.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.measuring import line, machine, median_seconds
from calibkit.training import LabelSmoothingCrossEntropy

SMOOTHING = 0.1
CASES = (
    (2_048, 32_000, torch.float32),
    (2_048, 32_000, torch.bfloat16),
    (512, 32_000, torch.float32),
    (8_192, 1_000, torch.float32),
    (65_536, 100, torch.float32),
    (1_024, 1_000, torch.float32),
    (256, 1_000, torch.float32),
    (256, 10, torch.float32),
)
COLUMNS = (
    "logits",
    "dtype",
    "calibkit",
    "torch",
    "torch, widened",
    "torch, no smoothing",
    "calibkit / torch",
    "peak: calibkit",
    "torch",
    "torch, widened",
)
LEAST_BYTES = 16e6
Loss = Callable[[Tensor, Tensor], Tensor]


def contenders() -> Mapping[str, Loss]:
    """The losses by name. "widened" is torch's with the digits of ours: half precisions are made float32 first."""
    smoothed = partial(cross_entropy, label_smoothing=SMOOTHING)
    return {
        "calibkit": LabelSmoothingCrossEntropy(SMOOTHING),
        "torch": smoothed,
        "torch, widened": lambda x, y: smoothed(x.float(), y),
        "torch, no smoothing": cross_entropy,
    }


def batch(n_rows: int, n_classes: int, dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Logits that want a gradient, and labels."""
    generator = torch.Generator(device).manual_seed(0)
    logits = torch.empty(n_rows, n_classes, dtype=dtype, device=device).normal_(0, 2, generator=generator)
    return logits.requires_grad_(), torch.randint(n_classes, (n_rows,), generator=generator, device=device)


def step(loss: Loss, logits: Tensor, labels: Tensor) -> None:
    """One forward and one backward pass; the gradient is let go."""
    loss(logits, labels).backward()
    logits.grad = None


def seconds(n_rows: int, n_classes: int, dtype: torch.dtype, n_runs: int) -> dict[str, float]:
    """Median time of each contender."""
    logits, labels = batch(n_rows, n_classes, dtype)
    return median_seconds({name: partial(step, loss, logits, labels) for name, loss in contenders().items()}, n_runs)


def peak(name: str, n_rows: int, n_classes: int, dtype: torch.dtype) -> float | None:
    """Peak memory of a contender beyond its logits, as a multiple of them; None where Linux is not there to say it."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    # In a process of its own: memory that an earlier contender has freed may be used again without being counted.
    command = [sys.executable, "-m", "benchmarks.loss", "--peak", name, str(n_rows), str(n_classes), dtype_name(dtype)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak_of_this_process(name: str, n_rows: int, n_classes: int, dtype: torch.dtype) -> float:
    """The same, measured here and now."""
    loss = contenders()[name]
    step(loss, *batch(8, 16, dtype))  # what is loaded on first use is not the loss's
    logits, labels = batch(n_rows, n_classes, dtype)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts here
    before = resident("VmRSS")
    step(loss, logits, labels)
    return (resident("VmHWM") - before) / logits.nbytes


def resident(field: str) -> int:
    """Bytes of this process in memory: now (VmRSS), or at most so far (VmHWM)."""
    facts = dict(fact.split(":", 1) for fact in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(facts[field].split()[0])


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a dtype without torch's."""
    return str(dtype).removeprefix("torch.")


def row(n_rows: int, n_classes: int, dtype: torch.dtype, n_runs: int) -> str:
    """The line of one shape."""
    time = seconds(n_rows, n_classes, dtype, n_runs)
    known = n_rows * n_classes * dtype.itemsize >= LEAST_BYTES
    names = ("calibkit", "torch", "torch, widened")
    peaks = [peak(name, n_rows, n_classes, dtype) if known else None for name in names]
    return line(
        f"{n_rows:,} x {n_classes:,}",
        dtype_name(dtype),
        *(f"{1e3 * value:.3g} ms" for value in time.values()),
        f"{time['calibkit'] / time['torch']:.2f}",
        *("" if value is None else f"{value:.2f}x" for value in peaks),
    )


def table(cases: tuple[tuple[int, int, torch.dtype], ...], n_runs: int) -> Iterator[str]:
    """The lines of the table."""
    yield line(*COLUMNS)
    yield line(*(":---" if name in ("logits", "dtype") else "---:" for name in COLUMNS))
    for case in cases:
        yield row(*case, n_runs)


def main() -> None:
    """Measure every shape and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="counted rounds (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--peak", nargs=4, metavar=("NAME", "N", "K", "DTYPE"), help="one peak, in this process")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        name, n_rows, n_classes, dtype = options.peak
        print(peak_of_this_process(name, int(n_rows), int(n_classes), getattr(torch, dtype)))
        return
    print(f"{machine()}; {options.threads} threads; medians of {options.runs} interleaved warm runs.\n")
    for text in table(CASES, options.runs):
        print(text, flush=True)


if __name__ == "__main__":
    main()
