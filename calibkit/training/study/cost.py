"""What smoothing costs in time and memory, hard and smoothed in turn on an otherwise idle process. Annex: training."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter

import torch
from torch.profiler import ProfilerActivity, profile

from calibkit.files.atomic import write_text
from calibkit.files.source import AnyPath
from calibkit.training.devices import limited_threads, resolve_device
from calibkit.training.smoothing import label_smoothing_cross_entropy
from calibkit.training.study.cells import Cell, Shared
from calibkit.training.study.grid import TEXTBOOK
from calibkit.training.study.one_run import make_network, train
from calibkit.training.study.problem import make_problem

COST = "cost.json"
SIZES = ((64, 10), (1024, 1000))
REPEATS = 20
EPOCHS = 10

Ratios = dict[str, list[float]]


def measured_cost(folder: Path, data: AnyPath, shared: Shared) -> Ratios:
    """Ratios of smoothed to hard, measured once and kept in the study's folder."""
    path = folder / COST
    with suppress(OSError, ValueError):
        held = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(held, dict) and held.get("repeats") == REPEATS:
            ratios: Ratios = held["ratios"]
            return ratios
    with limited_threads(1):
        found = {**_training_cost(data, shared), **_loss_cost()}
    write_text(path, json.dumps({"repeats": REPEATS, "ratios": found}, indent=1) + "\n")
    return found


def _training_cost(data: AnyPath, shared: Shared) -> Ratios:
    """Wall time of whole epochs, and the peak memory of one step's forward and backward pass."""
    cells = [Cell(seed=0, smoothing=e) for e in (0.0, TEXTBOOK)]
    problem = make_problem(data, cells[0], train_rows=shared.train_rows)
    epochs = min(EPOCHS, shared.epochs)

    def trainer(cell: Cell) -> Callable[[], object]:
        return lambda: train(make_network(problem, cell, shared), problem, cell, shared, epochs=epochs)

    found = {"training, wall time": time_ratios(trainer(cells[0]), trainer(cells[1]), repeats=REPEATS)}
    if resolve_device(shared.device).type != "cpu":
        return found
    network = make_network(problem, cells[0], shared)
    inputs, labels = problem.inputs[: shared.batch_size], problem.given[: shared.batch_size]

    def step(e: float) -> Callable[[], None]:
        def run() -> None:
            network.zero_grad(set_to_none=True)
            label_smoothing_cross_entropy(network(inputs), labels, smoothing=e).backward()  # type: ignore[no-untyped-call]

        return run

    return {**found, "training, peak memory of a step": [peak_bytes(step(TEXTBOOK)) / peak_bytes(step(0.0))]}


def _loss_cost() -> Ratios:
    """The loss alone, forward and backward, at a small and at a middling size."""
    found: Ratios = {}
    for n, k in SIZES:
        logits = torch.randn(n, k, generator=torch.Generator().manual_seed(0)).requires_grad_()
        labels = torch.arange(n) % k

        def step(e: float, logits: torch.Tensor = logits, labels: torch.Tensor = labels) -> Callable[[], None]:
            def run() -> None:
                logits.grad = None
                label_smoothing_cross_entropy(logits, labels, smoothing=e).backward()  # type: ignore[no-untyped-call]

            return run

        found[f"the loss alone, {n:,} x {k:,}, wall time"] = time_ratios(step(0.0), step(TEXTBOOK), repeats=REPEATS)
        found[f"the loss alone, {n:,} x {k:,}, peak memory"] = [peak_bytes(step(TEXTBOOK)) / peak_bytes(step(0.0))]
    return found


def time_ratios(one: Callable[[], object], other: Callable[[], object], *, repeats: int) -> list[float]:
    """Time of the other over that of the one, measured in turn; the order changes each time."""
    one()
    other()
    ratios = []
    for number in range(repeats):
        order = (one, other) if number % 2 == 0 else (other, one)
        taken = {}
        for function in order:
            start = perf_counter()
            function()
            taken[function] = perf_counter() - start
        ratios.append(taken[other] / taken[one])
    return ratios


def peak_bytes(step: Callable[[], object]) -> int:
    """Most bytes of CPU tensors that a step holds at once, beyond what was there before it."""
    step()
    with _silent(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    live = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what torch's profiler writes to the process's standard error from the user."""
    try:
        kept = os.dup(2)
    except OSError:  # closed by whoever started us
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - its descriptor is wanted
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
