"""Row scores of tensors on their device against the one pass over arrays; on CUDA too where there is a device."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from calibkit import DataError, LabelError, Predictions
from calibkit.integrations.torch import pairwise, sums
from calibkit.integrations.torch.batches import Batch
from calibkit.integrations.torch.faults import Faults
from calibkit.integrations.torch.scores import log_scores_by_host
from calibkit.integrations.torch.scoring import ScoredBatch, score_batch
from calibkit.scores import score_rows

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
CLASSES = [2, 3, 10, 64, 65, 1000]
VECTORS = ("confidence", "correct", "log_score", "brier")


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


def rows(n, k, *, spread=4.0, seed=0):
    """Logits, some of them tied at the top and some -inf, and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=generator, dtype=torch.float64) * spread
    labels = torch.randint(k, (n,), generator=generator)
    logits[::7] = logits[::7].round()
    logits[::11, k - 1] = -torch.inf
    return logits, labels


def wide(tensor):
    """A tensor as an array that holds its values: bfloat16 has none of its own."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()


def scored(batch, device, **options) -> ScoredBatch:
    faults = Faults(device)
    found = score_batch(Batch(**{name: tensor.to(device) for name, tensor in batch.items()}), faults, **options)
    complain(faults, "logits" if "logits" in batch else "probs")
    return found


def complain(faults, kind, n_rows=9):
    faults.complain(kind, array_name=kind, n_classes=3, n_rows=n_rows, name=None)


def array(tensor):
    return tensor.cpu().numpy()


def log_scores(scores):
    """Log scores, those that wait for the host too."""
    return array(scores.log_score if scores.log_of is None else log_scores_by_host(scores.log_of))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", CLASSES)
def test_logits_agree_to_the_rounding_of_float32(k, dtype, device):
    logits, labels = rows(500, k)
    logits = logits.to(dtype)
    expected = score_rows(Predictions.from_logits(labels.numpy(), wide(logits)))
    found = scored({"logits": logits, "labels": labels}, device)
    for name in VECTORS:
        tolerance = 1e-14 if dtype == torch.float64 else 2e-6
        np.testing.assert_allclose(array(getattr(found.scores, name)), getattr(expected, name), rtol=tolerance)
    assert int(found.tied.sum()) == expected.n_ties
    assert (found.scores.positive is None) == (expected.positive is None)
    if expected.positive is not None:
        np.testing.assert_allclose(array(found.scores.positive), expected.positive, rtol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", CLASSES)
def test_probabilities_have_the_bits_of_the_cpu(k, dtype, device):
    logits, labels = rows(500, k)
    probs = torch.softmax(logits, dim=1)
    if dtype != torch.float64:  # rows of half precision sum to 1 where their entries are multiples of 1/128
        probs = (probs * 128).round().div(128) if dtype in (torch.float16, torch.bfloat16) else probs
        probs[:, 0] += 1 - probs.to(dtype).double().sum(dim=1)
        probs = probs.clamp(min=0).to(dtype)
    kept = (probs.double().sum(dim=1) - 1).abs() < 1e-5
    probs, labels = probs[kept], labels[kept]
    assert len(probs) > 50
    expected = score_rows(Predictions.from_probs(labels.numpy(), wide(probs), sum_tolerance=1e-4))
    found = scored({"probs": probs, "labels": labels}, device)
    for name in ("confidence", "correct", "positive"):
        if getattr(expected, name) is not None:
            assert np.array_equal(array(getattr(found.scores, name)), getattr(expected, name))
    assert np.array_equal(array(found.scores.brier), expected.brier)
    assert np.array_equal(log_scores(found.scores), expected.log_score)
    assert int(found.tied.sum()) == expected.n_ties
    assert float(found.deviation.amax()) == expected.max_sum_deviation


@pytest.mark.parametrize("name", ["probs", "logits"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_forecasts_of_one_event(name, dtype, device):
    generator = torch.Generator().manual_seed(3)
    odds = torch.randn(400, generator=generator, dtype=torch.float64) * 20
    values = (torch.sigmoid(odds) if name == "probs" else odds).to(dtype)
    values[:3] = 0.5 if name == "probs" else 0.0
    labels = torch.randint(2, (400,), generator=generator)
    expected = score_rows(getattr(Predictions, f"from_{name}")(labels.numpy(), values.numpy()))
    found = scored({name: values, "labels": labels}, device)
    for vector in (*VECTORS, "positive"):
        values = log_scores(found.scores) if vector == "log_score" else array(getattr(found.scores, vector))
        np.testing.assert_array_max_ulp(
            values.astype(np.float64),
            np.asarray(getattr(expected, vector), np.float64),
            maxulp=0 if name == "probs" or vector == "correct" else 4,
        )
    assert int(found.tied.sum()) == expected.n_ties == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_top1_and_correctness_have_the_bits_of_the_cpu(dtype, device):
    generator = torch.Generator().manual_seed(4)
    confidence = torch.rand(300, generator=generator, dtype=torch.float64).to(dtype)
    confidence[0], confidence[1] = 1 + 2 * torch.finfo(dtype).eps, -0.0
    labels, predicted = (torch.randint(5, (300,), generator=generator) for _ in range(2))
    expected = Predictions.from_top1(labels.numpy(), predicted.numpy(), confidence.numpy())
    found = scored({"labels": labels, "predicted": predicted, "confidence": confidence}, device)
    right = scored({"correct": labels == predicted, "confidence": confidence}, device)
    numbers = scored({"correct": (labels == predicted).int(), "confidence": confidence}, device)
    for one in (found, right, numbers):
        assert np.array_equal(array(one.scores.confidence), expected.confidence)
        assert not np.signbit(array(one.scores.confidence)).any()
        assert np.array_equal(array(one.scores.correct), expected.correct)
        assert one.scores.log_score is None
        assert int(one.moved.sum()) == 1


@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_rows_are_summed_in_the_order_of_arrays(n_rows, device):
    generator = torch.Generator().manual_seed(n_rows)
    for k in (8, 65, 127, 128, 129, 136, 200, 257, 1000, 1001, 4096, 5000, 8193, 20_000):
        block = torch.rand(n_rows, k, generator=generator, dtype=torch.float64) ** 8
        assert array(pairwise.sum_rows(block.to(device))).tolist() == np.add.reduce(block.numpy(), axis=1).tolist()


def test_a_confident_row_keeps_its_relative_precision(device):
    logits = torch.tensor([[200.0, 0.0, -1.0], [90.0, -90.0, -91.0]], dtype=torch.float32)
    labels = torch.tensor([0, 0])
    found = scored({"logits": logits, "labels": labels}, device)
    expected = np.exp([-200.0, -180.0]) * (1 + np.exp(-1.0))
    np.testing.assert_allclose(array(found.scores.log_score), expected, rtol=1e-6)


def test_ties_go_to_the_lowest_class(device):
    logits = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, 1.0, 2.0]])
    found = scored({"logits": logits, "labels": torch.tensor([2, 0, 2])}, device)
    assert found.scores.correct.tolist() == [False, True, True]
    assert found.tied.tolist() == [True, True, False]


def test_rows_to_ignore_and_of_weight_0_do_not_count(device):
    batch = {
        "logits": torch.tensor([[1.0, 3.0], [torch.nan, 2.0], [0.0, 1.0]]),
        "labels": torch.tensor([1, -100, 0]),
        "weights": torch.tensor([1.5, 1.0, 0.0]),
    }
    found = scored(batch, device, ignore_index=-100)
    assert found.kept.tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["logits", "probs"])
@pytest.mark.parametrize("k", [5, 100])
def test_bits_do_not_depend_on_the_block_and_nothing_larger_is_allocated(name, k, monkeypatch):
    logits, labels = rows(203, k)
    values = logits.float() if name == "logits" else torch.softmax(logits, dim=1)
    whole = scored({name: values, "labels": labels}, torch.device("cpu"))
    monkeypatch.setattr(sums, "BLOCK_BYTES", 7 * k * 8)
    with Allocations(values) as seen:
        pieces = scored({name: values, "labels": labels}, torch.device("cpu"))
    for vector, expected in whole.vectors().items():
        assert torch.equal(pieces.vectors()[vector], expected)
    assert seen.largest <= max(14 * k, 6 * 203)  # a block, or six numbers a row
    assert seen.readings <= 2 * values.numel()


class Allocations(TorchDispatchMode):
    """The most numbers of any result, and how many of one tensor's numbers were read."""

    def __init__(self, watched):
        super().__init__()
        self.storage, self.largest, self.readings = watched.untyped_storage().data_ptr(), 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        outputs = [one for one in (results if isinstance(results, tuple) else (results,)) if torch.is_tensor(one)]
        new = [one for one in outputs if not any(one.untyped_storage().data_ptr() == self._home(arg) for arg in args)]
        if new:
            self.largest = max(self.largest, *(one.numel() for one in new))
            self.readings += sum(arg.numel() for arg in args if self._home(arg) == self.storage)
        return results

    @staticmethod
    def _home(tensor):
        return tensor.untyped_storage().data_ptr() if torch.is_tensor(tensor) else None


