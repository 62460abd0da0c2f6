"""``tpumlir debug`` at a terminal: prompt, history, completion, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmodel import program

pexpect = pytest.importorskip("pexpect", reason="needs pexpect")
_MAIN = "import sys; from tpumlir.cli.main import main; sys.exit(main())"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Any]:
    """A debugger that waits for its first command; ``terminal.again()`` is a second one of the same user."""
    model = program.write_model(tmp_path / "add.bmodel")
    opened: list[Any] = []

    def start() -> Any:
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers where the cursor is
        }
        child = pexpect.spawn(
            sys.executable, ["-c", _MAIN, "debug", str(model)],
            env=environment, encoding="utf-8", timeout=60, dimensions=(24, 100),
        )  # fmt: skip
        child.expect_exact("(tpu)")
        opened.append(child)
        return child

    first = start()
    first.again = start
    yield first
    for child in opened:
        child.close(force=True)


def test_a_session_at_a_terminal(terminal: Any) -> None:
    terminal.send("b tiu:1\r")
    terminal.expect_exact("breakpoint 1: command tiu:1, 1 places, 0 hits")
    terminal.send("nonsense\r")
    terminal.expect_exact("error: expected a command, got nonsense (help lists them)")
    terminal.send("run\r")
    terminal.expect_exact("#2 of 6: tiu:1 arith.add")
    terminal.send("back\r")
    terminal.expect_exact("#1 of 6: gdma:2 dma.tensor")
    terminal.send("\r")  # the same again
    terminal.expect_exact("#0 of 6: gdma:1 dma.tensor")
    terminal.send("garbage\x03")  # a line given up
    terminal.send("conti\t\r")
    terminal.expect_exact("#2 of 6: tiu:1 arith.add")
    terminal.send("\x04")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_commands_are_remembered(terminal: Any) -> None:
    terminal.send("goto 3\r")
    terminal.expect_exact("#3 of 6: tiu:2 sys.end")
    terminal.send("quit\r")
    terminal.expect(pexpect.EOF)
    other = terminal.again()
    other.send("\x1b[A\x1b[A\r")  # up, up: behind quit
    other.expect_exact("#3 of 6: tiu:2 sys.end")
    other.send("quit\r")
    other.expect(pexpect.EOF)
