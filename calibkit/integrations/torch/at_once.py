"""An evaluation of tensors where they are. Annex: integrations."""

from typing import Literal

from torch import Tensor

from calibkit.evaluation import Evaluation
from calibkit.integrations.torch.metric import CalibrationMetric, View
from calibkit.one_pass import Rng, Which


def evaluate(
    *,
    labels: Tensor | None = None,
    logits: Tensor | None = None,
    probs: Tensor | None = None,
    predicted: Tensor | None = None,
    confidence: Tensor | None = None,
    correct: Tensor | None = None,
    weights: Tensor | None = None,
    view: View | None = None,
    n_bins: int = 15,
    edges: Literal["right", "left"] = "right",
    confidence_level: float | None = 0.95,
    rng: Rng = 0,
    ignore_index: int | None = None,
    name: str | None = None,
    metrics: Which = "standard",
) -> Evaluation:
    """Every calibration metric of tensors, with its interval, computed on their device.

    Parameters
    ----------
    labels, logits, probs, predicted, confidence, correct, weights
        As in `CalibrationMetric.update`: what is named says what it means.
    view, n_bins, edges, confidence_level, rng, ignore_index, name
        As in `CalibrationMetric`.
    metrics : {"standard", "all"}, default "standard"
        Whether to add the metrics on request that a state can give.

    Returns
    -------
    Evaluation
        What `calibkit.CalibrationState` gives for the same rows; ``settings["rows"]`` is "state".

    Raises
    ------
    InputFormatError, ShapeError, DataError, LabelError, OptionError
        As `CalibrationMetric` and `CalibrationMetric.compute`.

    Notes
    -----
    Logits are read twice, in blocks, in float32, bfloat16, float16 or float64, and no copy of them is made; only counts
    and sums leave the device. Of one process: `CalibrationMetric` has all processes of torch.distributed.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.1, 0.0], [0.0, 3.0, 0.5]])
    >>> evaluate(labels=torch.tensor([0, 2, 1]), logits=logits)["accuracy"].value.__round__(3)
    0.667
    """
    metric = CalibrationMetric(
        view=view,
        n_bins=n_bins,
        edges=edges,
        confidence_level=confidence_level,
        rng=rng,
        ignore_index=ignore_index,
        name=name,
        processes="own",
    )
    metric.update(
        labels=labels,
        logits=logits,
        probs=probs,
        predicted=predicted,
        confidence=confidence,
        correct=correct,
        weights=weights,
    )
    return metric.compute(metrics=metrics)
