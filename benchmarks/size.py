"""Type I error of every test of calibration: how often calibrated forecasts are rejected at 5 %.

``python -m benchmarks.size`` prints a Markdown table; ``--repetitions`` sets how long it takes.
"""

import argparse
from collections.abc import Callable
from zlib import crc32

import numpy as np

from benchmarks.coverage.worlds import POSITIVE, TOP_LABEL, forecasts
from calibkit.binning import Binning, bin_table
from calibkit.metrics import TESTS
from calibkit.pairs import Pairs
from calibkit.resampling import chance

SIZES = (300, 1_000, 10_000)
LEVEL = 0.05


def by_resampling(pairs: Pairs) -> float:
    """p-value of the ECE by consistency resampling."""
    return chance(
        bin_table(pairs.forecast, pairs.outcome, Binning()), rng=np.random.default_rng(0), n_draws=400
    ).p_value


def tests() -> dict[str, Callable[[Pairs], float]]:
    """p-values by the title of their test."""
    named = {test.title: (lambda pairs, kernel=test.kernel: kernel(pairs).p_value) for test in TESTS.values()}
    return {**named, "ECE, resampled": by_resampling}


def sizes(world: str, n: int, repetitions: int, *, weights: bool) -> list[str]:
    """Share of calibrated samples that each test rejects, in %."""
    population, rng = forecasts(world), np.random.default_rng([n, crc32(world.encode())])
    asked = {name: test for name, test in tests().items() if not (weights and test is by_resampling)}
    rejected = dict.fromkeys(tests(), 0)
    for _ in range(repetitions):
        forecast = rng.choice(population, n)
        outcome = rng.random(n) < forecast
        pairs = Pairs(
            view="positive", forecast=forecast, outcome=outcome, weights=rng.gamma(2.0, size=n) if weights else None
        )
        for name, test in asked.items():
            rejected[name] += test(pairs) < LEVEL
    return [f"{100 * count / repetitions:.1f}" if name in asked else "-" for name, count in rejected.items()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    repetitions = parser.parse_args().repetitions
    names = list(tests())
    print(f"{repetitions:,} repetitions; standard error {100 * np.sqrt(0.05 * 0.95 / repetitions):.1f} points.\n")
    print("| forecasts | n | " + " | ".join(names) + " |\n| :--- | ---: |" + " ---: |" * len(names))
    for world in (*TOP_LABEL, *POSITIVE):
        for n in SIZES:
            print(f"| {world} | {n:,} | " + " | ".join(sizes(world, n, repetitions, weights=False)) + " |", flush=True)
        row = sizes(world, 1_000, repetitions, weights=True)
        print(f"| {world}, weighted | 1,000 | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
