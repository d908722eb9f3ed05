"""Exact sums against Python's fractions, in every order, split and block."""

from fractions import Fraction

import numpy as np
import pytest

from calibkit.exact import LIMIT, N_LIMBS, ExactSums, carried, exact_sums, limbs_of, zero_sums

UNIT = Fraction(1, 1 << 96)


def rounded(values):
    """Each number as a whole number of units, halves to even, by Python alone."""
    return [round(Fraction(float(value)) / UNIT) for value in values]


def numbers(rng, n):
    """Numbers of every size that a sum can hold, of both signs, with ties of the rounding and subnormals."""
    size = rng.uniform(-110, 39.9, n)
    mixed = np.ldexp(rng.uniform(1, 2, n), size.astype(int)) * rng.choice([-1, 1], n)
    edges = [0.0, -0.0, 1.0, 0.5, 64.0, np.nextafter(64, 0), 2.0**-97, 3 * 2.0**-97, -(2.0**-97), 5e-324, 1e-310]
    ends = [np.nextafter(LIMIT, 0), -np.nextafter(LIMIT, 0), 2.0**-28, np.nextafter(2.0**-28, 0), 2.0**-62]
    return np.concatenate([mixed, edges, ends, rng.random(n), np.exp(-rng.exponential(20, n))])


def test_sums_are_those_of_fractions():
    values = numbers(np.random.default_rng(0), 500)
    assert exact_sums(values).integers() == [sum(rounded(values))]
    assert exact_sums(values).fractions() == [sum(rounded(values)) * UNIT]


def test_each_number_is_rounded_once_to_the_nearest_multiple():
    values = numbers(np.random.default_rng(1), 300)
    single = exact_sums(values, np.arange(len(values)), len(values))
    assert single.integers() == rounded(values)
    ordinary = np.abs(values) >= 2.0**-44
    np.testing.assert_array_equal(single.to_float()[ordinary], values[ordinary])


def test_floats_are_correctly_rounded():
    values = np.array([1e9, 1.0, 2.0**-60, -1e9, 1.0, -(2.0**-60), 0.1])
    assert exact_sums(values).to_float()[0] == 2.1
    parts = np.array([1.0, 2.0**-53, 2.0**-90])  # above the middle between two floats by 2^-90
    assert exact_sums(parts).to_float()[0] == 1 + 2.0**-52


def test_sums_by_cell_in_any_order_split_and_block():
    rng = np.random.default_rng(2)
    values, n = numbers(rng, 400), 1_216
    assert len(values) == n
    cells = rng.integers(0, 7, n)
    whole = exact_sums(values, cells, 8)
    by_hand = [sum(w for w, c in zip(rounded(values), cells, strict=True) if c == cell) for cell in range(8)]
    assert whole.integers() == by_hand
    for _ in range(20):
        order = rng.permutation(n)
        cuts = np.sort(rng.integers(0, n, rng.integers(0, 30)))
        pieces = [exact_sums(values[rows], cells[rows], 8) for rows in np.split(order, cuts)]
        rng.shuffle(pieces)
        total = zero_sums(8)
        for piece in pieces:
            total = piece + total
        assert total == whole
        np.testing.assert_array_equal(total.limbs, whole.limbs)


def test_blocks_and_steps_of_the_summing_change_nothing(monkeypatch):
    from calibkit import exact

    rng = np.random.default_rng(3)
    values, cells = numbers(rng, 200), rng.integers(0, 3, 616)
    whole = exact_sums(values, cells, 3)
    for rows, chunk in ((1, 1), (7, 3), (100, 1000), (616, 615)):
        monkeypatch.setattr(exact, "_EXACT_ROWS", rows)
        monkeypatch.setattr(exact, "_CHUNK", chunk)
        assert exact_sums(values, cells, 3) == whole


def test_many_of_the_largest_limbs_are_still_exact():
    n = 600_000
    almost = np.nextafter(LIMIT, 0)
    assert exact_sums(np.full(n, almost)).integers() == [n * rounded([almost])[0]]
    # Every limb but the first is full.
    full = 1 - 2.0**-53
    assert exact_sums(np.full(n, full), np.zeros(n, np.intp)).integers() == [n * rounded([full])[0]]


