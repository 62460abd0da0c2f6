"""Check the links of a built site: python scripts/links.py build/site.

Every link within the site leads to a page, a file and a place that are there, and a page loads nothing from
elsewhere. Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Tags whose address is loaded with the page; the others lead away.
_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
# Links that say where a page is, or belongs, and load nothing.
_SAID = {"canonical", "prev", "next", "alternate"}


class Page(HTMLParser):
    """The addresses and the places of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what a tag leads to, loads, and is called."""
        values = {name: value or "" for name, value in attrs}
        self.places.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        address = values.get(_LOADED.get(tag, ""))
        if address is not None and not _SAID & set(values.get("rel", "").split()):
            self.loads.append(address)


def problems(site: Path) -> Iterator[str]:
    """What is wrong, a line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site}: expected pages, got none"
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in page.loads:
            if urlsplit(address).scheme not in {"", "data"} or address.startswith("//"):
                yield f"{name}: loads {address}"
        if path.name == "404.html":  # its addresses are those of a server
            continue
        for address in [*page.links, *page.loads]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{name}: {address}: no such file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{name}: {address}: no such place"


def main() -> int:
    """Print what is wrong; returns 1 if there is something."""
    found = list(problems(Path(sys.argv[1]).resolve()))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
