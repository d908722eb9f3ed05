"""The registry of tests: could a calibrated model show this? Floor 2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from calibkit.goodness_of_fit import (
    TestResult,
    cox,
    cox_test,
    cumulative,
    cumulative_difference_test,
    hosmer_lemeshow,
    hosmer_lemeshow_test,
    spiegelhalter,
    spiegelhalter_test,
)
from calibkit.pairs import Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTest:
    """One test of calibration: what it is called, computed by, and what it sees.

    Attributes
    ----------
    name : str
        Key in `Evaluation.tests` and in JSON.
    title : str
        What a table prints.
    function : callable
        ``function(labels, probs, *, view=None, weights=None) -> TestResult``, the public definition.
    kernel : callable
        ``kernel(pairs) -> TestResult``.
    meaning : str
        One sentence: what it sees, and what it does not.
    """

    name: str
    title: str
    function: Callable[..., TestResult]
    kernel: Callable[[Pairs], TestResult]
    meaning: str


_ALL = (
    CalibrationTest(
        name="ecce_r",
        title="ECCE-R",
        function=partial(cumulative_difference_test, statistic="ecce_r"),
        kernel=partial(cumulative, statistic="ecce_r"),
        meaning="Range of the cumulative differences of outcome and forecast (Kuiper): errors of any shape, no bins.",
    ),
    CalibrationTest(
        name="ecce_mad",
        title="ECCE-MAD (KS)",
        function=partial(cumulative_difference_test, statistic="ecce_mad"),
        kernel=partial(cumulative, statistic="ecce_mad"),
        meaning="Largest cumulative difference (KS calibration error): keener than the range for errors of one sign.",
    ),
    CalibrationTest(
        name="spiegelhalter",
        title="Spiegelhalter",
        function=spiegelhalter_test,
        kernel=spiegelhalter,
        meaning="Whether the Brier score is what the forecasts expect; errors that cancel in it are not seen.",
    ),
    CalibrationTest(
        name="hosmer_lemeshow",
        title="Hosmer-Lemeshow",
        function=hosmer_lemeshow_test,
        kernel=hosmer_lemeshow,
        meaning="Chi-square over ten groups of rows; errors that cancel within a group are not seen.",
    ),
    CalibrationTest(
        name="cox",
        title="Cox score test",
        function=cox_test,
        kernel=cox,
        meaning="Whether a shift or stretch of the log-odds would help; errors of other shapes are not seen.",
    ),
)

TESTS: Mapping[str, CalibrationTest] = MappingProxyType({test.name: test for test in _ALL})
