"""A training that was stopped and resumed is the training that was never stopped, bit for bit."""

import json
import random
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from calibkit.errors import DataError, InputFormatError, OptionError, OutputError
from calibkit.training import LabelSmoothingCrossEntropy, SmoothingSchedule, fit, focal_loss, load_weights
from calibkit.training.archive import read_archive, write_archive

N, D, K = 50, 5, 3


def rows(n=N, seed=5):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(K, (n,), generator=generator)
    return TensorDataset(1.5 * torch.eye(K, D)[labels] + 0.8 * torch.randn(n, D, generator=generator), labels)


def network(width=8, seed=1):
    """Dropout, and the running statistics of a normalisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(D, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, K)
        )


class StopError(Exception):
    """What a user's own callback raises."""


def train(folder=None, *, stop=None, loader=None, model=None, **options):
    """Ten epochs of everything that has a state; ``stop`` raises after an epoch."""

    def on_epoch(record):
        if record.epoch == stop:
            raise StopError

    net = network() if model is None else model
    given = {
        "epochs": 10,
        "validation_loader": DataLoader(rows(40, seed=6), batch_size=16),
        "smoothing": SmoothingSchedule.linear(0.2, 0.0, 8),
        "schedule": "cosine",
        "warmup_steps": 3,
        "ema": 0.9,
        "clip_norm": 0.5,
        "accumulate": 2,
        "lr": 0.02,
        "seed": 3,
        "device": "cpu",
        "checkpoint": folder,
        **options,
    }
    loader = DataLoader(rows(), batch_size=8, shuffle=True) if loader is None else loader
    return net, fit(net, loader, on_epoch=on_epoch, **given)


def same(first, second):
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def stopped_and_resumed(folder, *, at=5, make_loader=lambda: None, **options):
    with pytest.raises(StopError):
        train(folder, stop=at, loader=make_loader(), **options)
    torch.manual_seed(77)  # the state that a new process would be in
    random.seed(78)
    return train(folder, resume=True, loader=make_loader(), **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema": None, "criterion": "last"},
        {"precision": "bfloat16"},
        {"criterion": "accuracy", "deterministic": True},
    ],
    ids=["all", "plain weights", "bfloat16", "deterministic"],
)
def test_ten_epochs_are_five_and_five(options, tmp_path):
    whole, expected = train(**options)
    resumed, result = stopped_and_resumed(tmp_path / "run", **options)
    assert same(resumed, whole)
    assert result.history == expected.history
    assert (result.best_epoch, result.resumed_from, expected.resumed_from) == (expected.best_epoch, 5, 0)
    again = network(seed=2)
    load_weights(again, tmp_path / "run" / "weights.safetensors")
    assert same(again, whole)


def test_a_training_of_five_epochs_is_extended_to_ten(tmp_path):
    plain = {"schedule": "constant", "warmup_steps": 0}
    whole, expected = train(**plain)
    train(tmp_path, epochs=5, **plain)
    extended, result = train(tmp_path, epochs=10, resume=True, **plain)
    assert same(extended, whole)
    assert result.history == expected.history


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_optimizers_of_the_user(make, tmp_path):
    def run(folder=None, **options):
        net = network()
        options = {"optimizer": make(net.parameters(), lr=0.01), "lr": None, **options}
        return train(folder, model=net, **options)

    whole, _ = run()
    with pytest.raises(StopError):
        run(tmp_path, stop=4)
    resumed, _ = run(tmp_path, resume=True)
    assert same(resumed, whole)


class Jittered(Dataset):
    """Rows with noise from the generators of NumPy and Python, as augmentations draw it."""

    def __init__(self):
        self.data = rows()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        inputs, label = self.data[index]
        return inputs + 0.1 * float(np.random.normal()) + 0.1 * random.random(), label  # noqa: NPY002


@pytest.mark.parametrize(
    "make_loader",
    [
        lambda: DataLoader(rows(), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(9)),
        lambda: DataLoader(Jittered(), batch_size=8, shuffle=True),
    ],
    ids=["a generator of its own", "augmentation"],
)
def test_loaders_whose_randomness_is_known(make_loader, tmp_path):
    whole, _ = train(loader=make_loader())
    resumed, _ = stopped_and_resumed(tmp_path, make_loader=make_loader)
    assert same(resumed, whole)


def test_the_callers_random_state_is_put_back():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    train(epochs=1)
    seen = (torch.rand(1).item(), np.random.random(), random.random())  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    assert seen == (torch.rand(1).item(), np.random.random(), random.random())  # noqa: NPY002


