"""Numbers of bfloat16 are kept as they are, and everything says of them what it says of their float32 copy."""

import copy
import pickle

import numpy as np
import pytest

import calibkit as ck
from calibkit._checks import BFloat16Array
from calibkit.alignment import align
from calibkit.files.size import bytes_in_memory
from calibkit.recalibration import cross_fit_temperature
from calibkit.same_rows import hold_the_same_rows
from calibkit.scores import score_rows
from calibkit.scores.derivatives import loss_derivatives
from tests.scores.test_memory import peak

FIELDS = ("confidence", "correct", "log_score", "brier")
EVERY = np.arange(1 << 16, dtype=np.uint16)


def float32_of(bits):
    """The value of each 16 bits from its sign, exponent and fraction, not by a shift."""
    sign, exponent, fraction = bits >> 15, (bits >> 7) & 0xFF, (bits & 0x7F).astype(np.float64)
    scale = np.exp2(np.maximum(exponent, 1).astype(np.float64) - 127)
    size = np.where(exponent == 0, 0.0, 1.0) + fraction / 128
    value = np.where(exponent < 255, size * scale, np.where(fraction == 0, np.inf, np.nan))
    return np.where(sign == 1, -value, value).astype(np.float32)


# -------------------------------------------------------------------------------------------------------- the array


def test_every_number_is_read_exactly():
    np.testing.assert_array_equal(np.asarray(BFloat16Array(EVERY)), float32_of(EVERY))
    signs = np.signbit(np.asarray(BFloat16Array(EVERY)))
    np.testing.assert_array_equal(signs, EVERY >= 1 << 15)


def some():
    values = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    return BFloat16Array(bits), float32_of(bits)


@pytest.mark.parametrize(
    "index",
    [2, (1, 3), slice(1, 5, 2), [4, 0], np.array([True, False] * 3), (slice(None), -1), (slice(None), [2, 0]), None],
    ids=str,
)
def test_parts_are_those_of_an_array(index):
    numbers, values = some()
    part = numbers[index]
    assert np.shape(part) == np.shape(values[index])
    assert type(part) is (BFloat16Array if np.ndim(values[index]) else np.float32)
    np.testing.assert_array_equal(part, values[index])


def test_nothing_is_written_into_it():
    numbers, values = some()
    with pytest.raises(ValueError, match="read-only"):
        numbers += 1
    with pytest.raises(ValueError, match="read-only"):
        np.add(values, 1, out=numbers)
    with pytest.raises(TypeError, match="does not support item assignment"):
        numbers[0] = 1
    np.testing.assert_array_equal(numbers, values)


def test_it_answers_as_an_array_of_float32():
    numbers, values = some()
    assert (numbers.shape, numbers.ndim, numbers.size, len(numbers)) == ((6, 5), 2, 30, 6)
    assert (numbers.dtype, numbers.nbytes, repr(numbers)) == (np.float32, 60, "BFloat16Array(shape=(6, 5))")
    assert np.shares_memory(numbers.T[1:].bits, numbers.bits)
    asked = [
        lambda x: x.T,
        lambda x: x.argmax(axis=1),
        lambda x: x.tolist(),
        lambda x: x.astype(np.float64),
        lambda x: np.asarray(x, dtype=np.float64),
        lambda x: np.exp(x),
        lambda x: x - x.max(axis=1, keepdims=True),
        lambda x: 1 - x,
        lambda x: values + x,
        lambda x: x == values,
        lambda x: np.maximum.reduce(x, axis=1),
        lambda x: np.concatenate([x, x[:2]]),
        lambda x: np.argsort(x, axis=1),
        lambda x: [row.sum() for row in x],
    ]
    for ask in asked:
        np.testing.assert_array_equal(ask(numbers), ask(values))
        assert np.asarray(ask(numbers)).dtype == np.asarray(ask(values)).dtype


