"""One line of the registry. Floor 2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from calibkit._numerics import Floats
from calibkit.bracket import Chance
from calibkit.calibration_error import Norm
from calibkit.pairs import Pairs, PairView

Orientation = Literal["larger is better", "smaller is better", "nearer 0 is better", "neither"]
Kind = Literal["mean", "binned", "bin-free", "decomposition", "recalibration", "ranking", "information"]

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "mean": "how good are the probabilities on average",
        "binned": "how far are they from the truth, bin by bin",
        "bin-free": "how far are they from the truth, whatever the bins",
        "decomposition": "how much of a score is miscalibration",
        "recalibration": "which shift and stretch of the log-odds would repair them",
        "ranking": "does confidence tell right answers from wrong ones",
        "information": "how sure are they, and what do they add to the class shares",
        "test": "could a calibrated model show this",
    }
)


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
    kind : str
        Which of the `QUESTIONS` it answers: "mean" is a mean of one score per row, "binned" a function of bin tables,
        "bin-free" a calibration error without bins, "decomposition" a term of a score, "recalibration" a parameter of
        what would repair the forecasts, "ranking" a function of the order of the rows by confidence, "information" one
        of whole probability vectors.
    orientation : str
        Which direction is better.
    bounds : tuple of float
        Smallest and largest possible value (Brier: of the 2-D scale).
    meaning : str
        One sentence.
    reading : str
        A few words beside the number: how to read it.
    norm : {"l1", "l2", "max"} or None
        Of a function of bin tables that is in every evaluation, which.
    positive_title, positive_reading : str or None
        Title and reading in view positive, where they differ.
    kernel : callable or None
        ``kernel(pairs) -> float``: the metric is computed on request, from one forecast and one outcome a row.
    table_kernel : callable or None
        ``table_kernel(table, weights) -> (...)``: the same from the bin table of these pairs, which the pass holds, and
        their weights; of tables (..., b) at once.
    class_kernel : callable or None
        ``class_kernel(tables) -> float``: the same from a bin table for each class, where the pass gave them.
    takes_binning : bool
        Whether the whole_kernel is one of bins, ``whole_kernel(predictions, scores, binning)``.
    pair_view : {"top-label", "positive"} or None
        Which pairs the kernel takes; None: those of the evaluation's view.
    whole_kernel : callable or None
        ``whole_kernel(predictions, scores) -> float``: the same for a metric that pairs cannot give, with the row
        scores of the one pass.
    another_pass : bool
        Whether its whole_kernel reads the array once more; it is not called where a class_kernel serves.
    by_chance : bool
        Whether chance alone makes it larger than its best value: it is shown beside what a calibrated model with these
        forecasts would show.
    chance_kernel : callable or None
        ``chance_kernel(pairs, rng=rng) -> Chance``: a faster way to it than to run the kernel on drawn outcomes.
    whole_chance : callable or None
        ``whole_chance(predictions, scores[, binning], rng=rng) -> Chance`` beside a whole_kernel.
    undefined : str or None
        Where it is NaN although there are rows, if anywhere.
    row_kernel : callable or None
        ``row_kernel(pairs) -> ndarray of shape (n,)``: row scores whose mean is the metric and whose spread is its
        spread. It has an interval then, and a paired difference.
    error_kernel : callable or None
        ``error_kernel(pairs) -> (float, float)``: the metric and its standard error, whose normal interval was shown to
        cover for independent rows.
    of_classes : bool
        Whether it needs classes, the same ones in every row: choices of ragged rows have none.
    compared : bool
        Whether every comparison holds it, though an evaluation does only on request.
    """

    name: str
    title: str
    function: Callable[..., float]
    kind: Kind
    orientation: Orientation
    bounds: tuple[float, float]
    meaning: str
    reading: str
    norm: Norm | None = None
    positive_title: str | None = None
    positive_reading: str | None = None
    kernel: Callable[..., float] | None = None
    table_kernel: Callable[..., Floats] | None = None
    class_kernel: Callable[..., float] | None = None
    takes_binning: bool = False
    pair_view: PairView | None = None
    whole_kernel: Callable[..., float] | None = None
    another_pass: bool = False
    by_chance: bool = False
    chance_kernel: Callable[..., Chance] | None = None
    whole_chance: Callable[..., Chance] | None = None
    undefined: str | None = None
    row_kernel: Callable[[Pairs], Floats] | None = None
    error_kernel: Callable[[Pairs], tuple[float, float]] | None = None
    of_classes: bool = False
    compared: bool = False

    @property
    def on_request(self) -> bool:
        """Whether an evaluation holds it only when all metrics are asked for."""
        return any(kernel is not None for kernel in (self.kernel, self.table_kernel, self.whole_kernel))
