"""Output files that appear whole or not at all, one by one or several together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

# Hidden files that have not taken their place yet; `abandon` removes them.
_unfinished: set[Path] = set()
# What `all_or_none` holds back: hidden files and the places they will take.
_held: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("held", default=None)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing bytes; it is replaced when the block ends without an exception.

    The bytes go to a hidden file beside it first, which is removed if the block fails, the disk is full or
    the user interrupts. Raises: OSError: with the name of ``path``.
    """
    path = Path(path)
    hidden = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        hidden = Path(name)
        _unfinished.add(hidden)
        with os.fdopen(handle, "wb") as stream:
            yield stream
        # mkstemp makes private files; give the file the rights that open() would.
        mask = os.umask(0)
        os.umask(mask)
        hidden.chmod(0o666 & ~mask)
        held = _held.get()
        if held is None:
            _place(hidden, path)
        else:
            held.append((hidden, path))
    except BaseException as error:
        if hidden is not None:
            _remove(hidden)
        # The random name of the hidden file says nothing to anybody.
        if isinstance(error, OSError) and (hidden is None or error.filename in {None, str(hidden)}):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


@contextmanager
def all_or_none() -> Iterator[None]:
    """Hold back every ``atomic_write`` of the block: all files appear at its end, or none.

    Raises: OSError.
    """
    if _held.get() is not None:  # part of a larger whole
        yield
        return
    held: list[tuple[Path, Path]] = []
    token = _held.set(held)
    try:
        yield
        while held:
            _place(*held[0])
            del held[0]
    finally:
        _held.reset(token)
        for hidden, _ in held:
            _remove(hidden)


def abandon() -> None:
    """Remove what is half written: for a process that is about to end without unwinding."""
    for hidden in list(_unfinished):
        _remove(hidden)


def _place(hidden: Path, path: Path) -> None:
    hidden.replace(path)
    _unfinished.discard(hidden)


def _remove(hidden: Path) -> None:
    hidden.unlink(missing_ok=True)
    _unfinished.discard(hidden)