def test_what_it_cannot_do_it_refuses():
    numbers, _ = some()
    with pytest.raises(TypeError, match="item assignment"):
        numbers[0] = 1.0
    with pytest.raises(ValueError, match="which is a copy"):
        np.asarray(numbers, copy=False)
    with pytest.raises(AttributeError, match="__array_interface__"):
        numbers.__array_interface__  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        numbers.colour  # noqa: B018


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(twin):
    numbers, values = some()
    np.testing.assert_array_equal(twin(numbers), values)


# ------------------------------------------------------------------------------------------------- what is made of it


def arrays(kind, n_classes, n_rows=60, seed=0):
    """Labels, and numbers with ties, rows of few classes and, of probabilities, some that are 0, 1 or subnormal."""
    labels = np.random.default_rng(n_classes).integers(0, n_classes, n_rows)
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(n_rows, n_classes)) * 4).astype(np.float32)
    values[::5, 1] = values[::5].max(axis=1)
    values[np.arange(0, n_rows, 2), labels[::2]] += 4
    if kind == "probs":
        values = np.exp(values - values.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
        values[3] = np.eye(n_classes, dtype=np.float32)[labels[3]]
        values[4] = np.eye(n_classes, dtype=np.float32)[labels[4]]
        values[4, labels[4] - 1] = 1e-40
    return labels, values


def pair(kind, n_classes, *, of="torch", seed=0, **options):
    """Predictions of a bfloat16 array, and of its float32 copy with the same tolerance."""
    labels, values = arrays(kind, n_classes, seed=seed)
    torch = pytest.importorskip("torch")
    half = torch.from_numpy(values).to(torch.bfloat16)
    wide = half.float().numpy()
    if of == "ml_dtypes":
        half = values.astype(pytest.importorskip("ml_dtypes").bfloat16)
    make = getattr(ck.Predictions, f"from_{kind}")
    tolerance = {"sum_tolerance": max(8, n_classes) * 2.0**-7} if kind == "probs" else {}
    return make(labels, half, **options), make(labels, wide, **tolerance, **options)


def check_same_scores(got, expected):
    for name in FIELDS:
        assert getattr(got, name).tobytes() == getattr(expected, name).tobytes(), name
    assert (got.n_ties, got.n_snapped, got.n_zero) == (expected.n_ties, expected.n_snapped, expected.n_zero)
    assert got.max_sum_deviation == expected.max_sum_deviation


SHAPES = pytest.mark.parametrize("n_classes", [2, 10, 65, 1000])
KINDS = pytest.mark.parametrize("kind", ["logits", "probs"])


@KINDS
@SHAPES
@pytest.mark.parametrize("of", ["torch", "ml_dtypes"])
@pytest.mark.parametrize("temperature", [None, 1.7])
def test_scores_are_those_of_the_float32_copy_to_the_bit(kind, n_classes, of, temperature):
    got, expected = pair(kind, n_classes, of=of)
    assert type(got.values) is BFloat16Array
    check_same_scores(score_rows(got, temperature=temperature), score_rows(expected, temperature=temperature))
    found = loss_derivatives(got, 0.3, step=2, threads=1)
    assert found.tobytes() == loss_derivatives(expected, 0.3, step=2, threads=1).tobytes()


@KINDS
def test_the_memory_of_the_tensor_is_read_whatever_its_strides(kind):
    torch = pytest.importorskip("torch")
    labels, values = arrays(kind, 70)
    half = torch.from_numpy(values).to(torch.bfloat16)
    make = getattr(ck.Predictions, f"from_{kind}")
    expected = make(labels, half)
    for view in (half.T.contiguous().T, torch.stack([half, half], dim=2)[:, :, 1], half.flip(0).contiguous().flip(0)):
        made = make(labels, view)
        assert np.shares_memory(made.values.bits, view.view(torch.int16).numpy())
        assert made == expected
        check_same_scores(score_rows(made), score_rows(expected))


def test_one_number_a_row_becomes_float32():
    torch = pytest.importorskip("torch")
    made = ck.Predictions.from_probs([0, 1], torch.tensor([0.1, 0.7], dtype=torch.bfloat16))
    assert type(made.probs) is np.ndarray
    assert made.probs.dtype == np.float32


@KINDS
@SHAPES
def test_evaluations_are_those_of_the_float32_copy(kind, n_classes):
    got, expected = pair(kind, n_classes)
    assert got == expected
    assert ck.evaluate(got).to_dict() == ck.evaluate(expected).to_dict()
    assert ck.evaluate(got, view="classwise").to_dict() == ck.evaluate(expected, view="classwise").to_dict()
    states = [ck.CalibrationState(), ck.CalibrationState()]
    states[0].update(got)
    states[1].update(expected)
    assert states[0] == states[1]


@KINDS
@pytest.mark.parametrize("n_classes", [2, 10, 65])
def test_every_metric_and_comparison_is_that_of_the_float32_copy(kind, n_classes):
    (got, expected), (other, wide) = pair(kind, n_classes), pair(kind, n_classes, seed=1)
    assert ck.evaluate(got, metrics="all").to_dict() == ck.evaluate(expected, metrics="all").to_dict()
    compared = [ck.compare({"a": a, "b": b}) for a, b in ((got, other), (expected, wide))]
    assert compared[0].to_dict() == compared[1].to_dict()
    itself = ck.compare({"a": got, "b": pair(kind, n_classes)[0]})
    assert itself.differences["b"]["ece"].p_value == 1.0
    assert hold_the_same_rows(got, expected)
    assert not hold_the_same_rows(got, wide)


@pytest.mark.parametrize("method", ["temperature", "vector", "isotonic"])
def test_calibrated_forecasts_are_those_of_the_float32_copy(method):
    pytest.importorskip("sklearn")
    got, expected = pair("logits", 5)
    assert ck.cross_calibrate(method, got) == ck.cross_calibrate(method, expected)
    assert ck.fit_calibrator(method, got).get_params() == ck.fit_calibrator(method, expected).get_params()


def test_rows_and_classes_are_moved_without_a_float32_copy():
    names = tuple("abc")
    ids = np.arange(60)
    got, expected = pair("logits", 3, ids=ids, class_names=names)
    turned = ck.Predictions.from_logits(
        (2 - got.labels)[::-1].copy(), got.logits[::-1, ::-1], ids=ids[::-1], class_names=names[::-1]
    )
    assert type(turned.logits) is BFloat16Array
    aligned, _ = align({"a": expected, "b": turned}, "a")
    assert type(aligned["b"].logits) is BFloat16Array
    assert aligned["b"] == expected
    taken = got.take(ids % 7 == 0)
    assert type(taken.logits) is BFloat16Array
    assert taken == expected.take(ids % 7 == 0)
    assert pickle.loads(pickle.dumps(taken)) == copy.deepcopy(taken) == taken
    assert taken != got.take(ids % 5 == 0)


def test_what_is_saved_is_float32(tmp_path):
    for kind in ("logits", "probs"):
        got, expected = pair(kind, 10, name="net")
        ck.save(got, tmp_path / "short.npz")
        ck.save(expected, tmp_path / "wide.npz")
        assert (tmp_path / "short.npz").read_bytes() == (tmp_path / "wide.npz").read_bytes()
        assert ck.load(tmp_path / "short.npz") == got


@pytest.mark.parametrize(
    ("kind", "row", "value", "options"),
    [
        ("logits", 7, np.nan, {}),
        ("logits", 7, np.inf, {}),
        ("logits", slice(7, 8), -np.inf, {}),
        ("probs", 7, 1.5, {}),
        ("probs", 7, -0.5, {}),
        ("probs", slice(7, 8), 0.5, {}),
        ("probs", 7, np.nan, {}),
        ("probs", 7, np.nan, {"renormalize": True}),
        ("probs", 7, 1.5, {"invalid": "drop"}),
    ],
)
def test_complaints_are_those_of_the_float32_copy(kind, row, value, options):
    torch = pytest.importorskip("torch")
    labels, values = arrays(kind, 10)
    values[(row, slice(None)) if isinstance(row, slice) else (row, 3)] = value
    half = torch.from_numpy(values).to(torch.bfloat16)
    make, said = getattr(ck.Predictions, f"from_{kind}"), []
    for given in (half, half.float().numpy()):
        tolerance = {"sum_tolerance": 10 * 2.0**-7} if kind == "probs" else {}
        with pytest.raises(ck.DataError) as error:
            ck.evaluate(make(labels, given, name="net", **tolerance, **options))
        said.append(str(error.value))
    assert said[0] == said[1]
    assert said[0].startswith(f"net: {kind} row 7")


@pytest.mark.parametrize("options", [{"invalid": "drop"}, {"clip": 1e-3}, {"renormalize": True}, {"log_probs": True}])
def test_opt_ins_are_those_of_the_float32_copy(options):
    torch = pytest.importorskip("torch")
    labels, values = arrays("probs", 10)
    values = np.log(np.maximum(values, 1e-30)) if "log_probs" in options else values
    half = torch.from_numpy(values).to(torch.bfloat16)
    if "invalid" in options:
        half[[2, 9], 3] = torch.nan
    made = [
        ck.Predictions.from_probs(labels, given, sum_tolerance=0.2, **options)
        for given in (half, half.float().numpy(), BFloat16Array(half.view(torch.int16).numpy().view(np.uint16)))
    ]
    assert made[0] == made[1] == made[2]
    assert made[0].notes == made[1].notes
    assert type(made[0].values) is (np.ndarray if {"clip", "renormalize"} & options.keys() else BFloat16Array)
    check_same_scores(score_rows(made[0]), score_rows(made[1]))


def test_one_hot_labels():
    torch = pytest.importorskip("torch")
    labels, values = arrays("logits", 3)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels)).to(torch.bfloat16)
    np.testing.assert_array_equal(ck.Predictions.from_logits(one_hot, values).labels, labels)


