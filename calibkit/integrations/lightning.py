"""A Lightning callback: calibration at the end of every validation and test. Annex: integrations; needs lightning."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from calibkit.errors import InputFormatError, MissingExtraError
from calibkit.evaluation import Evaluation
from calibkit.integrations.names import USUAL, check_names
from calibkit.integrations.torch import CalibrationMetric

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise MissingExtraError("calibkit.integrations.lightning needs lightning: pip install lightning") from error


class CalibrationCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Evaluates what ``validation_step`` and ``test_step`` return, and logs it when the epoch ends.

    Parameters
    ----------
    logits, probs : str, optional
        Key of the forecasts in the dict that a step returns: (n, k), or (n,) for class 1 of two. One of them, default
        ``logits="logits"``.
    labels : str, default "labels"
        Key of the class numbers (n,).
    ids : str, optional
        Key of each row's number in the dataset: a row that a sampler repeats in several processes then counts once.
    log : sequence of str, default ("accuracy", "ece", "nll", "brier")
        Metrics that are logged, as ``val_ece`` and ``test_ece``, with ``/1`` and so on for further loaders.
    options
        Keywords of `calibkit.integrations.torch.CalibrationMetric`.

    Attributes
    ----------
    evaluations : dict of str to Evaluation
        The last evaluation of each stage: "val", "test", "val/1" for a second loader.

    Raises
    ------
    InputFormatError
        If a step returns no dict with these keys.
    OptionError
        If an option has a value that is not allowed.

    Examples
    --------
    >>> callback = CalibrationCallback(probs="p", n_bins=10)
    >>> callback.evaluations
    {}
    """

    def __init__(
        self,
        *,
        logits: str | None = None,
        probs: str | None = None,
        labels: str = "labels",
        ids: str | None = None,
        log: Sequence[str] = USUAL,
        **options: Any,
    ) -> None:
        super().__init__()
        forecast = {"probs": probs} if probs is not None and logits is None else {"logits": logits or "logits"}
        if probs is not None and logits is not None:
            raise InputFormatError("logits and probs are both named; a forecast is one of them.")
        keys: dict[str, str | None] = {"labels": labels, "ids": ids, **forecast}
        self.keys = {role: key for role, key in keys.items() if key is not None}
        self.log_names, self.options = check_names(log, option="log"), options
        self.evaluations: dict[str, Evaluation] = {}
        self._metrics: dict[str, CalibrationMetric] = {}
        CalibrationMetric(**options)  # complains now rather than after an epoch

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning calls it so
        """Forget the epoch before."""
        self._metrics.clear()

    def on_test_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Forget the epoch before."""
        self._metrics.clear()

    def on_validation_batch_end(
        self,
        trainer: Any,  # noqa: ARG002 - Lightning calls it so
        pl_module: Any,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        self._add("val", outputs, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Any,  # noqa: ARG002
        pl_module: Any,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        self._add("test", outputs, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Evaluate, and log."""
        self._finish(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Evaluate, and log."""
        self._finish(trainer, pl_module)

    def _add(self, stage: str, outputs: Any, loader: int) -> None:
        held = ", ".join(map(str, outputs)) if isinstance(outputs, Mapping) else type(outputs).__name__
        missing = [key for key in self.keys.values() if not isinstance(outputs, Mapping) or key not in outputs]
        if missing:
            step = "validation_step" if stage == "val" else "test_step"
            raise InputFormatError(f"{step} returned {held}; expected a dict with {', '.join(self.keys.values())}.")
        rows: dict[str, Tensor] = {role: outputs[key] for role, key in self.keys.items()}
        name = f"{stage}/{loader}" if loader else stage
        metric = self._metrics.setdefault(name, CalibrationMetric(**self.options))
        metric.update(**rows)

    def _finish(self, trainer: Any, pl_module: Any) -> None:
        for name, metric in self._metrics.items():
            evaluation = metric.compute()
            if trainer.sanity_checking:
                continue
            self.evaluations[name] = evaluation
            stage, _, loader = name.partition("/")
            suffix = f"/{loader}" if loader else ""
            values = {f"{stage}_{one}{suffix}": evaluation[one].value for one in self.log_names}
            # Every process has the same numbers already; their mean is the same, and Lightning does not warn.
            pl_module.log_dict(values, sync_dist=True)
