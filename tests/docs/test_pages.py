"""Every block of code in docs/ runs, and every command in it has the flags that it is given there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from docs import blocks, made
from tpumlir.cli import model_deploy, model_transform, run_calibration, shells
from tpumlir.cli.main import COMMANDS

README = blocks.ROOT / "README.md"
PAGES = [README, *blocks.pages()]
RUN = [p for p in PAGES if any(b.runs and not b.marked("corpus") for b in blocks.blocks_of(p))]
CORPUS = [p for p in PAGES if any(b.runs and b.marked("corpus") for b in blocks.blocks_of(p))]
TEXTS = [*PAGES, blocks.ROOT / "CONTRIBUTING.md"]


def name_of(page: Path) -> str:
    return str(page.relative_to(blocks.ROOT))


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    blocks.write_programs(folder)
    return folder


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_blocks_of_a_page_run(page: Path, programs: Path, tmp_path: Path) -> None:
    reader = blocks.Reader(tmp_path, programs, made.MAKERS)
    reader.follow(page)
    if reader.missing:  # a skip that says so, behind all that could be run
        pytest.skip(
            "; ".join(
                f"without {name} not run: {', '.join(map(str, found))}"
                for name, found in reader.missing.items()
            )
        )


@pytest.mark.corpus
@pytest.mark.parametrize("page", CORPUS, ids=name_of)
def test_the_blocks_of_a_page_run_on_the_corpus(
    page: Path, programs: Path, tmp_path: Path, corpus: Path
) -> None:
    blocks.Reader(tmp_path, programs, made.MAKERS, corpus).follow(page)


# All blocks that are in the documentation and do not run, and why. A new one has to get its line here.
LEFT_OUT = {
    ("README.md", "they set up an environment"),
    ("README.md", "it installs"),
    ("README.md", "docs/draggan.md does it with a model"),
    ("docs/install.md", "it installs"),
    ("docs/debugger.md", "a terminal is needed; tests/debugger/test_terminal.py runs it in one"),
    ("docs/regress.md", "it needs several machines; tests/regress/test_cluster.py does it on one"),
}


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    marks = [
        (name_of(page), why)
        for page in PAGES
        for block in blocks.blocks_of(page)
        for why in block.marked("no")
    ]
    assert set(marks) == LEFT_OUT
    assert len(marks) == len(LEFT_OUT)
    for _, why in LEFT_OUT:
        for named in re.findall(r"(?:tests|docs)/[\w/]+\.\w+", why):
            assert (blocks.ROOT / named).is_file(), named


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_with_a_command_runs_or_says_why_not(page: Path) -> None:
    idle = [
        str(block)
        for block in blocks.blocks_of(page)
        if not block.runs and not block.marked("no") and not block.marked("output")
        if re.search(r"^\$ ", block.code, re.MULTILINE) or next(blocks.commands_in(block.code), "")
    ]
    assert idle == []


def flags_of(line: shells.Line) -> set[str]:
    return {flag for argument in line.flags for flag in argument.flags}


COMMAND_LINE = shells.command_line()
# Flags of the vendor that are refused by name or change nothing are flags that a page may speak of.
VENDOR = {
    name: {*module.main.refused, *module.main.accepted}
    for name, module in (
        ("model_transform", model_transform), ("model_deploy", model_deploy),
        ("run_calibration", run_calibration),
    )
}  # fmt: skip


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_commands_in_a_page_exist_with_their_flags(page: Path) -> None:
    for block in blocks.blocks_of(page):
        for command in blocks.commands_in(block.code):
            words = shlex.split(
                command.replace("...", "").replace("'", '"') if command.count("'") % 2 else command
            )
            line = COMMAND_LINE
            path = [shells.PROGRAMS[words[0].removesuffix(".py")]] if words[0] != "tpumlir" else []
            rest = words[1:]
            while line.below and (path or rest):
                name = (path or rest).pop(0)
                if name.startswith("-") and line is COMMAND_LINE:
                    break
                assert name in line.below, f"{block}: {command}: expected a command, got {name}"
                line, found = line.below[name], name
                if name == "opt":  # its flags are passes
                    rest = []
                known = flags_of(line) | VENDOR.get(found, set())
                if not line.below:
                    given = {word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)}
                    assert given <= known, (
                        f"{block}: {command}: no such flag: {', '.join(sorted(given - known))}"
                    )


def test_commands_named_in_a_text_exist() -> None:
    for page in TEXTS:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for name in re.findall(r"`tpumlir ([a-z_]+)[ `]", text):
            assert name in COMMANDS, f"{name_of(page)}: tpumlir {name}"


# --- the runner itself -------------------------------------------------------------


def follow(text: str, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text)
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    return blocks.Reader(folder, programs, made.MAKERS).follow(page)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```sh\nexit 3\n```\n", "page.md:1: expected exit code 0, got 3"),
        ("```sh\nfalse\ntrue\n```\n", "expected exit code 0, got 1"),
        ("```sh\nfalse | cat\n```\n", "expected exit code 0, got 1"),
        ("text\n\n<!-- run: fails -->\n```sh\ntrue\n```\n", "page.md:4: expected exit code 1, got 0"),
        (
            "```sh\necho a 1\n```\n<!-- run: output -->\n```\nb 1\n```\n",
            "page.md:5: expected a line like\nb 1",
        ),
        ("```sh\nmodel_tool --info none.bmodel\n```\n", "none.bmodel: No such file"),
        ("```python\nassert 1 == 2, 'not so'\n```\n", "not so"),
        ("<!-- run: fails -->\n", "expected a block behind <!-- run: fails -->"),
    ],
)
def test_a_page_that_is_wrong_is_found(
    text: str, complaint: str, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        follow(text, tmp_path, programs, monkeypatch)


def test_what_the_marks_do(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
<!-- run: with small_cnn; mv model.onnx other.onnx -->
<!-- run: python seen = 7 -->
```python
import os
assert seen == 7
assert "other.onnx" in os.listdir() and "model.onnx" not in os.listdir()
print("seen", seen)
```
<!-- run: output -->
```
seen 8
...
```
<!-- run: no, it would fail -->
```sh
false
```
<!-- run: needs no_such_module -->
```python
import no_such_module
```
<!-- run: fails -->
```sh
true
false
```
```text
false
```
"""
    assert follow(text, tmp_path, programs, monkeypatch) == 2


@pytest.mark.parametrize(
    ("code", "commands"),
    [
        ("$ model_tool --info a\nmodel_tool says\n", ["model_tool --info a"]),
        ("model_tool --info a | head\n", ["model_tool --info a"]),
        ("tpumlir check a \\\n    --json  # all\n", ["tpumlir check a  --json"]),
        ("x=1; npz_tool dump a && bmodel_dis b\n", ["npz_tool dump a", "bmodel_dis b"]),
    ],
)
def test_commands_are_found(code: str, commands: list[str]) -> None:
    assert [" ".join(one.split()) for one in blocks.commands_in(code)] == [
        " ".join(c.split()) for c in commands
    ]
