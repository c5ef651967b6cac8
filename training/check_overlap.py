#!/usr/bin/env python3
"""Checks that no sequence of five words of everyday-dev.tsv occurs in everyday.tsv,
and that each line has a known label, a kind and a text of its own. `--mend` drops the training lines that fail."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
LABELS = {"sadness", "joy", "love", "anger", "fear", "surprise", "neutral"}


def rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").splitlines()[1:]]


def fives(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w']+", text.lower().replace("’", "'"))
    return set(zip(*(words[i:] for i in range(5))))


def failing(seen: set[str], held: set[tuple[str, ...]]) -> list[list[str]]:
    """The training lines that may not stay; `seen` holds the texts for validation."""
    out = []
    for row in rows("everyday.tsv"):
        if len(row) != 3 or row[0] not in LABELS:
            raise SystemExit(f"everyday.tsv: not `label⇥kind⇥text`: {row}")
        if row[2] in seen or fives(row[2]) & held:
            out.append(row)
        seen.add(row[2])
    return out


def mend(drop: list[list[str]]) -> None:
    left = rows("everyday.tsv")
    for row in drop:
        left.reverse()
        left.remove(row)
        left.reverse()
    lines = ["label\tkind\ttext"] + ["\t".join(row) for row in left]
    (HERE / "everyday.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    development = rows("everyday-dev.tsv")
    drop = failing({row[2] for row in development}, set().union(*(fives(row[2]) for row in development)))
    if "--mend" in sys.argv:
        mend(drop)
        print(f"everyday.tsv: {len(drop)} lines dropped")
        return
    for row in drop:
        print(f"everyday.tsv: repeats a text, or five words of everyday-dev.tsv: {row[2]}")
    sys.exit(bool(drop))


if __name__ == "__main__":
    main()
