"""What is timed and counted for the claim of cost."""

import json

import torch

from calibkit.training.study import cost
from calibkit.training.study.cells import Shared

SHARED = Shared(epochs=1, hidden=(4,), batch_size=64, lr=2e-3, train_rows=100, device="cpu")


def test_peak_memory_counts_what_is_alive_at_once():
    kept = []

    def step():
        kept.clear()
        kept.append(torch.empty(1000))
        for _ in range(3):
            torch.empty(5000)
        kept.append(torch.empty(1000))

    assert 4 * 6000 <= cost.peak_bytes(step) <= 4 * 8000


def test_nothing_is_written_to_standard_error_while_memory_is_counted(capfd):
    cost.peak_bytes(lambda: torch.ones(10) + 1)
    assert capfd.readouterr().err == ""


def test_both_are_timed_in_turn_in_alternating_order():
    calls = []
    ratios = cost.time_ratios(lambda: calls.append("a"), lambda: calls.append("b"), repeats=3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert len(ratios) == 3
    assert all(ratio > 0 for ratio in ratios)


def test_costs_are_measured_once_and_again_where_the_record_is_torn(tmp_path, monkeypatch):
    first = cost.measured_cost(tmp_path, "digits", SHARED)
    assert {name for name in first if name.startswith("training")} == {
        "training, wall time",
        "training, peak memory of a step",
    }
    assert len(first["training, wall time"]) == cost.REPEATS
    monkeypatch.setattr(cost, "_training_cost", lambda *_: {"again": [1.0]})
    assert cost.measured_cost(tmp_path, "digits", SHARED) == first
    (tmp_path / cost.COST).write_text(json.dumps(first)[:20])
    assert "again" in cost.measured_cost(tmp_path, "digits", SHARED)
