"""The exponential moving average of a network's weights along its training. Annex: training."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from calibkit._checks import check_real
from calibkit.training.checkpoints import bare

Tensors = tuple[Tensor, ...] | list[Tensor]


def check_ema(ema: float | None) -> float | None:
    """Return a decay in (0, 1), or None: no average."""
    return None if ema is None else check_real(ema, option="ema", low=0.0, high=1.0)


class Average:
    """An average of the weights, or, with a decay of None, the weights themselves.

    The average begins as the weights after the first step, and each later step moves it by 1 - decay of the way:
    ``a = decay a + (1 - decay) w``. Running statistics of the network, such as those of batch normalisation, are
    averaged alike; buffers of whole numbers and truth values are copied.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.model = model
        self.averaged: AveragedModel | None = None
        if decay is not None:
            check_ema(decay)
            self.averaged = AveragedModel(bare(model), multi_avg_fn=_moved(decay), use_buffers=True)

    @property
    def network(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.model if self.averaged is None else self.averaged.module

    def update(self) -> None:
        """Follow one step of the weights."""
        if self.averaged is not None:
            self.averaged.update_parameters(bare(self.model))

    def state_dict(self) -> dict[str, Any] | None:
        """What resuming needs."""
        return None if self.averaged is None else self.averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Take up what `state_dict` gave."""
        if self.averaged is not None and state is not None:
            self.averaged.load_state_dict(state)


def _moved(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """The moving average of torch for floats; whole numbers are copied, for rounding would make 7 of 6.99."""
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def update(averaged: Tensors, current: Tensors, n_averaged: Tensor | int) -> None:
        """Move all tensors of one type."""
        if averaged[0].is_floating_point() or averaged[0].is_complex():
            move(averaged, current, n_averaged)
            return
        for target, source in zip(averaged, current, strict=True):
            target.copy_(source)

    return update
