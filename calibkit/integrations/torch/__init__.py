"""Calibration of tensors where they are: a metric for validation loops, and an evaluation at once. Needs torch."""

from calibkit.errors import MissingExtraError

try:
    import torch  # noqa: F401 - the rooms below need it
except ImportError as error:
    raise MissingExtraError('calibkit.integrations.torch needs torch: pip install "calibkit[train]"') from error

from calibkit.integrations.torch.at_once import evaluate
from calibkit.integrations.torch.metric import CalibrationMetric

__all__ = ["CalibrationMetric", "evaluate"]
