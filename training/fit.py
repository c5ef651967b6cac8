"""Fitting a network to soft targets, and predicting with it."""

import hashlib
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from networks import round_linear_layers
from texts import punctuated

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BFLOAT16 = DEVICE == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@dataclass(frozen=True)
class Recipe:
    epochs: int
    lr: float
    batch: int = 64
    weight_decay: float = 0.01
    punctuate: float = 0.3
    max_length: int = 128
    tags: float = 0.1
    """Weight of the loss of the tags, relative to that of the labels."""
    variants: float = 0.0
    """Of the lesson's variants, how many are learned in each epoch, per text."""
    rounded: bool = False
    """Whether the encoder learns with the rounding of int8 inference."""


@dataclass(frozen=True)
class Lesson:
    """Texts, their targets (texts, labels + tags), and the weight of each text (texts). Targets are the
    probabilities of the labels, which sum to 1, and of each tag; those that are unknown are NaN. The
    last `variants` texts are learned in turn, a part in each epoch, and the others in every epoch."""

    texts: list[str]
    targets: torch.Tensor
    weight: torch.Tensor
    labels: int
    variants: int = 0

    def of_epoch(self, epoch: int, share: float) -> list[int]:
        """The texts that are learned in an epoch, with `share` times as many variants as other texts."""
        always = len(self.texts) - self.variants
        count = int(share * always) if self.variants else 0
        return [*range(always), *(always + (epoch * count + i) % self.variants for i in range(count))]


def token_ids(tokenizer: Tokenizer, texts: list[str], max_length: int) -> list[list[int]]:
    tokenizer.enable_truncation(max_length)
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def pad_id(tokenizer: Tokenizer) -> int:
    """Of BERT's and MPNet's vocabularies."""
    return next(i for i in map(tokenizer.token_to_id, ("[PAD]", "<pad>")) if i is not None)


def batches(ids: list[list[int]], size: int, shuffle: random.Random | None) -> list[list[int]]:
    """Indices of `size` texts of similar length each, so that little is padded."""
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
    lengths = np.array([len(text) for text in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.full(mask.shape, pad)
    tokens[mask] = np.concatenate(ids)
    move = lambda array: torch.from_numpy(array.astype(np.int64)).to(DEVICE, non_blocking=True)
    return move(tokens), move(mask)


def forward(network, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    out = network(tokens, attention_mask=mask)
    return (out if isinstance(out, torch.Tensor) else out.logits).float()


def losses(logits: torch.Tensor, targets: torch.Tensor, labels: int, tags: float) -> torch.Tensor:
    """The loss of each text: cross-entropy of its labels, and of each of its tags. Unknown targets count 0."""
    known, targets = ~targets.isnan(), targets.nan_to_num()
    of_labels = cross_entropy(logits[:, :labels], targets[:, :labels], reduction="none")
    of_tags = binary_cross_entropy_with_logits(logits[:, labels:], targets[:, labels:], reduction="none")
    return of_labels + tags * (of_tags * known[:, labels:]).sum(1)


def probabilities(logits: torch.Tensor, labels: int) -> torch.Tensor:
    """Of the labels and of each tag."""
    return torch.cat([logits[:, :labels].softmax(1), logits[:, labels:].sigmoid()], 1)


@torch.no_grad()
def predict(network, tokenizer: Tokenizer, texts: list[str], max_length: int = 512, exact: bool = True) -> torch.Tensor:
    """Logits in float32, (texts, labels + tags), on the CPU; unless `exact`, in bfloat16 where it is fast."""
    network.to(DEVICE).eval()
    ids = token_ids(tokenizer, texts, max_length)
    plan = batches(ids, 64 if exact else 512, None)
    pad = pad_id(tokenizer)
    with torch.autocast(DEVICE, torch.bfloat16, enabled=BFLOAT16 and not exact):
        parts = [forward(network, *padded([ids[i] for i in batch], pad)) for batch in plan]
    out = torch.empty(len(texts), parts[0].shape[1])
    out[[i for batch in plan for i in batch]] = torch.cat(parts).cpu()
    return out


def fingerprint(network, lesson: Lesson) -> str:
    """Distinguishes a fit from others by its texts, targets and first weights."""
    digest = hashlib.sha256("\n".join(lesson.texts).encode())
    for tensor in [lesson.targets, lesson.weight, *network.state_dict().values()]:
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def fit(network, tokenizer: Tokenizer, lesson: Lesson, recipe: Recipe, seed: int, checkpoint: Path) -> None:
    """AdamW on a one-cycle schedule. Continues from `checkpoint`, written after every epoch, if it has
    the same settings, texts, targets and first weights."""
    settings = {**asdict(recipe), "seed": seed, "given": fingerprint(network, lesson)}
    torch.manual_seed(seed)
    shuffle = random.Random(seed)
    network.to(DEVICE)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    steps = recipe.epochs * (math.ceil(len(lesson.of_epoch(0, recipe.variants)) / recipe.batch) + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps, pct_start=0.1)
    targets, weights = lesson.targets.to(DEVICE), lesson.weight.to(DEVICE)
    pad = pad_id(tokenizer)
    if recipe.rounded:
        round_linear_layers(network, True)

    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False, map_location=DEVICE)
        if saved["settings"] == settings:
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            shuffle.setstate(saved["shuffle"])
            torch.set_rng_state(saved["rng"].cpu())
            first = saved["epochs"]

    for epoch in range(first, recipe.epochs):
        network.train()
        started, total = time.time(), torch.zeros((), device=DEVICE)
        learned = lesson.of_epoch(epoch, recipe.variants)
        texts = [lesson.texts[i] for i in learned]
        texts = [punctuated(t, shuffle) if shuffle.random() < recipe.punctuate else t for t in texts]
        ids = token_ids(tokenizer, texts, recipe.max_length)
        plan = batches(ids, recipe.batch, shuffle)
        for step, batch in enumerate(plan):
            tokens, mask = padded([ids[i] for i in batch], pad)
            with torch.autocast(DEVICE, torch.bfloat16, enabled=BFLOAT16):
                logits = forward(network, tokens, mask)
            rows = torch.tensor([learned[i] for i in batch]).to(DEVICE, non_blocking=True)
            weight = weights[rows]
            each = losses(logits, targets[rows], lesson.labels, recipe.tags)
            loss = (each * weight).sum() / weight.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
            if step % 200 == 199 or step + 1 == len(plan):
                print(
                    f"  {checkpoint.stem}: epoch {epoch + 1}/{recipe.epochs}, step {step + 1}/{len(plan)}, "
                    f"loss {total.item() / (step + 1):.3f}, {time.time() - started:.0f} s",
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
    if recipe.rounded:
        round_linear_layers(network, False)
