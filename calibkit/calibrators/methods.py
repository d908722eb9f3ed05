"""The calibrators by the names of their methods. Floor 2."""

from collections.abc import Mapping
from types import MappingProxyType

from calibkit._checks import check_choice
from calibkit.calibrators.beta import BetaCalibration
from calibkit.calibrators.calibrator import Calibrator
from calibkit.calibrators.dirichlet import DirichletCalibration
from calibkit.calibrators.ensemble import EnsembleTemperatureScaling
from calibkit.calibrators.histogram import HistogramBinning
from calibkit.calibrators.isotonic import IsotonicCalibration
from calibkit.calibrators.platt import PlattScaling
from calibkit.calibrators.temperature import TemperatureScaling
from calibkit.calibrators.vector import VectorScaling

METHODS: Mapping[str, type[Calibrator]] = MappingProxyType(
    {
        "temperature": TemperatureScaling,
        "ensemble-temperature": EnsembleTemperatureScaling,
        "vector": VectorScaling,
        "dirichlet": DirichletCalibration,
        "platt": PlattScaling,
        "beta": BetaCalibration,
        "isotonic": IsotonicCalibration,
        "histogram": HistogramBinning,
    }
)


def method_of(calibrator: Calibrator) -> str:
    """Name of a calibrator's method.

    Examples
    --------
    >>> method_of(BetaCalibration())
    'beta'
    """
    return next(name for name, kind in METHODS.items() if type(calibrator) is kind)


def calibrator_class(method: str) -> type[Calibrator]:
    """Class of a method, by its name."""
    return METHODS[check_choice(method, tuple(METHODS), option="method")]
