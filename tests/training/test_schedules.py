"""Schedules against their definitions, written out; and what they refuse."""

import json
import math

import numpy as np
import pytest

from calibkit.errors import OptionError
from calibkit.training import LabelSmoothingCrossEntropy, SmoothingSchedule

AWKWARD = math.nextafter(1.0, 0.0)  # the largest smoothing there is


def test_constant():
    schedule = SmoothingSchedule.constant(0.13)
    assert [schedule(step) for step in (0, 1, 7, 10**9)] == [0.13] * 4


@pytest.mark.parametrize(("start", "end"), [(0.2, 0.0), (0.03, 0.31)])
@pytest.mark.parametrize("length", [1, 2, 7, 90])
def test_linear_and_cosine_go_from_start_to_end(start, end, length):
    linear = SmoothingSchedule.linear(start, end, length)
    cosine = SmoothingSchedule.cosine(start, end, length)
    steps = np.arange(length + 1)
    t = steps / length
    np.testing.assert_allclose([linear(int(s)) for s in steps], start + (end - start) * t, rtol=0, atol=1e-15)
    half_wave = end + (start - end) * np.cos(np.pi * t / 2) ** 2
    np.testing.assert_allclose([cosine(int(s)) for s in steps], half_wave, rtol=0, atol=1e-15)
    for schedule in (linear, cosine):
        assert schedule(0) == start
        assert schedule(length) == schedule(length + 1) == schedule(10 * length) == end


def test_cosine_is_linear_in_the_middle_and_flatter_at_the_ends():
    linear, cosine = SmoothingSchedule.linear(0.2, 0.0, 10), SmoothingSchedule.cosine(0.2, 0.0, 10)
    assert cosine(5) == pytest.approx(linear(5), abs=1e-16)
    assert cosine(1) > linear(1)
    assert cosine(9) < linear(9)


def test_two_stages():
    schedule = SmoothingSchedule.two_stage(0.1, 3)
    assert [schedule(step) for step in range(6)] == [0.1, 0.1, 0.1, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("start", [0.0, 1e-300, 0.3, AWKWARD])
@pytest.mark.parametrize("end", [0.0, 0.7, AWKWARD])
@pytest.mark.parametrize("make", [SmoothingSchedule.linear, SmoothingSchedule.cosine])
def test_rounding_never_leaves_the_interval(make, start, end):
    values = [make(start, end, 97)(step) for step in range(100)]
    assert min(values) >= min(start, end)
    assert max(values) <= max(start, end) < 1
    assert values == sorted(values, reverse=end < start)


def test_it_is_asked_by_name_and_by_call():
    schedule = SmoothingSchedule.cosine(0.2, 0.05, 10)
    assert schedule.at(4) == schedule(4) == schedule(np.int64(4))


@pytest.mark.parametrize(
    "schedule",
    [
        SmoothingSchedule.constant(0.1),
        SmoothingSchedule.linear(0.2, 0.0, 5),
        SmoothingSchedule.cosine(0.0, 0.2, np.int64(5)),
        SmoothingSchedule.two_stage(np.float32(0.25), 5),
    ],
)
def test_a_record_is_plain_json_and_makes_it_again(schedule):
    assert SmoothingSchedule(**json.loads(json.dumps(schedule.to_dict()))) == schedule


def test_it_drives_a_loss():
    loss, schedule = LabelSmoothingCrossEntropy(0.0), SmoothingSchedule.two_stage(0.2, 1)
    seen = []
    for epoch in range(2):
        loss.smoothing = schedule(epoch)
        seen.append(loss.smoothing)
    assert seen == [0.2, 0.0]


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 10, math.nan, math.inf, "0.1", None, True])
def test_smoothings_outside_their_range(smoothing):
    for make in (
        lambda e: SmoothingSchedule.constant(e),
        lambda e: SmoothingSchedule.linear(e, 0.0, 5),
        lambda e: SmoothingSchedule.linear(0.0, e, 5),
        lambda e: SmoothingSchedule.cosine(0.0, e, 5),
        lambda e: SmoothingSchedule.two_stage(e, 5),
    ):
        with pytest.raises(OptionError, match="expected a number from 0 up to, but not including, 1"):
            make(smoothing)


@pytest.mark.parametrize("length", [0, -1, 2.0, math.inf, None, True, "5"])
def test_lengths_that_are_no_number_of_steps(length):
    for make in (SmoothingSchedule.linear, SmoothingSchedule.cosine):
        with pytest.raises(OptionError, match=r"length=.*at least 1"):
            make(0.1, 0.0, length)
    with pytest.raises(OptionError, match=r"length=.*at least 1"):
        SmoothingSchedule.two_stage(0.1, length)


@pytest.mark.parametrize("step", [-1, 1.0, None, "2", True])
def test_steps_that_are_no_steps(step):
    with pytest.raises(OptionError, match="step="):
        SmoothingSchedule.constant(0.1)(step)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "exponential", "start": 0.1, "end": 0.0, "length": 5}, "kind='exponential'"),
        ({"kind": "constant", "start": 0.1, "end": 0.2, "length": 0}, r"start=0\.1, end=0\.2: a constant"),
        ({"kind": "constant", "start": 0.1, "end": 0.1, "length": 5}, "length=5"),
    ],
)
def test_fields_that_contradict_themselves(fields, message):
    with pytest.raises(OptionError, match=message):
        SmoothingSchedule(**fields)
