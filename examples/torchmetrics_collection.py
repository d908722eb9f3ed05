"""Calibration beside other metrics in a torchmetrics.MetricCollection.

Run it with ``python examples/torchmetrics_collection.py``; it needs torchmetrics, and takes a few seconds.
"""

import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAUROC

from calibkit.integrations.torchmetrics import Calibration

generator = torch.Generator().manual_seed(0)
labels = torch.randint(5, (4_000,), generator=generator)
logits = torch.randn(4_000, 5, generator=generator)
logits[torch.arange(4_000), labels] += 2.0

collection = MetricCollection(
    {
        "auroc": MulticlassAUROC(num_classes=5),
        "calibration": Calibration(preds="logits", values=("ece", "nll", "brier")),
    }
)
for rows in torch.arange(4_000).split(500):
    collection.update(logits[rows], labels[rows])

for name, value in collection.compute().items():
    print(f"{name}: {value:.4f}")
print(collection["calibration"].evaluation())
