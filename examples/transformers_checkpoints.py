"""Two checkpoints of a Hugging Face classifier, compared on the same rows.

A factory makes the network, here BERT of a tiny, randomly initialised configuration, so that nothing is downloaded. Its
output is an object whose ``logits`` calibkit takes. Without transformers a stand-in that returns such an object is
trained instead. The same from the command line, once this script has written the two checkpoints:

    calibkit compare hard.safetensors smooth.safetensors --model transformers_checkpoints:factory \
        --data transformers_checkpoints:test --calibrate-on transformers_checkpoints:validation
"""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader

import calibkit as ck
from calibkit.training import LabelSmoothingCrossEntropy, predict_checkpoint, save_weights

VOCABULARY, LENGTH, CLASSES = 40, 10, 4


class StandIn(nn.Module):
    """Embeds and averages the tokens; returns an object with logits, as the classifiers of transformers do."""

    def __init__(self):
        super().__init__()
        self.embedding, self.classifier = nn.Embedding(VOCABULARY, 32), nn.Linear(32, CLASSES)

    def forward(self, input_ids, attention_mask):
        """Logits (n, 4) of tokens (n, 10) and which of them count."""
        kept = attention_mask.unsqueeze(-1)
        mean = (self.embedding(input_ids) * kept).sum(1) / kept.sum(1)
        return SimpleNamespace(logits=self.classifier(mean))


def factory():
    """The network that checkpoints are loaded into."""
    try:
        from transformers import BertConfig, BertForSequenceClassification
    except ImportError:
        return StandIn()
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
        num_labels=CLASSES,
    )
    return BertForSequenceClassification(config)


def rows(n, seed):
    """Sentences of up to ten tokens; most are from the quarter of the vocabulary that is their class's own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    own = labels[:, None] * 10 + torch.randint(10, (n, LENGTH), generator=generator)
    any_token = torch.randint(VOCABULARY, (n, LENGTH), generator=generator)
    tokens = torch.where(torch.rand(n, LENGTH, generator=generator) < 0.35, own, any_token)
    lengths = torch.randint(4, LENGTH + 1, (n, 1), generator=generator)
    mask = (torch.arange(LENGTH) < lengths).long()
    return [({"input_ids": ids, "attention_mask": kept}, y) for ids, kept, y in zip(tokens, mask, labels, strict=True)]


def validation():
    """Rows for the temperatures, in an order that does not change."""
    return DataLoader(rows(400, seed=1), batch_size=100)


def test():
    """Rows to compare on."""
    return DataLoader(rows(800, seed=2), batch_size=100)


def train(smoothing):
    """A loop of one's own."""
    torch.manual_seed(0)
    model, criterion = factory().train(), LabelSmoothingCrossEntropy(smoothing)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = DataLoader(rows(400, seed=0), batch_size=50, shuffle=True)
    for _ in range(15):
        for inputs, labels in batches:
            loss = criterion(model(**inputs).logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


if __name__ == "__main__":
    checkpoints = {"hard": 0.0, "smooth": 0.1}
    for name, smoothing in checkpoints.items():
        save_weights(train(smoothing), f"{name}.safetensors")

    def predictions(data):
        """What each checkpoint says of the same rows."""
        return {name: predict_checkpoint(f"{name}.safetensors", model=factory, data=data) for name in checkpoints}

    print(f"network: {type(factory()).__name__}")
    print(ck.compare(predictions(test), calibrate_on=predictions(validation)))
