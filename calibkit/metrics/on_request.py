"""What an evaluation holds when all metrics are asked for, by the question that they answer. Floor 2."""

from calibkit.metrics.binned_errors import BINNED
from calibkit.metrics.metric import Metric
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
        reading="0: every error is less confident",
    ),
    Metric(
        name="augrc",
        title="AUGRC",
        function=area_under_generalized_risk_coverage,
        kind="ranking",
        kernel=augrc,
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

ON_REQUEST = BINNED + RANKING
