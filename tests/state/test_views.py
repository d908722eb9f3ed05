"""States of the views with many pairs a row: the tables of all classes, exact and mergeable."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, OptionError, ShapeError
from calibkit.state import rows as steps
from tests.state.samples import numbers, predictions, state_of

VIEWS = ("classwise", "flattened")
KINDS = ("logits", "float32", "probs", "two", "event", "log-odds")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 70, 2_000])
def test_all_numbers_are_those_in_memory(kind, n, view):
    rows = predictions(kind, n)
    got, expected = state_of(rows, view=view).evaluation(), ck.evaluate(rows, view=view)
    found, wanted = numbers(got), numbers(expected)
    for key, value in wanted.items():
        if key[0] == "chance":
            continue
        assert (found[key] is None) == (value is None), key
        if value is not None:
            assert found[key] == pytest.approx(value, rel=1e-10, abs=1e-14, nan_ok=True), key
    assert (got.verdict is None) == (expected.verdict is None)
    assert got.reliability.view == expected.reliability.view


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_in_parts(monkeypatch, kind, view):
    rows = predictions(kind, 300)
    whole = state_of(rows, view=view)
    parts = [rows.take(index) for index in np.split(np.random.default_rng(0).permutation(300), [1, 2, 90, 200])]
    merged = ck.CalibrationState(view=view)
    for part in parts:
        merged.merge(state_of(part, view=view))
    assert merged == whole
    assert merged.evaluation() == whole.evaluation()
    monkeypatch.setattr(steps, "STEP", 7)
    again = ck.CalibrationState(view=view)
    again.update(rows, threads=2)
    assert again == whole


@pytest.mark.parametrize("view", VIEWS)
def test_a_state_comes_back(tmp_path, view):
    for n in (0, 400):
        state = state_of(predictions("probs", n), view=view)
        state.save(tmp_path / "a.ckst")
        back = ck.CalibrationState.load(tmp_path / "a.ckst")
        assert (back, back.digest) == (state, state.digest)
        assert back.evaluation() == state.evaluation()


def test_tables_of_classes_against_counting():
    rows = predictions("probs", 500, k=4)
    table = state_of(rows, view="classwise", n_bins=7).evaluation(metrics="all")
    expected = ck.class_calibration(rows.labels, rows.probs, n_bins=7)
    assert table["classwise_ece"].value == pytest.approx(np.mean(expected.error), rel=1e-12)
    assert table["ece"].value == table["classwise_ece"].value
    flat = state_of(rows, view="flattened", n_bins=7).evaluation()
    counted, _ = np.histogram(np.ceil(np.asarray(rows.probs) * 7).clip(1, 7), bins=np.arange(0.5, 8))
    np.testing.assert_array_equal(flat.reliability.count, counted)


def test_classes_that_never_occur_are_noted():
    rows = ck.Predictions.from_probs([0, 0, 2], [[0.5, 0.2, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    note = "1 of 3 classes never occur (1): their frequency is 0."
    assert note in state_of(rows, view="classwise").evaluation().notes
    assert note in ck.evaluate(rows, view="classwise").notes


@pytest.mark.parametrize("view", VIEWS)
def test_what_cannot_be_counted_is_refused(view):
    with pytest.raises(DataError, match=f"weighted rows cannot go into a state of view {view}"):
        state_of(predictions("probs", 5, weighted=True), view=view)
    with pytest.raises(ShapeError, match=view):
        state_of(predictions("top1", 5), view=view)
    with pytest.raises(DataError, match="view differs"):
        state_of(predictions("probs", 5), view=view).merge(state_of(predictions("probs", 5)))
    with pytest.raises(OptionError, match="more than"):
        state_of(ck.Predictions.from_probs([0], np.full((1, 200), 1 / 200)), view=view, n_bins=100_000)


def test_damaged_counts_of_classes_are_refused(tmp_path):
    from tests.state.test_file import put_together, taken_apart

    path = tmp_path / "a.ckst"
    state_of(predictions("probs", 30), view="classwise").save(path)
    header, body = taken_apart(path)
    start = 0
    for name, shape in header["arrays"]:
        if name == "class_counts":
            break
        start += int(np.prod(shape))
    for change in (1, -1):
        changed = np.frombuffer(body, "<i8").copy()
        changed[start] += change
        put_together(path, header, changed.tobytes())
        with pytest.raises(ck.InputFormatError, match="no rows could have left"):
            ck.CalibrationState.load(path)
