"""Each written rule on each of its sides, at its ends, and without an interval."""

import pytest

from calibkit.training.study.effects import Effect
from calibkit.training.study.rules import all_of, at_most, confidence_state, directed, little, sentence

NO_INTERVAL = Effect(value=0.3, low=None, high=None, n=1)


def span(low, high):
    return Effect(value=(low + high) / 2, low=low, high=high, n=7)


@pytest.mark.parametrize(
    ("low", "high", "rises", "falls"),
    [
        (0.002, 0.03, "supported", "opposite"),
        (-0.03, -0.002, "opposite", "supported"),
        (-0.004, 0.006, "not supported", "not supported"),
        (-0.02, 0.006, "not supported", "unclear"),
        (-0.004, 0.02, "unclear", "not supported"),
        (-0.02, 0.02, "unclear", "unclear"),
        (0.0, 0.02, "unclear", "not supported"),  # an interval that ends in 0 holds it
        (-0.02, 0.0, "not supported", "unclear"),
        (0.0, 0.0, "not supported", "not supported"),
        (-0.02, 0.01, "unclear", "unclear"),  # an effect of the margin itself is not excluded
    ],
)
def test_a_claim_of_direction(low, high, rises, falls):
    assert directed(span(low, high), sign=1, margin=0.01) == rises
    assert directed(span(low, high), sign=-1, margin=0.01) == falls


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.009, 0.009, "supported"),
        (0.001, 0.009, "supported"),
        (0.0, 0.0, "supported"),
        (0.011, 0.02, "opposite"),
        (-0.02, -0.011, "opposite"),
        (-0.02, 0.005, "unclear"),
        (-0.02, 0.02, "unclear"),
        (-0.01, 0.005, "unclear"),
        (0.01, 0.02, "unclear"),
    ],
)
def test_a_claim_of_little_effect(low, high, verdict):
    assert little(span(low, high), margin=0.01) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.5, 0.009, "supported"),
        (-0.5, -0.4, "supported"),
        (0.011, 0.02, "opposite"),
        (0.005, 0.02, "unclear"),
        (-0.5, 0.01, "unclear"),
    ],
)
def test_a_claim_of_little_gain(low, high, verdict):
    assert at_most(span(low, high), sign=1, margin=0.01) == verdict
    assert at_most(span(-high, -low), sign=-1, margin=0.01) == verdict


def test_without_an_interval_nothing_is_decided():
    assert directed(NO_INTERVAL, sign=1, margin=0.01) == "unclear"
    assert little(NO_INTERVAL, margin=0.5) == "unclear"
    assert at_most(NO_INTERVAL, sign=1, margin=0.5) == "unclear"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], "unclear"),
        (["supported"], "supported"),
        (["supported", "supported"], "supported"),
        (["opposite", "opposite"], "opposite"),
        (["unclear", "unclear"], "unclear"),
        (["supported", "unclear"], "unclear"),
        (["supported", "opposite"], "not supported"),
        (["supported", "not supported"], "not supported"),
        (["opposite", "unclear"], "not supported"),
        (["opposite", "not supported"], "not supported"),
    ],
)
def test_a_claim_of_several_parts(parts, whole):
    assert all_of(parts) == whole
    assert all_of(parts[::-1]) == whole


def test_sentences_turn_a_fall_so_that_its_size_is_positive():
    assert sentence("NLL", span(-0.3, -0.1)) == "NLL is lower by 0.2000 [0.1000, 0.3000]"
    assert sentence("NLL", span(0.1, 0.3)) == "NLL is higher by 0.2000 [0.1000, 0.3000]"
    assert sentence("NLL", span(-0.1, 0.3)) == "no difference in NLL was detected (-0.1000 to 0.3000)"
    assert sentence("NLL", NO_INTERVAL) == "NLL: 1 seeds define it, too few: no interval"
    assert "agree exactly" in sentence("NLL", Effect(value=0.3, low=None, high=None, n=4))


def test_which_way_a_method_errs():
    assert confidence_state(span(0.01, 0.03)) == "over-confident"
    assert confidence_state(span(-0.03, -0.01)) == "under-confident"
    assert confidence_state(span(-0.03, 0.01)).startswith("neither")
    assert confidence_state(NO_INTERVAL).startswith("neither")
