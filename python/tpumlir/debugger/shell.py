"""``tpumlir debug`` at a terminal, and from a file of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.debugger.commands import Commands, Quit
from tpumlir.errors import InputError, TpumlirError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completion
    from prompt_toolkit.document import Document

PROMPT = "(tpu) "
_REPEATED = ("step", "s", "next", "n", "continue", "c", "back", "rs", "list", "l")
"""Commands that an empty line runs again."""


def run_script(commands: Commands, lines: Iterable[str], name: str, out: Callable[[str], None]) -> None:
    """Run the lines of a file, each shown before what it prints. The first that is wrong ends it.

    Raises: InputError: with the number of the line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        out(f"{PROMPT}{line.strip()}")
        try:
            for text in commands.run(line):
                out(text)
        except Quit:
            return
        except (TpumlirError, OSError) as error:
            raise InputError(f"{name}:{number}: {_one_line(error)}") from None


def run_interactive(commands: Commands, out: Callable[[str], None]) -> None:
    """Ask for commands until the user leaves. What is wrong with one is a line."""
    read = _reader(commands)
    last = ""
    while True:
        try:
            line = read()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if not line.strip():
            line = last
        last = line if line.split()[:1] and line.split()[0] in _REPEATED else ""
        try:
            for text in commands.run(line):
                out(text)
        except Quit:
            return
        except KeyboardInterrupt:
            out("interrupted")
        except (TpumlirError, OSError) as error:
            out(f"error: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return " ".join(str(error).split())


def _reader(commands: Commands) -> Callable[[], str]:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _plain
    session = _prompt(commands)
    return lambda: session.prompt(PROMPT)


def _plain() -> str:
    """A line of a pipe; the commands are not shown, as in every program that reads one."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def history_path() -> Path:
    """Where commands are remembered from one session to the next."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "tpumlir" / "debug_history"


def _prompt(commands: Commands) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    class _Completer(Completer):
        def get_completions(self, document: Document, _event: CompleteEvent) -> Iterable[Completion]:
            text = document.text_before_cursor
            word = "" if text[-1:].isspace() else (text.split() or [""])[-1]
            for found in commands.complete(text):
                yield Completion(found, start_position=-len(word))

    path = history_path()
    history: History
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        history = FileHistory(str(path))
    except OSError:  # a home that cannot be written to is no reason not to debug
        history = InMemoryHistory()
    return PromptSession(
        history=history, completer=_Completer(), complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
    )  # fmt: skip
