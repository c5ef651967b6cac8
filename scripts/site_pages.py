#!/usr/bin/env python3
"""Copies the pages that docs/SUMMARY.md lists into a folder that mdBook builds.

mdBook reads one folder, but README.md, ARCHITECTURE.md and others are outside docs/. Every page keeps its path in the
repository, so that links between pages work. Pictures are copied. A link to a file that is not a page, such as a source
file, becomes plain text, because the site does not contain that file.
Usage: site_pages.py FOLDER
"""

import os
import re
import shutil
import sys
from pathlib import Path

from check_links import INLINE, SCHEME, links_of

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "docs" / "SUMMARY.md"
LINK = re.compile(r"(!?)\[([^\]]*)" + INLINE.pattern)


def target_of(link: str, page: Path) -> Path | None:
    """The file in the repository that a link of a page leads to; `None` for other sites and anchors of the page."""
    path = link.partition("#")[0]
    return None if SCHEME.match(link) or not path else (page.parent / path).resolve()


def write(folder: Path, source: Path, content: bytes) -> None:
    """Writes a file to its path in the repository, under the folder."""
    file = folder / source.relative_to(ROOT)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def on_site(link: re.Match, page: Path, pages: list[Path], folder: Path) -> str:
    """A link of a page as the site has it; the file of a picture is copied."""
    picture, text, address = link.groups()
    target = target_of(address, page)
    if target and picture:
        write(folder, target, target.read_bytes())
    elif target and target not in pages:
        return text
    # mdBook renders README.md as index.html.
    return link[0] if target is None or picture else f"[{text}]({address.replace('README.md', 'index.md')})"


def main() -> None:
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    contents = SUMMARY.read_text()
    pages = [target_of(link, SUMMARY) for _, link in links_of(contents)]
    for page in pages:
        text = LINK.sub(lambda link, page=page: on_site(link, page, pages, folder), page.read_text())
        write(folder, page, text.encode())
    contents = INLINE.sub(lambda link: f"]({os.path.relpath(target_of(link[1], SUMMARY), ROOT)})", contents)
    write(folder, ROOT / "SUMMARY.md", contents.encode())
    for file in ("book.toml", "site.css"):
        write(folder, ROOT / file, SUMMARY.with_name(file).read_bytes())


if __name__ == "__main__":
    main()
