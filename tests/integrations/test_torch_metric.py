"""CalibrationMetric against CalibrationState: the same bits from the host, and from a device what it can give.

The path of a device is run on the CPU too, by a switch that is for tests alone.
"""

import io

import numpy as np
import pytest
import torch

import calibkit as ck
from calibkit.integrations.torch import CalibrationMetric, evaluate, share, tally
from calibkit.state.rows import LARGEST_WEIGHT

N = 700
KINDS = ["logits", "probs of 2", "probs of 10", "probs of 64", "probs of 300", "event", "log-odds", "top1", "correct"]
EXACT = [kind for kind in KINDS if kind not in ("logits", "log-odds")]


@pytest.fixture
def on_device(monkeypatch):
    """Tensors on the CPU are treated as if they were on a device."""
    monkeypatch.setattr(share, "is_read_on_host", lambda _: False)
    return torch.device("cpu")


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


def rows(kind, *, weighted=False, n=N, seed=0):
    """Tensors of n rows, some certain, tied, or just outside [0, 1]; with weights some of weight 0."""
    generator = torch.Generator().manual_seed(seed)
    k = int(kind.split()[-1]) if kind.startswith("probs") else 10
    logits = torch.randn(n, k, generator=generator, dtype=torch.float64) * 5
    logits[::9] = logits[::9].round()
    logits[4] = 0.0
    labels = torch.randint(k, (n,), generator=generator)
    probs = torch.softmax(logits, dim=1)
    probs[::50] = torch.nn.functional.one_hot(labels[::50], k).double()
    probs[1] = torch.nn.functional.one_hot((labels[1] + 1) % k, k).double()
    confidence = torch.rand(n, generator=generator)
    confidence[3] = 1 + 2 * torch.finfo(torch.float32).eps
    event = torch.rand(n, generator=generator, dtype=torch.float64)
    event[:3] = torch.tensor([0.5, 0.0, 1.0])
    found = {
        "logits": {"logits": logits.float(), "labels": labels},
        "event": {"probs": event, "labels": labels % 2},
        "log-odds": {"logits": logits[:, 0], "labels": labels % 2},
        "top1": {"predicted": labels.roll(1) // 2, "labels": labels // 2, "confidence": confidence},
        "correct": {"correct": labels < 5, "confidence": confidence},
    }.get(kind, {"probs": probs, "labels": labels})
    if weighted:
        found["weights"] = torch.rand(n, generator=generator) * (torch.arange(n) % 13 > 0)
    return found


def predictions(given, **reading):
    """What the arrays of these tensors are."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in given.items()}
    kind = (
        "logits" if "logits" in given else "probs" if "probs" in given else "correct" if "correct" in given else "top1"
    )
    return getattr(ck.Predictions, f"from_{kind}")(**arrays, **reading)


def state_of(given, **options):
    state = ck.CalibrationState(**options)
    state.update(predictions(given))
    return state


def fed(given, *, step=100, device=None, metric=None, **options):
    """A metric after batches of so many rows."""
    metric = CalibrationMetric(**options) if metric is None else metric
    n = len(next(iter(given.values())))
    for start in range(0, n, step):
        metric.update(**{name: one[start : start + step].to(device) for name, one in given.items()})
    return metric


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 97, N])
def test_the_host_gives_the_bits_of_the_state(kind, weighted, step):
    if step == 1 and (weighted or kind not in ("logits", "probs of 2")):
        pytest.skip("rows one by one: two kinds are enough")
    given = rows(kind, weighted=weighted, n=60 if step == 1 else N)
    assert fed(given, step=step).state() == state_of(given)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize(("step", "edges"), [(97, "right"), (N, "left")])
def test_a_device_gives_the_bits_of_the_state(kind, weighted, step, edges, on_device):
    given = rows(kind, weighted=weighted)
    metric = fed(given, step=step, device=on_device, edges=edges, n_bins=10)
    assert metric.state() == state_of(given, edges=edges, n_bins=10)
    assert metric.compute() == state_of(given, edges=edges, n_bins=10).evaluation()


@pytest.mark.cuda
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", EXACT)
def test_cuda_gives_the_bits_of_the_state(kind, weighted, cuda):
    given = rows(kind, weighted=weighted)
    assert fed(given, device=cuda).state() == state_of(given)


def check_logits(device, dtype):
    """Scores that agree to the rounding of float32, and counts that differ by the rows beside an edge at most."""
    given = rows("logits", n=3000) | {}
    given["logits"] = given["logits"].to(dtype)
    wide = given | {"logits": given["logits"].float() if dtype == torch.bfloat16 else given["logits"]}
    expected, found = state_of(wide).evaluation(), fed(given, device=device).compute()
    for name in ("accuracy", "mean_confidence", "nll", "brier"):
        for end in ("value", "low", "high"):
            assert getattr(found[name], end) == pytest.approx(getattr(expected[name], end), rel=1e-6)
    confidence = torch.softmax(given["logits"].double(), dim=1).amax(dim=1)
    near = int(((confidence * 15 - (confidence * 15).round()).abs() < 15e-6).sum())
    assert np.abs(found.reliability.count - expected.reliability.count).sum() <= 2 * near
    assert found["ece"].value == pytest.approx(expected["ece"].value, abs=1e-6 + near / 3000)
    assert found.notes[0] == expected.notes[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_logits_of_a_device_agree_to_float32(dtype, on_device):
    check_logits(on_device, dtype)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_logits_of_cuda_agree_to_float32(dtype, cuda):
    check_logits(cuda, dtype)


@pytest.mark.parametrize("kind", ["logits", "event", "probs of 10"])
def test_bfloat16_on_the_host_is_read_as_float32(kind):
    given = rows(kind)
    name = "logits" if kind == "logits" else "probs"
    if kind == "probs of 10":  # bfloat16 rows that sum to 1
        given["probs"] = torch.nn.functional.one_hot(given["labels"].roll(3), 10).float()
    given[name] = given[name].bfloat16()
    wide = given | {name: given[name].float()}
    assert fed(given).state() == state_of(wide)


def test_half_of_a_batch_is_not_kept_where_the_other_is_refused(monkeypatch):
    monkeypatch.setattr("calibkit.state.rows.STEP", 100)
    given = rows("logits")
    given["logits"] = given["logits"].bfloat16()
    metric = fed(given)
    before = metric.state()
    bad = given | {"logits": given["logits"].clone()}
    bad["logits"][-1] = torch.nan
    with pytest.raises(ck.DataError, match="value is NaN"):
        metric.update(**bad)
    assert metric.state() == before


def test_the_same_of_any_strides_and_of_tensors_with_gradients():
    given = rows("logits")
    turned = given | {"logits": given["logits"].T.contiguous().T.requires_grad_()}
    assert fed(turned).state() == state_of(given)


@pytest.mark.parametrize("path", ["host", "device"])
def test_rows_to_ignore_are_left_out_and_noted(path, request):
    if path == "device":
        request.getfixturevalue("on_device")
    given = rows("probs of 10", weighted=True)
    given["labels"][::7] = -100
    given["probs"][7] = torch.nan  # nothing in them is checked
    expected = ck.CalibrationState()
    expected.update(predictions(given, ignore_index=-100))
    state = fed(given, ignore_index=-100).state()
    assert state == expected
    assert state.notes == ("ignore_index=-100: 92 of 700 rows left out", "weight 0: 54 rows left out")


@pytest.mark.parametrize("kind", ["probs of 10", "logits"])
def test_logits_that_look_like_probabilities_are_noted(kind, on_device):
    given = rows("probs of 10")
    name = "logits" if kind == "logits" else "probs"
    notes = fed({name: given["probs"], "labels": given["labels"]}, device=on_device).compute().notes
    assert any("if they are probabilities" in note for note in notes) == (kind == "logits")


@pytest.mark.parametrize("labels_are_on", ["cpu", "meta"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_does_not_wait_for_a_device_nor_leave_it(kind, weighted, labels_are_on, monkeypatch):
    # The tensors of this device have no values: to ask for one is an error, and so is a tensor from elsewhere.
    device = torch.device("meta")
    monkeypatch.setattr(tally, "_MANY", 150)
    if kind.startswith(("probs", "event")):  # logarithms are the host's, once in many rows
        monkeypatch.setattr(tally, "log_scores_by_host", lambda log_of: log_of)
    given = rows(kind, weighted=weighted)
    forecast = next(name for name in ("logits", "probs", "confidence") if name in given)
    metric = CalibrationMetric(ignore_index=-100)
    fed({name: one.to(device if name == forecast else labels_are_on) for name, one in given.items()}, metric=metric)
    sums = metric._share.tallies[device]
    assert {one.device for one in (sums.count, sums.counts, *(part.limbs for part in sums.sums.values()))} == {device}
    with pytest.raises((RuntimeError, NotImplementedError)):
        metric.state()
    with pytest.raises(RuntimeError, match="meta"):
        _ = sums.count + torch.zeros(len(sums.count))


@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_does_not_wait_for_cuda(kind, cuda):
    given = {name: one.to(cuda) for name, one in rows(kind).items()}
    metric = fed(given, device=cuda)
    torch.cuda.set_sync_debug_mode("error")
    try:
        fed(given, device=cuda, metric=metric)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert metric.state().n == 2 * N


def test_rows_are_counted_at_times_and_in_pieces(on_device, monkeypatch):
    monkeypatch.setattr(tally, "_CHUNK", 64)
    monkeypatch.setattr(tally, "_MANY", 160)
    monkeypatch.setattr(share, "_ROWS", 100)
    given = rows("probs of 10", weighted=True)
    assert fed(given, step=150, device=on_device).state() == state_of(given)
    given["probs"][333] = 2.0
    with pytest.raises(ck.DataError, match="probs row 333"):
        fed(given, step=250, device=on_device).state()


@pytest.mark.parametrize("path", ["host", "device"])
@pytest.mark.parametrize("ids", [False, True], ids=["", "ids"])
def test_what_was_seen_goes_through_a_checkpoint(path, ids, request):
    if path == "device":
        request.getfixturevalue("on_device")
    given = rows("probs of 10", weighted=True) | ({"ids": torch.arange(N).flip(0)} if ids else {})
    first, rest = ({name: one[part] for name, one in given.items()} for part in (slice(0, 400), slice(400, None)))
    file = io.BytesIO()
    torch.save(fed(first).state_dict(), file)
    file.seek(0)
    metric = CalibrationMetric()
    metric.load_state_dict(torch.load(file, weights_only=True))
    assert fed(rest, metric=metric).state() == state_of({name: one for name, one in given.items() if name != "ids"})


def test_a_checkpoint_of_no_rows():
    metric = CalibrationMetric()
    metric.load_state_dict(CalibrationMetric().state_dict())
    assert metric.state() == ck.CalibrationState()


def test_a_checkpoint_that_is_damaged_or_of_other_settings_is_refused():
    saved = fed(rows("logits")).state_dict()
    with pytest.raises(ck.DataError, match="n_bins differs"):
        CalibrationMetric(n_bins=10).load_state_dict(saved)
    saved["state"][100] ^= 1
    metric = fed(rows("logits"))
    before = metric.state()
    with pytest.raises(ck.InputFormatError, match="checksum"):
        metric.load_state_dict(saved)
    with pytest.raises(ck.InputFormatError, match="expected what"):
        metric.load_state_dict({"weight": torch.zeros(2)})
    assert metric.state() == before


def test_a_result_in_between_changes_nothing_and_reset_forgets():
    given = rows("logits")
    metric = fed(given)
    assert metric.compute() == metric.compute()
    assert fed(given, metric=metric).state().n == 2 * N
    metric.reset()
    assert fed(given, metric=metric).state() == state_of(given)


def test_a_state_that_was_given_is_not_the_metric_s_own():
    metric = fed(rows("logits"))
    state = metric.state()
    state.update(predictions(rows("logits")))
    assert (state.n, metric.state().n) == (2 * N, N)


@pytest.mark.parametrize("path", ["host", "device"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_ids_give_the_same(kind, path, request):
    if path == "device":
        request.getfixturevalue("on_device")
        if kind not in EXACT:
            pytest.skip("a device's logits have their own bits")
    given = rows(kind, weighted=True)
    if "labels" in given:
        given["labels"][::7] = -1
    reading = {} if kind == "correct" else {"ignore_index": -1}
    expected = ck.CalibrationState()
    expected.update(predictions(given, **reading))
    assert fed(given | {"ids": torch.arange(N)}, **reading).state() == expected


def test_an_id_that_comes_twice_in_one_process_is_refused():
    metric = fed(rows("logits") | {"ids": torch.arange(N) % 699})
    with pytest.raises(ck.DataError, match=r"Row number 0 came 2 times\. ids are .*; reset\(\)"):
        metric.compute()


def test_ids_in_some_batches_only_are_refused():
    given = rows("logits")
    numbered = given | {"ids": torch.arange(N)}
    for first, second in ((given, numbered), (numbered, given)):
        metric = fed(first)
        with pytest.raises(ck.DataError, match="some batches came with ids"):
            metric.update(**second)


@pytest.mark.usefixtures("on_device")
def test_evaluate_is_a_metric_of_one_batch():
    given = rows("probs of 10")
    found = evaluate(**given, n_bins=10, confidence_level=0.9, rng=3, name="model")
    expected = state_of(given, n_bins=10).evaluation(name="model", confidence_level=0.9, rng=3)
    assert found == expected
    assert found.settings["rows"] == "state"
    every = evaluate(**given, metrics="all")
    assert every == state_of(given).evaluation(metrics="all")
    assert set(every.metrics) > set(found.metrics)


def test_no_batch_and_a_batch_of_no_rows():
    with pytest.raises(ck.DataError, match="empty"):
        CalibrationMetric().compute()
    metric = CalibrationMetric()
    metric.update(**{name: one[:0] for name, one in rows("logits").items()})
    assert metric.compute().n == 0


GIVEN = rows("probs of 10")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"probs": GIVEN["probs"]}, ck.InputFormatError, "update got probs; expected one of these sets"),
        ({}, ck.InputFormatError, "update got nothing"),
        (GIVEN | {"logits": GIVEN["probs"]}, ck.InputFormatError, "got labels, logits, probs"),
        (GIVEN | {"labels": GIVEN["labels"].numpy()}, ck.InputFormatError, "labels: expected a torch.Tensor, got nd"),
        (GIVEN | {"probs": GIVEN["probs"].long()}, ck.InputFormatError, "probs has dtype int64; expected floats"),
        (GIVEN | {"labels": GIVEN["labels"].double()}, ck.LabelError, r"labels has dtype float64.*labels.long\(\)"),
        (GIVEN | {"labels": GIVEN["labels"][1:]}, ck.ShapeError, "labels has 699 rows"),
        (GIVEN | {"probs": GIVEN["probs"][:, :1]}, ck.ShapeError, "1 column"),
        (GIVEN | {"probs": GIVEN["probs"][None]}, ck.ShapeError, "expected"),
        (GIVEN | {"ids": GIVEN["labels"].double()}, ck.LabelError, "ids has dtype float64"),
        (GIVEN | {"weights": GIVEN["probs"]}, ck.ShapeError, "weights has shape"),
        (GIVEN | {"labels": torch.tensor(3)}, ck.ShapeError, "labels is one value"),
    ],
)
@pytest.mark.parametrize("path", ["host", "device"])
def test_tensors_that_do_not_fit_are_refused(given, error, message, path, request):
    if path == "device":
        request.getfixturevalue("on_device")
    with pytest.raises(error, match=message):
        CalibrationMetric().update(**given)


@pytest.mark.parametrize("path", ["host", "device"])
@pytest.mark.parametrize("later", ["logits", "probs of 2", "event"])
def test_batches_of_different_kinds_are_refused(later, path, request):
    if path == "device":
        request.getfixturevalue("on_device")
    metric = fed(rows("probs of 10"))
    with pytest.raises(ck.DataError, match="differs"):
        metric.update(**rows(later))
    assert metric.state() == state_of(rows("probs of 10"))


def test_a_view_that_the_rows_do_not_have_is_refused():
    with pytest.raises(ck.ShapeError, match="positive"):
        CalibrationMetric(view="positive").update(**rows("logits"))


@pytest.mark.parametrize("path", ["host", "device"])
def test_two_classes_in_the_view_of_an_event(path, request):
    if path == "device":
        request.getfixturevalue("on_device")
    given = rows("probs of 2")
    assert fed(given, view="positive").state() == state_of(given, view="positive")


def test_bad_values_are_complained_of_at_once_on_the_host_and_at_the_result_of_a_device(monkeypatch):
    given = rows("probs of 10")
    bad = given | {"probs": given["probs"].clone()}
    bad["probs"][5, 2] = 7.0
    metric = fed(given, name="model")
    with pytest.raises(ck.DataError, match="model: probs row 5, class 2: value is 7"):
        metric.update(**bad)
    assert metric.state() == state_of(given)
    monkeypatch.setattr(share, "is_read_on_host", lambda _: False)
    metric = fed(given, name="model")
    metric.update(**bad)
    for ask in (metric.compute, metric.state, metric.state_dict):
        with pytest.raises(ck.DataError, match=r"model: probs row 705: value is 7.*\(1 of 1,400 rows"):
            ask()
    metric.reset()
    assert fed(given, metric=metric).state() == state_of(given)


@pytest.mark.parametrize("path", ["host", "device"])
@pytest.mark.parametrize("weight", [-1.0, torch.nan, torch.inf, LARGEST_WEIGHT])
def test_weights_that_a_state_cannot_hold(weight, path, request):
    if path == "device":
        request.getfixturevalue("on_device")
    given = rows("event") | {"weights": torch.ones(N)}
    given["weights"][9] = weight
    with pytest.raises(ck.DataError, match=r"weight.* row 9"):
        fed(given, step=N).compute()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": "some"}, "processes"),
        ({"n_bins": 0}, "n_bins"),
        ({"view": "classwise"}, "view"),
        ({"confidence_level": 2}, "confidence_level"),
        ({"ignore_index": 0.5}, "ignore_index"),
        ({"rng": "x"}, "rng"),
        ({"edges": "both"}, "edges"),
        ({"n_classes": 1}, "n_classes"),
    ],
)
def test_options_are_checked_when_the_metric_is_made(options, message):
    with pytest.raises(ck.OptionError, match=message):
        CalibrationMetric(**options)


def test_what_it_is_called():
    assert repr(fed(rows("top1"))) == "CalibrationMetric(n=700, kind='top1')"


def test_predictions_of_a_device_s_tensor_name_the_door():
    elsewhere = torch.empty(2, 3, device="meta")  # on no device of this machine, and so no array
    with pytest.raises(ck.InputFormatError, match=r"integrations\.torch\.evaluate\(labels=\.\.\., logits=\.\.\.\)"):
        ck.Predictions.from_logits([0, 1], elsewhere)
