"""Calibration as the compute_metrics of a Hugging Face Trainer, of whole arrays and batch after batch.

Run it with ``python examples/transformers_trainer.py``; it needs transformers and accelerate, takes some seconds and
downloads nothing: BERT of a tiny, randomly initialised configuration.
"""

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from calibkit.integrations.transformers import ComputeCalibration

VOCABULARY, LENGTH, CLASSES = 40, 10, 4


class Sentences(Dataset):
    """Sentences of ten tokens; most tokens are from the quarter of the vocabulary that is their class's own."""

    def __init__(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(CLASSES, (n,), generator=generator)
        own = self.labels[:, None] * 10 + torch.randint(10, (n, LENGTH), generator=generator)
        any_token = torch.randint(VOCABULARY, (n, LENGTH), generator=generator)
        self.tokens = torch.where(torch.rand(n, LENGTH, generator=generator) < 0.35, own, any_token)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return {"input_ids": self.tokens[row], "labels": self.labels[row]}


def trainer(*, batch_eval_metrics):
    """A Trainer; with ``batch_eval_metrics`` logits are evaluated batch after batch, and none are kept."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
        num_labels=CLASSES,
    )
    arguments = TrainingArguments(
        "trainer",
        max_steps=60,
        learning_rate=3e-3,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=64,
        batch_eval_metrics=batch_eval_metrics,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )
    return Trainer(
        BertForSequenceClassification(config),
        arguments,
        train_dataset=Sentences(600, seed=0),
        eval_dataset=Sentences(500, seed=1),
        compute_metrics=ComputeCalibration(name="bert"),
    )


if __name__ == "__main__":
    for batch_eval_metrics in (False, True):
        made = trainer(batch_eval_metrics=batch_eval_metrics)
        made.train()
        found = made.evaluate()
        print({name: round(found[f"eval_{name}"], 4) for name in ("accuracy", "ece", "nll", "brier")})
    print(made.compute_metrics.evaluation)
