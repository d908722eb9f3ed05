"""Calibration at the end of every validation of a Lightning Trainer.

Run it with ``python examples/lightning_callback.py``; it needs lightning, takes a few seconds and downloads nothing.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from calibkit.integrations.lightning import CalibrationCallback


class Digits(LightningModule):
    """A small network; `validation_step` and `test_step` return what the callback reads."""

    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def training_step(self, batch):
        """Cross-entropy of a batch."""
        x, y, _ = batch
        return torch.nn.functional.cross_entropy(self.network(x), y)

    def validation_step(self, batch):
        """Logits, labels, and each row's number: rows that a sampler repeats in other processes count once."""
        x, y, ids = batch
        return {"logits": self.network(x), "labels": y, "ids": ids}

    test_step = validation_step

    def configure_optimizers(self):
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


def loaders():
    """Loaders of (inputs, labels, index) for training, validation and test."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    for part in (slice(0, 1000), slice(1000, 1400), slice(1400, None)):
        rows = TensorDataset(x[part], y[part], torch.arange(len(y[part])))
        yield DataLoader(rows, batch_size=50, shuffle=part.start == 0)


if __name__ == "__main__":
    seed_everything(0, verbose=False)
    train, validation, test = loaders()
    callback = CalibrationCallback(ids="ids", name="digits")
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(max_epochs=6, accelerator="cpu", callbacks=[callback], **quiet)
    model = Digits()
    trainer.fit(model, train, validation)
    print({name: round(float(value), 4) for name, value in trainer.callback_metrics.items()})
    trainer.test(model, test, verbose=False)
    print(callback.evaluations["test"])
