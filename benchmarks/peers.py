"""A full evaluation against the packages that give parts of one: ``python -m benchmarks.peers``.

Accuracy, NLL, Brier score, ECE, MCE, classwise ECE and the reliability diagram, with intervals: two calls of calibkit,
and next to them what each peer has of it, on float32 logits and the probabilities that SciPy's softmax makes of them.
Every package runs in a process of its own, under a limit of time a call and of memory; a call that takes longer is
stopped and counted as that long, one that fails is named with its reason. Prints a Markdown table, a line a call.
"""

import argparse
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import calibkit as ck
from benchmarks.measuring import Case, Work, head, line, machine
from calibkit.scores import thread_count

SHAPES = ((1_000_000, 2), (1_000_000, 10), (50_000, 1_000), (4_096, 128_000))
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "torchmetrics", "netcal", "uncertainty-calibration", "relplot")
N_BINS = 15
# A call that takes less than this part of its limit is run twice more.
QUICK = 0.1


def calibkit_calls(labels: np.ndarray, logits: np.ndarray, _: np.ndarray) -> Mapping[str, Work]:
    """Everything but classwise ECE, and that."""
    predictions = ck.Predictions.from_logits(labels, logits)
    return {
        "evaluate, with intervals": lambda: ck.evaluate(predictions),
        "classwise ECE": lambda: ck.evaluate(predictions, view="classwise", confidence_level=None),
    }


def sklearn_calls(labels: np.ndarray, logits: np.ndarray, probs: np.ndarray) -> Mapping[str, Work]:
    """SciPy's softmax and what scikit-learn makes of it."""
    from scipy.special import softmax
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

    classes = np.arange(probs.shape[1])

    def reliability() -> object:
        confidence = probs.max(axis=1).astype(np.float64)
        return calibration_curve(probs.argmax(axis=1) == labels, np.minimum(confidence, 1.0), n_bins=N_BINS)

    return {
        "scipy softmax": lambda: softmax(logits, axis=1),
        "accuracy_score": lambda: accuracy_score(labels, probs.argmax(axis=1)),
        "log_loss": lambda: log_loss(labels, probs, labels=classes),
        "brier_score_loss": lambda: brier_score_loss(labels, probs, labels=classes),
        "calibration_curve": reliability,
    }


def torchmetrics_calls(labels: np.ndarray, _: np.ndarray, probs: np.ndarray) -> Mapping[str, Work]:
    """ECE, MCE and accuracy."""
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

    k, tensor, targets = probs.shape[1], torch.from_numpy(probs), torch.from_numpy(labels)

    def error(norm: str) -> Work:
        return lambda: multiclass_calibration_error(tensor, targets, num_classes=k, n_bins=N_BINS, norm=norm)

    return {
        "multiclass_calibration_error": error("l1"),
        "multiclass_calibration_error, max": error("max"),
        "multiclass_accuracy": lambda: multiclass_accuracy(tensor, targets, num_classes=k, average="micro"),
    }


def netcal_calls(labels: np.ndarray, _: np.ndarray, probs: np.ndarray) -> Mapping[str, Work]:
    """ECE and MCE."""
    from netcal.metrics import ECE, MCE

    return {
        "ECE": lambda: ECE(N_BINS).measure(probs, labels),
        "MCE": lambda: MCE(N_BINS).measure(probs, labels),
    }


def uncertainty_calls(labels: np.ndarray, _: np.ndarray, probs: np.ndarray) -> Mapping[str, Work]:
    """ECE over bins of equal count, and the error of each class."""
    import calibration

    return {
        "get_ece": lambda: calibration.get_ece(probs, labels, num_bins=N_BINS),
        "get_calibration_error, marginal": lambda: calibration.get_calibration_error(probs, labels, p=1, debias=False),
    }


def relplot_calls(labels: np.ndarray, logits: np.ndarray, probs: np.ndarray) -> Mapping[str, Work]:
    """Confidence and correctness, and the reliability diagram with its band (200 bootstraps)."""
    import relplot

    confidence, correct = probs.max(axis=1).astype(np.float64), (probs.argmax(axis=1) == labels) * 1.0
    return {
        "multiclass_logits_to_confidences": lambda: relplot.multiclass_logits_to_confidences(logits, labels),
        "prepare_rel_diagram": lambda: relplot.prepare_rel_diagram(confidence, correct),
    }


