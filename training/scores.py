"""What predictions are worth: accuracy, F1, calibration, and the separation of neutral texts."""

import torch
from torch.nn.functional import cross_entropy


def calibration_error(logits: torch.Tensor, gold: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error of the top label over equal-width bins (Guo et al., 2017)."""
    confidence, guess = logits.softmax(1).max(1)
    right = (guess == gold).float()
    place = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(right[place == b] - confidence[place == b]).sum().abs() for b in range(bins)]
    return (sum(gaps) / len(gold)).item()


def auroc(emotional: torch.Tensor, neutral: torch.Tensor) -> float:
    """Probability that the top score of an emotional text exceeds that of a neutral one."""
    first, second = emotional.softmax(1).amax(1), neutral.softmax(1).amax(1)
    above = (first[:, None] > second).float() + 0.5 * (first[:, None] == second).float()
    return above.mean().item()


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


def temperature(logits: list[torch.Tensor], targets: list[torch.Tensor]) -> float:
    """The divisor of the logits that minimizes the mean cross-entropy over several sets of texts,
    each counted alike (Guo et al., 2017)."""
    candidates = [0.3 + 0.01 * i for i in range(271)]
    return min(candidates, key=lambda t: sum(cross_entropy(l / t, y).item() for l, y in zip(logits, targets)))
