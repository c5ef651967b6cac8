"""Print the model card's tables for a model folder, and draw its reliability diagram.

    python evaluate.py --data FOLDER [--model ../data/model] [--picture reliability.svg]
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from fit import predict
from networks import pretrained_tokenizer
from scores import auroc, scores
from texts import default_corpus
from train import evaluated, gold

THRESHOLDS = [0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6]


def table(header: list[str], rows: list[list[str]]) -> None:
    print("\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def label_tables(measured: dict[str, dict], labels: list[str]) -> None:
    keys = ["texts", "accuracy", "weighted_f1", "loss", "calibration_error"]
    write = lambda number: f"{number:,}" if isinstance(number, int) else f"{number:.4f}"
    table(["", *measured], [[key, *(write(each[key]) for each in measured.values())] for key in keys])
    f1 = lambda each, label: f"{each['labels'][label]['f1']:.3f}" if each["labels"][label]["texts"] else ""
    table(["F1", *labels], [[name, *(f1(each, label) for label in labels)] for name, each in measured.items()])


def threshold_table(emotional: torch.Tensor, right: torch.Tensor, neutral: torch.Tensor) -> list[list[str]]:
    """Per threshold: precision and recall of "none" when both kinds of texts are equally frequent,
    and the accuracy of the labels that remain on emotional texts."""
    rows = []
    for threshold in THRESHOLDS:
        found, lost = (neutral < threshold).float().mean(), (emotional < threshold).float().mean()
        kept = right[emotional >= threshold].float().mean()
        precision = found / (found + lost).clamp(min=1e-9)
        rows.append([f"{threshold:.2f}", f"{precision:.3f}", f"{found:.3f}", f"{1 - lost:.3f}", f"{kept:.3f}"])
    return rows


def reliability_picture(curves: dict[str, tuple[torch.Tensor, torch.Tensor]], file: Path) -> None:
    """Accuracy over confidence in ten bins, as SVG; the diagonal is perfect calibration."""
    colors = ["#2b6cb0", "#c05621", "#2f855a", "#6b46c1"]
    at = lambda x, y: f"{60 + 360 * x:.1f},{400 - 360 * y:.1f}"
    parts = ['<rect width="460" height="450" fill="#fff"/>', '<rect x="60" y="40" width="360" height="360" fill="none" stroke="#444"/>']
    parts.append(f'<polyline points="{at(0, 0)} {at(1, 1)}" stroke="#999" stroke-dasharray="4" fill="none"/>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, y = at(tick, 0).split(",")[0], at(0, tick).split(",")[1]
        parts.append(f'<text x="{x}" y="418" text-anchor="middle">{tick}</text><text x="52" y="{y}" text-anchor="end">{tick}</text>')
    for (name, (confidence, right)), color, row in zip(curves.items(), colors, range(9)):
        bins = (confidence * 10).long().clamp(max=9)
        points = [
            at(confidence[bins == b].mean().item(), right[bins == b].float().mean().item())
            for b in range(10)
            if (bins == b).sum() >= 10
        ]
        parts.append(f'<polyline points="{" ".join(points)}" stroke="{color}" stroke-width="2" fill="none"/>')
        parts.append(f'<text x="72" y="{60 + 18 * row}" fill="{color}">{name}</text>')
    parts.append('<text x="240" y="440" text-anchor="middle">score of the label</text>')
    parts.append('<text x="18" y="220" text-anchor="middle" transform="rotate(-90 18 220)">accuracy</text>')
    body = "\n".join(parts)
    file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 450" font-family="sans-serif" font-size="13">\n{body}\n</svg>\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with emotion/, goemotions/ and xed/")
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "data/model")
    parser.add_argument("--picture", type=Path, help="file to draw the reliability diagram to, as SVG")
    args = parser.parse_args()
    corpus = default_corpus(args.data)
    network = AutoModelForSequenceClassification.from_pretrained(args.model).float()
    tokenizer = pretrained_tokenizer(args.model)
    logits = {name: predict(network, tokenizer, [t.text for t in texts]) for name, texts in evaluated(corpus).items()}
    label_tables({n: scores(logits[n], gold(t), corpus.labels) for n, t in corpus.validation.items()}, corpus.labels)

    kinds = sorted({t.source for t in corpus.validation["everyday"]})
    right = {name: logits[name].argmax(1) == gold(texts) for name, texts in corpus.validation.items()}
    of = lambda kind: right["everyday"][[t.source == kind for t in corpus.validation["everyday"]]]
    table(["kind of everyday sentence", "texts", "accuracy"], [[k, str(len(of(k))), f"{of(k).float().mean():.3f}"] for k in kinds])

    top = {name: each.softmax(1).amax(1) for name, each in logits.items()}
    table(["neutral against emotional texts", "neutral texts", "AUROC"], [
        [name, str(len(texts)), f"{auroc(logits[name], logits[f'{name} neutral']):.4f}"] for name, texts in corpus.neutral.items()
    ])  # fmt: skip
    for name in corpus.neutral:
        print(f"\n{name}:")
        header = ["threshold", "precision of none", "recall of none", "emotional texts labeled", "their accuracy"]
        table(header, threshold_table(top[name], right[name], top[f"{name} neutral"]))
    if args.picture:
        reliability_picture({name: (top[name], right[name]) for name in corpus.validation}, args.picture)


if __name__ == "__main__":
    main()
