"""Rows 26, 48 and 74: shards that are empty or given twice, and states that cannot be merged."""

import json

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, InputFormatError
from tests.bad_inputs.samples import LABELS, LOGITS, PROBS, refused
from tests.state.test_file import put_together, taken_apart


def state_of(labels=LABELS, logits=LOGITS, **options):
    state = ck.CalibrationState(**options)
    state.update(ck.Predictions.from_logits(labels, logits))
    return state


# 26: one empty shard of many


def test_row_26_one_empty_shard_of_many_is_fine():
    empty = state_of(LABELS[:0], LOGITS[:0])
    total = ck.CalibrationState()
    for name, part in {"a": state_of(), "b": empty, "c": empty, "d": state_of(LABELS[:2], LOGITS[:2])}.items():
        total.merge(part.named(name))
    assert (total.n, len(total.sources)) == (6, 4)
    assert (
        total.evaluation()["accuracy"].value
        == ck.evaluate(ck.Predictions.from_logits([*LABELS, *LABELS[:2]], np.vstack([LOGITS, LOGITS[:2]])))[
            "accuracy"
        ].value
    )
    assert any("No rows" in note for note in empty.evaluation().notes)


# 48: a shard given twice


def test_row_48_a_shard_given_twice():
    total = state_of().named("shard-0.npz")
    with refused(DataError, "shard-0.npz (2 rows) is given twice", "allow_duplicates=True"):
        total.merge(state_of(LABELS[:2], LOGITS[:2]).named("shard-0.npz"))
    with refused(DataError, "copy.npz (4 rows) and shard-0.npz (4 rows) hold the same rows", "allow_duplicates=True"):
        total.merge(state_of(LABELS[::-1], LOGITS[::-1]).named("copy.npz"))
    assert total.n == 4


# 74: a state file of a newer version, of other bins, or corrupt


def test_row_74_states_of_other_settings_name_the_field():
    with refused(DataError, "n_bins differs: 10 in the other, 15 in this state"):
        state_of().merge(state_of(n_bins=10))
    with refused(DataError, "edges differs: 'left' in the other, 'right' in this state"):
        state_of().merge(state_of(edges="left"))
    with refused(DataError, "n_classes differs: 2 in the other, 3 in this state"):
        state_of().merge(state_of(LABELS % 2, LOGITS[:, :2]))
    probs = ck.CalibrationState()
    probs.update(ck.Predictions.from_probs(LABELS, PROBS))
    with refused(DataError, "kind differs: 'probs' in the other, 'logits' in this state"):
        state_of().merge(probs)


@pytest.mark.parametrize(("field", "value"), [("format", "calibkit.state/2"), ("grid", 2)])
def test_row_74_a_newer_version_is_named(tmp_path, field, value):
    path = tmp_path / "a.ckst"
    state_of().save(path)
    header, body = taken_apart(path)
    put_together(path, json.loads(json.dumps(header | {field: value})), body)
    with refused(InputFormatError, "a.ckst: has format", str(value), "this calibkit reads 'calibkit.state/1'"):
        ck.CalibrationState.load(path)


def test_row_74_a_corrupt_file(tmp_path):
    path = tmp_path / "a.ckst"
    state_of().save(path)
    content = path.read_bytes()
    for damaged in (content[:-1], content[:300], content[:200] + b"\0" + content[201:]):
        path.write_bytes(damaged)
        with refused(InputFormatError, "a.ckst: is truncated or damaged: its checksum is wrong."):
            ck.CalibrationState.load(path)
