"""Follows every link and anchor inside of the built site, without a network.

python -m scripts.check_links docs/_build/html
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The anchors of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif value and (name == "href" or (name == "src" and tag != "iframe")):
                self.links.append(value)


def broken_links(folder: Path) -> list[str]:
    """Each link of the site that leads nowhere, with its page."""
    written = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path.resolve(): _Page(path.read_text("utf-8")) for path in written}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fine = target.exists()
            if fine and parts.fragment and target in pages:
                fine = unquote(parts.fragment) in pages[target].anchors
            if not fine:
                broken.append(f"{path.relative_to(folder.resolve())}: {link}")
    return broken


def main(folder: str) -> int:
    broken = broken_links(Path(folder))
    print("\n".join(broken) or "every link and anchor of the site leads somewhere")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
