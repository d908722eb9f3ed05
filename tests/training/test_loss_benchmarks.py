"""Benchmarks of the loss: all contenders compute the same, and the arithmetic of the tables."""

from pathlib import Path

import pytest
import torch

from benchmarks import gpu_loss, loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_contenders_have_the_same_value_and_gradient(dtype):
    logits, labels = loss.batch(64, 100, dtype)
    found = {}
    for name, each in gpu_loss.losses(dtype).items():
        value = each(logits, labels)
        found[name] = float(value.detach()), torch.autograd.grad(value, logits)[0].float()
    value, gradient = found["calibkit"]
    for name, (other, its_gradient) in found.items():
        tolerance = 0.01 if name == "torch" and dtype == torch.bfloat16 else 1e-5
        assert other == pytest.approx(value, rel=tolerance)
        torch.testing.assert_close(its_gradient, gradient, rtol=0, atol=1e-4)


def test_a_step_leaves_no_gradient():
    logits, labels = loss.batch(8, 5, torch.float32)
    loss.step(loss.contenders()["calibkit"], logits, labels)
    assert logits.grad is None


def test_the_table_of_a_small_case():
    header, rule, row = loss.table(((64, 10, torch.float32),), n_runs=1)
    assert header.count("|") == rule.count("|") == row.count("|")
    assert row.startswith("| 64 x 10 | float32 |")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_gradient_is_all_that_ours_adds():
    assert loss.peak("calibkit", 256, 32_000, torch.float32) == pytest.approx(1.0, abs=0.25)  # 33 MB


def test_a_step_that_moves_the_least_at_the_speed_of_a_copy_has_a_share_of_1():
    logits = torch.zeros(1_000, 250)  # 1 MB: a copy moves 2, a step 3
    assert gpu_loss.least_bytes(logits) == 3_000_000
    copy = gpu_loss.Cost(seconds=2e-3, peak_bytes=0)
    step = gpu_loss.Cost(seconds=6e-3, peak_bytes=1_500_000)
    assert gpu_loss.share_of_copy(3_000_000, 3e-3, 2e-3, logits.nbytes) == pytest.approx(1.0)
    cells = gpu_loss.cells(step, gpu_loss.Cost(seconds=8e-3, peak_bytes=3_000_000), copy, logits)
    assert cells == ("6.000 ms", "0.75", "1.50x", "50%")
    assert gpu_loss.cells(None, step, copy, logits) == ("out of memory", "", "", "")


def test_memory_that_runs_out_is_said():
    def fails():
        raise torch.OutOfMemoryError

    found = gpu_loss.costs({"fine": lambda: None, "fails": fails}, 1, "cpu")
    assert found["fails"] is None
    assert found["fine"] is not None


def test_the_rows_of_a_case():
    lines = list(gpu_loss.rows(32, 10, torch.bfloat16, n_runs=1, device="cpu"))
    assert [text.split(" | ")[2] for text in lines][:3] == ["calibkit", "torch", "torch, widened"]
    assert {text.count("|") for text in lines} == {len(gpu_loss.COLUMNS) + 1}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_it_says_so_and_measures_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu_loss"])
    with pytest.raises(SystemExit, match=r"needs a CUDA device; torch .* sees none: not run\."):
        gpu_loss.main()
    assert capsys.readouterr().out == ""
