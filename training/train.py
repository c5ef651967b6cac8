"""Train a classifier of short texts: MiniLM-L6 in DistilBERT form.

With a folder as --data: the default model, six emotions, from its emotion/, goemotions/ and xed/.
With a Parquet file as --data, --text and --label: the labels in that file.

Stages: teachers (each fold's texts are predicted by teachers that have not seen them), students (fitted to
the labels mixed with the teachers' predictions), calibration, export of the best student. The students of
the default model also learn from variants of the texts, and continue on labeled and neutral texts. Finished
teachers are kept under --cache; a stage that is stopped continues after its last whole epoch.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, one_hot

from fit import Lesson, Recipe, fit, predict, probabilities
from head import chosen, first_states, refit
from networks import MINILM, MPNET, Mpnet, minilm, pretrained_tokenizer, save, with_labels, word_embedding
from scores import auroc, scores, temperature
from texts import NEUTRAL, UNLABELED, Corpus, Text, default_corpus, fraction, parquet_corpus
from variants import variants

TEACHERS = {"mpnet": (Mpnet, MPNET), "minilm": (minilm, MINILM)}
RECIPES = {
    "mpnet": Recipe(epochs=3, lr=7e-5, batch=128),
    "minilm": Recipe(epochs=3, lr=3e-4, batch=128),
    "student": Recipe(epochs=8, lr=5e-4, batch=512, variants=1.0, rounded=True),
    "continuation": Recipe(epochs=1, lr=1e-4, batch=128, rounded=True),
}
# The teachers, the folds and the variants are the same for every student.
SEED = 17
# For texts of one's own, which are fewer as a rule and have no variants.
OWN_RECIPES = {
    "mpnet": Recipe(epochs=3, lr=5e-5),
    "minilm": Recipe(epochs=3, lr=2e-4),
    "student": Recipe(epochs=10, lr=3e-4, batch=128),
}


def recipe_of(stage: str, corpus: Corpus) -> Recipe:
    return (RECIPES if corpus.variants else OWN_RECIPES)[stage]


def fold_of(text: str, folds: int) -> int:
    """The same text falls in the same fold however often it occurs."""
    return int(fraction(text) * 1000) % folds


def hard_targets(texts: list[Text], corpus: Corpus, smoothing: float = 0.0) -> torch.Tensor:
    """Of labels and tags, (texts, labels + tags). The label's probability is 1, less the smoothing; texts
    without emotion have even targets. Tags are known where the tag's data set has annotated the text."""
    labels = len(corpus.labels)
    given = torch.tensor([t.label for t in texts], dtype=torch.int64)[:, None]
    exact = one_hot(given[:, 0].clamp(min=0), labels).float() * (1 - smoothing) + smoothing / labels
    exact = torch.where(given >= 0, exact, torch.full_like(exact, 1 / labels))
    exact[given[:, 0] == UNLABELED] = torch.nan
    return torch.cat([exact, tag_targets(texts, corpus.tags)], 1)


def tag_targets(texts: list[Text], tags: list[str]) -> torch.Tensor:
    data_set = lambda tag: tag.split()[0]
    rows = {t.tags: None for t in texts}
    for given in rows:
        annotated = {data_set(tag) for tag in given}
        rows[given] = [float(tag in given) if data_set(tag) in annotated else torch.nan for tag in tags]
    return torch.tensor([rows[t.tags] for t in texts]).reshape(len(texts), len(tags))


def gold(texts: list[Text]) -> torch.Tensor:
    return torch.tensor([t.label for t in texts])


def evaluated(corpus: Corpus) -> dict[str, list[Text]]:
    """All validation texts, the neutral ones under names of their own."""
    return corpus.validation | {f"{name} neutral": texts for name, texts in corpus.neutral.items()}


