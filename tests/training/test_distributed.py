"""Two gloo processes: every row once, in the order of the dataset, the same in both; and the loss's gradient."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from calibkit.errors import DataError
from calibkit.training import LabelSmoothingCrossEntropy, mlp, predict
from calibkit.training.distributed import check_index
from tests.processes import run_processes
from tests.training import two_processes as two


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of two processes saw."""
    folder = tmp_path_factory.mktemp("two")
    run_processes("tests.training.two_processes", folder, two.WORLD)
    return [dict(np.load(folder / f"process{rank}.npz")) for rank in range(two.WORLD)]


@pytest.mark.parametrize("name", two.predicted(0))
def test_every_process_has_every_row_once_in_order(processes, name):
    n_rows = 1 if name == "more processes than rows" else two.N
    inputs, labels = (tensor[:n_rows] for tensor in two.dataset().tensors)
    expected = two.network().eval()(inputs).detach().numpy()
    for seen in processes:
        np.testing.assert_allclose(seen[f"{name}/logits"], expected, atol=1e-6)
        assert seen[f"{name}/labels"].tolist() == labels.tolist()
        assert seen[f"{name}/ids"].tolist() == list(range(n_rows))
    assert np.array_equal(processes[0][f"{name}/logits"], processes[1][f"{name}/logits"])


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("other weights", ["0.weight differs between process 0 and process 1"] * 2),
        ("other buffers", ["0.running_mean differs between process 0 and process 1"] * 2),
        ("one fails", ["Process 1 failed, so no process has predictions", "ZeroDivisionError: only here"]),
        ("one network fails, by index", ["Process 1 failed", "ZeroDivisionError: only here"]),
        ("one loader fails, by index", ["Process 1 failed", "ZeroDivisionError: after a batch"]),
        ("other epochs", ["rows came from no process"] * 2),
        ("one rank for both", ["Process 1 failed", "gives share 0 of 2 in process 1 of 2"]),
        ("rows are dropped", ["drop_last=False"] * 2),
        ("another label", ["Row 3 came with label"] * 2),
        ("rows are missing", ["3 of 11 rows came from no process, the first is row 6"] * 2),
        ("no rows at all", ["The loader gave no rows"] * 2),
        ("no rows in the dataset", ["No process had a batch"] * 2),
    ],
)
def test_what_goes_wrong_in_one_process_is_an_error_in_both(processes, name, messages):
    for seen, message in zip(processes, messages, strict=True):
        assert message in str(seen[f"{name}/error"])


def test_a_plain_loader_is_one_process_s_own(processes):
    np.testing.assert_allclose(processes[1]["alone/logits"], processes[1]["sampler/logits"], atol=1e-6)
    assert "The loader gave no rows" in str(processes[1]["alone/error"])  # without waiting for a process not asked


@pytest.mark.parametrize("name", ["mean", "sum"])
def test_the_gradient_is_that_of_all_rows_in_one_process(processes, name):
    inputs, labels = (tensor[:10] for tensor in two.dataset().tensors)
    if name == "sum":
        labels = labels.masked_fill(torch.arange(10) % 4 == 0, -100)
    model = mlp(two.D, two.K, hidden=(5,), seed=2)
    LabelSmoothingCrossEntropy(two.SMOOTHING, ignore_index=-100)(model(inputs), labels).backward()
    expected = two.gradient(model)
    for seen in processes:
        np.testing.assert_allclose(seen[f"gradient of {name}"], expected, atol=1e-7)


def test_an_index_orders_rows_in_one_process_too():
    predictions = predict(two.network(), two.numbered([4, 2, 7]), device="cpu")
    assert predictions.ids.tolist() == [2, 4, 7]
    assert predictions.labels.tolist() == two.dataset().tensors[1][[2, 4, 7]].tolist()
    expected = two.network().eval()(two.dataset().tensors[0][[2, 4, 7]]).detach().numpy()
    np.testing.assert_allclose(predictions.logits, expected, atol=1e-6)


def test_ids_of_the_users_own_are_in_the_order_of_the_rows():
    predictions = predict(two.network(), two.numbered([4, 2, 7]), device="cpu", ids=["two", "four", "seven"])
    assert predictions.ids.tolist() == ["two", "four", "seven"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (torch.tensor([0.0, 1.0]), "has dtype float32"),
        (torch.tensor([0, 1, 2]), r"shape \(3,\); expected the numbers of its 2 rows"),
        (torch.tensor([-1, 0]), "in the dataset"),
        (np.array(["a", "b"]), "in the dataset"),
    ],
)
def test_an_index_that_is_none(index, message):
    with pytest.raises(DataError, match=message):
        check_index(index, 2)


def test_a_row_that_comes_twice_in_one_process():
    with pytest.raises(DataError, match="Row number 4 came 2 times"):
        predict(two.network(), two.numbered([4, 2, 4]), device="cpu")


def test_an_index_in_some_batches_only():
    batches = [*two.numbered([0, 1, 2]), two.numbered([3, 4])[0][:2]]
    with pytest.raises(DataError, match="1 of 2 batches have an index"):
        predict(two.network(), batches, device="cpu")


def test_a_share_without_the_other_process_is_refused():
    rows = two.dataset()
    loader = DataLoader(rows, sampler=DistributedSampler(rows, num_replicas=2, rank=1, shuffle=False))
    with pytest.raises(DataError, match="init_process_group"):
        predict(two.network(), loader, device="cpu")


def test_a_sampler_of_one_process_is_a_plain_loader():
    rows = two.dataset()
    loader = DataLoader(rows, batch_size=4, sampler=DistributedSampler(rows, num_replicas=1, rank=0, seed=3))
    shuffled, plain = (predict(two.network(), one, device="cpu") for one in (loader, DataLoader(rows, batch_size=4)))
    np.testing.assert_allclose(shuffled.logits, plain.logits, atol=1e-6)
    assert shuffled.ids.tolist() == list(range(two.N))


class DataLoaderDispatcher(list):
    """Named as accelerate names the loader that hands batches out from process 0."""


def test_a_loader_that_accelerate_prepared_is_refused():
    with pytest.raises(DataError, match="not prepared"):
        predict(two.network(), DataLoaderDispatcher(two.numbered([0, 1])), device="cpu")
