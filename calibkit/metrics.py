"""The registry: every number that an evaluation can hold, with its orientation, bounds and meaning. Floor 3."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

from calibkit.calibration_error import expected_calibration_error
from calibkit.mean_scores import (
    accuracy,
    base_rate,
    brier_score,
    confidence_gap,
    mean_confidence,
    negative_log_likelihood,
)

Orientation = Literal["larger is better", "smaller is better", "nearer 0 is better", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of an evaluation: what it is called, computed by, and how it is read.

    Attributes
    ----------
    name : str
        Key in `Evaluation` and in JSON.
    title : str
        What a table prints.
    function : callable
        ``function(labels, probs, *, weights=None) -> float``, the public definition.
    kind : {"mean", "binned"}
        A mean of one score per row, or a function of a bin table.
    orientation : str
        Which direction is better.
    bounds : tuple of float
        Smallest and largest possible value (Brier: of the 2-D scale).
    meaning : str
        One sentence.
    """

    name: str
    title: str
    function: Callable[..., float]
    kind: Literal["mean", "binned"]
    orientation: Orientation
    bounds: tuple[float, float]
    meaning: str


_ALL = (
    Metric(
        name="accuracy",
        title="accuracy",
        function=accuracy,
        kind="mean",
        orientation="larger is better",
        bounds=(0.0, 1.0),
        meaning="Fraction of rows whose most probable class is the label.",
    ),
    Metric(
        name="base_rate",
        title="base rate",
        function=base_rate,
        kind="mean",
        orientation="neither",
        bounds=(0.0, 1.0),
        meaning="Fraction of rows whose label is 1 (view positive only).",
    ),
    Metric(
        name="mean_confidence",
        title="mean confidence",
        function=mean_confidence,
        kind="mean",
        orientation="neither",
        bounds=(0.0, 1.0),
        meaning="Mean probability of the predicted class; in view positive, mean P(y = 1).",
    ),
    Metric(
        name="gap",
        title="gap",
        function=confidence_gap,
        kind="mean",
        orientation="nearer 0 is better",
        bounds=(-1.0, 1.0),
        meaning="Mean confidence minus accuracy (view positive: minus base rate): above 0 is over-confident.",
    ),
    Metric(
        name="ece",
        title="ECE",
        function=partial(expected_calibration_error, norm="l1"),
        kind="binned",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Expected calibration error: mean absolute gap between confidence and accuracy over bins.",
    ),
    Metric(
        name="rmsce",
        title="RMS calibration error",
        function=partial(expected_calibration_error, norm="l2"),
        kind="binned",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Root of the mean squared gap over bins; large gaps count more than in ECE.",
    ),
    Metric(
        name="mce",
        title="MCE",
        function=partial(expected_calibration_error, norm="max"),
        kind="binned",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Maximum calibration error: the largest gap of any bin, however few rows it holds.",
    ),
    Metric(
        name="nll",
        title="NLL",
        function=negative_log_likelihood,
        kind="mean",
        orientation="smaller is better",
        bounds=(0.0, float("inf")),
        meaning="Negative log-likelihood in nats: a proper score of the whole probability vector.",
    ),
    Metric(
        name="brier",
        title="Brier score",
        function=brier_score,
        kind="mean",
        orientation="smaller is better",
        bounds=(0.0, 2.0),
        meaning="Squared distance between the probability vector and the outcome: a bounded proper score.",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