# -------------------------------------------------------------------------------------------------- files and memory


def files(folder, n_rows=5_000, n_classes=1_000):
    """The same logits, a tensor and in two files: 10 MB, which would be 20 as float32."""
    torch, save_file = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save_file
    labels, values = arrays("logits", n_classes, n_rows)
    tensors = {"labels": torch.from_numpy(labels), "logits": torch.from_numpy(values).to(torch.bfloat16)}
    save_file(tensors, folder / "net.safetensors")
    torch.save(tensors, folder / "net.pt")
    return ck.Predictions.from_logits(**tensors, name="net")


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_files_keep_their_numbers_as_they_are(ending, tmp_path):
    expected, path = files(tmp_path, 500, 9), tmp_path / f"net.{ending}"
    loaded = ck.load(path)
    assert type(loaded.logits) is BFloat16Array
    assert loaded == expected
    blocks = list(ck.scan(path, block_rows=70))
    assert all(type(block.logits) is BFloat16Array for block in blocks)
    np.testing.assert_array_equal(np.concatenate([block.logits for block in blocks]), expected.logits)
    assert ck.evaluate(path) == ck.evaluate(expected)
    assert bytes_in_memory(path) == 500 * (8 + 9 * 2)


def test_nothing_makes_a_float32_copy(tmp_path):
    rows = files(tmp_path)
    other = ck.Predictions.from_logits(rows.labels, rows.logits[:, [1, 0, *range(2, 1_000)]])
    works = {
        "make": (lambda: ck.Predictions.from_logits(rows.labels, rows.logits), 0),
        "drop": (lambda: ck.Predictions.from_logits(rows.labels, rows.logits, invalid="drop"), 0),
        "evaluate": (lambda: ck.evaluate(rows, threads=1), 0),
        "state": (lambda: ck.CalibrationState().update(rows), 0),
        "temperatures": (lambda: cross_fit_temperature(rows), 0),
        "compare": (lambda: ck.compare({"a": rows, "b": other}), 0),
        "equal": (lambda: rows == other, 0),
        "take": (lambda: rows.take(np.arange(len(rows))), rows.logits.nbytes),
        "load": (lambda: ck.load(tmp_path / "net.safetensors"), rows.logits.nbytes),
        "load .pt": (lambda: ck.load(tmp_path / "net.pt"), rows.logits.nbytes),
    }
    for name, (work, own) in works.items():
        assert peak(work) < own + 9e6 < own + rows.logits.nbytes, name
