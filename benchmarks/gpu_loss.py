"""What a step of the smoothed loss costs on a CUDA device: ``python -m benchmarks.gpu_loss``.

Prints a Markdown table for calibkit's loss, torch's, and Liger-Kernel's where it is installed: time of one forward and
one backward pass, peak memory beyond the logits as a multiple of them, and how near the time is to what the device's
memory allows. That last share is the least traffic of a loss whose forward and backward are separate and keep nothing
but the logits (read them, read them again, write the gradient) over the time, as a part of the bandwidth of a copy of
the same tensor, measured in the same run. Times are medians of rounds in turn, after one that warms up; before each
the cache of the device is overwritten.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor

from benchmarks.loss import SMOOTHING, Loss, batch, contenders, dtype_name, step
from benchmarks.measuring import line

SHAPES = ((8_192, 1_000), (16_384, 32_000), (8_192, 128_256))
DTYPES = (torch.float32, torch.bfloat16)
COLUMNS = ("logits", "dtype", "loss", "time", "/ torch", "peak memory", "of copy bandwidth")
CACHE_BYTES = 2**28  # more than the cache of any device


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one step cost: seconds, and bytes beyond the logits."""

    seconds: float
    peak_bytes: int


def losses(dtype: torch.dtype) -> Mapping[str, Loss]:
    """The losses by name. "widened" has the digits of ours: half precisions are made float32 first."""
    found = dict(contenders())
    del found["torch, no smoothing"]
    if dtype == torch.float32:
        del found["torch, widened"]
    if importlib.util.find_spec("liger_kernel"):
        from liger_kernel.transformers.cross_entropy import LigerCrossEntropyLoss

        found["Liger-Kernel"] = LigerCrossEntropyLoss(label_smoothing=SMOOTHING)
    return found


def least_bytes(logits: Tensor) -> int:
    """Traffic that two separate passes cannot do without: forward reads; backward reads and writes the gradient."""
    return 3 * logits.nbytes


def share_of_copy(n_bytes: int, seconds: float, copy_seconds: float, copied: int) -> float:
    """Bandwidth of a step over that of a copy, which reads and writes what it copies."""
    return (n_bytes / seconds) / (2 * copied / copy_seconds)


def costs(works: Mapping[str, Callable[[], object]], n_runs: int, device: str) -> dict[str, Cost | None]:
    """Median time and peak memory of each, run in turn; the first round is not counted. None where memory ran out."""
    cache = torch.empty(CACHE_BYTES if device == "cuda" else 1, dtype=torch.uint8, device=device)
    seen: dict[str, list[Cost]] = {name: [] for name in works}
    failed: set[str] = set()
    for _ in range(n_runs + 1):
        for name, work in works.items():
            if name in failed:
                continue
            cache.zero_()
            try:
                seen[name].append(cost(work, device))
            except torch.OutOfMemoryError:
                failed.add(name)
    return {name: None if name in failed else _middle(found[1:]) for name, found in seen.items()}


def cost(work: Callable[[], object], device: str) -> Cost:
    """Time and peak memory of one call; on a CPU, whose peak torch does not count, of time alone."""
    if device != "cuda":
        start = time.perf_counter()
        work()
        return Cost(seconds=time.perf_counter() - start, peak_bytes=0)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return Cost(seconds=begin.elapsed_time(end) / 1e3, peak_bytes=torch.cuda.max_memory_allocated() - before)


def _middle(found: list[Cost]) -> Cost:
    """Median of each."""
    return Cost(
        seconds=statistics.median(each.seconds for each in found), peak_bytes=max(each.peak_bytes for each in found)
    )


def rows(n_rows: int, n_classes: int, dtype: torch.dtype, n_runs: int, device: str = "cuda") -> Iterator[str]:
    """The lines of one shape."""
    logits, labels = batch(n_rows, n_classes, dtype, device)
    works: dict[str, Callable[[], object]] = {
        # Liger-Kernel writes its gradient over the logits, which the others still need.
        name: partial(step, loss, logits.detach().clone().requires_grad_() if "Liger" in name else logits, labels)
        for name, loss in losses(dtype).items()
    }
    target = torch.empty_like(logits)
    works["copy"] = lambda: target.copy_(logits.detach())
    found = costs(works, n_runs, device)
    copy = found.pop("copy")
    assert copy is not None
    for name, each in found.items():
        yield line(f"{n_rows:,} x {n_classes:,}", dtype_name(dtype), name, *cells(each, found["torch"], copy, logits))


def cells(each: Cost | None, torch_cost: Cost | None, copy: Cost, logits: Tensor) -> tuple[str, str, str, str]:
    """Time, time over torch's, peak memory, and share of the copy's bandwidth."""
    if each is None:
        return "out of memory", "", "", ""
    share = share_of_copy(least_bytes(logits), each.seconds, copy.seconds, logits.nbytes)
    return (
        f"{1e3 * each.seconds:.3f} ms",
        "" if torch_cost is None else f"{each.seconds / torch_cost.seconds:.2f}",
        f"{each.peak_bytes / logits.nbytes:.2f}x",
        f"{share:.0%}",
    )


def main() -> None:
    """Measure every shape and print the table, or say that there is no device to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=25, help="counted rounds (default 25)")
    n_runs = parser.parse_args().runs
    if not torch.cuda.is_available():
        raise SystemExit(f"benchmarks.gpu_loss needs a CUDA device; torch {torch.__version__} sees none: not run.")
    packages = ["torch", *(["liger_kernel"] if importlib.util.find_spec("liger_kernel") else [])]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"{torch.cuda.get_device_name()}; {versions}; medians of {n_runs} interleaved warm runs.\n")
    print(line(*COLUMNS))
    print(line(*(":---" if name in COLUMNS[:3] else "---:" for name in COLUMNS)))
    for n_rows, n_classes in SHAPES:
        for dtype in DTYPES:
            for text in rows(n_rows, n_classes, dtype, n_runs):
                print(text, flush=True)


if __name__ == "__main__":
    main()
