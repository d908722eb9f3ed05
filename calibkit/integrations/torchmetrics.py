"""A torchmetrics.Metric: calibration in a MetricCollection. Annex: integrations; needs torchmetrics."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from calibkit._checks import check_choice
from calibkit.errors import MissingExtraError, OptionError
from calibkit.evaluation import Evaluation
from calibkit.integrations.names import USUAL, check_names
from calibkit.integrations.torch import CalibrationMetric

try:
    from torchmetrics import Metric
except ImportError as error:
    raise MissingExtraError(
        "calibkit.integrations.torchmetrics needs torchmetrics: pip install torchmetrics"
    ) from error


class Calibration(Metric):  # type: ignore[misc, unused-ignore]
    """Calibration as a ``torchmetrics.Metric``: ``update(preds, target)``, and ``compute()`` gives a dict of tensors.

    Parameters
    ----------
    preds : {"logits", "probs"}
        What the forecasts are, (n, k), or (n,) for class 1 of two. It is said, never guessed.
    values : sequence of str, default ("accuracy", "ece", "nll", "brier")
        Which metrics `compute` gives, as ``calibkit.METRICS`` names them.
    options
        Keywords of `calibkit.integrations.torch.CalibrationMetric`: view, n_bins, ignore_index, ...; other keywords are
        those of ``torchmetrics.Metric``.

    Attributes
    ----------
    metric : CalibrationMetric
        What holds the sums.

    Raises
    ------
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    The sums are exact integers, and are added over the processes of torch.distributed by `CalibrationMetric`, unless
    ``sync_on_compute=False``. `evaluation` has intervals, the reliability curve and notes.

    Examples
    --------
    >>> from torchmetrics import MetricCollection
    >>> collection = MetricCollection({"calibration": Calibration(preds="probs", values=("accuracy", "brier"))})
    >>> collection.update(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([1, 1]))
    >>> {name: value.item() for name, value in collection.compute().items()}
    {'accuracy': 0.5, 'brier': 0.3125}
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    def __init__(
        self,
        *,
        preds: Literal["logits", "probs"],
        values: Sequence[str] = USUAL,
        n_classes: int | None = None,
        view: Literal["top-label", "positive"] | None = None,
        n_bins: int = 15,
        edges: Literal["right", "left"] = "right",
        ignore_index: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.preds = check_choice(preds, ("logits", "probs"), option="preds")
        self.values = check_names(values, option="values")
        self._options: dict[str, Any] = {
            "n_classes": n_classes,
            "view": view,
            "n_bins": n_bins,
            "edges": edges,
            "ignore_index": ignore_index,
        }
        self.metric = CalibrationMetric(**self._options, processes="all" if self.sync_on_compute else "own")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch: forecasts (n, k) or (n,), and class numbers (n,)."""
        self.metric.update(labels=target, **{self.preds: preds})

    def compute(self) -> dict[str, Tensor]:
        """The metrics of all batches as float64 scalars."""
        return self._values_of(self.evaluation())

    def forward(self, preds: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Add a batch, and give the metrics of it alone."""
        self.update(preds, target)
        batch = CalibrationMetric(**self._options, confidence_level=None, processes="own")
        batch.update(labels=target, **{self.preds: preds})
        return self._values_of(batch.compute())

    def evaluation(self) -> Evaluation:
        """Every metric with its interval, the reliability curve and notes."""
        return self.metric.compute()

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.metric.reset()

    def _values_of(self, evaluation: Evaluation) -> dict[str, Tensor]:
        unknown = [name for name in self.values if name not in evaluation.metrics]
        if unknown:
            raise OptionError(f"values: no metric {unknown[0]!r} here; there are {', '.join(evaluation.metrics)}.")
        return {name: torch.tensor(evaluation[name].value, dtype=torch.float64) for name in self.values}
