"""Each rule of the verdict is one test: the sentence follows from the intervals and nothing else is said."""

from calibkit.bracket import Chance
from calibkit.recalibration import Temperature
from calibkit.results import Difference, Estimate
from calibkit.verdict import NOT_ENOUGH, model_sentence, pair_sentences

CHANCE = Chance(mean=0.009, p95=0.01342, p_value=0.11)


def estimate(value, low, high):
    return Estimate(value=value, low=low, high=high)


def temperature(value, low, high):
    return Temperature(
        value=value, low=low, high=high, log_se=0.02, n=5000, source="fitted on 5,000 calibration rows", at_bound=False
    )


def sentence(ece, gap, t=None, view="top-label"):
    return model_sentence(ece, gap, view=view, chance=CHANCE, temperature=t)


def test_without_an_interval_there_is_no_verdict():
    assert sentence(Estimate(value=0.04), estimate(0.03, 0.02, 0.04)) == NOT_ENOUGH
    assert sentence(estimate(0.04, 0.03, 0.05), Estimate(value=0.03)) == NOT_ENOUGH


def test_nothing_detected_says_what_could_have_been_seen():
    said = sentence(estimate(0.011, 0.0, 0.01921), estimate(0.003, -0.004, 0.010), view="positive")
    assert said == (
        "No miscalibration detected in the positive view; ECE is at most 0.01921. "
        "(This test set could not show less than 0.01342.)"
    )
    assert "is calibrated" not in said


def test_over_and_under_confidence_need_gap_and_temperature():
    over = sentence(estimate(0.0435, 0.0389, 0.0474), estimate(0.0431, 0.038, 0.048), temperature(2.5, 2.4, 2.6))
    assert over == "Over-confident: ECE 0.03890 to 0.04740, T* 2.500."
    under = sentence(estimate(0.136, 0.12, 0.15), estimate(-0.13, -0.15, -0.11), temperature(0.54, 0.5, 0.58))
    assert under == "Under-confident: ECE 0.1200 to 0.1500, T* 0.5400."


def test_a_temperature_at_its_bound_has_a_direction():
    at_bound = Temperature(
        value=1e3, low=None, high=None, log_se=None, n=90, source="fitted on 90 calibration rows", at_bound=True
    )
    gap = estimate(0.4, 0.3, 0.5)
    assert sentence(estimate(0.4, 0.3, 0.5), gap, at_bound).startswith("Over-confident: ECE")
    assert sentence(estimate(0.4, 0.3, 0.5), estimate(-0.4, -0.5, -0.3), at_bound).startswith("Miscalibrated without")


def test_a_gap_alone_speaks_of_the_average():
    said = sentence(estimate(0.0435, 0.0389, 0.0474), estimate(0.0431, 0.038, 0.048))
    assert said == "Over-confident on average: ECE 0.03890 to 0.04740."
    assert sentence(estimate(0.04, 0.0, 0.05), estimate(-0.02, -0.03, -0.01)).startswith("Under-confident on average")


def test_the_direction_of_an_event_forecast_is_spelled_out():
    said = sentence(estimate(0.0492, 0.0392, 0.0592), estimate(-0.0475, -0.05, -0.04), view="positive")
    assert said == "P(y = 1) is too low on average: ECE 0.03920 to 0.05920."


def test_any_other_case_has_no_direction():
    mixed = "Miscalibrated without one direction: ECE 0.02000 to 0.08000; see the diagram."
    assert sentence(estimate(0.05, 0.02, 0.08), estimate(0.001, -0.01, 0.012)) == mixed
    assert sentence(estimate(0.05, 0.02, 0.08), estimate(0.02, 0.01, 0.03), temperature(0.8, 0.7, 0.9)) == mixed
    assert sentence(estimate(0.05, 0.02, 0.08), estimate(0.02, 0.01, 0.03), temperature(1.05, 0.9, 1.2)) == mixed


def difference(value, low, high, p_value, adjusted=None):
    return Difference(value=value, low=low, high=high, p_value=p_value, adjusted_p_value=adjusted)


YES = {"nll": difference(-0.237, -0.26, -0.21, 1e-30), "ece": difference(-0.028, -0.033, -0.024, 1e-9)}
NO = {"nll": difference(0.004, -0.02, 0.03, 0.7), "ece": difference(0.001, -0.004, 0.006, 0.6)}


def said(before, after=None, score="nll"):
    return list(pair_sentences("smooth", "hard", before, after, level=0.95, score=score))


