"""Whatever ends a training, the checkpoint of the last complete epoch is there, and can be gone on from."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from calibkit.errors import DataError, LimitError, OutputError
from calibkit.training import fit, load_weights
from calibkit.training.archive import read_archive
from tests.training.test_resume import D, K, network, rows, same, train

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {"schedule": "constant", "warmup_steps": 0, "ema": None, "criterion": "last"}

# Trains in a child for each delay, and kills it that long after it began, or after its first checkpoint was there.
KILLED = """
import os, signal, sys, time
import torch
from tests.training.test_interruptions import PLAIN, train
torch.set_num_threads(1)
folder, *delays = sys.argv[1:]
train(epochs=1, **PLAIN)  # what torch imports late is there before the clock starts
for number, delay in enumerate(delays):
    child = os.fork()
    if child == 0:
        train(f"{folder}/{number}", epochs=10_000, **PLAIN)
        os._exit(0)
    while number % 2 and not os.path.exists(f"{folder}/{number}/resume.pt"):
        time.sleep(0.005)
    time.sleep(float(delay))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_at_any_moment_leaves_a_checkpoint_to_go_on_from(tmp_path):
    delays = ["0.02", "0", "0.05", "0.013", "0.11", "0.057", "0.23", "0.171"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), *delays], check=True, env=environment, cwd=ROOT)
    done = []
    for number in range(len(delays)):
        folder = tmp_path / str(number)
        epoch = read_archive(folder / "resume.pt")["epoch"] if (folder / "resume.pt").exists() else 0
        if (folder / "weights.safetensors").exists():
            load_weights(network(), folder / "weights.safetensors")
        resumed, result = train(folder, resume=True, epochs=epoch + 2, **PLAIN)
        assert result.resumed_from == epoch
        assert same(resumed, train(epochs=epoch + 2, **PLAIN)[0])
        assert {path.name for path in folder.iterdir()} == {"resume.pt", "weights.safetensors"}
        done.append(epoch)
    assert min(done[1::2]) >= 1


class Ending:
    """A loader that raises in the middle of an epoch."""

    def __init__(self, error, epoch):
        self.data, self.error, self.epoch, self.begun = DataLoader(rows(), batch_size=8), error, epoch, 0

    def __iter__(self):
        self.begun += 1
        for number, batch in enumerate(self.data):
            if self.begun == self.epoch and number == 3:
                raise self.error
            yield batch


def test_ctrl_c_in_an_epoch_leaves_the_last_one(tmp_path):
    loader = Ending(KeyboardInterrupt(), epoch=4)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tmp_path, loader=loader, **PLAIN)
    assert str(stopped.value) == (
        f"Stopped in epoch 4. The checkpoint of epoch 3 is in {tmp_path / 'resume.pt'}; resume=True goes on from it."
    )
    resumed, _ = train(tmp_path, resume=True, loader=loader, **PLAIN)
    assert same(resumed, train(loader=DataLoader(rows(), batch_size=8), **PLAIN)[0])


def test_ctrl_c_without_a_checkpoint_says_the_epoch():
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(loader=Ending(KeyboardInterrupt(), epoch=2), **PLAIN)
    assert str(stopped.value) == "Stopped in epoch 2."


def test_an_error_of_the_users_own_passes_with_a_note(tmp_path):
    with pytest.raises(ZeroDivisionError) as stopped:
        train(tmp_path, loader=Ending(ZeroDivisionError(), epoch=2), **PLAIN)
    assert "The checkpoint of epoch 1 is in" in stopped.value.__notes__[0]
    with pytest.raises(ZeroDivisionError) as stopped:
        train(loader=Ending(ZeroDivisionError(), epoch=2), **PLAIN)
    assert not hasattr(stopped.value, "__notes__")


class Failing(nn.Module):
    """A network that does something else from one training call on."""

    def __init__(self, call, act):
        super().__init__()
        self.head, self.call, self.act, self.calls = nn.Linear(D, K), call, act, 0

    def forward(self, x):
        self.calls += self.training
        logits = self.head(x)
        return self.act(logits) if self.training and self.calls >= self.call else logits


def test_a_loss_of_nan_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    model = Failing(17, lambda logits: logits * math.nan)  # 7 batches an epoch: the third of epoch 3
    with pytest.raises(DataError, match=r"epoch 3, step 3: the loss is nan .*The checkpoint of epoch 2 is in"):
        train(tmp_path, model=model, **PLAIN, accumulate=1)
    state = read_archive(tmp_path / "resume.pt")
    assert state["epoch"] == 2
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_a_last_step_that_spoils_the_weights_is_found_before_they_are_kept(tmp_path):
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    batches = [(torch.randn(4, D, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0]))]
    model = nn.Linear(D, K)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e38)
    with pytest.raises(DataError, match=r"epoch 1, last step: the weights 'weight' hold NaN or inf after it"):
        fit(
            model,
            batches,
            epochs=1,
            loss=lambda x, y: 1e30 * loss(x, y),
            optimizer=optimizer,
            device="cpu",
            checkpoint=tmp_path,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "act",
    [
        lambda _: torch.empty(10**17),
        lambda _: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")),
    ],
    ids=["host", "CUDA, as torch words it"],
)
def test_out_of_memory_says_the_batch_size_and_keeps_the_checkpoint(act, tmp_path):
    with pytest.raises(
        LimitError,
        match=r"epoch 2: out of memory on cpu with a batch of 8 rows of train_loader \(.*\)\. Halve batch_size and "
        r"pass accumulate=4: the same steps in half the memory\. The checkpoint of epoch 1",
    ):
        train(tmp_path, model=Failing(8, act), **PLAIN)
    assert read_archive(tmp_path / "resume.pt")["epoch"] == 1


def test_out_of_memory_in_validation():
    class Large(nn.Linear):
        def forward(self, x):
            return super().forward(x) if self.training else torch.empty(10**17)

    with pytest.raises(LimitError, match=r"a batch of 16 rows of validation_loader .*smaller batch_size"):
        train(model=Large(D, K), **PLAIN)


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    train(tmp_path, epochs=1, **PLAIN)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("calibkit.training.archive.torch.save", full)
    with pytest.raises(OutputError, match=r"No space left on device.*The checkpoint of epoch 1 is in"):
        train(tmp_path, resume=True, **PLAIN)
    monkeypatch.undo()
    assert same(train(tmp_path, resume=True, **PLAIN)[0], train(**PLAIN)[0])
