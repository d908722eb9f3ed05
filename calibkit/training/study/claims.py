"""The claims about smoothing that its own grid answers. Annex: training."""

from collections.abc import Iterator
from math import exp

from calibkit.render import format_interval, format_number
from calibkit.training.study.effects import Effect, Series, level_of, mean_of
from calibkit.training.study.grid import INSIDE, TEXTBOOK
from calibkit.training.study.lines import TITLES, Claim, Evidence, Judge, Line, compared, falls, noise_words, rises
from calibkit.training.study.one_run import CLEAN, NOISY
from calibkit.training.study.rules import confidence_state

SMOOTHED = ("hard labels", "smoothed")
BEST_BY = (("accuracy", max), ("nll", min), ("ece", min), ("scaled_nll", min), ("scaled_ece", min))


def accuracy_claim(evidence: Evidence) -> Claim:
    """Claim 1."""
    lines = tuple(_over_grid(evidence, "accuracy", rises))
    return Claim(number="1", text="Smoothing gives better accuracy.", columns=SMOOTHED, lines=lines)


def confidence_claim(evidence: Evidence) -> Claim:
    """Claim 2."""
    return Claim(
        number="2",
        text="Smoothing makes a network less over-confident: confidence - accuracy falls.",
        columns=SMOOTHED,
        lines=tuple(_over_grid(evidence, "gap", falls)),
        remarks=tuple(_states(evidence)),
    )


def calibration_claim(evidence: Evidence) -> Claim:
    """Claim 3."""
    lines = tuple(_over_grid(evidence, "ece", falls))
    return Claim(number="3", text="A smoothed network has a lower ECE as trained.", columns=SMOOTHED, lines=lines)


def scaled_claim(evidence: Evidence) -> Claim:
    """Claim 4."""
    lines = (*_over_grid(evidence, "scaled_ece", falls), *_over_grid(evidence, "scaled_nll", falls))
    return Claim(
        number="4",
        text="A smoothed network has lower ECE and NLL after temperature scaling, too.",
        columns=SMOOTHED,
        lines=lines,
    )


def robust_claim(evidence: Evidence) -> Claim:
    """Claim 5, as it is made by some."""
    return Claim(
        number="5a",
        text="Smoothing makes training robust to label noise: at every rate of flipped labels accuracy on true labels "
        "is higher, and NLL after scaling lower.",
        columns=SMOOTHED,
        lines=tuple(_under_noise(evidence, (("accuracy", rises), ("scaled_nll", falls)), evidence.flipped)),
    )


def harmed_claim(evidence: Evidence) -> Claim:
    """Claim 5, as it is made by others."""
    return Claim(
        number="5b",
        text="Smoothing does harm where many labels are wrong: at the highest rate accuracy on true labels is lower, "
        "and NLL after scaling higher.",
        columns=SMOOTHED,
        lines=(
            *_under_noise(evidence, (("accuracy", falls), ("scaled_nll", rises)), evidence.flipped[-1:]),
            *_as_trained_under_noise(evidence),
        ),
    )


def range_claim(evidence: Evidence) -> Claim:
    """Claim 7."""
    outside = [e for e in evidence.smoothings if not INSIDE[0] <= e <= INSIDE[-1]]
    lines = tuple(
        compared(
            f"mean of e = {', '.join(f'{i:g}' for i in INSIDE)} against e = {e:g}, {noise_words(noise)}",
            measure,
            evidence.of(measure, noise=noise, smoothing=e),
            mean_of([evidence.of(measure, noise=noise, smoothing=i) for i in INSIDE]),
            judge,
            decides=noise == 0,
        )
        for noise in evidence.noises
        for measure, judge in (("accuracy", rises), ("scaled_nll", falls))
        for e in outside
    )
    return Claim(
        number="7",
        text="e between 0.05 and 0.2 is the right range: inside it accuracy is higher, and NLL after scaling lower, "
        "than outside.",
        columns=("outside", "inside"),
        lines=lines,
        remarks=tuple(_best(evidence)),
    )


def ranking_claim(evidence: Evidence) -> Claim:
    """Claim 11."""
    measures = (("confidence_auroc", falls), ("aurc", rises))
    lines = [line for measure, judge in measures for line in _over_grid(evidence, measure, judge)]
    after = (("scaled_confidence_auroc", falls), ("scaled_aurc", rises))
    lines += [evidence.smoothing_line(measure, judge, noise=n) for measure, judge in after for n in evidence.noises]
    return Claim(
        number="11",
        text="Smoothing makes confidence a worse guide to which answers are right: AUROC of confidence falls, AURC "
        "rises.",
        columns=SMOOTHED,
        lines=tuple(lines),
    )


def _over_grid(evidence: Evidence, measure: str, judge: Judge) -> Iterator[Line]:
    """Every usual smoothing at every noise; the textbook's own, without noise, decides."""
    for noise in evidence.noises:
        for e in INSIDE:
            yield evidence.smoothing_line(
                measure, judge, smoothing=e, noise=noise, decides=noise == 0 and e == TEXTBOOK
            )


def _under_noise(
    evidence: Evidence, measures: tuple[tuple[str, Judge], ...], rates: tuple[float, ...]
) -> Iterator[Line]:
    """True test labels decide; flipped test labels and a larger smoothing stand beside."""
    for measure, judge in measures:
        for noise in rates:
            yield evidence.smoothing_line(measure, judge, noise=noise, decides=True)
            yield evidence.smoothing_line(measure, judge, noise=noise, labels=NOISY)
            yield evidence.smoothing_line(measure, judge, noise=noise, smoothing=INSIDE[-1])


def _as_trained_under_noise(evidence: Evidence) -> Iterator[Line]:
    for measure in ("ece", "nll"):
        for noise in evidence.flipped:
            for labels in (CLEAN, NOISY):
                yield evidence.smoothing_line(measure, rises, noise=noise, labels=labels)


def _states(evidence: Evidence) -> Iterator[str]:
    """Which way each method errs, from its own gap and temperature."""
    for noise in evidence.noises:
        for e in (0.0, TEXTBOOK):
            gap = level_of(evidence.of("gap", noise=noise, smoothing=e))
            name = f"Smoothing {e:g}" if e else "Hard labels"
            temperature = evidence.of("log_temperature", noise=noise, smoothing=e)
            yield (
                f"{name}, {noise_words(noise)}: confidence - accuracy {format_number(gap.value, signed=True)} "
                f"{format_interval(gap.low, gap.high, signed=True)}, {confidence_state(gap)}; T* "
                f"{geometric(temperature)}."
            )


def geometric(logarithms: Series) -> str:
    """Geometric mean of temperatures with its interval, from their logarithms."""
    mean = level_of(logarithms)
    if mean.n == 0:
        return "not defined"
    return f"{format_number(exp(mean.value))} {_exponentials(mean)}".rstrip()


def _exponentials(mean: Effect) -> str:
    return "" if mean.low is None or mean.high is None else format_interval(exp(mean.low), exp(mean.high))


def _best(evidence: Evidence) -> Iterator[str]:
    """Which smoothing had the best mean; the best of several means is not significantly the best."""
    for noise in evidence.noises:
        found = []
        for measure, choose in BEST_BY:
            means = {e: level_of(evidence.of(measure, noise=noise, smoothing=e)).value for e in evidence.smoothings}
            found.append(f"{TITLES[measure]} at e = {choose(means, key=lambda e: means[e]):g}")
        yield f"Best means, {noise_words(noise)} (a best mean is no proof of being best): {', '.join(found)}."
