"""What mkdocs.yml cannot say: the navigation, and pages that lie outside of docs/.

A page of docs/ that stands in no section below becomes a how-to, or what it says itself in a line
``<!-- site: tutorials -->`` (or reference, or explanation). So a new page needs no line here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

SECTIONS: dict[str, tuple[str, ...]] = {
    "Tutorials": ("tutorials/first-model", "tutorials/failing-model", "draggan", "int8-guide", "ocr"),
    "How-tos": (
        "install", "from-tpu-mlir", "inputs", "pictures", "shapes", "calibration", "qdq", "profiling",
        "graph", "debugging", "isolate", "verify", "debugger", "reduce", "regress", "interchange",
        "onnx-backend", "adding-an-op", "adding-an-instruction",
    ),
    "Reference": (
        "generated/commands", "Python API", "generated/ops-table", "generated/runtime-operands",
        "generated/top", "generated/tpu", "generated/passes", "generated/isa", "legality", "bmodel",
        "generated/cmodel-coverage", "changelog",
    ),
    "Explanation": (
        "architecture", "import", "precision", "int8", "groups", "code-generation", "numerics", "hardware",
        "benchmarks", "contributing",
    ),
}  # fmt: skip
"""Section -> pages in order, without ``.md``; ``*`` stands for what is in the folder and not named."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Python API": (
        "api/index", "api/modules", "api/bmodel", "api/comparing", "api/faults", "api/quantising",
        "api/frontends", "api/*", "api/errors",
    ),
}  # fmt: skip
"""What stands in a section under a heading of its own."""

OUTSIDE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "benchmarks": "benchmarks/README.md",
}
"""Page -> the file of the repository that it shows."""

_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_SITE = re.compile(r"^<!-- site: (\w[\w-]*) -->$", re.MULTILINE)
_FENCE = re.compile(r"^(```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside, then order them all."""
    from mkdocs.structure.files import File

    for page, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, f"{page}.md", content=text))
    pages = {file.src_uri.removesuffix(".md"): file for file in files.documentation_pages()}
    sections = {name: _section(file.content_string) for name, file in pages.items()}
    titles = {name: _title(name, file.content_string) for name, file in pages.items()}
    config.nav = _navigation(sections, titles)
    return files


def _title(name: str, text: str) -> str:
    """The heading, without marks: mkdocs looks for it in the first line only."""
    found = re.search(r"^# (.+)$", _FENCE.sub("", text), re.MULTILINE)
    if not found:
        raise SystemExit(f"{name}.md: expected a heading '# TITLE'")
    return found[1].replace("`", "").strip()


def _section(text: str) -> str:
    """The section that a page says it is in."""
    found = _SITE.search(text)
    known = {section.lower(): section for section in SECTIONS}
    if found and found[1].lower() not in known:
        raise SystemExit(f"expected a site: section of {', '.join(known)}, got {found[1]}")
    return known[found[1].lower()] if found else "How-tos"


def _inside(names: Iterable[str]) -> Iterator[str]:
    """The pages of the groups among ``names``."""
    for name in names:
        yield from GROUPS.get(name, ())


def _navigation(pages: dict[str, str], titles: dict[str, str]) -> list[Any]:
    """The navigation of these pages, each with the section that it would like to be in and its title."""
    named = {name for names in SECTIONS.values() for name in [*names, *_inside(names)]}
    folders = tuple(name[:-1] for name in named if name.endswith("*"))
    free = sorted(pages.keys() - named - {"index"})

    def entry(name: str) -> dict[str, str]:
        return {titles[name]: f"{name}.md"}

    def listed(names: Iterable[str]) -> Iterator[Any]:
        for name in names:
            if name in GROUPS:
                yield {name: list(listed(GROUPS[name]))}
            elif name.endswith("*"):
                yield from (entry(page) for page in free if page.startswith(name[:-1]))
            elif name in pages:
                yield entry(name)

    navigation: list[Any] = [{"Home": "index.md"}]
    for section, names in SECTIONS.items():
        more = (page for page in free if pages[page] == section and not page.startswith(folders))
        navigation.append({section: [*listed(names), *map(entry, more)]})
    return navigation


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to the site: to its pages, and to nothing for files that are not in it."""
    name = page.file.src_uri
    outside = OUTSIDE.get(name.removesuffix(".md"))
    source = outside or f"docs/{name}"
    shown = {path: f"{one}.md" for one, path in OUTSIDE.items()}
    shown["README.md"] = "index.md"

    def lead(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        if re.match(r"\w+:", target) or target.startswith("#"):
            return link[0]
        path, mark, anchor = target.partition("#")
        reached = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        here = shown.get(reached)
        if here is None and reached.startswith("docs/"):
            here = reached.removeprefix("docs/")
        elif here is None:
            here = shown.get(posixpath.join(reached, "README.md"))
        if here is None:
            if not (ROOT / reached).exists():
                return link[0]  # for mkdocs to complain of
            return text
        return f"[{text}]({posixpath.relpath(here, posixpath.dirname(name) or '.')}{mark}{anchor})"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(lead, part) for part in parts)