GOOD = torch.tensor([[0.7, 0.2, 0.1]] * 9)


def with_value(value, row=4, column=1, values=GOOD):
    values = values.clone()
    values[row:, column] = value
    return values


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("logits", with_value(torch.nan), r"logits row 4: value is NaN \(5 of 9 rows have NaN or inf\)"),
        ("logits", with_value(torch.inf), r"logits row 4: value is inf, for which softmax is undefined"),
        ("logits", torch.full((9, 3), -torch.inf), "row 0: every logit is -inf"),
        ("probs", with_value(torch.nan), r"probs row 4: value is NaN \(5 of 9 rows"),
        ("probs", with_value(torch.inf), "probs row 4: value is inf"),
        ("probs", with_value(-0.2), r"probs row 4: value is -0.2.*, below 0 \(5 of 9 rows"),
        ("probs", with_value(1.2), "probs row 4: value is 1.2.*, above 1"),
        ("probs", with_value(0.3), r"probs row 4: the row sums to 1.1.*, not 1 \(5 of 9 rows are off\)"),
        ("logits", with_value(torch.nan)[:, 1], "logits row 4: value is NaN"),
        ("logits", with_value(-torch.inf)[:, 1], "logits row 4: value is -inf"),
        ("probs", with_value(torch.nan)[:, 1], "probs row 4: value is NaN"),
        ("probs", with_value(1.2)[:, 1], "probs row 4: value is 1.2.*, above 1"),
        ("probs", with_value(-0.2)[:, 1], "probs row 4: value is -0.2.*, below 0"),
    ],
)
def test_a_bad_value_is_named_by_its_first_row(name, values, message, device):
    faults = Faults(device)
    for start in (0, 3):  # two batches: rows are counted on
        part = values[start : 3 if start == 0 else None].to(device)
        batch = Batch(**{name: part, "labels": torch.zeros(len(part), dtype=torch.int64, device=device)})
        found = score_batch(batch, faults, start=start)
    assert not found.kept[-1]
    with pytest.raises(DataError, match=message):
        complain(faults, name)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ({"probs": GOOD, "labels": torch.tensor([0] * 8 + [3])}, LabelError, "labels row 8: value is 3 .*label.*- 1"),
        ({"probs": GOOD, "labels": torch.tensor([0] * 8 + [-1])}, LabelError, "expected 0 to 2 .*ignore_index=-1"),
        ({"probs": GOOD[:, 0], "labels": torch.arange(9)}, LabelError, r"labels row 2: value is 2 \(7 of 9 rows\)"),
        (
            {"predicted": torch.arange(9) - 1, "labels": torch.arange(9), "confidence": GOOD[:, 0]},
            LabelError,
            "predicted row 0: value is -1 .*expected 0 to 2 for 3 classes.$",
        ),
        ({"correct": torch.arange(9), "confidence": GOOD[:, 0]}, DataError, "correct row 2: value is 2 .*1 and 0"),
        (
            {"probs": GOOD, "labels": torch.zeros(9, dtype=torch.int64), "weights": with_value(-1.0)[:, 1]},
            DataError,
            "weights row 4: value is -1 .*at least 0",
        ),
    ],
)
def test_a_bad_label_or_weight_is_named_by_its_first_row(batch, error, message, device):
    faults = Faults(device)
    score_batch(Batch(**{name: tensor.to(device) for name, tensor in batch.items()}), faults)
    with pytest.raises(error, match=message):
        complain(faults, "probs")


def test_the_gravest_of_several_faults_is_named(device):
    faults = Faults(device)
    probs = with_value(torch.nan, row=8, values=with_value(0.3, row=2)).to(device)
    score_batch(Batch(probs=probs, labels=torch.full((9,), 7, device=device)), faults)
    score_batch(Batch(probs=probs, labels=torch.zeros(9, dtype=torch.int64, device=device)), faults, start=9)
    with pytest.raises(DataError, match="probs row 17: value is NaN"):
        complain(faults, "probs", n_rows=18)


def test_no_rows(device):
    found = scored({"logits": torch.empty(0, 3), "labels": torch.empty(0, dtype=torch.int64)}, device)
    assert len(found.kept) == len(found.scores.confidence) == 0
