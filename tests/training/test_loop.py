"""`fit`: reproducible, honest about its losses, twins that differ in smoothing alone, and stopped by NaN."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, TensorDataset

from calibkit.errors import DataError, LabelError, OptionError, ShapeError
from calibkit.training import fit, mlp, smoothed_loss_floor

N, D, K = 60, 5, 3


def rows(n=N, seed=5, noise=0.8):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(K, (n,), generator=generator)
    centres = 1.5 * torch.eye(K, D)
    return TensorDataset(centres[labels] + noise * torch.randn(n, D, generator=generator), labels)


def train(*, model=None, data=None, smoothing=0.1, seed=3, epochs=3, dropout=0.2, **options):
    torch.manual_seed(999)  # whatever state the caller is in
    net = model or nn.Sequential(mlp(D, 8, hidden=(), seed=1), nn.ReLU(), nn.Dropout(dropout), mlp(8, K, hidden=()))
    loader = DataLoader(data or rows(), batch_size=16, shuffle=True)
    options.setdefault("device", "cpu")
    result = fit(net, loader, epochs=epochs, smoothing=smoothing, seed=seed, lr=0.02, **options)
    return net, result


def flat(model):
    return torch.cat([parameter.detach().cpu().flatten() for parameter in model.parameters()])


def validation(n=40):
    return DataLoader(rows(n, seed=6), batch_size=16)


def test_it_learns(device):
    net, result = train(epochs=12, validation_loader=validation(), device=device)
    assert result.history[-1].validation_accuracy > 0.7
    assert result.history[-1].train_nll < 0.6 * result.history[0].train_nll
    assert result.device.startswith(device.type)
    assert not net.training


def test_the_same_seed_gives_the_same_weights_and_history():
    (first, result), (again, same) = train(), train()
    assert torch.equal(flat(first), flat(again))
    assert result.history == same.history
    other, _ = train(seed=4)
    assert not torch.equal(flat(first), flat(other))


def test_validation_does_not_change_training_nor_fit_the_global_state():
    torch.manual_seed(999)
    expected = torch.rand(3)
    alone, _ = train()
    after = torch.rand(3)
    assert torch.equal(after, expected)
    shuffled = DataLoader(rows(40, seed=6), batch_size=16, shuffle=True)
    watched, _ = train(validation_loader=shuffled, criterion="last")
    assert torch.equal(flat(alone), flat(watched))


class Recorded(Dataset):
    """Rows that remember the order in which they were asked for."""

    def __init__(self):
        self.data, self.order = rows(), []

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        self.order.append(index)
        return self.data[index]


def test_twins_see_the_same_batches_and_differ_in_smoothing_alone():
    hard_rows, smooth_rows = Recorded(), Recorded()
    start = mlp(D, K, hidden=(8,), seed=1)
    hard, hard_result = train(model=copy.deepcopy(start), data=hard_rows, smoothing=0.0)
    smooth, smooth_result = train(model=copy.deepcopy(start), data=smooth_rows, smoothing=0.1)
    assert hard_rows.order == smooth_rows.order
    epochs = np.reshape(hard_rows.order, (3, N))
    assert (np.sort(epochs) == np.arange(N)).all()
    assert not (epochs[0] == epochs[1]).all()
    assert not torch.equal(flat(hard), flat(smooth))
    assert hard_result.to_dict().keys() == smooth_result.to_dict().keys()
    # A smoothing too small to move a float32 gives the same weights: nothing else differs.
    same, _ = train(model=copy.deepcopy(start), data=Recorded(), smoothing=1e-12)
    torch.testing.assert_close(flat(same), flat(hard), rtol=0, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_the_first_epoch_by_hand(smoothing):
    data = rows()
    net = mlp(D, K, hidden=(8,), seed=1)
    twin, losses, hard = copy.deepcopy(net), 0.0, 0.0
    loader = DataLoader(data, batch_size=16)
    result = fit(net, loader, epochs=1, smoothing=smoothing, lr=0.01, weight_decay=0.1, device="cpu")
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
    for inputs, labels in loader:
        logits = twin(inputs)
        loss = cross_entropy(logits, labels, label_smoothing=smoothing)
        losses += loss.item() * len(labels)
        hard += cross_entropy(logits, labels, reduction="sum").item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(flat(net), flat(twin), rtol=1e-5, atol=1e-6)
    record = result.history[0]
    assert record.loss == pytest.approx(losses / N, rel=1e-5)
    assert record.train_nll == pytest.approx(hard / N, rel=1e-5)
    assert record.loss_floor == smoothed_loss_floor(K, smoothing) <= record.loss
    assert record.validation_nll is None
    assert (result.criterion, result.best_epoch) == ("last", 1)


def score(net):
    net.eval()
    inputs, labels = rows(40, seed=6).tensors
    with torch.no_grad():
        logits = net(inputs)
    return float(cross_entropy(logits, labels)), float((logits.argmax(1) == labels).double().mean())


@pytest.mark.parametrize("criterion", ["nll", "accuracy", "last"])
def test_the_best_epoch_is_put_back(criterion):
    net, result = train(epochs=8, validation_loader=validation(), criterion=criterion, weight_decay=0.0)
    nll, accuracy = score(net)
    values = {
        "nll": [record.validation_nll for record in result.history],
        "accuracy": [-record.validation_accuracy for record in result.history],
        "last": [-record.epoch for record in result.history],
    }[criterion]
    assert result.best_epoch == 1 + int(np.argmin(values))
    assert result.best.epoch == result.best_epoch
    # Validation is against hard labels although training was smoothed.
    assert nll == pytest.approx(result.best.validation_nll, rel=1e-5)
    assert accuracy == pytest.approx(result.best.validation_accuracy)


def test_the_default_criterion():
    assert train(epochs=1, validation_loader=validation())[1].criterion == "nll"
    assert train(epochs=1)[1].criterion == "last"


def test_an_optimizer_and_a_callback_of_the_user():
    net = mlp(D, K, hidden=(), seed=1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)
    seen = []

    def on_epoch(record):
        seen.append((record.epoch, optimizer.param_groups[0]["lr"]))
        schedule.step()

    start = flat(net)
    fit(net, DataLoader(rows(), batch_size=16), epochs=3, optimizer=optimizer, device="cpu", on_epoch=on_epoch)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert [lr for _, lr in seen] == pytest.approx([0.5, 0.05, 0.005])
    assert not torch.equal(flat(net), start)


class Exploding(nn.Module):
    """A linear network whose output is NaN or inf from one call on."""

    def __init__(self, call, value):
        super().__init__()
        self.head, self.call, self.value, self.calls = nn.Linear(D, K), call, value, 0

    def forward(self, x):
        self.calls += 1
        return self.head(x) * (self.value if self.calls >= self.call else 1.0)


@pytest.mark.parametrize(("call", "epoch", "step"), [(1, 1, 1), (3, 1, 3), (6, 2, 2)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_its_step(call, epoch, step, value):
    with pytest.raises(DataError, match=rf"epoch {epoch}, step {step}: the loss is (nan|inf) \(lr is 0\.02\)"):
        train(model=Exploding(call, value))


def test_it_is_found_within_the_epoch_not_only_at_its_end():
    model = Exploding(30, math.nan)
    with pytest.raises(DataError, match="epoch 1, step 30"):
        fit(model, DataLoader(rows(500), batch_size=1), epochs=1, device="cpu")
    assert model.calls == 100


def test_a_validation_loss_of_nan_stops_too():
    with pytest.raises(DataError, match=r"epoch 1, step 1: the loss is nan \(in validation\)"):
        train(model=Exploding(5, math.nan), validation_loader=validation())


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1, 3], LabelError, r"row 2: value is 3 .*Labels that count from 1"),
        ([0, -100, 1], LabelError, "row 1: value is -100"),
        ([0.0, 1.0, 1.0], LabelError, "float32"),
        ([0, 1], ShapeError, "3 rows"),
    ],
)
def test_bad_labels(labels, error, message):
    batches = [(torch.zeros(3, D), torch.tensor(labels))]
    with pytest.raises(error, match=message):
        fit(mlp(D, K), batches, epochs=1, device="cpu")
    with pytest.raises(error, match=message):
        fit(mlp(D, K), DataLoader(rows()), validation_loader=batches, epochs=1, device="cpu")


def test_loaders_without_rows():
    with pytest.raises(DataError, match="epoch 1: train_loader gave no rows"):
        fit(mlp(D, K), DataLoader(rows(8), batch_size=16, drop_last=True), epochs=1, device="cpu")
    with pytest.raises(DataError, match=r"epoch 2: train_loader gave no rows\. A generator"):
        fit(mlp(D, K), iter([rows(8).tensors]), epochs=2, device="cpu")
    with pytest.raises(DataError, match="epoch 1: validation_loader"):
        train(validation_loader=[])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"smoothing": 1.0}, "smoothing=1.0"),
        ({"seed": -1}, "seed=-1"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"criterion": "loss"}, "criterion='loss'"),
        ({"criterion": "nll"}, "needs a validation_loader"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(OptionError, match=message):
        fit(mlp(D, K), DataLoader(rows()), **{"epochs": 1, "device": "cpu", **options})


def test_optimizers_that_cannot_train_the_model():
    net = mlp(D, K)
    with pytest.raises(OptionError, match="lr and weight_decay belong to the optimizer"):
        fit(net, [], epochs=1, lr=0.1, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), device="cpu")
    with pytest.raises(OptionError, match="holds no parameter of this model"):
        fit(net, [], epochs=1, optimizer=torch.optim.SGD(mlp(D, K).parameters(), lr=0.1), device="cpu")
    with pytest.raises(OptionError, match="nothing to train"):
        fit(net.requires_grad_(requires_grad=False), [], epochs=1, device="cpu")


def test_frozen_parameters_stay():
    net = mlp(D, K, hidden=(8,), seed=1)
    net[0].requires_grad_(requires_grad=False)
    before = net[0].weight.clone()
    train(model=net)
    assert torch.equal(net[0].weight, before)


def test_cuda_without_cuda_never_trains_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no CUDA device"):
        train(device="cuda")


def test_epochs_have_an_end():
    with pytest.raises(OptionError, match="1,000,000"):
        fit(nn.Linear(2, 3), [], epochs=10**20, device="cpu")
