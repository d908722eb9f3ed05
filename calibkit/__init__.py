"""Whether a classifier's probabilities can be trusted.

The shop window: every public name, each loaded on first use, so that ``import calibkit`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibkit.binned import (
        ClassCalibration,
        class_calibration,
        class_conditional_calibration_error,
        classwise_calibration_error,
        debiased_calibration_error,
        over_confidence_error,
        sweep_calibration_error,
        top_k_calibration_error,
        under_confidence_error,
    )
    from calibkit.bracket import Chance
    from calibkit.by_chance import expected_by_chance
    from calibkit.calibration_error import (
        ReliabilityCurve,
        expected_calibration_error,
        reliability_curve,
    )
    from calibkit.calibrators import (
        BetaCalibration,
        DirichletCalibration,
        EnsembleTemperatureScaling,
        HistogramBinning,
        IsotonicCalibration,
        PlattScaling,
        TemperatureScaling,
        VectorScaling,
        calibrate,
        cross_calibrate,
        fit_calibrator,
        load_calibrator,
    )
    from calibkit.comparison import Comparison, compare
    from calibkit.corp import ConsistencyBand, CorpCurve, corp_curve
    from calibkit.crossed import RecipeEstimate
    from calibkit.decomposition import Decomposition, decompose
    from calibkit.errors import (
        CalibkitError,
        DataError,
        InputFormatError,
        LabelError,
        LimitError,
        MissingExtraError,
        OptionError,
        OutputError,
        ShapeError,
    )
    from calibkit.evaluating import evaluate
    from calibkit.evaluation import Evaluation
    from calibkit.files import inspect, load, save, scan
    from calibkit.goodness_of_fit import (
        CoxCalibration,
        TestResult,
        cox_calibration,
        cumulative_difference_test,
        hosmer_lemeshow_test,
        spiegelhalter_test,
    )
    from calibkit.honest_band import CalibrationBand, calibration_band
    from calibkit.information import log_skill_score, predictive_entropy
    from calibkit.mean_scores import accuracy, brier_score, mean_confidence, negative_log_likelihood
    from calibkit.metrics import METRICS, TESTS
    from calibkit.murphy import BinnedDecomposition, binned_decomposition
    from calibkit.planning import Plan, PlanLine, plan
    from calibkit.plots import (
        comparison_figure,
        plot_comparison,
        plot_reliability,
        reliability_figure,
        save_figure,
    )
    from calibkit.predictions import Predictions
    from calibkit.recalibration import Temperature, cross_fit_temperature, fit_temperature
    from calibkit.recipes import RecipeComparison, compare_recipes
    from calibkit.results import Difference, Estimate
    from calibkit.selective import (
        area_under_generalized_risk_coverage,
        area_under_risk_coverage,
        confidence_auroc,
        excess_area_under_risk_coverage,
    )
    from calibkit.shards import Progress, state_of_files
    from calibkit.smooth_calibration import smooth_calibration_by_chance, smooth_calibration_error
    from calibkit.state import CalibrationState

__version__ = "0.1.0"

_ROOM_OF = {
    "BetaCalibration": "calibrators",
    "BinnedDecomposition": "murphy",
    "CalibkitError": "errors",
    "CalibrationBand": "honest_band",
    "CalibrationState": "state",
    "Chance": "bracket",
    "ClassCalibration": "binned",
    "Comparison": "comparison",
    "ConsistencyBand": "corp",
    "CorpCurve": "corp",
    "CoxCalibration": "goodness_of_fit",
    "DataError": "errors",
    "Decomposition": "decomposition",
    "Difference": "results",
    "DirichletCalibration": "calibrators",
    "EnsembleTemperatureScaling": "calibrators",
    "Estimate": "results",
    "Evaluation": "evaluation",
    "HistogramBinning": "calibrators",
    "InputFormatError": "errors",
    "IsotonicCalibration": "calibrators",
    "LabelError": "errors",
    "LimitError": "errors",
    "METRICS": "metrics",
    "MissingExtraError": "errors",
    "OptionError": "errors",
    "OutputError": "errors",
    "Plan": "planning",
    "PlanLine": "planning",
    "PlattScaling": "calibrators",
    "Predictions": "predictions",
    "Progress": "shards",
    "RecipeComparison": "recipes",
    "RecipeEstimate": "crossed",
    "ReliabilityCurve": "calibration_error",
    "ShapeError": "errors",
    "TESTS": "metrics",
    "Temperature": "recalibration",
    "TemperatureScaling": "calibrators",
    "TestResult": "goodness_of_fit",
    "VectorScaling": "calibrators",
    "accuracy": "mean_scores",
    "area_under_generalized_risk_coverage": "selective",
    "area_under_risk_coverage": "selective",
    "binned_decomposition": "murphy",
    "brier_score": "mean_scores",
    "calibrate": "calibrators",
    "calibration_band": "honest_band",
    "class_calibration": "binned",
    "class_conditional_calibration_error": "binned",
    "classwise_calibration_error": "binned",
    "compare": "comparison",
    "compare_recipes": "recipes",
    "comparison_figure": "plots",
    "confidence_auroc": "selective",
    "corp_curve": "corp",
    "cox_calibration": "goodness_of_fit",
    "cross_calibrate": "calibrators",
    "cross_fit_temperature": "recalibration",
    "cumulative_difference_test": "goodness_of_fit",
    "debiased_calibration_error": "binned",
    "decompose": "decomposition",
    "evaluate": "evaluating",
    "excess_area_under_risk_coverage": "selective",
    "expected_by_chance": "by_chance",
    "expected_calibration_error": "calibration_error",
    "fit_calibrator": "calibrators",
    "fit_temperature": "recalibration",
    "hosmer_lemeshow_test": "goodness_of_fit",
    "inspect": "files",
    "load": "files",
    "load_calibrator": "calibrators",
    "log_skill_score": "information",
    "mean_confidence": "mean_scores",
    "negative_log_likelihood": "mean_scores",
    "over_confidence_error": "binned",
    "plan": "planning",
    "plot_comparison": "plots",
    "plot_reliability": "plots",
    "predictive_entropy": "information",
    "reliability_curve": "calibration_error",
    "reliability_figure": "plots",
    "save": "files",
    "scan": "files",
    "save_figure": "plots",
    "smooth_calibration_by_chance": "smooth_calibration",
    "smooth_calibration_error": "smooth_calibration",
    "spiegelhalter_test": "goodness_of_fit",
    "state_of_files": "shards",
    "sweep_calibration_error": "binned",
    "top_k_calibration_error": "binned",
    "under_confidence_error": "binned",
}

__all__ = [  # noqa: RUF022 - grouped by what a reader looks for
    # data
    "Predictions",
    "load",
    "scan",
    "save",
    "inspect",
    # judgement
    "evaluate",
    "Evaluation",
    "CalibrationState",
    "state_of_files",
    "Progress",
    "Estimate",
    "compare",
    "Comparison",
    "Difference",
    "compare_recipes",
    "RecipeComparison",
    "RecipeEstimate",
    # how many rows
    "plan",
    "Plan",
    "PlanLine",
    # numbers
    "accuracy",
    "mean_confidence",
    "negative_log_likelihood",
    "brier_score",
    "expected_calibration_error",
    "reliability_curve",
    "ReliabilityCurve",
    "METRICS",
    # relatives of ECE
    "debiased_calibration_error",
    "sweep_calibration_error",
    "over_confidence_error",
    "under_confidence_error",
    "classwise_calibration_error",
    "class_calibration",
    "ClassCalibration",
    "class_conditional_calibration_error",
    "top_k_calibration_error",
    # whole probability vectors
    "predictive_entropy",
    "log_skill_score",
    # does confidence rank answers
    "area_under_risk_coverage",
    "excess_area_under_risk_coverage",
    "area_under_generalized_risk_coverage",
    "confidence_auroc",
    # without bins
    "smooth_calibration_error",
    "smooth_calibration_by_chance",
    "corp_curve",
    "CorpCurve",
    "ConsistencyBand",
    "calibration_band",
    "CalibrationBand",
    "decompose",
    "Decomposition",
    "binned_decomposition",
    "BinnedDecomposition",
    # tests of calibration
    "expected_by_chance",
    "Chance",
    "cumulative_difference_test",
    "spiegelhalter_test",
    "hosmer_lemeshow_test",
    "cox_calibration",
    "CoxCalibration",
    "TestResult",
    "TESTS",
    # temperature scaling
    "fit_temperature",
    "cross_fit_temperature",
    "Temperature",
    # recalibration
    "TemperatureScaling",
    "EnsembleTemperatureScaling",
    "VectorScaling",
    "DirichletCalibration",
    "PlattScaling",
    "BetaCalibration",
    "IsotonicCalibration",
    "HistogramBinning",
    "fit_calibrator",
    "calibrate",
    "cross_calibrate",
    "load_calibrator",
    # pictures
    "plot_reliability",
    "plot_comparison",
    "reliability_figure",
    "comparison_figure",
    "save_figure",
    # errors
    "CalibkitError",
    "OptionError",
    "InputFormatError",
    "LimitError",
    "DataError",
    "LabelError",
    "ShapeError",
    "MissingExtraError",
    "OutputError",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'calibkit' has no attribute {name!r}")
    value = getattr(import_module(f"calibkit.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
