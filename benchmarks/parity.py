"""Does `convention=` give the peers' numbers? ``python -m benchmarks.parity`` asks the peers themselves.

Needs the extra "parity" (torchmetrics, netcal). For each peer, random small cases in float32 and float64: few rows, up
to five classes, many confidences exactly on an edge, at 0 and at 1. Every difference is listed with its case, and every
case that the peer refuses is counted by its reason. Exit code 1 if a difference is left unexplained.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import calibkit as ck

# What sums in float32, in which torchmetrics computes top-label cases of any type, may be off by; and in float64.
ROUNDING = {"float32": 2e-6, "float64": 1e-12}


@dataclass(frozen=True, slots=True)
class Case:
    """Labels, probabilities (n, k) or (n,), and a number of bins."""

    labels: NDArray[np.int64]
    probs: NDArray[Any]
    n_bins: int


@dataclass(slots=True)
class Outcome:
    """What became of a peer's cases."""

    agree: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


def draw(rng: np.random.Generator, *, binary: bool) -> Case:
    """A small case; probabilities of binary ones are P(y = 1)."""
    n, n_bins = int(rng.integers(1, 40)), int(rng.choice([1, 2, 3, 5, 7, 10, 14, 15, 20, 49]))
    dtype = rng.choice([np.float32, np.float64])
    steps = rng.integers(0, n_bins + 1, n) / n_bins
    if binary:
        probs = np.where(rng.random(n) < 0.6, steps, rng.random(n))
        return Case((rng.random(n) < 0.5).astype(np.int64), probs.astype(dtype), n_bins)
    k = int(rng.integers(2, 6))
    probs = rng.dirichlet(np.full(k, rng.choice([0.1, 1.0])), n)
    on_edge = rng.random(n) < 0.5
    first = np.maximum(steps, 1 - steps) if k == 2 else steps
    rest = rng.dirichlet(np.ones(k - 1), n) * (1 - first)[:, None]
    probs = np.where(on_edge[:, None], np.column_stack([first, rest]), probs).astype(dtype)
    return Case(rng.integers(0, k, n), probs, n_bins)


def torchmetrics(case: Case) -> float:
    """By torchmetrics, which takes 1-D probabilities for P(y = 1)."""
    import torch
    from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

    probs, labels = torch.from_numpy(case.probs), torch.from_numpy(case.labels)
    if case.probs.ndim == 1:
        return float(binary_calibration_error(probs, labels, n_bins=case.n_bins))
    k = case.probs.shape[1]
    return float(multiclass_calibration_error(probs, labels, num_classes=k, n_bins=case.n_bins))


def netcal(case: Case) -> float:
    """By netcal; a single row or class is not always a case for it."""
    from netcal.metrics import ECE

    return float(ECE(bins=case.n_bins).measure(case.probs, case.labels))


def sklearn(case: Case) -> float:
    """By scikit-learn's calibration_curve, each bin asked for alone, weighted by its rows."""
    from sklearn.calibration import calibration_curve

    edges = np.linspace(0.0, 1.0, case.n_bins + 1)
    true, said = calibration_curve(case.labels, case.probs, n_bins=case.n_bins, pos_label=1)
    # The curve leaves the sizes of its bins out: they are what reproduces its mean forecasts.
    bins = np.searchsorted(edges[1:-1], case.probs)
    sizes = np.array([np.sum(bins == b) for b in np.unique(bins)])
    means = np.array([case.probs[bins == b].astype(np.float64).mean() for b in np.unique(bins)])
    if not np.allclose(means, said, atol=1e-6):
        raise ValueError("the bins are not those of the curve")
    return float(np.sum(sizes * np.abs(true - said)) / len(case.labels))


def guo(case: Case) -> float:
    """By the rule of Guo et al.'s published loss: float32 edges, open below, closed above."""
    import torch

    confidence, predicted = torch.from_numpy(case.probs).max(1)
    outcome = predicted.eq(torch.from_numpy(case.labels))
    edges = torch.linspace(0, 1, case.n_bins + 1).tolist()
    total = 0.0
    for low, high in pairwise(edges):
        inside = confidence.gt(low) & confidence.le(high)
        if inside.any():
            gap = confidence[inside].double().mean() - outcome[inside].double().mean()
            total += float(gap.abs()) * float(inside.double().mean())
    return total


PEERS: dict[str, tuple[Callable[[Case], float], tuple[bool, ...]]] = {
    "torchmetrics": (torchmetrics, (False, True)),
    "netcal": (netcal, (False, True)),
    "sklearn": (sklearn, (True,)),
    "guo": (guo, (False,)),
}


def compare(peer: str, cases: int, seed: int) -> Outcome:
    """Ask a peer and calibkit about the same cases."""
    ask, kinds = PEERS[peer]
    rng, outcome = np.random.default_rng(seed), Outcome()
    for number in range(cases):
        case = draw(rng, binary=bool(rng.choice(kinds)))
        try:
            expected = ask(case)
        except (ValueError, RuntimeError, IndexError, AssertionError) as error:
            outcome.refused[f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"] += 1
            continue
        ours = ck.expected_calibration_error(case.labels, case.probs, n_bins=case.n_bins, convention=peer)
        in_float32 = peer == "torchmetrics" and case.probs.ndim == 2
        if abs(ours - expected) <= ROUNDING["float32" if in_float32 else case.probs.dtype.name]:
            outcome.agree += 1
        else:
            shape = f"{case.probs.shape} {case.probs.dtype.name}, {case.n_bins} bins"
            outcome.differences.append(f"case {number}, {shape}: {peer} {expected!r}, calibkit {ours!r}")
    return outcome


def main() -> None:
    """Print a table, then every refusal and every difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="random cases a peer")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    outcomes = {peer: compare(peer, options.cases, options.seed) for peer in PEERS}
    print("| convention | cases | agree | the peer refuses | differ |\n|---|---|---|---|---|")
    for peer, found in outcomes.items():
        print(f"| {peer} | {options.cases} | {found.agree} | {found.refused.total()} | {len(found.differences)} |")
    for peer, found in outcomes.items():
        for reason, count in found.refused.most_common():
            print(f"- {peer} refuses {count}: {reason}")
        for difference in found.differences:
            print(f"- {difference}")
    sys.exit(1 if any(found.differences for found in outcomes.values()) else 0)


if __name__ == "__main__":
    main()
