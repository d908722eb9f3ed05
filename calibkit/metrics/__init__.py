"""The registry: every number that a model can be given, with orientation, bounds, meaning and words. Floor 2."""

from collections.abc import Mapping
from types import MappingProxyType

from calibkit.metrics.calibration_tests import TESTS, CalibrationTest
from calibkit.metrics.metric import QUESTIONS, Metric, Orientation
from calibkit.metrics.on_request import ON_REQUEST
from calibkit.metrics.standard import STANDARD

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in (*STANDARD, *ON_REQUEST)})

__all__ = ["METRICS", "QUESTIONS", "TESTS", "CalibrationTest", "Metric", "Orientation"]
