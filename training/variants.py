"""Changed copies of texts. A change may alter the meaning, so the teachers' predictions are their targets."""

import multiprocessing
import random
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import torch
from torch.nn.functional import normalize

from texts import DATA_SETS, UNLABELED, Text

# How many variants a text of each data set has, and their weight; the second row holds written sentences.
COPIES = {"emotion": 3.0, "goemotions": 2.4, "near": 2.4, "xed": 3.0}
WRITTEN_COPIES = 13.0
WEIGHTS = {"emotion": 0.5, "goemotions": 0.5, "near": 0.5, "xed": 0.4}
WRITTEN_WEIGHT = 1.0

WORD = re.compile(r"[\w'’]+")
CLAUSE = re.compile(r"(?<=[.!?…]) +|(?<=[,;:]) | (?=(?:and|but|because|when|so|although|while|after|until|since|if)\b)")
AUXILIARY = re.compile(r"\b(is|was|are|were|am|do|does|did|can|could|will|would|have|has|had|should|must)\b(?! not|n't)", re.I)
VERB = re.compile(
    r"\b(I|we|they|you) "
    r"(love|like|want|know|think|feel|hate|need|enjoy|miss|trust|believe|care|remember|see|hear|mind|fear|expect)\b", re.I
)  # fmt: skip
NEGATIONS = [
    (re.compile(r"\b(is|was|are|were|do|does|did|could|would|have|has|had|should)n['’]t\b", re.I), r"\1"),
    (re.compile(r"\bcan['’]t\b", re.I), "can"),
    (re.compile(r"\bwon['’]t\b", re.I), "will"),
    (re.compile(r"\b(not|never) ", re.I), ""),
    (re.compile(r"\bno (?=\w)", re.I), "some "),
    (re.compile(r"\bnothing\b", re.I), "something"),
    (re.compile(r"\bnobody\b", re.I), "everybody"),
]
HE = {
    "i": "he", "my": "his", "me": "him", "mine": "his", "myself": "himself", "i'm": "he's", "i've": "he's", "i'll": "he'll",
    "i'd": "he'd", "am": "is", "im": "he's", "have": "has",
}  # fmt: skip
SHE = HE | {
    "i": "she", "my": "her", "me": "her", "mine": "hers", "myself": "herself", "i'm": "she's", "i've": "she's",
    "i'll": "she'll", "i'd": "she'd", "im": "she's",
}  # fmt: skip
FIRST = {
    "he": "I", "she": "I", "his": "my", "her": "my", "him": "me", "himself": "myself", "herself": "myself", "he's": "I'm",
    "she's": "I'm", "he'll": "I'll", "she'll": "I'll", "he'd": "I'd", "she'd": "I'd", "has": "have",
}  # fmt: skip
JOINTS = [" ", " ", ". ", ", but ", ", and ", " because ", " - ", "... "]
ENDINGS = ["", "", ".", "!", "!!", "...", "?", " :)", " :(", " lol", " 😂", " 😭", " ❤️", " 😡", " 😱", " 🎉", " smh", " omg"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def neighbors(texts: list[str], vocabulary: dict[str, int], embedding: torch.Tensor, count: int = 12) -> dict[str, list[str]]:
    """Of each word that occurs four times, the words whose vectors are nearest to its own."""
    seen = Counter(word.lower() for text in texts for word in WORD.findall(text))
    words = [word for word in vocabulary if word.isalpha() and len(word) > 2 and seen[word] >= 4]
    vectors = normalize(embedding[[vocabulary[word] for word in words]], dim=1)
    most = min(count + 1, len(words))
    nearest = torch.cat([(part @ vectors.T).topk(most).indices[:, 1:] for part in vectors.split(2000)])
    return {word: [words[i] for i in row] for word, row in zip(words, nearest.tolist())}


class Changes:
    """Random changes of a text; `partners` are the texts that it is joined with."""

    def __init__(self, partners: list[str], neighbors: dict[str, list[str]], rng: random.Random):
        self.partners, self.neighbors, self.rng = partners, neighbors, rng

    def substitute(self, text: str) -> str:
        rate = self.rng.uniform(0.1, 0.4)

        def other(word: re.Match) -> str:
            near = self.neighbors.get(word[0].lower())
            return self.rng.choice(near) if near and self.rng.random() < rate else word[0]

        return WORD.sub(other, text)

    def drop_words(self, text: str) -> str:
        rate = self.rng.uniform(0.05, 0.25)
        return " ".join(word for word in text.split() if self.rng.random() >= rate)

    def change_person(self, text: str) -> str:
        words = {word.lower() for word in WORD.findall(text)}
        is_third = words & {"he", "she", "his", "her", "him"} and not words & {"i", "my", "me"}
        table = FIRST if is_third else self.rng.choice([HE, SHE])
        return WORD.sub(lambda word: table.get(word[0].lower().replace("’", "'"), word[0]), text)

    def negate(self, text: str) -> str:
        """Removes a negation, or inserts one."""
        found = [(pattern, positive) for pattern, positive in NEGATIONS if pattern.search(text)]
        if found and self.rng.random() < 0.7:
            pattern, positive = self.rng.choice(found)
            return pattern.sub(positive, text, count=1)
        if VERB.search(text):
            negation = self.rng.choice(["do not", "never", "don't"])
            return VERB.sub(rf"\1 {negation} \2", text, count=1)
        places = list(AUXILIARY.finditer(text))
        if not places:
            return self.rng.choice(["no, ", "not ", "never ", "it's not that "]) + text
        end = self.rng.choice(places).end()
        return text[:end] + self.rng.choice([" not", " never", " no longer", " not"]) + text[end:]

    def crop(self, text: str) -> str:
        clauses = [clause for clause in CLAUSE.split(text) if len(clause.split()) > 1]
        if len(clauses) < 2:
            return self.drop_words(text)
        first = self.rng.randrange(len(clauses))
        return " ".join(clauses[first : first + self.rng.randint(1, max(1, len(clauses) // 2))])

    def join(self, text: str) -> str:
        pair = [text, self.rng.choice(self.partners)]
        self.rng.shuffle(pair)
        return pair[0].rstrip(".") + self.rng.choice(JOINTS) + pair[1]

    def splice(self, text: str) -> str:
        """The first half of the text, and the second half of another one."""
        other = self.rng.choice(self.partners)
        first, second = CLAUSE.split(text), CLAUSE.split(other)
        if len(first) < 2 or len(second) < 2:
            first, second = text.split(), other.split()
        return " ".join(first[: max(1, len(first) // 2)] + second[len(second) // 2 :])

    def misspell(self, text: str) -> str:
        kind, letters = self.rng.random(), list(text)
        for _ in range(self.rng.choice([0, 0, 1, 1, 2])):
            place = self.rng.randrange(max(1, len(letters)))
            if letters and letters[place].isalpha():
                letters[place] = self.rng.choice(["", letters[place] * 2, self.rng.choice(LETTERS)])
        text = "".join(letters)
        if kind < 0.4:
            text = re.sub(r"[^\w\s'’]", "", text)
        if kind < 0.2:
            text = text.replace("'", "").replace("you", "u").replace(" are ", " r ")
        return text + self.rng.choice(ENDINGS)

    def variant(self, text: str) -> str:
        kinds: dict[Callable[[str], str], float] = {
            self.substitute: 0.3, self.negate: 0.14, self.crop: 0.12, self.change_person: 0.1, self.splice: 0.1,
            self.misspell: 0.1, self.join: 0.08, self.drop_words: 0.06,
        }  # fmt: skip
        change = self.rng.choices(list(kinds), list(kinds.values()))[0]
        changed = change(text)
        if change in (self.change_person, self.negate, self.crop) and self.rng.random() < 0.5:
            changed = self.substitute(changed)
        return changed.strip() or text


def variants_of(texts: list[Text], seed: str, partners: list[list[str]], near: dict[str, list[str]]) -> list[Text]:
    rng = random.Random(seed)
    changes = [Changes(each, near, rng) for each in partners]
    out = []
    for t in texts:
        copies = COPIES.get(t.source, WRITTEN_COPIES)
        for _ in range(int(copies) + (rng.random() < copies % 1)):
            text = rng.choice(changes).variant(t.text)
            out.append(replace(t, text=text, label=UNLABELED, weight=WEIGHTS.get(t.source, WRITTEN_WEIGHT), tags=()))
    return out


def variants(texts: list[Text], vocabulary: dict[str, int], embedding: torch.Tensor, seed: int) -> list[Text]:
    """Texts without a label, several for each of `texts`, in random order. Half of them are joined with
    written sentences and half with any text."""
    everything = [t.text for t in texts]
    written = [t.text for t in texts if t.source not in DATA_SETS]
    near = neighbors(everything, vocabulary, embedding)
    size = max(1, len(texts) // 32)
    starts = range(0, len(texts), size)
    work = partial(variants_of, partners=[everything, written or everything], near=near)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(work, [texts[i : i + size] for i in starts], [f"{seed} {i}" for i in starts])
        out = [text for part in parts for text in part]
    random.Random(seed).shuffle(out)
    return out
