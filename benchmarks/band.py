"""Confidence bands of the true calibration curve: coverage, power, width, time: ``python -m benchmarks.band``.

Prints a Markdown table. Forecasts are those of a good network, most near 1; the true curve is the diagonal, or below it
by a power of the forecast. "Held" is the share of samples in which the band holds the whole curve, "rejected" the share
in which the diagonal leaves it; "width" is the mean width at the rows' forecasts.
"""

import argparse
import time

import numpy as np

from calibkit.honest_band import CalibrationBand, band_of_pairs
from calibkit.pairs import Pairs

CASES = ((500, None), (20_000, 100), (20_000, None), (20_000, 5_000), (1_000_000, 100), (1_000_000, None))
POWERS = (1.0, 1.5)
COLUMNS = ("rows", "steps", "true curve", "samples", "held", "rejected", "width", "time")


def sample(n: int, power: float, rng: np.random.Generator) -> Pairs:
    """Forecasts whose true curve is a power of them."""
    forecast = rng.beta(5, 0.6, n)
    return Pairs(view="positive", forecast=forecast, outcome=rng.random(n) < forecast**power)


def mean_width(band: CalibrationBand, pairs: Pairs) -> float:
    """Mean width at the rows' forecasts."""
    low = np.concatenate(([0.0], band.low))[np.searchsorted(band.forecast, pairs.forecast, side="right")]
    high = np.append(band.high, 1.0)[np.searchsorted(band.forecast, pairs.forecast)]
    return float(np.mean(high - low))


def line(n: int, grid: int | None, power: float, samples: int) -> tuple[str, ...]:
    """One line of the table."""
    rng = np.random.default_rng(n)
    held, rejected, width, seconds = [], [], [], []
    for _ in range(samples):
        pairs = sample(n, power, rng)
        start = time.perf_counter()
        band = band_of_pairs(pairs, level=0.95, grid=grid)
        seconds.append(time.perf_counter() - start)
        truth = band.forecast**power
        held.append(bool(np.all((band.low <= truth) & (truth <= band.high))))
        rejected.append(len(band.rejects) > 0)
        width.append(mean_width(band, pairs))
    curve = "x" if power == 1 else f"x^{power}"
    steps = f"{band.grid:,}" if band.grid else "none"
    shares = (f"{np.mean(of):.1%}" for of in (held, rejected))
    return f"{n:,}", steps, curve, f"{samples:,}", *shares, f"{np.mean(width):.4f}", f"{np.median(seconds):.3f} s"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="samples of up to 20,000 rows; of more, a twentieth")
    samples = parser.parse_args().samples
    print("| " + " | ".join(COLUMNS) + " |")
    print("| ---: | ---: | :--- |" + " ---: |" * 5)
    for n, grid in CASES:
        many = 10 if grid == 5_000 else 1 if n <= 20_000 else 20
        for power in POWERS:
            print("| " + " | ".join(line(n, grid, power, max(1, samples // many))) + " |", flush=True)


if __name__ == "__main__":
    main()