class Unseeded:
    """Batches in an order that nobody can repeat."""

    rng = np.random.default_rng(4)

    def __init__(self):
        self.data = rows()

    def __len__(self):
        return 7

    def __iter__(self):
        order = self.rng.permutation(N)
        inputs, labels = self.data.tensors
        return iter([(inputs[i], labels[i]) for i in np.array_split(torch.from_numpy(order), 7)])


def test_an_order_that_cannot_be_repeated_is_said(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, stop=2, loader=Unseeded())
    with pytest.warns(UserWarning, match="does not give the batches again that it gave when .*will not equal"):
        train(tmp_path, resume=True, loader=Unseeded())


def test_rows_that_changed_are_said(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, stop=2)
    with pytest.warns(UserWarning, match="Its rows have changed"):
        train(tmp_path, resume=True, loader=DataLoader(rows(seed=8), batch_size=8, shuffle=True))


def test_resuming_what_is_finished_trains_nothing(tmp_path):
    first, expected = train(tmp_path)
    before = (tmp_path / "resume.pt").read_bytes()
    again, result = train(tmp_path, resume=True)
    assert same(first, again)
    assert result.history == expected.history
    assert result.resumed_from == 10
    assert (tmp_path / "resume.pt").read_bytes() == before


def test_fewer_epochs_than_are_done(tmp_path):
    train(tmp_path, epochs=2, schedule="constant")
    with pytest.raises(OptionError, match=r"epochs=1: the checkpoint .*resume\.pt has 2 epochs behind it"):
        train(tmp_path, resume=True, epochs=1, schedule="constant")


def test_resuming_nothing_begins(tmp_path):
    begun, result = train(tmp_path / "new", resume=True, epochs=2)
    assert same(begun, train(epochs=2)[0])
    assert result.resumed_from == 0


def test_patience_counts_on(tmp_path):
    options = {"smoothing": 0.0, "schedule": "constant", "warmup_steps": 0, "lr": 0.3, "epochs": 60, "patience": 3}
    whole, expected = train(**options)
    assert expected.stopped == "patience"
    assert len(expected.history) == expected.best_epoch + 3
    resumed, result = stopped_and_resumed(tmp_path, at=expected.best_epoch + 1, **options)
    assert same(resumed, whole)
    assert (result.history, result.stopped, result.reason) == (expected.history, "patience", expected.reason)
    again, _ = train(tmp_path, resume=True, **options)
    assert same(again, whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.03}, r"lr=0\.03: the checkpoint .*resume\.pt was trained with 0\.02"),
        ({"smoothing": 0.1}, r"smoothing=0\.1: .*trained with \{'kind': 'linear'"),
        ({"seed": 4}, "seed=4: .*trained with 3"),
        ({"epochs": 11}, "epochs=11: .*trained with 10"),
        ({"ema": None}, r"ema=None: .*trained with 0\.9"),
        ({"precision": "bfloat16"}, 'precision="bfloat16": .*trained with "float32"'),
        ({"accumulate": 1}, "accumulate=1: .*trained with 2"),
        ({"provenance": {"data": "b.npz"}}, 'data="b.npz": .*trained with "a.npz"'),
        ({"loader": DataLoader(rows(30), batch_size=8)}, "batches of train_loader=4: .*trained with 7"),
        ({"smoothing": 0.0, "loss": LabelSmoothingCrossEntropy(0.1)}, "smoothing=None"),
    ],
)
def test_other_settings_are_refused_by_name(options, message, tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, stop=1, provenance={"data": "a.npz"})
    before = (tmp_path / "resume.pt").read_bytes()
    with pytest.raises(OptionError, match=message):
        train(tmp_path, resume=True, **{"provenance": {"data": "a.npz"}, **options})
    assert (tmp_path / "resume.pt").read_bytes() == before


def test_class_weights_of_a_loss_are_part_of_the_settings(tmp_path):
    def loss(last):
        return {"smoothing": 0.0, "loss": LabelSmoothingCrossEntropy(0.1, weight=[1.0, 2.0, last])}

    with pytest.raises(StopError):
        train(tmp_path, stop=1, **loss(3.0))
    with pytest.raises(OptionError, match="tensors of the loss"):
        train(tmp_path, resume=True, **loss(4.0))


def test_a_network_of_another_architecture(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, stop=1)
    deeper = nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, K))
    with pytest.raises(InputFormatError, match=r"resume\.pt: lacks 2\.weight \(\d of the network's 6 .*has 1\.weight"):
        train(tmp_path, resume=True, model=deeper)


def test_an_occupied_folder_a_file_and_no_folder(tmp_path):
    train(tmp_path / "run", epochs=1)
    with pytest.raises(OptionError, match=r"holds a training already\. Pass resume=True"):
        train(tmp_path / "run", epochs=1)
    with pytest.raises(OutputError, match="cannot be made"):
        train(tmp_path / "run" / "resume.pt", epochs=1)
    with pytest.raises(OptionError, match="pass checkpoint=FOLDER"):
        train(resume=True)


