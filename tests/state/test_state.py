"""Updating, naming and merging states; what is refused, and that a refusal changes nothing."""

import pickle

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, InputFormatError, OptionError, ShapeError
from calibkit.state import rows as steps
from calibkit.state.sources import Shards, Source
from tests.state.samples import KINDS, predictions, state_of


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_in_parts(kind, weighted):
    rows = predictions(kind, 300, weighted=weighted)
    whole = state_of(rows)
    parts = [rows.take(index) for index in np.split(np.random.default_rng(0).permutation(300), [1, 2, 90, 200])]
    updated = state_of(*parts)
    merged = ck.CalibrationState()
    for part in parts:
        merged.merge(state_of(part))
    assert whole == updated == merged
    assert whole.digest == updated.digest == merged.digest
    assert whole.evaluation() == merged.evaluation()


def test_steps_of_an_update_change_nothing(monkeypatch):
    rows = predictions("logits", 500, weighted=True)
    whole = state_of(rows)
    monkeypatch.setattr(steps, "STEP", 7)
    assert state_of(rows) == whole


def test_a_bad_row_is_named_by_its_number_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(steps, "STEP", 10)
    good = predictions("logits", 30)
    logits = np.array(good.logits)
    logits[25, 2] = np.nan
    bad = ck.Predictions.from_logits(good.labels, logits, name="shard.npz")
    state = state_of(good)
    before = state.digest
    with pytest.raises(DataError, match=r"shard\.npz.*row 25"):
        state.update(bad)
    assert state.digest == before
    fresh = ck.CalibrationState()
    with pytest.raises(DataError):
        fresh.update(bad)
    assert (fresh.n, fresh.settings.kind) == (0, None)


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (predictions("logits", 5), predictions("probs", 5), "kind"),
        (predictions("logits", 5), predictions("logits", 5, k=4), "n_classes"),
        (predictions("probs", 5), predictions("probs", 5, weighted=True), "weighted"),
        (predictions("event", 5), predictions("two", 5), "(kind|view)"),
        (predictions("log-odds", 5), predictions("two", 5), "(one_event|view)"),
    ],
)
def test_rows_of_other_settings_are_refused_by_name(first, second, what):
    state, other = state_of(first), state_of(second)
    with pytest.raises(DataError, match=f"^{what} differs"):
        state.update(second)
    with pytest.raises(DataError, match=f"^{what} differs"):
        state.merge(other)
    with pytest.raises(DataError, match=f"^{what} differs"):
        state + other
    assert state == state_of(first)


@pytest.mark.parametrize("options", [{"n_bins": 10}, {"edges": "left"}])
def test_states_of_other_bins_are_refused_by_name(options):
    rows = predictions("logits", 5)
    with pytest.raises(DataError, match=next(iter(options))):
        state_of(rows).merge(state_of(rows, **options))


def test_class_names_are_kept_and_held_to():
    def named(*names):
        return ck.Predictions.from_probs([0, 1], [[0.4, 0.6], [0.3, 0.7]], class_names=names)

    plain = ck.Predictions.from_probs([0, 1], [[0.4, 0.6], [0.3, 0.7]])
    assert state_of(plain, named("cat", "dog")).settings.class_names == ("cat", "dog")
    with pytest.raises(DataError, match="class_names"):
        state_of(named("cat", "dog"), named("dog", "cat"))


def test_options_fixed_at_the_start_are_held_to():
    with pytest.raises(DataError, match="n_classes"):
        state_of(predictions("logits", 5), n_classes=3)
    with pytest.raises(DataError, match="n_classes"):
        state_of(predictions("correct", 5), n_classes=3)
    with pytest.raises(ShapeError, match="positive"):
        state_of(predictions("logits", 5), view="positive")
    with pytest.raises(OptionError, match="n_bins"):
        ck.CalibrationState(n_bins=0)
    with pytest.raises(OptionError, match="n_classes"):
        ck.CalibrationState(n_classes=1)
    with pytest.raises(OptionError, match="view"):
        ck.CalibrationState(view="sideways")


def test_groups_and_huge_weights_are_refused():
    with pytest.raises(DataError, match='read them with groups=""'):
        state_of(ck.Predictions.from_correct([True, False], [0.8, 0.4], groups=[1, 1]))
    with pytest.raises(DataError, match="row 1"):
        state_of(ck.Predictions.from_correct([True, False], [0.8, 0.4], weights=[1.0, 1e6]))


def test_what_is_no_predictions_and_no_state():
    with pytest.raises(InputFormatError, match="Predictions"):
        ck.CalibrationState().update(np.zeros(3))
    with pytest.raises(InputFormatError, match="CalibrationState"):
        ck.CalibrationState().merge(3)


def test_a_shard_is_held_once():
    first, second = (state_of(predictions("probs", 50, seed=seed)) for seed in (1, 2))
    total = ck.CalibrationState()
    total.merge(first.named("a.npz"))
    total.merge(second.named("b.npz"))
    assert [source.name for source in total.sources] == ["a.npz", "b.npz"]
    assert sum(source.n for source in total.sources) == total.n == 100
    before = total.digest
    with pytest.raises(DataError, match=r"a\.npz \(50 rows\) is given twice"):
        total.merge(second.named("a.npz"))
    with pytest.raises(DataError, match=r"copy\.npz.*and a\.npz.*same rows"):
        total.merge(first.named("copy.npz"))
    assert total.digest == before
    total.merge(first.named("copy.npz"), allow_duplicates=True)
    assert (total.n, len(total.sources)) == (150, 3)


def test_the_digest_of_a_shard_does_not_depend_on_its_order():
    rows = predictions("probs", 50)
    shuffled = rows.take(np.random.default_rng(0).permutation(50))
    total = state_of(rows).named("a.npz")
    with pytest.raises(DataError, match="same rows"):
        total.merge(state_of(shuffled).named("b.npz"))


def test_states_do_not_share_their_arrays():
    rows, more = predictions("probs", 50), predictions("probs", 20, seed=9)
    first, empty = state_of(rows), ck.CalibrationState()
    copies = [first.named("a"), first + empty, empty + first]
    empty.merge(first)
    digest = first.digest
    for copy in (*copies, empty):
        copy.update(more)
    assert first.digest == digest


def test_a_state_travels_to_other_processes():
    state = state_of(predictions("probs", 50)).named("a.npz")
    assert pickle.loads(pickle.dumps(state)) == state


def test_repr_says_what_is_held():
    assert repr(state_of(predictions("probs", 1_500)).named("a")) == (
        "CalibrationState(n=1,500, view='top-label', shards=1)"
    )
    assert state_of(predictions("probs", 5)).__eq__(3) is NotImplemented


def test_many_shards_stand_in_one_order_however_they_came():
    sources = [Source(name=f"shard-{i}.npz", n=5, digest=f"{i:064x}") for i in range(3_000)]
    ahead, back = Shards(), Shards()
    for source, other in zip(sources, reversed(sources), strict=True):
        ahead.add(Shards([source]))
        back.add(Shards([other]))
    assert ahead.in_order() == back.in_order() == tuple(sorted(sources))
    assert (len(ahead), ahead.n) == (3_000, 15_000)
    with pytest.raises(DataError, match=r"copy\.npz \(5 rows\) and shard-2999\.npz \(5 rows\) hold the same rows"):
        ahead.refuse_twice(Shards([Source(name="copy.npz", n=5, digest=f"{2_999:064x}")]))
