"""CalibrationState: an evaluation of any number of rows in constant memory. Floor 3."""

from calibkit.state.settings import StateSettings
from calibkit.state.sources import Source
from calibkit.state.state import CalibrationState

__all__ = ["CalibrationState", "Source", "StateSettings"]
