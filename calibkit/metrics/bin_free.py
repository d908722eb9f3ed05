"""Calibration error without bins, and the parts of proper scores, on request. Floor 2."""

import math
from functools import partial
from typing import Literal

from numpy.typing import ArrayLike

from calibkit.decomposition import Score, chance_of_miscalibration, decompose, discrimination_of, miscalibration_of
from calibkit.metrics.metric import Metric
from calibkit.pairs import PairView
from calibkit.smooth_calibration import smooth_calibration_error, smooth_error, smooth_error_by_chance

BIN_FREE = (
    Metric(
        name="smooth_ece",
        title="smooth ECE",
        function=smooth_calibration_error,
        kind="bin-free",
        kernel=smooth_error,
        by_chance=True,
        chance_kernel=smooth_error_by_chance,
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="Smooth calibration error: mean absolute gap, smoothed with a bandwidth equal to the error itself.",
        reading="0 is best; no bins",
    ),
)


def _part(
    part: Literal["miscalibration", "discrimination"],
    score: Score,
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """One part of a decomposition."""
    return float(getattr(decompose(labels, probs, score=score, view=view, weights=weights, n_draws=0), part))


DECOMPOSITION = (
    Metric(
        name="brier_miscalibration",
        title="Brier miscalibration",
        function=partial(_part, "miscalibration", "brier"),
        kind="decomposition",
        kernel=partial(miscalibration_of, score="brier"),
        by_chance=True,
        chance_kernel=partial(chance_of_miscalibration, score="brier"),
        orientation="smaller is better",
        bounds=(0.0, 1.0),
        meaning="What recalibration without bins (CORP) would save of the mean (f - y)^2.",
        reading="0 is best",
    ),
    Metric(
        name="brier_discrimination",
        title="Brier discrimination",
        function=partial(_part, "discrimination", "brier"),
        kind="decomposition",
        kernel=partial(discrimination_of, score="brier"),
        orientation="larger is better",
        bounds=(0.0, 0.25),
        meaning="What the recalibrated forecasts save of the mean (f - y)^2 against the base rate.",
        reading="higher is better",
    ),
    Metric(
        name="log_miscalibration",
        title="log miscalibration",
        function=partial(_part, "miscalibration", "log"),
        kind="decomposition",
        kernel=partial(miscalibration_of, score="log"),
        by_chance=True,
        chance_kernel=partial(chance_of_miscalibration, score="log"),
        orientation="smaller is better",
        bounds=(0.0, float("inf")),
        meaning="What recalibration without bins (CORP) would save of the mean log score of the event, in nats.",
        reading="nats, 0 is best",
    ),
    Metric(
        name="log_discrimination",
        title="log discrimination",
        function=partial(_part, "discrimination", "log"),
        kind="decomposition",
        kernel=partial(discrimination_of, score="log"),
        orientation="larger is better",
        bounds=(0.0, math.log(2)),
        meaning="What the recalibrated forecasts save of the event's mean log score against the base rate, in nats.",
        reading="nats, higher is better",
    ),
)
