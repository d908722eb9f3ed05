"""Samples that need no generator, so that another package's answers to them can be written down."""

import numpy as np


def sequence(n, power, digits=None, squeeze=1.0):
    """Labels and forecasts from fractional parts of multiples of irrational numbers; calibrated at power 1."""
    i = np.arange(1, n + 1)
    forecast = ((i * np.sqrt(2)) % 1) ** squeeze
    if digits is not None:
        forecast = forecast.round(digits)
    return ((i * np.sqrt(3)) % 1 < forecast**power).astype(int), forecast
