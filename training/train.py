"""Train a classifier of short texts: MiniLM-L6 in DistilBERT form.

With a folder as --data: the default model, six emotions, from its emotion/ and goemotions/.
With a Parquet file as --data, --text and --label: the labels in that file.

Stages: teachers (each fold's texts are judged by teachers that have not seen them), student (fitted to
the labels mixed with the teachers' judgement; for the default model, then twice more without the
labels that are only near one of the six, and the three averaged), calibration, export. Finished
stages are kept under --cache; a stage that is stopped goes on after its last whole epoch.
"""

import argparse
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, one_hot

from fit import Lesson, Recipe, fit, predict, scores, temperature
from networks import Gru, minilm, pretrained_tokenizer, save
from texts import Corpus, Text, default_corpus, parquet_corpus

TEACHERS = {
    "minilm": (minilm, Recipe(epochs=3, lr=2e-4)),
    "gru": (Gru, Recipe(epochs=4, lr=1e-3)),
}
STUDENT = Recipe(epochs=5, lr=2e-4)


@dataclass(frozen=True)
class Continuation:
    """Of the student, without near labels, all texts weighed alike; counts `share` in the average."""

    recipe: Recipe
    trust: float
    trust_goemotions: bool
    share: float


CONTINUATIONS = [
    Continuation(Recipe(epochs=2, lr=6e-5), trust=0.3, trust_goemotions=True, share=0.65),
    Continuation(Recipe(epochs=2, lr=1.5e-4), trust=0.5, trust_goemotions=False, share=0.3),
]


def fold_of(text: str, folds: int) -> int:
    """The same text falls in the same fold however often it occurs."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") % folds


def hard_targets(texts: list[Text], labels: int, smoothing: float) -> torch.Tensor:
    exact = one_hot(torch.tensor([t.label for t in texts]), labels).float()
    return exact * (1 - smoothing) + smoothing / labels


def weights(texts: list[Text]) -> torch.Tensor:
    return torch.tensor([t.weight for t in texts])


def gold(texts: list[Text]) -> torch.Tensor:
    return torch.tensor([t.label for t in texts])


def judged(kind: str, corpus: Corpus, tokenizer, args, cache: Path) -> dict:
    """Probabilities that teachers of one kind give: to every training text, by those that have not
    seen it, and to the validation texts, the mean over all."""
    build, recipe = TEACHERS[kind]
    whole = torch.empty(len(corpus.train), len(corpus.labels))
    validation = {name: 0.0 for name in corpus.validation}
    places = [fold_of(t.text, args.folds) for t in corpus.train]
    for fold in range(args.folds):
        learnt = [t for t, place in zip(corpus.train, places) if place != fold]
        held = [i for i, place in enumerate(places) if place == fold]
        settings = {**asdict(recipe), "seed": args.seed, "folds": args.folds, "smoothing": args.label_smoothing}
        result = cache / f"{kind}-{fold}-judged.pt"
        saved = torch.load(result) if result.exists() else {}
        if saved.get("settings") != settings:
            torch.manual_seed(args.seed + fold)
            network = build(corpus.labels)
            lesson = Lesson(
                [t.text for t in learnt],
                hard_targets(learnt, len(corpus.labels), args.label_smoothing),
                weights(learnt),
            )
            checkpoint = cache / f"{kind}-{fold}.pt"
            fit(network, tokenizer, lesson, recipe, args.seed + fold, checkpoint)
            judge = lambda texts: predict(network, tokenizer, [t.text for t in texts]).softmax(1)
            saved = {
                "settings": settings,
                "held": judge([corpus.train[i] for i in held]),
                "validation": {name: judge(texts) for name, texts in corpus.validation.items()},
            }
            torch.save(saved, result)
            checkpoint.unlink()
            show(f"teacher {kind} {fold}", corpus, {n: p.log() for n, p in saved["validation"].items()})
        whole[held] = saved["held"]
        for name in validation:
            validation[name] = validation[name] + saved["validation"][name] / args.folds
    return {"train": whole, "validation": validation}


def mixed(judgements: list[dict], corpus: Corpus) -> dict:
    """The two kinds' probabilities at the share under which the training labels, none of which
    their judge has seen, are likeliest."""
    first, second = judgements
    labels, weight = gold(corpus.train), weights(corpus.train)

    def loss(share: float) -> float:
        mix = share * first["train"] + (1 - share) * second["train"]
        each = -mix[torch.arange(len(labels)), labels].clamp(min=1e-6).log()
        return (each * weight).sum().item()

    share = min([i / 20 for i in range(21)], key=loss)
    print(f"mix: {share:.2f} {next(iter(TEACHERS))}", flush=True)
    mix = lambda a, b: share * a + (1 - share) * b
    return {
        "train": mix(first["train"], second["train"]),
        "validation": {n: mix(first["validation"][n], second["validation"][n]) for n in corpus.validation},
    }


def average_of_continuations(student, corpus: Corpus, teachers: torch.Tensor, tokenizer, seed: int, cache: Path) -> None:
    """Replaces the student's weights by the average of them and those of its continuations."""
    exact = [i for i, t in enumerate(corpus.train) if t.source != "near"]
    texts = [corpus.train[i] for i in exact]
    hard = hard_targets(texts, len(corpus.labels), 0.0)
    start = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    share = 1 - sum(continuation.share for continuation in CONTINUATIONS)
    average = {name: share * tensor for name, tensor in start.items()}
    for number, continuation in enumerate(CONTINUATIONS):
        targets = (1 - continuation.trust) * hard + continuation.trust * teachers[exact]
        if not continuation.trust_goemotions:
            own = [i for i, t in enumerate(texts) if t.source == "goemotions"]
            targets[own] = hard[own]
        student.load_state_dict(start)
        lesson = Lesson([t.text for t in texts], targets, torch.ones(len(texts)))
        fit(student, tokenizer, lesson, continuation.recipe, seed, cache / f"continuation-{number}.pt")
        for name, tensor in student.state_dict().items():
            average[name] += continuation.share * tensor
    student.load_state_dict(average)


