"""What an evaluation of tensors costs where they are: ``python -m benchmarks.gpu_evaluate``.

Prints a Markdown table for logits on a CUDA device: of calibkit the scores of the rows alone, an update of
`CalibrationMetric` (scores, counts and exact sums), and all of `calibkit.integrations.torch.evaluate`; of TorchMetrics
its calibration error and accuracy, with torch's softmax and cross-entropy and a Brier score, which give what an update
gives. The last column is what one reading of the logits would take at the speed of a copy, measured in the same run on
a part of the same logits, as a share of the time: a copy reads and writes. Times are medians of rounds in turn, after
one that warms up; before each the cache of the device is overwritten.

``--device cpu`` runs smaller shapes on the CPU, whose tensors are read by the pass over arrays, and beside it the path
of a device on the CPU: a check of this program, and no statement about a GPU.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import torch
from torch import Tensor

from benchmarks.gpu_loss import Cost, costs, share_of_copy
from benchmarks.loss import batch, dtype_name
from benchmarks.measuring import line
from calibkit.integrations.torch import CalibrationMetric, evaluate
from calibkit.integrations.torch.batches import Batch
from calibkit.integrations.torch.faults import Faults
from calibkit.integrations.torch.scoring import score_batch

SHAPES = {"cuda": ((1_000_000, 1_000), (65_536, 128_256)), "cpu": ((20_000, 1_000), (512, 128_256))}
DTYPES = (torch.float32, torch.bfloat16)
COLUMNS = ("logits", "dtype", "what", "time", "/ TorchMetrics", "memory beyond the logits", "of copy bandwidth")
PEER = "TorchMetrics and torch"
COPIED_BYTES = 2**30
N_BINS = 15

Works = Mapping[str, Callable[[], object]]


def works(logits: Tensor, labels: Tensor) -> Works:
    """What is timed, by name."""
    return {
        "row scores, on the device's path": lambda: score_batch(
            Batch(logits=logits, labels=labels), Faults(logits.device)
        ),
        "CalibrationMetric.update": lambda: CalibrationMetric().update(labels=labels, logits=logits),
        "evaluate": lambda: evaluate(labels=labels, logits=logits),
        PEER: lambda: peers(logits, labels),
    }


def peers(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """ECE, accuracy, NLL and Brier score, in the precision of the logits but for the Brier score's sum."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    probs = torch.softmax(logits, dim=1)
    true = probs.gather(1, labels[:, None]).squeeze(1).float()
    squares = torch.linalg.vector_norm(probs, dim=1, dtype=torch.float32).square()
    ece = multiclass_calibration_error(probs, labels, num_classes=logits.shape[1], n_bins=N_BINS, validate_args=False)
    return {
        "ece": ece,
        "accuracy": (probs.argmax(dim=1) == labels).float().mean(),
        "nll": torch.nn.functional.cross_entropy(logits, labels),
        "brier": (1.0 - 2.0 * true + squares).mean(),
    }


def lines(n_rows: int, n_classes: int, dtype: torch.dtype, *, n_runs: int, device: str) -> Iterator[str]:
    """The lines of one shape."""
    logits, labels = batch(n_rows, n_classes, dtype, device)
    logits = logits.detach()
    part = logits[: max(1, COPIED_BYTES // (n_classes * dtype.itemsize))]
    target = torch.empty_like(part)
    found = costs({**works(logits, labels), "copy": lambda: target.copy_(part)}, n_runs, device)
    copy = found.pop("copy")
    assert copy is not None
    for name, each in found.items():
        shown = cells(each, found[PEER], copy, logits=logits, copied=part.nbytes)
        yield line(f"{n_rows:,} x {n_classes:,}", dtype_name(dtype), name, *shown)


def cells(each: Cost | None, peer: Cost | None, copy: Cost, *, logits: Tensor, copied: int) -> tuple[str, ...]:
    """Time, time over the peers', peak memory, and the share of the copy's bandwidth."""
    if each is None:
        return "out of memory", "", "", ""
    share = share_of_copy(logits.nbytes, each.seconds, copy.seconds, copied)
    return (
        f"{1e3 * each.seconds:.3f} ms",
        "" if peer is None else f"{each.seconds / peer.seconds:.2f}",
        f"{each.peak_bytes / logits.nbytes:.2f}x" if logits.is_cuda else "",
        f"{share:.0%}",
    )


def main() -> None:
    """Measure every shape and print the table, or say that there is no device to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--runs", type=int, default=25, help="counted rounds (default 25)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            f"no CUDA device: torch {torch.__version__} sees none, nothing was run. --device cpu runs small shapes on "
            "the CPU."
        )
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchmetrics"))
    print(f"{where}; {versions}; medians of {options.runs} interleaved warm runs.\n")
    print(line(*COLUMNS))
    print(line(*(":---" if name in COLUMNS[:3] else "---:" for name in COLUMNS)))
    for n_rows, n_classes in SHAPES[options.device]:
        for dtype in DTYPES:
            for text in lines(n_rows, n_classes, dtype, n_runs=options.runs, device=options.device):
                print(text, flush=True)


if __name__ == "__main__":
    main()
