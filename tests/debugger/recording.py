"""Records a session of ``tpumlir debug`` at a terminal for docs/debugger.md.

``PYTHONPATH=python:tests python -m debugger.recording`` writes the page's session anew; it needs
TPUMLIR_CORPUS.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tpumlir.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "debugger.md"
_BEGIN, _END = (
    "<!-- recorded by tests/debugger/recording.py -->\n```\n",
    "```\n<!-- end of the recording -->\n",
)
_MAIN = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
_PROMPT = "(tpu)"
_COLUMNS, _LINES = 160, 300
_NUMBER = re.compile(r"-?\d+\.\d+(e[-+]\d+)?|-?\d+e[-+]\d+")

COMMANDS = (
    "break op Softmax",
    "run",
    "where",
    "print linear_1.tmp_1",
    "back op",
    "where",
    "info",
    "finish",
    "print linear_1.tmp_1",
    "compare",
    "watch save_infer_model/scale_0.tmp_1",
    "continue",
    "print save_infer_model/scale_0.tmp_1",
    "back 3",
    "list",
    "goto 0",
    "break address 0x1000b8000 16 read",
    "continue",
    "run",
    "x 0x1000b8000 3x4 f32 strides=0,0,192,1",
    "delete",
    "break diff",
    "continue",
    "reverse-continue",
    "quit",
)


def build(corpus: Path, folder: Path) -> None:
    """The model of the session, compiled as the page says."""
    for suffix in ("onnx", "npz"):
        shutil.copy(corpus / f"ppocr_cls.{suffix}", folder)
    with _inside(folder):
        code = main([
            "model_transform", "--model_name", "cls", "--model_def", "ppocr_cls.onnx", "--input_shapes",
            "[[1,3,48,192]]", "--mlir", "cls.mlir",
        ])  # fmt: skip
        assert code == 0
        deploy = ["model_deploy", "--mlir", "cls.mlir", "--quantize", "F32", "--model", "cls.bmodel"]
        assert main([*deploy, "--chip", "bm1684x"]) == 0


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class Terminal:
    """A terminal with a program in it: what is typed, and the screen."""

    def __init__(self, words: list[str], folder: Path) -> None:
        import pexpect
        import pyte

        self.screen = pyte.Screen(_COLUMNS, _LINES)
        self._stream = pyte.Stream(self.screen)
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry),
        }
        self._child: Any = pexpect.spawn(
            sys.executable, ["-c", _MAIN, *words], cwd=str(folder), env=environment, encoding="utf-8",
            timeout=60, dimensions=(_LINES, _COLUMNS),
        )  # fmt: skip
        self._closed = pexpect.EOF

    def lines(self) -> list[str]:
        """The screen, without what is empty at its end."""
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def settle(self, prompts: int) -> None:
        """Read until so many prompts are there, the last of them empty; or until the program has ended."""
        while True:
            rows = self.lines()
            asked = sum(row.startswith(_PROMPT) for row in rows)
            if asked == prompts and rows[-1] == _PROMPT:
                return
            try:
                self._stream.feed(self._child.read_nonblocking(1 << 16, timeout=60))
            except self._closed:
                return

    def type(self, line: str) -> None:
        """Type a line."""
        self._child.send(line + "\r")

    def close(self) -> int | None:
        """Wait for the end of the program; returns its exit code."""
        self._child.close()
        code: int | None = self._child.exitstatus
        return code


def record(folder: Path) -> list[str]:
    """The screen of the session, in a folder that ``build`` has filled."""
    terminal = Terminal(["debug", "cls.bmodel", "--input", "ppocr_cls.npz"], folder)
    terminal.settle(1)
    for number, command in enumerate(COMMANDS, 1):
        terminal.type(command)
        terminal.settle(number + 1)
    assert terminal.close() == 0
    return ["$ tpumlir debug cls.bmodel --input ppocr_cls.npz", *terminal.lines()]


def recorded() -> list[str]:
    """The session as the page has it."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)].splitlines()


def without_digits(lines: list[str]) -> list[str]:
    """The lines without what may differ in the last place from one processor to the next."""
    plain = [re.sub(r"\b(similar|equal), .*", r"\1", line) for line in lines]
    return [re.sub(r"\s+", " ", _NUMBER.sub("#", line)) for line in plain]


def _write() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(Path(os.environ["TPUMLIR_CORPUS"]), folder)
        lines = record(folder)
    text = PAGE.read_text(encoding="utf-8")
    begin, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
    PAGE.write_text(text[:begin] + "\n".join(lines) + "\n" + text[end:], encoding="utf-8")


if __name__ == "__main__":
    _write()
