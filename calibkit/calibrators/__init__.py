"""Calibrators: maps from forecasts to better calibrated ones, by scikit-learn's protocol. Floor 2."""

from calibkit.calibrators.applying import calibrate, cross_calibrate, fit_calibrator
from calibkit.calibrators.beta import BetaCalibration
from calibkit.calibrators.calibrator import Calibrator
from calibkit.calibrators.dirichlet import DirichletCalibration
from calibkit.calibrators.ensemble import EnsembleTemperatureScaling
from calibkit.calibrators.histogram import HistogramBinning
from calibkit.calibrators.isotonic import IsotonicCalibration
from calibkit.calibrators.methods import METHODS
from calibkit.calibrators.platt import PlattScaling
from calibkit.calibrators.saving import load_calibrator
from calibkit.calibrators.temperature import TemperatureScaling
from calibkit.calibrators.vector import VectorScaling

__all__ = [
    "METHODS",
    "BetaCalibration",
    "Calibrator",
    "DirichletCalibration",
    "EnsembleTemperatureScaling",
    "HistogramBinning",
    "IsotonicCalibration",
    "PlattScaling",
    "TemperatureScaling",
    "VectorScaling",
    "calibrate",
    "cross_calibrate",
    "fit_calibrator",
    "load_calibrator",
]
