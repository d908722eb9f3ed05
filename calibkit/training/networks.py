"""The network that runs and the demo train: a multilayer perceptron with seeded weights. Annex: training."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from calibkit._checks import check_int, check_seed
from calibkit.training.devices import borrowed_generators, seed_device

CPU = torch.device("cpu")


def mlp(n_inputs: int, n_classes: int, *, hidden: Sequence[int] = (512, 512), seed: int = 0) -> nn.Sequential:
    """Multilayer perceptron with ReLU: inputs (n, d) to logits (n, k).

    Parameters
    ----------
    n_inputs, n_classes : int
        Widths d and k of its ends.
    hidden : sequence of int, default (512, 512)
        Widths of the layers between; empty for a linear classifier.
    seed : int, default 0
        Decides the initial weights, on every device alike: they are drawn on the CPU.

    Returns
    -------
    torch.nn.Sequential
        On the CPU, in torch's default initialisation. torch's global random state is left alone.

    Raises
    ------
    OptionError
        If a width is below 1, there are fewer than 2 classes, or the seed is negative.

    Examples
    --------
    >>> mlp(64, 10, hidden=(32,))
    Sequential(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=10, bias=True)
    )
    """
    widths = [check_int(n_inputs, option="n_inputs", low=1), *check_hidden(hidden)]
    layers: list[nn.Module] = []
    with borrowed_generators(CPU):
        seed_device(CPU, check_seed(seed))
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU()]
        layers.append(nn.Linear(widths[-1], check_int(n_classes, option="n_classes", low=2)))
    return nn.Sequential(*layers)


def check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    """Return the widths of the hidden layers, each at least 1."""
    return tuple(check_int(width, option="hidden", low=1) for width in hidden)
