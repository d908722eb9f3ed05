"""`predict` keeps rows, order, precision and the network's state, over any loader."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from calibkit import evaluate
from calibkit.errors import DataError, InputFormatError, LabelError, LimitError, OptionError, ShapeError
from calibkit.training import mlp, predict

N, D, K = 11, 6, 3


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(7)
    return TensorDataset(torch.randn(N, D, generator=generator), torch.randint(K, (N,), generator=generator))


def test_rows_come_in_order_and_the_ragged_batch_is_kept(dataset, device):
    model = mlp(D, K, hidden=(5,), seed=2)
    predictions = predict(model, DataLoader(dataset, batch_size=4), device=device, name="net")
    inputs, labels = dataset.tensors
    expected = model(inputs).detach().numpy()
    np.testing.assert_allclose(predictions.logits, expected, atol=1e-5)
    assert predictions.kind == "logits"
    assert predictions.logits.dtype == np.float32
    assert predictions.labels.tolist() == labels.tolist()
    assert predictions.ids.tolist() == list(range(N))
    assert predictions.name == "net"
    assert predictions.provenance["torch"] == torch.__version__
    assert predictions.provenance["device"].startswith(device.type)
    assert next(model.parameters()).device.type == "cpu"  # where it was
    assert evaluate(predictions, confidence_level=None).n == N


def test_names_ids_and_provenance_are_kept(dataset):
    predictions = predict(
        mlp(D, K),
        DataLoader(dataset, batch_size=4),
        device="cpu",
        ids=np.arange(100, 100 + N),
        class_names=["cat", "dog", "owl"],
        provenance={"smoothing": 0.1},
    )
    assert predictions.ids.tolist() == list(range(100, 100 + N))
    assert predictions.class_names == ("cat", "dog", "owl")
    assert predictions.provenance["smoothing"] == 0.1


class Moody(nn.Module):
    """Dropout, a frozen BatchNorm, and a head."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm1d(D), nn.Dropout(0.5), nn.Linear(D, K)
        self.norm.eval()

    def forward(self, x):
        if x[0, 0] > 1e6:
            raise RuntimeError("overflow")
        return self.head(self.drop(self.norm(x)))


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def test_eval_mode_is_used_and_every_mode_put_back(dataset):
    model = Moody()
    before, statistics = modes(model), model.norm.running_mean.clone()
    assert before == {"": True, "norm": False, "drop": True, "head": True}
    first, again = (predict(model, DataLoader(dataset, batch_size=4), device="cpu") for _ in range(2))
    assert np.array_equal(first.logits, again.logits)
    assert modes(model) == before
    assert torch.equal(model.norm.running_mean, statistics)
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(RuntimeError, match="overflow"):
        predict(model, [(torch.full((2, D), 1e7), torch.tensor([0, 1]))], device="cpu")
    assert modes(model) == before


class Sum(nn.Module):
    def forward(self, a, b):
        return torch.stack([a.sum(1), b.sum(1), (a * b).sum(1)], dim=1)


@pytest.mark.parametrize("pack", [lambda a, b: (a, b), lambda a, b: [a, b], lambda a, b: {"b": b, "a": a}])
def test_inputs_may_be_packed(pack, device):
    a, b = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
    predictions = predict(Sum(), [(pack(a, b), torch.tensor([0, 1, 2, 1]))], device=device)
    np.testing.assert_allclose(predictions.logits, Sum()(a, b), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (torch.float16, np.float32),
        (torch.bfloat16, np.float32),
        (torch.float32, np.float32),
        (torch.float64, np.float64),
    ],
)
def test_half_precisions_are_widened(dtype, kept):
    logits = torch.tensor([[0.3, -1.7], [2.1, 0.9]], dtype=dtype)
    predictions = predict(nn.Identity(), [(logits, torch.tensor([0, 1]))], device="cpu")
    assert predictions.logits.dtype == kept
    assert np.array_equal(predictions.logits, logits.double().numpy().astype(kept))


def test_one_output_per_row_is_the_log_odds_of_class_1():
    predictions = predict(
        nn.Identity(), [(torch.tensor([0.3, -2.0, 1.1]), torch.tensor([1.0, 0.0, 0.0]))], device="cpu"
    )
    assert predictions.is_binary
    assert predictions.labels.tolist() == [1, 0, 0]


class Slope(nn.Linear):
    """Logits that are a gradient with respect to the inputs, as in models of an energy."""

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(super().forward(x).square().sum(), x, create_graph=True)
        return slope


def test_a_network_that_takes_gradients_inside(dataset):
    model = Slope(D, K)
    inputs, _ = dataset.tensors
    predictions = predict(model, DataLoader(dataset, batch_size=4), device="cpu")
    expected = 2 * (inputs @ model.weight.T + model.bias) @ model.weight
    np.testing.assert_allclose(predictions.logits, expected.detach().numpy(), atol=1e-5)


