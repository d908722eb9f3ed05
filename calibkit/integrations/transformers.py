"""A ``compute_metrics`` for the Trainer of transformers, of whole arrays or batch after batch. Annex: integrations."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from calibkit._checks import check_choice
from calibkit.errors import InputFormatError
from calibkit.evaluation import Evaluation
from calibkit.integrations.names import USUAL, check_names
from calibkit.integrations.torch import CalibrationMetric


class ComputeCalibration:
    """Calibration as the ``compute_metrics`` of ``transformers.Trainer``, with ``batch_eval_metrics=True`` too.

    Parameters
    ----------
    values : sequence of str, default ("accuracy", "ece", "nll", "brier")
        Which metrics are given, as ``calibkit.METRICS`` names them; the Trainer logs them as ``eval_ece``.
    predictions : {"logits", "probs"}, default "logits"
        What the model's predictions are; classifiers of transformers give logits.
    ignore_index : int, default -100
        Rows with this label are left out: padded tokens.
    options
        Keywords of `calibkit.integrations.torch.CalibrationMetric`.

    Attributes
    ----------
    evaluation : Evaluation or None
        The last evaluation, with intervals, reliability curve and notes.

    Raises
    ------
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Predictions (n, k) and labels (n,), or one of each a token: (n, tokens, k) and (n, tokens). The labels of a causal
    language model are those of the next token: shift them in ``preprocess_logits_for_metrics`` or in the data. The
    Trainer hands each process the rows of all, each once; so nothing is added over processes here.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rows = SimpleNamespace(predictions=np.array([[2.0, 0.0], [0.0, 1.0]]), label_ids=np.array([0, 0]))
    >>> ComputeCalibration(values=("accuracy",))(rows)
    {'accuracy': 0.5}
    """

    def __init__(
        self,
        *,
        values: Sequence[str] = USUAL,
        predictions: Literal["logits", "probs"] = "logits",
        ignore_index: int = -100,
        **options: Any,
    ) -> None:
        self.values = check_names(values, option="values")
        self.predictions = check_choice(predictions, ("logits", "probs"), option="predictions")
        self.evaluation: Evaluation | None = None
        self._metric = CalibrationMetric(ignore_index=ignore_index, processes="own", **options)

    def __call__(self, eval_prediction: Any, *, compute_result: bool = True) -> dict[str, float]:
        """Add a batch, or all rows; when told to, give the metrics of all and begin anew."""
        forecast, labels = _tensor(eval_prediction.predictions), _tensor(eval_prediction.label_ids)
        self._metric.update(labels=labels.flatten(), **{self.predictions: _rows(forecast, labels)})
        if not compute_result:
            return {}
        try:
            self.evaluation = self._metric.compute()
        finally:
            self._metric.reset()
        return {name: self.evaluation[name].value for name in self.values}


def _tensor(values: Any) -> Tensor:
    """Predictions or labels as a tensor."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, np.ndarray) and values.dtype != object:
        return torch.from_numpy(np.ascontiguousarray(values))
    raise InputFormatError(
        f"predictions and label_ids: expected one array each, got {type(values).__name__}. A model with several "
        "outputs needs preprocess_logits_for_metrics, which picks the logits."
    )


def _rows(forecast: Tensor, labels: Tensor) -> Tensor:
    """One row a label, the classes last."""
    return forecast.flatten(0, -2) if forecast.ndim > labels.ndim else forecast.flatten()
