"""Histogram binning with bins of equal mass. Floor 2."""

from typing import ClassVar

import numpy as np

from calibkit._checks import check_n_bins
from calibkit._numerics import Floats
from calibkit.binning import Binning, BinTable, assign_bins, bin_table
from calibkit.calibrators.one_versus_rest import Columns, Maps, OneVersusRestCalibrator
from calibkit.calibrators.rows import Input, probabilities
from calibkit.calibrators.state import Shape
from calibkit.predictions import Predictions


class HistogramBinning(OneVersusRestCalibrator):
    """Give each forecast the frequency of its bin, bins holding equally many calibration rows.

    Simple, and its error can be bounded without assumptions; but forecasts of one bin become equal, which loses
    discrimination. Give it at least 50 rows a bin.

    Parameters
    ----------
    input : {"logits", "probs"}, default "logits"
        What is given. Logits enter as their softmax, 1-D ones as P(y = 1).
    n_bins : int, default 15
        Bins of each map; fewer where equal forecasts would be split.
    maps : {"classwise", "shared"}, default "classwise"
        For more than two classes: a map for each, or one for all, fitted on all n k pairs.

    Attributes
    ----------
    edges_ : list of ndarray
        Edges of the bins, from 0 to 1: of every class; one for two classes (class 1) or a shared map.
    values_ : list of ndarray
        Frequency of the class in each bin.
    classes_ : ndarray of shape (k,)
        Label of each column.
    n_features_in_ : int
        Number of columns; 1 for a 1-D forecast.

    Notes
    -----
    Bins are those of ``binning="quantile"``: upper edges are the order statistics of rank ceil(j n / b), closed on the
    right, ties never split. A bin's value is ``sum_i w_i [y_i = j] / sum_i w_i`` over its rows. For more than two
    classes the values are divided by their sum; a class without calibration rows gets probability 0.

    References
    ----------
    Zadrozny, Elkan 2001, "Obtaining calibrated probability estimates from decision trees and naive Bayesian
    classifiers", section 4. Gupta, Ramdas 2021, "Distribution-free calibration guarantees for histogram binning
    without sample splitting", theorem 3 (bins of equal mass).

    Examples
    --------
    >>> import numpy as np
    >>> forecast, labels = np.array([0.1, 0.2, 0.4, 0.6, 0.7, 0.9]), [0, 1, 0, 1, 1, 1]
    >>> binning = HistogramBinning(input="probs", n_bins=2).fit(forecast, labels)
    >>> binning.edges_[0], binning.predict_proba(np.array([0.4, 0.41]))[:, 1].round(4)
    (array([0. , 0.4, 1. ]), array([0.3333, 1.    ]))
    """

    FITTED: ClassVar[dict[str, Shape]] = {
        "edges_": Shape(sizes=("maps",), ragged=True),
        "values_": Shape(sizes=("maps",), ragged=True),
    }
    IN_LOGS: ClassVar[bool] = False

    edges_: list[Floats]
    values_: list[Floats]

    def __init__(self, *, input: Input = "logits", n_bins: int = 15, maps: Maps = "classwise") -> None:
        self.input = input
        self.n_bins = n_bins
        self.maps = maps

    def _inputs(self, predictions: Predictions) -> Columns:
        return (probabilities(predictions),)

    def _fit_map(self, columns: Columns, outcome: Floats, weights: Floats) -> BinTable:
        (probs,) = columns
        uniform = bool((weights == weights[0]).all())
        binning = Binning(n_bins=self.n_bins, strategy="quantile")
        return bin_table(probs, outcome, binning, weights=None if uniform else weights)

    def _keep(self, maps: list[BinTable]) -> None:
        self.edges_ = [table.edges for table in maps]
        self.values_ = [np.clip(table.accuracy, 0.0, 1.0) for table in maps]

    def _apply(self, number: int, columns: Columns) -> Floats:
        (probs,) = columns
        return np.asarray(self.values_[number][assign_bins(probs, self.edges_[number])])

    def _check_options(self) -> None:
        super()._check_options()
        check_n_bins(self.n_bins)

    def _fault(self) -> str | None:
        for edges, values in zip(self.edges_, self.values_, strict=True):
            if len(edges) != len(values) + 1 or len(values) == 0:
                return "edges_ are not one more than values_"
            if edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
                return "edges_ do not rise from 0 to 1"
            if values.min() < 0 or values.max() > 1:
                return "values_ are outside [0, 1]"
        return None
