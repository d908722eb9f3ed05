"""The page on checkpoints: loops of other libraries run, with the library or a minimal stand-in for it.

Its commands and Python examples run in tests/test_readme.py; blocks marked ``py`` need other libraries or processes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from calibkit import load
from calibkit.training import LabelSmoothingCrossEntropy, predict

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "checkpoints.md").read_text()
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE, flags=re.M | re.S)
NETS = re.search(r"^cat > nets.py <<'END'\n(.*?)^END$", PAGE, flags=re.M | re.S)[1]


def block(word):
    (found,) = (code for code in BLOCKS if word in code)
    return found


def stand_in(monkeypatch, name, **attributes):
    """A module of this name where the library is absent."""
    try:
        __import__(name)
    except ImportError:
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)


def test_every_block_is_python_and_the_loops_are_short():
    for code in BLOCKS:
        compile(code, "docs/checkpoints.md", "exec")
    for name in ("lightning", "accelerate"):
        lines = [
            line for line in block(f"import {name}" if name == "lightning" else "Accelerator()").splitlines() if line
        ]
        assert len([line for line in lines if "import" not in line]) <= 10


def test_the_command_of_the_readme_is_one_that_is_run_here():
    (command,) = re.findall(r"^    (calibkit compare .*)$", (ROOT / "README.md").read_text(), flags=re.M)
    assert any(command in commands.splitlines() for commands in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S))


class LightningModule(nn.Module):
    """What the example needs of lightning's."""


def test_lightning(monkeypatch):
    stand_in(monkeypatch, "lightning", LightningModule=LightningModule)
    names = {}
    exec(block("lightning.LightningModule"), names)
    torch.manual_seed(2)
    network = nn.Linear(4, 3)
    batch = torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])
    classifier = names["Classifier"](network, 0.1)
    loss = classifier.training_step(batch, 0)
    assert loss.item() == pytest.approx(LabelSmoothingCrossEntropy(0.1)(network(batch[0]), batch[1]).item())
    loss.backward()
    before = network.weight.clone()
    classifier.configure_optimizers().step()
    assert not torch.equal(network.weight, before)


class Accelerator:
    """What the example needs of accelerate's in one process."""

    def prepare(self, *parts):
        return parts

    def backward(self, loss):
        loss.backward()


def test_accelerate(monkeypatch, user_module):
    user_module(NETS, "nets")
    monkeypatch.syspath_prepend(Path.cwd())
    stand_in(monkeypatch, "accelerate", Accelerator=Accelerator)
    names = {}
    torch.manual_seed(2)
    exec(block("Accelerator()"), names)
    import nets

    predictions = predict(names["model"], nets.test(), device="cpu")
    assert len(predictions) == 597
    assert (predictions.logits.argmax(1) == predictions.labels).mean() > 0.3  # one epoch; chance gives .1


def test_factories_of_other_libraries(monkeypatch):
    class Auto:
        from_pretrained = from_config = staticmethod(lambda argument: argument)

    monkeypatch.setitem(sys.modules, "transformers", ModuleType("transformers"))
    monkeypatch.setitem(sys.modules, "timm", ModuleType("timm"))
    sys.modules["transformers"].AutoConfig = sys.modules["transformers"].AutoModelForSequenceClassification = Auto
    sys.modules["timm"].create_model = lambda name, num_classes: (name, num_classes)
    names = {}
    exec(block("transformers"), names)
    assert names["bert"]() == "my-bert"
    assert names["resnet"]() == ("resnet18", 10)


@pytest.mark.slow
def test_several_processes(tmp_path):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this build of torch has no gloo")
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "train.py").write_text(block("init_process_group"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    # gloo sometimes aborts a process whose peer has gone first; by then the file is there, or the test fails below.
    assert done.returncode == 0 or "SIGABRT" in done.stderr, done.stderr
    predictions = load(tmp_path / "test.npz")
    assert np.array_equal(predictions.ids, np.arange(597))
    assert (predictions.logits.argmax(1) == predictions.labels).mean() > 0.2


def test_the_sum_over_processes_is_written_as_it_is_tested():
    """tests/training/two_processes.py does the same with a real group."""
    code = block("all_reduce")
    torch.manual_seed(3)
    model, inputs, labels = nn.Linear(4, 3), torch.randn(6, 4), torch.tensor([0, -100, 2, 1, -100, 1])
    alone = ModuleType("dist")
    alone.all_reduce, alone.get_world_size = lambda _: None, lambda: 1
    names = {"dist": alone, "LabelSmoothingCrossEntropy": LabelSmoothingCrossEntropy}
    names |= {"model": model, "inputs": inputs, "labels": labels}
    exec(code, names)
    expected = LabelSmoothingCrossEntropy(0.1, ignore_index=-100)(model(inputs), labels)
    assert names["loss"].item() == pytest.approx(expected.item())
