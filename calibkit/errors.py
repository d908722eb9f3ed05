"""What calibkit complains with. Floor 0.

Every error that a user's input can cause is a `CalibkitError`, which is a `ValueError`. A message says what is
wrong, where (file, row, class), the value that was found, and how to mend it.
"""


class CalibkitError(ValueError):
    """A user's input, option or environment that calibkit refuses; the base of all errors below."""


class OptionError(CalibkitError):
    """An option has a value that is not allowed (``n_bins=0``, an unknown view)."""


class InputFormatError(CalibkitError):
    """A file or array is of a kind that cannot be read, is truncated, or does not hold what was named."""


class LimitError(InputFormatError):
    """A file claims to be larger than it is, or than the stated limit."""


class DataError(CalibkitError):
    """Values that cannot be what they are said to be: NaN, a probability above 1, a row that sums to 3."""


class LabelError(DataError):
    """A label that is not one of the classes."""


class ShapeError(DataError):
    """Arrays whose shapes do not fit each other or the view that was asked for."""


class MissingExtraError(CalibkitError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""


class OutputError(CalibkitError, OSError):
    """A result could not be written; what stood there before is untouched."""