def show(stage: str, corpus: Corpus, logits: dict[str, torch.Tensor]) -> None:
    for name, texts in corpus.validation.items():
        measured = scores(logits[name], gold(texts), corpus.labels)
        line = ", ".join(f"{key} {measured[key]:.4f}" for key in ("accuracy", "weighted_f1", "loss", "calibration_error"))
        print(f"{stage}: {name}: {line}", flush=True)


def rounded(numbers):
    if isinstance(numbers, dict):
        return {key: rounded(value) for key, value in numbers.items()}
    return round(numbers, 4) if isinstance(numbers, float) else numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with emotion/ and goemotions/, or a Parquet file")
    parser.add_argument("--text", help="the Parquet file's column of texts")
    parser.add_argument("--label", help="the Parquet file's column of labels")
    parser.add_argument("--out", type=Path, help="folder to write the model to [default: data/model, for the default model]")
    parser.add_argument("--cache", type=Path, default=Path(__file__).parent / ".cache")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--trust", type=float, default=0.5, help="share of the teachers in the student's targets")
    parser.add_argument("--label-smoothing", type=float, default=0.05)
    parser.add_argument("--goemotions-weight", type=float, default=0.7)
    parser.add_argument("--near-weight", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    if not args.data.exists():
        parser.error(f"{args.data} does not exist")
    if args.data.is_dir():
        corpus = default_corpus(args.data, args.goemotions_weight, args.near_weight)
        args.out = args.out or Path(__file__).parents[1] / "data/model"
    elif args.text and args.label and args.out:
        corpus = parquet_corpus(args.data, args.text, args.label, args.seed)
    else:
        parser.error(f"{args.data} is a file: give the names of its columns as --text and --label, and --out too")

    key = hashlib.sha256(repr((corpus.labels, corpus.train)).encode()).hexdigest()[:12]
    cache = args.cache / key
    cache.mkdir(parents=True, exist_ok=True)
    tokenizer = pretrained_tokenizer()
    print(f"{len(corpus.train)} training texts, labels {', '.join(corpus.labels)}", flush=True)

    started = time.time()
    teachers = mixed([judged(kind, corpus, tokenizer, args, cache) for kind in TEACHERS], corpus)
    show("teachers", corpus, {name: p.clamp(min=1e-6).log() for name, p in teachers["validation"].items()})

    targets = (1 - args.trust) * hard_targets(corpus.train, len(corpus.labels), 0.0) + args.trust * teachers["train"]
    lesson = Lesson([t.text for t in corpus.train], targets, weights(corpus.train))
    torch.manual_seed(args.seed)
    student = minilm(corpus.labels)
    fit(student, tokenizer, lesson, STUDENT, args.seed, cache / "student.pt")
    if any(t.source == "near" for t in corpus.train):
        average_of_continuations(student, corpus, teachers["train"], tokenizer, args.seed, cache)

    judge = lambda: {name: predict(student, tokenizer, [t.text for t in texts]) for name, texts in corpus.validation.items()}
    before = judge()
    show("before calibration", corpus, before)
    every_gold = torch.cat([gold(texts) for texts in corpus.validation.values()])
    divisor = temperature(torch.cat(list(before.values())), every_gold)
    print(f"temperature {divisor:.2f}, folded into the classifier", flush=True)
    with torch.no_grad():
        student.classifier.weight /= divisor
        student.classifier.bias /= divisor
    student.half().float()  # what ships is float16, so that is what gets measured
    after = judge()
    show("shipped", corpus, after)
    save(student, tokenizer, args.out)
    report = {name: rounded(scores(after[name], gold(texts), corpus.labels)) for name, texts in corpus.validation.items()}
    print(json.dumps(report, indent=2))
    print(f"{args.out} written after {(time.time() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
