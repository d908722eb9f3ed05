"""Forecasts in general position, too sure and lopsided, whose labels are drawn from an honest forecast."""

import numpy as np

from calibkit.calibrators import METHODS


def rows(n_rows=400, n_classes=3, *, seed=0, sharpness=2.0):
    """Labels and logits (n, k) that are too sharp, and favour the last class."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(n_rows, n_classes)) * 1.2
    labels = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return labels, sharpness * honest + 0.4 * np.arange(n_classes)


def softmax(scores):
    terms = np.exp(scores - scores.max(axis=1, keepdims=True))
    return terms / terms.sum(axis=1, keepdims=True)


def given(n_classes, kind, *, flat=False, n_rows=400, seed=0):
    """Labels and a forecast of a kind; flat: the 1-D one of two classes."""
    labels, logits = rows(n_rows, n_classes, seed=seed)
    values = logits if kind == "logits" else softmax(logits)
    if flat:
        values = logits[:, 1] - logits[:, 0] if kind == "logits" else values[:, 1]
    return labels, values


def every_calibrator(**options):
    """One calibrator of each method."""
    return [kind(**{k: v for k, v in options.items() if k in kind._get_param_names()}) for kind in METHODS.values()]


def name(calibrator):
    return type(calibrator).__name__