@dataclass(frozen=True)
class Teacher:
    """One teacher: it learns all folds but one, and predicts that one and the validation texts."""

    kind: str
    fold: int
    folds: int
    seed: int
    smoothing: float
    cache: Path

    def predictions(self, corpus: Corpus) -> dict:
        (build, folder), recipe = TEACHERS[self.kind], recipe_of(self.kind, corpus)
        settings = {**asdict(recipe), "seed": self.seed, "folds": self.folds, "smoothing": self.smoothing}
        result = self.cache / f"{self.kind}-{self.fold}-predicted.pt"
        saved = torch.load(result) if result.exists() else {}
        if saved.get("settings") == settings:
            return saved
        started = time.time()
        torch.manual_seed(self.seed + self.fold)
        labels, outputs = len(corpus.labels), corpus.labels + corpus.tags
        tokenizer, network = pretrained_tokenizer(folder), build(outputs)
        seen = [t for t in corpus.train if (t.label != UNLABELED or t.tags) and fold_of(t.text, self.folds) != self.fold]
        held = [t for t in corpus.train if t.label == UNLABELED or fold_of(t.text, self.folds) == self.fold]
        targets = hard_targets(seen, corpus, self.smoothing)
        lesson = Lesson([t.text for t in seen], targets, torch.tensor([t.weight for t in seen]), labels)
        checkpoint = self.cache / f"{self.kind}-{self.fold}.pt"
        fit(network, tokenizer, lesson, recipe, self.seed + self.fold, checkpoint)
        judge = lambda texts: probabilities(predict(network, tokenizer, [t.text for t in texts], 128, exact=False), labels)
        saved = {
            "settings": settings,
            "held": judge(held).half(),
            "variants": judge(corpus.variants).half() if corpus.variants else torch.empty(0, len(outputs)),
            "validation": {name: judge(texts) for name, texts in evaluated(corpus).items()},
        }
        torch.save(saved, result)
        checkpoint.unlink()
        name = f"teacher {self.kind} {self.fold}"
        show(name, corpus, {n: p.log() for n, p in saved["validation"].items()})
        print(f"{name}: {time.time() - started:.0f} s", flush=True)
        return saved


def taught(kind: str, parts: list[dict], corpus: Corpus, folds: int) -> dict:
    """The predictions of one kind of teacher: of a labeled text by the teacher that has not seen it, of
    other texts and of variants the mean over all."""
    whole = torch.zeros(len(corpus.train), len(corpus.labels) + len(corpus.tags))
    for fold, part in enumerate(parts):
        held = [i for i, t in enumerate(corpus.train) if t.label == UNLABELED or fold_of(t.text, folds) == fold]
        share = torch.tensor([1 / folds if corpus.train[i].label == UNLABELED else 1.0 for i in held])
        whole[held] += share[:, None] * part["held"]
    mean = {name: sum(part["validation"][name] for part in parts) / folds for name in parts[0]["validation"]}
    show(f"teachers {kind}", corpus, {name: p.log() for name, p in mean.items()})
    return {"train": whole, "variants": sum(part["variants"].float() for part in parts) / folds, "validation": mean}


def mixed(predictions: list[dict], corpus: Corpus) -> dict:
    """The two kinds' probabilities at the share under which the training targets, none of which
    their teacher has seen, are likeliest."""
    first, second = predictions
    known, labels = torch.tensor([t.label != UNLABELED for t in corpus.train]), len(corpus.labels)
    targets = hard_targets(corpus.train, corpus)[known, :labels]
    weight = torch.tensor([t.weight for t in corpus.train])[known]

    def loss(share: float) -> float:
        mix = share * first["train"][known, :labels] + (1 - share) * second["train"][known, :labels]
        return (cross_entropy(mix.clamp(min=1e-6).log(), targets, reduction="none") * weight).sum().item()

    share = min([i / 20 for i in range(21)], key=loss)
    print(f"mix: {share:.2f} {next(iter(TEACHERS))}", flush=True)
    mix = lambda a, b: share * a + (1 - share) * b
    validation = {n: mix(first["validation"][n], second["validation"][n]) for n in first["validation"]}
    return {name: mix(first[name], second[name]) for name in ("train", "variants")} | {"validation": validation}


