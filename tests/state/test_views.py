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
        if key[0] == "chance":  # other draws; a single row shows one of a few values
            assert n == 1 or found[key] == pytest.approx(value, rel=0.1, abs=0.12, nan_ok=True), key
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


def honest(n, k, seed=0, *, sharpness=1.0):
    """Rows whose labels are drawn from their probabilities."""
    rng = np.random.default_rng([n, k, seed])
    logits = rng.normal(size=(n, k)) * 2 + 3 * np.eye(k)[rng.integers(0, k, n)]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probs.cumsum(axis=1) > rng.random((n, 1)) * probs.sum(axis=1, keepdims=True)).argmax(axis=1)
    return ck.Predictions.from_logits(labels, sharpness * logits)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("n", "k"), [(500, 3), (6_000, 3), (6_000, 10), (2_000, 60)])
def test_chance_levels_are_those_in_memory(n, k, view):
    rows = honest(n, k)
    got, expected = state_of(rows, view=view).evaluation().chance, ck.evaluate(rows, view=view).chance
    # 500 draws have a standard error of 1 % of the mean in view flattened, and of half of that in view classwise.
    assert got.mean == pytest.approx(expected.mean, rel=0.02 if view == "classwise" else 0.045)
    assert got.p95 == pytest.approx(expected.p95, rel=0.03 if view == "classwise" else 0.06)
    assert got.p_value == pytest.approx(expected.p_value, abs=0.1)
    everything = state_of(rows, view=view).evaluation(metrics="all")
    assert everything.chance == got
    assert ("classwise_ece" in everything.by_chance) == (view == "classwise")


@pytest.mark.parametrize("view", VIEWS)
def test_miscalibrated_rows_are_beyond_chance(view):
    found = state_of(honest(3_000, 5, sharpness=1.5), view=view).evaluation()
    assert found.chance.p_value < 0.01
    assert found["ece"].low > 0
    assert any("a calibrated model with these confidences would show" in note for note in found.notes)
    assert state_of(honest(3_000, 5), view=view).evaluation(confidence_level=None).chance is None


@pytest.mark.parametrize("view", VIEWS)
def test_calibrated_rows_are_rejected_as_often_as_said(view):
    p_values = [state_of(honest(150, 4, seed), view=view).evaluation().chance.p_value for seed in range(200)]
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09  # two and a half standard errors around 5 %
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


def test_equal_rows_count_as_often_as_they_occur():
    rng = np.random.default_rng(4)
    three = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2], [0.05, 0.9, 0.05]])
    probs = three[rng.choice(3, 40_000, p=[0.1, 0.3, 0.6])]
    labels = (probs.cumsum(axis=1) > rng.random((40_000, 1))).argmax(axis=1)
    rows = ck.Predictions.from_probs(labels, probs)
    state = state_of(rows, view="classwise")
    _, often = np.unique(probs[:, 0], return_counts=True)
    np.testing.assert_array_equal(np.sort(state.tally.sketch.counts), np.sort(often))
    got, expected = state.evaluation().chance, ck.evaluate(rows, view="classwise").chance
    assert got.mean == pytest.approx(expected.mean, rel=0.05)
    assert got.p95 == pytest.approx(expected.p95, rel=0.05)


def without_sample(path, state):
    """The state as it was saved before there was a sample of rows."""
    from tests.state.test_file import put_together, taken_apart

    state.save(path)
    header, body = taken_apart(path)
    kept, pieces, start = [], [], 0
    for name, shape in header["arrays"]:
        stop = start + 8 * int(np.prod(shape))
        if not name.startswith("row_"):
            kept.append([name, shape])
            pieces.append(body[start:stop])
        start = stop
    put_together(path, header | {"arrays": kept}, b"".join(pieces))
    return ck.CalibrationState.load(path)


@pytest.mark.parametrize("view", VIEWS)
def test_a_state_of_before_has_no_sample(tmp_path, view):
    rows, more = honest(400, 4), honest(300, 4, 1)
    old, new = without_sample(tmp_path / "old.ckst", state_of(rows, view=view)), state_of(more, view=view)
    whole = state_of(rows, more, view=view).evaluation(metrics="all")
    assert old + new == new + old
    old.save(tmp_path / "again.ckst")
    assert ck.CalibrationState.load(tmp_path / "again.ckst") == old
    merged = old + new
    old.update(more)
    assert old.digest == merged.digest
    for state in (merged, old):
        found = state.evaluation(metrics="all")
        assert found.chance is None
        assert not found.by_chance.keys() & {"classwise_ece"}
        assert any(note.startswith("No chance level of ECE: in this view it is drawn from") for note in found.notes)
        assert found["ece"].value == whole["ece"].value


def test_a_sample_that_no_rows_could_have_left_is_refused(tmp_path):
    from tests.state.test_file import put_together, taken_apart

    path = tmp_path / "a.ckst"
    state_of(predictions("probs", 30), view="classwise").save(path)
    header, body = taken_apart(path)
    starts, start = {}, 0
    for name, shape in header["arrays"]:
        starts[name] = start
        start += int(np.prod(shape))
    numbers = np.frombuffer(body, "<i8")
    for name, value in (
        ("row_hashes", numbers[starts["row_hashes"] + 1]),
        ("row_counts", 0),
        ("row_counts", 2),
        ("row_cells", -1),
        ("row_cells", 5 * 15),
    ):
        changed = numbers.copy()
        changed[starts[name]] = value
        put_together(path, header, changed.tobytes())
        with pytest.raises(ck.InputFormatError, match="no rows could have left"):
            ck.CalibrationState.load(path)


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
