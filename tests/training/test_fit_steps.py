"""What a step of `fit` is: accumulated, clipped, averaged, scheduled, in narrow floats, against plain loops."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from calibkit.errors import DataError, LabelError, OptionError
from calibkit.training import (
    BinaryLabelSmoothingCrossEntropy,
    FocalLoss,
    LabelSmoothingCrossEntropy,
    SmoothingSchedule,
    fit,
    focal_loss,
    label_smoothing_cross_entropy,
    mlp,
    predict,
    smooth_targets,
)
from calibkit.training.optimisation import LearningRate
from tests.training.test_resume import D, K, rows

N = 22  # rows in batches of 4: the last has 2


def batches(size, n=N):
    return DataLoader(rows(n), batch_size=size)


def flat(model):
    return torch.cat([parameter.detach().cpu().flatten() for parameter in model.parameters()])


def net(seed=1):
    return mlp(D, K, hidden=(8,), seed=seed)


def sgd(model, lr=0.3):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def by_hand(model, loader, *, epochs, loss, optimizer=sgd, clip=None, lr=lambda _: 0.3, after=lambda: None):
    """The loop that everybody writes."""
    steps = 0
    mover = optimizer(model)
    for _ in range(epochs):
        for inputs, labels in loader:
            mover.param_groups[0]["lr"] = lr(steps)
            mover.zero_grad()
            loss(model(inputs), labels).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            mover.step()
            steps += 1
            after()
    return model


def mean_loss(logits, labels):
    return cross_entropy(logits, labels, label_smoothing=0.1)


def run(model, loader, *, epochs=3, smoothing=0.1, optimizer=sgd, **options):
    return fit(model, loader, epochs=epochs, smoothing=smoothing, optimizer=optimizer(model), device="cpu", **options)


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 100])
def test_accumulated_batches_are_one_large_batch_also_where_they_are_ragged(accumulate):
    model, expected = net(), net()
    result = run(model, batches(4), accumulate=accumulate)
    by_hand(expected, batches(min(4 * accumulate, N)), epochs=3, loss=mean_loss)
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)
    large = run(net(), batches(min(4 * accumulate, N)))
    for one, other in zip(result.history, large.history, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-6)
        assert one.train_nll == pytest.approx(other.train_nll, rel=1e-6)


class Ragged:
    """Batches of 1, 7, 2, 9 and 3 rows, some labels ignored: one batch has no row that counts."""

    def __init__(self, sizes=(1, 7, 2, 9, 3)):
        inputs, labels = rows(N).tensors
        labels = labels.clone()
        labels[[0, 4, 9]] = -100
        self.whole = inputs, labels
        self.parts = [*zip(inputs.split(sizes), labels.split(sizes), strict=True)]

    def __iter__(self):
        return iter(self.parts)


def test_ignored_rows_and_class_weights_divide_by_the_sum_of_all_weights():
    weight = [0.5, 2.0, 3.0]
    loss = LabelSmoothingCrossEntropy(0.2, weight=weight)
    model, expected, data = net(), net(), Ragged()
    result = run(model, data, loss=loss, smoothing=0.0, accumulate=5)

    def whole(logits, labels):
        return cross_entropy(logits, labels, weight=torch.tensor(weight), label_smoothing=0.2)

    by_hand(expected, [data.whole], epochs=3, loss=whole)
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)
    hard = cross_entropy(net()(data.whole[0]), data.whole[1])
    assert result.history[0].train_nll == pytest.approx(hard.item(), rel=1e-5)
    assert result.history[0].loss == pytest.approx(whole(net()(data.whole[0]), data.whole[1]).item(), rel=1e-5)
    assert (result.smoothing, result.history[0].loss_floor) == (None, None)
    assert result.loss.startswith("LabelSmoothingCrossEntropy(smoothing=0.2")


def test_a_step_without_a_row_that_counts_is_named():
    with pytest.raises(DataError, match=r"epoch 1, step 1: no row counts.*accumulate=2"):
        run(net(), Ragged(), loss=LabelSmoothingCrossEntropy(0.2), smoothing=0.0)


def test_gradients_are_clipped_over_the_whole_step():
    model, expected = net(), net()
    run(model, batches(4), accumulate=2, clip_norm=0.1)
    by_hand(expected, batches(8), epochs=3, loss=mean_loss, clip=0.1)
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)
    unclipped = by_hand(net(), batches(8), epochs=3, loss=mean_loss)
    assert (flat(unclipped) - flat(expected)).abs().max() > 0.01


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_follows_its_formula(schedule, warmup):
    total = 3 * 6

    def rate(step):
        if step < warmup:
            return 0.3 * (step + 1) / (warmup + 1)
        if schedule == "constant":
            return 0.3
        return 0.3 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2

    model, expected = net(), net()
    result = run(model, batches(4), schedule=schedule, warmup_steps=warmup)
    by_hand(expected, batches(4), epochs=3, loss=mean_loss, lr=rate)
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)
    assert [record.lr for record in result.history] == pytest.approx([rate(5), rate(11), rate(17)])


def test_the_cosine_of_torch():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.7)
    rate = LearningRate(optimizer, "cosine", n_steps=9, warmup_steps=0)
    other = torch.optim.SGD(model.parameters(), lr=0.7)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(other, T_max=9)
    for step in range(9):
        rate.set(step)
        assert rate.now == pytest.approx(other.param_groups[0]["lr"], abs=1e-12)
        other.step()
        reference.step()


def test_a_cosine_needs_an_end():
    with pytest.raises(OptionError, match="needs to know how many batches"):
        run(net(), iter([]), schedule="cosine")
    with pytest.raises(OptionError, match=r"warmup_steps=18: the whole training has 18 steps"):
        run(net(), batches(4), schedule="cosine", warmup_steps=18)


def test_the_average_is_what_is_validated_and_kept():
    model, expected = net(), net()
    result = run(model, batches(4), ema=0.8, validation_loader=batches(40, n=40), criterion="last")
    average = []

    def follow():
        weights = flat(expected)
        average[:] = [weights if not average else 0.8 * average[0] + 0.2 * weights]

    by_hand(expected, batches(4), epochs=3, loss=mean_loss, after=follow)
    torch.testing.assert_close(flat(model), average[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(average[0], flat(expected), atol=1e-3)
    inputs, labels = rows(40).tensors
    assert result.best.validation_nll == pytest.approx(cross_entropy(model(inputs), labels).item(), rel=1e-5)


def test_running_statistics_are_averaged_and_counts_copied():
    model = nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4), nn.Linear(4, K))
    twin = copy.deepcopy(model)
    run(model, batches(4), ema=0.9)
    run(twin, batches(4))
    assert model[1].num_batches_tracked == twin[1].num_batches_tracked == 18
    assert not torch.equal(model[1].running_mean, twin[1].running_mean)


def test_bfloat16_computes_narrow_and_keeps_wide():
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            logits = super().forward(x)
            seen.append((self.training, logits.dtype))
            return logits

    model = Watched(D, K)
    result = run(model, batches(4), precision="bfloat16", validation_loader=batches(4))
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}
    assert model.weight.dtype == torch.float32
    assert result.precision == "bfloat16"
    assert predict(model, batches(4), device="cpu").logits.dtype == "float32"
    wide = run(Watched(D, K), batches(4))
    assert result.history[-1].loss == pytest.approx(wide.history[-1].loss, rel=0.3)


class Tabled(nn.Linear):
    """Keeps a table that grows with the largest batch, as rotary positions and masks do."""

    def __init__(self):
        super().__init__(D, K)
        self.table = torch.zeros(0, 1)

    def forward(self, x):
        if len(x) > len(self.table):
            self.table = torch.ones(len(x), 1)
        return super().forward(x) * self.table[: len(x)]


@pytest.mark.parametrize("computed", ["validation", "predict"])
def test_what_a_network_keeps_from_evaluation_serves_in_training(computed):
    model = Tabled()
    if computed == "validation":
        result = run(model, batches(4), epochs=2, validation_loader=batches(40, n=40))
    else:
        predict(model, batches(40, n=40), device="cpu")
        result = run(model, batches(4), epochs=2)
    assert len(result.history) == 2
    assert len(model.table) == 40  # it is the one of the evaluation


def test_precisions_that_are_not_there():
    with pytest.raises(OptionError, match=r'precision="float16" is not available on cpu: it needs CUDA\. Here, pass'):
        run(net(), batches(4), precision="float16")
    with pytest.raises(OptionError, match="Did you mean 'bfloat16'"):
        run(net(), batches(4), precision="bfloat")


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_floats_on_cuda(precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = net()
    result = fit(
        model, batches(4), epochs=12, lr=0.03, accumulate=2, clip_norm=1.0, ema=0.5, precision=precision, device="cuda"
    )
    assert result.history[-1].train_nll < 0.8 * result.history[0].train_nll
    assert predict(model, batches(4), device="cuda").logits.dtype == "float32"


def test_smoothing_follows_its_schedule_epoch_by_epoch():
    schedule = SmoothingSchedule.linear(0.3, 0.0, 3)
    model, expected = net(), net()
    result = run(model, batches(4), epochs=4, smoothing=schedule)
    share = iter([0.3, 0.2, 0.1, 0.0])
    mover = sgd(expected)
    for e in share:
        for inputs, labels in batches(4):
            mover.zero_grad()
            label_smoothing_cross_entropy(expected(inputs), labels, smoothing=e).backward()
            mover.step()
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)
    assert [record.smoothing for record in result.history] == pytest.approx([0.3, 0.2, 0.1, 0.0])
    assert result.history[-1].loss_floor == 0
    assert result.smoothing is None
    assert result.history[-1].loss == result.history[-1].train_nll


@pytest.mark.parametrize(
    ("loss", "mean"),
    [
        (FocalLoss(gamma=3.0), lambda x, y: focal_loss(x, y, gamma=3.0)),
        (nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1), mean_loss),
        (lambda x, y: cross_entropy(x, y, reduction="none", label_smoothing=0.1), mean_loss),
    ],
    ids=["a row loss", "a module of torch", "a function"],
)
def test_other_losses(loss, mean):
    model, expected = net(), net()
    result = run(model, batches(4), loss=loss, smoothing=0.0, accumulate=2, validation_loader=batches(4))
    by_hand(expected, batches(8), epochs=3, loss=mean)
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)
    assert result.history[-1].smoothing is None
    inputs, labels = rows(N).tensors
    assert result.best.validation_nll == pytest.approx(cross_entropy(model(inputs), labels).item(), rel=1e-4)


def test_losses_that_cannot_be_used():
    with pytest.raises(OptionError, match="smoothing and loss cannot both be passed"):
        run(net(), batches(4), loss=FocalLoss(gamma=3.0), smoothing=0.1)
    with pytest.raises(OptionError, match="expected a module or function"):
        run(net(), batches(4), loss="focal", smoothing=0.0)
    with pytest.raises(
        OptionError, match=r'returned shape \(\); expected one loss per row, \(4,\)\..*reduction="none"'
    ):
        run(net(), batches(4), loss=nn.CrossEntropyLoss(), smoothing=0.0)
    with pytest.raises(DataError, match="its value has no gradient"):
        run(net(), batches(4), loss=lambda x, _: x.detach().sum(1), smoothing=0.0)


def test_soft_targets_are_smoothed_too():
    inputs, labels = rows(N).tensors
    mixed = 0.3 * nn.functional.one_hot(labels, K) + 0.7 * nn.functional.one_hot(labels.flip(0), K)
    model, expected = net(), net()
    run(model, [(inputs, mixed)])
    by_hand(expected, [(inputs, smooth_targets(mixed, K, 0.1))], epochs=3, loss=cross_entropy)
    torch.testing.assert_close(flat(model), flat(expected), rtol=1e-5, atol=1e-6)


def test_dense_prediction():
    generator = torch.Generator().manual_seed(2)
    images, labels = torch.randn(6, 2, 4, 5, generator=generator), torch.randint(K, (6, 4, 5), generator=generator)
    model = nn.Conv2d(2, K, 3, padding=1)
    twin = copy.deepcopy(model)
    loader = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    result = run(model, loader, accumulate=2, validation_loader=loader, criterion="last")
    by_hand(twin, [(images, labels)], epochs=3, loss=mean_loss)
    torch.testing.assert_close(flat(model), flat(twin), rtol=1e-5, atol=1e-6)
    right = (twin(images).argmax(1) == labels).float().mean()
    assert result.best.validation_accuracy == pytest.approx(right.item())


def test_labels_that_are_text():
    loader = [(torch.zeros(2, D), ("cat", "dog"))]
    with pytest.raises(LabelError, match=r"labels are text \(the first is 'cat'\).*class_names\.index"):
        run(net(), loader)


@pytest.mark.parametrize("criterion", ["nll", "accuracy"])
def test_patience_stops_after_that_many_epochs_without_a_better_one(criterion):
    result = run(
        net(), batches(4), epochs=200, validation_loader=batches(8, n=40), criterion=criterion, patience=2, smoothing=0
    )
    values = [r.validation_nll if criterion == "nll" else -r.validation_accuracy for r in result.history]
    best = min(range(len(values)), key=values.__getitem__)
    assert result.best_epoch == best + 1
    assert len(values) == best + 3 < 200
    assert result.stopped == "patience"
    assert result.reason.startswith(f"Stopped after epoch {best + 3}: 2 epochs since epoch {best + 1} without a ")


def test_patience_needs_something_to_wait_for():
    with pytest.raises(OptionError, match='patience=2 waits for a better epoch, but by criterion="last"'):
        run(net(), batches(4), patience=2)
    assert run(net(), batches(4)).reason == "All 3 epochs were done."


def test_deterministic_refuses_what_is_not_and_puts_the_switch_back():
    class Unrepeatable(nn.Linear):
        def forward(self, x):
            return super().forward(x) + torch.empty(3).put_(torch.tensor([0, 0]), torch.ones(2)).mean() * 0

    with pytest.raises(OptionError, match=r"deterministic=True: .*does not have a deterministic implementation"):
        run(Unrepeatable(D, K), batches(4), deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(*(flat(m) for m in (trained(deterministic=True), trained(deterministic=False))))


def trained(**options):
    model = net()
    run(model, batches(4), **options)
    return model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "accumulate=0"),
        ({"clip_norm": 0.0}, "clip_norm=0.0"),
        ({"ema": 1.0}, "ema=1.0"),
        ({"patience": 0}, "patience=0"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
        ({"schedule": "linear"}, "schedule='linear'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(OptionError, match=message):
        run(net(), batches(4), validation_loader=batches(4), **options)


def test_class_weights_of_torchs_loss_weigh_the_mean_as_torchs_mean_does():
    weight = torch.tensor([1.0, 5.0, 10.0])
    ours, torchs = net(), net()
    rowwise = nn.CrossEntropyLoss(weight=weight, reduction="none", label_smoothing=0.1, ignore_index=2)
    result = fit(ours, batches(N), epochs=3, loss=rowwise, optimizer=sgd(ours), criterion="last", device="cpu")
    averaged = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1, ignore_index=2)
    by_hand(torchs, batches(N), epochs=3, loss=averaged)
    assert torch.allclose(flat(ours), flat(torchs), atol=1e-6)
    inputs, labels = next(iter(batches(N)))
    assert result.history[0].loss == pytest.approx(averaged(net()(inputs), labels).item(), abs=1e-5)


def test_the_loss_of_one_logit_is_refused():
    with pytest.raises(OptionError, match="one logit a class"):
        fit(net(), batches(4), epochs=1, loss=BinaryLabelSmoothingCrossEntropy(0.1), device="cpu")
