"""Tests of calibration: could a calibrated model show this? Floor 2."""

from calibkit.goodness_of_fit.cox import CoxCalibration, cox, cox_calibration, cox_of, cox_test
from calibkit.goodness_of_fit.cumulative import cumulative, cumulative_calibration_error, cumulative_difference_test
from calibkit.goodness_of_fit.hosmer_lemeshow import hosmer_lemeshow, hosmer_lemeshow_test
from calibkit.goodness_of_fit.result import TestResult
from calibkit.goodness_of_fit.spiegelhalter import spiegelhalter, spiegelhalter_test

__all__ = [
    "CoxCalibration",
    "TestResult",
    "cox",
    "cox_calibration",
    "cox_of",
    "cox_test",
    "cumulative",
    "cumulative_calibration_error",
    "cumulative_difference_test",
    "hosmer_lemeshow",
    "hosmer_lemeshow_test",
    "spiegelhalter",
    "spiegelhalter_test",
]
