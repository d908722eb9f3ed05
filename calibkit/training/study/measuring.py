"""Every number of one run, before and after temperature scaling. Annex: training."""

import math

import torch

from calibkit.evaluation import judge
from calibkit.one_pass import Settings, make_settings, score
from calibkit.pairs import pairs_of
from calibkit.predictions import Predictions
from calibkit.recalibration import fit_temperature
from calibkit.selective import aurc, auroc

EVALUATED = ("accuracy", "mean_confidence", "gap", "ece", "rmsce", "mce", "nll", "brier")
SCALED = "scaled_"


def measure(test: Predictions, calibration: Predictions) -> dict[str, float]:
    """Every measure of the test rows, as trained and at the temperature of the calibration rows.

    A temperature at the end of its range (0.001 or 1,000), where every calibration row is right, is none: what would
    be measured at it is NaN.
    """
    settings = make_settings(
        view="top-label", n_bins=15, binning="uniform", edges="right", confidence_level=None, rng=0, threads=1
    )
    fitted = fit_temperature(calibration, confidence_level=None, threads=1)
    found = _measures(test, settings, None)
    scaled = dict.fromkeys(found, math.nan) if fitted.at_bound else _measures(test, settings, fitted.value)
    return {
        **found,
        **{SCALED + name: value for name, value in scaled.items()},
        "temperature": math.nan if fitted.at_bound else fitted.value,
        "log_temperature": math.nan if fitted.at_bound else math.log(fitted.value),
        "temperature_at_bound": float(fitted.at_bound),
    }


def _measures(predictions: Predictions, settings: Settings, temperature: float | None) -> dict[str, float]:
    """The measures at one temperature."""
    scored = score(predictions, settings, temperature=temperature)
    metrics = judge(scored, settings).metrics
    found = {name: metrics[name].value for name in EVALUATED}
    pairs = pairs_of(predictions, scored.scores, view="top-label")
    return {**found, "aurc": aurc(pairs), "confidence_auroc": auroc(pairs)}


def agreement(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Fraction of rows whose largest logit is the label's."""
    return float((logits.argmax(dim=1) == labels).double().mean())
