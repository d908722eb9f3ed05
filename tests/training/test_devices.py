"""Devices are what was asked for, or an error."""

import pytest
import torch

from calibkit.errors import OptionError
from calibkit.training import resolve_device
from calibkit.training.devices import borrowed_generators, limited_threads, seed_device

CPU = torch.device("cpu")


def test_cpu_is_cpu():
    assert resolve_device("cpu") == resolve_device(CPU) == CPU


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(OptionError, match="there are 2 CUDA devices"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", torch.device("cuda")])
def test_cuda_without_cuda_is_an_error(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no CUDA device is available to torch"):
        resolve_device(name)


def test_mps_without_mps_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no Apple MPS device"):
        resolve_device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cpu:zero", None])
def test_unknown_devices(name):
    with pytest.raises(OptionError, match=r'expected "auto", "cpu"'):
        resolve_device(name)


@pytest.mark.cuda
def test_cuda_has_a_number():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    assert resolve_device("cuda").index is not None
    assert resolve_device("auto").type == "cuda"


def test_seeds_decide_draws_and_the_state_is_put_back(device):
    def draw(*entropy):
        with borrowed_generators(device):
            seed_device(device, *entropy)
            return torch.rand(3, device=device).tolist() + torch.rand(2).tolist()

    before = torch.get_rng_state()
    assert draw(0, 1) == draw(0, 1)
    assert draw(0, 1) != draw(0, 2)
    assert draw(0, 1) != draw(1, 0)
    assert draw(2**70) == draw(2**70)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_are_put_back_after_an_error():
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), limited_threads(before + 1):
        _ = 1 / 0
    assert torch.get_num_threads() == before