def test_what_cannot_be_added_is_counted():
    values = np.array([0.5, np.inf, -np.inf, np.nan, LIMIT, -LIMIT, 2.0])
    cells = np.array([0, 1, 0, 1, 1, 1, 2])
    sums = exact_sums(values, cells, 4)
    np.testing.assert_array_equal(sums.beyond, [1, 4, 0, 0])
    np.testing.assert_array_equal(sums.to_float(), [np.inf, np.inf, 2.0, 0.0])
    assert exact_sums(values).beyond.tolist() == [5]
    assert (sums + sums).beyond.tolist() == [2, 8, 0, 0]


def test_every_sum_has_one_form():
    one = exact_sums(np.array([2.0**-30] * 4))
    other = exact_sums(np.array([2.0**-28]))
    assert one == other
    assert np.all(carried(np.array([[0], [0], [0], [-1]])) == [[-1], [2**34 - 1], [2**34 - 1], [2**34 - 1]])
    assert exact_sums(np.array([1.0, -1.0])) == zero_sums(1)
    assert exact_sums(np.array([1.0])) != exact_sums(np.array([np.nextafter(1, 2)]))
    assert exact_sums(np.empty(0), np.empty(0, np.intp), 3) == zero_sums(3)


def test_coarser_cells_are_those_of_the_rows():
    rng = np.random.default_rng(4)
    values, fine = rng.random(1000), rng.integers(0, 12, 1000)
    values[:3] = np.inf
    coarse = np.arange(12) // 5
    assert exact_sums(values, fine, 12).merged(coarse, 3) == exact_sums(values, coarse[fine], 3)
    sums = exact_sums(values, fine, 12)
    np.testing.assert_array_equal(sums.at([3, 1]).limbs, sums.limbs[:, [3, 1]])


def test_float32_values_are_their_float64_values():
    values = np.random.default_rng(5).random(1000).astype(np.float32)
    assert exact_sums(values) == exact_sums(values.astype(np.float64))


def test_limbs_add_up_to_the_number():
    values = np.abs(numbers(np.random.default_rng(6), 100))
    total = np.zeros((N_LIMBS, len(values)))
    for place, limb in limbs_of(values):
        assert limb.min() >= 0
        assert limb.max() <= 2.0**34
        total[place] = limb
    back = ExactSums(limbs=carried(total.astype(np.int64)), beyond=np.zeros(len(values), np.int64))
    assert back.integers() == rounded(values)


def test_a_sum_that_leaves_its_range_is_an_error():
    top = np.zeros((N_LIMBS, 1), np.int64)
    top[0] = 2**62
    half = ExactSums(limbs=top, beyond=np.zeros(1, np.int64))
    with pytest.raises(OverflowError, match="2\\^69"):
        half + half


def test_an_error_state_of_the_caller_is_left_alone():
    with np.errstate(all="raise"):
        assert exact_sums(np.array([5e-324, 0.25])).to_float()[0] == 0.25


@pytest.mark.parametrize("largest", [1.0, 1.5, 2.0, 255.0, 256.0])
def test_the_short_way_of_one_or_two_cells_gives_the_same_integers(monkeypatch, largest):
    rng = np.random.default_rng(int(largest))
    values = rng.random(40_000) ** rng.integers(1, 90, 40_000)
    values[:6] = largest, 0.0, -0.0, 5e-324, 2.0**-97, 3 * 2.0**-97
    cells = rng.integers(0, 2, len(values))
    short = exact_sums(values), exact_sums(values, cells, 2)
    whole = [sum(round(Fraction(x) * 2**96) for x in values[cells == c].tolist()) for c in (0, 1)]
    assert short[1].integers() == whole
    assert short[0].integers() == [sum(whole)]
    monkeypatch.setattr("calibkit.exact._FEW_LIMIT", 0.0)
    assert short == (exact_sums(values), exact_sums(values, cells, 2))


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e30, 300.0])
def test_what_the_short_way_does_not_take_goes_the_long_way(value):
    values = np.array([0.5, value, 0.25])
    found = exact_sums(values, np.array([0, 1, 1]), 2)
    assert found.fractions()[0] == Fraction(1, 2)
    assert found.beyond.tolist() == [0, int(not abs(value) < 2.0**40)]