Calls = Callable[[np.ndarray, np.ndarray, np.ndarray], Mapping[str, Work]]
PACKAGES: Mapping[str, Calls] = {
    "calibkit": calibkit_calls,
    "scikit-learn": sklearn_calls,
    "torchmetrics": torchmetrics_calls,
    "netcal": netcal_calls,
    "uncertainty-calibration": uncertainty_calls,
    "relplot": relplot_calls,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One call: seconds, if it ended, and else why not."""

    seconds: float
    trouble: str = ""

    def __str__(self) -> str:
        return self.trouble or f"{self.seconds:.3f} s"


def work_off(package: str, folder: Path, skip: int, limit: float, *, cpu: bool) -> None:
    """Run the calls of a package from number `skip` on, in this process, and print what they take."""
    warnings.simplefilter("ignore")
    clock, timer, sign = time.perf_counter, signal.ITIMER_REAL, signal.SIGALRM
    if cpu:
        clock, timer, sign = time.process_time, signal.ITIMER_PROF, signal.SIGPROF
    signal.signal(sign, _stop)
    arrays = (np.load(folder / f"{name}.npy") for name in ("labels", "logits", "probs"))
    calls = list(PACKAGES[package](*arrays).items())
    print("ready", *(name for name, _ in calls), sep="\t", flush=True)
    for _, work in calls[skip:]:
        times = []
        try:
            while len(times) < (3 if times and times[0] < QUICK * limit else 1):
                signal.setitimer(timer, limit)
                start = clock()
                work()
                times.append(clock() - start)
            print("done", sorted(times)[len(times) // 2], sep="\t", flush=True)
        except TimeoutError:
            print("stopped", flush=True)
        except MemoryError:
            print("failed", "out of memory", sep="\t", flush=True)
        except Exception as error:
            print("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:60]}", sep="\t", flush=True)
        finally:
            signal.setitimer(timer, 0)


def _stop(*_: object) -> None:
    raise TimeoutError


def timed_calls(package: str, folder: Path, limit: float, memory: float, *, cpu: bool = False) -> dict[str, Timed]:
    """Time the calls of a package in processes of their own: a new one after each call that is stopped."""
    found: dict[str, Timed] = {}
    names: list[str] = []
    while not names or len(found) < len(names):
        command = [sys.executable, "-m", "benchmarks.peers", "--package", package, "--folder", str(folder)]
        command += ["--skip", str(len(found)), "--limit", str(limit), "--memory", str(memory), *["--cpu"] * cpu]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            lines: queue.Queue[str] = queue.Queue()
            threading.Thread(target=_pass_on, args=(process.stdout, lines)).start()
            words = _next(lines, limit + 120)
            if words[:1] != ["ready"]:
                process.kill()
                return found | {"import or arrays": Timed(seconds=0.0, trouble="failed")}
            names = words[1:]
            while len(found) < len(names):
                # A call that does not hear the signal, for it stays in C, is ended from here.
                words, name = _next(lines, (10 if cpu else 2) * limit + 10), names[len(found)]
                if words[:1] == ["done"]:
                    found[name] = Timed(seconds=float(words[1]))
                elif words[:1] == ["failed"]:
                    found[name] = Timed(seconds=0.0, trouble=": ".join(words))
                else:
                    found[name] = Timed(seconds=limit, trouble="killed" if words == [""] else f"> {limit:g} s")
                    if words[:1] != ["stopped"]:
                        process.kill()
                        break
    return found


def _pass_on(stream: Iterable[str], lines: "queue.Queue[str]") -> None:
    """Put each line of a stream into a queue as it comes, and an empty one after the last."""
    for text in stream:
        lines.put(text)
    lines.put("")


def _next(lines: "queue.Queue[str]", seconds: float) -> list[str]:
    """The parts of the next line; nothing where none came in time, one empty part where the process ended."""
    try:
        return lines.get(timeout=seconds).rstrip("\n").split("\t")
    except queue.Empty:
        return []


def prepare(case: Case, folder: Path) -> None:
    """Write labels, logits and probabilities of a shape."""
    from scipy.special import softmax

    labels, logits = case.arrays()
    np.save(folder / "labels.npy", labels)
    np.save(folder / "logits.npy", logits)
    np.save(folder / "probs.npy", softmax(logits, axis=1))


def table(cases: list[Case], limit: float, memory: float, *, cpu: bool) -> Iterator[str]:
    """The lines of the table: a call each, its time at every shape."""
    times: dict[tuple[str, str], dict[Case, Timed]] = {}
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            prepare(case, Path(name))
            for package in PACKAGES:
                for call, timed in timed_calls(package, Path(name), limit, memory, cpu=cpu).items():
                    times.setdefault((package, call), {})[case] = timed
    yield head("package", "call", *map(str, cases), text=2)
    for (package, call), of_case in times.items():
        yield line(package, f"`{call}`", *(str(of_case.get(case, "")) for case in cases))
    mine, peers = (
        [
            sum(t[case].seconds for (p, _), t in times.items() if (p == "calibkit") is ours and case in t)
            for case in cases
        ]
        for ours in (True, False)
    )
    yield line("**calibkit**", "sum", *(f"{value:.3f} s" for value in mine))
    yield line("**peers**", "sum", *(f"{value:.2f} s" for value in peers))
    yield line("**peers / calibkit**", "", *(f"{theirs / own:.0f}" for theirs, own in zip(peers, mine, strict=True)))


def main() -> None:
    """Time every call of every package at every shape and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds a call may take (default 10)")
    parser.add_argument("--memory", type=float, default=14.0, help="GB a package may take (default 14)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--cpu", action="store_true", help="CPU time of one thread: steady beside other jobs")
    parser.add_argument("--package", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--skip", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.package:
        most = int(options.memory * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        work_off(options.package, Path(options.folder), options.skip, options.limit, cpu=options.cpu)
        return
    if options.cpu:
        os.environ |= dict.fromkeys(("CALIBKIT_THREADS", "OMP_NUM_THREADS"), "1")
    what = "CPU time of 1 thread" if options.cpu else f"{thread_count(None)} threads"
    print(f"{machine(LIBRARIES)}; {what}; at most {options.limit:g} s a call.\n")
    cases = [Case(n_rows=n // 10 if options.quick else n, n_classes=k) for n, k in SHAPES]
    for text in table(cases, options.limit, options.memory, cpu=options.cpu):
        print(text, flush=True)


if __name__ == "__main__":
    main()
