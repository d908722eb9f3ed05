"""The network's shape, and that its seed alone decides the weights."""

import pytest
import torch

from calibkit.errors import OptionError
from calibkit.training import mlp


def weights(seed, hidden=(7, 3)):
    return [parameter.detach() for parameter in mlp(5, 4, hidden=hidden, seed=seed).parameters()]


def test_widths():
    assert [tuple(w.shape) for w in weights(0)] == [(7, 5), (7,), (3, 7), (3,), (4, 3), (4,)]
    assert [tuple(w.shape) for w in weights(0, hidden=())] == [(4, 5), (4,)]
    assert mlp(5, 4)(torch.zeros(2, 5)).shape == (2, 4)


def test_the_seed_decides_the_weights_and_leaves_the_global_state():
    before = torch.get_rng_state()
    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((0, 4), {}), ((5, 1), {}), ((5, 4), {"hidden": (3, 0)}), ((5, 4), {"hidden": (2.5,)}), ((5, 4), {"seed": -1})],
)
def test_impossible_networks(arguments, options):
    with pytest.raises(OptionError):
        mlp(*arguments, **options)
