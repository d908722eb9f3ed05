"""CalibrationMetric in two gloo processes: the bits of one process that has all rows."""

import json

import pytest
import torch

import calibkit as ck
from tests.integrations import two_processes as two
from tests.processes import run_processes


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of two processes saw."""
    folder = tmp_path_factory.mktemp("two")
    run_processes("tests.integrations.two_processes", folder, two.WORLD)
    return [json.loads((folder / f"process{rank}.json").read_text()) for rank in range(two.WORLD)]


FORECASTS = {
    "weights": ("logits", "weights"),
    "probs": ("probs",),
    "device": ("probs", "weights"),
    "device, overlap": ("probs",),
    "top1": ("predicted", "confidence"),
}


def single(name):
    """The state of all rows in one process, by arrays."""
    forecast = FORECASTS.get(name, ("logits",))
    arrays = {role: two.rows()[role].numpy() for role in ("labels", *forecast)}
    state = ck.CalibrationState()
    state.update(getattr(ck.Predictions, f"from_{'top1' if name == 'top1' else forecast[0]}")(**arrays))
    return state


@pytest.mark.parametrize("name", [*two.same(0), *two.on_device(0)])
def test_both_processes_have_the_bits_of_one(processes, name):
    expected = single(name)
    for seen in processes:
        assert seen[name] == {"digest": expected.digest, "evaluation": expected.evaluation().to_dict()}


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("one has a bad value", ["DataError: Process 1 failed, so no process has a result", "DataError: probs row 3"]),
        ("another label", ["Row 0 came with label"] * 2),
        ("other bins", ["n_bins differs: 11 in process 1, 10 in the processes before it"] * 2),
        ("other kinds", ["kind differs"] * 2),
        ("ids in one", ["some processes have rows with ids and some without"] * 2),
        ("no rows", ["the state is empty"] * 2),
    ],
)
def test_what_is_wrong_in_one_process_is_an_error_in_both(processes, name, messages):
    for seen, message in zip(processes, messages, strict=True):
        assert message in seen[name]["error"]


def test_a_metric_of_one_process_asks_no_other(processes):
    state = two.fed("labels logits", torch.arange(5)).state()
    assert processes[1]["own"]["digest"] == state.digest
