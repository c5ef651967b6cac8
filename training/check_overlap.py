#!/usr/bin/env python3
"""Checks that no sequence of five words occurs both in everyday.tsv and in everyday-dev.tsv, and that
each line has a known label, a kind and a text of its own. `--mend` drops the training lines that fail."""

import re
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
LABELS = {"sadness", "joy", "love", "anger", "fear", "surprise", "neutral"}


def rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").splitlines()[1:]]


def fives(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w']+", text.lower().replace("’", "'"))
    return set(zip(*(words[i:] for i in range(5))))


def main() -> None:
    train, dev = rows("everyday.tsv"), rows("everyday-dev.tsv")
    for row in train + dev:
        if len(row) != 3 or row[0] not in LABELS:
            raise SystemExit(f"not `label⇥kind⇥text`: {row}")
    repeated = [text for text, count in Counter(row[2] for row in train + dev).items() if count > 1]
    held = set().union(*(fives(row[2]) for row in dev))
    shared = [row for row in train if fives(row[2]) & held]
    if "--mend" in sys.argv and (shared or repeated):
        kept = [row for row in dict((row[2], row) for row in train).values() if row not in shared]
        lines = ["label\tkind\ttext"] + ["\t".join(row) for row in kept]
        (HERE / "everyday.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{len(train) - len(kept)} of {len(train)} lines dropped")
        return
    for row in shared:
        print("shares five words with everyday-dev.tsv:", row[2])
    for text in repeated:
        print("occurs twice:", text)
    if shared or repeated:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