def test_label_names_are_read():
    batches = [(torch.eye(2), ("yes", "no")), (torch.eye(2)[:1], ("no",))]
    predictions = predict(nn.Identity(), batches, device="cpu", class_names=["no", "yes"])
    assert predictions.labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "loader",
    [
        lambda data: DataLoader(data, batch_size=4, shuffle=True),
        lambda data: DataLoader(data, sampler=SubsetRandomSampler(range(N))),
        lambda data: DataLoader(data, sampler=WeightedRandomSampler([1.0] * N, N)),
        lambda data: DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 4, drop_last=False)),
    ],
)
def test_a_shuffling_loader_is_refused(loader, dataset):
    with pytest.raises(DataError, match="shuffle=False"):
        predict(mlp(D, K), loader(dataset), device="cpu")


def test_a_loader_that_drops_rows_is_refused(dataset):
    with pytest.raises(DataError, match="drop_last=False"):
        predict(mlp(D, K), DataLoader(dataset, batch_size=4, drop_last=True), device="cpu")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(2, D), "a batch that is a Tensor"),
        ([torch.zeros(2, D)], "a batch that is a list of 1"),
        ({"inputs": torch.zeros(2, D), "labels": torch.zeros(2)}, "a batch that is a dict of 2"),
        ((torch.zeros(2, D), torch.zeros(2), torch.zeros(2)), "The third part of a batch has dtype float32"),
        ((torch.zeros(2, D),) * 4, "a batch that is a tuple of 4"),
    ],
)
def test_batches_are_pairs(batch, message):
    with pytest.raises(DataError, match=message):
        predict(mlp(D, K), [batch], device="cpu")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (torch.zeros(2, 1), ShapeError, r"squeeze\(1\)"),
        (torch.zeros(2, 3, 4), ShapeError, r"shape \(2, 3, 4\)"),
        ({"logits": torch.zeros(2, 3)}, InputFormatError, "returned dict; expected a tensor"),
        (torch.zeros(3, 3), ShapeError, "3"),
    ],
)
def test_outputs_that_are_not_logits(output, error, message):
    class Fixed(nn.Module):
        def forward(self, _):
            return output

    with pytest.raises(error, match=message):
        predict(Fixed(), [(torch.zeros(2, D), torch.tensor([0, 1]))], device="cpu")


class Output:
    """What the classifiers of transformers return: an object whose ``logits`` are the logits."""

    loss = None
    logits = torch.tensor([[0.5, -1.0], [0.25, 2.0]])


def test_an_output_with_logits():
    class Classifier(nn.Module):
        def forward(self, **inputs):
            assert set(inputs) == {"input_ids", "attention_mask"}
            return Output()

    tokens = {"input_ids": torch.tensor([[5, 6], [7, 0]]), "attention_mask": torch.tensor([[1, 1], [1, 0]])}
    predictions = predict(Classifier(), [(tokens, torch.tensor([0, 1]))], device="cpu")
    assert np.array_equal(predictions.logits, Output.logits)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x, x), lambda x: {"a": x, "b": x}])
def test_too_little_memory_says_the_batch_size(error, pack):
    class Large(nn.Module):
        def forward(self, *_, **__):
            raise error

    with pytest.raises(LimitError, match="cpu: not enough memory for a batch of 7 rows; make the batches smaller"):
        predict(Large(), [(pack(torch.zeros(7, D)), torch.zeros(7))], device="cpu")


def test_batches_that_disagree_and_no_batch():
    batches = [(torch.zeros(2, 3), torch.tensor([0, 1])), (torch.zeros(2, 4), torch.tensor([0, 1]))]
    with pytest.raises(ShapeError, match="Batch 1 has logits of shape"):
        predict(nn.Identity(), batches, device="cpu")
    with pytest.raises(DataError, match="gave no rows"):
        predict(nn.Identity(), [], device="cpu")
    with pytest.raises(DataError, match="gave no rows"):
        predict(nn.Identity(), [(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))], device="cpu")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(3), r"Batch 1 has 2 rows of logits, but labels of shape \(3,\)"),
        (None, r"Batch 1 has 2 rows of logits, but labels of shape \(\)"),
        (torch.zeros(2, 1), r"Batch 1 has labels of shape \(2, 1\), but batch 0 \(2,\)"),
    ],
)
def test_labels_that_do_not_fit_their_batch(labels, message):
    with pytest.raises(ShapeError, match=message):
        predict(nn.Identity(), [(torch.zeros(2, 3), torch.zeros(2)), (torch.zeros(2, 3), labels)], device="cpu")


def test_rows_are_left_out_and_labels_count_from_1_where_that_is_said():
    logits = torch.tensor([[0.0, 1.0], [float("nan"), 0.0], [2.0, 1.0], [0.5, 0.0]])
    labels = torch.tensor([2, 1, -100, 1])
    found = predict(nn.Identity(), [(logits, labels)], device="cpu", invalid="drop", ignore_index=-100, label_base=1)
    assert found.labels.tolist() == [1, 0]
    assert found.ids.tolist() == [0, 3]


def test_labels_outside_the_classes():
    with pytest.raises(LabelError, match="value is 3"):
        predict(nn.Identity(), [(torch.zeros(2, 3), torch.tensor([0, 3]))], device="cpu")


def test_cuda_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no CUDA"):
        predict(nn.Identity(), [], device="cuda")
