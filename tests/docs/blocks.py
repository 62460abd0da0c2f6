"""The code in pages of docs/: found, and run as a reader would.

Blocks of ``sh``, ``python`` and ``console`` (a transcript: what stands behind ``$`` is run) of a page run in
order, in one folder. Comments in the page, which a reader does not see, say what is special about the block
that follows:

    <!-- run: with net -->          the files of ``made.net`` are in the folder, from here on
    <!-- run: with net; mv a b -->  the same, and this was done
    <!-- run: python x = 1 -->      this was done in Python
    <!-- run: needs torch -->       it is left out where torch is not installed
    <!-- run: fails -->             its last command ends with exit code 1; Python: with an error of tpumlir
    <!-- run: file NAME -->         it is what stands in this file, a program
    <!-- run: output -->            not to run: lines that the block before it printed; numbers may differ,
                                    and a line ``...`` stands for any lines
    <!-- run: corpus NAME; mv a b -->  it needs this model of the corpus, and this was done
    <!-- run: no, WHY -->           it is not run
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tpumlir.cli import shells
from tpumlir.errors import Note, TpumlirError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_PART = re.compile(
    r"^<!-- run: (?P<mark>.*?) -->$|^(?P<tick>```+)(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=tick)$",
    re.MULTILINE | re.DOTALL,
)
LANGUAGES = ("sh", "python", "console")


@dataclass(frozen=True)
class Block:
    """A block of code, where it is, and the marks before it."""

    page: Path
    line: int
    language: str
    code: str
    marks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def marked(self, word: str) -> list[str]:
        """What stands behind ``word`` in the marks that begin with it."""
        return [mark[len(word) :].strip(" ,") for mark in self.marks if re.match(rf"{word}\b", mark)]

    @property
    def runs(self) -> bool:
        """Whether it is a block to run."""
        return self.language in LANGUAGES and not self.marked("no")


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    marks: list[str] = []
    for part in _PART.finditer(text):
        if part["mark"] is not None:
            marks.append(part["mark"])
            continue
        line = text.count("\n", 0, part.start()) + 1
        found.append(Block(page, line, part["language"], part["code"], tuple(marks)))
        marks = []
    if marks:
        raise AssertionError(f"{page.relative_to(ROOT)}: expected a block behind <!-- run: {marks[0]} -->")
    return found


def pages() -> list[Path]:
    """The pages that are written by hand."""
    return sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "generated")


def write_programs(folder: Path) -> None:
    """The programs that an installation has, for a source tree that has none."""
    for name in shells._programs().split():
        command = shells.PROGRAMS[name.removesuffix(".py")]
        words = f"['{command}', *sys.argv[1:]]" if command else "sys.argv[1:]"
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\nimport sys\nfrom tpumlir.cli.main import main\n"
            f"words = {words}\nsys.argv[:] = ['tpumlir', *words]\nsys.exit(main())\n"
        )
        program.chmod(0o755)
    # A pipe that is closed early fails or not, by who is faster.
    write_program(folder / "head", f'{shutil.which("head")} "$@"\ncat > {os.devnull}\n')
    write_program(folder / "python", f'exec {sys.executable} "$@"\n')


def write_program(path: Path, script: str) -> None:
    """A program of lines of sh."""
    path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}")
    path.chmod(0o755)


class Reader:
    """Somebody who does what a page says, in ``folder``."""

    def __init__(
        self,
        folder: Path,
        programs: Path,
        makers: Mapping[str, Callable[[Path], None]],
        corpus: Path | None = None,
    ) -> None:
        self.folder = folder
        self.programs = programs
        self.makers = makers
        self.corpus = corpus
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed = ""
        self.missing: dict[str, list[Block]] = {}  # module -> blocks that were left out for want of it

    def follow(self, page: Path) -> int:
        """Run the blocks of a page in order: those marked corpus if there is one, else the others.

        Returns how many. Raises: AssertionError: one does something else.
        """
        count = 0
        for block in blocks_of(page):
            if bool(block.marked("corpus")) != bool(self.corpus):
                continue
            absent = [name for name in block.marked("needs") if importlib.util.find_spec(name) is None]
            if absent:
                self.missing.setdefault(absent[0], []).append(block)
                continue
            if block.marked("output"):
                self._expect(block)
            for mark in block.marked("with"):
                names, _, command = mark.partition(";")
                for name in names.split(","):
                    self.makers[name.strip()](self.folder)
                self._shell(block, command, fails=False)
            for mark in block.marked("corpus"):
                name, _, command = mark.partition(";")
                for file in self.corpus.glob(f"{name}.*") if self.corpus and name else ():
                    (shutil.copytree if file.is_dir() else shutil.copy)(file, self.folder / file.name)
                self._shell(block, command, fails=False)
            for code in block.marked("python"):
                self._python(block, code)
            if block.runs:
                count += 1
                self._follow(block)
        return count

    def _follow(self, block: Block) -> None:
        files = block.marked("file")
        fails = bool(block.marked("fails"))
        if files:
            write_program(self.folder / files[0], block.code)
        elif block.language == "python":
            self.printed = self._python(block, block.code, fails=fails)
        else:
            code = block.code if block.language == "sh" else typed(block.code)
            self.printed = self._shell(block, code, fails=fails)

    def _shell(self, block: Block, code: str, *, fails: bool) -> str:
        environment = {
            **os.environ,
            "PATH": f"{self.folder}/bin:{self.programs}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, filter(None, sys.path)))),
            "HOME": str(self.folder),
            "COLUMNS": "200",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code], cwd=self.folder, env=environment, text=True,
            check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            timeout=300,
        )  # fmt: skip
        expected = 1 if fails else 0
        assert done.returncode == expected, (
            f"{block}: expected exit code {expected}, got {done.returncode}\n{done.stdout}"
        )
        return done.stdout

    def _python(self, block: Block, code: str, *, fails: bool = False) -> str:
        printed = io.StringIO()
        padded = "\n" * block.line + code  # the line of the page, in a traceback
        with _inside(self.folder), contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)  # they say something, and are no mistake of the page
            try:
                exec(compile(padded, str(block.page), "exec"), self.names)
            except TpumlirError as error:
                if not fails:
                    raise
                return f"{printed.getvalue()}{error}\n"
        assert not fails, f"{block}: expected an error of tpumlir, got none"
        return printed.getvalue()

    def _expect(self, block: Block) -> None:
        got = {_plain(line) for line in self.printed.splitlines()}
        for line in block.code.splitlines():
            if line.strip() not in {"", "..."}:
                assert _plain(line) in got, f"{block}: expected a line like\n{line}\ngot\n{self.printed}"


def _plain(line: str) -> str:
    """A line without the numbers and the widths of its columns."""
    return " ".join(re.sub(r"[-+]?\d[\d,.]*(e[-+]?\d+)?", "#", line).split())


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """In ``folder``, also as a place where Python looks for modules."""
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)


# --- commands, also where they are not run -----------------------------------------


def typed(code: str) -> str:
    """What is typed in a transcript: the lines behind a ``$``, with those that continue them."""
    return "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", code, re.MULTILINE))


def commands_in(code: str) -> Iterator[str]:
    """The commands of ours in a block: each line, or in a transcript each one behind a ``$``."""
    lines = re.sub(r"\\\n\s*", " ", code).splitlines()
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    for line in prompted or lines:
        for part in re.split(r"\|\||&&|[|;]", re.sub(r"(^|\s)#.*$", "", line)):
            words = part.split()
            if words and words[0] in shells._programs().split():
                yield part.strip()
