"""Calibration at the end of every epoch of a loop of one's own: the batches are evaluated where they are.

Run it with ``python examples/validation_loop.py``; it takes a few seconds and downloads nothing.
"""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from calibkit.integrations.torch import CalibrationMetric

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
train, validation = torch.utils.data.random_split(data, [1297, 500])

device = "cuda" if torch.cuda.is_available() else "cpu"
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
metric = CalibrationMetric(name="digits")

for epoch in range(12):
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(x.to(device)), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    metric.reset()
    with torch.no_grad():
        for x, y in DataLoader(validation, batch_size=256):
            metric.update(labels=y, logits=model(x.to(device)))  # waits for nothing; keeps counts and sums alone
    if epoch % 4 == 3:
        evaluation = metric.compute()
        ece = evaluation["ece"]
        print(f"epoch {epoch + 1}: accuracy {evaluation['accuracy'].value:.3f}, ECE {ece.value:.3f} ", end="")
        print(f"[{ece.low:.3f}, {ece.high:.3f}]")

print(evaluation)
metric.state().save("validation.ckst")  # to merge with the states of other shards, or to evaluate again
