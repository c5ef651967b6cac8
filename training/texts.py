"""The texts that the model learns from, and those that judge it."""

import csv
import random
import re
from dataclasses import dataclass
from pathlib import Path

LABELS = ["sadness", "joy", "love", "anger", "fear", "surprise"]

# GoEmotions' labels that are near one of the six. They teach at a low weight and never judge.
NEAR = {
    "disappointment": "sadness", "grief": "sadness", "remorse": "sadness",
    "amusement": "joy", "excitement": "joy", "gratitude": "joy", "pride": "joy", "relief": "joy",
    "caring": "love",
    "annoyance": "anger", "disgust": "anger",
    "nervousness": "fear",
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    text: str
    label: int
    weight: float = 1.0
    source: str = ""


@dataclass(frozen=True)
class Corpus:
    labels: list[str]
    train: list[Text]
    validation: dict[str, list[Text]]


def emotion(path: Path) -> list[Text]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.rsplit(";", 1) for line in lines)
    return [Text(text, LABELS.index(label)) for text, label in pairs]


def goemotions(folder: Path, split: str, weight: float, near_weight: float = 0.0) -> list[Text]:
    """The comments with exactly one of the six labels (whatever else they bear); at
    `near_weight`, also those with none of the six whose near labels agree on one."""
    names = (folder / "labels.txt").read_text().split()
    out = []
    with open(folder / f"{split}.tsv", encoding="utf-8", newline="") as file:
        for text, ids, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            borne = [names[int(i)] for i in ids.split(",")]
            exact = {name for name in borne if name in LABELS}
            near = {NEAR[name] for name in borne if name in NEAR}
            if len(exact) == 1:
                out.append(Text(text, LABELS.index(exact.pop()), weight, "goemotions"))
            elif near_weight and not exact and len(near) == 1:
                out.append(Text(text, LABELS.index(near.pop()), near_weight, "near"))
    return out


def everyday(path: Path) -> list[Text]:
    pairs = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    return [Text(text, LABELS.index(label)) for label, _, text in pairs if label in LABELS]


def default_corpus(folder: Path, goemotions_weight: float, near_weight: float) -> Corpus:
    here = Path(__file__).parent
    for name in ("emotion/train.txt", "emotion/val.txt", "goemotions/train.tsv", "goemotions/dev.tsv", "goemotions/labels.txt"):
        if not (folder / name).is_file():
            raise SystemExit(f"{folder} has no {name}; training/README.md says what the folder must hold")
    train = emotion(folder / "emotion/train.txt")
    train += goemotions(folder / "goemotions", "train", goemotions_weight, near_weight)
    train += everyday(here / "everyday.tsv")
    validation = {
        "emotion": emotion(folder / "emotion/val.txt"),
        "goemotions": goemotions(folder / "goemotions", "dev", 1.0),
        "everyday": everyday(here / "everyday-dev.tsv"),
    }
    return Corpus(LABELS, train, validation)


def parquet_corpus(file: Path, text: str, label: str, seed: int) -> Corpus:
    """Texts and labels of one's own; every tenth, chosen by `seed`, is kept for validation."""
    from pyarrow import ArrowInvalid, parquet

    try:
        table = parquet.read_table(file)
    except ArrowInvalid as error:
        raise SystemExit(f"{file} is no Parquet file: {error}") from None
    for column in (text, label):
        if column not in table.column_names:
            raise SystemExit(f"{file} has no column {column}; it has {', '.join(table.column_names)}")
    rows = zip(table[text].to_pylist(), table[label].to_pylist())
    rows = [(str(t), str(l)) for t, l in rows if t is not None and l is not None]
    labels = sorted({l for _, l in rows})
    if len(labels) < 2:
        raise SystemExit(f"column {label} of {file} holds {len(labels)} label(s); a classifier needs two or more")
    if len(rows) < 20:
        raise SystemExit(f"{file} holds {len(rows)} labeled texts; too few to learn from and to judge by")
    random.Random(seed).shuffle(rows)
    texts = [Text(t, labels.index(l)) for t, l in rows]
    held = max(1, len(texts) // 10)
    return Corpus(labels, texts[held:], {"validation": texts[:held]})


# Tweets come without apostrophes and full stops; what is learnt from them must hold with both.
CONTRACTIONS = {
    "im": "i'm", "ive": "i've", "id": "i'd", "dont": "don't", "didnt": "didn't", "doesnt": "doesn't",
    "cant": "can't", "couldnt": "couldn't", "wont": "won't", "wouldnt": "wouldn't", "isnt": "isn't",
    "wasnt": "wasn't", "arent": "aren't", "havent": "haven't", "hasnt": "hasn't", "hadnt": "hadn't",
    "shouldnt": "shouldn't", "thats": "that's", "theres": "there's", "youre": "you're", "theyre": "they're",
}  # fmt: skip
WORDS = re.compile(r"\w+")


def punctuated(text: str, rng: random.Random) -> str:
    if any(mark in text for mark in ".,!?'"):
        return text
    spelt = WORDS.sub(lambda word: CONTRACTIONS.get(word[0], word[0]), text)
    return spelt + rng.choice([".", ".", "!", "...", "!!"])