def side_by_side(jobs: int, work, items: list, given) -> list:
    """The results of `work(item, given)`, `jobs` at a time in processes of their own."""
    if jobs == 1:
        return [work(item, given) for item in items]
    packed, context = pickle.dumps(given), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (max(1, os.cpu_count() // jobs),)) as pool:
        return [pickle.loads(result) for result in pool.map(packed_result, [work] * len(items), items, [packed] * len(items))]


def packed_result(work, item, given: bytes) -> bytes:
    """Bytes pass between processes faster than objects, and tensors in them live as long as they do."""
    return pickle.dumps(work(item, pickle.loads(given)))


def teachers(corpus: Corpus, args, cache: Path) -> dict:
    """The teachers' predictions, `args.jobs` teachers at a time."""
    each = [
        Teacher(kind, fold, args.folds, SEED, args.label_smoothing, cache)
        for kind in TEACHERS
        for fold in range(args.folds)
    ]
    parts = side_by_side(args.jobs, Teacher.predictions, each, corpus)
    of = lambda kind: [part for teacher, part in zip(each, parts) if teacher.kind == kind]
    both = mixed([taught(kind, of(kind), corpus, args.folds) for kind in TEACHERS], corpus)
    show("teachers", corpus, {name: p.log() for name, p in both["validation"].items()})
    return both


def lesson_of_student(corpus: Corpus, predicted: dict, trust: float) -> Lesson:
    """Targets: `trust` parts the teachers', the rest the text's own. Labels that are only near, all that is
    unknown, and variants have the teachers' alone."""
    exact, labels = hard_targets(corpus.train, corpus), len(corpus.labels)
    exact[[t.source == "near" for t in corpus.train], :labels] = torch.nan
    exact = torch.where(exact.isnan(), predicted["train"], exact)
    targets = (1 - trust) * exact + trust * predicted["train"]
    texts = corpus.train + corpus.variants
    weight = torch.tensor([t.weight for t in texts])
    return Lesson([t.text for t in texts], torch.cat([targets, predicted["variants"]]), weight, labels, len(corpus.variants))


def average(networks: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of weights that were fitted from the same start (Wortsman et al., Model soups, 2022)."""
    return {name: sum(weights[name].cpu() for weights in networks) / len(networks) for name in networks[0]}


@dataclass(frozen=True)
class Student:
    """One student, from the pre-trained weights to the calibrated ones."""

    seed: int
    layers: int
    trust: float
    cache: Path

    def trained(self, given: tuple[Corpus, dict]) -> dict:
        """Its weights and the logits of the validation texts."""
        corpus, predicted = given
        started, name = time.time(), f"student-{self.layers}-{self.seed}"
        torch.manual_seed(self.seed)
        student, tokenizer = minilm(corpus.labels + corpus.tags, self.layers), pretrained_tokenizer(MINILM)
        lesson = lesson_of_student(corpus, predicted, self.trust)
        judge = lambda: {n: predict(student, tokenizer, [t.text for t in each]) for n, each in evaluated(corpus).items()}
        fit(student, tokenizer, lesson, recipe_of("student", corpus), self.seed, self.cache / f"{name}.pt")
        if corpus.neutral:
            show(name, corpus, judge())
            continued(student, corpus, predicted, self.seed, self.cache / f"{name}-continued.pt")
        with_labels(student, corpus.labels)
        if corpus.neutral:
            show(f"{name} continued", corpus, judge())
            separated(student, corpus)
        before = judge()
        show(f"{name} before calibration", corpus, before)
        calibrate(student, before, corpus)
        student.half().float()  # what ships is float16, so that is what gets measured
        after = judge()
        show(f"{name} calibrated", corpus, after)
        print(f"{name}: {time.time() - started:.0f} s", flush=True)
        return {"weights": {n: weights.cpu() for n, weights in student.state_dict().items()}, "validation": after}


def loss_of_validation(logits: dict[str, torch.Tensor], corpus: Corpus) -> float:
    """The sum over the sets of texts, without XED (see `calibrate`)."""
    return sum(cross_entropy(logits[n], gold(texts)).item() for n, texts in corpus.validation.items() if n != "xed")


def continued(student, corpus: Corpus, predicted: dict, seed: int, checkpoint: Path) -> None:
    """Replaces the student's weights by the mean of them and those after one epoch on the labeled texts
    and a part of the neutral ones. The targets are 0.3 parts the teachers', and GoEmotions weighs more."""
    rng = random.Random(5)

    def is_kept(text: Text) -> bool:
        if text.label == UNLABELED or text.source == "near":
            return False
        if text.source == "xed":
            return rng.random() < 0.45
        return not (text.source == "goemotions" and text.label == NEUTRAL) or rng.random() < 0.6

    kept = [i for i, text in enumerate(corpus.train) if is_kept(text)]
    lesson = lesson_of_student(corpus, predicted, 0.3)
    exact = torch.tensor([corpus.train[i].source == "goemotions" and corpus.train[i].label >= 0 for i in kept])
    weight = torch.where(exact, lesson.weight[kept] * 1.2, lesson.weight[kept])
    lesson = Lesson([corpus.train[i].text for i in kept], lesson.targets[kept], weight, lesson.labels)
    start = {name: tensor.cpu().clone() for name, tensor in student.state_dict().items()}
    recipe = recipe_of("continuation", corpus)
    fit(student, pretrained_tokenizer(MINILM), lesson, recipe, seed, checkpoint)
    student.load_state_dict(average([start, student.state_dict()]))


def separated(student, corpus: Corpus) -> None:
    """Replaces the layers after the encoder by the mean of four fits to the labels, and to even targets for
    texts without emotion."""
    rows, weight = chosen(corpus.train, random.Random(4))
    texts = [corpus.train[i] for i in rows]
    targets = hard_targets(texts, corpus)[:, : len(corpus.labels)]
    states = first_states(student, pretrained_tokenizer(MINILM), [t.text for t in texts])
    student.load_state_dict(average([refit(student, states, targets, weight, seed) for seed in range(4)]), strict=False)


def calibrate(student, logits: dict[str, torch.Tensor], corpus: Corpus) -> None:
    """Divides the classifier's weights by the temperature of the validation texts with a label. XED is
    left out: most of its lines have several of Plutchik's labels, so one label is a noisy reference."""
    names = [name for name in corpus.validation if name != "xed"]
    divisor = temperature([logits[name] for name in names], [gold(corpus.validation[name]) for name in names])
    print(f"temperature {divisor:.2f}, folded into the classifier", flush=True)
    with torch.no_grad():
        student.classifier.weight /= divisor
        student.classifier.bias /= divisor


def show(stage: str, corpus: Corpus, logits: dict[str, torch.Tensor]) -> None:
    logits = {name: each[:, : len(corpus.labels)] for name, each in logits.items()}
    for name, texts in corpus.validation.items():
        measured = scores(logits[name], gold(texts), corpus.labels)
        line = ", ".join(f"{key} {measured[key]:.4f}" for key in ("accuracy", "weighted_f1", "loss", "calibration_error"))
        if name in corpus.neutral:
            line += f", AUROC against neutral {auroc(logits[name], logits[f'{name} neutral']):.4f}"
        print(f"{stage}: {name}: {line}", flush=True)
        kinds = sorted({t.source for t in texts} - {name})
        right = logits[name].argmax(1) == gold(texts)
        of = lambda kind: right[[t.source == kind for t in texts]].float().mean().item()
        if len(kinds) > 1:
            print(f"{stage}: {name}: " + ", ".join(f"{kind} {of(kind):.3f}" for kind in kinds), flush=True)


def rounded(numbers):
    if isinstance(numbers, dict):
        return {key: rounded(value) for key, value in numbers.items()}
    return round(numbers, 4) if isinstance(numbers, float) else numbers


def arguments() -> tuple[argparse.Namespace, Corpus]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with emotion/, goemotions/ and xed/, or a Parquet file")
    parser.add_argument("--text", help="the Parquet file's column of texts")
    parser.add_argument("--label", help="the Parquet file's column of labels")
    parser.add_argument("--out", type=Path, help="folder to write the model to [default: data/model, for the default model]")
    parser.add_argument("--cache", type=Path, default=Path(__file__).parent / ".cache")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--trust", type=float, default=0.5, help="share of the teachers in the student's targets")
    parser.add_argument("--label-smoothing", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17], help="a student each, of which the best is kept")
    parser.add_argument("--layers", type=int, default=6, help="of the students")
    parser.add_argument("--jobs", type=int, default=1, help="networks trained at a time; above 1 pays on a GPU alone")
    args = parser.parse_args()
    if args.layers < 1:
        parser.error(f"--layers is {args.layers}; a student has at least one layer")
    if not args.data.exists():
        parser.error(f"{args.data} does not exist")
    if args.data.is_dir():
        args.out = args.out or Path(__file__).parents[1] / "data/model"
        corpus = default_corpus(args.data)
        vocabulary = pretrained_tokenizer(MINILM).get_vocab()
        return args, replace(corpus, variants=variants(corpus.train, vocabulary, word_embedding(), SEED))
    if not (args.text and args.label and args.out):
        parser.error(f"{args.data} is a file: give the names of its columns as --text and --label, and --out too")
    return args, parquet_corpus(args.data, args.text, args.label, SEED)


def main() -> None:
    started = time.time()
    args, corpus = arguments()
    key = hashlib.sha256(repr((corpus.labels, corpus.train)).encode()).hexdigest()[:12]
    cache = args.cache / key
    cache.mkdir(parents=True, exist_ok=True)
    print(f"{len(corpus.train)} training texts, {len(corpus.variants)} variants, labels {', '.join(corpus.labels)}", flush=True)
    print(f"texts: {time.time() - started:.0f} s", flush=True)
    predicted = teachers(corpus, args, cache)
    print(f"teachers: {time.time() - started:.0f} s since the start", flush=True)

    students = [Student(seed, args.layers, args.trust, cache) for seed in args.seeds]
    trained = side_by_side(args.jobs, Student.trained, students, (corpus, predicted))
    print(f"students: {time.time() - started:.0f} s since the start", flush=True)
    best = min(range(len(students)), key=lambda i: loss_of_validation(trained[i]["validation"], corpus))
    student, logits = minilm(corpus.labels, args.layers), trained[best]["validation"]
    student.load_state_dict(trained[best]["weights"])
    save(student, args.out)
    report = {name: rounded(scores(logits[name], gold(each), corpus.labels)) for name, each in corpus.validation.items()}
    (cache / "scores.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"seed {args.seeds[best]}: {args.out} written after {(time.time() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
