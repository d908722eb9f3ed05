"""The benchmark of tensors on a device: contenders that compute the same, its table, and what is said without one."""

import pytest
import torch

from benchmarks import gpu_evaluate
from benchmarks.gpu_loss import Cost
from benchmarks.loss import batch
from calibkit.integrations.torch import evaluate

pytest.importorskip("torchmetrics")


def test_the_contenders_compute_the_same():
    logits, labels = batch(300, 20, torch.float32)
    peers = gpu_evaluate.peers(logits.detach(), labels)
    ours = evaluate(labels=labels, logits=logits)
    for name, value in peers.items():
        assert float(value) == pytest.approx(ours[name].value, abs=1e-6)


def test_the_table_of_a_small_case():
    lines = list(gpu_evaluate.lines(64, 10, torch.bfloat16, n_runs=1, device="cpu"))
    assert [one.split(" | ")[2] for one in lines] == list(gpu_evaluate.works(torch.empty(0, 2), torch.empty(0)))
    assert {one.count("|") for one in lines} == {len(gpu_evaluate.COLUMNS) + 1}


def test_one_reading_at_the_speed_of_a_copy_has_a_share_of_1():
    logits = torch.zeros(1_000, 250)  # 1 MB: a copy of a half moves 1
    copy, peer = Cost(seconds=2e-3, peak_bytes=0), Cost(seconds=8e-3, peak_bytes=0)
    shown = gpu_evaluate.cells(Cost(seconds=4e-3, peak_bytes=0), peer, copy, logits=logits, copied=500_000)
    assert shown == ("4.000 ms", "0.50", "", "50%")
    assert gpu_evaluate.cells(None, peer, copy, logits=logits, copied=1) == ("out of memory", "", "", "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says that there is no CUDA device where there is none")
def test_without_a_device_it_says_so(monkeypatch):
    monkeypatch.setattr("sys.argv", ["gpu_evaluate"])
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu_evaluate.main()
