#!/usr/bin/env python3
"""Checks that every relative link in the Markdown files of the repository resolves.

A link must lead to a file or a folder in the repository. If it has an anchor, the Markdown file must have a heading
with that anchor, or an HTML element with that id. Links to other sites are not checked. `docs/SUMMARY.md`, the
contents of the site, must list every page in `docs/`.
Usage: check_links.py [FOLDER]
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1[`~]* *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
INLINE = re.compile(r"\]\(\s*<?([^()\s>]*(?:\([^()\s]*\)[^()\s>]*)*)>?(?:\s+[\"'][^)]*)?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?", re.MULTILINE)
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
ELEMENT = re.compile(r"<\w+[^>]*\s(?:id|name)=[\"']([^\"']+)[\"']")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def markdown_files(root: Path) -> list[Path]:
    """The Markdown files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"]
    names = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    return sorted(root / name for name in names if name and (root / name).is_file())


def blanked(match: re.Match) -> str:
    """The line ends of a match, so that the lines after it keep their numbers."""
    return "\n" * match[0].count("\n")


def anchor_of(heading: str) -> str:
    """The anchor that a forge gives to a heading: lower case, no punctuation, hyphens for spaces."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors_of(file: Path) -> set[str]:
    text = FENCE.sub(blanked, file.read_text())
    anchors = set(ELEMENT.findall(text))
    for heading in HEADING.findall(text):
        anchor, number = anchor_of(heading), 0
        while (name := f"{anchor}-{number}" if number else anchor) in anchors:
            number += 1
        anchors.add(name)
    return anchors


def links_of(text: str) -> list[tuple[int, str]]:
    """The targets of all links outside code, each with the number of its line."""
    prose = CODE.sub(lambda match: "x" + blanked(match), FENCE.sub(blanked, text))
    matches = [*INLINE.finditer(prose), *REFERENCE.finditer(prose)]
    return sorted((prose.count("\n", 0, match.start(1)) + 1, match[1]) for match in matches)


def fault_of(target: str, file: Path, root: Path) -> str | None:
    """Why a link in a file does not resolve; `None` if it does."""
    if SCHEME.match(target):
        return None
    path, _, anchor = unquote(target).partition("#")
    found = file if not path else root / path[1:] if path.startswith("/") else file.parent / path
    if not found.resolve().is_relative_to(root):
        return "leads out of the repository"
    if not found.exists():
        return "there is no such file"
    if anchor and found.suffix == ".md" and anchor not in anchors_of(found):
        return f"there is no heading with the anchor '{anchor}'"
    return None


def unlisted_pages(root: Path, files: list[Path]) -> list[Path]:
    """The pages in `docs/` that the contents of the site do not list."""
    summary = root / "docs" / "SUMMARY.md"
    listed = {(summary.parent / target).resolve() for _, target in links_of(summary.read_text())} | {summary}
    return [file for file in files if file.is_relative_to(summary.parent) and file.resolve() not in listed]


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = markdown_files(root)
    if not files:
        print(f"there is no Markdown file in '{root}'", file=sys.stderr)
        return 2
    links = [(file, line, target) for file in files for line, target in links_of(file.read_text())]
    faults = [
        f"{file.relative_to(root)}:{line}: {target}: {fault}"
        for file, line, target in links
        if (fault := fault_of(target, file, root))
    ]
    faults += [f"{page.relative_to(root)}: docs/SUMMARY.md does not list it" for page in unlisted_pages(root, files)]
    print("\n".join(faults) or f"{len(files)} Markdown files: all {len(links)} links resolve")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
