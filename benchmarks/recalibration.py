"""Which recalibration for how many rows, and how fast: ``python -m benchmarks.recalibration``.

Prints Markdown tables. Ten classes (and two) whose true probabilities q are known, seen through a model that is wrong
in one of four ways. Each method is fitted on n rows; printed is the mean of ``sum_j (p_j - q_j)^2`` over 5,000 other
rows, what the calibrated forecast p still loses of the Brier score, as a percentage of what the model loses as it is:
100 means that nothing was gained, more that the fit did harm. ``--speed`` times the fit of a temperature instead.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import calibkit as ck
from calibkit import recalibration
from calibkit.calibrators import METHODS

Floats = NDArray[np.float64]
SIZES = (50, 200, 1_000, 5_000)
TEST_ROWS = 5_000
CONTENDERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "temperature": ("temperature", {}),
    "ensemble temperature": ("ensemble-temperature", {}),
    "vector": ("vector", {}),
    "Dirichlet, penalty .001": ("dirichlet", {}),
    "Dirichlet, penalty 10": ("dirichlet", {"penalty": 10.0}),
    "Platt": ("platt", {}),
    "beta": ("beta", {}),
    "isotonic": ("isotonic", {}),
    "isotonic, shared": ("isotonic", {"maps": "shared"}),
    "histogram, 15 bins": ("histogram", {}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A way to be wrong: the model's logits for given true ones."""

    name: str
    n_classes: int
    distort: Callable[[Floats], Floats]

    def draw(self, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64], Floats]:
        """True probabilities, labels, and the model's logits."""
        true = rng.normal(size=(n_rows, self.n_classes)) * 2
        labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
        terms = np.exp(true - true.max(axis=1, keepdims=True))
        return terms / terms.sum(axis=1, keepdims=True), labels, self.distort(true)


def worlds(n_classes: int) -> tuple[World, ...]:
    """Too sure; too sure with favourites; two classes that leak into each other; too sure where it is sure alone."""
    favour = np.linspace(-1.0, 1.0, n_classes)
    leak = np.eye(n_classes)
    leak[:2, :2] = [[1.0, 0.5], [0.5, 1.0]]
    found = (
        World(name="too sure (2 z)", n_classes=n_classes, distort=lambda z: 2 * z),
        World(name="too sure, with favourites (2 z + b)", n_classes=n_classes, distort=lambda z: 2 * z + favour),
        World(name="two classes leak (2 W z)", n_classes=n_classes, distort=lambda z: 2 * z @ leak),
        World(name="sure rows too sure (z + z^3 / 8)", n_classes=n_classes, distort=lambda z: z + z**3 / 8),
    )
    return found if n_classes > 2 else (*found[:2], found[3])  # of two classes, a leak is a temperature


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits."""
    terms = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(terms / terms.sum(axis=1, keepdims=True))


def left(method: str, options: Mapping[str, object], world: World, n_rows: int, seed: int) -> float:
    """What is left of the loss to the truth, in percent of what the model as it is loses."""
    rng = np.random.default_rng([seed, n_rows])
    _, labels, logits = world.draw(n_rows, rng)
    truth, _, tested = world.draw(TEST_ROWS, rng)
    calibrator = METHODS[method](**options).fit(logits, labels)
    before, after = (((p - truth) ** 2).sum(axis=1).mean() for p in (softmax(tested), calibrator.predict_proba(tested)))
    return float(100 * after / before)


def print_table(n_classes: int, n_repeats: int) -> None:
    """One table for each world of k classes."""
    for world in worlds(n_classes):
        print(f"\n{n_classes} classes, {world.name}\n")
        print(line("rows of the fit", *(f"{size:,}" for size in SIZES)))
        print(line(":---", *("---:" for _ in SIZES)))
        for name, (method, options) in CONTENDERS.items():
            if n_classes == 2 and "shared" in name:
                continue  # one map says both classes
            cells = [
                statistics.fmean(left(method, options, world, size, seed) for seed in range(n_repeats))
                for size in SIZES
            ]
            print(line(name, *(f"{cell:.0f}" for cell in cells)), flush=True)


def by_lbfgs(labels: NDArray[np.int64], logits: Floats) -> float:
    """The temperature as the code of Guo et al. 2017 fits it, from T = 1.5."""
    import torch

    targets, tensor = torch.from_numpy(labels), torch.from_numpy(logits)
    temperature = torch.tensor([1.5], requires_grad=True)
    optimiser = torch.optim.LBFGS([temperature], lr=0.01, max_iter=50)

    def closure() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(tensor / temperature, targets)
        loss.backward()
        return float(loss.detach())

    optimiser.step(closure)
    return float(temperature.detach())


def print_speed(n_runs: int) -> None:
    """Time and readings of a temperature's fit on 50,000 x 1,000 logits, next to one reading for the maxima."""
    from benchmarks.measuring import Case, machine

    labels, logits = Case(n_rows=50_000, n_classes=1_000).arrays()
    readings: list[float] = []
    derive = recalibration.loss_derivatives

    def counted(*args: object, **options: object) -> Floats:
        readings.append(1 / int(str(options["step"])))
        return derive(*args, **options)  # type: ignore[arg-type]

    works = {
        "numpy: logits.max(axis=1)": lambda: logits.max(axis=1),
        "evaluate, no intervals": lambda: ck.evaluate(
            ck.Predictions.from_logits(labels, logits), confidence_level=None
        ),
        "TemperatureScaling().fit": lambda: ck.TemperatureScaling().fit(logits, labels),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(n_runs + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    start = time.perf_counter()
    usual = by_lbfgs(labels, logits)
    times["torch.optim.LBFGS, 50 steps of 0.01 (once)"] = [0.0, time.perf_counter() - start]
    recalibration.loss_derivatives = counted  # type: ignore[assignment]
    fitted = ck.TemperatureScaling().fit(logits, labels)
    print(f"{machine()}; medians of {n_runs} interleaved warm runs\n")
    print(line("50,000 x 1,000 float32 logits", "time"))
    print(line(":---", "---:"))
    for name, seconds in times.items():
        print(line(name, f"{statistics.median(seconds[1:]):.3f} s"))
    print(f"\nT = {fitted.temperature_:.4f}, by LBFGS {usual:.4f}")
    print(f"All rows are read {1 + sum(readings):.2f} times, one of them to check them")


def line(*cells: str) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="calibration sets a cell (default 10)")
    parser.add_argument("--speed", action="store_true", help="time the fit of a temperature instead")
    parser.add_argument("--runs", type=int, default=5, help="counted rounds of --speed (default 5)")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    if asked.speed:
        print_speed(asked.runs)
        return
    for n_classes in (10, 2):
        print_table(n_classes, asked.repeats)


if __name__ == "__main__":
    main()
