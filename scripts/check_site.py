#!/usr/bin/env python3
"""Checks that every relative link in the HTML files of a site leads to a file, and every anchor to an element.

Usage: check_site.py FOLDER
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The ids and the links of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            elif name in ("href", "src") and value and tag != "base":
                self.links.add(value)


def fault_of(link: str, file: Path, pages: dict[Path, Page]) -> str | None:
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return None
    target = (file.parent / unquote(url.path)).resolve() if url.path else file
    if not target.exists():
        return "there is no such file"
    if url.fragment and target in pages and unquote(url.fragment) not in pages[target].ids:
        return "there is no element with this id"
    return None


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    # Scripts of mdBook load the table of contents; 404.html has absolute links.
    pages = {file: Page(file) for file in sorted(root.rglob("*.html")) if file.name != "404.html"}
    faults = [
        f"{file.relative_to(root)}: {link}: {fault}"
        for file, page in pages.items()
        for link in sorted(page.links)
        if (fault := fault_of(link, file, pages))
    ]
    print("\n".join(faults) or f"{len(pages)} pages of the site: all links resolve")
    return bool(faults) or not pages


if __name__ == "__main__":
    sys.exit(main())
