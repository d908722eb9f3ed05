"""Relatives of ECE over bins: without bias, by direction, with bins chosen by the data, by class, for top-k. Floor 2.

``debiased`` subtracts what noise adds to squared gaps, ``directions`` splits ECE, ``sweep`` chooses the number of bins,
``by_class`` bins each class alone, ``top_k`` asks whether the label is among the k most probable.
"""

from calibkit.binned.by_class import (
    ClassCalibration,
    class_calibration,
    class_conditional_calibration_error,
    classwise_calibration_error,
)
from calibkit.binned.debiased import debiased_calibration_error
from calibkit.binned.directions import over_confidence_error, under_confidence_error
from calibkit.binned.sweep import sweep_calibration_error
from calibkit.binned.top_k import top_k_calibration_error

__all__ = [
    "ClassCalibration",
    "class_calibration",
    "class_conditional_calibration_error",
    "classwise_calibration_error",
    "debiased_calibration_error",
    "over_confidence_error",
    "sweep_calibration_error",
    "top_k_calibration_error",
    "under_confidence_error",
]
