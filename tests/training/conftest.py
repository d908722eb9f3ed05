"""Every test of training runs on one CPU thread: small tensors gain nothing from more, and busy machines lose."""

import sys
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_compiled_code() -> Iterator[None]:
    """torch.compile refuses one function for more than 8 kinds of caller, and tests of one process add up."""
    yield
    if "torch._dynamo" in sys.modules:  # loading it only to reset it takes seconds
        torch.compiler.reset()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(request.param)
