"""Refits the two layers after the encoder, so that the score separates texts without emotion from others."""

import random

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import cross_entropy, dropout, relu

from fit import DEVICE, batches, pad_id, padded, token_ids
from texts import DATA_SETS, NEUTRAL, UNLABELED, Text

# How many texts are learned and their weight, by their source and whether they are neutral.
PARTS = {
    ("emotion", False): (2500, 1.0),
    ("goemotions", False): (6000, 1.2),
    ("goemotions", True): (6000, 0.12),
    ("xed", False): (2500, 0.3),
    ("xed", True): (3000, 0.6),
    ("written", False): (4000, 1.0),
    ("written", True): (2200, 1.0),
}
EPOCHS, BATCH, RATE = 2, 256, 3e-4


def chosen(texts: list[Text], rng: random.Random) -> tuple[list[int], torch.Tensor]:
    """The indices of the texts that are learned, and their weights."""
    rows: dict[tuple[str, bool], list[int]] = {part: [] for part in PARTS}
    for i, text in enumerate(texts):
        if text.label != UNLABELED and text.source != "near":
            source = text.source if text.source in DATA_SETS else "written"
            rows[source, text.label == NEUTRAL].append(i)
    kept = {part: rng.sample(rows[part], min(count, len(rows[part]))) for part, (count, _) in PARTS.items()}
    weight = [PARTS[part][1] for part, indices in kept.items() for _ in indices]
    return [i for indices in kept.values() for i in indices], torch.tensor(weight)


@torch.no_grad()
def first_states(student, tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """The encoder's last state of each text's first token, (texts, hidden size)."""
    student.to(DEVICE).eval()
    ids, pad = token_ids(tokenizer, texts, 128), pad_id(tokenizer)
    out = torch.empty(len(texts), student.config.dim)
    for batch in batches(ids, 64, None):
        tokens, mask = padded([ids[i] for i in batch], pad)
        out[batch] = student.distilbert(tokens, attention_mask=mask).last_hidden_state[:, 0].float().cpu()
    return out


def logits(layers: nn.ModuleDict, states: torch.Tensor, rate: float) -> torch.Tensor:
    return layers["classifier"](dropout(relu(layers["pre_classifier"](states)), rate))


def refit(student, states: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """The weights of the two layers after a fit that starts from the student's; the student stays as it is."""
    torch.manual_seed(seed)
    size, labels = student.config.dim, targets.shape[1]
    layers = nn.ModuleDict({"pre_classifier": nn.Linear(size, size), "classifier": nn.Linear(size, labels)})
    layers.load_state_dict({name: tensor.cpu() for name, tensor in student.state_dict().items() if name.split(".")[0] in layers})
    optimizer = torch.optim.AdamW(layers.parameters(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * (len(states) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(states)).split(BATCH)[: len(states) // BATCH]:
            each = cross_entropy(logits(layers, states[rows], 0.1), targets[rows], reduction="none")
            ((each * weight[rows]).sum() / weight[rows].sum()).backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return {name: tensor.detach() for name, tensor in layers.state_dict().items()}
