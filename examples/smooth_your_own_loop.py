"""Label smoothing in a training loop of your own, and an evaluation that can be published.

Run it with ``python examples/smooth_your_own_loop.py``; it takes a few seconds and downloads nothing.
"""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import calibkit as ck
from calibkit.training import LabelSmoothingCrossEntropy, predict, smoothed_loss_floor

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
train, calibration, test = torch.utils.data.random_split(data, [1198, 200, 399])

model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
criterion = LabelSmoothingCrossEntropy(0.1)

for epoch in range(15):
    total = 0.0
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    if epoch % 5 == 4:
        floor = smoothed_loss_floor(10, 0.1)
        print(f"epoch {epoch + 1}: smoothed loss {total / len(train):.3f}, of which {floor:.3f} is its floor")

# No shuffling from here on: rows keep their order, so another checkpoint's file can be compared row by row.
smoothed = predict(model, DataLoader(test, batch_size=256), name="smoothed")
ck.save(smoothed, "smoothed.npz")
print(ck.evaluate(smoothed))

temperature = ck.fit_temperature(predict(model, DataLoader(calibration, batch_size=256)))
print(f"temperature {temperature.value:.2f}: {'over' if temperature.value > 1 else 'under'}-confident before scaling")
