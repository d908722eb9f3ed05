"""What an evaluation holds when all metrics are asked for, by the question that they answer. Floor 2."""

from functools import partial

from numpy.typing import ArrayLike

from calibkit.goodness_of_fit import cox_calibration, cox_of
from calibkit.information import entropy_of, log_skill_score, predictive_entropy, skill_of
from calibkit.metrics.bin_free import BIN_FREE, DECOMPOSITION
from calibkit.metrics.binned_errors import BINNED
from calibkit.metrics.metric import Metric
from calibkit.pairs import Pairs
from calibkit.pseudo_values import augrc_rows, aurc_rows
from calibkit.selective import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    augrc,
    aurc,
    auroc,
    confidence_auroc,
    excess_area_under_risk_coverage,
    excess_aurc,
)

RANKING = (
    Metric(
        name="aurc",
        title="AURC",
        function=area_under_risk_coverage,
        kind="ranking",
        kernel=aurc,
        row_kernel=aurc_rows,
        compared=True,
        pair_view="top-label",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Area under the risk-coverage curve: error rate of the most confident rows, averaged over how many.",
        reading="lower is better",
    ),
    Metric(
        name="excess_aurc",
        title="E-AURC",
        function=excess_area_under_risk_coverage,
        kind="ranking",
        kernel=excess_aurc,
        pair_view="top-label",
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="AURC above that of the best ranking of the same answers.",
        reading="0: errors rank last",
    ),
    Metric(
        name="augrc",
        title="AUGRC",
        function=area_under_generalized_risk_coverage,
        kind="ranking",
        kernel=augrc,
        row_kernel=augrc_rows,
        pair_view="top-label",
        orientation="smaller is better",
        bounds=(0.0, 0.5),
        meaning="Area under the generalised risk-coverage curve: how often an answer is kept and wrong, on average.",
        reading="lower is better",
    ),
    Metric(
        name="confidence_auroc",
        title="AUROC of confidence",
        function=confidence_auroc,
        kind="ranking",
        kernel=auroc,
        pair_view="top-label",
        orientation="larger is better",
        bounds=(0.0, 1.0),
        meaning="Probability that a right answer is more confident than a wrong one.",
        reading="1/2: confidence tells nothing",
        undefined="every answer is right, or every one wrong",
    ),
)


def _cox(parameter: str, labels: ArrayLike, probs: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """One number of `cox_calibration`."""
    return float(getattr(cox_calibration(labels, probs, weights=weights), parameter))


def _cox_of(parameter: str, pairs: Pairs) -> float:
    return float(getattr(cox_of(pairs), parameter))


def _cox_with_error(parameter: str, pairs: Pairs) -> tuple[float, float]:
    fit = cox_of(pairs)
    return float(getattr(fit, parameter)), float(getattr(fit, f"{parameter}_se"))


_NO_FIT = "a forecast of 0 or 1 came out otherwise, or the outcomes do not tell it"

RECALIBRATION = (
    Metric(
        name="cox_slope",
        title="Cox slope",
        function=partial(_cox, "slope"),
        kind="recalibration",
        kernel=partial(_cox_of, "slope"),
        error_kernel=partial(_cox_with_error, "slope"),
        orientation="neither",
        bounds=(float("-inf"), float("inf")),
        meaning="Slope of the outcomes' log-odds on the forecasts': below 1 the forecasts are too extreme.",
        reading="1; below: too extreme",
        undefined=_NO_FIT,
    ),
    Metric(
        name="calibration_in_the_large",
        title="shift of log-odds",
        function=partial(_cox, "calibration_in_the_large"),
        kind="recalibration",
        kernel=partial(_cox_of, "calibration_in_the_large"),
        error_kernel=partial(_cox_with_error, "calibration_in_the_large"),
        orientation="nearer 0 is better",
        bounds=(float("-inf"), float("inf")),
        meaning="Calibration-in-the-large: the shift of the log-odds at which as much is forecast as happens.",
        reading="0; below: too high",
        undefined=_NO_FIT,
    ),
)

INFORMATION = (
    Metric(
        name="predictive_entropy",
        title="predictive entropy",
        function=predictive_entropy,
        kind="information",
        whole_kernel=entropy_of,
        another_pass=True,
        orientation="neither",
        bounds=(0.0, float("inf")),
        meaning="Mean entropy of the forecasts in nats: the NLL that calibrated ones would expect.",
        reading="nats; calibrated: equals NLL",
    ),
    Metric(
        name="log_skill",
        of_classes=True,
        title="log score skill",
        function=log_skill_score,
        kind="information",
        whole_kernel=skill_of,
        orientation="larger is better",
        bounds=(float("-inf"), 1.0),
        meaning="Share of the class shares' NLL that the forecasts remove.",
        reading="0: as good as the class shares",
        undefined="every label is of one class",
    ),
)

ON_REQUEST = (*BINNED, *BIN_FREE, *DECOMPOSITION, *RANKING, *RECALIBRATION, *INFORMATION)
