"""The documentation site: it builds without a warning, leads nowhere wrong, and works without a network."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tpumlir
from tpumlir.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


links = script("links")
hooks = script("site_hooks")


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=source, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "default"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(module, reason="needs the extra docs")
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return target


def test_links_lead_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    assert list(links.problems(site)) == []


def test_every_page_and_command_and_name_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert pages <= built
    assert {Path(name) for name in hooks.OUTSIDE} <= built
    index = (site / "index.html").read_text()
    for page in built - {Path("404"), Path("index")}:
        assert f'href="{page}.html"' in index, f"{page}: not in the navigation"
    commands = (site / "generated" / "commands.html").read_text()
    for name in COMMANDS:
        assert f'id="tpumlir-{name}"' in commands or f'id="{name}"' in commands or name == "opt", name
    names = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    for name in set(tpumlir.__all__) - {"__version__"}:
        assert f'id="tpumlir.{name}"' in names or f'id="tpumlir.errors.{name}"' in names, name


# --- in a browser ------------------------------------------------------------------


@pytest.fixture
def page(browser: Any) -> Any:
    """A page that reaches no network and must not complain."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, offline=True)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("requestfailed", lambda request: said.append(request.url))
    yield opened
    opened.close()
    assert not said


@pytest.mark.parametrize(
    ("name", "title", "text"),
    [
        ("index.html", "tpumlir", "Your first model"),
        ("tutorials/first-model.html", "Your first model", "Open profile.html in a browser"),
        ("tutorials/failing-model.html", "A failing model, from report to fix", "first divergence: product"),
        ("api/index.html", "Python API", "Import an ONNX file"),
        ("generated/isa.html", "Instruction set of the BM1684X", "conv.normal"),
    ],
)
def test_pages_open_from_a_folder(page: Any, site: Path, name: str, title: str, text: str) -> None:
    page.goto((site / name).as_uri())
    assert page.locator("article h1").inner_text().startswith(title)
    assert text in page.locator("article").inner_text()
    for picture in page.locator("article img").all():
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("one => one.complete && one.naturalWidth > 0")


def test_a_link_leads_to_a_page(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.locator("article").get_by_text("Your first model").click()
    page.wait_for_url("**/tutorials/first-model.html")
    assert page.locator("article h1").inner_text().startswith("Your first model")


@pytest.mark.parametrize(
    ("words", "heading", "target"),
    [
        ("model_transform", "model_transform", "generated/commands.html#model_transform"),
        ("load_onnx", "load_onnx", "api/index.html#tpumlir.load_onnx"),
        ("doctor", "tpumlir doctor", "generated/commands.html#tpumlir-doctor"),
    ],
)
def test_the_search_finds_it(page: Any, site: Path, words: str, heading: str, target: str) -> None:
    page.goto((site / "api" / "errors.html").as_uri())
    page.locator(".md-search__input").fill(words)
    path, _, place = target.partition("#")  # what is between them says what to highlight
    found = page.locator(f'a.md-search-result__link[href*="{path}"][href$="#{place}"]')
    found.first.wait_for(state="attached", timeout=30_000)
    assert heading in found.first.inner_text()


# --- what finds mistakes -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="b.html">', None),
        ('<a href="b.html#there">', None),
        ('<a href="https://example.org/x">', None),
        ('<a href="c.html">', "a.html: c.html: no such file"),
        ('<a href="b.html#nowhere">', "a.html: b.html#nowhere: no such place"),
        ('<a href="#nowhere">', "a.html: #nowhere: no such place"),
        ('<img src="gone.png">', "a.html: gone.png: no such file"),
        ('<script src="https://example.org/x.js"></script>', "a.html: loads https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "a.html: loads //example.org/x.css"),
        ('<link rel="next" href="https://example.org/x">', None),
    ],
)
def test_a_wrong_link_is_found(text: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(text)
    (tmp_path / "b.html").write_text('<h2 id="there">')
    assert list(links.problems(tmp_path)) == ([problem] if problem else [])


def test_a_site_without_pages_is_a_problem(tmp_path: Path) -> None:
    assert len(list(links.problems(tmp_path))) == 1


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("[nothing](nothing.md)\n", "nothing.md"),
        ("[no place](precision.md#nowhere)\n", "#nowhere"),
        ("::: tpumlir.no_such_name\n", "no_such_name"),
    ],
)
def test_a_wrong_page_fails_the_build(damage: str, complaint: str, site: Path, tmp_path: Path) -> None:
    assert site.is_dir()  # the extra is there
    for name in ("docs", "scripts", "python"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    (tmp_path / "docs" / "generated").mkdir(parents=True)
    for name in ("precision.md", "index.md"):
        (tmp_path / "docs" / name).write_text("# Title\n")
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "docs" / "page.md").write_text(f"# Page\n\n{damage}")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_new_page_needs_no_line() -> None:
    pages = {
        "index": "How-tos",
        "new": "How-tos",
        "theory": "Explanation",
        "precision": "How-tos",
        "api/x": "How-tos",
    }
    navigation = hooks._navigation(pages, {name: name.title() for name in pages})
    sections = {name: content for entry in navigation for name, content in entry.items()}
    assert sections["How-tos"] == [{"New": "new.md"}]
    assert sections["Explanation"] == [{"Precision": "precision.md"}, {"Theory": "theory.md"}]
    assert sections["Reference"] == [{"Python API": [{"Api/X": "api/x.md"}]}]


def test_a_page_says_its_section() -> None:
    assert hooks._section("# A\n\n<!-- site: tutorials -->\n") == "Tutorials"
    assert hooks._section("# A\n") == "How-tos"
    with pytest.raises(SystemExit, match="expected a site: section of tutorials"):
        hooks._section("<!-- site: other -->\n")
