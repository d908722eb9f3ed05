"""The gradient that is written down, against torch's own loss and against derivatives, in one block and in many."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from calibkit.training import LabelSmoothingCrossEntropy, closed_form

PRIOR = [0.13, 0.07, 0.31, 0.29, 0.2]
WEIGHT = [0.4, 1.7, 0.9, 2.3, 0.05]
SHAPES = [(23, 5), (3, 5, 4), (2, 5, 3, 4), (1, 5, 9, 2)]


@pytest.fixture(params=[1, 40, 10**9], ids=lambda size: f"block{size}")
def small_blocks(request, monkeypatch):
    """Closed form for any number of logits, in blocks of a few rows or in one."""
    monkeypatch.setattr(closed_form, "FEW", 0)
    monkeypatch.setattr(closed_form, "FEW_CLASSES", 0)
    monkeypatch.setattr(closed_form, "CPU_BLOCK", request.param)
    monkeypatch.setattr(closed_form, "GPU_BLOCK", request.param)


def batch(shape, dtype=torch.float64, *, soft=False, ignored=False, device="cpu"):
    generator = torch.Generator().manual_seed(11)
    logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    targets = torch.randn(shape, generator=generator, dtype=torch.float64).softmax(1)
    if not soft:
        targets = torch.multinomial(targets.movedim(1, -1).flatten(0, -2), 1, generator=generator)
        targets = targets.reshape(shape[0], *shape[2:])
        if ignored:
            targets.view(-1)[[1, 4, 7]] = -100
    return logits.to(device, dtype), targets.to(device, dtype if soft else torch.int64)


def losses_and_gradient(loss, logits, targets):
    """Rows, and their gradient for an upstream that differs from row to row."""
    leaf = logits.clone().requires_grad_()
    losses = loss(leaf, targets)
    upstream = torch.linspace(0.3, 1.9, losses.numel(), dtype=losses.dtype, device=losses.device)
    (losses * upstream.reshape(losses.shape)).sum().backward()
    return losses.detach(), leaf.grad


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.13])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("kind", ["labels", "ignored", "soft"])
def test_it_equals_torch(shape, smoothing, weight, kind, device):
    logits, targets = batch(shape, soft=kind == "soft", ignored=kind == "ignored", device=device)
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64, device=device)
    ours = LabelSmoothingCrossEntropy(smoothing, weight=w, reduction="none")
    value, gradient = losses_and_gradient(ours, logits, targets)
    expected, expected_gradient = losses_and_gradient(
        lambda x, t: cross_entropy(x, t, weight=w, label_smoothing=smoothing, reduction="none"), logits, targets
    )
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("kind", ["labels", "ignored", "soft"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_equals_torch_where_all_rows_share_their_upstream(shape, weight, kind, reduction, device):
    logits, targets = batch(shape, soft=kind == "soft", ignored=kind == "ignored", device=device)
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64, device=device)
    leaf = logits.requires_grad_()
    value = LabelSmoothingCrossEntropy(0.13, weight=w, reduction=reduction)(leaf, targets)
    expected = cross_entropy(leaf, targets, weight=w, label_smoothing=0.13, reduction=reduction)
    torch.testing.assert_close(value, expected, rtol=1e-13, atol=0)
    ours, theirs = (torch.autograd.grad(-2.5 * loss, leaf)[0] for loss in (value, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["labels", "ignored", "soft"])
def test_a_prior_equals_the_plain_form(shape, kind, device, monkeypatch):
    logits, targets = batch(shape, soft=kind == "soft", ignored=kind == "ignored", device=device)
    loss = LabelSmoothingCrossEntropy(0.2, prior=PRIOR, weight=WEIGHT, reduction="none")
    value, gradient = losses_and_gradient(loss, logits, targets)
    monkeypatch.setattr(closed_form, "FEW", 10**9)
    expected, expected_gradient = losses_and_gradient(loss, logits, targets)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("options", [{}, {"prior": PRIOR}, {"weight": WEIGHT}, {"prior": PRIOR, "weight": WEIGHT}])
@pytest.mark.parametrize("kind", ["labels", "ignored", "soft"])
def test_derivatives_of_first_and_second_order(options, kind):
    logits, targets = batch((3, 5, 3), soft=kind == "soft", ignored=kind == "ignored")
    options = {name: torch.tensor(value, dtype=torch.float64) for name, value in options.items()}
    loss = LabelSmoothingCrossEntropy(0.13, **options, reduction="none")
    leaf = logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), (leaf,))
    assert torch.autograd.gradgradcheck(lambda x: loss(x, targets), (leaf,))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_half_precisions_are_rounded_once(dtype, kind, device):
    logits, targets = batch((64, 5), dtype, device=device)
    targets = 0.7 * torch.eye(5, device=device)[targets] + 0.3 / 5 if kind == "soft" else targets
    loss = LabelSmoothingCrossEntropy(0.1, reduction="none")
    value, gradient = losses_and_gradient(loss, logits, targets)
    exact, exact_gradient = losses_and_gradient(loss, logits.double(), targets)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value.double(), exact, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=torch.finfo(dtype).eps, atol=3e-7)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("soft", [False, True])
def test_logits_that_are_not_contiguous(dtype, soft, device):
    logits, targets = batch((2, 5, 3, 4), dtype, device=device)
    targets = 0.7 * torch.nn.functional.one_hot(targets, 5).movedim(-1, 1).float() + 0.06 if soft else targets
    loss = LabelSmoothingCrossEntropy(0.1, weight=WEIGHT, reduction="none")
    value, gradient = losses_and_gradient(loss, logits, targets)
    last = logits.contiguous(memory_format=torch.channels_last)
    turned = logits.transpose(2, 3).contiguous().transpose(2, 3)
    for other in (last, turned, logits.repeat(1, 1, 1, 2)[..., :4]):
        assert not other.is_contiguous()
        its_value, its_gradient = losses_and_gradient(loss, other, targets)
        torch.testing.assert_close(its_value, value)
        torch.testing.assert_close(its_gradient, gradient)


@pytest.mark.usefixtures("small_blocks")
def test_autocast_does_not_lower_the_precision(device):
    logits, labels = batch((23, 5), torch.float32, device=device)
    loss = LabelSmoothingCrossEntropy(0.1, weight=WEIGHT, prior=PRIOR, reduction="none").to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        inside = losses_and_gradient(loss, logits, labels)
    for one, other in zip(inside, losses_and_gradient(loss, logits, labels), strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("small_blocks")
def test_learned_soft_targets_get_their_gradient():
    logits, targets = batch((6, 5), soft=True)
    leaf = logits.clone().requires_grad_()
    raw = targets.log().requires_grad_()
    value = LabelSmoothingCrossEntropy(0.13)(leaf, raw.softmax(1))
    expected = cross_entropy(leaf, raw.softmax(1), label_smoothing=0.13)
    for one, other in zip(
        torch.autograd.grad(value, [leaf, raw]), torch.autograd.grad(expected, [leaf, raw]), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-15)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("changed", ["logits", "targets"])
@pytest.mark.parametrize("soft", [False, True])
def test_what_changes_before_the_backward_pass_is_noticed(changed, soft):
    logits, targets = batch((6, 5), soft=soft)
    network = 1.0 * logits.requires_grad_()
    loss = LabelSmoothingCrossEntropy(0.1)(network, targets)
    with torch.no_grad():
        (network if changed == "logits" else targets).zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


class LargestOutputs(TorchDispatchMode):
    """How many tensors of at least a number of elements were made."""

    def __init__(self, at_least):
        super().__init__()
        self.at_least, self.seen = at_least, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.numel() >= self.at_least:
                self.seen[tensor.data_ptr()] = tensor  # kept alive, so that no address comes twice
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(600, 4_000), (8, 10, 300, 100)])
@pytest.mark.parametrize("kind", ["labels", "ignored", "weighted", "soft"])
def test_beside_the_logits_only_their_gradient_is_as_large(shape, dtype, kind):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    targets = torch.randint(shape[1], (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(1))
    if kind == "ignored":
        targets[::2] = -100
    if kind == "soft":
        targets = torch.full(shape, 1 / shape[1])
    weight = torch.linspace(0.5, 2, shape[1]) if kind == "weighted" else None
    made = {}
    for name, loss in {
        "ours": LabelSmoothingCrossEntropy(0.1, weight=weight),
        "torch": lambda x, y: cross_entropy(x.float(), y, weight=weight, label_smoothing=0.1),
    }.items():
        with LargestOutputs(logits.numel()) as outputs:
            (gradient,) = torch.autograd.grad(loss(logits, targets), logits)
        for given in (logits, targets):
            outputs.seen.pop(given.data_ptr(), None)
        assert gradient.data_ptr() in outputs.seen
        made[name] = len(outputs.seen)
    assert made["ours"] == 1 < made["torch"]


@pytest.mark.parametrize(
    ("shape", "taken"), [((128, 2**14), True), ((127, 2**14), False), ((2**18, 8), False), ((2, 8, 512, 256), True)]
)
def test_it_is_taken_for_many_logits(shape, taken):
    logits, labels = torch.zeros(shape, requires_grad=True), torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
    losses, _ = LabelSmoothingCrossEntropy(0.1).rows(logits, labels)
    assert ("ClosedForm" in losses.grad_fn.name()) == taken


def test_under_a_compiler_the_plain_form_is_left_to_it():
    loss = LabelSmoothingCrossEntropy(0.1)
    logits = torch.randn(128, 2**14, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.randint(2**14, (128,), generator=torch.Generator().manual_seed(1))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    ours, theirs = (torch.autograd.grad(f(logits, labels), logits)[0] for f in (loss, compiled))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)