def test_the_better_log_score_is_named_with_size_and_interval():
    assert said({"nll": YES["nll"]}) == ["smooth has the better log score by 0.2370 nats [0.2100, 0.2600]."]
    worse = difference(0.237, 0.21, 0.26, 1e-30)
    assert said({"nll": worse}) == ["hard has the better log score by 0.2370 nats [0.2100, 0.2600]."]
    assert said({"nll": NO["nll"]}) == ["No difference in log score detected (between -0.02000 and 0.03000)."]


def test_brier_speaks_where_the_log_score_is_infinite():
    before = {"nll": Difference(value=float("-inf")), "brier": difference(-0.02, -0.03, -0.01, 0.001)}
    assert said(before, score="brier") == ["smooth has the better Brier score by 0.02000 [0.01000, 0.03000]."]


def test_undecided_data_give_no_verdict():
    assert said({"nll": Difference(value=-0.1), "brier": Difference(value=-0.1)}) == [NOT_ENOUGH]


def test_ece_before_but_not_after():
    after = {"ece": difference(0.004, -0.0002, 0.0095, 0.06), "nll": NO["nll"]}
    assert said(YES, after)[1] == (
        "smooth is better calibrated as saved; after temperature scaling no difference in ECE was detected "
        "(-0.0002000 to 0.009500)."
    )


def test_ece_before_and_after():
    still = {"ece": difference(-0.01, -0.02, -0.005, 0.001), "nll": NO["nll"]}
    assert said(YES, still)[1] == "smooth is better calibrated as saved, and still after scaling."
    reversed_ = {"ece": difference(0.01, 0.005, 0.02, 0.001), "nll": NO["nll"]}
    assert said(YES, reversed_)[1] == (
        "smooth is better calibrated as saved. Scaling reverses the order: hard after it."
    )


def test_ece_after_alone_and_never():
    after = {"ece": difference(0.01, 0.005, 0.02, 0.001), "nll": NO["nll"]}
    assert said(NO, after)[1] == "No difference in ECE as saved; hard is better calibrated after scaling."
    assert said(NO, NO)[1] == "No difference in ECE detected."
    assert said(NO)[1] == "No difference in ECE detected."
    assert said(YES)[1] == "smooth is better calibrated as saved."


def test_what_temperature_cannot_repair_is_said():
    after = {"ece": NO["ece"], "nll": difference(-0.03, -0.042, -0.018, 1e-6)}
    assert said(YES, after)[-1] == (
        "After scaling smooth keeps a better log score by 0.03000 nats [0.01800, 0.04200]: not repaired by temperature."
    )
    assert said(NO, after)[-1].startswith("After scaling smooth has a better log score")


def test_disagreeing_scores_are_pointed_out():
    before = {
        "accuracy": difference(0.02, 0.01, 0.03, 0.001),
        "nll": difference(-0.237, -0.26, -0.21, 1e-30),
        "ece": difference(0.028, 0.024, 0.033, 1e-9),
    }
    assert said(before)[-2:] == [
        "ECE and log score disagree; the log score also counts discrimination.",
        "smooth has the higher accuracy by 0.02000 [0.01000, 0.03000].",
    ]


def test_with_more_models_the_adjusted_p_value_decides():
    before = {"nll": difference(-0.1, -0.19, -0.01, 0.03, adjusted=0.09)}
    assert said(before)[0].startswith("No difference in log score detected")


def test_only_a_margin_makes_models_equivalent_and_only_inside_it():
    close = {"nll": difference(0.001, -0.004, 0.006, 0.6), "ece": difference(0.002, 0.001, 0.003, 0.001)}
    sentences = list(pair_sentences("smooth", "hard", close, level=0.95, margin=0.005))
    assert [s for s in sentences if "quivalent" in s] == ["Equivalent within 0.005000 in ECE (0.001000 to 0.003000)."]
    wider = list(pair_sentences("smooth", "hard", close, level=0.95, margin=0.01))
    assert wider[-2:] == [
        "Equivalent within 0.01000 in log score (-0.004000 to 0.006000).",
        "Equivalent within 0.01000 in ECE (0.001000 to 0.003000).",
    ]
    assert not any("quivalent" in s for s in pair_sentences("smooth", "hard", close, level=0.95))
    undecided = {"nll": difference(0.001, -0.004, 0.006, 0.6), "ece": Difference(value=0.0)}
    assert sum("quivalent" in s for s in pair_sentences("a", "b", undecided, level=0.95, margin=1.0)) == 1


def test_no_difference_is_never_called_equality():
    for sentence_ in said(NO, NO):
        assert "same" not in sentence_
        assert "no effect" not in sentence_
