"""The registry: every number that a model can be given, with orientation, bounds, meaning and words. Floor 2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

from calibkit.calibration_error import Norm, expected_calibration_error
from calibkit.mean_scores import (
    accuracy,
    base_rate,
    brier_score,
    confidence_gap,
    mean_confidence,
    negative_log_likelihood,
)
from calibkit.selective import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    confidence_auroc,
    excess_area_under_risk_coverage,
)

Orientation = Literal["larger is better", "smaller is better", "nearer 0 is better", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number: what it is called, computed by, and how it is read.

    Attributes
    ----------
    name : str
        Key in `Evaluation` and in JSON.
    title : str
        What a table prints.
    function : callable
        ``function(labels, probs, *, weights=None) -> float``, the public definition.
    kind : {"mean", "binned", "ranking"}
        A mean of one score per row, a function of a bin table, or of the order of the rows by confidence.
    orientation : str
        Which direction is better.
    bounds : tuple of float
        Smallest and largest possible value (Brier: of the 2-D scale).
    meaning : str
        One sentence.
    reading : str
        A few words beside the number: how to read it.
    norm : {"l1", "l2", "max"} or None
        Of a function of bin tables, which.
    positive_title, positive_reading : str or None
        Title and reading in view positive, where they differ.
    on_request : bool
        Whether `evaluate` leaves it out, and its function alone computes it.
    undefined : str or None
        Where it is NaN although there are rows, if anywhere.
    """

    name: str
    title: str
    function: Callable[..., float]
    kind: Literal["mean", "binned", "ranking"]
    orientation: Orientation
    bounds: tuple[float, float]
    meaning: str
    reading: str
    norm: Norm | None = None
    positive_title: str | None = None
    positive_reading: str | None = None
    on_request: bool = False
    undefined: str | None = None


_ALL = (
    Metric(
        name="accuracy",
        title="accuracy",
        function=accuracy,
        kind="mean",
        orientation="larger is better",
        bounds=(0.0, 1.0),
        meaning="Fraction of rows whose most probable class is the label.",
        reading="higher is better",
    ),
    Metric(
        name="base_rate",
        title="base rate",
        function=base_rate,
        kind="mean",
        orientation="neither",
        bounds=(0.0, 1.0),
        meaning="Fraction of rows whose label is 1 (view positive only).",
        reading="share of rows with y = 1",
    ),
    Metric(
        name="mean_confidence",
        title="mean confidence",
        function=mean_confidence,
        kind="mean",
        orientation="neither",
        bounds=(0.0, 1.0),
        meaning="Mean probability of the predicted class; in view positive, mean P(y = 1).",
        reading="calibrated: equals accuracy",
        positive_title="mean P(y = 1)",
        positive_reading="calibrated: equals base rate",
    ),
    Metric(
        name="gap",
        title="gap",
        function=confidence_gap,
        kind="mean",
        orientation="nearer 0 is better",
        bounds=(-1.0, 1.0),
        meaning="Mean confidence minus accuracy (view positive: minus base rate): above 0 is over-confident.",
        reading="+ over-, - under-confident",
        positive_reading="+ forecasts too high, - too low",
    ),
    Metric(
        name="ece",
        title="ECE",
        function=partial(expected_calibration_error, norm="l1"),
        kind="binned",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Expected calibration error: mean absolute gap between confidence and accuracy over bins.",
        reading="mean |gap| of bins, 0 is best",
        norm="l1",
    ),
    Metric(
        name="rmsce",
        title="RMSCE",
        function=partial(expected_calibration_error, norm="l2"),
        kind="binned",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Root of the mean squared gap over bins; large gaps count more than in ECE.",
        reading="root mean square gap of bins",
        norm="l2",
    ),
    Metric(
        name="mce",
        title="MCE",
        function=partial(expected_calibration_error, norm="max"),
        kind="binned",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Maximum calibration error: the largest gap of any bin, however few rows it holds.",
        reading="largest gap of any bin",
        norm="max",
    ),
    Metric(
        name="nll",
        title="NLL",
        function=negative_log_likelihood,
        kind="mean",
        orientation="smaller is better",
        bounds=(0.0, float("inf")),
        meaning="Negative log-likelihood in nats: a proper score of the whole probability vector.",
        reading="nats, lower is better",
    ),
    Metric(
        name="brier",
        title="Brier score",
        function=brier_score,
        kind="mean",
        orientation="smaller is better",
        bounds=(0.0, 2.0),
        meaning="Squared distance between the probability vector and the outcome: a bounded proper score.",
        reading="lower is better",
    ),
    Metric(
        name="aurc",
        title="AURC",
        function=area_under_risk_coverage,
        kind="ranking",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Area under the risk-coverage curve: error rate of the most confident rows, averaged over how many.",
        reading="lower is better",
        on_request=True,
    ),
    Metric(
        name="excess_aurc",
        title="E-AURC",
        function=excess_area_under_risk_coverage,
        kind="ranking",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="AURC above that of the best ranking of the same answers.",
        reading="0: every error is less confident",
        on_request=True,
    ),
    Metric(
        name="augrc",
        title="AUGRC",
        function=area_under_generalized_risk_coverage,
        kind="ranking",
        orientation="smaller is better",
        bounds=(0.0, 0.5),
        meaning="Area under the generalised risk-coverage curve: how often an answer is kept and wrong, on average.",
        reading="lower is better",
        on_request=True,
    ),
    Metric(
        name="confidence_auroc",
        title="AUROC of confidence",
        function=confidence_auroc,
        kind="ranking",
        orientation="larger is better",
        bounds=(0.0, 1.0),
        meaning="Probability that a right answer is more confident than a wrong one.",
        reading="1/2: confidence tells nothing",
        on_request=True,
        undefined="every answer is right, or every one wrong",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
