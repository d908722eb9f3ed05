"""Laws of merging, on data that Hypothesis looks for: ties, certainty, few rows, any split and order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import calibkit as ck
from calibkit.exact import exact_sums
from tests.laws.test_random_laws import SEEDS, events, vectors


def state_of(labels, probs, weights=None, *, view=None):
    state = ck.CalibrationState(view=view)
    state.update(ck.Predictions.from_probs(labels, probs, weights=weights))
    return state


@st.composite
def split_rows(draw):
    """Rows, maybe with weights or in a view of many pairs, and three parts of them; parts may be empty."""
    labels, probs = draw(st.one_of(events(), vectors()))
    rng = np.random.default_rng(draw(SEEDS))
    weights = rng.choice([0.25, 1.0, 3.0, rng.random() + 0.1], len(labels)) if draw(st.booleans()) else None
    part = rng.integers(0, 3, len(labels))
    order = rng.permutation(len(labels))
    view = draw(st.sampled_from([None, "classwise", "flattened"])) if weights is None else None
    return (labels, probs, weights), view, [order[part[order] == i] for i in range(3)]


def taken(rows, index, view):
    labels, probs, weights = rows
    return state_of(labels[index], probs[index], None if weights is None else weights[index], view=view)


@given(split_rows())
def test_merging_is_commutative_associative_and_forgets_the_split(example):
    rows, view, parts = example
    whole = state_of(*rows, view=view)
    a, b, c = (taken(rows, index, view) for index in parts)
    assert a + b == b + a
    assert (a + b) + c == a + (b + c) == whole
    empty = ck.CalibrationState(view=view)
    assert a + empty == a == empty + a
    assert (c + a + b).evaluation(confidence_level=None) == whole.evaluation(confidence_level=None)
    for index in parts[1:]:
        labels, probs, weights = rows
        a.update(
            ck.Predictions.from_probs(labels[index], probs[index], weights=None if weights is None else weights[index])
        )
    assert a.digest == whole.digest


@given(st.lists(st.floats(-1e12, 1e12), max_size=40), st.randoms(use_true_random=False))
def test_exact_sums_forget_the_order(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    cut = random.randint(0, len(values))
    assert exact_sums(values) == exact_sums(shuffled[:cut]) + exact_sums(shuffled[cut:])
