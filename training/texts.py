"""The texts that the model learns from, and those that evaluate it."""

import csv
import hashlib
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

LABELS = ["sadness", "joy", "love", "anger", "fear", "surprise"]

# In place of a label's index: a text without emotion, whose target gives every label the same
# probability, and a text whose target is the teachers' prediction alone.
NEUTRAL = -1
UNLABELED = -2

# Sources of texts that are not written for this model.
DATA_SETS = {"emotion", "goemotions", "near", "xed", ""}

# GoEmotions' labels that are near one of the six. Teachers learn them at a low weight.
NEAR = {
    "disappointment": "sadness", "grief": "sadness", "remorse": "sadness",
    "amusement": "joy", "excitement": "joy", "gratitude": "joy", "pride": "joy", "relief": "joy",
    "caring": "love",
    "annoyance": "anger", "disgust": "anger",
    "nervousness": "fear",
}  # fmt: skip

# XED's numbers of the labels that are among the six; anticipation, disgust and trust are not.
XED = {"1": "anger", "4": "fear", "5": "joy", "6": "sadness", "7": "surprise"}
XED_NUMBERS = "123456789"


@dataclass(frozen=True)
class Weights:
    """Weight of a text in the loss, by its source."""

    goemotions: float = 0.8
    near: float = 0.4
    xed: float = 0.3
    neutral: float = 0.35
    unlabeled: float = 0.3


@dataclass(frozen=True)
class Text:
    text: str
    label: int
    weight: float = 1.0
    source: str = ""
    tags: tuple[str, ...] = ()
    """All labels of the text in a data set that gives texts several, each after the name of the data set."""


@dataclass(frozen=True)
class Corpus:
    """Validation texts have a label each; `neutral` holds texts without emotion, by the name of the
    validation texts that they are compared with; `variants` are learned in turn, a part in each epoch.
    `tags` are the names of all tags of the texts."""

    labels: list[str]
    train: list[Text]
    validation: dict[str, list[Text]]
    neutral: dict[str, list[Text]] = field(default_factory=dict)
    variants: list[Text] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, for splits that stay the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") / 2**32


def emotion(path: Path) -> list[Text]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.rsplit(";", 1) for line in lines)
    return [Text(text, LABELS.index(label), source="emotion") for text, label in pairs]


def goemotions(folder: Path, split: str, weights: Weights) -> list[Text]:
    """The comments with exactly one of the six labels (whatever else they have), those labeled
    neutral alone, those with near labels that agree on one of the six, and the others."""
    names = (folder / "labels.txt").read_text().split()
    out = []
    with open(folder / f"{split}.tsv", encoding="utf-8", newline="") as file:
        for text, ids, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            given = [names[int(i)] for i in ids.split(",")]
            exact = {name for name in given if name in LABELS}
            near = {NEAR[name] for name in given if name in NEAR}
            tags = tuple(f"goemotions {name}" for name in given)
            if len(exact) == 1:
                out.append(Text(text, LABELS.index(exact.pop()), weights.goemotions, "goemotions", tags))
            elif given == ["neutral"]:
                out.append(Text(text, NEUTRAL, weights.neutral, "goemotions", tags))
            elif not exact and len(near) == 1:
                out.append(Text(text, LABELS.index(near.pop()), weights.near, "near", tags))
            else:
                out.append(Text(text, UNLABELED, weights.unlabeled, "goemotions", tags))
    return out


def everyday(path: Path) -> list[Text]:
    """Lines of `label⇥kind⇥text`; the kind is the text's source."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    return [Text(text, NEUTRAL if label == "neutral" else LABELS.index(label), 1.0, kind) for label, kind, text in rows]


NAMES = ["Anna", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Hugo", "Iris", "Jack", "Kate", "Liam"]
SPACED = [
    (re.compile(r" (n't|'s|'m|'re|'ve|'ll|'d)\b"), r"\1"),
    (re.compile(r" ([.,!?;:%)\]])"), r"\1"),
    (re.compile(r"([(\[$]) "), r"\1"),
]


def joined(text: str) -> str:
    """A subtitle line as people write it: XED separates its tokens and hides names of people and places."""
    name = NAMES[int(fraction(text) * len(NAMES))]
    text = text.replace("[PERSON]", name).replace("[LOCATION]", "Boston")
    for pattern, replacement in SPACED:
        text = pattern.sub(replacement, text)
    return text


def xed(folder: Path, weights: Weights) -> list[Text]:
    """The subtitle lines with exactly one of the five shared labels, the neutral ones and the others.
    Lines of one word or less carry too little to learn from."""
    out = []
    for file in ("en-annotated.tsv", "neu_en.txt"):
        for line in (folder / file).read_text(encoding="utf-8").splitlines():
            text, numbers = line.rsplit("\t", 1) if file.startswith("en") else line.split("\t", 1)[::-1]
            given = {number.strip() for number in numbers.split(",")}
            shared = {XED[number] for number in given if number in XED}
            tags = tuple(f"xed {number}" for number in sorted(given))
            if len(WORDS.findall(text)) < 2:
                continue
            if given == {"9"}:
                out.append(Text(joined(text), NEUTRAL, weights.neutral, "xed", tags))
            elif len(shared) == 1:
                out.append(Text(joined(text), LABELS.index(shared.pop()), weights.xed, "xed", tags))
            else:
                out.append(Text(joined(text), UNLABELED, weights.unlabeled, "xed", tags))
    return out


FILES = [
    "emotion/train.txt", "emotion/val.txt", "goemotions/train.tsv", "goemotions/dev.tsv", "goemotions/labels.txt",
    "xed/en-annotated.tsv", "xed/neu_en.txt",
]  # fmt: skip


def default_corpus(folder: Path, weights: Weights = Weights()) -> Corpus:
    here = Path(__file__).parent
    for name in FILES:
        if not (folder / name).is_file():
            raise SystemExit(f"{folder} has no {name}; training/README.md says what the folder must hold")
    lines = xed(folder / "xed", weights)
    comments = goemotions(folder / "goemotions", "dev", weights)
    sentences = everyday(here / "everyday-dev.tsv")
    train = emotion(folder / "emotion/train.txt")
    train += goemotions(folder / "goemotions", "train", weights)
    train += [t for t in lines if fraction(t.text) >= 0.1]
    train += everyday(here / "everyday.tsv")
    held_lines = [t for t in lines if fraction(t.text) < 0.1]
    validation = {
        "emotion": emotion(folder / "emotion/val.txt"),
        "goemotions": [t for t in comments if t.label >= 0 and t.source != "near"],
        "xed": [t for t in held_lines if t.label >= 0],
        "everyday": [t for t in sentences if t.label >= 0],
    }
    neutral = {
        "goemotions": [t for t in comments if t.label == NEUTRAL],
        "xed": [t for t in held_lines if t.label == NEUTRAL],
        "everyday": [t for t in sentences if t.label == NEUTRAL],
    }
    held = {t.text for texts in [*validation.values(), *neutral.values()] for t in texts}
    names = (folder / "goemotions/labels.txt").read_text().split()
    tags = [f"goemotions {name}" for name in names] + [f"xed {number}" for number in XED_NUMBERS]
    return Corpus(LABELS, [t for t in train if t.text not in held], validation, neutral, tags=tags)


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
        raise SystemExit(f"{file} holds {len(rows)} labeled texts; too few to train on and to validate with")
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
