"""Calibrators of one event made into those of k classes: a map for each class, or one that all share. Floor 2."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from calibkit._checks import check_choice
from calibkit._numerics import Floats
from calibkit.calibrators.calibrator import Calibrator
from calibkit.calibrators.rows import CalibrationRows
from calibkit.predictions import Predictions

Maps = Literal["classwise", "shared"]
MAPS: tuple[Maps, ...] = ("classwise", "shared")
Columns = tuple[Floats, ...]


class OneVersusRestCalibrator(Calibrator):
    """A calibrator that maps the probability of each class by itself.

    Of two classes, class 1 is mapped and class 0 gets the rest. Of more, each has a map of its own, fitted on whether
    it is the true class, or all share one, fitted on all n k pairs; each row of mapped values is divided by its sum,
    and a row whose classes are all mapped to 0 becomes uniform.

    A kind of map says what it maps (`_inputs`), how one is fitted (`_fit_map`), where the fitted ones are kept
    (`_keep`) and how one is applied (`_apply`).
    """

    maps: Maps

    def _inputs(self, predictions: Predictions) -> Columns:
        """What is mapped: arrays (n, k)."""
        raise NotImplementedError

    def _fit_map(self, columns: Columns, outcome: Floats, weights: Floats) -> Any:
        """Fit one map to one event, from its column of each input."""
        raise NotImplementedError

    def _keep(self, maps: list[Any]) -> None:
        """Set the fitted numbers."""
        raise NotImplementedError

    def _apply(self, number: int, columns: Columns) -> Floats:
        """Mapped probability of one event by the map of this number."""
        raise NotImplementedError

    def _fit(self, rows: CalibrationRows) -> None:
        inputs = self._inputs(rows.predictions)
        self._keep([self._fit_map(*event) for event in self._events(rows, inputs)])

    def _forecast(self, predictions: Predictions) -> Floats:
        inputs = self._inputs(predictions)
        n_classes = inputs[0].shape[1]
        columns = _mapped_columns(n_classes)
        shared = self.n_maps(n_classes) == 1
        mapped = np.stack(
            [self._apply(0 if shared else i, tuple(x[:, j] for x in inputs)) for i, j in enumerate(columns)], axis=1
        )
        if n_classes == 2:
            return np.concatenate([1.0 - mapped, mapped], axis=1)
        sums = mapped.sum(axis=1, keepdims=True)
        return np.where(sums > 0, mapped / np.where(sums > 0, sums, 1.0), 1.0 / n_classes)

    def n_maps(self, n_classes: int) -> int:
        """How many maps k classes have."""
        return 1 if n_classes == 2 or self.maps == "shared" else n_classes

    def _events(self, rows: CalibrationRows, inputs: Columns) -> Iterator[tuple[Columns, Floats, Floats]]:
        """Columns, outcome and weights of each event that gets a map."""
        outcomes = (rows.labels[:, None] == np.arange(rows.n_classes)).astype(np.float64)  # (n, k)
        if rows.n_classes > 2 and self.maps == "shared":
            yield tuple(x.ravel() for x in inputs), outcomes.ravel(), np.repeat(rows.weights, rows.n_classes)
            return
        for j in _mapped_columns(rows.n_classes):
            yield tuple(x[:, j] for x in inputs), outcomes[:, j], rows.weights

    def _check_options(self) -> None:
        super()._check_options()
        check_choice(self.maps, MAPS, option="maps")


def _mapped_columns(n_classes: int) -> range:
    """Columns that are mapped: of two classes, one says both."""
    return range(1, 2) if n_classes == 2 else range(n_classes)
