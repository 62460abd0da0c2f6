"""What a worker is as a process: it imports the user's files, writes a log, and ends with its parent."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tpumlir.errors import InputError
from tpumlir.onnx.importer import load_converters

LOG = "log.txt"
_PR_SET_PDEATHSIG = 1
_imported: set[str] = set()


def die_with_parent() -> None:
    """Let the system end this process when its parent ends, however that happens (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def import_files(files: Sequence[str]) -> None:
    """Run Python files as modules, each once in a process. Raises: InputError: one that cannot be run."""
    if files:  # which may want to change them
        load_converters()
    for number, file in enumerate(files):
        if file in _imported:
            continue
        spec = importlib.util.spec_from_file_location(f"tpumlir_imported_{number}", file)
        if spec is None or spec.loader is None:
            raise InputError(f"{file}: expected a Python file (--import)")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the user's file raises
            line = " ".join(str(error).split())
            raise InputError(f"{file}: {type(error).__name__}: {line} (--import)") from None
        _imported.add(file)


@contextmanager
def watched(folder: Path, limit: float) -> Iterator[None]:
    """Send what this process prints into the log of ``folder``; after ``limit`` seconds end the process.

    A fault or the end of the time writes the Python functions that were active too.
    """
    with (folder / LOG).open("w", encoding="utf-8") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        faulthandler.enable(log)
        faulthandler.dump_traceback_later(limit, exit=True, file=log)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()


class Death(NamedTuple):
    """How a worker ended: a signal, or too late; the function of ours it was in; what it said last."""

    how: str
    place: str
    said: str

    @property
    def hung(self) -> bool:
        """Whether the time was over."""
        return self.how == HUNG


HUNG = "does not end"
_FRAME = re.compile(r'^ {2}File "(.*)", line \d+ in (\S+)')


def death_of(folder: Path, exit_code: int, *, timeout: bool) -> Death:
    """What the log of ``folder`` and the exit code tell of a worker that died."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    hung = timeout or any(line.startswith("Timeout (") for line in lines)
    said: list[str] = []
    place = ""
    for line in lines:
        if line.startswith(("Fatal Python error", "Timeout (", "Thread 0x", "Current thread")):
            break
        if line.strip():
            said.append(line.strip())
    # Every thread has a list of its frames, the last call first; that of the compiler has judge.py in it.
    frames: list[tuple[str, str]] = []
    for line in [*lines, ""]:
        found = _FRAME.match(line)
        if found:
            frames.append((Path(found[1]).name, found[2]))
            ours = not {"site-packages", "dist-packages"}.intersection(Path(found[1]).parts)
            if ours and not place and not _is_library(found[1]):
                place = f"{Path(found[1]).name}:{found[2]}"
            continue
        if any(name == "judge.py" for name, _ in frames):
            break
        frames, place = [], ""
    return Death(HUNG if hung else _named(exit_code), place, said[-1] if said else "")


def _is_library(file: str) -> bool:
    """Whether a file is of Python itself."""
    return Path(file).is_relative_to(Path(os.__file__).parent) and "tpumlir" not in Path(file).parts


def _named(exit_code: int) -> str:
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"exit code {exit_code}"