def test_damaged_checkpoints_are_refused_and_left_alone(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, stop=1)
    path = tmp_path / "resume.pt"
    data, state = path.read_bytes(), read_archive(path)
    for n_bytes in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InputFormatError, match=r"resume\.pt"):
            train(tmp_path, resume=True)
        assert path.read_bytes() == data[:n_bytes]
    write_archive(path, {"weight": torch.ones(2)})
    with pytest.raises(InputFormatError, match="is no checkpoint of calibkit's fit"):
        train(tmp_path, resume=True)
    del state["n_done"]
    write_archive(path, state)
    with pytest.raises(InputFormatError, match=r"is damaged \(KeyError: 'n_done'\)"):
        train(tmp_path, resume=True)


class Strange(nn.Linear):
    """A layer whose state is an object."""

    def get_extra_state(self):
        return StopError()

    def set_extra_state(self, state):
        pass


def test_a_state_that_could_not_be_read_back_is_refused_at_once(tmp_path):
    with pytest.raises((OptionError, DataError), match=r"only tensors can be kept|other objects than tensors"):
        train(tmp_path, model=Strange(D, K), ema=None)
    assert not (tmp_path / "resume.pt").exists()


def test_the_checkpoint_holds_tensors_and_plain_values_alone(tmp_path):
    train(tmp_path, epochs=2)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["format"] == "calibkit.resume/1"
    assert json.dumps(state["settings"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resume.pt", "weights.safetensors"]


class Tied(nn.Module):
    """One matrix in two places."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.first, self.second, self.head = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, K)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(self.second(self.first(x).tanh()).tanh())


@pytest.mark.parametrize(
    "wrap", [lambda model: model, lambda model: torch.compile(model, backend="eager")], ids=["plain", "compiled"]
)
def test_tied_weights_and_a_compiled_network(wrap, tmp_path):
    whole, _ = train(model=Tied())
    with pytest.raises(StopError):
        train(tmp_path, stop=5, model=wrap(Tied()))
    model = Tied()
    train(tmp_path, resume=True, model=wrap(model))
    assert same(model, whole)
    assert model.first.weight is model.second.weight


def weighted(*, smoothing=0.0, ignore_index=-100):
    return nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing, ignore_index=ignore_index)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (weighted(), weighted(smoothing=0.3), "label_smoothing of the loss"),
        (weighted(), weighted(ignore_index=2), "ignore_index of the loss"),
        (partial(focal_loss, gamma=2.0, reduction="none"), partial(focal_loss, gamma=5.0, reduction="none"), "loss"),
    ],
    ids=["smoothing", "ignored", "partial"],
)
def test_a_loss_whose_words_do_not_tell_it_is_known_again(tmp_path, first, second, named):
    with pytest.raises(StopError):
        train(tmp_path, stop=2, smoothing=0.0, loss=first)
    with pytest.raises(OptionError, match=named):
        train(tmp_path, smoothing=0.0, loss=second, resume=True)


class Scaled(nn.Module):
    """Cross-entropy at a temperature that the optimizer learns."""

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits * self.log_scale.exp(), labels, reduction="none")


def test_parameters_of_the_loss_go_on_too(tmp_path):
    def learned(**options):
        net, loss = network(), Scaled()
        optimizer = torch.optim.AdamW([*net.parameters(), *loss.parameters()], lr=0.05)
        with suppress(StopError):
            train(model=net, smoothing=0.0, loss=loss, optimizer=optimizer, lr=None, schedule="constant", **options)
        return float(loss.log_scale.detach())

    whole = learned()
    learned(folder=tmp_path, stop=4)
    assert learned(folder=tmp_path, resume=True) == whole


def test_an_error_of_the_users_data_is_not_damage_of_the_checkpoint(tmp_path):
    class Faulty(TensorDataset):
        def __getitem__(self, row):
            raise ValueError("the data set's own fault")

    with pytest.raises(StopError):
        train(tmp_path, stop=2)
    faulty = DataLoader(Faulty(*rows().tensors), batch_size=8, shuffle=True)
    with pytest.raises(ValueError, match=r"^the data set's own fault") as caught:
        train(tmp_path, loader=faulty, resume=True)
    assert not isinstance(caught.value, InputFormatError)


def test_provenance_does_not_hide_behind_a_setting(tmp_path):
    with pytest.raises(OptionError, match="provenance='loss'"):
        train(tmp_path, provenance={"loss": "v1"})
