"""Fitting a network to soft targets, predicting with it, and judging what it predicts."""

import hashlib
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from texts import punctuated

BFLOAT16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@dataclass(frozen=True)
class Recipe:
    epochs: int
    lr: float
    batch: int = 64
    weight_decay: float = 0.01
    punctuate: float = 0.3
    max_length: int = 128


@dataclass(frozen=True)
class Lesson:
    """Texts, the probability of every label (n, labels), and the weight of each text (n)."""

    texts: list[str]
    targets: torch.Tensor
    weight: torch.Tensor


def token_ids(tokenizer, texts: list[str], max_length: int) -> list[list[int]]:
    return tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]


def batches(ids: list[list[int]], size: int, shuffle: random.Random | None) -> list[list[int]]:
    """Indices of `size` texts of like length each, so that little is padded."""
    order = list(range(len(ids)))
    if shuffle:
        shuffle.shuffle(order)
    pool = size * 50
    out = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda i: len(ids[i]))
        out += [near[i : i + size] for i in range(0, len(near), size)]
    if shuffle:
        shuffle.shuffle(out)
    return out


def padded(ids: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, ids))
    tokens = torch.full((len(ids), longest), pad)
    mask = torch.zeros_like(tokens)
    for row, text in enumerate(ids):
        tokens[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return tokens, mask


def forward(network, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    out = network(tokens, attention_mask=mask)
    return (out if isinstance(out, torch.Tensor) else out.logits).float()


@torch.no_grad()
def predict(network, tokenizer, texts: list[str], max_length: int = 512) -> torch.Tensor:
    """Logits in float32, (texts, labels)."""
    network.eval()
    ids = token_ids(tokenizer, texts, max_length)
    plan = batches(ids, 64, None)
    parts = [forward(network, *padded([ids[i] for i in batch], tokenizer.pad_token_id)) for batch in plan]
    out = torch.empty(len(texts), parts[0].shape[1])
    for batch, part in zip(plan, parts):
        out[batch] = part
    return out


def fingerprint(network, lesson: Lesson) -> str:
    """Tells one start of a fit from another: its texts, targets and weights."""
    digest = hashlib.sha256("\n".join(lesson.texts).encode())
    for tensor in [lesson.targets, lesson.weight, *network.state_dict().values()]:
        digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()


def fit(network, tokenizer, lesson: Lesson, recipe: Recipe, seed: int, checkpoint: Path) -> None:
    """AdamW on a one-cycle schedule. Goes on from `checkpoint`, written after every epoch, if it is
    of the same settings, texts, targets and first weights."""
    settings = {**asdict(recipe), "seed": seed, "given": fingerprint(network, lesson)}
    torch.manual_seed(seed)
    shuffle = random.Random(seed)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    steps = recipe.epochs * math.ceil(len(lesson.texts) / recipe.batch) + recipe.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps, pct_start=0.1)

    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        if saved["settings"] == settings:
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            shuffle.setstate(saved["shuffle"])
            torch.set_rng_state(saved["rng"])
            first = saved["epochs"]

    for epoch in range(first, recipe.epochs):
        network.train()
        started, total = time.time(), 0.0
        texts = [punctuated(t, shuffle) if shuffle.random() < recipe.punctuate else t for t in lesson.texts]
        ids = token_ids(tokenizer, texts, recipe.max_length)
        plan = batches(ids, recipe.batch, shuffle)
        for step, batch in enumerate(plan):
            tokens, mask = padded([ids[i] for i in batch], tokenizer.pad_token_id)
            with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
                logits = forward(network, tokens, mask)
            weight = lesson.weight[batch]
            each = cross_entropy(logits, lesson.targets[batch], reduction="none")
            loss = (each * weight).sum() / weight.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.item()
            if step % 50 == 0 or step + 1 == len(plan):
                print(
                    f"  {checkpoint.stem}: epoch {epoch + 1}/{recipe.epochs}, step {step + 1}/{len(plan)}, "
                    f"loss {total / (step + 1):.3f}, {time.time() - started:.0f} s",
                    flush=True,
                )
        state = {
            "settings": settings,
            "epochs": epoch + 1,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "shuffle": shuffle.getstate(),
            "rng": torch.get_rng_state(),
        }
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").rename(checkpoint)


def calibration_error(logits: torch.Tensor, gold: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error of the top label over equal-width bins (Guo et al., 2017)."""
    confidence, guess = logits.softmax(1).max(1)
    right = (guess == gold).float()
    place = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(right[place == b] - confidence[place == b]).sum().abs() for b in range(bins)]
    return (sum(gaps) / len(gold)).item()


def temperature(logits: torch.Tensor, gold: torch.Tensor) -> float:
    """The divisor of the logits with the least cross entropy."""
    candidates = [0.3 + 0.01 * i for i in range(271)]
    return min(candidates, key=lambda t: cross_entropy(logits / t, gold).item())


def scores(logits: torch.Tensor, gold: torch.Tensor, labels: list[str]) -> dict:
    guess = logits.argmax(1)
    per_label, weighted = {}, 0.0
    for i, label in enumerate(labels):
        hit = ((guess == i) & (gold == i)).sum().item()
        guessed, held = (guess == i).sum().item(), (gold == i).sum().item()
        f1 = 2 * hit / max(1, guessed + held)
        weighted += f1 * held / len(gold)
        per_label[label] = {"precision": hit / max(1, guessed), "recall": hit / max(1, held), "f1": f1, "texts": held}
    return {
        "texts": len(gold),
        "accuracy": (guess == gold).float().mean().item(),
        "weighted_f1": weighted,
        "loss": cross_entropy(logits, gold).item(),
        "calibration_error": calibration_error(logits, gold),
        "labels": per_label,
    }
