"""Train with and without label smoothing, and predict: an annex that needs torch. Nothing else in calibkit does."""

from calibkit.errors import MissingExtraError

try:
    import torch  # noqa: F401 - the rooms below need it
except ImportError as error:
    raise MissingExtraError('calibkit.training needs torch: pip install "calibkit[train]"') from error

from calibkit.training.binary import BinaryLabelSmoothingCrossEntropy, binary_label_smoothing_cross_entropy
from calibkit.training.calibrators import CalibratorModule
from calibkit.training.checkpoint_predictions import predict_checkpoint
from calibkit.training.checkpoints import load_weights, save_weights
from calibkit.training.devices import resolve_device
from calibkit.training.history import Epoch, FitResult
from calibkit.training.inference import predict
from calibkit.training.loop import fit
from calibkit.training.losses import (
    BrierLoss,
    ConfidencePenaltyCrossEntropy,
    FocalLoss,
    MarginLabelSmoothing,
    brier_loss,
    confidence_penalty_cross_entropy,
    focal_loss,
    margin_label_smoothing_loss,
)
from calibkit.training.networks import mlp
from calibkit.training.runs import train_run, train_twins
from calibkit.training.schedules import SmoothingSchedule
from calibkit.training.smoothing import LabelSmoothingCrossEntropy, label_smoothing_cross_entropy
from calibkit.training.study import Study, run_study
from calibkit.training.targets import smooth_targets, smoothed_loss_floor, smoothing_from_others

__all__ = [  # noqa: RUF022 - grouped by what a reader looks for
    # the loss
    "LabelSmoothingCrossEntropy",
    "label_smoothing_cross_entropy",
    "BinaryLabelSmoothingCrossEntropy",
    "binary_label_smoothing_cross_entropy",
    "smooth_targets",
    "smoothed_loss_floor",
    "smoothing_from_others",
    "SmoothingSchedule",
    # its relatives
    "ConfidencePenaltyCrossEntropy",
    "confidence_penalty_cross_entropy",
    "FocalLoss",
    "focal_loss",
    "MarginLabelSmoothing",
    "margin_label_smoothing_loss",
    "BrierLoss",
    "brier_loss",
    # training and predicting
    "fit",
    "FitResult",
    "Epoch",
    "predict",
    "predict_checkpoint",
    "save_weights",
    "load_weights",
    "resolve_device",
    # recalibration
    "CalibratorModule",
    # whole runs
    "train_run",
    "train_twins",
    "mlp",
    # many runs
    "run_study",
    "Study",
]
